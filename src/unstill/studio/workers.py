"""One process for each device, or one for a cluster, replaced when it dies or hangs. It does not know what they work on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unstill.cluster import Cluster
from unstill.errors import DiskFull, LostClaim, StoreError
from unstill.jobs.clock import read_time_s
from unstill.jobs.files import Folder
from unstill.jobs.processors import choose_waiting, share_processors
from unstill.jobs.states import RUNNING
from unstill.jobs.store import LEASE_S, Store
from unstill.jobs.worker import LACKS, is_gone, read_pid

LOOK_S = 0.5
FORGET_S, SWEEP_S = 10.0, 300.0
GRACE_S = 10.0  # for the step that is under way
LONGEST_START_S = 120.0  # until the first sign of life: Python may come from a cold disk
LONGEST_PAUSE_S = 30.0  # before a worker that dies at once is started again
STEADY_S = 60.0  # a worker that lived so long did not die at once


@dataclass(frozen=True)
class Keeping:
    """How long and how much is kept of what has ended, and what must stay free on the disk."""

    days: float = 30.0
    most_bytes: int | None = None  # of clips
    free_bytes: int = 10**9  # with less, no new jobs are taken


@dataclass(frozen=True)
class Duty:
    """How a worker's process is started: a module and its options, the folder aside."""

    words: tuple[str, ...]
    computes: bool = True  # itself, on this machine; else others do, who may not be there


def give_devices(devices: Sequence[str]) -> dict[str, Duty]:
    """Let a process work on each device."""
    return {device: Duty(("unstill.jobs.worker", "--device", device)) for device in devices}


def give_cluster(cluster: Cluster) -> dict[str, Duty]:
    """Let a process hand the work to a cluster."""
    return {"ray": Duty(("unstill.jobs.on_ray", *cluster.to_words()), computes=False)}


class Workers:
    """Keep workers running, take back what dead ones held, and forget what is kept no longer."""

    def __init__(
        self, folder: Folder, store: Store, duties: Mapping[str, Duty], keeping: Keeping, lease_s: float = LEASE_S
    ) -> None:
        self.keeping = keeping
        self.folder, self.store, self.duties, self.lease_s = folder, store, duties, lease_s
        self.running: dict[str, Running] = {}
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._old: set[Path] = set()
        self._told = ""

    def start(self) -> None:
        """Start all of them, and watch."""
        for name, duty in self.duties.items():
            self.running[name] = Running(name, duty, self.folder.root, self.lease_s, len(self.duties))
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Say whether any worker runs, gives signs of life and can make clips."""
        return any(worker.is_alive and worker.is_able for worker in self.running.values())

    def ask_to_leave(self) -> None:
        """Let them end their step and give their jobs back, and start no more of them."""
        self._leaves.set()
        for worker in self.running.values():
            worker.process.terminate()

    def stop(self, grace_s: float = GRACE_S, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Let all of them leave; who does not within the grace, or in a hurry, is killed, and its job waits again."""
        self._leaves.set()
        if self._thread.is_alive():
            self._thread.join()
        self.ask_to_leave()  # those too that were started meanwhile
        end = time.monotonic() + grace_s
        for worker in self.running.values():
            while worker.process.poll() is None and time.monotonic() < end and not is_hurried():
                time.sleep(0.05)
            if worker.process.poll() is None:
                worker.kill()
                self._give_back(worker)

    def _give_back(self, worker: Running) -> None:
        """Let a job wait again whose worker was killed because the server leaves: it is no attempt."""
        for job in self.store.list_jobs(limit=2**31, states=[RUNNING]):
            if job.worker is not None and read_pid(job.worker) == worker.process.pid:
                with suppress(LostClaim, DiskFull, StoreError):  # whoever serves the folder next finds it
                    self.store.release(job)

    def _watch(self) -> None:
        last = {self.forget: time.monotonic(), self.sweep: time.monotonic()}
        every_s = {self.forget: FORGET_S, self.sweep: SWEEP_S}

        def is_due(task: Callable[[], None]) -> bool:
            due = time.monotonic() - last[task] > every_s[task]
            last[task] = time.monotonic() if due else last[task]
            return due

        while not self._leaves.wait(LOOK_S):
            looks = [worker.look for worker in self.running.values()]
            for task in (*looks, self._take_back, *filter(is_due, every_s)):
                try:  # each by itself: what makes room on a full disk must not wait for what needs some
                    task()
                except (OSError, DiskFull, StoreError) as error:  # no process, a locked store: the next look may do
                    self._tell(error)

    def _take_back(self) -> None:
        self.store.expire(is_gone)

    def _tell(self, error: Exception) -> None:
        if str(error) != self._told:
            print(f"the watch over the workers goes on after: {error}", file=sys.stderr, flush=True)
        self._told = str(error)

    def forget(self) -> None:
        """Forget ended jobs that were kept long enough, and the oldest clips past the bytes that may be kept."""
        before_s = read_time_s() - self.keeping.days * 86_400
        for name in self.store.forget_outlived(before_s, self.keeping.most_bytes):
            self.folder.remove_output(name)

    def sweep(self) -> None:
        """Remove old files that no job names; twice in a row, since a clock that jumps makes everything look old."""
        outputs, pictures = self.store.list_names()
        old = set(self.folder.list_old(outputs, pictures))
        for place in self._old & old:
            place.unlink(missing_ok=True)
        self._old = old
        self.store.forget_events(read_time_s() - self.keeping.days * 86_400)


class Running:
    """A worker's process: started anew when it dies, later each time it does so, and killed when it hangs."""

    def __init__(self, name: str, duty: Duty, folder: Path, lease_s: float, beside: int = 1) -> None:
        """Start it; `beside` is how many share the processors, itself included."""
        self.name, self.duty, self.folder, self.lease_s, self.beside = name, duty, folder, lease_s, beside
        self._deaths, self._not_before = 0, 0.0
        self._start()

    def _start(self) -> None:
        self.is_up = False  # it has given no sign of life
        heard, signs = os.pipe()
        os.set_blocking(heard, False)
        os.set_blocking(signs, False)
        words = [sys.executable, "-m", *self.duty.words, str(self.folder), "--lease-s", str(self.lease_s)]
        words += ["--parent", str(os.getpid()), "--signs", str(signs)]
        try:
            environment = share_processors(self.beside) if self.duty.computes else {**choose_waiting(), **os.environ}
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=[signs], env=environment)
        except OSError:
            os.close(heard)
            raise
        finally:
            os.close(signs)
        self._signs, self.is_able = heard, self.duty.computes
        self._started_at = self._heard_at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Return whether it runs and gives signs of life; until the first it may take longer."""
        most_s = self.lease_s if self.is_up else max(self.lease_s, LONGEST_START_S)
        return self.process.poll() is None and time.monotonic() - self._heard_at < most_s

    def look(self) -> None:
        """Hear its signs; replace it if it is dead, kill it if it has given none for the time of a lease."""
        with suppress(BlockingIOError):
            while said := os.read(self._signs, 4096):
                self._heard_at, self.is_able, self.is_up = time.monotonic(), not said.endswith(LACKS), True
        if self.process.poll() is not None:
            self._replace()
        elif not self.is_alive:
            print(f"{self.name}: the worker gave no sign for {self.lease_s:g} s and is replaced", file=sys.stderr, flush=True)
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def _replace(self) -> None:
        now = time.monotonic()
        if not self._not_before:
            self._deaths = 1 if now - self._started_at > STEADY_S else self._deaths + 1
            self._not_before = now + min(LONGEST_PAUSE_S, 0.2 * 2**self._deaths)
        elif now > self._not_before:
            signs = self._signs
            self._start()
            os.close(signs)
            self._not_before = 0.0
