"""A clip's frames, read back from its file. It does not know who made the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from PIL import Image, ImageSequence

from unstill.errors import RecipeError
from unstill.formats.probe import Probe, list_stills, probe
from unstill.values import show, write_bytes

if TYPE_CHECKING:
    from unstill.artifacts import Pixels

LARGEST_BYTES = 2_000_000_000  # 1,100 frames of 1024x576
DEMUXERS = {"mp4": "mp4", "webm": "matroska", "gif": "gif"}


def read_frames(path: Path) -> tuple[Pixels, Probe]:
    """Read all frames, [F, H, W, 3], and what the file tells; refuse what is no clip or does not fit into memory."""
    found = probe(path)
    count = found.frames * found.size.area_px * 3
    if count > LARGEST_BYTES:
        raise RecipeError(f"{show(path.name)} has {found.frames} frames of {found.size}: {write_bytes(count)}, "
                          f"and at most {write_bytes(LARGEST_BYTES)} are read")  # fmt: skip
    # A still may be counted that is not shown; what is read fills a place that is there already.
    frames: Pixels = np.empty((found.frames, found.size.height, found.size.width, 3), np.uint8)
    number = 0
    try:
        for frame in itertools.islice(_read(path, found), found.frames):
            frames[number] = frame
            number += 1
    except (av.error.FFmpegError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RecipeError(f"{show(path.name)} breaks off or is damaged: {error}") from None
    if not number:
        raise RecipeError(f"{show(path.name)} holds no frames")
    return frames[:number], found


def walk_frames(path: Path) -> tuple[Iterator[Any], Probe]:
    """Read frames one after the other, for whoever needs a few of many; and what the file tells."""
    found = probe(path)
    return _read(path, found), found


def _read(path: Path, found: Probe) -> Iterator[Any]:
    if path.is_dir():
        for still in list_stills(path):
            with Image.open(still, formats=["PNG"]) as picture:
                yield _fit(np.asarray(picture.convert("RGB")), found)
    elif found.format in DEMUXERS:
        yield from _read_video(path, found)
    else:
        with Image.open(path, formats=["WEBP", "PNG"]) as picture:
            for frame in ImageSequence.Iterator(picture):
                yield _fit(np.asarray(frame.convert("RGB")), found)


def _read_video(path: Path, found: Probe) -> Iterator[Any]:
    with path.open("rb") as source, av.open(source, "r", format=DEMUXERS[found.format]) as file:
        for frame in file.decode(video=0):
            yield _fit(frame.to_ndarray(format="rgb24"), found)


def _fit(frame: Any, found: Probe) -> Any:
    """Refuse frames of a size that the file did not tell."""
    height, width = frame.shape[:2]
    if (width, height) != (found.size.width, found.size.height):
        raise ValueError(f"a frame is {width}x{height}, the clip {found.size}")
    return frame
