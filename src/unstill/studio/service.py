"""What the routes work on. It knows no route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request

from unstill.jobs.files import Folder
from unstill.jobs.store import Store
from unstill.studio.pictures import Purifier
from unstill.studio.planner import Planner

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
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


def service_of(request: Request) -> Service:
    """Give what the routes work on."""
    service: Service = request.app.state.service
    return service
