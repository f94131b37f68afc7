"""About how long a clip will take here, judged by what the last ones took. It does not know how clips are made."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from unstill.jobs.records import Job
from unstill.request import DEFAULTS

LOOKED_AT = 20  # clips; the last ones, since machines and settings change
SEARCHES = ("want_motion", "fix_still")  # nobody knows how many clips such a job makes


def estimate_s(plan: Mapping[str, Any], done: Sequence[Job]) -> float | None:
    """Give the seconds, from clips of the same model and device: steps, pixels of frames, and what comes on top."""
    if any(plan["knobs"].get(name, DEFAULTS[name]) != DEFAULTS[name] for name in SEARCHES):
        return None
    steps_s, pixels_s, rest_s = [], [], []
    for job in done:
        report, knobs = job.report or {}, (job.report or {}).get("knobs") or {}
        stages = dict(report.get("stages_s") or {})
        if not is_alike(plan, report, knobs) or not {"sample", "decode"} <= stages.keys() or "search" in stages:
            continue
        steps_s.append(stages.pop("sample") / max(1, knobs["steps"]) / scale(plan["model"], knobs))
        pixels_s.append(stages.pop("decode") / count_pixels(knobs))
        stages.pop("load", None)  # the model stays loaded from clip to clip
        rest_s.append(sum(stages.values()) / count_pixels(knobs))
    if not steps_s:
        return None
    steps = statistics.median(steps_s) * plan["steps"] * scale(plan["model"], plan["knobs"])
    pixels = (statistics.median(pixels_s) + statistics.median(rest_s)) * count_pixels(plan["knobs"])
    return float(round(steps + pixels, 1))


def is_alike(plan: Mapping[str, Any], report: Mapping[str, Any], knobs: Mapping[str, Any]) -> bool:
    """Say whether a clip that was made tells anything about one that will be."""
    made = (knobs.get("model"), report.get("device"), report.get("engine"), knobs.get("measure"))
    return made == (plan["model"], plan["device"], plan["engine"], plan["knobs"].get("measure"))


def scale(model: str, knobs: Mapping[str, Any]) -> float:
    """Say how large a step is: the bundled model's field is the same for every clip, others work on all pixels."""
    return 1.0 if model == "pocket" else count_pixels(knobs)


def count_pixels(knobs: Mapping[str, Any]) -> float:
    """Count a clip's pixels."""
    width, _, height = str(knobs["size"]).partition("x")
    return float(int(width) * int(height) * int(knobs["frames"]))
