"""Surfaces that are stretched one way: where a late frame shows little of the first one on much room.

The flow says how far a place is stretched, and along which way; that the picture changes less along that way than it did,
and not less across it, says that the flow is right.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unstill.measure.flow import GREY, blur, to_light
from unstill.measure.windows import average, read, slopes, usual

SMOOTH = 13  # px: side of the square over which ways are averaged
DETAIL = 9  # px: side of the square over which slopes are
STRETCHED = 0.5  # averaged so far, what is stretched threefold and more at its middle is stretched twofold at least
FADED, KEPT = 0.5, 0.5  # of the slope along the way is left at most, and of the slope across it at least
FINE = GREY  # a pixel: flatter places show no stretching


def find_smeared(first_CHW: Tensor, late_BCHW: Tensor, way_B2HW: Tensor, known_BHW: Tensor) -> Tensor:
    """Mark surfaces that are stretched one way, against the whole frame, [B, H, W]."""
    size_BHW, along_BHW = measure_stretch(average(way_B2HW, SMOOTH))
    late = measure_slopes(to_light(late_BCHW))
    first = read(measure_slopes(to_light(first_CHW[None]))[0], way_B2HW)
    (now, was), (beside, before) = ([_take(slopes_B3HW, angle) for slopes_B3HW in (late, first)]
                                    for angle in (along_BHW, along_BHW + math.pi / 2))  # fmt: skip
    is_stretched = size_BHW < STRETCHED * usual(size_BHW, known_BHW)
    is_faded = (now < FADED * was) & (was > FINE)
    return known_BHW & is_stretched & is_faded & ((beside > KEPT * before) | (before < FINE))


def measure_stretch(way_B2HW: Tensor) -> tuple[Tensor, Tensor]:
    """Measure how little of the first frame a pixel shows along the way that shows least, and that way's angle, [B, H, W]."""
    across, down = torch.zeros_like(way_B2HW), torch.zeros_like(way_B2HW)
    across[..., 2:-2] = (way_B2HW[..., 4:] - way_B2HW[..., :-4]) / 4
    down[..., 2:-2, :] = (way_B2HW[..., 4:, :] - way_B2HW[..., :-4, :]) / 4
    a, b, c, d = 1 + across[:, 0], down[:, 0], across[:, 1], 1 + down[:, 1]
    half, area = (a * a + b * b + c * c + d * d) / 2, a * d - b * c
    size = (half - (half.square() - area.square()).clamp(min=0).sqrt()).clamp(min=0).sqrt()
    angle = torch.atan2(2 * (a * b + c * d), a * a + c * c - b * b - d * d) / 2 + math.pi / 2
    return size, angle


def measure_slopes(light_BHW: Tensor) -> Tensor:
    """Average squares and product of both slopes around each pixel, [B, 3, H, W]."""
    x, y = slopes(blur(light_BHW[:, None], 1)[:, 0])
    return average(torch.stack([x * x, x * y, y * y], 1), DETAIL)


def _take(slopes_B3HW: Tensor, angle_BHW: Tensor) -> Tensor:
    """Return the slope along an angle, root mean square."""
    xx, xy, yy = slopes_B3HW.unbind(1)
    cos, sin = angle_BHW.cos(), angle_BHW.sin()
    return (xx * cos * cos + 2 * xy * cos * sin + yy * sin * sin).clamp(min=0).sqrt()
