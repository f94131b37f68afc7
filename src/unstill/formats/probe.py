"""What a clip is, from the file alone: format, frames, size, time, and how it was made."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from unstill.errors import RecipeError
from unstill.formats.gif import list_blocks, read_chain
from unstill.formats.recipe import LONGEST_TEXT, read_xmp, unpack
from unstill.formats.stills import SIGNATURE, list_chunks
from unstill.values import Size, show

LARGEST_BYTES = 2**31  # a clip of ours has a few MB
LIMIT_FRAMES = 100_000


@dataclass(frozen=True)
class Probe:
    """A clip as its file shows it."""

    format: str
    codec: str | None
    frames: int
    size: Size
    duration_s: float
    play_fps: float  # on average
    loop: int | None  # how often it plays, 0 is for ever; None where the format cannot say
    mark: str | None  # what it says about being machine-made
    recipe: dict[str, Any] | None


def probe(path: Path) -> Probe:
    """Look at a clip; refuse what is none of our formats."""
    if path.is_dir():
        return _probe_folder(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise RecipeError(f"{path.name} has {path.stat().st_size} bytes, too many for a clip")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise RecipeError(f"{show(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    reader = {b"GIF8": _probe_gif, b"RIFF": _probe_webp, SIGNATURE[:4]: _probe_png}.get(data[:4])
    try:
        return _probe_video(path) if reader is None else reader(data)
    except (ValueError, IndexError, struct.error, ZeroDivisionError, av.error.FFmpegError, UnicodeDecodeError) as error:
        # What the readers of these containers raise on bytes that are not what they claim to be.
        raise RecipeError(f"{show(path.name)} is not a clip that can be read: {error}") from None


def _probe_video(path: Path) -> Probe:
    with av.open(str(path), metadata_errors="replace") as file:
        if not file.streams.video:
            raise ValueError("it holds no pictures")
        stream = file.streams.video[0]
        texts = {key.lower(): value for key, value in {**stream.metadata, **file.metadata}.items()}
        frames = [packet for packet in file.demux(stream) if packet.size]
        if not frames:
            raise ValueError("it holds no frames")
        time_base = stream.time_base or Fraction(1, 1000)
        rate = stream.average_rate or stream.guessed_rate or Fraction(1)
        ends = [(p.pts or 0) * time_base + ((p.duration or 0) * time_base or 1 / rate) for p in frames]
        seconds = float(max(ends) - min((p.pts or 0) * time_base for p in frames))
        kind = "webm" if "webm" in file.format.name else "mp4" if "mp4" in file.format.name else file.format.name
        codec = {"libdav1d": "av1", "hevc": "h265"}.get(stream.codec_context.name, stream.codec_context.name)
        size = Size(stream.codec_context.width, stream.codec_context.height)
    comment = texts.get("comment")
    recipe = unpack(comment[: LONGEST_TEXT + 1] if comment else None)
    return Probe(kind, codec, len(frames), size, seconds, len(frames) / seconds, None, texts.get("description"), recipe)


def _probe_gif(data: bytes) -> Probe:
    delays, loop, comments = [], 1, []
    for kind, start, end in list_blocks(data):
        if kind == "control":
            delays.append(int.from_bytes(data[start + 4 : start + 6], "little"))
        elif kind == "comment":
            comments.append(read_chain(data, start + 2).decode(errors="replace"))
        elif kind == "application" and data[start + 3 : start + 14] == b"NETSCAPE2.0":
            repeats = int.from_bytes(data[start + 16 : start + 18], "little")
            loop = repeats + 1 if repeats else 0
        del end
    recipes = [recipe for recipe in map(unpack, comments) if recipe]
    marks = [comment for comment in comments if comment.startswith("made by")]
    seconds = sum(delays) / 100
    size = Size(*struct.unpack("<HH", data[6:10]))
    return Probe("gif", None, len(delays), size, seconds, len(delays) / seconds, loop, _first(marks), _first(recipes))


def _probe_webp(data: bytes) -> Probe:
    chunks: list[tuple[bytes, bytes]] = []
    place = 12
    while place + 8 <= len(data) and len(chunks) < LIMIT_FRAMES:
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        chunks.append((data[place : place + 4], data[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    by_name = dict(chunks)
    canvas = by_name.get(b"VP8X")
    if data[8:12] != b"WEBP" or canvas is None or len(canvas) < 10:
        raise ValueError("it is no animated WebP")
    frames = [content for name, content in chunks if name == b"ANMF"]
    seconds = sum(int.from_bytes(frame[12:15], "little") for frame in frames) / 1000
    size = Size(int.from_bytes(canvas[4:7], "little") + 1, int.from_bytes(canvas[7:10], "little") + 1)
    loop = int.from_bytes(by_name.get(b"ANIM", bytes(6))[4:6], "little")
    mark, recipe = read_xmp(by_name.get(b"XMP ", b""))
    return Probe("webp", None, len(frames), size, seconds, len(frames) / seconds, loop, mark, unpack(recipe))


def _probe_png(data: bytes) -> Probe:
    chunks = list_chunks(data)
    by_name = dict(reversed(chunks))
    size = Size(*struct.unpack(">II", by_name[b"IHDR"][:8])) if b"IHDR" in by_name else Size(0, 0)
    texts = dict(_read_text(content) for name, content in chunks if name == b"iTXt")
    recipe, mark = unpack(texts.get("Comment")), texts.get("Software")
    shown = [struct.unpack(">HH", content[20:24]) for name, content in chunks if name == b"fcTL"]
    if not shown:
        return Probe("png", None, 1, size, 0.0, 0.0, None, mark, recipe)
    seconds = float(sum(Fraction(number, base or 100) for number, base in shown))
    loop = int.from_bytes(by_name[b"acTL"][4:8], "big") if b"acTL" in by_name else 0
    return Probe("apng", None, len(shown), size, seconds, len(shown) / seconds, loop, mark, recipe)


def _read_text(content: bytes) -> tuple[str, str]:
    key, _, rest = content[: 2 * LONGEST_TEXT].partition(b"\0")
    return key.decode("latin-1"), rest[2:].split(b"\0", 2)[-1].decode(errors="replace")


def _probe_folder(path: Path) -> Probe:
    """Take the stills of a folder as a clip; its rate is what the recipe says."""
    stills = sorted(path.glob("[0-9]*.png"))
    if not stills:
        raise RecipeError(f"The folder {path.name} holds no 0001.png")
    first = _probe_png(stills[0].read_bytes())
    knobs = (first.recipe or {}).get("knobs", {})
    play_fps = float(knobs.get("play_fps") or knobs.get("fps") or 0)
    seconds = len(stills) / play_fps if play_fps else 0.0
    return Probe("png", None, len(stills), first.size, seconds, play_fps, None, first.mark, first.recipe)


def _first(found: list[Any]) -> Any:
    return found[0] if found else None
