"""Cameras drawn at random and where points are seen after they moved: what tests hold the names of cameras against.

Training does not use them: the network is not told of cameras.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recipe.dice import Dice

WORDS = ("auto", "still", "push", "pull", "left", "right", "up", "down", "orbit", "roll")
FARTHEST = 0.35  # of the width that a point at middle depth may travel in a clip
AUTO, STILL = 0.12, 0.2  # shares of clips that have all words at once, and of the others, whose camera stays
FOCAL = 0.9  # in picture widths: a view of 58 degrees
TURNS_A_CLIP = 3.5  # keyframes are a twelfth of the clip apart and must be able to follow a sway


@dataclass(frozen=True, eq=False)
class Times:
    """The moments at which a clip is asked for, and how fast its scene is."""

    frame_BT: Tensor
    last_B: Tensor  # the number of the last frame
    fps_B: Tensor
    pace: Tensor  # [B, 1, 1], widths a frame: what everything in the scene moves at, roughly

    @property
    def part_BT(self) -> Tensor:
        return self.frame_BT / self.last_B[:, None]

    @property
    def reach(self) -> Tensor:
        """What a thing of the scene's pace travels in the whole clip, [B, 1, 1]."""
        return self.pace * self.last_B[:, None, None]

    def angle(self, hertz: Tensor) -> Tensor:
        """Give the phase of an oscillation, [B, T, 1, 1]."""
        duration_s = (self.last_B / self.fps_B)[:, None, None]
        turns = torch.minimum(hertz * duration_s, torch.full_like(duration_s, TURNS_A_CLIP))
        return 2 * torch.pi * spread(self.part_BT) * turns[:, None]


@dataclass(frozen=True, eq=False)
class Depth:
    """What the camera's ways are measured by, nearness both, [B, 1, 1]."""

    middle: Tensor  # of all that is seen: its points travel the reach
    pivot: Tensor  # half way between near and far: an orbit moves the one to the left and the other to the right

    @classmethod
    def of(cls, near_BHW: Tensor) -> Depth:
        """Read both off the cells."""
        far, middle, near = (near_BHW.flatten(1).quantile(part, dim=1)[:, None, None] for part in (0.1, 0.5, 0.9))
        return cls(middle, (far + near) / 2)


def spread(values_BT: Tensor) -> Tensor:
    return values_BT[:, :, None, None]


@dataclass(frozen=True, eq=False)
class Camera:
    """How the camera goes from the first frame to the last; all [B, 1, 1] or [B]."""

    word_B: Tensor
    focal: Tensor  # in picture widths
    shift: Tensor  # [B, 3, 1, 1]: to the right, down, forward, where the nearest ground is at distance 1
    pan: Tensor
    tilt: Tensor
    roll: Tensor
    ease: Tensor
    shake: Tensor  # [B, 4, 1, 1]: size across, size down, phase across, phase down

    def see(self, x: Tensor, y: Tensor, nearness: Tensor, times: Times) -> Tensor:
        """Say where the points at (x, y) [B, T, H, W] of inverse distance `nearness` are seen later, [B, T, 2, H, W]."""
        part = spread(times.part_BT)
        done = (1 - self.ease[:, None]) * part + self.ease[:, None] * part**2 * (3 - 2 * part)
        gone_x, gone_y, gone_z = (self.shift[:, axis, None] * done for axis in range(3))
        focal = self.focal[:, None]
        rx, ry, rz = x / focal - gone_x * nearness, y / focal - gone_y * nearness, 1 - gone_z * nearness
        hand = times.angle(torch.full_like(self.focal, 0.5))
        tremble_x, tremble_y = (
            self.shake[:, axis, None] * ((hand + self.shake[:, 2 + axis, None]).sin() - self.shake[:, 2 + axis, None].sin())
            for axis in range(2)
        )
        rx, rz = _rotate(rx, rz, self.pan[:, None] * done + tremble_x)
        ry, rz = _rotate(ry, rz, self.tilt[:, None] * done + tremble_y)
        rz = rz.clamp(min=0.2)
        rx, ry = _rotate(focal * rx / rz, focal * ry / rz, self.roll[:, None] * done)
        return torch.stack(torch.broadcast_tensors(rx, ry), dim=2)


def _rotate(a: Tensor, b: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    return a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()


def draw_camera(dice: Dice, times: Times, depth: Depth) -> Camera:
    """Draw a camera word for each scene and the movement it stands for."""
    moved = 2 + dice.index(len(WORDS) - 2)
    word_B = torch.where(dice.uniform()[:, 0, 0] < STILL, torch.full_like(moved, WORDS.index("still")), moved)
    word_B = torch.where(dice.uniform()[:, 0, 0] < AUTO, torch.zeros_like(moved), word_B)
    first = torch.where(word_B == 0, 2 + dice.index(len(WORDS) - 2), word_B)
    main = _amounts(dice, first, times, depth)
    mixed = _amounts(dice, 2 + dice.index(len(WORDS) - 2), times, depth)
    share = ((word_B == 0).float()[:, None, None]) * dice.uniform(0.2, 0.8)
    total = {name: main[name] + share.reshape(-1, *[1] * (main[name].dim() - 1)) * mixed[name] for name in main}
    held = (word_B != WORDS.index("still")).float()[:, None, None]
    shaken = held * dice.chance(0.2) * times.pace * dice.uniform(0.5, 3)
    shake = torch.stack([shaken, shaken * dice.uniform(0, 1), dice.angle(), dice.angle()], dim=1)
    return Camera(word_B=word_B, focal=torch.full_like(share, FOCAL), ease=dice.uniform(0, 1), shake=shake, **total)


def _amounts(dice: Dice, word_B: Tensor, times: Times, depth: Depth) -> dict[str, Tensor]:
    """Say how far each word takes the camera in a clip whose points at middle depth travel its reach."""

    def told(*words: str) -> Tensor:
        return sum((word_B == WORDS.index(word)).float() for word in words)[:, None, None]

    reach = (times.reach * dice.log_uniform(0.6, 1.6)).clamp(max=FARTHEST)
    side = told("right") - told("left") + told("orbit") * dice.sign()
    rise = told("down") - told("up")
    walked = torch.where(told("orbit") > 0, torch.ones_like(reach), dice.uniform() * dice.chance(0.8))  # the rest is panned
    near = torch.where(told("orbit") > 0, depth.pivot, depth.middle).clamp(min=0.15)
    along = (told("push") * 1.0 - told("pull") * 1.0) * reach / (0.3 * near)
    forward = torch.where(along > 0, along.clamp(max=0.6), along.clamp(min=-2.0))
    shift_x, shift_y = side * walked * reach / (FOCAL * near), rise * walked * reach / (FOCAL * near)
    # An orbit turns back to its pivot; a plain word turns on with the movement.
    turned = torch.where(told("orbit") > 0, -dice.uniform(0.8, 1.2), 1 - walked)
    return {
        "shift": torch.stack([shift_x, shift_y, forward], dim=1),
        "pan": side * turned * reach / FOCAL,
        "tilt": rise * (1 - walked) * reach / FOCAL,
        "roll": told("roll") * dice.sign() * (reach / 0.25).clamp(max=0.6),
    }
