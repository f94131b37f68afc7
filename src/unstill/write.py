"""A clip becomes a file: whole and under its name, or not at all.

It owns names, publication and size limits; `formats` turns frames into bytes.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import unstill
from unstill.artifacts import Clip
from unstill.disk import FULL
from unstill.errors import DiskFull, WriteError
from unstill.finish import finish
from unstill.formats import CODECS, LIMITS_PX, SUFFIXES
from unstill.formats.gif import FASTEST_FPS, encode_gif
from unstill.formats.recipe import MARK_START, make_mark, pack
from unstill.formats.sheet import Sheet, read_fps
from unstill.formats.stills import encode_apng, encode_pngs, encode_webp
from unstill.formats.video import encode_video
from unstill.request import KNOBS, Request
from unstill.values import Size, show

if TYPE_CHECKING:
    from unstill.artifacts import Pixels

Made = bytes | dict[str, bytes]  # a file, or a folder of files by name

ASIDE = ".unstill-"  # how names of what is not whole yet begin; never the clip's name, which may fill all 255 bytes


def write(clip: Clip, path: Path, request: Request) -> Path:
    """Write a clip as the request's format, or the one its name tells; what had to change is warned about."""
    kind = check_target(path, request)
    codec = choose_codec(kind, request)
    frames = _check_frames(clip.frames, codec)
    frames, fps = finish(frames, request, draw=clip.draw)
    sheet = make_sheet(clip, request, fps)
    notes = foresee_changes(kind, request, Size(frames.shape[2], frames.shape[1]), sheet.play_fps)
    made, more_notes = encode(frames, sheet, kind, request)
    for note in notes + more_notes:
        warnings.warn(note, stacklevel=3)
    publish(path.resolve(), made)
    return path


def choose_format(path: Path, request: Request) -> str:
    """Take the format that is asked for, or the one of the name."""
    suffix = (path.suffix or (path.name if path.name.startswith(".") else "")).lower()
    named = SUFFIXES.get(suffix)
    if request.format != "auto":
        # A .png sequence and a .apng may be called .png by their user; any other mismatch confuses players.
        if suffix and named not in (None, request.format):
            raise WriteError(f"{show(path.name)} is named {named}, but {request.format} is asked for", hint="make them agree")
        return request.format
    if named is None:
        possible = f"possible: {', '.join(filter(None, SUFFIXES))}, a name without any for a folder of PNG, or --format"
        raise WriteError(f"{show(path.name)} does not tell its format: {show(suffix)} is none", hint=possible)
    return named


def choose_codec(kind: str, request: Request) -> str:
    """Take the codec that is asked for, or the container's own; a format without a choice is its own codec."""
    if request.codec == "auto":
        return CODECS[kind][0] if CODECS[kind] else kind
    if request.codec not in CODECS[kind]:
        holding = [name for name, codecs in CODECS.items() if request.codec in codecs]
        raise WriteError(f"{kind} cannot hold {request.codec}", hint=f"{request.codec} goes into {' or '.join(holding)}")
    return request.codec


def check_target(path: Path, request: Request) -> str:
    """Refuse a place or a format that cannot be, before any work is done; return the format."""
    try:
        kind = choose_format(path, request)
        choose_codec(kind, request)
        _check_place(path, kind)
    except (OSError, ValueError, RuntimeError) as error:  # names too long or with a NUL in them, links in a circle
        raise WriteError(f"Nothing can be written to {show(str(path))}: {getattr(error, 'strerror', None) or error}") from None
    return kind


def _check_place(path: Path, kind: str) -> None:
    place = path.resolve()  # a link stays a link, and what it points to is written, as `>` of a shell does
    folder = place.parent
    if path.name in ("", ".."):
        raise WriteError(f"{show(str(path))} is a folder", hint="name a file in it")
    if not folder.is_dir():
        raise WriteError(f"There is no folder {show(str(folder))}", hint=f"mkdir -p {shlex.quote(str(folder))}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WriteError(f"The folder {show(str(folder))} cannot be written to")
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode) and kind != "png":
        raise WriteError(f"{show(str(path))} is a folder", hint="name a file in it")
    if stat.S_ISDIR(mode) and not _is_ours(place):
        raise WriteError(
            f"{show(str(path))} holds other things than frames of ours", hint="name a folder that is not there yet"
        )
    if not stat.S_ISDIR(mode) and (kind == "png" or not stat.S_ISREG(mode)):
        raise WriteError(f"{show(str(path))} is there and is no {'folder' if kind == 'png' else 'plain file'}")


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder holds nothing but stills that we numbered and marked, and may be replaced."""
    for still in folder.iterdir():
        if not re.fullmatch(r"[0-9]{4,}\.png", still.name) or still.is_symlink() or not still.is_file():
            return False
        with still.open("rb") as file:
            if MARK_START.encode() not in file.read(256):  # it comes right after the header
                return False
    return True


def _check_frames(frames: Any, codec: str) -> Pixels:
    """Refuse what is no clip, or one of a size that the codec cannot hold."""
    is_clip = isinstance(frames, np.ndarray) and frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3
    if not is_clip or 0 in frames.shape:
        found = f"{frames.dtype} of shape {list(frames.shape)}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise WriteError(f"A clip is made of uint8 of shape [frames, rows, columns, 3], not {found}")
    (low, high), (height, width) = LIMITS_PX[codec], frames.shape[1:3]
    if not low <= min(height, width) <= max(height, width) <= high:
        raise WriteError(f"{codec} holds sides of {low} to {high} pixels, not {width}x{height}", hint="take another format")
    return np.asarray(frames)


def make_sheet(clip: Clip, request: Request, fps: float) -> Sheet:
    """Gather what every format is told beside the frames."""
    return Sheet(
        play_fps=read_fps(fps),
        quality=request.quality,
        plays=request.plays,
        colors=request.colors,
        dither=request.dither,
        mark=make_mark(unstill.__version__),
        recipe=pack(update_recipe(clip, request)) if request.recipe and clip.recipe else None,
    )


def update_recipe(clip: Clip, request: Request) -> dict[str, Any]:
    """Let the recipe say how this file is written, where that is not how the clip was first asked for."""
    if not isinstance(clip.recipe.get("knobs"), dict):
        return clip.recipe
    knobs = dict(clip.recipe["knobs"])
    for name in (name for name, knob in KNOBS.items() if knob.group == "file"):
        value = getattr(request, name)
        if value != getattr(clip.request, name):
            knobs[name] = value
    return {**clip.recipe, "knobs": {name: value for name, value in knobs.items() if value is not None}}


def foresee_changes(kind: str, request: Request, size: Size, play_fps: Fraction) -> list[str]:
    """Say what a format cannot store as it is."""
    said = []
    if choose_codec(kind, request) == "h264" and (size.width % 2 or size.height % 2):
        said.append(f"H.264 needs even sides: the last row or column of {size} is stored twice; webm keeps the size")
    if kind == "gif" and play_fps > FASTEST_FPS:
        said.append(f"GIF cannot play faster than {FASTEST_FPS} fps: frames are left out evenly, and the duration kept")
    return said


def encode(frames: Pixels, sheet: Sheet, kind: str, request: Request) -> tuple[Made, list[str]]:
    """Encode the clip, in steps of less quality until it fits under `max_bytes`; say what was reduced."""
    smallest = None
    for attempt, shrunk in _attempts(frames, sheet, kind):
        made = _encode_once(shrunk, attempt, kind, request)
        count = len(made) if isinstance(made, bytes) else sum(map(len, made.values()))
        if request.max_bytes is None or count <= request.max_bytes:
            note = f"reduced to fit into {request.max_bytes} bytes: {_describe(attempt, shrunk, kind)}"
            return made, [] if smallest is None else [note]
        smallest = min(smallest or count, count)
    raise WriteError(
        f"The clip does not fit into {request.max_bytes} bytes: the smallest {kind} has {smallest}",
        hint="allow more, make fewer frames, or take webm, the smallest format",
    )


def _encode_once(frames: Pixels, sheet: Sheet, kind: str, request: Request) -> Made:
    if kind in ("mp4", "webm"):
        return encode_video(frames, sheet, kind, choose_codec(kind, request))
    if kind == "png":
        return encode_pngs(frames, sheet)
    return {"gif": encode_gif, "webp": encode_webp, "apng": encode_apng}[kind](frames, sheet)


def _attempts(frames: Pixels, sheet: Sheet, kind: str) -> Iterator[tuple[Sheet, Pixels]]:
    """Yield ever smaller ways to store a clip: less quality or fewer colours first, then fewer pixels."""
    yield sheet, frames
    if kind == "gif":
        for colors in (128, 64, 32):
            if colors < sheet.colors:
                yield replace(sheet, colors=colors), frames
    elif kind not in ("apng", "png"):  # these have nothing but pixels to lose
        for quality in (60, 40, 20, 1):
            if quality < sheet.quality:
                yield replace(sheet, quality=quality), frames
    least = replace(sheet, colors=min(64, sheet.colors), quality=min(20, sheet.quality))
    for eighths in (6, 4, 3, 2):
        yield least, shrink(frames, eighths)


def _describe(sheet: Sheet, frames: Pixels, kind: str) -> str:
    kept = {"gif": f"{sheet.colors} colours, ", "apng": "", "png": ""}.get(kind, f"quality {sheet.quality}, ")
    return f"{kept}{frames.shape[2]}x{frames.shape[1]}"


def shrink(frames: Pixels, eighths: int) -> Pixels:
    """Make frames smaller, to even sides of 64 pixels or more, which every codec can hold."""
    from PIL import Image

    width, height = (max(min(64, side), side * eighths // 16 * 2) for side in (frames.shape[2], frames.shape[1]))
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)) for frame in frames])


def publish(place: Path, made: Made) -> None:
    """Write aside, flush, rename; on any failure nothing is left, and what was there stays."""
    aside = place.with_name(f"{ASIDE}{secrets.token_hex(8)}.part")
    with _clear_on_failure(aside, place):
        if isinstance(made, bytes):
            _write_through(aside, made)
            aside.replace(place)
        else:
            aside.mkdir()
            for name, data in made.items():
                _write_through(aside / name, data)
            _flush_folder(aside)
            _replace_folder(aside, place)
        _flush_folder(place.parent)


def _replace_folder(aside: Path, place: Path) -> None:
    """Put a folder in the place of one of ours; no system call here swaps the two, so the old one steps aside first."""
    old = aside.with_suffix(".old")
    try:
        with suppress(FileNotFoundError):
            place.rename(old)
        aside.rename(place)
    finally:
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif old.exists():
            old.rename(place)


@contextmanager
def _clear_on_failure(aside: Path, place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(f"No room is left for {show(place.name)}", hint="free some space, or write elsewhere") from None
        raise WriteError(f"{show(place.name)} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):
            aside.unlink()


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be opened and flushed; the clip is whole anyway."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
