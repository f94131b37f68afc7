"""Outlines as signed distances (negative inside), and how they cover pixels.

All take coordinates [B, H, W] and sizes [B, 1, 1] in picture widths. It does not know what a shape stands for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recipe.dice import Dice


def turn(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate coordinates about zero."""
    return x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()


def ellipse(x: Tensor, y: Tensor, half_width: Tensor, half_height: Tensor) -> Tensor:
    return (((x / half_width) ** 2 + (y / half_height) ** 2).sqrt() - 1) * torch.minimum(half_width, half_height)


def box(x: Tensor, y: Tensor, half_width: Tensor, half_height: Tensor) -> Tensor:
    return torch.maximum(x.abs() - half_width, y.abs() - half_height)


def polygon(dice: Dice, x: Tensor, y: Tensor, radius: Tensor, corners: int) -> Tensor:
    """Cut a convex polygon out with `corners` half planes at uneven angles."""
    inside = torch.full_like(x + y + radius, -9.0)
    for k in range(corners):
        angle = (k + dice.uniform(-0.3, 0.3)) * 2 * torch.pi / corners
        inside = torch.maximum(inside, x * angle.cos() + y * angle.sin() - radius * dice.uniform(0.6, 1.0))
    return inside


def blob(dice: Dice, x: Tensor, y: Tensor, radius: Tensor, *, waves: int = 5, rough: float = 0.5) -> Tensor:
    """Make a closed outline whose radius swells and shrinks with the angle."""
    angle = torch.atan2(y, x + 1e-6)
    swell = torch.ones_like(angle)
    for k in range(1, waves + 1):
        swell = swell + rough / (k + 1) * dice.uniform(0, 1) * (k * angle + dice.angle()).cos()
    return (x**2 + y**2).sqrt() - radius * swell.clamp(min=0.15)


def cover(distance: Tensor, columns: float, soft_px: float | Tensor = 1.2) -> Tensor:
    """Turn a signed distance into how much of each pixel is covered; `columns` is the width in pixels."""
    return (0.5 - distance * columns / soft_px).clamp(0, 1)
