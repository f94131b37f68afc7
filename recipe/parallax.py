"""Compare the bundled model with plain parallax, blind: the same nearness and camera, one layer, nothing that moves by itself.

    python -m recipe.parallax examples/*.jpg recipe/pictures/*.jpg --out build/blind --jobs 2

Writes a sheet for each picture, with the last frame of both clips in an order that its checksum decides, and key.csv, which
says which is which and what was measured. Look at the sheets before you open the key.
"""

from __future__ import annotations

import argparse
import csv
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from recipe.clips import keep
from unstill import Clip, animate
from unstill.measure.flow import measure_length, shrink, track
from unstill.measure.scars import find_scars
from unstill.measure.steady import measure_sharpness
from unstill.measure.verdicts import SCARS
from unstill.models.pocket.layers import whole_layer

WORDS = ("push", "left", "arc", "right", "up", "pull")
MOTION, SIZE = 120, "640x360"
Row = dict[str, str | float]


def film(picture: Path, word: str, is_plain: bool) -> Clip:
    """Make a clip, with layers and a scene that moves, or as plain parallax."""

    def one_layer(picture_CHW: torch.Tensor, nearness_HW: torch.Tensor) -> list[object]:
        return [whole_layer(picture_CHW, nearness_HW)]

    plain = patch("unstill.models.pocket.renderer.part_layers", one_layer) if is_plain else nullcontext()
    with plain:
        return animate(
            picture, model="pocket", camera=word, motion=MOTION, size=SIZE, seed=1, measure=False, load=keep(),
            **({"scene": 0} if is_plain else {}),
        )  # fmt: skip


def measure(clip: Clip) -> Row:
    """Return how large each fault is at its worst, how sharp the clip ends, and how fast it moves."""
    frames = torch.from_numpy(clip.frames.copy()).permute(0, 3, 1, 2).float() / 255
    small = shrink(frames)
    flow = track(small)
    scars = {scar.kind: scar.size for scar in find_scars(small, flow, len(frames))}
    sizes: Row = {kind: round(scars.get(kind, 0.0), 2) for kind in SCARS}
    sharpness, speed_px = float(measure_sharpness(frames)[-1]), float(measure_length(flow.flow_PCHW).mean())
    return {**sizes, "sharpness": round(sharpness, 3), "motion_px": round(speed_px, 2)}


def compare(job: tuple[int, Path, Path]) -> list[Row]:
    """Write the sheet of a picture, and return a row for each of its clips."""
    number, picture, out = job
    word, swaps = WORDS[number % len(WORDS)], zlib.crc32(picture.stem.encode()) % 2
    clips = [(is_plain, film(picture, word, is_plain)) for is_plain in ((True, False) if swaps else (False, True))]
    Image.fromarray(np.concatenate([clip.frames[-1] for _, clip in clips], axis=1)).save(out / f"{picture.stem}.png")
    told = {"picture": picture.stem, "camera": word}
    return [
        {**told, "place": place, "kind": "parallax" if is_plain else "pocket", **measure(clip)}
        for place, (is_plain, clip) in zip(("left", "right"), clips, strict=True)
    ]


def summarise(rows: list[Row]) -> Iterator[str]:
    """Say on how many pictures which of both is better, measure by measure."""
    pairs = [
        {row["kind"]: row for row in rows if row["picture"] == name} for name in sorted({str(row["picture"]) for row in rows})
    ]
    for name in (*SCARS, "sharpness"):
        gains = [
            (float(pair["parallax"][name]) - float(pair["pocket"][name])) * (-1 if name == "sharpness" else 1) for pair in pairs
        ]
        won, lost = sum(gain > 0.01 for gain in gains), sum(gain < -0.01 for gain in gains)
        yield f"{name}: pocket is better on {won} pictures, parallax on {lost}, of {len(pairs)}"


def main() -> None:
    """Write sheets and key, print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(asked.jobs) as pool:
        done = pool.map(compare, [(number, picture, asked.out) for number, picture in enumerate(asked.pictures)])
        rows = [row for pair in done for row in pair]
    with (asked.out / "key.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    for line in summarise(rows):
        print(line)


if __name__ == "__main__":
    main()
