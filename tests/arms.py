"""Functions that kill their process, or fail, at a named call. It knows no faults."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Arm:
    """What happens at a call of a function: the n-th of those whose arguments name a place with such a word in it."""

    at: str
    side: str = "before"
    nth: int = 1
    word: str = ""
    act: str = "kill"  # kill, interrupt, hang, count (into `file`), or the name of an error number
    times: int = 1
    file: str = ""


def find(place: str) -> tuple[Any, str]:
    """Return the module or class that a dotted name is an attribute of, and the attribute."""
    words = place.split(".")
    for length in range(len(words) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(words[:length]))
        except ModuleNotFoundError:
            continue
        for word in words[length:-1]:
            owner = getattr(owner, word)
        return owner, words[-1]
    raise ValueError(place)


def put(place: str, value: Any) -> None:
    """Set an attribute, such as how long something may take."""
    owner, name = find(place)
    setattr(owner, name, value)


def set_arm(arm: Arm) -> None:
    """Make a function act at its due calls."""
    owner, name = find(arm.at)
    whole, calls = getattr(owner, name), iter(range(1, 2**31))

    @functools.wraps(whole)
    def armed(*given: Any, **named: Any) -> Any:
        number = next(calls) if arm.word in name_places(given) else 0
        is_due = arm.nth <= number < arm.nth + arm.times
        if arm.side == "before" and is_due:
            act(arm)
        made = whole(*given, **named)
        if arm.side == "after" and is_due:
            act(arm)
        return made

    setattr(owner, name, armed)


def act(arm: Arm) -> None:
    """Kill or interrupt the process, hang, count the call, or fail."""
    if arm.act in ("kill", "interrupt"):
        os.kill(os.getpid(), signal.SIGKILL if arm.act == "kill" else signal.SIGINT)
    elif arm.act == "hang":
        time.sleep(3600)
    elif arm.act == "count":
        with Path(arm.file).open("a") as file:
            file.write("x")
    else:
        number = getattr(errno, arm.act)
        raise OSError(number, os.strerror(number))


def name_places(given: tuple[Any, ...]) -> str:
    """Return the places that arguments mean; an open file is known by its number."""
    return " ".join(read_link(one) if isinstance(one, int) else str(one) for one in given)


def read_link(number: int) -> str:
    """Return the path of an open file."""
    try:
        return os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
    except OSError:
        return ""
