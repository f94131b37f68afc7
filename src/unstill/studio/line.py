"""A line to a client, with deadlines: for its requests to arrive, and for it to take what is sent.

uvicorn has none of these: whoever sends a byte now and then, or reads nothing, would be served for ever. It does not know
routes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # for all headers of a request, and what is left of a body that nobody waits for
STALL_S = 60.0  # for a client to take what lies ready for it, some 64 kB
MOST_LINES = 1000  # at once; pages that follow what happens hold one each


class TimedLine(H11Protocol):
    """HTTP as uvicorn speaks it, and a clock."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; one line too many is closed."""
        super().connection_made(transport)
        if len(self.connections) > MOST_LINES:
            transport.abort()
        else:
            self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take what comes: the first bytes of a request start the clock, and its last header stops it."""
        if self._is_idle and self._head is None:
            self._await_request()
        super().data_received(data)
        if not self._is_idle:
            self._head = end(self._head)

    def pause_writing(self) -> None:
        """Wait for a client that takes nothing."""
        super().pause_writing()
        self._stall = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it has taken what there was."""
        super().resume_writing()
        self._stall = end(self._stall)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._head, self._stall = end(self._head), end(self._stall)
        super().connection_lost(exc)

    @property
    def _is_idle(self) -> bool:
        """Say whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _await_request(self) -> None:
        self._head = self.loop.call_later(HEAD_S, self.transport.abort)


def end(clock: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a clock if it runs; then there is none."""
    if clock is not None:
        clock.cancel()
    return None
