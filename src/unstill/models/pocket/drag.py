"""What an arrow takes along: the thing it begins on, told from its surroundings, and what lies behind it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.models.pocket.fill import fill_behind
from unstill.models.pocket.grids import grow, lay_places, resize, shrink, solve_smooth
from unstill.models.pocket.layers import RIM, Layer, find_jumps, lay_cut, unmix
from unstill.models.pocket.matte import compare_colours, describe_colours, trace_edge
from unstill.models.pocket.nearness import measure_conductance
from unstill.values import Arrow

REACHES = (0.08, 0.12, 0.16, 0.26, 0.4)  # widths: the sizes of things that are tried, the smallest first
SEED = 0.025  # widths around an arrow's beginning in which the thing is looked for
NOISE = 0.012  # square of the colour difference that counts by half
UNLIKE, ALIKE = 0.55, 0.2  # from here on a cell is unlike its surroundings, 0 to 1; and below like them
NEARNESS = 0.5  # how much nearness counts beside colours
ENDS, FEWEST = 0.03, 12  # share of a thing that may lie at the end of what was looked at, and the fewest cells
NEARBY = 14  # cells around what stands out by nearness in which parts of it may lie
MARGIN = 0.35  # of its sides: as far as a thing may go on, upward twice as far
WINDOW = 1.6  # times that size: as far as a thing may go on
STANDS_OUT = 0.6  # share of its outline along which a near thing has to jump
BINS, ROUNDS, LIKELY = 12, 4, 0.45  # of a colour; in which a thing is completed; from here on a cell belongs to it


def cut_things(picture_CHW: Tensor, nearness_HW: Tensor, arrows: tuple[Arrow, ...]) -> tuple[Tensor, list[Layer]]:
    """Return the picture without the things that arrows begin on, and these as layers."""
    rows, columns = picture_CHW.shape[-2:]
    rest_CHW, things = picture_CHW, []
    cells = (-(-rows // 8), -(-columns // 8))
    for arrow in arrows:
        inside_HW = find_thing(picture_CHW, nearness_HW, arrow)
        alpha_HW = trace_edge(picture_CHW, inside_HW)
        reach_HW = resize(grow(inside_HW, 2)[None], (rows, columns))[0] > 0.5
        alpha_HW = alpha_HW * reach_HW
        covers_HW = grow((alpha_HW > 0.03).float(), 3 * RIM)
        rest_CHW = fill_behind(rest_CHW, 1 - covers_HW, sideways=True)
        near = float((nearness_HW * inside_HW).sum() / inside_HW.sum().clamp(min=1))
        flat_HW = nearness_HW.new_full(cells, near)
        things.append(unmix(Layer(picture_CHW, alpha_HW, flat_HW, flat_HW), Layer(rest_CHW, None, flat_HW, flat_HW)))
    return rest_CHW, things


def find_thing(picture_CHW: Tensor, nearness_HW: Tensor, arrow: Arrow) -> Tensor:
    """Return 1 for what an arrow begins on and 0 elsewhere, on a quarter of the picture's size.

    A thing is what hangs together and looks unlike what lies left and right of it, or is nearer. The smallest size is taken
    at which it has an end; where there is none, a disc.
    """
    rows, columns = nearness_HW.shape
    aspect = picture_CHW.shape[-2] / picture_CHW.shape[-1]
    guide_CHW = torch.cat([resize(picture_CHW, (rows, columns), "area"), NEARNESS * nearness_HW[None]])
    start = torch.tensor([arrow.x - 0.5, (arrow.y - 0.5) * aspect], device=guide_CHW.device)[:, None, None]
    off_CHW = lay_places((rows, columns), aspect, guide_CHW.device) - start
    far_HW = off_CHW.norm(dim=0)
    near_HW = find_near_thing(nearness_HW, far_HW)
    if near_HW is not None:
        reach = float((far_HW * near_HW).max())
        return complete(near_HW, differ_from_sides(guide_CHW, off_CHW, reach), guide_CHW, grow(near_HW, NEARBY))
    for reach in REACHES:
        unlike_HW = differ_from_sides(guide_CHW, off_CHW, reach)
        at_start_HW = unlike_HW * (far_HW < SEED)
        if float(at_start_HW.max()) < UNLIKE:
            continue
        seed_HW = (at_start_HW > 0.8 * float(at_start_HW.max())).float()
        # Parts may hang together by less than a cell.
        thing_HW = flood(seed_HW, (unlike_HW > UNLIKE).float() * (far_HW < reach), 2)
        if float(thing_HW.sum()) < FEWEST or goes_on(thing_HW, far_HW, reach):
            continue
        window_HW = surround(thing_HW) * (far_HW < WINDOW * reach)
        thing_HW = complete(thing_HW, unlike_HW, guide_CHW, window_HW)
        if not goes_on(thing_HW, far_HW, WINDOW * reach):
            return thing_HW
    disc_HW: Tensor = (far_HW < 2 * SEED).float()
    return disc_HW


def find_near_thing(nearness_HW: Tensor, far_HW: Tensor) -> Tensor | None:
    """Return what an arrow begins on where it stands out by nearness on all sides; none where it does not."""
    jumps = find_jumps(nearness_HW)
    if not bool(jumps.there_HW.any()):
        return None
    nearer_HW = (nearness_HW > lay_cut(jumps)).float()
    thing_HW = flood((far_HW == far_HW.min()).float(), nearer_HW)
    rim_HW = thing_HW - shrink(thing_HW, 1)
    cut_off = float((rim_HW * grow(jumps.there_HW, 1)).sum()) > STANDS_OUT * float(rim_HW.sum())
    return thing_HW if cut_off and not goes_on(thing_HW, far_HW, REACHES[-1]) else None


def surround(thing_HW: Tensor) -> Tensor:
    """Return 1 in a box around a thing, larger by a part of its sides."""
    rows, columns = (thing_HW.any(axis).nonzero()[:, 0] for axis in (1, 0))
    down, right = (1 + int(MARGIN * (len(side) + 2)) for side in (rows, columns))
    box_HW = torch.zeros_like(thing_HW)
    box_HW[
        max(int(rows[0]) - 2 * down, 0) : int(rows[-1]) + 1 + down,
        max(int(columns[0]) - right, 0) : int(columns[-1]) + 1 + right,
    ] = 1
    return box_HW


def goes_on(thing_HW: Tensor, far_HW: Tensor, reach: float) -> bool:
    """Return whether a thing goes on beyond what was looked at."""
    return float((thing_HW * (far_HW > 0.92 * reach)).sum()) > ENDS * float(thing_HW.sum())


def complete(thing_HW: Tensor, unlike_HW: Tensor, guide_CHW: Tensor, window_HW: Tensor) -> Tensor:
    """Let a thing take in what has its colours and not those around it, and what it encloses (after Rother et al. 2004)."""
    across_HW, down_HW = measure_conductance(guide_CHW)
    red, green, blue = (guide_CHW[:3] * BINS).long().clamp(0, BINS - 1)
    bin_HW = (red * BINS + green) * BINS + blue
    seed_HW, may_HW = thing_HW, window_HW * (unlike_HW > ALIKE)
    for _ in range(ROUNDS):
        front_HW = count_colours(bin_HW, thing_HW)
        back_HW = count_colours(bin_HW, window_HW * (1 - grow(thing_HW, 1)) * (unlike_HW < 2 * ALIKE))
        local_HW = compare_colours(
            guide_CHW[:3],
            describe_colours(guide_CHW[:3], thing_HW),
            describe_colours(guide_CHW[:3], window_HW * (1 - grow(thing_HW, 2))),
        )
        likely_HW = (front_HW / (front_HW + back_HW).clamp(min=1e-9) + unlike_HW + local_HW) / 3 * may_HW
        likely_HW = solve_smooth(likely_HW, torch.ones_like(likely_HW), across_HW, down_HW, 30)
        thing_HW = flood(seed_HW, torch.maximum((likely_HW > LIKELY).float(), seed_HW), 3)
    closed_HW = shrink(grow(thing_HW, 2), 2)
    outside_HW = flood(1 - window_HW, 1 - closed_HW)
    return 1 - outside_HW


def count_colours(bin_HW: Tensor, mask_HW: Tensor) -> Tensor:
    """Return for each cell which share of a mask has its colour."""
    share = torch.zeros(BINS**3, device=mask_HW.device).index_add_(0, bin_HW.flatten(), mask_HW.flatten())
    share_BBB = F.avg_pool3d(share.view(1, 1, BINS, BINS, BINS), 3, 1, 1)[0, 0] / mask_HW.sum().clamp(min=1)
    return share_BBB.flatten()[bin_HW]


def differ_from_sides(guide_CHW: Tensor, off_CHW: Tensor, reach: float) -> Tensor:
    """Return how unlike all that lies left and right of a thing of some size, in its row, each cell is, 0 to 1."""
    beside = ((off_CHW[0, 0].abs() > reach) & (off_CHW[0, 0].abs() < 1.8 * reach)).nonzero()[:, 0]
    if not len(beside):
        return torch.ones_like(guide_CHW[0])
    rows_HWC = guide_CHW.permute(1, 2, 0)
    least_HW = torch.cdist(rows_HWC, rows_HWC[:, beside]).amin(-1).square()
    return least_HW / (least_HW + NOISE)


def flood(seed_HW: Tensor, open_HW: Tensor, reach: int = 1) -> Tensor:
    """Return what of the open hangs together with the seed."""
    flooded_HW, size = seed_HW * open_HW, -1.0
    while float(flooded_HW.sum()) > size:
        size = float(flooded_HW.sum())
        for _ in range(4):
            flooded_HW = torch.maximum(flooded_HW, grow(flooded_HW, reach) * open_HW)
    return flooded_HW
