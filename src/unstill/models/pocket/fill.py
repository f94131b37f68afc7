"""What lies behind a thing, made up from what is seen behind its edge: its colours, and its texture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.models.pocket.grids import pull_push, resize, smooth

BLUR = 3  # pixels of a quarter of the picture: coarser is colour, finer is texture
FARTHEST = 64  # pixels of half the picture over which texture is carried


def fill_behind(picture_CHW: Tensor, known_HW: Tensor, sideways: int = 1) -> Tensor:
    """Fill what is not known (0 or 1 by pixel) from what is; sideways is how much nearer the same row counts.

    Colour continues smoothly. Texture is mirrored at the edge, so that it is what lies right behind it, in its own
    directions and at its own sharpness; where it is taken from is worked out at half size.
    """
    rows, columns = known_HW.shape
    colour_CHW = continue_colours(picture_CHW, known_HW, sideways)
    quarter_CHW = resize(torch.where(known_HW > 0, picture_CHW, colour_CHW), (-(-rows // 4), -(-columns // 4)), "area")
    base_CHW = resize(smooth(quarter_CHW, BLUR), (rows, columns))
    detail_CHW = (picture_CHW - base_CHW) * known_HW
    half_HW = -F.max_pool2d(-known_HW[None, None], 2, ceil_mode=True)[0, 0]
    offset_CHW = resize(mirror(half_HW, sideways) * 2, (rows, columns))
    place_CHW = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in (rows, columns)), indexing="ij")).flip(0)
    texture_CHW = take(detail_CHW, place_CHW + offset_CHW)
    return torch.where(known_HW > 0, picture_CHW, (base_CHW + texture_CHW).clamp(0, 1))


def continue_colours(picture_CHW: Tensor, known_HW: Tensor, sideways: int) -> Tensor:
    """Continue known colours smoothly; on a picture that is narrower by a factor, its sides are nearer."""
    if sideways == 1:
        return pull_push(picture_CHW, known_HW)
    rows, columns = known_HW.shape
    narrow = resize(torch.cat([picture_CHW * known_HW, known_HW[None]]), (rows, -(-columns // sideways)), "area")
    share_HW = narrow[3]
    filled = pull_push(narrow[:3] / share_HW.clamp(min=1e-3), (share_HW > 0.99).float())
    return resize(filled, (rows, columns))


def mirror(known_HW: Tensor, sideways: int = 1) -> Tensor:
    """Return the offset, right and down in pixels, from each unknown pixel to its mirror image in the known part."""
    rows, columns = known_HW.shape
    place_CHW = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in (rows, columns)), indexing="ij")).flip(0)
    nearest_CHW = find_nearest(known_HW, sideways) - place_CHW
    inside = (known_HW == 0).float()
    # Averaged, so that neighbours whose nearest known pixels lie on two sides do not part at a hard seam.
    share = smooth(inside[None], 2)
    eased_CHW = smooth(nearest_CHW * inside, 2) / share.clamp(min=1e-3)
    return 2 * eased_CHW * inside


def find_nearest(known_HW: Tensor, sideways: int = 1) -> Tensor:
    """Return for each pixel the place of the nearest known one, by jump flooding (Rong and Tan 2006), [2, H, W]."""
    rows, columns = known_HW.shape
    here = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in (rows, columns)), indexing="ij")).flip(0)
    place = torch.where(known_HW > 0, here, torch.full_like(here, 1e6))
    weight = torch.tensor([1.0, sideways**2])[:, None, None]
    step = FARTHEST
    while step >= 1:
        padded = F.pad(place[None], (step, step, step, step), value=1e6)[0]
        best = ((place - here).square() * weight).sum(0)
        for down in (0, step, 2 * step):
            for right in (0, step, 2 * step):
                other = padded[:, down : down + rows, right : right + columns]
                far = ((other - here).square() * weight).sum(0)
                nearer = far < best
                place, best = torch.where(nearer, other, place), torch.where(nearer, far, best)
        step //= 2
    return torch.where(place < 1e5, place, here)


def take(image_CHW: Tensor, place_CHW: Tensor) -> Tensor:
    """Return an image's pixels at places in pixels, reflected at its border."""
    rows, columns = image_CHW.shape[-2:]
    grid_HWC = torch.stack([(2 * place_CHW[0] + 1) / columns - 1, (2 * place_CHW[1] + 1) / rows - 1], dim=-1)
    taken: Tensor = F.grid_sample(image_CHW[None], grid_HWC[None], padding_mode="reflection", align_corners=False)[0]
    return taken
