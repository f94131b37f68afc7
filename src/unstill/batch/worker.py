"""A process that makes items: orders come in as lines of JSON on standard input, and what became of them goes out likewise.

    python -m unstill.batch.worker PLACE --device cuda:0 --parent 123

SIGTERM, or the end of whoever started it, ends it after the current step; what was not made is given back. It may be killed
at any moment. It does not know which items there are.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from unstill.artifacts import Progress
from unstill.errors import Cancelled, UnstillError

BEAT_S = 1.0


class Leaving:
    """Ends a clip between two steps, once that was asked for."""

    def __init__(self, parent: int | None) -> None:
        self.is_asked, self._parent = False, parent

    def __call__(self, progress: Progress) -> None:
        """End the clip, if nobody waits for it."""
        if self.is_asked or (self._parent is not None and os.getppid() != self._parent):
            raise Cancelled("Stopped")

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take in that it is to end."""
        self.is_asked = True


def main() -> None:
    """Make what is ordered until nothing more comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parent", type=int, help="leave when this process is gone")
    asked = parser.parse_args()
    leaving = Leaving(asked.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal is for whoever started it, who says what to do
    signal.signal(signal.SIGTERM, leaving.hear)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
    os.dup2(2, 1)  # what libraries print must not stand between answers

    turn = threading.Lock()

    def answer(told: dict[str, Any]) -> None:
        with turn:
            answers.write(json.dumps(told, allow_nan=False) + "\n")
            answers.flush()

    threading.Thread(target=beat, args=(answer,), daemon=True).start()
    try:
        work(asked, leaving, answer)
    except UnstillError as error:
        answer({"kind": "unfit", "error": error.to_dict()})
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more; what is half said is not said at exit


def beat(answer: Callable[[dict[str, Any]], None]) -> None:
    """Give signs of life: a process that gives none is held to hang."""
    with suppress(OSError, ValueError):  # nobody listens any more
        while True:
            answer({"kind": "alive"})
            time.sleep(BEAT_S)


def work(asked: argparse.Namespace, leaving: Leaving, answer: Any) -> None:
    """Say that it is ready, then take one order after the other."""
    from unstill.batch.maker import Maker
    from unstill.batch.places import open_place

    maker = Maker(open_place(asked.place), asked.device)
    answer({"kind": "ready"})
    for line in sys.stdin:
        order = json.loads(line)
        if "describe" in order:
            answer({"kind": "described", "model": maker.describe(order["describe"])})
            continue
        left = [int(one["number"]) for one in order["orders"]]
        try:
            if leaving.is_asked:
                raise Cancelled("Stopped")
            for number, outcome in maker.make(order["orders"], leaving):
                left.remove(number)
                answer({"kind": "done", "number": number, "outcome": outcome})
        except Cancelled:
            for number in left:
                answer({"kind": "released", "number": number})


if __name__ == "__main__":
    main()
