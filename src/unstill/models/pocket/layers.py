"""The picture as layers of depth, each without jumps: what is near, with soft edges, and what lies behind, filled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unstill.models.pocket.fill import fill_behind
from unstill.models.pocket.grids import box, grow, pull_push, resize, shrink, smooth, solve_smooth
from unstill.models.pocket.matte import OUTWARD, trace_edge

JUMP = 0.12  # of the whole depth: a smaller step belongs to the same surface
STEEP = 0.55  # a jump takes this share of what depth changes in a wider neighbourhood; an even slope a fifth
LEAST_EDGE = 0.2  # of the picture's height: layers are parted where jumps add up to at least so long an edge
SPREAD = 6  # cells of a quarter of the picture over which the heights of jumps are averaged
GRID = 8  # pixels of the picture by cell of a layer's nearness
STIFF = 8.0  # how smooth nearness is within a layer
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
    """Part a picture by nearness (0 to 1, on a quarter of its size): what is far, and where depth jumps what is near."""
    jumps = find_jumps(nearness_HW)
    if float(jumps.there_HW.sum()) < 5 * LEAST_EDGE * nearness_HW.shape[0]:
        return [whole_layer(picture_CHW, nearness_HW)]
    front = cut_front(picture_CHW, nearness_HW, jumps)
    near = make_front(picture_CHW, nearness_HW, front)
    far = make_back(picture_CHW, nearness_HW, front)
    return [far, unmix(near, far)]


def whole_layer(picture_CHW: Tensor, nearness_HW: Tensor) -> Layer:
    """Return a picture as one layer."""
    near_HW = smooth_within(nearness_HW, torch.ones_like(nearness_HW), count_cells(picture_CHW))
    return Layer(picture_CHW, None, near_HW, torch.zeros_like(near_HW))


@dataclass(frozen=True, eq=False)
class Jumps:
    """Where nearness jumps, 0 or 1, and the lowest and the highest close by."""

    there_HW: Tensor
    far_HW: Tensor
    near_HW: Tensor


@dataclass(frozen=True, eq=False)
class Front:
    """What is near."""

    alpha_HW: Tensor
    nearer_HW: Tensor  # 1 where it is, on a quarter
    before_HW: Tensor  # 1 where something lies behind it, on a quarter
    covers_HW: Tensor  # 1 where the picture shows it and not what lies behind it
    hides_HW: Tensor  # 1 where what lies behind it may be uncovered


def find_jumps(nearness_HW: Tensor) -> Jumps:
    """Return where nearness jumps."""
    far_HW, near_HW = shrink(nearness_HW, 2), grow(nearness_HW, 2)
    step_HW = near_HW - far_HW
    wide_HW = grow(nearness_HW, 8) - shrink(nearness_HW, 8)
    return Jumps(((step_HW > JUMP) & (step_HW > STEEP * wide_HW)).float(), far_HW, near_HW)


def lay_cut(jumps: Jumps) -> Tensor:
    """Return the nearness at which the picture is cut: at each jump its middle, the higher jumps counting more.

    Where nothing jumps close by it does not matter: both layers show the same there.
    """
    weight_HW = jumps.there_HW * (jumps.near_HW - jumps.far_HW).square()
    share_HW = smooth(weight_HW[None], SPREAD)
    middle_HW = smooth((weight_HW * (jumps.near_HW + jumps.far_HW) / 2)[None], SPREAD) / share_HW.clamp(min=1e-9)
    return pull_push(middle_HW, (share_HW[0] > 1e-4).float())[0]


def cut_front(picture_CHW: Tensor, nearness_HW: Tensor, jumps: Jumps) -> Front:
    """Cut out what is near, with a matte along the jumps."""
    rows, columns = picture_CHW.shape[-2:]
    cut_HW = lay_cut(jumps)
    nearer_HW = (nearness_HW > cut_HW).float()
    inside_HW = take_along(nearness_HW, nearer_HW)
    edge_HW = jumps.there_HW * (grow(inside_HW, 2) - shrink(inside_HW, 2))
    maps = resize(torch.stack([inside_HW, smooth(grow(edge_HW, OUTWARD)[None], 1)[0]]), (rows, columns))
    alpha_HW = torch.lerp((maps[0] > 0.5).float(), trace_edge(picture_CHW, inside_HW), (2 * maps[1]).clamp(max=1))
    # Where nothing jumps, both sides show the same.
    behind_HW = look_behind(nearness_HW, 1 - grow(inside_HW, 1))
    before_HW = torch.maximum((nearness_HW - behind_HW > JUMP / 2).float() * inside_HW, grow(edge_HW, 1))
    before_all_HW = torch.maximum(before_HW, grow(edge_HW, OUTWARD))
    masks = resize(torch.stack([before_all_HW, before_all_HW * grow(edge_HW, DEEP)]), (rows, columns)) > 0.01
    shown_HW = grow(alpha_HW, RIM) > 0.02  # what may be mixed with an edge is no source for a fill
    return Front(alpha_HW, nearer_HW, before_HW, (masks[0] & shown_HW).float(), (masks[1] & shown_HW).float())


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


def make_front(picture_CHW: Tensor, nearness_HW: Tensor, front: Front) -> Layer:
    """Return what is near as a layer."""
    near_HW = smooth_within(nearness_HW, shrink(front.nearer_HW, 1), count_cells(picture_CHW))
    return Layer(picture_CHW, front.alpha_HW, near_HW, torch.zeros_like(near_HW))


def make_back(picture_CHW: Tensor, nearness_HW: Tensor, front: Front) -> Layer:
    """Return what is far as a layer, filled where what is near hides it."""
    cells = count_cells(picture_CHW)
    near_HW = smooth_within(nearness_HW, 1 - front.before_HW, cells)
    colour_CHW = fill_behind(picture_CHW, 1 - front.covers_HW, front.hides_HW, nearness_HW)
    return Layer(colour_CHW, None, near_HW, measure_texture(colour_CHW, cells))


def count_cells(picture_CHW: Tensor) -> tuple[int, int]:
    """Return the size of a layer's grid."""
    rows, columns = (-(-side // GRID) for side in picture_CHW.shape[-2:])
    return rows, columns


def smooth_within(nearness_HW: Tensor, own_HW: Tensor, cells: tuple[int, int]) -> Tensor:
    """Smooth nearness over what belongs to a layer, and continue it beyond, on a coarse grid."""
    share_HW = resize(own_HW[None], cells, "area")[0]
    data_HW = resize((nearness_HW * own_HW)[None], cells, "area")[0] / share_HW.clamp(min=1e-6)
    flat = nearness_HW.new_full(cells, STIFF)
    return solve_smooth(data_HW, share_HW.clamp(min=1e-5), flat[:, 1:], flat[1:], 150)


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
    may_HW = (4 * layer.alpha_HW - 0.4).clamp(0, 1)
    alpha_HW = torch.maximum(layer.alpha_HW, ((differs_HW - SEEN) / (2 * SEEN)).clamp(0, 1) * may_HW)
    solid_HW = alpha_HW.clamp(min=0.4)
    pure_CHW = layer.colour_CHW + (1 - solid_HW) / solid_HW * (layer.colour_CHW - below.colour_CHW)
    low_CHW, high_CHW = shrink(layer.colour_CHW, 2), grow(layer.colour_CHW, 2)
    return replace(layer, colour_CHW=torch.minimum(torch.maximum(pure_CHW, low_CHW), high_CHW), alpha_HW=alpha_HW)
