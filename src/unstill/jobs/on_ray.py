"""One process that feeds a Ray cluster: for each actor there a worker's thread here, which claims, hears and publishes.

    python -m unstill.jobs.on_ray FOLDER --ray 10.0.0.1:6379

The store stays the truth, and stays here: leases, heartbeats and claims are those of any worker, and clips come back as bytes.
An actor that is gone, or does not answer for the time of a lease, is replaced, and its job waits again. It may be killed at any
moment, and its actors end with it. It does not know HTTP, nor how clips are made.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from unstill.artifacts import Progress
from unstill.cluster import CONTROL, Cluster, Room, add_options, connect, count_room, read_options, start_actor
from unstill.errors import Cancelled, DiskFull, LostClaim, UnstillError, WorkerLost, make_error
from unstill.jobs.actor import JobActor
from unstill.jobs.files import Folder, hash_file
from unstill.jobs.records import Job, Output
from unstill.jobs.store import LEASE_S, Store
from unstill.jobs.worker import LACKS, LIVES, Hearing, Worker

ASK_S = 0.5  # between two questions how far an actor is
LOOK_S = 30.0  # between two looks whether the cluster has grown
LONGEST_PAUSE_S = 30.0  # before an actor that dies at once is started again
NAME = "ray"


class ActorWorker(Worker):
    """A worker whose clips an actor makes; it lives in a thread, and no longer than its actor."""

    def __init__(
        self, ray: Any, actor: Any, name: str, folder: Folder, lease_s: float, parent: int | None, store: Store
    ) -> None:
        super().__init__(folder, f"{NAME}/{name}", lease_s, parent, store=store)
        self.actor, self.thread = actor, threading.Thread(target=self.run, daemon=True)
        self.is_ready = self.is_lost = self.has_made = False
        self.trouble = ""  # what a job of it found the matter with the actor
        self._ray = ray
        self._asked: Any = None
        self._asked_at = 0.0
        self._at: dict[str, Any] = {"name": ""}
        self._seen = ("", 0)
        self._preview: tuple[str, int, bytes] | None = None

    @property
    def takes_more(self) -> bool:
        """Say whether another job may be claimed."""
        return not (self.is_leaving or self.is_lost)

    def look(self) -> str:
        """Hear where the actor is and ask anew; say what is the matter with it, if anything. Never waits."""
        if self._asked is not None:
            if not self._ray.wait([self._asked], timeout=0)[0]:
                # One that starts may wait for a place as long as others have it.
                is_late = self.is_ready and time.monotonic() - self._asked_at > self.lease_s
                return f"it has not answered for {self.lease_s:g} s" if is_late else ""
            try:
                self._take(self._ray.get(self._asked))
            except self._ray.exceptions.RayError as error:
                return explain(error)
        self._asked, self._asked_at = self._control("tell", self._seen), time.monotonic()
        return ""

    def _take(self, told: dict[str, Any]) -> None:
        self.is_ready, self._at = True, told
        if told["preview"] is not None:
            self._seen = (told["name"], told["preview"]["number"])
            self._preview = (*self._seen, told["preview"]["picture"])

    def _control(self, method: str, *told: Any) -> Any:
        return getattr(self.actor, method).options(concurrency_group=CONTROL).remote(*told)

    def make(self, job: Job, hearing: Hearing) -> Output:
        """Let the actor make the clip, and write it under a name of its own."""
        made, stopped = self._order(job, hearing)
        if made is None:
            self.is_lost = True
            raise stopped or WorkerLost(f"its worker died or hung {job.attempts} times")
        if made["kind"] == "failed":
            raise make_error(made["error"])
        if made["kind"] == "left" or isinstance(stopped, LostClaim):
            raise stopped or Cancelled("Stopped")
        hearing.note(Progress("write", 0, 1))
        self.has_made = True
        while True:
            try:
                return self._keep_clip(made)
            except DiskFull as error:  # the actor has let go of its steps: given back, all of the clip would be made again
                self._wait_out(error)
                hearing.heed()

    def _keep_clip(self, made: dict[str, Any]) -> Output:
        """Write a clip and its stills, all of them or nothing."""
        from unstill.jobs.stills import keep_stills

        place = self.folder.place_output(made["suffix"])
        try:
            self.folder.publish(place, made["clip"])
            report = {**made["report"], **keep_stills(place, made["last"])}
            return Output(place.name, hash_file(place), place.stat().st_size, report)
        except DiskFull:
            self.folder.remove_output(place.name)
            raise

    def _order(self, job: Job, hearing: Hearing) -> tuple[dict[str, Any] | None, UnstillError | None]:
        """Give what the actor has made, nothing if it is lost, and why it was told to leave it, if it was."""
        name = f"{job.id}/{job.claim}"
        stopped: UnstillError | None = None
        picture = self.folder.find_picture(job.picture).read_bytes()
        try:
            making = self.actor.make.remote(name, dict(job.knobs), picture)
            while not self.is_lost:
                if self._ray.wait([making], timeout=ASK_S)[0]:
                    return self._ray.get(making), stopped
                self._pass_on(name, hearing)
                try:
                    hearing.heed()
                except (Cancelled, LostClaim) as error:
                    if stopped is None:
                        self._control("leave", name)
                    stopped = error
        except self._ray.exceptions.RayError as error:
            if is_fault(self._ray, error):
                raise
            self.trouble = explain(error)
        return None, stopped

    def _pass_on(self, name: str, hearing: Hearing) -> None:
        """Pass on how far the actor is, and what it shows."""
        at, preview = self._at, self._preview
        if at["name"] == name:
            hearing.note(Progress(at["stage"], at["done"], at["total"], of=at["of"]))
        if preview is not None and preview[0] == name:
            hearing.show(*preview[1:])
            self._preview = None


class Fleet:
    """The actors of a cluster, each with its worker; others are started in the place of those that are lost."""

    def __init__(
        self,
        ray: Any,
        cluster: Cluster,
        folder: Folder,
        lease_s: float = LEASE_S,
        parent: int | None = None,
        signs: int | None = None,
    ) -> None:
        self._ray, self._cluster, self._folder, self._lease_s = ray, cluster, folder, lease_s
        self._parent, self._signs = parent, signs
        self.leaves = False
        self._store = Store(folder.store)  # one for all: each of many would wait for the others
        self._workers: dict[str, ActorWorker] = {}
        self._left: list[threading.Thread] = []  # of actors that are lost
        self._vacant: list[float] = []  # when those are to be started that are missing
        self._born = self._deaths = 0
        self._looked_at: float | None = None
        self._lacks_since: float | None = None  # when there was no actor, if there is none
        self._room: Room

    @property
    def is_leaving(self) -> bool:
        """Say whether no more work is to be done: somebody said so, or the server that started it is gone."""
        return self.leaves or (self._parent is not None and os.getppid() != self._parent)

    def run(self) -> None:
        """Keep an actor at work wherever there is room, until told to leave and every job is given back."""
        while not self.is_leaving or any(thread.is_alive() for thread in self._list_threads()):
            if not self.is_leaving:
                self._grow()
            for name in list(self._workers):
                self._tend(name)
            self._tell_vacancy()
            self._sign()
            time.sleep(ASK_S)

    def _list_threads(self) -> list[threading.Thread]:
        """List threads that may have a job, those of lost actors too, until they have given it back."""
        self._left = [thread for thread in self._left if thread.is_alive()]
        return [*self._left, *(worker.thread for worker in self._workers.values())]

    def _tend(self, name: str) -> None:
        """Look after one actor and its worker."""
        worker = self._workers[name]
        worker.leaves = self.is_leaving
        has_begun, trouble = worker.thread.ident is not None, worker.look()
        if has_begun and not worker.thread.is_alive() and not self.is_leaving:
            trouble = trouble or worker.trouble or "its worker has ended"
        if trouble:
            self._lose(name, trouble)
        elif worker.is_ready and not has_begun and not self.is_leaving:
            worker.thread.start()

    def _lose(self, name: str, trouble: str) -> None:
        """Do without an actor, and have another in its place: later each time, where none makes anything."""
        worker = self._workers.pop(name)
        worker.is_lost = True
        self._left.append(worker.thread)
        self._ray.kill(worker.actor)  # one that cannot be reached may live
        self._deaths = 1 if worker.has_made else self._deaths + 1
        self._vacant.append(time.monotonic() + min(LONGEST_PAUSE_S, 0.2 * 2 ** min(self._deaths, 12)))
        print(f"{worker.name} is replaced: {trouble}", file=sys.stderr, flush=True)

    def _grow(self) -> None:
        """Start actors for what the cluster has, and in the place of those that are gone."""
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at > LOOK_S:
            self._looked_at, self._room = now, count_room(self._ray, self._cluster)
            missing = self._room.count - len(self._workers) - len(self._vacant)
            self._vacant += [now] * missing
        due = [when for when in self._vacant if when <= now]
        self._vacant = [when for when in self._vacant if when > now]
        for _ in due:
            self._start()

    def _start(self) -> None:
        self._born += 1
        name = f"actor-{self._born}"
        actor = start_actor(self._ray, JobActor, self._room, self._room.device)
        self._workers[name] = ActorWorker(self._ray, actor, name, self._folder, self._lease_s, self._parent, self._store)

    def _tell_vacancy(self) -> None:
        """Say once when no actor has found a place for long: others may have them all."""
        now = time.monotonic()
        if any(worker.is_ready for worker in self._workers.values()):
            self._lacks_since = None
        elif self._lacks_since is None:
            self._lacks_since = now
        elif now - self._lacks_since > LOOK_S:
            self._lacks_since = math.inf
            print(f"{NAME}: no actor has a place on the cluster; jobs wait", file=sys.stderr, flush=True)

    def _sign(self) -> None:
        """Give a sign of life, and say whether any actor is there."""
        if self._signs is not None:
            with suppress(OSError):  # nobody listens any more, or has not for long
                os.write(self._signs, LIVES if any(worker.is_ready for worker in self._workers.values()) else LACKS)


def is_fault(ray: Any, error: BaseException) -> bool:
    """Say whether an actor lives and unstill itself failed in it."""
    return isinstance(error, ray.exceptions.RayTaskError) and not isinstance(error, ray.exceptions.RayActorError)


def explain(error: BaseException) -> str:
    """Say in a line why an actor is gone."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> None:
    """Feed a cluster for a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    add_options(parser)
    parser.add_argument("--lease-s", type=float, default=LEASE_S)
    parser.add_argument("--parent", type=int, help="leave when this process, which started it, is gone")
    parser.add_argument("--signs", type=int, help="an open file that signs of life are written to")
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal is for the server, which says what to do
    try:
        cluster, folder = read_options(asked), Folder(asked.folder).make()
        ray = connect(cluster)
        fleet = Fleet(ray, cluster, folder, asked.lease_s, asked.parent, asked.signs)
    except UnstillError as error:
        print(f"{NAME}: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)

    def leave(number: int, frame: FrameType | None) -> None:
        fleet.leaves = True

    signal.signal(signal.SIGTERM, leave)  # after Ray, which has an answer of its own
    try:
        fleet.run()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
