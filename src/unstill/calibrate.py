"""How much a model moves for each setting of its motion knob: clips are made and measured, and a curve is drawn of them.

It does not know where curves are kept.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unstill.calibration import Curve, Point
from unstill.errors import RequestError
from unstill.generate import foresee, generate_one
from unstill.models import Keep
from unstill.request import Request
from unstill.takes import DRAFTS, measures_of, shrink

MOTIONS = (10, 20, 40, 60, 90, 127, 180, 255)
LEAST_RISE = 1.001  # from one point to the next: where a model does not rise, noise must not make the curve fall


@dataclass(frozen=True)
class Sample:
    """One clip that was measured."""

    motion: int
    seed: int
    picture: str
    motion_px: float


def calibrate(
    request: Request,
    pictures: Sequence[Path],
    seeds: Sequence[int],
    motions: Sequence[int] = MOTIONS,
    watch: Callable[[Sample, int, int], None] = lambda sample, number, total: None,
) -> tuple[Curve, list[Sample]]:
    """Make a draft of every picture with every seed and setting, and sum up what they moved."""
    if len(motions) < 2 or not pictures or not seeds:
        raise RequestError("a calibration takes two settings or more, a picture and a seed")
    keep, samples, total = Keep(), list[Sample](), len(pictures) * len(seeds) * len(motions)
    name = note = ""
    for picture in pictures:
        plan = foresee(request, picture)[1]
        draft = DRAFTS.get(plan.model.family, DRAFTS["svd"])
        size, steps = shrink(plan.size, draft), min(plan.steps, draft.most_steps or plan.steps)
        name, note = plan.model.name, f"{plan.frames} frames of about {draft.area}, {steps} steps, fps {plan.request.fps}"
        for seed, motion in itertools.product(seeds, sorted(set(motions))):
            one = request.replace(motion=motion, seed=seed, size=size, steps=steps, measure=True)
            found = measures_of(generate_one(one, picture, load=keep))
            samples.append(Sample(motion, seed, picture.name, found.motion_px))
            watch(samples[-1], len(samples), total)
    return Curve(name, draw_points(samples), len(pictures) * len(seeds), note), samples


def draw_points(samples: Sequence[Sample]) -> tuple[Point, ...]:
    """Sum up the clips of each setting; the median never falls."""
    points: list[Point] = []
    for motion in sorted({sample.motion for sample in samples}):
        values = sorted(sample.motion_px for sample in samples if sample.motion == motion)
        tenth = (len(values) - 1) / 10
        least = points[-1].median_px * LEAST_RISE if points else 0.001
        median = max(least, statistics.median(values))
        points.append(Point(motion, median, values[round(tenth)], values[round(len(values) - 1 - tenth)]))
    return tuple(points)
