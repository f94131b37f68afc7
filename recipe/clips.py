"""Judge clips of the bundled model by what is seen in them, with the measures that `unstill report` uses.

    python -m recipe.clips examples/*.jpg recipe/pictures/*.jpg --out build/clips.csv --jobs 16

Every picture is animated with every camera word at several motions; each clip is a row. The summary says how often the
word was seen, how near the speed was, and how much is torn.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import re
import statistics
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch

from recipe.torn import measure_torn
from unstill import Clip, animate
from unstill.cameras import WORDS
from unstill.measure.flow import measure_length, shrink, track
from unstill.measure.motion import fit_camera, measure_motion_px, name_camera
from unstill.measure.steady import measure_sharpness
from unstill.models import Keep
from unstill.models.pocket.speeds import speed_of

MOTIONS = (40, 80, 160)
NAMED = re.compile(r"The camera moves ([\d.]+) px a frame, not ([\d.]+)")
Row = dict[str, Any]


@cache
def keep() -> Keep:
    """Return this process's engine cache."""
    torch.set_num_threads(1)
    return Keep()


def judge(job: tuple[Path, str, int, str, int]) -> Row:
    """Make one clip and measure it."""
    picture, word, motion, size, scene = job
    knobs = {"camera": word, "motion": motion, "size": size, "scene": scene}
    clip = animate(picture, model="pocket", seed=1, measure=False, load=keep(), **knobs)
    told = {"picture": picture.stem, "camera": word, "motion": motion, "asked_px": speed_of(motion)}
    return {**told, **measure(clip, told["asked_px"])}


def measure(clip: Clip, asked_px: float) -> Row:
    """Return what the gates ask for."""
    frames = torch.from_numpy(clip.frames.copy()).permute(0, 3, 1, 2).float() / 255
    flow = track(shrink(frames))
    camera = fit_camera(flow)
    seen = name_camera(flow, camera)
    last = len(clip.frames) - 1
    named = next((found for line in clip.report.warnings if (found := NAMED.search(line))), None)
    return {
        "named_px": float(named[1]) if named else asked_px,
        "limited": bool(named),
        "seen_px": float(measure_motion_px(flow, camera).mean()),
        "camera_px": float(measure_length(camera.plane_PCHW).mean()),
        "seen": seen.word,
        "or": seen.other or "",
        "torn": max(measure_torn(clip.frames[0], clip.frames[late]) for late in (last // 2, last * 3 // 4, last)),
        "first_db": clip.report.fidelity_db,
        "shows": clip.report.shows,
        "sharpness": float(measure_sharpness(frames)[-1]),
    }


def summarise(rows: list[Row]) -> Iterator[str]:
    """Say how the clips did against each aim."""
    moving = [row for row in rows if row["camera"] != "still"]
    still = [row["camera_px"] for row in rows if row["camera"] == "still"]
    named = [row for row in moving if row["camera"] in (row["seen"], row["or"])]
    near = [row for row in moving if abs(row["seen_px"] / row["named_px"] - 1) <= 0.1]
    yield f"{len(rows)} clips: the word asked for is seen in {len(named) / len(moving):.1%}"
    yield f"speed within 10 % of what was asked or named in {len(near) / len(moving):.1%}"
    yield f"still: {max(still, default=0):.2f} px a frame at most"
    for motion in sorted({row["motion"] for row in rows}):
        here = [row for row in moving if row["motion"] == motion]
        torn = [row["torn"] for row in here]
        limited, sharp = statistics.mean(row["limited"] for row in here), min(row["sharpness"] for row in here)
        torn_so = f"torn {statistics.median(torn):.3f} ‰ in the median, {max(torn):.3f} at most"
        yield f"motion {motion}: limited {limited:.1%}, {torn_so}, sharpness {sharp:.2f} at least"
    for word in WORDS[1:]:
        here = [row for row in moving if row["camera"] == word]
        missed = [f"{row['picture']} {row['motion']}: {row['seen']}" for row in here if word not in (row["seen"], row["or"])]
        yield f"{word}: {len(here) - len(missed)} of {len(here)}" + (f"; {', '.join(missed[:6])}" if missed else "")


def write(rows: Iterator[Mapping[str, Any]], path: Path) -> list[Row]:
    """Write rows as they come; return them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = []
    with path.open("w", newline="") as file:
        for row in rows:
            kept.append(dict(row))
            if len(kept) == 1:
                csv.writer(file).writerow(row)
            csv.writer(file).writerow([f"{value:.4g}" if isinstance(value, float) else value for value in row.values()])
            file.flush()
    return kept


def main() -> None:
    """Make the clips, write the rows, print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--size", default="384x216")
    parser.add_argument("--motions", type=int, nargs="+", default=list(MOTIONS))
    parser.add_argument("--words", nargs="+", default=list(WORDS))
    parser.add_argument("--scene", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    jobs = itertools.product(asked.pictures, asked.words, asked.motions, [asked.size], [asked.scene])
    with ProcessPoolExecutor(asked.jobs) as pool:
        rows = write(pool.map(judge, jobs), asked.out)
    print("\n".join(summarise(rows)))


if __name__ == "__main__":
    main()
