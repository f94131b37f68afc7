"""About how long a batch takes and how much room it needs, from one clip's plan, and which pictures cannot be read.

It runs nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unstill.artifacts import Plan
from unstill.batch.items import Item
from unstill.batch.ledger import Diary
from unstill.batch.sources import is_url
from unstill.batch.survey import Batch, Survey
from unstill.errors import PictureError
from unstill.request import Request

# Measured on a clip of pocket of examples/harbour.jpg, 25 frames of 1024x576: bytes for a pixel of a frame, quality 80.
BYTES_A_PIXEL = {".mp4": 0.02, ".webm": 0.01, ".gif": 0.5, ".webp": 0.05, ".apng": 1.0}
POCKET_CORE_S = 1.0  # seconds of one core for a million pixels of pocket's frames: bench/pocket.py
POCKET_STEP_CORE_S = 0.14  # and for a step of its network, whatever the size: bench/pocket.py
POCKET_START_S = 2.3  # that a batch takes besides its clips: Python, torch, loading: row batch-first
START_S = 7.4  # that a fresh process takes until its first step is done on a GPU, files in the cache: bench/first_step.py
LOOK_S = 3.0  # for looking at pictures: a batch may have a million, and they may be far away
MOST_NAMED = 10  # broken pictures that are told one by one


@dataclass(frozen=True)
class Foresight:
    """What one clip of a batch is thought to take."""

    clip_s: float
    clip_bytes: int
    device_bytes: int | None
    together: int  # clips that may share a pass
    start_s: float  # that a worker needs before its first clip
    source: str  # how that is known


@dataclass(frozen=True)
class Looked:
    """What was seen of pictures before anything runs, by their headers."""

    looked: int
    broken: int
    named: tuple[tuple[str, str], ...]  # the first broken ones, and what is wrong with them
    is_all: bool  # whether all pictures were looked at

    @property
    def share(self) -> float:
        """The share of what was looked at that can be read."""
        return 1 - self.broken / self.looked if self.looked else 1.0


def foresee_clip(plan: Plan, suffix: str) -> Foresight:
    """Estimate one clip from its plan."""
    from unstill.memory.pace import estimate_s
    from unstill.takes import is_asked

    pixels = plan.frames * plan.clip_size.area_px
    is_pocket = plan.model.layout == "bundled"
    of_pocket_s = (POCKET_STEP_CORE_S * plan.steps + POCKET_CORE_S * pixels / 1e6) / (os.cpu_count() or 1)
    return Foresight(
        of_pocket_s if is_pocket else estimate_s(plan),
        round(BYTES_A_PIXEL[suffix] * pixels),
        plan.rung.peak_bytes,
        1 if is_asked(plan.request) else plan.together,
        POCKET_START_S if is_pocket else START_S,
        "foreseen for the first picture",
    )


def look_at(pictures: Iterable[str], most_s: float = LOOK_S) -> Looked:
    """Look at the headers of pictures of this machine, each once, for so long at most."""
    from unstill.batch.places import open_picture
    from unstill.formats.picture import check_head

    end, seen, broken, named, is_all = time.monotonic() + most_s, set[str](), 0, list[tuple[str, str]](), True
    for picture in pictures:
        if time.monotonic() > end:
            is_all = False
            break
        if is_url(picture):
            is_all = False
        elif picture not in seen:
            seen.add(picture)
            try:
                with open_picture(picture) as file:
                    check_head(file)
            except PictureError as error:
                broken += 1
                if len(named) < MOST_NAMED:
                    named.append((picture, error.message))
    return Looked(len(seen), broken, tuple(named), is_all)


def count_there(batch: Batch, survey: Survey, told: Diary, device: str) -> int:
    """Count the clips that are there already."""
    from unstill.batch.maker import describe_model

    models = {choice: describe_model(request, device) for choice, request in survey.choices.items()}
    return sum(told.has(item) for item in batch.items(survey, models))


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
