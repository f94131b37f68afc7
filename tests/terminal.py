"""A terminal that `unstill` is run in: what it shows, and keys that are pressed."""

from __future__ import annotations

import codecs
import errno
import fcntl
import os
import pty
import re
import select
import struct
import termios
from collections.abc import Sequence
from typing import Any

from forks import Forks

SILENCE_S = 240.0  # no machine is so busy


class Terminal:
    """A terminal with a process in it, which is a fork."""

    def __init__(self, forks: Forks, words: Sequence[str], columns: int = 80, arms: Sequence[Any] = (), **more: str) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.seen = self.said = ""  # with and without what moves the cursor and colours
        self.fd, inner = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm", **more}
        self.process = forks.start(
            "unstill", words, stdin=inner, stdout=inner, stderr=inner, env=environment, arms=arms, has_terminal=True
        )
        os.close(inner)

    def read_until(self, pattern: str) -> None:
        """Read until a text was seen."""
        while not re.search(pattern, self.seen):
            assert self._read(), f"ended without {pattern}: {self.seen}"

    def _read(self) -> bool:
        assert select.select([self.fd], [], [], SILENCE_S)[0], f"nothing more than {self.seen}"
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            assert error.errno == errno.EIO
            return False
        self.seen += self.decoder.decode(data)  # a read may end within a character
        self.said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen).replace("\r\n", "\n")
        return bool(data)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.fd, text.encode())

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read():
            pass
        os.close(self.fd)
        return self.process.wait()


def watch(forks: Forks, words: Sequence[str]) -> str:
    """Run a command to its end, and return what it said."""
    terminal = Terminal(forks, words)
    terminal.end()
    return terminal.said
