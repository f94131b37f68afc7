"""Kill workers and the server at random moments, over and over, and say what was found: soak.py [KILLS]     (make soak)

Jobs of the bundled model at its smallest are posted, each with a key of its own, and posted again until they are answered;
a listener follows all events through every restart. At the end nothing may be lost, nothing published twice, and no end
missed by the listener. The last line is a row of bench/results.csv.
"""

from __future__ import annotations

import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx2

from forks import Child, Forks, Keeper
from invariants import check_invariants
from served import QUICK, Served, wait_until
from server import HARBOUR
from unstill.errors import StoreError
from unstill.jobs.files import Folder
from unstill.jobs.records import Event
from unstill.jobs.store import Store

WAITING = 4  # jobs that are kept waiting
SERVER_SHARE = 0.3  # of the kills
LONGEST_S = 1.5  # between two kills
LEASE_S = 2.0


class Client(threading.Thread):
    """Whoever asks for clips: with the same key again until there is an answer."""

    def __init__(self, url: str, store: Store) -> None:
        super().__init__(daemon=True)
        self.url, self.store = url, store
        self.accepted: dict[str, str] = {}  # the job of each key
        self.counts: Counter[str] = Counter()
        self.is_over = False

    def run(self) -> None:
        with httpx2.Client(base_url=self.url, timeout=60) as http:
            while not self.is_over:
                is_new = self.store.count().get("queued", 0) < WAITING or not self.accepted
                self.post(http, len(self.accepted) if is_new else random.randrange(len(self.accepted)))
                self.ask_again(http)
                time.sleep(random.uniform(0, 0.1))

    def post(self, http: httpx2.Client, number: int) -> None:
        """Post one job until it is accepted; one that was posted before must be the same."""
        data, key = {**QUICK, "seed": number}, f"job {number}"
        while True:
            files = {"input_reference": ("harbour.jpg", HARBOUR.read_bytes(), "image/jpeg")}
            try:
                answer = http.post("/v1/videos", data=data, files=files, headers={"Idempotency-Key": key})
            except httpx2.TransportError:
                self.counts["posts that broke off"] += 1
                time.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            known = self.accepted.setdefault(key, answer.json()["id"])
            assert known == answer.json()["id"], "one key gave two jobs"
            self.counts["posts answered"] += 1
            return

    def ask_again(self, http: httpx2.Client) -> None:
        """Let jobs wait again whose workers died too often: they must say so."""
        for job in self.store.list_jobs(limit=100, states=["failed"]):
            assert job.error is not None and job.error["code"] == "worker_lost", job.error
            try:
                if http.post(f"/v1/videos/{job.id}/retry").status_code == 200:
                    self.counts["given up after three deaths, and asked for again"] += 1
            except httpx2.TransportError:
                pass


class Listener(threading.Thread):
    """Whoever follows all jobs, and goes on after the last event that was heard."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.last = url, 0
        self.ends: Counter[str] = Counter()
        self.reconnects = 0
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            try:
                with httpx2.stream(
                    "GET", f"{self.url}/v1/events", headers={"Last-Event-ID": str(self.last)}, timeout=60
                ) as answer:
                    self.read(answer)
            except httpx2.TransportError:
                self.reconnects += 1
                time.sleep(0.05)

    def read(self, answer: httpx2.Response) -> None:
        """Read events; ids must rise."""
        number = 0
        for line in answer.iter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
                assert number > self.last, "an event was told twice, or out of order"
            elif line.startswith("data: "):
                told = json.loads(line[6:])
                self.last = number
                if told["kind"] == "completed":
                    self.ends[told["video"]] += 1


class Soak:
    """The processes, and whoever kills them."""

    def __init__(self, forks: Forks, root: Path, seed: int) -> None:
        self.forks, self.dice = forks, random.Random(seed)
        self.folder = Folder(root / "data").make()
        self.store = Store(self.folder.store)
        self.server = Served(forks, self.folder.root, "--queue", "1000", "--keep-free", "0")
        self.workers = [self.hire(), self.hire()]
        self.kills: Counter[str] = Counter()
        self.losses: list[tuple[str, float]] = []  # a running job and when its worker was killed
        self.log = root / "workers.log"

    def hire(self) -> Child:
        """Fork a worker."""
        return self.forks.work(self.folder.root, most=None, lease_s=LEASE_S, log=self.folder.root.parent / "workers.log")

    def kill(self) -> None:
        """Kill one process, and start it again."""
        if self.dice.random() < SERVER_SHARE:
            self.server.kill()
            self.kills["server"] += 1
            self.server.start()
            return
        number = self.dice.randrange(len(self.workers))
        worker = self.workers[number]
        held = [job.id for job in self.store.list_jobs(limit=10, states=["running"]) if job.worker == f"{worker.pid}@cpu"]
        worker.kill()
        self.losses += [(id, time.time()) for id in held]
        worker.wait()
        self.kills["worker"] += 1
        self.workers[number] = self.hire()

    def measure_losses(self) -> list[float]:
        """Say how long each job that lost its worker took to be known as such."""
        taken = []
        for id, at_s in self.losses:
            later = [event.at_s for event in self.store.list_events(job=id, limit=10_000)
                     if event.at_s > at_s and event.kind in ("queued", "failed")]  # fmt: skip
            if later:  # else it was completed between the look and the kill
                taken.append(later[0] - at_s)
        return taken

    def leave(self) -> None:
        """Let all of them leave as they should."""
        assert self.server.stop() == 0
        for worker in self.workers:
            worker.terminate()
            assert worker.wait() == 0


def soak(forks: Forks, root: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill so often; give the figures."""
    began, all_of = time.monotonic(), Soak(forks, root, seed)
    url = f"http://127.0.0.1:{all_of.server.port}"
    client, listener = Client(url, Store(all_of.folder.store)), Listener(url)
    client.start()
    listener.start()
    while sum(all_of.kills.values()) < kills:
        time.sleep(all_of.dice.uniform(0, LONGEST_S))
        all_of.kill()
        assert client.is_alive() and listener.is_alive(), "a client found something wrong"
        if sum(all_of.kills.values()) % 100 == 0:
            print(f"{dict(all_of.kills)} kills, jobs {all_of.store.count()}, {time.monotonic() - began:.0f} s", flush=True)
    client.is_over = True
    client.join()
    with httpx2.Client(base_url=url, timeout=60) as http:
        wait_until(
            lambda: client.ask_again(http) or all_of.store.count() == {"completed": len(client.accepted)}, "all ends", 3600
        )
    wait_until(lambda: len(listener.ends) == len(client.accepted), "the listener's hearing of all ends")
    listener.is_over = True
    losses = all_of.measure_losses()
    found = check(all_of, client, listener)
    all_of.leave()
    return {"kills": dict(all_of.kills), "jobs": len(client.accepted), **client.counts, **found,
            "reconnects of the listener": listener.reconnects, "losses": losses, "seconds": round(time.monotonic() - began)}  # fmt: skip


def check(all_of: Soak, client: Client, listener: Listener) -> dict[str, int]:
    """Look whether all is as it must be; count what is not."""
    folder, store = all_of.folder, all_of.store
    ids, kept = set(client.accepted.values()), {job.id for job in store.list_jobs(limit=2**31)}
    ends = Counter(event.job for event in walk_events(store) if event.kind == "completed")
    found = {"lost": len(ids - kept), "made without being asked for": len(kept - ids) + len(client.accepted) - len(ids),
             "published twice": sum(count > 1 for count in ends.values())}  # fmt: skip
    assert not any(found.values()), found
    assert listener.ends == Counter(ids), "an end was missed, or told twice"
    check_invariants(folder, store, ids, all_of.server)
    assert "Traceback" not in all_of.log.read_text(), all_of.log.read_text()[-3000:]
    for place in folder.list_old(*store.list_names(), old_s=-1):
        place.unlink()
    left = {path.name.partition(".")[0] for path in folder.outputs.iterdir()}
    assert left == {job.output.partition(".")[0] for job in store.list_jobs(limit=2**31)}, "I3: what nobody names is left"
    return found


def walk_events(store: Store) -> Iterator[Event]:
    """Give all events that are kept."""
    last = 0
    while events := store.list_events(last):
        yield from events
        last = events[-1].id


def main() -> None:
    """Soak, and print the figures."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as root, Keeper(Path(root)) as forks:
        try:
            found = soak(forks, Path(root), kills, seed=kills)
        except StoreError as error:
            raise SystemExit(f"the store: {error}") from error
    losses = sorted(found.pop("losses")) or [0.0]
    found["a lost worker's job waits again after, s"] = f"median {statistics.median(losses):.2f}, at most {losses[-1]:.2f}"
    for name, value in found.items():
        print(f"{name}: {value}")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    note = "; ".join(f"{name} {value}" for name, value in found.items()).replace("{", "").replace("}", "").replace("'", "")
    p20, p50, p80 = (round(losses[int(len(losses) * share)], 3) for share in (0.2, 0.5, 0.8))
    row = [f"soak-{kills}", date.today(), commit, f"{os.cpu_count()} CPU cores", f"Python {sys.version.split()[0]}", "jobs-soak",
           "pocket-cpu", p20, p50, p80, "", "", 0, note]  # fmt: skip
    csv.writer(sys.stdout).writerow(row)


if __name__ == "__main__":
    main()
