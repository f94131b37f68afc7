"""The kinds of value a knob can hold, and how each is read from what people and programs write.

A reader turns a typed value or its text into the value, or raises ValueError with what is possible.
Text is always accepted, so the command line, HTTP forms, CSV rows and recipes need no readers of their own.
This module does not know which knobs exist.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

Reader = Callable[[Any], Any]

LONGEST_TEXT = 4096  # a path on Linux; no knob needs a longer text


@dataclass(frozen=True)
class Size:
    """Width and height in pixels, written 1024x576."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def area_px(self) -> int:
        return self.width * self.height


@dataclass(frozen=True)
class Guidance:
    """Guidance at the first and at the last frame, written 1.0:3.0."""

    first: float
    last: float

    def __str__(self) -> str:
        return f"{self.first:g}:{self.last:g}"


@dataclass(frozen=True)
class Focus:
    """A point of the picture as fractions from its top left corner, written 0.5,0.5."""

    x: float
    y: float

    def __str__(self) -> str:
        return f"{self.x:g},{self.y:g}"


@dataclass(frozen=True)
class Arrow:
    """A point of the picture and how far it is to go by the last frame, in fractions of width and height."""

    x: float
    y: float
    dx: float
    dy: float

    def __str__(self) -> str:
        return f"{self.x:g},{self.y:g}>{self.dx:g},{self.dy:g}"


@dataclass(frozen=True)
class Arrows:
    """Some arrows, written X,Y>DX,DY with a semicolon between two."""

    each: tuple[Arrow, ...]

    def __str__(self) -> str:
        return ";".join(map(str, self.each))


MOST_ARROWS = 8

FOCUS_WORDS = {
    "center": Focus(0.5, 0.5),
    "left": Focus(0.0, 0.5),
    "right": Focus(1.0, 0.5),
    "top": Focus(0.5, 0.0),
    "bottom": Focus(0.5, 1.0),
}


def show(value: object) -> str:
    """Quote what was found, shortened, safe to print on a terminal."""
    text = ascii(value) if not isinstance(value, str) else "'" + value.encode("unicode_escape").decode() + "'"
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True)
class Between:
    """A reader of numbers from `least` to `most`; `kind` is what such a number is called."""

    least: float
    most: float
    kind: ClassVar[str] = "number"

    @property
    def wanted(self) -> str:
        return f"must be a {self.kind} from {self.least:g} to {self.most:g}"

    def __call__(self, value: Any) -> float:
        found = float(_number(value, self.wanted))
        if not self.least <= found <= self.most:
            raise ValueError(f"{self.wanted}, not {show(value)}")
        return found


@dataclass(frozen=True)
class WholeBetween(Between):
    """A reader of whole numbers."""

    least: int
    most: int
    kind: ClassVar[str] = "whole number"

    @property
    def wanted(self) -> str:
        return f"must be a {self.kind} from {self.least} to {self.most}"

    def __call__(self, value: Any) -> int:
        number = _number(value, self.wanted)
        if number != int(number) or not self.least <= number <= self.most:
            raise ValueError(f"{self.wanted}, not {show(value)}")
        return int(number)


def whole(low: int, high: int) -> WholeBetween:
    """Make a reader of whole numbers from low to high."""
    return WholeBetween(low, high)


def number(low: float, high: float) -> Between:
    """Make a reader of numbers from low to high."""
    return Between(low, high)


def one_of(*choices: str, spellings: dict[str, str] | None = None) -> Reader:
    """Make a reader of one word out of several; `spellings` maps other spellings to them."""
    wanted = f"must be one of {', '.join(choices)}"
    other = spellings or {}

    def read(value: Any) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        word = other.get(word, word)
        if word not in choices:
            near = difflib.get_close_matches(word, [*choices, *other], n=1)
            raise ValueError(f"{wanted}, not {show(value)}" + (f"; did you mean {near[0]}?" if near else ""))
        return word

    return read


def flag(value: Any) -> bool:
    """Read yes or no."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError(f"must be true or false, not {show(value)}")


def text(value: Any) -> str:
    """Read a short text that is not empty, or a path."""
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > LONGEST_TEXT:
        raise ValueError(f"must be a text of 1 to {LONGEST_TEXT} characters, not {show(value)}")
    return value


def device(value: Any) -> str:
    """Read a device: auto, cpu, mps, cuda or cuda:N. Accepts a torch.device too."""
    word = str(value).strip().lower() if type(value).__name__ == "device" or isinstance(value, str) else ""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", word):
        raise ValueError(f"must be auto, cpu, mps, cuda or cuda:N, not {show(value)}")
    return word


def colour(value: Any) -> str:
    """Read a colour as #rrggbb, or one of black, grey and white."""
    words = {"black": "#000000", "grey": "#808080", "gray": "#808080", "white": "#ffffff"}
    found = words.get(value.strip().lower(), value.strip().lower()) if isinstance(value, str) else ""
    if not re.fullmatch(r"#[0-9a-f]{6}", found):
        raise ValueError(f"must be a colour such as #336699, black, grey or white, not {show(value)}")
    return found


def write_bytes(count: int) -> str:
    """Write a limit in the unit that suits it."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1000:.3g} kB"


def byte_count(low: int, high: int) -> Reader:
    """Make a reader of byte counts such as 800kB, 5MB or 5000000."""
    wanted = f"must be a size such as 5MB, from {write_bytes(low)} to {write_bytes(high)}"
    units = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

    def read(value: Any) -> int:
        found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmg]?i?b?)", str(value).strip().lower())
        unit = units.get(found[2]) if found else None
        if isinstance(value, bool) or found is None or unit is None:
            raise ValueError(f"{wanted}, not {show(value)}")
        count = int(float(found[1]) * unit)
        if not low <= count <= high:
            raise ValueError(f"{wanted}, not {show(value)}")
        return count

    return read


def size(low: int, high: int) -> Reader:
    """Make a reader of sizes such as 1024x576 whose sides lie between low and high."""
    wanted = f"must be WIDTHxHEIGHT such as 1024x576, each side from {low} to {high}"

    def read(value: Any) -> Size:
        if isinstance(value, Size):
            value = (value.width, value.height)
        if isinstance(value, str):
            found = re.fullmatch(r"([0-9]{1,6})\s*[x×]\s*([0-9]{1,6})", value.strip().lower())
            sides = tuple(int(part) for part in found.groups()) if found else ()
        else:
            sides = _pair(value, Integral)
        if len(sides) != 2 or not all(low <= side <= high for side in sides):
            raise ValueError(f"{wanted}, not {show(value)}")
        return Size(int(sides[0]), int(sides[1]))

    return read


def guidance(low: float, high: float) -> Reader:
    """Make a reader of guidance: MIN:MAX, or one number for every frame."""
    wanted = f"must be FIRST:LAST such as 1.0:3.0, each from {low:g} to {high:g}"

    def read(value: Any) -> Guidance:
        if isinstance(value, Guidance):
            value = (value.first, value.last)
        parts = value.split(":") if isinstance(value, str) else _pair(value, Real) or (value,)
        if len(parts) not in (1, 2):
            raise ValueError(f"{wanted}, not {show(value)}")
        ends = [float(_number(part, wanted)) for part in parts]
        if not all(low <= end <= high for end in ends):
            raise ValueError(f"{wanted}, not {show(value)}")
        return Guidance(ends[0], ends[-1])

    return read


def focus(value: Any) -> Focus:
    """Read a point of the picture: two fractions, or one of center, left, right, top, bottom."""
    wanted = f"must be X,Y with fractions such as 0.5,0.3, or one of {', '.join(FOCUS_WORDS)}"
    if isinstance(value, Focus):
        value = (value.x, value.y)
    if isinstance(value, str) and value.strip().lower() in FOCUS_WORDS:
        return FOCUS_WORDS[value.strip().lower()]
    parts = value.split(",") if isinstance(value, str) else _pair(value, Real)
    if len(parts) != 2:
        raise ValueError(f"{wanted}, not {show(value)}")
    x, y = (float(_number(part, wanted)) for part in parts)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"{wanted}, not {show(value)}")
    return Focus(x, y)


def arrows(value: Any) -> Arrows:
    """Read arrows: X,Y>DX,DY, several with a semicolon between them."""
    wanted = f"must be X,Y>DX,DY with fractions such as 0.5,0.4>0.1,0, at most {MOST_ARROWS} of them with ; between"
    if isinstance(value, Arrows):
        return value
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"{wanted}, not {show(value)}")
    parts = [re.split(r"->|>|→", part.replace(" ", "")) for part in value.strip().strip(";").split(";")]
    if len(parts) > MOST_ARROWS or any(len(part) != 2 for part in parts):
        raise ValueError(f"{wanted}, not {show(value)}")
    found = []
    for start, way in parts:
        numbers = [float(_number(number, wanted)) for number in (*start.split(","), *way.split(","))]
        if len(numbers) != 4 or not (0 <= numbers[0] <= 1 and 0 <= numbers[1] <= 1 and max(map(abs, numbers[2:])) <= 1):
            raise ValueError(f"{wanted}, not {show(value)}")
        found.append(Arrow(*numbers))
    return Arrows(tuple(found))


MOTION_WORDS = {"still": 0.0, "subtle": 0.5, "natural": 1.2, "strong": 3.0}  # px a frame at 1024x576
MOST_PX = 60.0  # a frame; faster motion cannot be followed


def motion_px(value: Any) -> float:
    """Read how much a clip is to move: a word, or pixels a frame."""
    wanted = f"must be one of {', '.join(MOTION_WORDS)}, or pixels a frame from 0 to {MOST_PX:g}"
    if isinstance(value, str) and value.strip().lower() in MOTION_WORDS:
        return MOTION_WORDS[value.strip().lower()]
    found = float(_number(value, wanted))
    if not 0 <= found <= MOST_PX:
        raise ValueError(f"{wanted}, not {show(value)}")
    return found


def _number(value: Any, wanted: str) -> int | float:
    """Read a finite number from a number or a text; a boolean is not a number here."""
    if isinstance(value, str) and re.fullmatch(
        r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})(e[+-]?[0-9]{1,3})?", value.strip().lower()
    ):
        spelled = value.strip()
        value = int(spelled) if re.fullmatch(r"[+-]?[0-9]+", spelled) else float(spelled)
    if isinstance(value, bool) or not isinstance(value, Real) or not _is_finite(value):
        raise ValueError(f"{wanted}, not {show(value)}")
    return int(value) if isinstance(value, Integral) else float(value)


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _pair(value: Any, kind: type) -> tuple[Any, ...]:
    """Take a list or tuple of two numbers apart; anything else gives an empty tuple."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return ()
    return tuple(value) if all(isinstance(part, kind) and not isinstance(part, bool) for part in value) else ()
