"""Events for whoever listens: one look into the store for all of them, however many there are.

What happened of late is kept in memory; who was away for longer is told from the store, which is what survives. It does not
know what the events mean, but for those after which nothing comes.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from unstill.errors import DiskFull, StoreError
from unstill.jobs.records import Event
from unstill.jobs.states import FINAL
from unstill.jobs.store import DELETED, Store
from unstill.studio.shapes import show_event

LOOK_S = 0.05  # between two looks for events, while anybody listens
QUIET_S = 15.0  # then a comment is sent, so that nobody in between takes the line for dead
KEPT = 1000  # events in memory
MOST_READ = 500  # events at a time
ENDS = {*FINAL, DELETED}


class Listeners:
    """Those who follow jobs; each waits for a bell, and one thread rings it."""

    def __init__(self, path: Path) -> None:
        self._store = Store(path)  # of its own: a writer that waits for the disk keeps nobody from hearing
        self._last = self._floor = self._store.find_last_event()
        self._tail: deque[Event] = deque()  # all events after the floor
        self._bells: dict[str | None, set[asyncio.Event]] = {}
        self._wanted, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    async def follow(self, id: str | None, after: int) -> AsyncIterator[str]:
        """Give what happens to a job until it has ended, or to all of them, from an event on."""
        with self._waiting(id) as bell:
            while not self._over.is_set():
                bell.clear()
                known = self._last
                events = await self._list(id, after)
                for event in events:
                    yield show_event(event)
                if events and id is not None and events[-1].kind in ENDS:
                    return
                after = max([after, *(event.id for event in events), known if len(events) < MOST_READ else 0])
                if len(events) < MOST_READ and not await ring(bell):
                    yield ": still here\n\n"

    def close(self) -> None:
        """Let all of them go; from the loop that serves them."""
        self._over.set()
        for bells in self._bells.values():
            for bell in bells:
                bell.set()

    @contextmanager
    def _waiting(self, id: str | None) -> Iterator[asyncio.Event]:
        """Have a bell that rings for a job, or for all."""
        bell, bells = asyncio.Event(), self._bells.setdefault(id, set())
        bells.add(bell)
        self._look_for(asyncio.get_running_loop())
        try:
            yield bell
        finally:
            bells.discard(bell)
            if not bells and self._bells.get(id) is bells:
                del self._bells[id]
            if not self._bells:
                self._wanted.clear()

    async def _list(self, id: str | None, after: int) -> list[Event]:
        """List events from memory, or those that are too old for it from the store."""
        if after < self._floor:
            return await asyncio.to_thread(self._store.list_events, after, id, MOST_READ)
        newer = takewhile(lambda event: event.id > after, reversed(self._tail))
        return [event for event in newer if id is None or event.job == id][::-1]

    def _look_for(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, args=[loop], daemon=True)
            self._thread.start()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look into the store again and again, and tell the loop."""
        last = self._last
        while not self._over.wait(LOOK_S):
            if not self._wanted.wait(1.0):
                continue
            try:
                events = self._store.list_events(last, limit=MOST_READ)
            except (DiskFull, StoreError):  # who asks for anything else is told of it
                continue
            if events:
                last = events[-1].id
                loop.call_soon_threadsafe(self._tell, events)

    def _tell(self, events: list[Event]) -> None:
        """Keep what happened, and ring for those whom it concerns."""
        ended = {event.job for event in events if event.kind in ENDS}
        self._tail = deque(event for event in [*self._tail, *events] if event.kind != "progress" or event.job not in ended)
        self._last = events[-1].id
        while len(self._tail) > KEPT:
            self._floor = self._tail.popleft().id
        for id in {None, *(event.job for event in events)}:
            for bell in self._bells.get(id, ()):
                bell.set()


async def ring(bell: asyncio.Event) -> bool:
    """Wait for a bell; say whether it rang."""
    try:
        await asyncio.wait_for(bell.wait(), QUIET_S * random.uniform(0.7, 1))  # not to all of them at once
    except TimeoutError:
        return False
    return True
