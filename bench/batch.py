"""Measure what a batch costs besides its clips: its start, its driver, going on, and Ray.

    python bench/batch.py start          100,000 rows: until the first is handed out, and what the driver holds
    python bench/batch.py resume         10,000 clips that are there: the whole command, from start to end
    python bench/batch.py ray            5,000 items of nothing on two actors: what an item costs
    python bench/batch.py scaling        32 clips of pocket at 64x64 on one worker and on two, processes and Ray's actors
    python bench/batch.py first          what a batch of pocket takes besides its clips: Python, torch, loading

Clips of `start` and `resume` are a few bytes, written by the code that publishes clips. `--out FILE` appends rows.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
import platform
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src")]

from unstill.batch.crew import Processes  # noqa: E402
from unstill.batch.items import Item, Wish  # noqa: E402
from unstill.batch.ledger import Ledger, read_lines, stamp_picture  # noqa: E402
from unstill.batch.maker import make_key  # noqa: E402
from unstill.batch.places import ClipFolder  # noqa: E402
from unstill.batch.run import Summary, run_batch  # noqa: E402
from unstill.batch.schedule import News  # noqa: E402
from unstill.batch.survey import Batch  # noqa: E402
from unstill.jobs.files import hash_file  # noqa: E402

Row = tuple[str, float, int, str]  # scenario, seconds, bytes, note
KNOBS = {"model": "pocket", "look": False, "measure": False}
SMALL = ["--model", "pocket", "--size", "64x64", "--frames", "3", "--steps", "2", "--no-look", "--no-measure"]
RUNS = 5


class StandIn:
    """A worker in this process, whose clips are a few bytes."""

    depth = 1

    def __init__(self, model: Any, place: ClipFolder | None) -> None:
        self.model, self.place, self.first_s, self.first_own_s = model, place, 0.0, 0.0
        self._heard = deque([News("ready", "w")])

    def describe(self, knobs: Any, wants_stop: Any = None) -> Any:
        """Say which model runs."""
        return self.model

    def __len__(self) -> int:
        """Count it."""
        return 1

    def submit(self, worker: str, items: Sequence[Item]) -> None:
        """Make them at once."""
        self.first_s = self.first_s or time.perf_counter()
        self.first_own_s = self.first_own_s or time.process_time()
        for item in items:
            self._make(worker, item)

    def _make(self, worker: str, item: Item) -> None:
        key = make_key("0" * 64, item.settings)
        record = {"key": key, "output": item.output, "bytes": 4, "sha256": "0" * 64, "seconds": 0.0}
        if self.place is not None:
            made = self.place.aside(".mp4")
            made.write_bytes(b"clip")
            record["sha256"] = hash_file(made)
            self.place.publish(made, key, record)
        self._heard.append(News("done", worker, item.number, {**record, "stamp": stamp_picture(item.picture), "found": False}))

    def wait(self, most_s: float) -> list[News]:
        """Give what was made."""
        heard, self._heard = list(self._heard), deque()
        return heard

    def leave(self) -> None:
        """Nobody asks for it here."""


def write_rows(folder: Path, count: int, *, with_files: bool) -> Path:
    """Write a manifest, and a file for each row."""
    manifest = folder / "shots.csv"
    with manifest.open("w") as file:
        file.write("picture,motion,seed\n")
        file.writelines(f"photos/{n:07d}.jpg,{20 + n % 200},{n}\n" for n in range(count))
    (folder / "photos").mkdir()
    for number in range(count) if with_files else ():
        (folder / "photos" / f"{number:07d}.jpg").write_bytes(str(number).encode())
    return manifest


def go(manifest: Path, clips: Path, crew: Any) -> Summary:
    """Run a batch to its end."""
    batch = Batch([str(manifest)], Wish(KNOBS), clips)
    clips.mkdir(exist_ok=True)
    with Ledger(clips / "results.jsonl", clips) as ledger:
        return run_batch(batch, batch.look(), crew, ledger)


def command(words: list[str], folder: Path) -> None:
    """Run `unstill` without anybody's configuration, a thread for each worker."""
    (folder / "config.toml").touch()
    environment = {**os.environ, "UNSTILL_CONFIG": str(folder / "config.toml"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "unstill", *words], check=True, env=environment, stdout=subprocess.DEVNULL)


def time_start(folder: Path) -> Iterator[Row]:
    """Time what comes before the first item, then each item, of a long manifest."""
    count = 100_000
    manifest = write_rows(folder, count, with_files=False)
    crew = StandIn({"name": "pocket", "family": "pocket", "frames": 25, "identity": "0"}, None)
    start, start_own = time.perf_counter(), time.process_time()
    summary = go(manifest, folder / "clips", crew)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert summary.made == count
    note = f"{count} rows looked at until the first is handed out, {crew.first_own_s - start_own:.2f} s of the processor's"
    yield "batch-start", crew.first_s - start, peak, f"{note}; peak of all of it"
    start = time.perf_counter()
    with Ledger(folder / "clips" / "results.jsonl", folder / "clips"):
        yield "batch-reread", time.perf_counter() - start, peak, f"{count} lines of results, read when a batch goes on"
    yield (
        "batch-driver",
        (end - crew.first_s) / count,
        peak,
        f"for an item of {count}: reading, naming, handing out, noting",
    )


def time_resume(folder: Path) -> Iterator[Row]:
    """Time the whole command where everything is there."""
    count = 10_000
    manifest, clips = write_rows(folder, count, with_files=True), folder / "clips"
    with Processes(str(clips), ["cpu"]) as crew:
        model = crew.describe(KNOBS)
    go(manifest, clips, StandIn(model, ClipFolder(clips)))
    (folder / "config.toml").touch()
    words = ["batch", str(manifest), "-o", str(clips), "--model", "pocket", "--no-look", "--no-measure", "-q"]
    before = (clips / "results.jsonl").stat().st_size
    start = time.perf_counter()
    command(words, folder)
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert (clips / "results.jsonl").stat().st_size == before, "something was made again"
    yield (
        "batch-resume",
        took,
        peak,
        f"`unstill batch` of {count} clips that are there, from start to end; peak of its worker",
    )


class Idle:
    """An actor that makes nothing."""

    def __init__(self, place: str, device: str) -> None: ...

    def is_ready(self) -> bool:
        """Answer."""
        return True

    def make(self, orders: Any) -> Any:
        """Give a record as large as a clip's."""
        told = {"moves": "x" * 200, "error": None, "stamp": "", "found": False, "bytes": 4, "seconds": 0.0}
        return {order["number"]: {**told, "knobs": order["knobs"], "output": order["output"]} for order in orders}


def time_ray(folder: Path) -> Iterator[Row]:
    """Time items of nothing on Ray: the driver's own time, and the whole."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    from unstill.batch.on_ray import Actors
    from unstill.cluster import HERE as START_HERE
    from unstill.cluster import Cluster

    class Idling(Actors):
        actor = Idle
        started = 0.0

        def describe(self, knobs: Any, wants_stop: Any = None) -> Any:
            while not any(news.kind == "ready" for news in self._early):
                self._early += self._wait(1.0)
            self.started, self.cpu = time.perf_counter(), time.process_time()
            return {"name": "pocket", "family": "pocket", "frames": 25, "identity": "0"}

    count = 5000
    manifest = write_rows(folder, count, with_files=True)
    with Idling(Cluster(START_HERE, cores=1), str(folder / "clips")) as crew:
        summary = go(manifest, folder / "clips", crew)
        whole, own = time.perf_counter() - crew.started, time.process_time() - crew.cpu
    assert summary.made == count
    yield "batch-ray", whole / count, 0, f"for an item of nothing, of {count}, on {os.cpu_count()} actors, from order to record"
    yield "batch-ray-driver", own / count, 0, f"of it the driver's processor time, Ray's threads included, of {count} items"


def time_scaling(folder: Path) -> Iterator[Row]:
    """Time small clips on one worker and on two, each with one thread."""
    from PIL import Image

    Image.open(HERE.parent / "examples" / "harbour.jpg").resize((96, 64)).save(folder / "one.png")
    rows = "".join(f"one.png,{seed},{seed}\n" for seed in range(32))
    (folder / "shots.csv").write_text("picture,seed,name\n" + rows)
    ways = {"processes": ["--devices", "cpu", "--workers"], "actors": ["--cores"]}
    for way, words in ways.items():
        for number, workers in enumerate((1, 2, 1)):  # machines change their speed
            clips = folder / f"clips-{way}-{number}"
            count = str(workers if way == "processes" else (os.cpu_count() or 1) // workers)
            last = ["--ray"] if way == "actors" else []
            command(["batch", str(folder / "shots.csv"), "-o", str(clips), *SMALL, "-q", *words, count, *last], folder)
            done = sorted(path.stat().st_mtime for path in clips.glob("*.mp4"))
            each = (done[-1] - done[workers - 1]) / (len(done) - workers)  # what comes before is the start of Python
            yield f"batch-scaling-{way}-{workers}", each, 0, "a clip of pocket, 3 frames of 64x64, one thread"


def time_first(folder: Path) -> Iterator[Row]:
    """Time what comes before a worker makes clips as quickly as it will: the whole command, less its clips at that pace."""
    from PIL import Image

    Image.open(HERE.parent / "examples" / "harbour.jpg").resize((96, 64)).save(folder / "one.png")
    (folder / "shots.csv").write_text("picture,seed,name\n" + "".join(f"one.png,{seed},{seed}\n" for seed in range(5)))
    before = []
    for number in range(RUNS):
        clips = folder / f"clips-{number}"
        start = time.perf_counter()
        command(["batch", str(folder / "shots.csv"), "-o", str(clips), *SMALL, "--devices", "cpu", "-q"], folder)
        took = time.perf_counter() - start
        each = [line["seconds"] for line in read_lines(clips / "results.jsonl")]
        before.append(took - len(each) * statistics.median(each[1:]))
    note = f"`unstill batch` besides its clips of pocket, median of {RUNS}: Python, torch, loading, the first clip's delay"
    yield "batch-first", statistics.median(before), 0, note


PARTS = {"start": time_start, "resume": time_resume, "ray": time_ray, "scaling": time_scaling, "first": time_first}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--run", default="batch", help="name of this run in bench/results.csv")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    for part in asked.parts:
        with tempfile.TemporaryDirectory() as folder:
            for scenario, seconds, peak, note in PARTS[part](Path(folder)):
                print(f"{scenario:18} {seconds:10.5f} s  {peak / 1e6:6.0f} MB  {note}", flush=True)
                if asked.out:
                    append(asked, scenario, seconds, peak, note)


def append(asked: argparse.Namespace, scenario: str, seconds: float, peak: int, note: str) -> None:
    """Write one row of bench/results.csv."""
    ask = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or "-"
    row = [asked.run, datetime.datetime.now(datetime.UTC).date().isoformat(), commit, f"CPU, {os.cpu_count()} cores"]
    row += [f"Python {platform.python_version()}", scenario, "batch", *[f"{seconds:.5f}"] * 3, peak or "", "", ""]
    row.append(f"{note}; load of the machine {os.getloadavg()[0]:.1f}")
    with asked.out.open("a", newline="") as file:
        csv.writer(file).writerow(row)


if __name__ == "__main__":
    main()
