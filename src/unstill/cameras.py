"""The words for what a camera does, and how several make one path. What a word looks like is up to each model."""

from __future__ import annotations

import math

from unstill.values import show

WORDS = (
    "still", "push", "pull", "left", "right", "up", "down", "orbit", "roll", "zoom", "dolly-zoom", "arc", "handheld",
)  # fmt: skip
AUTO = "auto"


def read_path(text: str) -> tuple[tuple[str, float], ...]:
    """Read a path, as in "push 60%, left 40%", as words with shares that add up to 1; raise ValueError if it is none."""
    parts = [_read_part(part) for part in text.split(",")]
    words = [word for word, _ in parts]
    if len(set(words)) < len(words):
        raise ValueError(f"names {max(words, key=words.count)} twice")
    total = sum(share for _, share in parts)
    return tuple((word, share / total) for word, share in parts)


def _read_part(text: str) -> tuple[str, float]:
    """Read one word and its percent, which is 100 if left out."""
    word, _, percent = text.strip().lower().partition(" ")
    if word not in WORDS:
        raise ValueError(f'must be one of {", ".join((AUTO, *WORDS))}, or several as in "push 60%, left 40%", not {show(text)}')
    try:
        share = float(percent.strip().removesuffix("%") or 100)
    except ValueError:
        raise ValueError(f"takes a percentage after {word}, not {show(percent.strip())}") from None
    if not (0 < share < math.inf):
        raise ValueError(f"takes a percentage over 0 after {word}, not {show(percent.strip())}")
    return word, share


def camera(value: object) -> str:
    """Read a camera knob: auto, a word, or a path, written in one way."""
    text = str(value).strip()
    if text.lower() == AUTO:
        return AUTO
    path = read_path(text)
    return path[0][0] if len(path) == 1 else ", ".join(f"{word} {100 * share:g}%" for word, share in path)
