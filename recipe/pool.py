"""Scenes kept on the device while a network learns from them: a ring into which new ones are painted all the time.

Painting costs launches, not arithmetic, so it goes on while the network's own work is queued. It does not know of noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recipe import worlds
from recipe.dice import Dice
from recipe.photographs import Photographs
from recipe.textures import Bank
from unstill.models.pocket.field import CELL_PX, CHANNELS, FLOW, PATCH, SWAY

FURTHEST = 4.0  # vectors beyond this multiple of the mean are cut: a few cells would rule the loss


@dataclass(frozen=True, eq=False)
class Batch:
    """Scenes to learn from."""

    picture_BCHW: Tensor  # in −1 to 1
    field_BCHW: Tensor
    weight_BCHW: Tensor | None = None  # of each cell by channel; None where all count alike

    def shuffled(self) -> Batch:
        """Give every field the picture of its neighbour."""
        return replace(self, picture_BCHW=self.picture_BCHW.roll(1, dims=0))

    def joined(self, other: Batch) -> Batch:
        """Append a batch whose cells are weighted to one whose cells are not."""
        assert other.weight_BCHW is not None
        weight = torch.cat([torch.ones_like(self.field_BCHW), other.weight_BCHW])
        picture = torch.cat([self.picture_BCHW, other.picture_BCHW])
        return Batch(picture, torch.cat([self.field_BCHW, other.field_BCHW]), weight)


class Pool:
    """A ring of scenes of one shape."""

    def __init__(self, patches: tuple[int, int], size: int, paint: int, seed: int, device: torch.device) -> None:
        self.patches, self.size, self.paint, self.seed, self.device = patches, size, paint, seed, device
        self.cells = (patches[0] * PATCH, patches[1] * PATCH)
        self.pixels = (self.cells[0] * CELL_PX, self.cells[1] * CELL_PX)
        self.picture = torch.empty(size, 3, *self.pixels, dtype=torch.uint8, device=device)
        self.field = torch.empty(size, CHANNELS, *self.cells, dtype=torch.float16, device=device)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.painted = 0

    def add(self, bank: Bank, photos: Photographs) -> None:
        """Paint some scenes of one cast over the oldest."""
        dice = Dice.seeded(self.paint, self.seed + 7919 * self.painted // self.paint, self.device)
        scenes = worlds.make_scenes(self.paint, bank, photos, dice, self.pixels, self.cells)
        start = self.painted % self.size
        here = slice(start, start + self.paint)
        self.picture[here], self.field[here] = scenes.picture_BCHW, scenes.field_BCHW.clamp(-FURTHEST, FURTHEST).half()
        self.painted += self.paint

    def draw(self, count: int, *, mirror: bool = True) -> Batch:
        """Draw scenes, half of them mirrored."""
        among = min(self.painted, self.size)
        scene = torch.randint(among, (count,), generator=self.generator, device=self.device)
        picture, field = self.picture[scene].float() / 127.5 - 1, self.field[scene].float()
        if mirror:
            swap = (torch.rand(count, generator=self.generator, device=self.device) < 0.5)[:, None, None, None]
            picture = torch.where(swap, picture.flip(-1), picture)
            field = torch.where(swap, mirror_field(field), field)
        return Batch(picture, field)


def mirror_field(field_BCHW: Tensor) -> Tensor:
    """Return the field of the picture seen in a mirror."""
    mirrored = field_BCHW.flip(-1).clone()
    for right in (FLOW.start, SWAY.start):
        mirrored[:, right] *= -1
    return mirrored
