"""Random numbers for many scenes at once, from one generator on the device.

It does not know what the numbers mean.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dice:
    """Draw one number for each of `count` scenes; results are [B, 1, 1], to go with [B, H, W]."""

    count: int
    generator: torch.Generator
    coins: random.Random  # decisions that all scenes of a call share

    @classmethod
    def seeded(cls, count: int, seed: int, device: torch.device | str = "cpu") -> Dice:
        return cls(count, torch.Generator(device).manual_seed(seed), random.Random(seed))

    @property
    def device(self) -> torch.device:
        return self.generator.device

    def uniform(self, low: float = 0.0, high: float = 1.0, channels: int | None = None) -> Tensor:
        shape = (self.count, 1, 1) if channels is None else (self.count, channels, 1, 1)
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def log_uniform(self, low: float, high: float) -> Tensor:
        return low * (high / low) ** self.uniform()

    def normal(self, scale: float = 1.0, channels: int | None = None) -> Tensor:
        shape = (self.count, 1, 1) if channels is None else (self.count, channels, 1, 1)
        return scale * torch.randn(shape, generator=self.generator, device=self.device)

    def chance(self, share: float) -> Tensor:
        """Return ones with that probability, else zeros, as floats."""
        return (self.uniform() < share).float()

    def sign(self) -> Tensor:
        return 2 * self.chance(0.5) - 1

    def angle(self) -> Tensor:
        return self.uniform(-torch.pi, torch.pi)

    def index(self, below: int) -> Tensor:
        """Return whole numbers from zero, [B]."""
        return torch.randint(below, (self.count,), generator=self.generator, device=self.device)


def ripple(dice: Dice, along: Tensor, *, slowest: float, waves: int, fall: float) -> Tensor:
    """Return a random smooth curve of `along`, of about unit height: a sum of cosines that fall as k^-fall."""
    number = torch.arange(1, waves + 1, device=along.device, dtype=along.dtype)
    height = number**-fall
    height = height / height.square().sum().sqrt() * 2**0.5
    total = torch.zeros_like(along)
    for k in range(waves):
        turn = 2 * torch.pi * slowest * (k + 1) * along * dice.uniform(0.8, 1.2) + dice.angle()
        total = total + height[k] * dice.uniform(0.5, 1.5) * turn.cos()
    return total
