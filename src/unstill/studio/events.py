"""What happens to clips, as server-sent events: ids rise, and what a listener missed is replayed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from unstill.errors import RequestError
from unstill.jobs.states import FINAL
from unstill.studio.service import service_of
from unstill.studio.shapes import show_event

LOOK_S = 0.1  # between two looks for events
QUIET_S = 15.0  # then a comment is sent, so that nobody in between takes the line for dead


def follow(request: Request, id: str) -> Response:
    """Send what happens to a clip until it has ended, from `Last-Event-ID` on."""
    service_of(request).store.get(id)
    return stream(request, id)


def follow_all(request: Request, after: str = "") -> Response:
    """Send what happens to all clips; `after=latest` leaves out what did before a listener came for the first time."""
    if after not in ("", "latest"):
        raise RequestError("after must be latest, or left out")
    return stream(request, None, service_of(request).store.find_last_event() if after else 0)


def stream(request: Request, id: str | None, first: int = 0) -> Response:
    """Send events as they come, after the last one that the listener knows, or after `first`."""
    given = request.headers.get("last-event-id", "")
    after = int(given) if given.isdecimal() and len(given) < 19 else first
    return StreamingResponse(send_events(request, id, after), media_type="text/event-stream")


async def send_events(request: Request, id: str | None, after: int) -> AsyncIterator[str]:
    """Look into the store again and again; it is what survives."""
    store, quiet = service_of(request).store, 0.0
    while not await request.is_disconnected():
        events = await asyncio.to_thread(store.list_events, after, id)
        for event in events:
            after = event.id
            yield show_event(event)
            if id is not None and event.kind in FINAL:
                return
        quiet = 0.0 if events else quiet + LOOK_S
        if quiet >= QUIET_S:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)
