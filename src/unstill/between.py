"""Frames between two frames, by optical flow: no weights, any size.

Each frame is read along the motion as it stands at the moment in between, and the two readings are blended. It does not
know clips, rates or loops. Legend: P the two directions (from the first frame, from the second), C channels, H rows,
W columns; h and w are those of the flow's grid, about 256x144.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.measure.flow import Shrunk, blur, shrink, track

GREY = 1 / 255
SURE = 6 * GREY  # a point whose colour has changed by this much on its way is e times less likely to be seen again
FLOOR = 0.02  # what a point that is not found again still counts: enough where nothing else lands
REACHED = 0.5  # of a cell's area that points must have hit for it to be covered
HALF = 0.5  # of the difference that is left after moving: up to here motion explains what changed
SLACK = 0.25 * GREY  # below this nothing has changed, and a blend has less noise than a reading


@dataclass(frozen=True, eq=False)
class Ways:
    """Where the points of either frame go in the other one."""

    cells_PChw: Tensor  # right and down, in cells of the grid
    sure_Phw: Tensor  # 0–1


def interpolate(first_CHW: Tensor, second_CHW: Tensor, moments: Sequence[float]) -> Iterator[Tensor]:
    """Make the frames at moments between 0, the first frame, and 1, the second; colours are float32 in 0–1."""
    ways = find_ways(first_CHW, second_CHW)
    for moment in moments:
        yield _blend(first_CHW, second_CHW, ways, moment)


def find_ways(first_CHW: Tensor, second_CHW: Tensor) -> Ways:
    """Follow the points of both frames, and say how likely each is found again."""
    small = shrink(torch.stack([first_CHW, second_CHW]))
    there_and_back = torch.tensor([0, 1, 0], device=first_CHW.device)
    flow = track(Shrunk(small.colour_FCHW[there_and_back], small.light_FHW[there_and_back], small.pixel_px))
    cell_px = torch.tensor(small.pixel_px, device=first_CHW.device)[:, None, None] * 2  # a cell is two pixels of the small clip
    cells = flow.flow_PCHW / cell_px
    colours = F.avg_pool2d(small.colour_FCHW, 2)
    error = (read_along(colours.flip(0), cells) - colours).abs().mean(1)
    sure = (-blur(error, 1) / SURE).exp()
    return Ways(cells, FLOOR + (1 - FLOOR) * sure)


def read_along(x_NCHW: Tensor, way_NCHW: Tensor, mode: str = "bilinear") -> Tensor:
    """Read each place from where its way, in pixels, leads; beyond the edge lies what is at the edge."""
    rows, columns = x_NCHW.shape[-2:]
    x = torch.arange(columns, device=x_NCHW.device) + way_NCHW[:, 0]
    y = torch.arange(rows, device=x_NCHW.device)[:, None] + way_NCHW[:, 1]
    grid = torch.stack([(x + 0.5) * (2 / columns) - 1, (y + 0.5) * (2 / rows) - 1], -1)
    return F.grid_sample(x_NCHW, grid, mode=mode, padding_mode="border", align_corners=False)


def _blend(first_CHW: Tensor, second_CHW: Tensor, ways: Ways, moment: float) -> Tensor:
    """Make one frame of both, each moved to the moment where it is seen, and unmoved where moving explains nothing."""
    shares = torch.tensor([1 - moment, moment], device=first_CHW.device)
    both_PCHW = torch.stack([first_CHW, second_CHW])
    back_PChw, seen_Phw = look_back(ways, moment)
    size = first_CHW.shape[-2:]
    scale = torch.tensor([size[1] / back_PChw.shape[-1], size[0] / back_PChw.shape[-2]], device=first_CHW.device)
    way_PCHW = _enlarge(back_PChw, size) * scale[:, None, None]
    moved_PCHW = read_along(both_PCHW, way_PCHW, "bicubic").clamp(0, 1)
    weight_PHW = _enlarge(seen_Phw[:, None], size)[:, 0] * shares[:, None, None]
    weight_PHW = weight_PHW / weight_PHW.sum(0)
    moved_CHW = (moved_PCHW * weight_PHW[:, None]).sum(0)
    plain_CHW = (both_PCHW * shares[:, None, None, None]).sum(0)
    trust_HW = _enlarge(_trust(both_PCHW, moved_PCHW, seen_Phw)[None, None], size)[0, 0]
    return plain_CHW + trust_HW * (moved_CHW - plain_CHW)


def look_back(ways: Ways, moment: float) -> tuple[Tensor, Tensor]:
    """Say from where in either frame each cell at the moment comes, and how far it is seen in that frame."""
    gone = torch.tensor([moment, 1 - moment], device=ways.cells_PChw.device)
    landed = [_throw(way * part, sure) for way, part, sure in zip(ways.cells_PChw, gone, ways.sure_Phw, strict=True)]
    sums_PChw = torch.stack(landed)  # ways by weights, and weights
    weight_Phw = sums_PChw[:, 2]
    own = sums_PChw[:, :2] / weight_Phw.clamp(min=1e-6)[:, None]
    # Where no point of one frame lands, that frame is read along the other's motion, the opposite way.
    ratio = (gone / gone.flip(0))[:, None, None, None]
    other = -own.flip(0) * ratio
    is_own = (weight_Phw > FLOOR / 4)[:, None]
    way = torch.where(is_own, own, other)
    return -way, (weight_Phw / REACHED).clamp(FLOOR / 10, 1)


def _throw(way_Chw: Tensor, sure_hw: Tensor) -> Tensor:
    """Throw each cell along its way, and sum up where it lands: ways by weights, weights, [3, h, w]."""
    rows, columns = sure_hw.shape
    y, x = torch.meshgrid(
        torch.arange(rows, device=sure_hw.device), torch.arange(columns, device=sure_hw.device), indexing="ij"
    )
    brings = torch.cat([way_Chw * sure_hw, sure_hw[None]]).flatten(1)
    to_x, to_y = (x + way_Chw[0]).flatten(), (y + way_Chw[1]).flatten()
    # One cell of waste on each side takes what falls off the frame.
    sums = torch.zeros(3, (rows + 2) * (columns + 2), device=sure_hw.device)
    for down in (0, 1):
        for right in (0, 1):
            column, row = to_x.floor() + right, to_y.floor() + down
            share = (1 - (to_x - column).abs()) * (1 - (to_y - row).abs())
            place = (row.clamp(-1, rows) + 1) * (columns + 2) + column.clamp(-1, columns) + 1
            sums.index_add_(1, place.long(), brings * share)
    return sums.view(3, rows + 2, columns + 2)[:, 1:-1, 1:-1]


def _trust(both_PCHW: Tensor, moved_PCHW: Tensor, seen_Phw: Tensor) -> Tensor:
    """Say where moving the frames is better than not: they agree more once moved, or one of them alone can be seen."""
    size = (seen_Phw.shape[-2], seen_Phw.shape[-1])
    still, moved = (F.adaptive_avg_pool2d((x[0] - x[1]).abs().mean(0)[None, None], size)[0, 0] for x in (both_PCHW, moved_PCHW))
    still, moved = blur(still[None], 1, 2)[0], blur(moved[None], 1, 2)[0]
    agree = ((still - moved) / (HALF * still + SLACK)).clamp(0, 1)
    alone = (seen_Phw[0] - seen_Phw[1]).abs()
    return torch.maximum(agree, alone)


def _enlarge(x_NCHW: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x_NCHW, size=tuple(size), mode="bilinear", align_corners=False)
