"""What happens to clips, as server-sent events: ids rise, and what a listener missed is replayed."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from unstill.errors import RequestError
from unstill.studio.service import service_of


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
    return StreamingResponse(service_of(request).listeners.follow(id, after), media_type="text/event-stream")
