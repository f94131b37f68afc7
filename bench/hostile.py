"""How long a server takes to answer pictures that lie, and how much memory decoding them holds.

    python bench/hostile.py
    python bench/hostile.py --out rows.csv --commit 0123abc     # a row of bench/results.csv

Every picture of tests/hostile.py is sent over HTTP, one after the other, to a server of its own. Times are of the clock, from
the first byte sent to the last one read. Memory is the most that a fork was seen to hold, looked at every millisecond. Pictures
that are as large as they may be come last: they tell no lies and may take longer, but no more memory.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import re
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent / "tests")]

from hostile import make_liars, make_oddities, make_strangers  # noqa: E402
from server import Server, http  # noqa: E402

MOST_S, MOST_BYTES = 2.0, 512 * 2**20
SLOWEST_SHOWN = 5


def main() -> int:
    """Send them all, print the slowest and the largest, and say whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--commit", default="")
    asked = parser.parse_args()
    pictures = {**make_strangers(), **make_liars(), **make_oddities()}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        try:
            send(server, make_strangers()["noise.png"])  # the process that forks is started with the first one
            found = {name: measure(server, data) for name, data in pictures.items()}
            large = {name: measure(server, data) for name, data in make_largest().items()}
        finally:
            server.stop()
    times = [took_s for took_s, _, _ in found.values()]
    largest = max(found | large, key=lambda name: (found | large)[name][1])
    peak = (found | large)[largest][1]
    print(f"{len(found)} pictures: median {statistics.median(times):.3f} s, slowest {max(times):.2f} s")
    print(f"most memory {peak / 2**20:.0f} MiB ({largest})")
    slowest = sorted(found.items(), key=lambda item: -item[1][0])[:SLOWEST_SHOWN]
    for name, (took_s, held, status) in [*slowest, *large.items()]:
        print(f"  {name:<28}{took_s:6.2f} s {held / 2**20:6.0f} MiB   {status}")
    faults = {name: status for name, (_, _, status) in (found | large).items() if status not in (200, 422)}
    print(f"answers that are neither 200 nor 422: {faults or 'none'}")
    if asked.out:
        write_row(asked.out, asked.commit, times, peak, largest)
    return int(max(times) > MOST_S or peak > MOST_BYTES or bool(faults))


def make_largest() -> dict[str, bytes]:
    """Make pictures that are as large as they may be; flat ones, as what they take does not depend on what they show."""
    found = {}
    for name, size, options in (("largest.png", (8700, 7100), {"compress_level": 1}), ("largest.jpg", (7800, 7900), {}),
                                ("largest.webp", (5000, 5000), {"method": 0})):  # fmt: skip
        stream = io.BytesIO()
        Image.new("RGB", size, (90, 80, 70)).save(stream, {"jpg": "JPEG"}.get(name[8:], name[8:].upper()), **options)
        found[name] = stream.getvalue()
    return found


def send(server: Server, data: bytes) -> int:
    """Send a picture; give the status of the answer."""
    return http.post(f"{server.url}/v1/pictures", files={"picture": ("picture.png", data, "image/png")}).status_code


def measure(server: Server, data: bytes) -> tuple[float, int, int]:
    """Give seconds, the most bytes that a fork held, and the status."""
    done, peaks = threading.Event(), [0]
    watcher = threading.Thread(target=watch, args=(server.process.pid, done, peaks))
    watcher.start()
    start = time.perf_counter()
    status = send(server, data)
    took_s = time.perf_counter() - start
    done.set()
    watcher.join()
    return took_s, max(peaks), status


def watch(server: int, done: threading.Event, peaks: list[int]) -> None:
    """Note what forks hold, until all is done."""
    while not done.wait(0.001):
        for parent in list_children(server):
            for fork in list_children(parent):
                peaks.append(read_peak(fork))


def list_children(process: int) -> list[int]:
    """List the processes that a process has started."""
    try:
        tasks = Path(f"/proc/{process}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def read_peak(process: int) -> int:
    """Give the most that a process has held so far."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def write_row(path: Path, commit: str, times: list[float], peak: int, largest: str) -> None:
    """Append a row."""
    low, middle, high = (round(time_s, 4) for time_s in statistics.quantiles(times, n=10)[1::3])
    note = (f"{len(times)} pictures of tests/hostile.py over HTTP, slowest {max(times):.2f} s; "
            f"memory of the fork that decodes, most for {largest}")  # fmt: skip
    row = ["hostile-1", datetime.datetime.now(datetime.UTC).date().isoformat(), commit, "CPU",
           f"Python {sys.version.split()[0]}", "hostile-pictures", "serve", low, middle, high, peak, "", "", note]  # fmt: skip
    with path.open("a", newline="") as file:
        csv.writer(file).writerow(row)


if __name__ == "__main__":
    raise SystemExit(main())
