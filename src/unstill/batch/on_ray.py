"""Workers on a Ray cluster: one actor for each GPU, or for a few cores, started once with the model loaded.

Ray starts actors and carries orders and records, which are small; pictures and clips go by shared folders or addresses. What is
tried again is the dispatcher's to say. How a cluster is joined is in `cluster`. It does not know what items are.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from unstill.artifacts import Progress
from unstill.batch.items import Item, Model
from unstill.batch.running_clock import RunningClock
from unstill.batch.schedule import News, Wants, heed, never
from unstill.batch.sources import is_url
from unstill.cluster import CONTROL, HERE, Cluster, Room, connect, count_room, look_at_cluster, refuse_none, start_actor
from unstill.errors import Cancelled, MachineError
from unstill.jobs.processors import choose_waiting

MOST_DEATHS = 20  # one after the other, with nothing made in between, until the cluster is given up
LONGEST_PAUSE_S = 30.0
SILENT_S = 60.0  # without a sign of life until an actor is held to hang
ASK_S = 2.0  # between two questions for one
LOOK_S = 30.0  # between two looks whether the cluster has grown


class Actor:
    """What runs on the cluster: it makes items, one after the other, and hears meanwhile that it is to end."""

    def __init__(self, place: str, device: str) -> None:
        os.environ.update(choose_waiting())  # before torch is imported, which reads it once
        from unstill.batch.maker import Maker
        from unstill.batch.places import open_place

        self._maker, self._leaves = Maker(open_place(place), device), False

    def is_ready(self) -> bool:
        """Answer, once the actor is there."""
        return True

    def describe(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """Say which model a request would run here, or why none."""
        return self._maker.describe(knobs)

    def make(self, orders: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        """Make what is ordered; give what came of it, by number. What is not told of was not made."""
        made: dict[int, dict[str, Any]] = {}
        with suppress(Cancelled):
            self._watch(None)
            for number, outcome in self._maker.make(orders, self._watch):
                made[number] = outcome
        return made

    def leave(self) -> None:
        """End after the current step."""
        self._leaves = True

    def _watch(self, progress: Progress | None) -> None:
        if self._leaves:
            raise Cancelled("Stopped")


class Actors:
    """Workers on the cluster."""

    depth = 2  # the next order is there when a clip is done, wherever that is
    actor: type = Actor
    silent_s = SILENT_S

    def __init__(self, cluster: Cluster, place: str) -> None:
        self._cluster, self._place = cluster, place if is_url(place) else str(Path(place).absolute())
        self._heard: queue.SimpleQueue[tuple[str, Sequence[int], Any]] = queue.SimpleQueue()
        self._early: list[News] = []
        self._actors: dict[str, Any] = {}
        self._ready: set[str] = set()  # of the actors, those that have answered once
        self._asked: dict[str, float] = {}  # when each was asked for a sign of life that has not come yet
        self._clock = RunningClock(2 * ASK_S)
        self._asked_at_s = 0.0
        self._vacant: list[float] = []  # when those are to be started that are missing
        self._born = self._deaths = 0
        self._looked, self._is_leaving = 0.0, False
        self._ray: Any = None
        self._room: Room

    def __enter__(self) -> Actors:
        if self._cluster.address != HERE:
            look_at_cluster(self._cluster)  # in a process that can be ended: one that waits for Ray cannot
        self._ray = connect(self._cluster)
        self._grow()
        return self

    def __exit__(self, *what: object) -> None:
        self._ray.shutdown()  # its actors end with the one that started them

    def __len__(self) -> int:
        """Count the workers that there are to be."""
        return len(self._actors) + len(self._vacant)

    def describe(self, knobs: Mapping[str, Any], wants_stop: Wants = never) -> Model:
        """Ask the first worker that is ready which model a request would run."""
        while True:
            heed(wants_stop)
            ready = next((news.worker for news in self._early if news.kind == "ready" and news.worker in self._actors), None)
            if ready is None:
                self._early += self._wait(1.0)
                continue
            try:
                return dict(self._ray.get(self._actors[ready].describe.remote(dict(knobs)), timeout=self.silent_s))
            except (self._ray.exceptions.RayActorError, self._ray.exceptions.GetTimeoutError):
                self._early += self._wait(1.0)

    def submit(self, worker: str, items: Sequence[Item]) -> None:
        """Order a worker to make items; never waits."""
        orders = [item.to_order() for item in items]
        for order in orders:
            if not is_url(order["picture"]):
                order["picture"] = str(Path(order["picture"]).absolute())  # an actor's folder is another one
        if worker in self._actors:
            self._call(worker, self._actors[worker].make.remote(orders), [item.number for item in items])

    def wait(self, most_s: float) -> list[News]:
        """Wait until something happens, but no longer than this."""
        if self._early:
            early, self._early = self._early, []
            return early
        return self._wait(most_s)

    def leave(self) -> None:
        """Ask all workers to end what they do after its current step, and to give back the rest."""
        self._is_leaving = True
        for actor in self._actors.values():
            actor.leave.options(concurrency_group=CONTROL).remote()

    def _wait(self, most_s: float) -> list[News]:
        self._grow()
        if silent := self._look():
            return silent
        try:
            heard = [self._heard.get(timeout=most_s)]
        except queue.Empty:
            return []
        while not self._heard.empty():
            heard.append(self._heard.get())
        return [news for one in heard for news in self._understand(*one)]

    def _call(self, name: str, ref: Any, numbers: Sequence[int] = ()) -> None:
        """Hear of what was asked for, when it is there; nobody waits for it."""
        ref.future().add_done_callback(lambda future: self._heard.put((name, numbers, future)))

    def _understand(self, name: str, numbers: Sequence[int], future: Any) -> list[News]:
        if name not in self._actors:
            return []
        error = future.exception()
        if isinstance(error, self._ray.exceptions.RayTaskError) and not isinstance(error, self._ray.exceptions.RayActorError):
            told = {"code": "internal", "message": f"unstill itself failed: {str(error).splitlines()[-1][:200]}"}
            return [News("done", name, number, {"error": {**told, "retryable": True}}) for number in numbers]
        if error is not None:
            return [self._lose(name, error)]
        if not numbers:
            self._ready.add(name)
            return [News("ready", name)]
        made = future.result()
        if any(not outcome.get("error") for outcome in made.values()):
            self._deaths = 0
        done = [News("done", name, number, outcome) for number, outcome in made.items()]
        return done + [News("released", name, number) for number in numbers if number not in made]

    def _look(self) -> list[News]:
        """Ask actors now and then for a sign of life, and do without those that give none; never waits.

        One that starts is not asked: it may wait for a place that others have.
        """
        now_s = self._clock.tick()
        if now_s - self._asked_at_s < ASK_S:
            return []
        self._asked_at_s = now_s
        silent = [name for name, when_s in list(self._asked.items()) if now_s - when_s > self.silent_s and name in self._actors]
        for name in self._ready & self._actors.keys() - self._asked.keys():
            self._asked[name] = now_s
            ref = self._actors[name].is_ready.options(concurrency_group=CONTROL).remote()
            ref.future().add_done_callback(lambda _, name=name: self._asked.pop(name, None))
        return [self._lose(name, TimeoutError(f"no sign of life for {self.silent_s:g} s")) for name in silent]

    def _lose(self, name: str, error: BaseException) -> News:
        """Do without a worker, and have another in its place."""
        self._ray.kill(self._actors.pop(name))  # one that cannot be reached may live
        self._ready.discard(name)
        self._deaths += 1
        self._vacant.append(time.monotonic() + min(LONGEST_PAUSE_S, 0.05 * 2 ** min(self._deaths, 12)))
        if self._deaths >= MOST_DEATHS:
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise MachineError(f"No worker lives long enough to make a clip: {why}", hint="`ray status` shows the cluster")
        return News("lost", name, reason=str(error) if isinstance(error, TimeoutError) else type(error).__name__)

    def _grow(self) -> None:
        """Start actors for what the cluster has, and in the place of those that are gone."""
        now = time.monotonic()
        if self._is_leaving:
            return
        if now - self._looked > LOOK_S or not self._actors:
            self._looked = now
            missing = self._count_places() - len(self._actors) - len(self._vacant)
            self._vacant += [now] * missing
        due = [when for when in self._vacant if when <= now]
        self._vacant = [when for when in self._vacant if when > now]
        for _ in due:
            self._start()

    def _count_places(self) -> int:
        self._room = count_room(self._ray, self._cluster)
        if not self._actors:
            refuse_none(self._room, self._cluster)
        return self._room.count

    def _start(self) -> None:
        self._born += 1
        name = f"actor-{self._born}"
        self._actors[name] = start_actor(self._ray, self.actor, self._room, self._place, self._room.device)
        self._call(name, self._actors[name].is_ready.remote())
