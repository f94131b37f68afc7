"""Time a batch on one device and on two of one host, or with shared passes: how many clips a second, and the ratio.

    python bench/batch_gpus.py --folder build/svd-random --out bench/results.csv
    python bench/batch_gpus.py --model pocket --devices cuda:0 cuda:0          two workers on one GPU
    python bench/batch_gpus.py --folder build/svd-random --shared --devices cuda:0          clips alone, and in shared passes
    python bench/batch_gpus.py --miniature --devices cpu cpu --clips 8         a rehearsal without a GPU

Writes a random full-size model into the folder once (4.5 GB in fp16). One device, two, and one again are timed in one run, as
machines change their speed; each from what its workers make second on, so that loading and first kernels are left out, to the
moment when the first of them has nothing more to do. Random weights draw noise: clips are not measured, and are written as a
video all the same.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "src"), str(HERE)]

from unstill.batch.crew import Processes  # noqa: E402
from unstill.batch.items import Wish  # noqa: E402
from unstill.batch.ledger import Ledger, read_lines  # noqa: E402
from unstill.batch.run import run_batch  # noqa: E402
from unstill.batch.schedule import News  # noqa: E402
from unstill.batch.survey import Batch  # noqa: E402


class Timed(Processes):
    """Workers whose clips are noted when they are done."""

    def __init__(self, place: str, devices: list[str]) -> None:
        super().__init__(place, devices, debug=True)
        self.done: dict[str, list[float]] = {}

    def wait(self, most_s: float) -> list[News]:
        """Note when clips are done."""
        heard = super().wait(most_s)
        for news in heard:
            if news.kind == "done":
                self.done.setdefault(news.worker, []).append(time.perf_counter())
        return heard

    def rate(self, together: int) -> float:
        """Give clips a second while all workers work, each from the end of its first pass on."""
        end = min(times[-1] for times in self.done.values())
        return sum(rate_of([when for when in times if when <= end], together) for times in self.done.values())


def rate_of(times: list[float], first: int) -> float:
    """Give clips a second between the end of the first ones and the last."""
    return (len(times) - first) / (times[-1] - times[first - 1])


def main() -> None:
    """Make the model, time one device and two, print and keep rows."""
    asked = read_arguments()
    if asked.model is None:
        asked.model = str(asked.folder)
        if not (asked.folder / "model_index.json").exists():
            write_model(asked)
    found: dict[str, list[float]] = {}
    for what, rate in measure(asked):
        found.setdefault(what, []).append(rate)
        print(f"{what}: {rate:.4f} clips/s, {1 / rate:.2f} s a clip", flush=True)
    (plain, plain_rates), (other, _) = found.items()
    rates = {what: statistics.mean(each) for what, each in found.items()}
    spread = f"its two runs differed by {100 * (max(plain_rates) / min(plain_rates) - 1):.1f} %"
    print(f"{other}: {rates[other] / rates[plain]:.3f} times the clips of {plain}; {spread}")
    if asked.out:
        for what, rate in rates.items():
            append(asked, what, rate, f"{rate / rates[plain]:.3f} times the clips of {plain}")


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the random model is, or is written")
    parser.add_argument("--model", help="one that is there, such as pocket, in place of a random one")
    parser.add_argument("--shared", action="store_true", help="compare clips alone with clips in shared passes")
    parser.add_argument("--miniature", action="store_true", help="a small random model in place of the full-size one")
    parser.add_argument("--devices", nargs="+", default=["cuda:0", "cuda:1"])
    parser.add_argument("--clips", type=int, default=12, help="on one device; on several so many each")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--size", default="1024x576")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--run", default="batch-gpus", help="name of this run in bench/results.csv")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.miniature:
        asked.folder = asked.folder or Path(tempfile.mkdtemp(prefix="unstill-miniature-"))
        asked.steps, asked.size, asked.frames = 2, "64x64", 3
    if asked.folder is None and asked.model is None:
        parser.error("--folder says where the model is written")
    return asked


def write_model(asked: argparse.Namespace) -> None:
    """Write a random model, by a process of its own: it leaves gigabytes in memory."""
    full = f"import full_clip, pathlib; full_clip.write_full_size(pathlib.Path({str(asked.folder)!r}))"
    small = f"import miniature, pathlib; miniature.make_miniature(pathlib.Path({str(asked.folder)!r}), frames=3)"
    paths = os.pathsep.join([str(HERE), str(HERE.parent / "tests"), str(HERE.parent / "src")])
    words = [sys.executable, "-c", small if asked.miniature else full]
    subprocess.run(words, check=True, env={**os.environ, "PYTHONPATH": paths})


def measure(asked: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Time one device, all of them, and one again; or clips alone, in shared passes, and alone again."""
    knobs: dict[str, Any] = {name: getattr(asked, name) for name in ("steps", "size", "frames")}
    knobs |= {"model": asked.model, "look": False, "measure": False}
    picture = HERE.parent / "examples" / "harbour.jpg"
    one, several = asked.devices[:1], asked.devices
    runs = [(several, 1), (several, None), (several, 1)] if asked.shared else [(one, 1), (several, 1), (one, 1)]
    for devices, together in runs:
        with tempfile.TemporaryDirectory() as folder:
            count = asked.clips * len(devices)
            rows = [json.dumps({"picture": str(picture), "seed": seed, "name": str(seed)}) for seed in range(count)]
            manifest, clips = Path(folder) / "shots.jsonl", Path(folder) / "clips"
            manifest.write_text("\n".join(rows))
            clips.mkdir()
            batch = Batch([str(manifest)], Wish(knobs), clips)
            with Ledger(clips / "results.jsonl", clips) as ledger, Timed(str(clips), devices) as crew:
                summary = run_batch(batch, batch.look(), crew, ledger, together=together)
                shared = max(line["together"] for line in read_lines(clips / "results.jsonl"))
            if summary.failed or summary.made != count:
                raise SystemExit(f"{summary.failed} of {count} failed: {summary.failures[:1]}")
            workers = "1 worker" if len(devices) == 1 else f"{len(devices)} workers"
            how = ", alone" if together == 1 else f", up to {shared} in a pass"
            yield workers + how * asked.shared, crew.rate(shared)


def append(asked: argparse.Namespace, what: str, rate: float, note: str) -> None:
    """Write one row of bench/results.csv."""
    import torch

    ask = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or "-"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    weights = "random weights" if asked.folder else asked.model
    told = f"{asked.frames} frames of {asked.size}, {asked.steps} steps, {weights}, {asked.clips} clips a worker; {note}"
    row = [asked.run, datetime.datetime.now(datetime.UTC).date().isoformat(), commit, device, f"torch {torch.__version__}"]
    row += ["batch-throughput", what, *[f"{1 / rate:.3f}"] * 3, "", "", "", f"{told}; seconds are for a clip"]
    with asked.out.open("a", newline="") as file:
        csv.writer(file).writerow(row)


if __name__ == "__main__":
    main()
