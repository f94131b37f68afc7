"""A bank of textures with the statistics of natural pictures, made once, then cut, turned and coloured for every thing.

Each is periodic, with two channels of about zero mean and unit spread: light and hue. It does not know what is
painted with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe.dice import Dice

FRACTAL, STREAKS, LEAVES, FOLIAGE, CELLS, GRID = "fractal", "streaks", "leaves", "foliage", "cells", "grid"
SHARES = {FRACTAL: 0.25, STREAKS: 0.15, LEAVES: 0.25, FOLIAGE: 0.15, CELLS: 0.1, GRID: 0.1}


class Bank:
    """Textures by kind, sampled anywhere on their endless plane."""

    def __init__(self, size: int, side: int, seed: int, device: torch.device | str = "cpu") -> None:
        self.side = side
        parts, self.first, self.many = [], {}, {}
        for number, (kind, share) in enumerate(SHARES.items()):
            count = max(2, round(size * share))
            self.first[kind], self.many[kind] = sum(map(len, parts)), count
            made = MAKERS[kind](Dice.seeded(count, seed * 100 + number, device), side)
            parts.append(_level(made))
        wrapped = F.pad(torch.cat(parts), (1, 1, 1, 1), mode="circular")
        self.values_BCHW = wrapped.half() if wrapped.is_cuda else wrapped

    def sample(self, dice: Dice, kind: str, u_BHW: Tensor, v_BHW: Tensor) -> Tensor:
        """Look up one random texture of the kind for each scene, at u, v in texture sides, [B, 2, H, W]."""
        chosen = self.values_BCHW[self.first[kind] + dice.index(self.many[kind])]
        # One pixel of the other side waits beyond each edge, so that bilinear sampling has no seam.
        scale = self.side / (self.side + 2)
        u, v = torch.broadcast_tensors(u_BHW, v_BHW)
        grid = torch.stack([(2 * (u % 1) - 1) * scale, (2 * (v % 1) - 1) * scale], dim=-1)
        grid = grid.to(chosen.dtype).expand(dice.count, -1, -1, -1)
        return F.grid_sample(chosen, grid, align_corners=False, padding_mode="border").float()


def _level(made_BCHW: Tensor) -> Tensor:
    """Bring every channel to zero mean and unit spread, and cut the tails."""
    mean, spread = made_BCHW.mean((2, 3), keepdim=True), made_BCHW.std((2, 3), keepdim=True)
    return ((made_BCHW - mean) / (spread + 1e-4)).clamp(-3, 3)


def _spectrum(dice: Dice, side: int, stretch: Tensor, fall: Tensor) -> Tensor:
    """Make noise whose amplitude falls with frequency, two channels, of which the second is smoother."""
    fy = torch.fft.fftfreq(side, device=dice.device)[None, :, None] * side
    fx = torch.fft.rfftfreq(side, device=dice.device)[None, None, :] * side
    frequency = ((fx * stretch) ** 2 + fy**2).sqrt().clamp(min=1.0)
    noise = torch.randn(dice.count, 2, side, side, generator=dice.generator, device=dice.device)
    amplitude = torch.stack([frequency**-fall, frequency ** -(fall + 0.4)], dim=1)
    return torch.fft.irfft2(torch.fft.rfft2(noise) * amplitude, s=(side, side))


def _fractal(dice: Dice, side: int) -> Tensor:
    return _spectrum(dice, side, torch.ones_like(dice.uniform()), dice.uniform(0.8, 1.9))


def _streaks(dice: Dice, side: int) -> Tensor:
    """Make noise drawn out along x: water, grain of wood, fur, fallen rain."""
    return _spectrum(dice, side, dice.log_uniform(4, 14), dice.uniform(0.8, 1.4))


def _plane(dice: Dice, side: int) -> tuple[Tensor, Tensor]:
    line = (torch.arange(side, device=dice.device) + 0.5) / side
    return line[None, None, :], line[None, :, None]


def _scatter(dice: Dice, side: int, pieces: int, radii: tuple[float, float], aspects: tuple[float, float]) -> Tensor:
    """Lay opaque pieces over one another (dead leaves, Lee, Mumford & Huang 2001)."""
    x, y = _plane(dice, side)
    made = torch.zeros(dice.count, 2, side, side, device=dice.device)
    for _ in range(pieces):
        dx, dy = (x - dice.uniform() + 0.5) % 1 - 0.5, (y - dice.uniform() + 0.5) % 1 - 0.5
        turn, radius, aspect = dice.angle(), dice.log_uniform(*radii), dice.uniform(*aspects)
        along = (dx * turn.cos() + dy * turn.sin()) / radius
        across = (dy * turn.cos() - dx * turn.sin()) / (radius * aspect)
        tone = dice.normal() + 0.5 * dice.normal() * along
        piece = torch.stack([tone, dice.normal().expand_as(tone)], dim=1)
        made = torch.where((along**2 + across**2 < 1)[:, None], piece, made)
    return made


def _leaves(dice: Dice, side: int) -> Tensor:
    return _scatter(dice, side, 260, (0.015, 0.3), (0.3, 1.0))


def _foliage(dice: Dice, side: int) -> Tensor:
    return _scatter(dice, side, 420, (0.02, 0.07), (0.2, 0.5)) + 0.7 * _level(_fractal(dice, side))


def _cells(dice: Dice, side: int) -> Tensor:
    """Make stones: the nearest of random points decides the tone, the seam between two is dark."""
    x, y = _plane(dice, side)
    near = torch.full((dice.count, side, side), 9.0, device=dice.device)
    second, tone, hue = near.clone(), torch.zeros_like(near), torch.zeros_like(near)
    for _ in range(70):
        dx, dy = (x - dice.uniform() + 0.5) % 1 - 0.5, (y - dice.uniform() + 0.5) % 1 - 0.5
        distance = (dx**2 + dy**2).sqrt()
        closer = distance < near
        second = torch.where(closer, near, torch.minimum(second, distance))
        near = torch.where(closer, distance, near)
        tone, hue = torch.where(closer, dice.normal(), tone), torch.where(closer, dice.normal(), hue)
    seam = ((second - near) * 40).clamp(0, 1) - 1
    return torch.stack([0.7 * tone + 2 * seam, hue], dim=1)


def _grid(dice: Dice, side: int) -> Tensor:
    """Make bricks, tiles, planks and stripes."""
    x, y = _plane(dice, side)
    across, down = (1 + dice.index(8).float())[:, None, None], (4 + dice.index(16).float())[:, None, None]
    row = (y * down).floor()
    column = (x * across + 0.5 * (row % 2) * dice.chance(0.6)).floor() % across
    tone = ((row * 12.9898 + column * 78.233 + dice.uniform(0, 9)).sin() * 43758.5453) % 1
    edge_y = ((y * down) % 1 - 0.5).abs()
    edge_x = ((x * across + 0.5 * (row % 2)) % 1 - 0.5).abs() * (across > 1)
    joint = (torch.maximum(edge_x, edge_y) > 0.46).float()
    light = tone * dice.uniform(0.3, 1.5) + 1.2 * dice.sign() * joint
    return torch.stack([light, (tone * 7.3) % 1], dim=1) + 0.3 * _level(_fractal(dice, side))


MAKERS = {FRACTAL: _fractal, STREAKS: _streaks, LEAVES: _leaves, FOLIAGE: _foliage, CELLS: _cells, GRID: _grid}
