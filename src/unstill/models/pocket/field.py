"""What the network finds in a picture, and the units of motion."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

FASTEST_PX = 12.0  # a frame at 1024x576: the speed that motion 255 asks for
BEND = 1.6  # motion 80 is 1.9 px a frame, 127 is 3.9
AREA_PX = 1024 * 576  # speeds are meant at this size; clips of other sizes count as enlarged to this area


@dataclass(frozen=True, eq=False)
class SceneField:
    """Depth and the motion that a scene has by itself, by cell of a coarse grid."""

    nearness_HW: Tensor  # in any unit; larger is nearer
    flows_HW: Tensor  # share of the surface that flows, 0 to 1
    sways_HW: Tensor  # share that sways, 0 to 1
    flow_CHW: Tensor  # velocity right and down, unit mean speed over what flows
    sway_CHW: Tensor  # amplitude right and down, unit mean over what sways


def speed_of(motion: float) -> float:
    """Return the speed in px per frame at 1024x576 that a motion of 0 to 255 asks for."""
    return float(FASTEST_PX * (motion / 255) ** BEND)


def motion_of(speed_px: float) -> float:
    """Return the motion that asks for a speed in px per frame at 1024x576."""
    return float(min(255.0, 255 * (speed_px / FASTEST_PX) ** (1 / BEND)))


def px_per_width(height: int, width: int) -> float:
    """Return the width in px of a clip enlarged or shrunk to the area that speeds are meant at."""
    return math.sqrt(AREA_PX * width / height)
