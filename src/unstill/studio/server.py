"""The process that serves: its port, its signals, and the order in which it leaves. It does not know routes."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from unstill.errors import RequestError
from unstill.studio.line import TimedLine

HEADERS_BYTES = 65_536
ANSWER_S = 5  # for answers that are under way when the server leaves
FILES = 8192  # that may be open at once: lines, and clips that are sent
SAID = b"\nLeaving after the current step; jobs go on when the folder is served again. Ctrl-C again leaves at once.\n"


class Leave:
    """Whether the server is to leave: SIGTERM and the first Ctrl-C ask for it, the second Ctrl-C does not wait for steps."""

    def __init__(self) -> None:
        self.is_asked = self.is_hurried = False

    def hear(self, number: int, frame: FrameType | None = None) -> None:
        """Hear a signal."""
        if number == signal.SIGINT:
            if not self.is_asked:
                os.write(2, SAID)
            self.is_hurried = self.is_asked
        self.is_asked = True

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear signals, from before the server starts until its workers are gone."""
        before = {number: signal.signal(number, self.hear) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Server(uvicorn.Server):
    """uvicorn, which tells others that it leaves, and leaves the signals to us."""

    def __init__(self, app: Any, leave: Leave, leaving: Callable[[], None], *, is_loud: bool = False) -> None:
        super().__init__(uvicorn.Config(
            app, http=TimedLine, log_level="debug" if is_loud else "warning", lifespan="off",
            timeout_graceful_shutdown=ANSWER_S, h11_max_incomplete_event_size=HEADERS_BYTES,
        ))  # fmt: skip
        self._leave, self._leaving = leave, leaving

    async def on_tick(self, counter: int) -> bool:
        """Look whether it is time to leave."""
        self.force_exit = self._leave.is_hurried
        return self._leave.is_asked or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave: first those are told who wait for news or work on a step."""
        self._leaving()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Hear a signal while requests are answered."""
        self._leave.hear(sig, frame)
        self.force_exit = self._leave.is_hurried


def listen(host: str, port: int) -> socket.socket:
    """Take the port, before anything else is started."""
    # The protocol is named, as asyncio only then lets small answers out at once: else each costs 40 ms.
    line = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.bind((host, port))
        line.listen(2048)
        return line
    except OSError as error:
        line.close()
        hint = "unstill serve --port 0 takes one that is free"
        raise RequestError(f"{host}:{port} cannot be listened on: {error.strerror or error}", hint=hint) from None


def allow_files() -> None:
    """Let this process have as many files open as it may, up to what it could need."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
