"""From where in the picture each pixel of a frame comes: points are thrown where they go, the nearest win.

What no point reaches is told by `covered_HW`. It does not know colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.render.around import highest, lowest

STEEP = 250.0  # how much more the nearest counts than the farthest, as a power of e: in float64
REACHED = 0.35  # of a pixel's area that points must have hit for it to be covered

CRACK = 2  # pixels: half the widest crack that is mended; a surface enlarged five times has such
STEP = 0.03  # of the whole depth: what is farther by less is the same surface


@dataclass(frozen=True, eq=False)
class Landing:
    """The place in the picture, in pixels, that each pixel of a frame shows."""

    place_CHW: Tensor  # x, y
    covered_HW: Tensor  # how much of a pixel is reached by points, 0–1


class Points:
    """A point for each pixel of the picture, and what it brings to where it is thrown; the nearest bring most by far."""

    def __init__(self, order_HW: Tensor) -> None:
        rows, columns = order_HW.shape
        self.y, self.x = torch.meshgrid(
            torch.arange(rows, device=order_HW.device, dtype=torch.float32),
            torch.arange(columns, device=order_HW.device, dtype=torch.float32),
            indexing="ij",
        )
        nearness = (STEEP * (order_HW.flatten().double() - 1)).exp()
        self.brings_CP = torch.stack([*(nearness * part.flatten() for part in (self.x, self.y, order_HW)), nearness])


def throw(points: Points, moved_CHW: Tensor, view: tuple[float, float, float], size: tuple[int, int]) -> Landing:
    """Find the source of each pixel of a frame of that size that shows the view (left, top, scale) of the picture's plane."""
    to_x = ((points.x + 0.5 + moved_CHW[0] - view[0]) * view[2] - 0.5).flatten()
    to_y = ((points.y + 0.5 + moved_CHW[1] - view[1]) * view[2] - 0.5).flatten()
    # One row and column of waste on each side takes what falls off the frame.
    rows, columns = size[0] + 2, size[1] + 2
    sums = torch.zeros(4, rows * columns, dtype=torch.float64, device=to_x.device)
    hits = torch.zeros(rows * columns, device=to_x.device)
    across, down = _split(to_x, columns), _split(to_y, rows)
    room_CP = torch.empty_like(points.brings_CP)  # one for four: fresh memory is slow to come
    for row, part in down:
        start = row * columns
        for column, share in across:
            place, share = start + column, share * part
            sums.index_add_(1, place, torch.mul(points.brings_CP, share, out=room_CP))
            hits.index_add_(0, place, share)
    inner, hits = (part.view(-1, rows, columns)[:, 1:-1, 1:-1] for part in (sums, hits))
    # Points lie 1/scale pixels apart, so a pixel that is fully reached has scale² as few of them.
    return _close(inner, (hits[0] * view[2] ** 2 / REACHED).clamp(max=1))


def _split(to: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """Give the two pixels that a point falls between along one axis, and the share of each."""
    low = to.floor()
    share = to - low
    first = (low + 1).clamp(0, count - 1).long()
    second = (low + 2).clamp(0, count - 1).long()
    return [(first, 1 - share), (second, share)]


def _close(sums_CHW: Tensor, covered_HW: Tensor) -> Landing:
    """Mend cracks: where a surface is stretched, points lie so far apart that what is behind shows between them."""
    average = (sums_CHW[:3] / sums_CHW[3].clamp(min=1e-200)).float()
    order = torch.where(covered_HW > 0, average[2], -1.0)
    closed = lowest(highest(order, CRACK), CRACK)
    row, column = torch.nonzero(closed - order > STEP, as_tuple=True)
    padded = F.pad(sums_CHW[None], (CRACK,) * 4)[0]
    around = torch.zeros(4, len(row), dtype=torch.float64, device=row.device)
    for down in range(2 * CRACK + 1):
        for right in range(2 * CRACK + 1):
            around += padded[:, row + down, column + right] / (1 + (down - CRACK) ** 2 + (right - CRACK) ** 2)
    place, covered = average[:2].clone(), covered_HW.clone()
    place[:, row, column] = (around[:2] / around[3].clamp(min=1e-200)).float()
    covered[row, column] = 1.0
    return Landing(place, covered)
