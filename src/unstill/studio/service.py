"""What the routes work on. It knows no route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request

from unstill.errors import DiskFull, QueueFull, StoreError
from unstill.jobs.files import Folder
from unstill.jobs.states import QUEUED
from unstill.jobs.store import Store
from unstill.studio.listen import Listeners
from unstill.studio.pictures import Purifier
from unstill.studio.planner import Planner
from unstill.values import write_bytes

AT_ONCE = 2  # pictures that are decoded at a time


@dataclass
class Service:
    """What the routes work on."""

    folder: Folder
    store: Store
    cap: int = 100  # jobs that may wait
    keep_s: float | None = None  # how long ended jobs are kept
    planner: Planner = field(kw_only=True)
    purifier: Purifier = field(default_factory=Purifier)
    is_ready: Callable[[], bool] = lambda: True
    planning: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))  # waited for here, not in a thread
    converting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    free_bytes: int = 0  # with less room on the disk no jobs are taken
    listeners: Listeners = field(init=False)

    def __post_init__(self) -> None:
        self.listeners = Listeners(self.folder.store)

    def check_room(self, key: str | None = None) -> None:
        """Refuse a job for which there is no room on the disk, or in the queue unless it may be in there already."""
        free = self.folder.count_free_bytes()
        if free < self.free_bytes:
            raise DiskFull(
                f"{write_bytes(free)} are free on the server's disk, and new jobs need {write_bytes(self.free_bytes)}",
                hint="try again later; clips that are deleted make room",
            )
        waiting = self.store.count().get(QUEUED, 0)
        if key is None and waiting >= self.cap:  # before its picture is decoded: that is what costs
            raise QueueFull(f"{waiting} jobs wait already, and no more than {self.cap} may", hint="try again later")

    def find_trouble(self) -> str | None:
        """Say why no jobs can be taken or made, if so."""
        try:
            self.store.count()
        except (DiskFull, StoreError) as error:
            return error.message
        if not self.is_ready():
            return "no worker runs"
        free = self.folder.count_free_bytes()
        return None if free >= self.free_bytes else f"the disk is full: {write_bytes(free)} are free"


def service_of(request: Request) -> Service:
    """Give what the routes work on."""
    service: Service = request.app.state.service
    return service
