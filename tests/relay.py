"""A relay between a client and a server that breaks connections where a test wants it. It knows of HTTP the request line alone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

Rule = Callable[[str], int | None]  # of a request's line: after so many bytes of the answer the line is cut; None: never


class Relay:
    """Listen, pass on, and cut."""

    def __init__(self, port: int, rule: Rule) -> None:
        self.target, self.rule, self.seen = port, rule, list[str]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *caught: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        """Pass on what a client asks, one connection at a time."""
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as far:
            left: list[int | None] = [None]
            threading.Thread(target=self._answer, args=(far, near, left), daemon=True).start()
            while data := near.recv(65_536):
                line = data.split(b"\r\n", 1)[0].decode("latin-1")
                if line.endswith(" HTTP/1.1"):
                    self.seen.append(line.removesuffix(" HTTP/1.1"))
                    left[0] = self.rule(self.seen[-1])
                far.sendall(data)

    def _answer(self, far: socket.socket, near: socket.socket, left: list[int | None]) -> None:
        """Pass back what the server answers, as far as it may come."""
        with suppress(OSError):
            while data := far.recv(65_536):
                if left[0] is not None:
                    data = data[: left[0]]
                    left[0] -= len(data)
                near.sendall(data)
                if left[0] == 0:
                    break
        for line in (near, far):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
