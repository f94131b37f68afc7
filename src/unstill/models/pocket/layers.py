"""The picture as layers of depth, each without jumps: what is near, with soft edges, and what lies behind, filled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unstill.models.pocket.fill import fill_behind
from unstill.models.pocket.grids import box, grow, pull_push, resize, shrink, smooth, solve_smooth

JUMP = 0.08  # of the whole depth: a smaller step belongs to the same surface
STEEP = 0.55  # a jump takes this share of what depth changes in a wider neighbourhood; an even slope a fifth
LEAST_EDGE = 0.2  # of the picture's height: layers are parted where jumps add up to at least so long an edge
CUTS = 2  # the most by which depth is cut
GRID = 8  # pixels of the picture by cell of a layer's nearness
STIFF = 8.0  # how smooth nearness is within a layer
MATTE = 4  # pixels of half the picture within which an edge's matte follows colours
NOISE = 1e-3  # variance of colours that a matte takes for noise
RIM = 2  # pixels beyond a near thing's edge that may be mixed with it
DEEP = 18  # cells of a quarter of the picture: as far behind an edge is filled


@dataclass(frozen=True, eq=False)
class Layer:
    """A surface without jumps; later layers hide earlier ones."""

    colour_CHW: Tensor
    alpha_HW: Tensor | None  # none: opaque everywhere
    nearness_HW: Tensor  # on a coarse grid, smooth


def part_layers(picture_CHW: Tensor, nearness_HW: Tensor) -> list[Layer]:
    """Part a picture by nearness (0 to 1, on a quarter of its size), the farthest first."""
    layers: list[Layer] = []
    hidden_HW, before_HW = torch.zeros(picture_CHW.shape[-2:]), torch.zeros_like(nearness_HW)
    for cut in reversed(choose_cuts(nearness_HW)):
        front = cut_front(picture_CHW, nearness_HW, cut)
        layers.append(make_layer(picture_CHW, nearness_HW, front, hidden_HW, before_HW))
        hidden_HW, before_HW = torch.maximum(hidden_HW, front.hides_HW), torch.maximum(before_HW, front.before_HW)
    layers.append(make_layer(picture_CHW, nearness_HW, None, hidden_HW, before_HW))
    layers.reverse()
    return [layers[0], *(unmix(layer, below) for below, layer in zip(layers, layers[1:], strict=False))]


@dataclass(frozen=True, eq=False)
class Front:
    """What is nearer than a cut."""

    alpha_HW: Tensor
    inside_HW: Tensor  # 1 where it is, on a quarter
    before_HW: Tensor  # 1 where something lies behind it, on a quarter
    hides_HW: Tensor  # 1 where what lies behind it may be uncovered


def find_jumps(nearness_HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where nearness jumps, 0 or 1, and from where to where: the lowest and highest close by."""
    far_HW, near_HW = shrink(nearness_HW, 2), grow(nearness_HW, 2)
    step_HW = near_HW - far_HW
    wide_HW = grow(nearness_HW, 8) - shrink(nearness_HW, 8)
    return ((step_HW > JUMP) & (step_HW > STEEP * wide_HW)).float(), far_HW, near_HW


def choose_cuts(nearness_HW: Tensor) -> list[float]:
    """Choose nearnesses that the longest jumps cross, the farthest first; none where depth has no jumps."""
    left_HW, far_HW, near_HW = find_jumps(nearness_HW)
    cuts: list[float] = []
    for _ in range(CUTS):
        best, most = 0.0, 0.0
        for cut in torch.arange(0.06, 0.95, 0.02).tolist():
            inside = torch.minimum(cut - far_HW, near_HW - cut).clamp(min=0)
            worth = float((left_HW * inside).sum())
            if worth > most:
                best, most = cut, worth
        crossed = ((far_HW < best) & (near_HW > best)).float() * left_HW
        if float(crossed.sum()) < 5 * LEAST_EDGE * nearness_HW.shape[0]:
            break
        cuts.append(best)
        # What is left of a jump on either side of a cut is no jump of its own.
        left_HW = left_HW * (1 - grow(crossed, 3))
    return sorted(cuts)


def cut_front(picture_CHW: Tensor, nearness_HW: Tensor, cut: float) -> Front:
    """Cut out what is nearer than a cut, with a matte along its edge."""
    rows, columns = picture_CHW.shape[-2:]
    inside_HW = (nearness_HW > cut).float()
    jumps_HW, far_HW, near_HW = find_jumps(nearness_HW)
    edge_HW = jumps_HW * ((far_HW < cut) & (near_HW > cut))
    wide_HW = resize(nearness_HW[None], rows // 2, columns // 2)[0]
    soft_HW = follow_colours(picture_CHW, wide_HW > cut)
    hard_HW = (resize(nearness_HW[None], rows, columns)[0] > cut).float()
    close_HW = resize(smooth(grow(edge_HW, 2)[None], 1), rows, columns)[0]
    alpha_HW = torch.lerp(hard_HW, soft_HW, (2 * close_HW).clamp(max=1))
    # Where nothing jumps, both sides show the same.
    behind_HW = look_behind(nearness_HW, 1 - grow(inside_HW, 1))
    before_HW = torch.maximum((nearness_HW - behind_HW > JUMP / 2).float() * inside_HW, grow(edge_HW, 1))
    hides_HW = resize((before_HW * grow(edge_HW, DEEP))[None], rows, columns)[0] > 0.01
    hides_HW = hides_HW & (grow(alpha_HW, RIM) > 0.02)
    return Front(alpha_HW, inside_HW, before_HW, hides_HW.float())


def look_behind(nearness_HW: Tensor, known_HW: Tensor) -> Tensor:
    """Return nearness continued smoothly from where it is known."""
    flat = torch.ones_like(nearness_HW)
    return solve_smooth(nearness_HW, known_HW.clamp(min=1e-6), 4 * flat[:, 1:], 4 * flat[1:], 60)


def follow_colours(picture_CHW: Tensor, mask: Tensor) -> Tensor:
    """Return a matte that follows colours near a mask's edge (guided filter, He et al. 2010), worked out at half size."""
    rows, columns = picture_CHW.shape[-2:]
    guide = resize(picture_CHW, *mask.shape, "area")
    known = mask.float()
    mean, share = box(guide, MATTE), box(known[None], MATTE)
    both = box(guide * known, MATTE) - mean * share
    pairs = box((guide[:, None] * guide[None]).flatten(0, 1), MATTE).view(3, 3, *mask.shape) - mean[:, None] * mean[None]
    square = pairs.permute(2, 3, 0, 1) + NOISE * torch.eye(3)
    slope = torch.linalg.solve(square, both.permute(1, 2, 0)[..., None])[..., 0].permute(2, 0, 1)
    level = share - (slope * mean).sum(0, keepdim=True)
    line = resize(box(torch.cat([slope, level]), MATTE), rows, columns)
    soft = (line[:3] * picture_CHW).sum(0) + line[3]
    alpha: Tensor = ((soft - 0.2) / 0.6).clamp(0, 1)
    return alpha


def make_layer(
    picture_CHW: Tensor, nearness_HW: Tensor, front: Front | None, hidden_HW: Tensor, before_HW: Tensor
) -> Layer:
    """Fill what nearer layers hide of a layer, and smooth its nearness."""
    own_HW = 1 - before_HW
    if front is not None:
        own_HW = own_HW * shrink(front.inside_HW, 1)
    cells = tuple(-(-side // GRID) for side in picture_CHW.shape[-2:])
    near_HW = smooth_within(nearness_HW, own_HW, (cells[0], cells[1]))
    alpha_HW = None if front is None else continue_matte(front.alpha_HW, hidden_HW)
    if not bool(hidden_HW.any()):
        return Layer(picture_CHW, alpha_HW, near_HW)
    known_HW = 1 - hidden_HW
    if front is not None:
        known_HW = known_HW * (front.alpha_HW > 0.9)
    filled_CHW = fill_behind(picture_CHW, known_HW)
    return Layer(torch.where(hidden_HW > 0, filled_CHW, picture_CHW), alpha_HW, near_HW)


def smooth_within(nearness_HW: Tensor, own_HW: Tensor, cells: tuple[int, int]) -> Tensor:
    """Smooth nearness over what belongs to a layer, and continue it beyond, on a coarse grid."""
    share_HW = resize(own_HW[None], *cells, "area")[0]
    data_HW = resize((nearness_HW * own_HW)[None], *cells, "area")[0] / share_HW.clamp(min=1e-6)
    flat = torch.full(cells, STIFF)
    return solve_smooth(data_HW, share_HW.clamp(min=1e-5), flat[:, 1:], flat[1:], 150)


def continue_matte(alpha_HW: Tensor, hidden_HW: Tensor) -> Tensor:
    """Continue a matte behind what hides it."""
    if not bool(hidden_HW.any()):
        return alpha_HW
    return torch.where(hidden_HW > 0, pull_push(alpha_HW[None], 1 - hidden_HW)[0], alpha_HW)


def unmix(layer: Layer, below: Layer) -> Layer:
    """Take what shines through a layer's soft edge out of its colours."""
    assert layer.alpha_HW is not None
    alpha_HW = layer.alpha_HW.clamp(min=0.3)
    pure_CHW = layer.colour_CHW + (1 - alpha_HW) / alpha_HW * (layer.colour_CHW - below.colour_CHW)
    return replace(layer, colour_CHW=pure_CHW.clamp(0, 1))
