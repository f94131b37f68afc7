"""The knob `motion` as a speed. It does not import torch."""

from __future__ import annotations

FASTEST_PX = 12.0  # a frame at 1024x576: the speed that motion 255 asks for
BEND = 1.6  # motion 80 is 1.9 px a frame, 127 is 3.9


def speed_of(motion: float) -> float:
    """Return the speed in px per frame at 1024x576 that a motion of 0 to 255 asks for."""
    return float(FASTEST_PX * (motion / 255) ** BEND)


def motion_of(speed_px: float) -> float:
    """Return the motion that asks for a speed in px per frame at 1024x576."""
    return float(min(255.0, 255 * (speed_px / FASTEST_PX) ** (1 / BEND)))
