"""One process for each device, replaced when it dies or hangs. It does not know what they work on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from unstill.jobs.clock import read_time_s
from unstill.jobs.files import Folder
from unstill.jobs.states import FINAL
from unstill.jobs.store import LEASE_S, Store
from unstill.jobs.worker import is_gone

LOOK_S = 0.5
SWEEP_S = 300.0
LONGEST_PAUSE_S = 30.0  # before a worker that dies at once is started again


class Workers:
    """Keep workers running, take back what dead ones held, and sweep what nobody names."""

    def __init__(self, folder: Folder, store: Store, devices: Sequence[str], keep_s: float, lease_s: float = LEASE_S) -> None:
        self.keep_s = keep_s
        self.folder, self.store, self.devices, self.lease_s = folder, store, devices, lease_s
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._deaths: dict[str, int] = dict.fromkeys(devices, 0)
        self._not_before: dict[str, float] = dict.fromkeys(devices, 0.0)
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Start all of them, and watch."""
        for device in self.devices:
            self._start(device)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Say whether any worker runs."""
        return any(worker.poll() is None for worker in self._running.values())

    def stop(self, grace_s: float = 10.0) -> None:
        """Ask them to end their step and give their jobs back; who does not within the grace is killed."""
        self._leaves.set()
        self._thread.join()
        for worker in self._running.values():
            worker.terminate()
        end = time.monotonic() + grace_s
        for worker in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                worker.wait(max(0.1, end - time.monotonic()))
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    def _start(self, device: str) -> None:
        words = [sys.executable, "-m", "unstill.jobs.worker", str(self.folder.root), "--device", device]
        words += ["--lease-s", str(self.lease_s), "--parent", str(os.getpid())]
        self._running[device] = subprocess.Popen(words, stdin=subprocess.DEVNULL)

    def _watch(self) -> None:
        swept = time.monotonic()
        while not self._leaves.wait(LOOK_S):
            self.store.expire(is_gone)
            for device in self.devices:
                self._replace(device)
            if time.monotonic() - swept > SWEEP_S:
                swept = time.monotonic()
                self.sweep()

    def _replace(self, device: str) -> None:
        """Start a worker anew that has died, later each time it does so."""
        if self._running[device].poll() is None:
            return
        if not self._not_before[device]:
            self._deaths[device] += 1
            self._not_before[device] = time.monotonic() + min(LONGEST_PAUSE_S, 0.2 * 2 ** self._deaths[device])
        elif time.monotonic() > self._not_before[device]:
            self._not_before[device] = 0.0
            self._start(device)

    def sweep(self) -> None:
        """Forget jobs that were kept long enough, and remove files that no job names."""
        for job in self.store.list_jobs(limit=2**31, states=FINAL):
            if job.ended_s is not None and read_time_s() - job.ended_s > self.keep_s:
                self.store.delete(job.id)  # its clip goes with the files that no job names
        jobs = self.store.list_jobs(limit=2**31)
        self.folder.sweep([job.output for job in jobs if job.output], [job.picture for job in jobs])
