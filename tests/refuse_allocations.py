"""Refuse one operation after the other its memory: every run makes its clip or says what to do, and the next one is a fresh one's.

    python tests/refuse_allocations.py --points 250

Takes 0.7 s a point on two cores. The suite does the same at six points (tests/integration/test_ladder.py).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "integration")]

from test_ladder import TINY, Allocator  # noqa: E402

from miniature import make_miniature  # noqa: E402
from unstill import animate  # noqa: E402
from unstill.errors import MachineError  # noqa: E402
from unstill.models import Keep  # noqa: E402


def main() -> None:
    """Go through both engines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=250, help="of a run, evenly spread over its operations")
    points = parser.parse_args().points
    with tempfile.TemporaryDirectory() as name:
        make_miniature(Path(name))
        for engine in ("reference", "fast"):
            print(refuse(name, engine, points), flush=True)


def refuse(model: str, engine: str, points: int) -> str:
    """Refuse at so many points; return what became of it."""
    keep, picture = Keep(), HERE.parent / "examples" / "harbour.jpg"

    def make() -> np.ndarray:
        return animate(picture, model=model, load=keep, engine=engine, **TINY).frames.astype(int)

    clean = make()
    with Allocator() as allocator:
        make()
    started, made, explained = time.perf_counter(), 0, 0
    refused = np.unique(np.linspace(1, allocator.count, points).astype(int))
    for number in refused:
        try:
            with Allocator(int(number)):
                frames = make()
            assert np.abs(frames - clean).max() <= 1, f"other frames after operation {number}"
            made += 1
        except MachineError as error:
            assert error.hint, f"no hint after operation {number}"
            explained += 1
        assert np.array_equal(make(), clean), f"the clip after operation {number} is another one"
    took = f"{time.perf_counter() - started:.0f} s"
    return f"{engine}: {allocator.count} operations, refused at {len(refused)}: {made} made, {explained} explained, {took}"


if __name__ == "__main__":
    main()
