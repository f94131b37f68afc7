"""Scenes kept on the device while a network learns from them: a ring into which new ones are painted all the time.

Painting costs launches, not arithmetic, so it goes on while the network's own work is queued. It does not know of noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recipe import worlds
from recipe.dice import Dice
from recipe.textures import Bank
from recipe.worlds import CLIPS, KEYS
from unstill.model.field import CELL_PX, LAST, PATCH, WORDS

FURTHEST = 6.0  # speeds beyond this multiple of the clip's own are cut: a few cells would rule the loss
SWAPPED = {"left": "right", "right": "left"}  # what a mirror does to words


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips to learn from."""

    picture_BCHW: Tensor  # in −1 to 1
    field_BKCHW: Tensor  # velocity to the right, down, nearness
    word_B: Tensor
    told_BI: Tensor  # frames a second and motion, as if the clip had 25 frames

    def shuffled(self) -> Batch:
        """Give every clip the picture of its neighbour."""
        return replace(self, picture_BCHW=self.picture_BCHW.roll(1, dims=0))


class Pool:
    """A ring of scenes of one shape."""

    def __init__(self, patches: tuple[int, int], size: int, paint: int, seed: int, device: torch.device) -> None:
        self.patches, self.size, self.paint, self.seed, self.device = patches, size, paint, seed, device
        cells = (patches[0] * PATCH, patches[1] * PATCH)
        self.cells, self.pixels = cells, (cells[0] * CELL_PX, cells[1] * CELL_PX)
        self.picture = torch.empty(size, 3, *self.pixels, dtype=torch.uint8, device=device)
        self.order = torch.empty(size, *cells, dtype=torch.float16, device=device)
        self.velocity = torch.empty(size, CLIPS, KEYS, 2, *cells, dtype=torch.float16, device=device)
        self.word = torch.empty(size, CLIPS, dtype=torch.long, device=device)
        self.told = torch.empty(size, CLIPS, 2, device=device)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.painted = 0

    def add(self, bank: Bank) -> None:
        """Paint some scenes of one cast over the oldest."""
        dice = Dice.seeded(self.paint, self.seed + 7919 * self.painted // self.paint, self.device)
        scenes = worlds.make_scenes(self.paint, bank, dice, self.pixels, self.cells)
        start = self.painted % self.size
        here = slice(start, start + self.paint)
        self.picture[here], self.order[here] = scenes.picture_BCHW, scenes.order_BHW.half()
        self.velocity[here] = scenes.velocity_BMTCHW.clamp(-FURTHEST, FURTHEST).half()
        self.word[here], self.told[here] = scenes.word_BM, tell(scenes.fps_BM, scenes.speed_px_BM, scenes.last_BM)
        self.painted += self.paint

    def draw(self, count: int, *, mirror: bool = True) -> Batch:
        """Draw clips, each of a scene of its own, half of them mirrored."""
        among = min(self.painted, self.size)
        scene = torch.randint(among, (count,), generator=self.generator, device=self.device)
        clip = torch.randint(CLIPS, (count,), generator=self.generator, device=self.device)
        picture = self.picture[scene].float() / 127.5 - 1
        velocity = self.velocity[scene, clip].float()
        order = self.order[scene].float()[:, None, None].expand(-1, KEYS, -1, -1, -1)
        field, word = torch.cat([velocity, order], dim=2), self.word[scene, clip]
        if mirror:
            swap = torch.rand(count, generator=self.generator, device=self.device) < 0.5
            picture = torch.where(swap[:, None, None, None], picture.flip(-1), picture)
            turned = field.flip(-1) * field.new_tensor([-1.0, 1.0, 1.0])[:, None, None]
            field = torch.where(swap[:, None, None, None, None], turned, field)
            word = torch.where(swap, mirrored_words(self.device)[word], word)
        return Batch(picture, field, word, self.told[scene, clip])


def tell(fps: Tensor, speed_px: Tensor, last: Tensor) -> Tensor:
    """Write rate and motion as those of a clip of 25 frames that lasts as long and goes as far."""
    return torch.stack([fps * LAST / last, worlds.motion_of(speed_px * last / LAST)], dim=-1)


def mirrored_words(device: torch.device) -> Tensor:
    return torch.tensor([WORDS.index(SWAPPED.get(word, word)) for word in WORDS], device=device)
