"""What happens to clips, as server-sent events: ids rise, and what a listener missed is replayed."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from unstill.errors import RequestError
from unstill.jobs.states import FINAL
from unstill.studio.service import service_of


def follow(request: Request, id: str) -> Response:
    """Send what happens to a clip until it has ended, from `Last-Event-ID` on; where nothing more will come, 204 says so."""
    store = service_of(request).store
    if store.get(id).state in FINAL and not store.list_events(read_last(request, 0), id, limit=1):
        return Response(status_code=204)  # a browser asks no more
    return stream(request, id)


def follow_all(request: Request, after: str = "") -> Response:
    """Send what happens to all clips; `after=latest` leaves out what did before a listener came for the first time."""
    if after not in ("", "latest"):
        raise RequestError("after must be latest, or left out")
    return stream(request, None, service_of(request).store.find_last_event() if after else 0)


def stream(request: Request, id: str | None, first: int = 0) -> Response:
    """Send events as they come, after the last one that the listener knows, or after `first`."""
    after = read_last(request, first)
    return StreamingResponse(service_of(request).listeners.follow(id, after), media_type="text/event-stream")


def read_last(request: Request, first: int) -> int:
    """Read which event a listener knows."""
    given = request.headers.get("last-event-id", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else first
