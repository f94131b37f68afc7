"""How much a model moves for a setting of its motion knob: a curve that was measured, shipped or made here.

It does not know how it is measured.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from unstill.artifacts import ModelFiles
from unstill.errors import ModelError
from unstill.models.pocket.speeds import speed_of

FOLDER = "calibration"
LEVEL = 1.02  # times as much is no rise
FARTHEST = 20.0  # e-fold beyond what was measured: a curve that is all but level leads anywhere
KNOWN_AT = (10, 20, 40, 80, 127, 180, 255)
GUESS = ((1, 0.02), (127, 2.0), (255, 4.0))  # for a model that nobody has measured: in proportion, 2 px/frame at 127


@dataclass(frozen=True)
class Point:
    """What was measured at one setting; px a frame at 1024x576."""

    motion: int
    median_px: float
    low_px: float  # a tenth of the clips move less
    high_px: float  # a tenth move more


@dataclass(frozen=True)
class Curve:
    """Motion knob to motion, by a model."""

    model: str
    points: tuple[Point, ...]
    clips: int = 0  # that each point stands for; 0 is a guess
    note: str = ""  # what they were: frames, steps, size

    def find_px(self, motion: float) -> float:
        """Give the usual motion at a setting."""
        pairs = [(point.motion, point.median_px) for point in self.points]
        return _read_between(pairs, motion)

    @property
    def strongest(self) -> int:
        """Give the setting beyond which motion was not seen to rise."""
        pairs = itertools.pairwise(self.points)
        rising = [after.motion for before, after in pairs if after.median_px > LEVEL * before.median_px]
        return rising[-1] if rising else self.points[-1].motion

    def find_motion(self, wanted_px: float) -> int:
        """Give the setting whose usual motion is nearest to what is wanted."""
        pairs = [(point.median_px, point.motion) for point in self.points]
        return min(self.strongest, max(0, round(_read_between(pairs, wanted_px))))

    def find_spread(self, motion: float) -> tuple[float, float]:
        """Give what a tenth of the clips fall below, and a tenth exceed."""
        low = _read_between([(point.motion, point.low_px) for point in self.points], motion)
        return low, _read_between([(point.motion, point.high_px) for point in self.points], motion)

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"model": self.model, "clips": self.clips, "note": self.note, "points": [vars(point) for point in self.points]}


def _read_between(pairs: Sequence[tuple[float, float]], x: float) -> float:
    """Read between measured points on logarithmic scales; beyond the last two, go on as they do."""
    pairs = sorted((max(a, 1e-3), max(b, 1e-3)) for a, b in pairs)
    x = max(x, 1e-3)
    at = next((n for n in range(1, len(pairs) - 1) if x <= pairs[n][0]), len(pairs) - 1)
    (x0, y0), (x1, y1) = pairs[at - 1], pairs[at]
    share = math.log(x / x0) / math.log(x1 / x0) if x1 > x0 else 0.0
    return y0 * math.exp(max(-FARTHEST, min(FARTHEST, share * math.log(y1 / y0))))


def find_curve(files: ModelFiles) -> Curve:
    """Find a model's curve: one made here, else the one it came with, else a guess."""
    place = place_of(files.name)
    if place.is_file():
        return read_curve(place.read_text(), str(place))
    if files.layout == "bundled":
        return know_curve(files.name)
    return Curve(files.name, tuple(Point(motion, px, 0.25 * px, 4 * px) for motion, px in GUESS))


def know_curve(name: str) -> Curve:
    """Return the curve of a model whose camera moves exactly as fast as it is told."""
    speeds = [(motion, speed_of(motion)) for motion in KNOWN_AT]
    return Curve(name, tuple(Point(motion, px, 0.9 * px, 1.1 * px) for motion, px in speeds), len(speeds), "by its formula")


def read_point(found: dict[str, Any]) -> Point:
    """Read a point as numbers."""
    return Point(int(found["motion"]), *(float(found[name]) for name in ("median_px", "low_px", "high_px")))


def place_of(model: str) -> Path:
    """Say where a curve that is made here is kept."""
    safe = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in model)
    return Path(platformdirs.user_data_dir("unstill")) / FOLDER / f"{safe}.json"


def read_curve(text: str, where: str) -> Curve:
    """Read a curve, and refuse what is none."""
    try:
        found = json.loads(text)
        points = tuple(read_point(point) for point in found["points"])
        curve = Curve(str(found["model"]), points, int(found["clips"]), str(found["note"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{where} is no calibration: {error}", hint="delete it, and `unstill calibrate` again") from None
    rises = all(a.motion < b.motion and a.median_px < b.median_px for a, b in itertools.pairwise(points))
    if len(points) < 2 or not rises:
        raise ModelError(f"{where} is no calibration: motion must rise with the knob, and over two points or more")
    return curve
