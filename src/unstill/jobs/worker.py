"""One device's process: it claims a job, makes the clip, publishes it, and claims the next.

    python -m unstill.jobs.worker FOLDER --device cuda:0

It may be killed at any moment: the clip is written under a name that no job knows until it is whole, and what was sampled is
kept in a run that the next worker goes on from. SIGTERM gives the job back after the current step. It does not know HTTP.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from unstill.artifacts import Progress
from unstill.errors import Cancelled, DiskFull, LostClaim, StoreError, UnstillError
from unstill.jobs.files import ASIDE, Folder, hash_file
from unstill.jobs.making import name_suffix, read_request, tell_report
from unstill.jobs.records import Job, Output
from unstill.jobs.store import LEASE_S, Store

if TYPE_CHECKING:
    from unstill.models import Keep

KEEP_EVERY_S = 5.0  # between two steps that are kept to go on from
SHOW_EVERY_S = 0.5  # between two previews
IDLE_S = 0.25  # between two looks into an empty queue
PAUSE_S = 5.0  # before the disk is tried again that was full
SHARES = {"prepare": 0.02, "load": 0.05, "sample": 0.75, "decode": 0.10, "check": 0.04, "write": 0.04}  # of a job's progress
LIVES, LACKS = b".", b"-"  # signs of life; the second is of one that has nobody to make clips with


def name_worker(device: str, pid: int | None = None) -> str:
    """Name a process, or this one."""
    return f"{pid or os.getpid()}@{device}"


def read_pid(worker: str) -> int | None:
    """Read the number of the process from a worker's name; several workers may share one."""
    number = worker.partition("@")[0]
    return int(number) if number.isdecimal() else None


def is_gone(worker: str) -> bool:
    """Say whether a worker of this machine runs no longer; a number that another process has now is not known to be gone."""
    pid = read_pid(worker)
    try:
        if pid is not None:
            os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class Worker:
    """A claim at a time, with heartbeats while it lasts."""

    def __init__(
        self,
        folder: Folder,
        device: str,
        lease_s: float = LEASE_S,
        parent: int | None = None,
        signs: int | None = None,
        store: Store | None = None,
    ) -> None:
        self.parent, self._signs = parent, signs
        self.folder, self.device, self.lease_s = folder, device, lease_s
        self.store, self.name = store or Store(folder.store), name_worker(device)
        self.leaves = False  # no Event: a signal that comes while one is waited for would wait for itself
        self._keep: Keep | None = None  # the model stays loaded from job to job
        self._trouble = ""

    def run(self, most: int | None = None) -> None:
        """Work until told to leave, or until so many jobs were claimed."""
        done = 0
        while self.takes_more and (most is None or done < most):
            self.sign()
            try:
                job = self.store.claim(self.name, self.lease_s)
                if job is None:
                    self.store.expire(is_gone)
            except (DiskFull, StoreError) as error:
                self._wait_out(error)
                continue
            if job is None:
                time.sleep(IDLE_S)
                continue
            done += 1
            self.work(job)

    def sign(self) -> None:
        """Give a sign of life to whoever started this process; one that gives none is replaced."""
        if self._signs is not None:
            with suppress(OSError):  # nobody listens any more, or has not for long
                os.write(self._signs, LIVES)

    def _wait_out(self, error: UnstillError) -> None:
        """Wait a while for room on the disk, or for whoever has the store; what is the matter is said once."""
        if self._trouble != error.code:
            print(f"{self.name} waits: {error}", file=sys.stderr, flush=True)
        self._trouble = error.code
        end = time.monotonic() + PAUSE_S
        while time.monotonic() < end and not self.is_leaving:
            self.sign()
            time.sleep(IDLE_S)

    @property
    def is_leaving(self) -> bool:
        """Say whether no more work is to be done: somebody said so, or the server that started it is gone."""
        return self.leaves or (self.parent is not None and os.getppid() != self.parent)

    @property
    def takes_more(self) -> bool:
        """Say whether another job may be claimed."""
        return not self.is_leaving

    def work(self, job: Job) -> None:
        """Make one clip, and let the store know how it ended."""
        hearing = Hearing(self, job)
        try:
            with hearing.beating():
                output = self.make(job, hearing)
                if not self._insist(partial(self.store.complete, job, output)):
                    self.folder.remove_output(output.name)  # it was deleted meanwhile
                self._trouble = ""
        except LostClaim:
            return  # another worker has it: what was made here is swept
        except DiskFull as error:  # no fault of the job's: it waits, as all others do
            self._try_to(self.store.release, job)
            self._wait_out(error)
        except Cancelled:
            self._try_to(self.store.stop if hearing.is_cancelled else self.store.release, job)
        except UnstillError as error:
            self._try_to(partial(self.store.fail, error=error.to_dict()), job)
        except Exception as error:  # noqa: BLE001 - one job's trouble, whatever it is, must not take the queue along
            traceback.print_exc()  # into the worker's log; whoever asked for the clip is told no more than the kind
            told = {"code": "internal", "message": f"unstill itself failed: {type(error).__name__}", "retryable": True}
            self._try_to(partial(self.store.fail, error=told), job)
        finally:
            self.folder.place_preview(job.id).unlink(missing_ok=True)

    def _try_to(self, end: Callable[[Job], None], job: Job) -> None:
        with suppress(LostClaim, DiskFull, StoreError):  # who leaves meanwhile leaves the job to those who find it
            self._insist(partial(end, job))

    def _insist(self, change: Callable[[], bool | None]) -> bool | None:
        """Change the store, however long its disk is full or another process has it."""
        while True:
            try:
                return change()
            except (DiskFull, StoreError) as error:
                if self.is_leaving:
                    raise
                self._wait_out(error)

    def make(self, job: Job, hearing: Hearing) -> Output:
        """Make the clip and write it under a name of its own."""
        from unstill.generate import generate
        from unstill.jobs.stills import keep_stills
        from unstill.models import Keep  # torch, in this process alone
        from unstill.runs import Runs

        request = read_request(job.knobs, self.device)
        place = self.folder.place_output(name_suffix(request))
        self._keep = self._keep or Keep()
        runs = Runs(self.folder.runs, every_s=KEEP_EVERY_S)
        clip = generate(request, self.folder.find_picture(job.picture), place, watch=hearing, load=self._keep, runs=runs)
        report = {**tell_report(clip), **keep_stills(place, clip.frames[-1])}
        return Output(place.name, hash_file(place), place.stat().st_size, report)


class Hearing:
    """Watches a run, tells the store how far it is, and stops it where somebody wants that."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self.worker, self.job = worker, job
        self.is_cancelled = self.is_lost = False
        self._stage, self._progress = "", 0.0
        self._next_preview, self._shown = 0.0, 0
        self._over = threading.Event()

    def __call__(self, progress: Progress) -> None:
        """Note how far the run is; end it between two steps."""
        self.note(progress)
        if time.monotonic() > self._next_preview and (progress.step is not None or progress.frame is not None):
            from unstill.jobs.stills import draw_progress

            self._next_preview = time.monotonic() + SHOW_EVERY_S
            self.show(*draw_progress(progress))
        self.heed()

    def note(self, progress: Progress) -> None:
        """Note how far the run is."""
        before = sum(share for name, share in list(SHARES.items())[: list(SHARES).index(progress.stage)])
        done = SHARES[progress.stage] * progress.done / max(progress.total, 1)
        # A search makes several clips, and nobody knows how many: it never goes back.
        self._stage, self._progress = progress.stage, max(self._progress, (before + done) * (0.5 if progress.of else 1))

    def show(self, number: int, picture: bytes) -> None:
        """Let people see what the clip will be; where that cannot be written, the clip is made all the same."""
        place = self.worker.folder.place_preview(self.job.id)
        aside = place.with_name(f"{ASIDE}{place.name}")
        with suppress(OSError):
            aside.write_bytes(picture)
            aside.replace(place)
            self._shown = number

    def heed(self) -> None:
        """End the run where somebody wants that."""
        if self.is_lost:
            raise LostClaim("The job was given to another worker")
        if self.is_cancelled or self.worker.is_leaving:
            raise Cancelled("Stopped")

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life from a thread of their own: a step may take longer than a lease."""
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _beat(self) -> None:
        told = -1.0
        while not self._over.wait(min(1.0, self.worker.lease_s / 4)):
            self.worker.sign()
            progress = self._progress if self._progress != told else None
            told = self._progress
            try:
                goes_on = self.worker.store.beat(self.job, self._stage, progress, self.worker.lease_s, self._shown)
            except LostClaim:
                self.is_lost = True
                return
            except (DiskFull, StoreError):  # while the lease lasts, the next may be heard
                continue
            self.is_cancelled = self.is_cancelled or not goes_on


def main() -> None:
    """Work for a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--lease-s", type=float, default=LEASE_S)
    parser.add_argument("--most", type=int, help="leave after so many jobs")
    parser.add_argument("--parent", type=int, help="leave when this process, which started it, is gone")
    parser.add_argument("--signs", type=int, help="an open file that signs of life are written to")
    asked = parser.parse_args()
    worker = Worker(Folder(asked.folder).make(), asked.device, asked.lease_s, asked.parent, asked.signs)

    def leave(number: int, frame: FrameType | None) -> None:
        worker.leaves = True

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal is for the server, which says what to do
    worker.run(asked.most)


if __name__ == "__main__":
    main()
