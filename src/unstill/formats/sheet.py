"""What every format is told beside the frames, and when each frame is shown. It knows no format."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Sheet:
    """How a clip is to be stored."""

    play_fps: Fraction
    quality: int  # 1–100
    plays: int  # how often it plays; 0 is for ever
    colors: int
    dither: str
    mark: str  # that it is machine-made; always there
    recipe: str | None  # how it was made, as JSON


def read_fps(play_fps: float) -> Fraction:
    """Take a frame rate as a fraction: 23.976 and its like as the broadcast rates that are meant, n·1000/1001."""
    # 23.98 is meant like 23.976: within 0.005, which is less than half of the way to 24.
    broadcast = Fraction(round(play_fps) * 1000, 1001)
    if round(play_fps) > 0 and abs(play_fps - broadcast) < 0.005 * round(play_fps) / 24 and play_fps != round(play_fps):
        return broadcast
    return Fraction(play_fps).limit_denominator(1000)


def spread(frames: int, play_fps: Fraction, ticks_per_s: int) -> list[int]:
    """Share whole ticks among frames so that the clip as a whole keeps its rate."""
    ends = [round(number * ticks_per_s / play_fps) for number in range(frames + 1)]
    return [end - start for start, end in itertools.pairwise(ends)]
