"""A clip becomes a file: whole and under its name, or not at all.

It owns names, publication and size limits; `formats` turns frames into bytes.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import unstill
from unstill.artifacts import Clip
from unstill.errors import DiskFull, WriteError
from unstill.formats import CODECS, SUFFIXES
from unstill.formats.gif import FASTEST_FPS, encode_gif
from unstill.formats.recipe import make_mark, pack
from unstill.formats.sheet import Sheet, read_fps
from unstill.formats.stills import encode_apng, encode_pngs, encode_webp
from unstill.formats.video import encode_video
from unstill.request import Request
from unstill.values import show

if TYPE_CHECKING:
    from unstill.artifacts import Pixels

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(clip: Clip, path: Path, request: Request) -> Path:
    """Write a clip as the request's format, or the one its name tells; what had to change is warned about."""
    check_target(path, request)
    kind = choose_format(path, request)
    frames = clip.frames
    if request.ping_pong:
        frames = np.concatenate([frames, frames[-2:0:-1]])  # neither end is shown twice
    sheet = make_sheet(clip, request)
    for note in foresee_changes(kind, request, frames.shape[2], frames.shape[1], sheet.play_fps):
        warnings.warn(note, stacklevel=3)
    if kind == "png":
        _publish_folder(path, encode_pngs(frames, sheet))
    else:
        _publish(path, encode(frames, sheet, kind, request))
    return path


def choose_format(path: Path, request: Request) -> str:
    """Take the format that is asked for, or the one of the name."""
    named = SUFFIXES.get(path.suffix.lower())
    if request.format != "auto":
        # A .png sequence and a .apng may be called .png by their user; any other mismatch confuses players.
        if named not in (None, request.format) and not (request.format in ("png", "apng") and path.suffix.lower() == ".png"):
            raise WriteError(f"{show(path.name)} is named {named}, but {request.format} is asked for", hint="make them agree")
        return request.format
    if named is None:
        raise WriteError(
            f"No format is called {path.suffix}", hint=f"possible: {', '.join(filter(None, SUFFIXES))}, or --format"
        )
    return named


def choose_codec(kind: str, request: Request) -> str:
    """Take the codec that is asked for, or the container's own."""
    if request.codec == "auto":
        return CODECS[kind][0] if CODECS[kind] else kind
    if request.codec not in CODECS[kind]:
        holding = [name for name, codecs in CODECS.items() if request.codec in codecs]
        raise WriteError(f"{kind} cannot hold {request.codec}", hint=f"{request.codec} goes into {' or '.join(holding)}")
    return request.codec


def check_target(path: Path, request: Request) -> None:
    """Refuse a place or a format that cannot be, before any work is done."""
    try:
        kind = choose_format(path, request)
        choose_codec(kind, request)
        _check_place(path, kind)
    except (OSError, ValueError) as error:  # names too long, or with a NUL in them
        raise WriteError(f"Nothing can be written to {show(str(path))}: {getattr(error, 'strerror', None) or error}") from None


def _check_place(path: Path, kind: str) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise WriteError(f"There is no folder {show(str(folder))}", hint=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK):
        raise WriteError(f"The folder {show(str(folder))} cannot be written to")
    if path.is_dir() and (kind != "png" or not _is_ours(path)):
        raise WriteError(f"{show(str(path))} is a folder", hint="name a file in it")
    if path.exists() and not path.is_dir() and (kind == "png" or not path.is_file()):
        raise WriteError(f"{show(str(path))} is there and is no {'folder' if kind == 'png' else 'plain file'}")


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder holds nothing but numbered stills, and may be replaced."""
    return all(still.suffix == ".png" and still.stem.isdigit() for still in folder.iterdir())


def make_sheet(clip: Clip, request: Request) -> Sheet:
    """Gather what every format is told beside the frames."""
    return Sheet(
        play_fps=read_fps(request.play_fps or request.fps or 7),
        quality=request.quality,
        loop=request.loop,
        colors=request.colors,
        dither=request.dither,
        mark=make_mark(unstill.__version__),
        recipe=pack(clip.recipe) if request.recipe and clip.recipe else None,
    )


def foresee_changes(kind: str, request: Request, width: int, height: int, play_fps: Fraction) -> list[str]:
    """Say what a format cannot store as it is."""
    said = []
    if kind == "mp4" and choose_codec(kind, request) == "h264" and (width % 2 or height % 2):
        said.append(f"H.264 needs even sides: the last row or column of {width}x{height} is stored twice; webm keeps the size")
    if kind == "gif" and play_fps > FASTEST_FPS:
        said.append(f"GIF cannot play faster than {FASTEST_FPS} fps: frames are left out evenly, and the duration kept")
    return said


def encode(frames: Pixels, sheet: Sheet, kind: str, request: Request) -> bytes:
    """Encode the clip, in steps of less quality until it fits under `max_bytes`."""
    smallest = None
    for attempt, shrunk in _attempts(frames, sheet, kind):
        data = _encode_once(shrunk, attempt, kind, request)
        if request.max_bytes is None or len(data) <= request.max_bytes:
            if smallest is not None:
                made = f"quality {attempt.quality}, {attempt.colors} colours, {shrunk.shape[2]}x{shrunk.shape[1]}"
                warnings.warn(f"reduced to fit {request.max_bytes} bytes: {made}", stacklevel=4)
            return data
        smallest = min(smallest or len(data), len(data))
    raise WriteError(
        f"The clip does not fit into {request.max_bytes} bytes: the smallest {kind} has {smallest}",
        hint="allow more, make fewer frames, or take webm, the smallest format",
    )


def _encode_once(frames: Pixels, sheet: Sheet, kind: str, request: Request) -> bytes:
    if kind in ("mp4", "webm"):
        return encode_video(frames, sheet, kind, choose_codec(kind, request))
    return {"gif": encode_gif, "webp": encode_webp, "apng": encode_apng}[kind](frames, sheet)


def _attempts(frames: Pixels, sheet: Sheet, kind: str) -> Iterator[tuple[Sheet, Pixels]]:
    """Yield ever smaller ways to store a clip: less quality or fewer colours first, then fewer pixels."""
    yield sheet, frames
    if kind == "gif":
        for colors in (128, 64, 32):
            yield replace(sheet, colors=min(colors, sheet.colors)), frames
    elif kind != "apng":
        for quality in (60, 40, 20, 1):
            yield replace(sheet, quality=min(quality, sheet.quality)), frames
    least = replace(sheet, colors=min(64, sheet.colors), quality=min(20, sheet.quality))
    for parts in (6, 4, 3, 2):  # eighths of each side
        yield least, shrink(frames, parts)


def shrink(frames: Pixels, eighths: int) -> Pixels:
    """Make frames smaller, to even sides."""
    from PIL import Image

    size = tuple(max(2, side * eighths // 16 * 2) for side in (frames.shape[2], frames.shape[1]))
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames])


def _publish(path: Path, data: bytes) -> None:
    """Write aside, flush, rename; on any failure nothing is left."""
    aside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    with _clear_on_failure(aside, path):
        _write_through(aside, data)
        aside.replace(path)
        _flush_folder(path.parent)


def _publish_folder(path: Path, files: dict[str, bytes]) -> None:
    """Fill a folder aside, then rename it; one of ours that is there is replaced."""
    aside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    old = aside.with_suffix(".old")
    with _clear_on_failure(aside, path):
        aside.mkdir()
        for name, data in files.items():
            _write_through(aside / name, data)
        if path.is_dir():
            path.rename(old)
        aside.rename(path)
        shutil.rmtree(old, ignore_errors=True)
        _flush_folder(path.parent)


@contextmanager
def _clear_on_failure(aside: Path, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(f"No room is left for {show(path.name)}", hint="free some space, or write elsewhere") from None
        raise WriteError(f"{show(path.name)} cannot be written: {error.strerror}") from None
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
