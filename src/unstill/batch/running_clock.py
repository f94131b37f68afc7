"""A clock that stands still while this process does, so that its own pauses are not taken for its workers' silence."""

from __future__ import annotations

import time
from collections.abc import Callable


class RunningClock:
    """Seconds that this process has been running since the clock was made.

    More than `longest_s` between two ticks means that the process was stopped (Ctrl-Z, a suspended laptop): the rest
    does not count.
    """

    def __init__(self, longest_s: float, read: Callable[[], float] = time.monotonic) -> None:
        self.now_s, self._longest_s, self._read = 0.0, longest_s, read
        self._last = read()

    def tick(self) -> float:
        """Advance to now and return the time."""
        last, self._last = self._last, self._read()
        self.now_s += min(self._last - last, self._longest_s)
        return self.now_s
