"""Make clips whose faults are known, and count which verdicts are given and how far the measures are off.

    python bench/verdicts.py                      # all pictures of examples/ and recipe/pictures/
    python bench/verdicts.py examples/harbour.jpg

Prints two tables in Markdown: what was done against what was said, and the errors of the measures.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "src")]

from faults import Known, make_clips  # noqa: E402
from unstill.artifacts import Measures  # noqa: E402
from unstill.measure.clip import measure_clip  # noqa: E402
from unstill.measure.verdicts import judge  # noqa: E402

NOTHING = "nothing"


def main() -> None:
    """Measure every clip of every picture."""
    paths = [Path(word) for word in sys.argv[1:]] or sorted(
        [*HERE.parent.glob("examples/*.jpg"), *HERE.parent.glob("recipe/pictures/*.jpg")]
    )
    said: dict[str, Counter[str]] = defaultdict(Counter)
    errors: dict[str, list[float]] = defaultdict(list)
    clips = took_s = 0.0
    for number, path in enumerate(paths):
        for name, known in make_clips(open_picture(path), seed=number).items():
            start = time.perf_counter()
            found = measure_clip(known.frames_FCHW)
            verdicts = [verdict.name for verdict in judge(found)]
            took_s, clips = took_s + time.perf_counter() - start, clips + 1
            said[name].update(verdicts or [NOTHING])
            if (known.verdict or NOTHING) not in (verdicts or [NOTHING]) or len(verdicts) > 1:
                print(f"{path.stem}, {name}: {', '.join(verdicts) or NOTHING}", file=sys.stderr)
            for measure, error in compare(known, found).items():
                errors[f"{measure} of the object" if name == "object" and measure == "motion_px" else measure].append(error)
    tell(said, errors, len(paths))
    print(f"\n{clips:.0f} clips, {took_s / clips:.2f} s each on {torch.get_num_threads()} threads")


def open_picture(path: Path) -> torch.Tensor:
    """Read a picture, cut to 1024x576, [3, H, W] in 0–1."""
    with Image.open(path) as picture:
        cut = ImageOps.fit(picture.convert("RGB"), (1024, 576), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1).float() / 255


def compare(known: Known, found: Measures) -> dict[str, float]:
    """Give by how much each known measure is off, as a share of the truth; words are right, 0, or wrong, 1."""
    off = {}
    for name, truth in known.truth.items():
        value = getattr(found, name)
        if isinstance(truth, (str, tuple)):
            off[name] = float(value != truth)
        else:
            off[name] = abs(value - truth) / abs(truth) if truth else abs(value)
    return off


def tell(said: dict[str, Counter[str]], errors: dict[str, list[float]], pictures: int) -> None:
    """Print both tables."""
    verdicts = sorted({verdict for counter in said.values() for verdict in counter} - {NOTHING})
    print(f"| of {pictures} pictures | " + " | ".join([*verdicts, NOTHING]) + " |\n" + "|---" * (len(verdicts) + 2) + "|")
    for name, counter in said.items():
        print(f"| {name} | " + " | ".join(str(counter[verdict] or "") for verdict in [*verdicts, NOTHING]) + " |")
    print("\n| measure | median error | 90 % are within | clips |\n|---|---|---|---|")
    for name, values in errors.items():
        ordered = sorted(values)
        print(
            f"| {name} | {100 * ordered[len(ordered) // 2]:.1f} % | {100 * ordered[-(-9 * len(ordered) // 10) - 1]:.1f} % "
            f"| {len(ordered)} |"
        )


if __name__ == "__main__":
    main()
