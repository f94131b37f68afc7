"""Averages, largest and least values in squares around each pixel, and reading a picture where ways lead.

It does not know what they are for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def average(x: Tensor, side: int) -> Tensor:
    """Average over a square around each pixel, [B, C, H, W] or [B, H, W]."""
    x_BCHW = x if x.dim() == 4 else x[:, None]
    padded = F.pad(x_BCHW, (side // 2,) * 4, mode="replicate")
    mean = F.avg_pool2d(F.avg_pool2d(padded, (1, side), 1), (side, 1), 1)
    return mean if x.dim() == 4 else mean[:, 0]


def largest(x: Tensor, side: int) -> Tensor:
    """Return the largest value in a square around each pixel, [B, C, H, W] or [B, H, W]."""
    x_BCHW = x if x.dim() == 4 else x[:, None]
    most = F.max_pool2d(F.max_pool2d(x_BCHW, (1, side), 1, (0, side // 2)), (side, 1), 1, (side // 2, 0))
    return most if x.dim() == 4 else most[:, 0]


def least(x: Tensor, side: int) -> Tensor:
    """Return the least value in a square around each pixel."""
    return -largest(-x, side)


def slopes(x_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences to the right and down; 0 at the border."""
    across, down = torch.zeros_like(x_BHW), torch.zeros_like(x_BHW)
    across[..., 1:-1] = (x_BHW[..., 2:] - x_BHW[..., :-2]) / 2
    down[..., 1:-1, :] = (x_BHW[..., 2:, :] - x_BHW[..., :-2, :]) / 2
    return across, down


def read(x: Tensor, way_B2HW: Tensor) -> Tensor:
    """Read x, [C, H, W] or [1, H, W], where each frame's ways lead, [B, C, H, W]."""
    frames, _, rows, columns = way_B2HW.shape
    x_B = (torch.arange(columns, device=way_B2HW.device) + way_B2HW[:, 0] + 0.5) * (2 / columns) - 1
    y_B = (torch.arange(rows, device=way_B2HW.device)[:, None] + way_B2HW[:, 1] + 0.5) * (2 / rows) - 1
    grid = torch.stack([x_B, y_B], -1)
    return F.grid_sample(x[None].expand(frames, -1, -1, -1), grid, padding_mode="border", align_corners=False)


def usual(x_BHW: Tensor, counts_BHW: Tensor) -> Tensor:
    """Return each frame's median of what counts, [B, 1, 1]; 1 where nothing does."""
    pairs = zip(x_BHW, counts_BHW, strict=True)
    medians = [x[counts].median() if bool(counts.any()) else x.new_tensor(1.0) for x, counts in pairs]
    return torch.stack(medians)[:, None, None]
