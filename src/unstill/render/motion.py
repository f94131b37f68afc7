"""Where every point of the first picture is at a given frame, as the coarse field tells it.

It does not know the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Motion:
    """A coarse field. K counts the key moments, frame (frames - 1)(k + 1) / K; H and W are its cells."""

    velocity_KCHW: Tensor  # displacement since the first frame by frame number, x then y, in picture widths
    order_HW: Tensor  # nearness: the larger hides the smaller


def displace(velocity_KCHW: Tensor, frame: float, frames: int) -> Tensor:
    """Give the displacement at a frame, [2, H, W] in picture widths: the velocity between two keys, times the frame."""
    keys = velocity_KCHW.shape[0]
    place = frame * keys / max(frames - 1, 1) - 1
    low = min(max(int(place), 0), keys - 1)
    high = min(low + 1, keys - 1)
    velocity_CHW = torch.lerp(velocity_KCHW[low], velocity_KCHW[high], min(max(place - low, 0.0), 1.0))
    return velocity_CHW * frame
