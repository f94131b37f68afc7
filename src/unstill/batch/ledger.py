"""What came of each item: a file of one JSON object a line, that only grows.

    {"number": 1, "picture": "photos/one.jpg", "output": "one.mp4", "key": …, "sha256": …, "seconds": 7.1, "moves": …}

A run that goes on reads it first: what is told there to be made, of the same picture with the same settings, is passed over.
It does not know how clips are made.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from unstill.batch.items import Item
from unstill.batch.names import Marks, mark
from unstill.batch.sources import is_url
from unstill.errors import DiskFull, WriteError
from unstill.values import show

FLUSH_S = 1.0  # between two times that lines are forced to the disk; what is lost is found again beside the clips


@dataclass
class Earlier:
    """Clips that are told of, and what they took."""

    made: int = 0
    seconds: float = 0.0
    bytes: int = 0


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Give what is told of items; half a line, of a run that was killed, tells nothing."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found


def count_made(path: Path) -> Earlier:
    """Count clips that earlier runs made."""
    counted = Earlier()
    for line in read_lines(path):
        with suppress(KeyError, TypeError):
            if line["error"] is None:
                counted.seconds += line["seconds"]
                counted.bytes += line["bytes"]
                counted.made += 1
    return counted


class Diary:
    """What earlier runs tell of."""

    def __init__(self, path: Path, out: Path | None) -> None:
        """Read what is there; `out` is the folder of clips, if it is one that can be looked into quickly."""
        self.path, self._out, self._made = path, out, Marks()
        for line in read_lines(path):
            self._note(line)

    def has(self, item: Item) -> bool:
        """Say whether an item's clip was made, and is there."""
        return not item.again and mark(*self._know(item.picture, item.output, item.settings)) in self._made

    def _note(self, line: Mapping[str, Any]) -> None:
        with suppress(KeyError, TypeError):
            if line["error"] is None:
                size = None if self._out is None else line["bytes"]
                self._made.add(mark(line["picture"], line["stamp"], line["output"], line["settings"], size))

    def _know(self, picture: str, output: str, settings: str) -> tuple[object, ...]:
        return picture, stamp_picture(picture), output, settings, self._weigh(output)

    def _weigh(self, output: str) -> int | None:
        """Give the size of a clip; where none is, one that no clip has."""
        if self._out is None:
            return None
        try:
            return (self._out / output).stat().st_size
        except OSError:
            return -1


class Ledger(Diary):
    """The results of a batch, those of earlier runs and of this one."""

    def __init__(self, path: Path, out: Path | None) -> None:
        super().__init__(path, out)
        self._flushed = 0.0
        try:
            self._file = path.open("ab")
            if path.stat().st_size and not self._ends_well():
                self._file.write(b"\n")  # a run that was killed left half a line
        except OSError as error:
            raise WriteError(f"{show(str(path))} cannot be written: {error.strerror or error}") from None

    @property
    def told(self) -> int:
        """Count clips that earlier runs tell of; whether they are there still is seen one by one."""
        return len(self._made)

    def add(self, line: Mapping[str, Any]) -> None:
        """Write what came of an item."""
        try:
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogateescape") + b"\n")
            self._file.flush()
            if time.monotonic() - self._flushed > FLUSH_S:
                os.fsync(self._file.fileno())
                self._flushed = time.monotonic()
        except OSError as error:
            raise DiskFull(f"{show(str(self.path))} cannot be written: {error.strerror or error}") from None

    def _ends_well(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            os.fsync(self._file.fileno())
        with suppress(OSError):  # what a full disk did not take was said when it was written
            self._file.close()


def stamp_picture(picture: str) -> str:
    """Say by what a picture is known to be unchanged: its size and time; of an address, by nothing but its name."""
    if is_url(picture):
        return ""
    try:
        status = Path(picture).stat()
    except (OSError, ValueError):
        return "gone"
    return f"{status.st_size}-{status.st_mtime_ns}"
