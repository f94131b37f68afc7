"""The picture as layers of depth, each without jumps: what is near, with soft edges, and what lies behind, filled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

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
MATTE = 5  # cells of a quarter of the picture over which colours on either side of an edge are looked at
INWARD, OUTWARD = 2, 3  # such cells on either side of an edge within which colours decide
PRIOR, PRIOR_INSIDE = 3.0, 6.0  # how strongly the mask speaks against colours, as a logarithm of odds
NOISE = 4e-4  # variance of colours that is always there
SEEN = 0.04  # difference of colours that is seen
RIM = 3  # pixels beyond a near thing's edge that may be mixed with it
TIP = 16  # cells of a quarter of the picture: as far as a thing's tips may reach
DEEP = 18  # cells of a quarter of the picture: as far behind an edge is filled


@dataclass(frozen=True, eq=False)
class Layer:
    """A surface without jumps; later layers hide earlier ones."""

    colour_CHW: Tensor
    alpha_HW: Tensor | None  # none: opaque everywhere
    nearness_HW: Tensor  # on a coarse grid, smooth
    texture_HW: Tensor  # how rough colours are by cell of that grid


def part_layers(picture_CHW: Tensor, nearness_HW: Tensor) -> list[Layer]:
    """Part a picture by nearness (0 to 1, on a quarter of its size), the farthest first."""
    layers: list[Layer] = []
    hidden = hide_nothing(picture_CHW, nearness_HW)
    for cut in reversed(choose_cuts(nearness_HW)):
        front = cut_front(picture_CHW, nearness_HW, cut)
        layers.append(make_layer(picture_CHW, nearness_HW, front, hidden))
        hidden = hidden.join(front)
    layers.append(make_layer(picture_CHW, nearness_HW, None, hidden))
    layers.reverse()
    return [layers[0], *(unmix(layer, below) for below, layer in pairwise(layers))]


def whole_layer(picture_CHW: Tensor, nearness_HW: Tensor) -> Layer:
    """Return a picture as one layer."""
    nothing = hide_nothing(picture_CHW, nearness_HW)
    return make_layer(picture_CHW, nearness_HW, None, nothing)


@dataclass(frozen=True, eq=False)
class Front:
    """What is nearer than a cut."""

    alpha_HW: Tensor
    nearer_HW: Tensor  # 1 where it is nearer than the cut, on a quarter
    before_HW: Tensor  # 1 where something lies behind it, on a quarter
    covers_HW: Tensor  # 1 where the picture shows it and not what lies behind it
    hides_HW: Tensor  # 1 where what lies behind it may be uncovered


@dataclass(frozen=True, eq=False)
class Hidden:
    """What nearer layers hide: pixels that show them, pixels to fill, and cells whose nearness is theirs."""

    covered_HW: Tensor
    fill_HW: Tensor
    before_HW: Tensor

    def join(self, front: Front) -> Hidden:
        """Return what is hidden with one more layer in front."""
        return Hidden(
            torch.maximum(self.covered_HW, front.covers_HW),
            torch.maximum(self.fill_HW, front.hides_HW),
            torch.maximum(self.before_HW, front.before_HW),
        )


def hide_nothing(picture_CHW: Tensor, nearness_HW: Tensor) -> Hidden:
    """Return what nothing hides."""
    nothing_HW = torch.zeros(picture_CHW.shape[-2:])
    return Hidden(nothing_HW, nothing_HW, torch.zeros_like(nearness_HW))


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
            inside = torch.minimum(5 * (cut - far_HW), near_HW - cut).clamp(min=0)
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
    nearer_HW = (nearness_HW > cut).float()
    inside_HW = take_along(nearness_HW, nearer_HW)
    edge_HW = find_jumps(nearness_HW)[0] * (grow(inside_HW, 2) - shrink(inside_HW, 2))
    soft_HW = follow_colours(picture_CHW, inside_HW)
    hard_HW = resize((inside_HW - nearer_HW)[None], (rows, columns))[0]
    hard_HW = ((hard_HW > 0.5) | (resize(nearness_HW[None], (rows, columns))[0] > cut)).float()
    close_HW = resize(smooth(grow(edge_HW, OUTWARD)[None], 1), (rows, columns))[0]
    alpha_HW = torch.lerp(hard_HW, soft_HW, (2 * close_HW).clamp(max=1))
    # Where nothing jumps, both sides show the same.
    behind_HW = look_behind(nearness_HW, 1 - grow(inside_HW, 1))
    before_HW = torch.maximum((nearness_HW - behind_HW > JUMP / 2).float() * inside_HW, grow(edge_HW, 1))
    before_all_HW = torch.maximum(before_HW, grow(edge_HW, OUTWARD))
    masks = resize(torch.stack([before_all_HW, before_all_HW * grow(edge_HW, DEEP)]), (rows, columns)) > 0.01
    # What may be mixed with an edge is no source for a fill, but stays where it is as long as it is of the back.
    covers_HW, hides_HW = masks[0] & (grow(alpha_HW, RIM) > 0.02), masks[1] & (alpha_HW > 0.02)
    return Front(alpha_HW, nearer_HW, before_HW, covers_HW.float(), hides_HW.float())


def take_along(nearness_HW: Tensor, nearer_HW: Tensor) -> Tensor:
    """Return what is nearer than a cut and what hangs on it before what lies behind: tips and ornaments, seen too far away."""
    behind_HW = look_behind(nearness_HW, 1 - grow(nearer_HW, TIP))
    before_HW = (nearness_HW - behind_HW > JUMP).float()
    inside_HW = nearer_HW
    for _ in range(TIP // 2):
        inside_HW = torch.maximum(inside_HW, grow(inside_HW, 2) * before_HW)
    return inside_HW


def look_behind(nearness_HW: Tensor, known_HW: Tensor) -> Tensor:
    """Return nearness continued smoothly from where it is known."""
    flat = torch.ones_like(nearness_HW)
    return solve_smooth(nearness_HW, known_HW.clamp(min=1e-6), 4 * flat[:, 1:], 4 * flat[1:], 60)


def follow_colours(picture_CHW: Tensor, inside_HW: Tensor) -> Tensor:
    """Return a matte that follows colours near a mask's edge; the mask is on a quarter of the picture's size.

    A pixel belongs to the side whose colours explain it better: a Gaussian of what is surely in front close by, and one
    of what is surely behind. Where both look alike the mask decides.
    """
    rows, columns = picture_CHW.shape[-2:]
    small_CHW = resize(picture_CHW, inside_HW.shape, "area")
    front = describe_colours(small_CHW, shrink(inside_HW, INWARD))
    back = describe_colours(small_CHW, 1 - grow(inside_HW, OUTWARD))
    prior_HW = smooth(inside_HW[None], 1) * (PRIOR_INSIDE + PRIOR) - PRIOR
    maps = resize(torch.cat([front, back, prior_HW]), (rows, columns))
    (mean_front, spread_front), (mean_back, spread_back) = (maps[:3], maps[3:4]), (maps[4:7], maps[7:8])
    odds = (picture_CHW - mean_back).square().sum(0) / spread_back - (picture_CHW - mean_front).square().sum(0) / spread_front
    odds = odds + 3 * (spread_back / spread_front).log()
    # Both ends are cut off, so that what is of one side only is so wholly.
    alpha_HW = ((0.5 * odds + maps[8:]).sigmoid() * 1.3 - 0.15).clamp(0, 1)
    return box(alpha_HW, 1)[0]


def describe_colours(picture_CHW: Tensor, known_HW: Tensor) -> Tensor:
    """Return mean colour and variance around each pixel, of what is known, [4, H, W]."""
    share_HW = smooth(known_HW[None], MATTE).clamp(min=1e-4)
    mean_CHW = smooth(picture_CHW * known_HW, MATTE) / share_HW
    square_CHW = smooth(picture_CHW.square() * known_HW, MATTE) / share_HW
    spread_HW = (square_CHW - mean_CHW.square()).mean(0, keepdim=True).clamp(min=0) + NOISE
    return pull_push(torch.cat([mean_CHW, spread_HW]), (share_HW[0] > 0.02).float())


def make_layer(picture_CHW: Tensor, nearness_HW: Tensor, front: Front | None, hidden: Hidden) -> Layer:
    """Fill what nearer layers hide of a layer, and smooth its nearness."""
    own_HW = 1 - hidden.before_HW
    if front is not None:
        own_HW = own_HW * shrink(front.nearer_HW, 1)
    rows, columns = (-(-side // GRID) for side in picture_CHW.shape[-2:])
    near_HW = smooth_within(nearness_HW, own_HW, (rows, columns))
    alpha_HW = None if front is None else continue_matte(front.alpha_HW, hidden.covered_HW)
    if not bool(hidden.fill_HW.any()):
        return Layer(picture_CHW, alpha_HW, near_HW, torch.zeros_like(near_HW))
    known_HW = 1 - hidden.covered_HW
    if front is not None:
        known_HW = known_HW * (front.alpha_HW > 0.9)
    colour_CHW = torch.where(hidden.fill_HW > 0, fill_behind(picture_CHW, known_HW), picture_CHW)
    return Layer(colour_CHW, alpha_HW, near_HW, measure_texture(colour_CHW, (rows, columns)))


def smooth_within(nearness_HW: Tensor, own_HW: Tensor, cells: tuple[int, int]) -> Tensor:
    """Smooth nearness over what belongs to a layer, and continue it beyond, on a coarse grid."""
    share_HW = resize(own_HW[None], cells, "area")[0]
    data_HW = resize((nearness_HW * own_HW)[None], cells, "area")[0] / share_HW.clamp(min=1e-6)
    flat = torch.full(cells, STIFF)
    return solve_smooth(data_HW, share_HW.clamp(min=1e-5), flat[:, 1:], flat[1:], 150)


def continue_matte(alpha_HW: Tensor, hidden_HW: Tensor) -> Tensor:
    """Continue a matte behind what hides it."""
    if not bool(hidden_HW.any()):
        return alpha_HW
    return torch.where(hidden_HW > 0, pull_push(alpha_HW[None], 1 - hidden_HW)[0], alpha_HW)


def measure_texture(picture_CHW: Tensor, cells: tuple[int, int]) -> Tensor:
    """Return the standard deviation of colours around each cell."""
    square_HW = resize(picture_CHW.square(), cells, "area") - resize(picture_CHW, cells, "area").square()
    return box(square_HW.clamp(min=0).sum(0, keepdim=True), 1)[0].sqrt()


def unmix(layer: Layer, below: Layer) -> Layer:
    """Take what shines through a layer's soft edge out of its colours.

    Laid over what is below, it shows the picture again: where no colour close by could do so, it is more opaque.
    """
    assert layer.alpha_HW is not None
    differs_HW = (layer.colour_CHW - below.colour_CHW).abs().amax(0)
    alpha_HW = torch.maximum(layer.alpha_HW, ((differs_HW - SEEN) / (2 * SEEN)).clamp(0, 1) * (layer.alpha_HW > 0.02))
    solid_HW = alpha_HW.clamp(min=0.4)
    pure_CHW = layer.colour_CHW + (1 - solid_HW) / solid_HW * (layer.colour_CHW - below.colour_CHW)
    low_CHW, high_CHW = shrink(layer.colour_CHW, 2), grow(layer.colour_CHW, 2)
    return replace(layer, colour_CHW=torch.minimum(torch.maximum(pure_CHW, low_CHW), high_CHW), alpha_HW=alpha_HW)
