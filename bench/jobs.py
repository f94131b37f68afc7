"""How quick the queue and the server are, and whether slow clients slow others down.

    python bench/jobs.py [--out rows.csv] [--commit HASH]

Jobs are claimed and ended by two processes on a store whose every commit is flushed to the disk; the server is `unstill serve`
without workers. It measures neither networks nor clips.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import multiprocessing
import os
import platform
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from forks import Forks  # noqa: E402 - the tests are no package
from served import Served  # noqa: E402
from unstill.jobs.files import Folder  # noqa: E402
from unstill.jobs.records import Order, Output  # noqa: E402
from unstill.jobs.store import Store  # noqa: E402

JOBS, EVENTS, POSTS, ASKED, ROUNDS = 600, 200, 200, 500, 9
IDLE = 500  # listeners to whom nothing happens
SLOW = {"headers": 60, "bodies": 60, "downloads": 20}
Row = list[object]


def finish_jobs(path: Path, taken: multiprocessing.Queue[list[float]]) -> None:
    """Claim and end jobs until there are none; tell how long each took."""
    store, times = Store(path), []
    while True:
        start = time.perf_counter()
        job = store.claim(str(os.getpid()), lease_s=600)
        if job is None:
            break
        store.complete(job, Output(f"{job.id}.mp4", "0" * 64, 1, {"frames": 25}))
        times.append(time.perf_counter() - start)
    taken.put(times)


def measure_queue(root: Path) -> Row:
    """Claim and end jobs with two processes."""
    store = Store(Folder(root).make().store)
    for number in range(JOBS):
        store.submit(Order({"seed": number}, "0" * 64))
    taken: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=finish_jobs, args=[store.path, taken]) for _ in range(2)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    times = [one for _ in workers for one in taken.get()]
    for worker in workers:
        worker.join()
    rate = len(times) / (time.perf_counter() - start)
    assert store.count() == {"completed": JOBS}
    return [*spread(times), f"{JOBS} jobs claimed and ended by two processes: {rate:.0f} jobs a second, their start included"]


def spread(times: Sequence[float]) -> list[float]:
    """Give the p20, the median and the p80."""
    ordered = sorted(times)
    return [round(ordered[int(len(ordered) * share)], 5) for share in (0.2, 0.5, 0.8)]


def p99(times: Sequence[float]) -> float:
    """Give the 99th percentile."""
    return sorted(times)[int(len(times) * 0.99)]


def measure_events(server: Served, note: str) -> Row:
    """Let things happen in another process, as workers do, and take the time until a listener has read of them."""
    store, late = Store(Folder(server.folder).store), list[float]()
    job = store.submit(Order({}, "0" * 64, priority=100))
    claimed = store.claim("bench", lease_s=600)
    assert claimed is not None and claimed.id == job.id
    with server.http.stream("GET", f"/v1/videos/{job.id}/events") as answer:
        teller = multiprocessing.Process(target=tell, args=[store.path, job.id])
        teller.start()
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told = json.loads(line[6:])
                if told["kind"] == "progress":
                    late.append(time.time() - told["at"])
                if len(late) == EVENTS:
                    break
        teller.join()
    store.stop(claimed)
    return [*spread(late), f"{EVENTS} events of another process, until a listener has them, {note}: p99 {p99(late):.3f} s"]


def tell(path: Path, id: str) -> None:
    """Say how far a job is, again and again."""
    store = Store(path)
    for number in range(EVENTS):
        time.sleep(0.02)
        store.beat(store.get(id), "sample", number / EVENTS, 600)


@contextmanager
def lines(server: Served, count: int, text: str) -> Iterator[list[socket.socket]]:
    """Hold lines on which something was said."""
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(count)]
    for line in held:
        line.sendall(text.encode())
    try:
        yield held
    finally:
        for line in held:
            line.close()


def measure_posts(server: Served) -> Row:
    """Post all at once."""
    times, codes, small = list[float](), Counter[int](), io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(small, "JPEG")

    def post() -> None:
        start = time.perf_counter()
        codes[server.post(picture=small.getvalue()).status_code] += 1
        times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=post) for _ in range(POSTS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    all_s = time.perf_counter() - start
    return [*spread(times), f"{POSTS} posts of a small picture at once, room for 100: {dict(codes)} in {all_s:.1f} s"]


def ask(server: Served) -> list[float]:
    """Ask as a client does that looks at a list, one after the other."""
    times = []
    with httpx2.Client(base_url=server.http.base_url, timeout=60) as http:
        http.get("/v1/videos?limit=5")
        for _ in range(ASKED):
            start = time.perf_counter()
            assert http.get("/v1/videos?limit=5").status_code == 200
            times.append(time.perf_counter() - start)
    return times


@contextmanager
def slow_clients(server: Served) -> Iterator[None]:
    """Drip headers and bodies, a byte every tenth of a second each, and begin downloads that nobody reads."""
    head = "GET /v1/videos HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
    body = "POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    store = Store(Folder(server.folder).store)
    done = store.list_jobs(states=["completed"])[0]
    load = f"GET /v1/videos/{done.id}/content HTTP/1.1\r\nHost: localhost\r\n\r\n"
    over = threading.Event()

    def drip(held: list[socket.socket]) -> None:
        while not over.wait(0.1):
            for number, line in enumerate(held):
                try:
                    line.sendall(b"x")
                except OSError:  # it was let go at its deadline: another one takes its place
                    held[number] = socket.create_connection(("127.0.0.1", server.port), timeout=60)
                    held[number].sendall(head.encode())

    with (
        lines(server, SLOW["headers"], head) as first,
        lines(server, SLOW["bodies"], body) as second,
        lines(server, SLOW["downloads"], load),
    ):
        thread = threading.Thread(target=drip, args=[first + second])
        thread.start()
        time.sleep(0.5)
        yield
        over.set()
        thread.join()


def measure_slow(server: Served) -> Row:
    """Ask with and without slow clients beside, in turns."""
    store = Store(Folder(server.folder).store)
    store.submit(Order({}, "0" * 64, priority=100))
    claimed = store.claim("bench", lease_s=600)
    assert claimed is not None
    clip = Folder(server.folder).place_output(".mp4")
    clip.write_bytes(b"\0" * 60 * 2**20)
    store.complete(claimed, Output(clip.name, "0" * 64, 60 * 2**20, {}))
    alone, beside = list[float](), list[float]()
    for _ in range(ROUNDS):
        alone += ask(server)
        with slow_clients(server):
            beside += ask(server)
    told = ", ".join(f"{count} slow {what}" for what, count in SLOW.items())
    worst, ratio = 1000 * p99(beside), p99(beside) / p99(alone)
    note = f"asking for a list beside {told}: p99 {worst:.1f} ms, {ratio:.2f} times that without them"
    return [*spread(beside), f"{note} ({len(beside)} each, in {ROUNDS} turns)"]


def main() -> None:
    """Measure, print, and append rows of bench/results.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--commit", default="")
    asked = parser.parse_args()
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory(dir=ROOT) as place, Forks() as forks:  # on a disk: /tmp may be memory
        root = Path(place)
        rows["jobs-queue"] = measure_queue(root / "queue")
        (root / "server").mkdir()
        server = Served(forks, root / "server" / "data", "--keep-free", "0")
        rows["jobs-events"] = measure_events(server, "nobody else listening")
        waits = Store(Folder(server.folder).store).submit(Order({}, "0" * 64)).id
        with lines(server, IDLE, f"GET /v1/videos/{waits}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            time.sleep(3)
            rows["jobs-events-idle"] = measure_events(server, f"beside {IDLE} that are told nothing")
        rows["jobs-slow-clients"] = measure_slow(server)
        Store(Folder(server.folder).store).delete(waits)
        rows["jobs-posts"] = measure_posts(server)
        server.stop()
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    told = ["jobs-1", day, asked.commit, f"{os.cpu_count()} CPU cores", versions]
    table = [[*told, name, "sqlite-full", *row[:3], "", "", "", row[3]] for name, row in rows.items()]
    for row in table:
        print(f"{row[5]}: median {1000 * float(str(row[8])):.1f} ms; {row[-1]}")
    if asked.out is not None:
        with asked.out.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)


if __name__ == "__main__":
    main()
