"""Break clips of pictures in known ways, and count which verdicts they get; whole clips are to get none.

    python bench/scars.py PICTURES --keep sizes.json      measures every clip of every picture in a folder
    python bench/scars.py --print sizes.json              prints the tables again

Each picture is filmed six times whole and once with every fault (tests/broken.py), and rendered by the bundled model with a
camera that uncovers nothing. Thresholds are fixed on the pictures of one half; the tables count the clips of the other.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
import zlib
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "src")]

from broken import FAULTS, make_broken  # noqa: E402
from unstill import animate  # noqa: E402
from unstill.artifacts import Scar  # noqa: E402
from unstill.measure.flow import shrink, track  # noqa: E402
from unstill.measure.scars import find_scars  # noqa: E402
from unstill.measure.verdicts import SCARS, judge_scars  # noqa: E402
from unstill.models import Keep  # noqa: E402

SIZE, FRAMES = "384x216", 7
FLAT = ("still", "zoom", "roll")
MOTIONS = (40, 60, 80, 100)
KEEP = Keep()


def main() -> None:
    """Measure, keep and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, nargs="?", help="a folder of pictures")
    parser.add_argument("--keep", type=Path, help="write the sizes of all faults to this file")
    parser.add_argument("--print", type=Path, dest="kept", help="print the tables of a file that was kept")
    asked = parser.parse_args()
    if asked.kept is not None:
        rows = json.loads(asked.kept.read_text())
    else:
        rows = []
        for path in sorted(path for path in asked.pictures.iterdir() if path.suffix in (".jpg", ".png")):
            rows += measure_picture(path)
            if asked.keep is not None:
                asked.keep.write_text(json.dumps(rows))
    print_tables(rows)


def measure_picture(path: Path) -> list[dict]:
    """Measure all clips of a picture."""
    seed, rows, start = zlib.crc32(path.stem.encode()) % 1000, [], time.process_time()
    with Image.open(path) as opened:
        picture = ImageOps.fit(opened.convert("RGB"), (896, 504), Image.Resampling.LANCZOS)
    picture_CHW = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255
    clips = [(kind, broken.frames_FHWC.permute(0, 3, 1, 2)) for kind, broken in make_broken(picture_CHW, seed)]
    clips.append(("rendered", render(picture, seed)))
    for kind, frames_FCHW in clips:
        small = shrink(frames_FCHW)
        scars = find_scars(small, track(small), len(frames_FCHW))
        rows.append({"picture": path.stem, "kind": kind, "scars": [asdict(scar) for scar in scars]})
    print(f"{path.stem}: {len(rows)} clips, {time.process_time() - start:.1f} s", file=sys.stderr, flush=True)
    return rows


def render(picture: Image.Image, seed: int) -> Tensor:
    """Render a clip with the bundled model, whose camera uncovers nothing."""
    dice = random.Random(seed)
    knobs = {"camera": dice.choice(FLAT), "motion": dice.choice(MOTIONS), "frames": FRAMES, "size": SIZE, "seed": seed}
    clip = animate(picture, model="pocket", measure=False, load=KEEP, **knobs)
    return torch.from_numpy(clip.frames.copy()).permute(0, 3, 1, 2)


def is_for_thresholds(row: dict) -> bool:
    """Whether a clip's picture belongs to the half that thresholds are fixed on."""
    return zlib.crc32(row["picture"].encode()) % 2 == 0


def print_tables(rows: list[dict]) -> None:
    """Print what thresholds the first half asks for, and the second half's confusion table."""
    for row in rows:
        row["scars"] = [Scar(**{**scar, "box": tuple(scar["box"])}) for scar in row["scars"]]
    first = [row for row in rows if is_for_thresholds(row) and is_whole(row)]
    print("| verdict | threshold | 98 % of whole clips of the first half are below | 99 % |")
    print("|---|---|---|---|")
    for kind, (least, *_) in SCARS.items():
        sizes = sorted(max((scar.size for scar in row["scars"] if scar.kind == kind), default=0.0) for row in first)
        print(f"| {kind} | {least:g} | {', '.join(f'{sizes[math.ceil(len(sizes) * q) - 1]:.2f} |' for q in (0.98, 0.99))}")
    for title, half in (("thresholds", True), ("figures", False)):
        chosen = [row for row in rows if is_for_thresholds(row) == half]
        pictures = len({row["picture"] for row in chosen})
        print(f"\nThe half for {title}: {len(chosen)} clips of {pictures} pictures\n")
        print_confusion(chosen)


def is_whole(row: dict) -> bool:
    """Whether a clip has no fault."""
    return row["kind"] not in FAULTS


def print_confusion(rows: list[dict]) -> None:
    """Print how many clips of each kind get which verdict."""
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        names = [verdict.name for verdict in judge_scars(row["scars"])]
        for group in (row["kind"], *(["all whole clips"] if is_whole(row) else [])):
            said[group].update(["clips", *names, *(["any"] if names else [])])
    order = [kind for kind in said if kind not in FAULTS and kind != "all whole clips"]
    print(f"| clip | clips | {' | '.join(SCARS)} | any | named right |")
    print("|---" * (len(SCARS) + 4) + "|")
    for kind in (*FAULTS, *order, "all whole clips"):
        count, total = said[kind], max(said[kind]["clips"], 1)
        right = f"{count[FAULTS[kind]] / total:.0%}" if kind in FAULTS else ""
        each = " | ".join(str(count[name]) for name in SCARS)
        print(f"| {kind} | {count['clips']} | {each} | {count['any'] / total:.1%} | {right} |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
