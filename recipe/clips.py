"""Judge clips of the bundled model by what is seen in them: the same measures as for anybody's clips.

    python -m recipe.clips examples/*.jpg --seeds 2 --out build/clips.csv

Every picture is animated with every word of the camera and with several motions; each clip is measured and is a row.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from unstill.model.field import WORDS, speed_of

from unstill import Clip, animate
from unstill.measure.flow import measure_length, shrink, track
from unstill.measure.motion import SEEN, fit_camera, name_camera
from unstill.measure.steady import measure_bands, measure_flicker, measure_sharpness
from unstill.models import Keep

MOTIONS = (20, 40, 80, 127, 180)


def measure(clip: Clip) -> dict[str, float | str]:
    """Give what the gates ask for."""
    frames = torch.from_numpy(clip.frames.copy()).permute(0, 3, 1, 2).float() / 255
    small = shrink(frames)
    flow = track(small)
    camera = fit_camera(flow)
    speed, seen = measure_length(flow.flow_PCHW), (flow.confidence_PHW > SEEN).float()  # a flat sky's motion is a guess
    word = name_camera(flow, camera)
    flicker, bands = measure_flicker(small, flow), measure_bands(small)
    return {
        "moving_px": float((speed**3 * seen).sum() / (speed**2 * seen).sum().clamp(min=1e-9)),  # as the knob means it
        "seen": word.word,
        "or": word.other or "",
        "first_db": clip.report.fidelity_db,
        "shows": clip.report.shows,
        "sharpness": float(measure_sharpness(frames)[-1]),
        "flicker": float(flicker.local_greys_P.mean()),
        "bands": max((*bands.black_percent.values(), *bands.mirrored_percent.values(), *bands.stretched_percent.values())),
    }


def main() -> None:
    """Make the clips and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", default="1024x576", help="or `own`: what each picture gets when no size is asked for")
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    with settings.out.open("w", newline="") as file:
        writer = csv.writer(file)
        for number, row in enumerate(make_rows(settings.pictures, settings.seeds, settings.size)):
            if number == 0:
                writer.writerow(row)
            writer.writerow([f"{value:.4g}" if isinstance(value, float) else value for value in row.values()])
            file.flush()


def make_rows(pictures: list[Path], seeds: int, size: str) -> Iterator[dict[str, object]]:
    """Animate and measure, clip by clip."""
    keep, wanted = Keep(), [(word, 80) for word in WORDS[1:]] + [("auto", motion) for motion in MOTIONS]
    asked = {} if size == "own" else {"size": size}
    for picture, seed, (word, motion) in itertools.product(pictures, range(seeds), wanted):
        clip = animate(picture, model="pocket", camera=word, motion=motion, seed=seed, load=keep, **asked)
        told = {"picture": picture.stem, "seed": seed, "camera": word, "motion": motion, "asked_px": speed_of(motion)}
        yield {**told, **measure(clip)}


if __name__ == "__main__":
    main()
