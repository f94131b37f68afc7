"""Say how often a wanted motion is reached and what the search costs, and how often stills are woken, with the bundled model.

    python bench/motion.py --wanted 0.5 1.2 3 --seeds 4     # 60 searches, 12 minutes on two cores
    python bench/motion.py --still --seeds 4

The pictures are not those that the shipped calibration was made of.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src")]

from unstill import animate  # noqa: E402
from unstill.artifacts import Clip  # noqa: E402
from unstill.models import Keep  # noqa: E402

PICTURES = ("examples/balloon.jpg", *(f"recipe/pictures/{name}.jpg" for name in ("meadow", "dawn", "coffee", "pagoda")))
NEAR = 0.15  # of what is wanted


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wanted", type=float, nargs="*", default=[])
    parser.add_argument("--still", action="store_true")
    parser.add_argument("--seeds", type=int, default=4)
    asked = parser.parse_args()
    keep = Keep()
    if asked.wanted:
        search(asked.wanted, asked.seeds, keep)
    if asked.still:
        wake(asked.seeds, keep)


def each(seeds: int) -> Iterator[tuple[str, int]]:
    """Give every picture with every seed; calibration took 0 to 4."""
    return ((str(HERE.parent / picture), 100 + seed) for picture in PICTURES for seed in range(seeds))


def search(targets: list[float], seeds: int, keep: Keep) -> None:
    """Search for each target, and make one clip without a search beside it."""
    print("| wanted, px/frame | within 15 % | off in the middle | cost in clips, middle and most | not reached |")
    print("|---|---|---|---|---|")
    every: list[bool] = []
    for target in targets:
        rows = []
        for picture, seed in each(seeds):
            _, plain_s = make(keep, picture, seed)
            clip, took_s = make(keep, picture, seed, want_motion=target)
            assert clip.report.measures is not None
            off = abs(clip.report.measures.motion_px - target) / target
            rows.append((off, took_s / plain_s, f"{Path(picture).stem} {seed}: {clip.report.measures.motion_px:.2f}"))
            every.append(off <= NEAR)
        far = [name for off, _, name in rows if off > NEAR]
        offs, costs = [off for off, _, _ in rows], [cost for _, cost, _ in rows]
        print(f"| {target:g} | {len(rows) - len(far)} of {len(rows)} | {statistics.median(offs):.1%} "
              f"| {statistics.median(costs):.2f}, {max(costs):.2f} | {', '.join(far)} |", flush=True)  # fmt: skip
    print(f"\n{sum(every)} of {len(every)} within 15 %")


def wake(seeds: int, keep: Keep) -> None:
    """Make clips that stand still, and let them be woken."""
    woken, count, before = 0, 0, []
    for number, (picture, seed) in enumerate(each(seeds)):
        clip, _ = make(keep, picture, seed, fix_still=True, motion=(0, 3, 6, 10)[number % 4])
        first = clip.report.tried[0]
        if "still" not in first.faults:
            continue
        count, before = count + 1, [*before, first.motion_px]
        woken += not any(verdict.name == "still" for verdict in clip.report.verdicts)
    print(f"\n{woken} of {count} still clips move once woken; they moved {max(before):.2f} px/frame at most before")


def make(keep: Keep, picture: str, seed: int, **knobs: object) -> tuple[Clip, float]:
    """Make a clip, and say how long it took."""
    start = time.perf_counter()
    clip = animate(picture, model="pocket", seed=seed, load=keep, **knobs)
    return clip, time.perf_counter() - start


if __name__ == "__main__":
    main()
