"""About how long a batch takes and how much room it needs, from what earlier runs took or from one clip's plan.

It does not know which clips are there already.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unstill.artifacts import Plan
from unstill.batch.items import Item
from unstill.errors import PictureError
from unstill.request import Request

# Measured on a clip of pocket of examples/harbour.jpg, 25 frames of 1024x576: bytes for a pixel of a frame, quality 80.
BYTES_A_PIXEL = {".mp4": 0.02, ".webm": 0.01, ".gif": 0.5, ".webp": 0.05, ".apng": 1.0}
POCKET_CORE_S = 1.0  # seconds of one core for a million pixels of pocket's frames: bench/pocket.py


@dataclass(frozen=True)
class Foresight:
    """What one clip of a batch is thought to take."""

    clip_s: float
    clip_bytes: int
    device_bytes: int | None
    source: str  # how that is known


def foresee_clip(plan: Plan, suffix: str) -> Foresight:
    """Estimate one clip from its plan."""
    from unstill.memory.pace import estimate_s

    pixels = plan.frames * plan.clip_size.area_px
    of_pocket_s = POCKET_CORE_S * pixels / 1e6 / (os.cpu_count() or 1)
    return Foresight(
        of_pocket_s if plan.model.layout == "bundled" else estimate_s(plan),
        round(BYTES_A_PIXEL[suffix] * pixels),
        plan.rung.peak_bytes,
        "foreseen for the first picture",
    )


def foresee_first(items: Sequence[Item], device: str) -> tuple[Plan, Foresight]:
    """Plan the first of these clips whose picture can be read, and estimate it."""
    from unstill.batch.places import read_picture
    from unstill.generate import foresee

    for item in items:
        request = Request.from_mapping({**item.knobs, "seed": item.seed, "device": device})
        try:
            plan = foresee(request, read_picture(item.picture))[1]
        except PictureError:
            if item is items[-1]:
                raise
        else:
            return plan, foresee_clip(plan, Path(item.output).suffix)
    raise PictureError("There are no pictures")
