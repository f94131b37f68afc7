"""What clips are called: templates such as `{name}-{seed}`, names that lead nowhere else, and names that meet.

It does not know where names come from.
"""

from __future__ import annotations

import re
import string
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from unstill.errors import RequestError
from unstill.request import KNOBS
from unstill.values import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIELDS = ("name", "stem", "suffix", "number", "seed", "take")
PADDED = re.compile(r"0[1-9]d")  # as in {number:06d}
PLAIN = re.compile(r"[A-Za-z0-9_-]{1,200}")
UNSAFE = re.compile(r"[^\w.+=,@-]")
LONGEST_PART = 255 - 32  # bytes of a part of a path, less what is written before and after it meanwhile
LONGEST = 1024


class Template:
    """A name with fields, read once; only plain fields, so that it can reach nothing but them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields = tuple(_read_fields(text))

    def fill(self, values: Mapping[str, Any]) -> str:
        """Give the name for these values."""
        return self.text.format_map({field: values[field] for field in self.fields})


def _read_fields(text: str) -> Iterable[str]:
    known = (*FIELDS, *KNOBS)
    try:
        parts = [part[1:] for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise RequestError(f"--name {show(text)} cannot be read: {error}", hint="a field is written {name}") from None
    for field, spec, conversion in parts:
        if field not in known:
            raise RequestError(f"--name has no field {show(field)}", hint=f"there are {', '.join(FIELDS)}, and every knob")
        if conversion or (spec and not (PADDED.fullmatch(spec) and field in ("number", "seed", "take"))):
            raise RequestError(f"--name: {{{field}}} can be written so alone", hint="numbers may be padded: {number:06d}")
        yield field


def clean(value: object) -> str:
    """Write a knob's value so that it can stand in a name."""
    return "auto" if value is None else UNSAFE.sub("_", str(value))


def find_fault(name: str) -> str | None:
    """Say why a clip cannot have a name: it must lead to a file below its folder, on every system."""
    if PLAIN.fullmatch(name):
        return None  # as most are
    parts = name.split("/")
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST:
        return "is too long"
    if "\\" in name or ":" in name or not name.isprintable():
        return "has signs that a name must not have"
    if any(part in ("", ".", "..") for part in parts):
        return "leads elsewhere"
    if any(part.startswith(".") or part != part.strip() or part.endswith(".") for part in parts):
        return "has a part that begins with a dot, or ends with one, or with a blank"
    if any(len(part.encode("utf-8", "surrogateescape")) > LONGEST_PART for part in parts):
        return "is too long"
    return None


def fold(name: str) -> str:
    """Give what two names share that some system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def mark(*texts: object) -> int:
    """Give 64 bits that stand for texts; of a million, two are alike by chance once in 37 million times."""
    joined = "\0".join(map(str, texts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(joined, digest_size=8).digest(), "big")


class Marks:
    """A million texts in eight megabytes: whether one is among them, and which were put in twice."""

    def __init__(self) -> None:
        self._marks, self._is_sorted = array("Q"), True

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, one: int) -> None:
        """Put a mark in."""
        self._marks.append(one)
        self._is_sorted = False

    def __contains__(self, one: int) -> bool:
        self._sort()
        place = bisect_left(self._marks, one)
        return place < len(self._marks) and self._marks[place] == one

    def list_twice(self) -> set[int]:
        """Give marks that were put in more than once."""
        found = self._sort()
        return set(found[1:][found[1:] == found[:-1]].tolist())

    def meet(self, other: Marks) -> set[int]:
        """Give marks that are in both."""
        return set(np.intersect1d(self._sort(), other._sort()).tolist())

    def _sort(self) -> NDArray[np.uint64]:
        found = np.frombuffer(self._marks, np.uint64) if self._marks else np.empty(0, np.uint64)
        if not self._is_sorted:
            found.sort()  # where they lie, without a copy
            self._is_sorted = True
        return found
