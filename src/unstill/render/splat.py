"""From where in the picture each pixel of a frame comes: points are thrown where they go, the nearest win.

What no point reaches is told by `covered_HW`. It does not know colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

STEEP = 250.0  # how much more the nearest counts than the farthest, as a power of e: in float64
REACHED = 0.35  # of a pixel's area that points must have hit for it to be covered

CRACK = 2  # pixels: half the widest crack that is mended; a surface enlarged five times has such
STEP = 0.03  # of the whole depth: what is farther by less is the same surface


@dataclass(frozen=True, eq=False)
class Landing:
    """The place in the picture, in pixels, that each pixel of a frame shows."""

    place_CHW: Tensor  # x, y
    covered_HW: Tensor  # how much of a pixel is reached by points, 0–1


def throw(moved_CHW: Tensor, order_HW: Tensor, view: tuple[float, float, float], size: tuple[int, int]) -> Landing:
    """Find the source of each pixel of a frame of that size that shows the view (left, top, scale) of the picture's plane."""
    rows, columns = order_HW.shape
    y, x = torch.meshgrid(
        torch.arange(rows, device=order_HW.device, dtype=torch.float32),
        torch.arange(columns, device=order_HW.device, dtype=torch.float32),
        indexing="ij",
    )
    to_x = ((x + 0.5 + moved_CHW[0] - view[0]) * view[2] - 0.5).flatten()
    to_y = ((y + 0.5 + moved_CHW[1] - view[1]) * view[2] - 0.5).flatten()
    nearness = (STEEP * (order_HW.flatten().double() - 1)).exp()
    low_x, low_y = to_x.floor(), to_y.floor()
    # One row and column of waste on each side takes what falls off the frame.
    sums = torch.zeros(5, (size[0] + 2) * (size[1] + 2), dtype=torch.float64, device=order_HW.device)
    values = torch.stack([nearness * part.flatten() for part in (x, y, order_HW)] + [nearness, torch.ones_like(nearness)])
    for down in (0, 1):
        for right in (0, 1):
            column, row = low_x + right, low_y + down
            share = (1 - (to_x - column).abs()) * (1 - (to_y - row).abs())
            column, row = (column + 1).clamp(0, size[1] + 1).long(), (row + 1).clamp(0, size[0] + 1).long()
            sums.index_add_(1, row * (size[1] + 2) + column, values * share)
    inner = sums.reshape(5, size[0] + 2, size[1] + 2)[:, 1:-1, 1:-1]
    # Points lie 1/scale pixels apart, so a pixel that is fully reached has scale² as few of them.
    covered = (inner[4] * view[2] ** 2 / REACHED).clamp(max=1).float()
    return _close(inner[:4], covered)


def _close(sums_CHW: Tensor, covered_HW: Tensor) -> Landing:
    """Mend cracks: where a surface is stretched, points lie so far apart that what is behind shows between them."""
    average = (sums_CHW[:3] / sums_CHW[3].clamp(min=1e-200)).float()
    order = torch.where(covered_HW > 0, average[2], -1.0)
    closed = F.max_pool2d(order[None, None], 2 * CRACK + 1, 1, CRACK)
    closed = -F.max_pool2d(-closed, 2 * CRACK + 1, 1, CRACK)[0, 0]
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
