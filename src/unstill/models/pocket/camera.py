"""The camera: where it is at each moment, and where it sees a point of the picture.

Closed form: a camera word is a way through space and an amount says how far; neither depends on the seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from unstill.cameras import read_path

FOCAL = 1.4  # widths of the picture: a portrait lens, so that turning bends a scene little
EASE = 0.5  # share of the way that is eased at both ends; the rest is even


@dataclass(frozen=True)
class Pose:
    """Where a camera stands and looks, per unit of its amount."""

    x: float = 0.0  # to the left: what is in front moves right
    y: float = 0.0  # upward: what is in front moves down
    z: float = 0.0  # forward
    zoom: float = 0.0  # logarithm of the enlargement
    roll: float = 0.0  # radians: the picture turns clockwise
    yaw: float = 0.0  # radians to the left: the picture moves right
    pitch: float = 0.0  # radians upward: the picture moves down

    def __mul__(self, share: float) -> Pose:
        return Pose(*(getattr(self, one.name) * share for one in fields(self)))

    def __add__(self, other: Pose) -> Pose:
        return Pose(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


# Amounts are chosen so that an amount of 1 moves the picture by about a third of its width.
WAYS = {
    "still": Pose(),
    "push": Pose(z=1.0),
    "pull": Pose(z=-1.0),
    "left": Pose(x=0.33),
    "right": Pose(x=-0.33),
    "up": Pose(y=0.33),
    "down": Pose(y=-0.33),
    "orbit": Pose(x=1.0),
    "roll": Pose(roll=1.0),
    "zoom": Pose(zoom=1.0),
    "dolly-zoom": Pose(z=1.0),
    "arc": Pose(x=0.4, z=0.25),
    "handheld": Pose(),
}
TURNING = {"orbit": 1.0, "arc": 0.4}  # share of the way sideways that the camera turns back, to look at its subject
FLAT = ("still", "roll", "zoom")
SHOWS_DEPTH = ("orbit", "dolly-zoom")  # words that are nothing without differences in depth
SHAKES = (  # cycles a clip, phase, and share of x, y and roll
    (1.7, 0.3, 1.0, 0.2, 0.3), (2.3, 1.9, 0.3, 0.9, 0.2), (4.1, 4.2, 0.35, 0.3, 0.25), (5.3, 0.9, 0.15, 0.3, 0.1),
)  # fmt: skip


@dataclass(frozen=True)
class CameraPath:
    """Camera words with shares that add up to 1."""

    ways: tuple[tuple[str, float], ...]

    @property
    def is_still(self) -> bool:
        return all(word == "still" for word, _ in self.ways)

    @property
    def turns(self) -> bool:
        """Whether the way needs depth to show."""
        return any(word in SHOWS_DEPTH for word, _ in self.ways)

    @property
    def is_flat(self) -> bool:
        """Whether near and far move alike, so that nothing is uncovered."""
        return all(word in FLAT for word, _ in self.ways)

    def pose(self, moment: float, amount: float, loops: bool = False, subject: float = 1.0) -> Pose:
        """Return the pose at a moment of 0 to 1; a loop returns to where it began. The subject's nearness stays as large."""
        total = Pose()
        for word, share in self.ways:
            if word == "handheld":
                total = total + shake(moment, loops) * (share * amount)
            else:
                total = total + follow_subject(word, WAYS[word] * (share * amount * ease(moment, loops)), subject)
        return total


def follow_subject(word: str, way: Pose, subject: float) -> Pose:
    """Turn towards what is at average nearness for words that circle; zoom out for one that keeps its subject's size."""
    if word in TURNING:
        return replace(way, yaw=-math.atan(way.x * TURNING[word] / FOCAL))
    if word == "dolly-zoom":
        return replace(way, zoom=math.log(max(1 - way.z * subject, 0.2)))
    return way


def read_camera(text: str) -> CameraPath:
    """Read a camera: one word, or several with percents, as in "push 60%, left 40%"."""
    return CameraPath(read_path(text))


def ease(moment: float, loops: bool = False) -> float:
    """Return the share of the way that is gone at a moment; a loop goes there and back."""
    if loops:
        return 0.5 - 0.5 * math.cos(2 * math.pi * moment)
    return EASE * moment * moment * (3 - 2 * moment) + (1 - EASE) * moment


def shake(moment: float, loops: bool = False) -> Pose:
    """Return what a hand does with a camera: a few slow swings, 0 at the first moment."""
    total = Pose()
    for cycles, phase, x, y, roll in SHAKES:
        rate = 2 * math.pi * (round(cycles) if loops else cycles)
        swing = (math.sin(rate * moment + phase) - math.sin(phase)) * 0.1
        total = total + Pose(x=x, y=y, roll=roll) * swing
    return total


def project(place_CHW: Tensor, nearness_HW: Tensor, pose: Pose) -> Tensor:
    """Return where points of the picture are seen from a pose; nearness is 1 by distance, 1 on average."""
    depth_HW = (1 - pose.z * nearness_HW).clamp(min=0.2)
    x = (place_CHW[0] + pose.x * nearness_HW) / depth_HW
    y = (place_CHW[1] + pose.y * nearness_HW) / depth_HW
    if pose.yaw or pose.pitch:
        x, y = turn(x, y, pose.yaw, pose.pitch)
    if pose.roll or pose.zoom:
        scale = math.exp(pose.zoom)
        cosine, sine = math.cos(pose.roll) * scale, math.sin(pose.roll) * scale
        x, y = cosine * x - sine * y, sine * x + cosine * y
    return torch.stack([x, y])


def turn(x: Tensor, y: Tensor, yaw: float, pitch: float) -> tuple[Tensor, Tensor]:
    """Turn the camera where it stands: a homography, straight lines stay straight."""
    x, z = FOCAL * math.sin(yaw) + x * math.cos(yaw), FOCAL * math.cos(yaw) - x * math.sin(yaw)
    y, z = z * math.sin(pitch) + y * math.cos(pitch), z * math.cos(pitch) - y * math.sin(pitch)
    z = z.clamp(min=0.1 * FOCAL)
    return FOCAL * x / z, FOCAL * y / z
