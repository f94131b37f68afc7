"""Run the real dispatcher for a million pictures on a thousand workers that only pretend, on a clock that only pretends.

    python bench/simulate_batch.py --workers 1000 --items 1000000 --clip-s 9.7 --out bench/results.csv

The rows are those of a manifest that is written for it, and go through the code that reads, names and settles them; results
are written to a file as a batch does. Workers take `--clip-s` seconds each, spread by a fifth; one in ten thousand clips ends
in the death of its worker, which takes `--start-s` to come back. What the driver really spends between two waits is put onto
the clock, so that workers that wait for it are idle. Prints the share of time that workers were idle, the driver's time an
item, and its memory after each tenth.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import heapq
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src")]

from unstill.batch.items import Item, Wish  # noqa: E402
from unstill.batch.ledger import Ledger  # noqa: E402
from unstill.batch.run import run_batch  # noqa: E402
from unstill.batch.schedule import News  # noqa: E402
from unstill.batch.survey import Batch  # noqa: E402

MODEL = {"name": "svd-xt", "family": "svd-xt", "frames": 25, "identity": "0" * 32}
RECORD = {
    "stamp": "",
    "error": None,
    "found": False,
    "key": "0" * 64,
    "sha256": "0" * 64,
    "bytes": 1_000_000,
    "moves": "It moves.",
}


class Pretending:
    """Workers with a clock of their own."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.depth, self.dice = asked, asked.depth, random.Random(0)
        self.clock_s = self.busy_s = self.driver_s = 0.0
        self.deaths = 0
        self._alive = 0.0  # seconds that workers have lived, up to `_since`
        self._since: dict[str, float] = {}
        self._coming: list[tuple[float, int, str, str, int]] = []  # what happens when
        self._queues: dict[str, deque[Item]] = {}
        self._count = 0
        for number in range(asked.workers):
            self._come(0.0, "ready", f"w{number}", 0)
        self._left = time.perf_counter()

    def describe(self, knobs: object, wants_stop: object = None) -> dict[str, object]:
        """Say which model runs."""
        return MODEL

    def __len__(self) -> int:
        """Count the workers."""
        return self.asked.workers

    def submit(self, worker: str, items: Sequence[Item]) -> None:
        """Take items; what is begun at once is."""
        queue = self._queues[worker]
        is_idle = not queue
        queue.extend(items)
        if is_idle:
            self._begin(worker, self.clock_s)

    def wait(self, most_s: float) -> list[News]:
        """Go to the next thing that happens; what the driver took meanwhile has passed for the workers too."""
        spent = time.perf_counter() - self._left
        self.driver_s += spent
        self.clock_s += spent
        heard = []
        if self._coming and self._coming[0][0] > self.clock_s:
            self.clock_s = self._coming[0][0]
        while self._coming and self._coming[0][0] <= self.clock_s:
            when, _, kind, worker, number = heapq.heappop(self._coming)
            heard.append(self._happen(when, kind, worker, number))
        self._left = time.perf_counter()
        return heard

    def leave(self) -> None:
        """Nobody asks for it here."""

    def _happen(self, when: float, kind: str, worker: str, number: int) -> News:
        if kind == "ready":
            self._queues[worker], self._since[worker] = deque(), when
            return News("ready", worker)
        if kind == "lost":
            self.deaths += 1
            del self._queues[worker]
            self._alive += when - self._since.pop(worker)
            self._come(when + self.asked.start_s, "ready", f"{worker}+", 0)
            return News("lost", worker, reason="it was preempted")
        self._queues[worker].popleft()
        if self._queues[worker]:
            self._begin(worker, when)  # the next order was there already
        return News("done", worker, number, {**RECORD, "seconds": self.asked.clip_s})

    def _begin(self, worker: str, when: float) -> None:
        takes_s = self.asked.clip_s * self.dice.uniform(0.8, 1.2)
        dies = self.dice.random() < self.asked.deaths
        self.busy_s += takes_s
        self._come(when + takes_s, "lost" if dies else "done", worker, self._queues[worker][0].number)

    def _come(self, when: float, kind: str, worker: str, number: int) -> None:
        self._count += 1
        heapq.heappush(self._coming, (when, self._count, kind, worker, number))

    def idle(self) -> float:
        """Give the share of their lives that workers had nothing to do."""
        lived_s = self._alive + sum(self.clock_s - since for since in self._since.values())
        return 1 - self.busy_s / lived_s


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--clip-s", type=float, default=9.7, help="a clip of SVD on one H200")
    parser.add_argument("--start-s", type=float, default=60.0, help="until another worker stands in the place of a dead one")
    parser.add_argument("--deaths", type=float, default=1e-4, help="of workers, for each item")
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--run", default="simulate-batch", help="name of this run in bench/results.csv")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def memory_bytes() -> int:
    """Give the memory that this process holds now."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    """Pretend, print, and keep a row."""
    asked = read_arguments()
    with tempfile.TemporaryDirectory() as folder:
        manifest, held = Path(folder) / "shots.csv", list[int]()
        with manifest.open("w") as file:
            file.write("picture,motion,seed\n")
            file.writelines(f"s3://shots/{n // 1000:04d}/{n:07d}.jpg,{20 + n % 200},{n}\n" for n in range(asked.items))
        start = time.perf_counter()
        batch = Batch([str(manifest)], Wish({"model": "svd-xt"}), None)
        survey = batch.look()
        looked_s = time.perf_counter() - start
        print(f"looked at {survey.count} rows in {looked_s:.1f} s, {memory_bytes() / 1e6:.0f} MB", flush=True)
        crew = Pretending(asked)

        def watch(summary: object) -> None:
            if summary.done % (asked.items // 10) == 0:
                held.append(memory_bytes())
                print(f"{summary.done:9} done, {held[-1] / 1e6:.0f} MB, {crew.clock_s / 3600:.2f} h", flush=True)

        with Ledger(Path(folder) / "results.jsonl", None) as ledger:
            summary = run_batch(batch, survey, crew, ledger, watch=watch)
        assert summary.made == asked.items and not summary.failed
    each_ms = 1000 * crew.driver_s / asked.items
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{crew.clock_s / 3600:.2f} h for {asked.items} clips on {asked.workers} workers, {crew.deaths} of them died; "
          f"idle {100 * crew.idle():.3f} %, driver {each_ms:.3f} ms an item, {peak / 1e6:.0f} MB at most, "
          f"{(held[-1] - held[0]) / 1e6:+.1f} MB from the first tenth to the last")  # fmt: skip
    if asked.out:
        append(asked, crew, each_ms, peak, looked_s)


def append(asked: argparse.Namespace, crew: Pretending, each_ms: float, peak: int, looked_s: float) -> None:
    """Write one row of bench/results.csv."""
    ask = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or "-"
    note = (f"{asked.items} items on {asked.workers} pretended workers of {asked.clip_s:g} s a clip, {crew.deaths} deaths; "
            f"idle {100 * crew.idle():.3f} %, {crew.clock_s / 3600:.2f} h of their clock; rows looked at in {looked_s:.1f} s; "
            "seconds are the driver's for an item")  # fmt: skip
    row = [asked.run, datetime.datetime.now(datetime.UTC).date().isoformat(), commit, f"CPU, {os.cpu_count()} cores"]
    row += [
        f"Python {platform.python_version()}",
        "batch-simulated",
        "dispatcher",
        *[f"{each_ms / 1000:.6f}"] * 3,
        peak,
        "",
        "",
        note,
    ]
    with asked.out.open("a", newline="") as file:
        csv.writer(file).writerow(row)


if __name__ == "__main__":
    main()
