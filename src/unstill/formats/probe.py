"""What a clip is, from the file alone: format, frames, size, time, and how it was made.

The file may be anyone's, so it is walked and never read whole, and every count has an end.
It does not know how clips are written or what a recipe means.
"""

from __future__ import annotations

import itertools
import math
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

from unstill.errors import RecipeError
from unstill.formats.gif import list_blocks, read_chain
from unstill.formats.recipe import LONGEST_TEXT, MARK_START, read_xmp, unpack
from unstill.formats.stills import SIGNATURE
from unstill.values import Size, show

LARGEST_BYTES = 2**32  # 254 frames of 4096x4096 as APNG, the largest clip that can be asked for and then some
MOST_PARTS = 100_000  # chunks, packets or blocks; a clip of ours has a few hundred
MOST_COMMENTS = 16
KNOWN = "MP4, WebM, GIF, animated WebP, APNG and PNG are known"


@dataclass(frozen=True)
class Probe:
    """A clip as its file shows it."""

    format: str
    codec: str | None
    frames: int
    size: Size
    duration_s: float
    play_fps: float  # on average; 0 where no time is told
    loop: int | None  # how often it plays, 0 is for ever; None where the format cannot say
    mark: str | None  # what it says about being machine-made
    recipe: dict[str, Any] | None


def probe(path: Path) -> Probe:
    """Look at a clip; refuse what is none of our formats."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return _probe_folder(path)
        return _probe_file(path)
    except av.error.FFmpegError as error:
        raise RecipeError(f"{show(path.name)} is not a clip that can be read: {error.strerror}") from None
    except (struct.error, IndexError, OverflowError) as error:  # from bytes that are not what they claim to be
        raise RecipeError(f"{show(path.name)} is not a clip that can be read: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: what is wrong in words, or a NUL in the name
        raise RecipeError(f"{show(path.name)} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _probe_file(path: Path) -> Probe:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no plain file")  # a pipe would be waited for, a device read for ever
    if found.st_size > LARGEST_BYTES:
        raise ValueError(f"its {found.st_size} bytes are too many for a clip")
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return _probe_gif(file)
        if head.startswith(b"RIFF") and head.endswith(b"WEBP"):
            return _probe_webp(file)
        if head.startswith(SIGNATURE):
            return _probe_png(file)
        # FFmpeg is told the container: left to guess, it also takes playlists, which name other files and hosts.
        if head[4:8] == b"ftyp":
            return _probe_video(file, "mp4")
        if head.startswith(b"\x1a\x45\xdf\xa3"):
            return _probe_video(file, "webm")
    raise ValueError(f"it is no clip; {KNOWN}")


def _probe_video(source: Any, kind: str) -> Probe:
    if kind == "mp4":
        _check_table(source)
    with av.open(source, "r", format="mp4" if kind == "mp4" else "matroska", metadata_errors="replace") as file:
        if not file.streams.video:
            raise ValueError("it holds no pictures")
        stream = file.streams.video[0]
        context: Any = stream.codec_context  # typed as always there, yet None where no decoder is known
        if context is None:
            raise ValueError("no decoder is known for its pictures")
        texts = {key.lower(): value for key, value in {**stream.metadata, **file.metadata}.items()}
        rate = stream.average_rate or stream.guessed_rate or Fraction(1)
        time_base = stream.time_base or Fraction(1, 1000)
        times = list[tuple[Fraction, Fraction]]()
        for packet in file.demux(stream):
            if packet.size:
                start = (packet.pts or 0) * time_base
                times.append((start, start + ((packet.duration or 0) * time_base or 1 / rate)))
            if len(times) > MOST_PARTS:
                raise ValueError(f"it has more than {MOST_PARTS} frames")
        codec = {"libdav1d": "av1", "hevc": "h265"}.get(context.name, context.name)
        size = Size(context.width, context.height)
    seconds = float(max(end for _, end in times) - min(start for start, _ in times)) if times else 0.0
    comment = texts.get("comment", "")[: LONGEST_TEXT + 1]
    return _sum_up((kind, codec), len(times), size, seconds, None, (texts.get("description"), unpack(comment)))


def _check_table(file: BinaryIO) -> None:
    """Refuse an MP4 that claims samples without end: FFmpeg sets memory aside for as many as the table of sizes says."""
    head = file.read(2**20)
    file.seek(0)
    for table in re.finditer(rb"stsz", head):
        claimed = int.from_bytes(head[table.end() + 8 : table.end() + 12], "big")
        if claimed > MOST_PARTS:
            raise ValueError(f"it claims {claimed} frames")


def _probe_gif(file: BinaryIO) -> Probe:
    delays, frames, loop, comments = 0, 0, 1, list[str]()
    size = Size(*struct.unpack("<HH", file.read(10)[6:]))
    for kind, start, _ in itertools.islice(list_blocks(file), MOST_PARTS):
        if kind == "control":
            file.seek(start + 4)
            delays += int.from_bytes(file.read(2), "little")
        elif kind == "image":
            frames += 1
        elif kind == "comment" and len(comments) < MOST_COMMENTS:
            comments.append(read_chain(file, start + 2, LONGEST_TEXT + 1).decode(errors="replace"))
        elif kind == "application":
            file.seek(start + 3)
            if file.read(13).startswith(b"NETSCAPE2.0"):
                repeats = int.from_bytes(file.read(2), "little")
                loop = repeats + 1 if repeats else 0
    recipe = next((recipe for recipe in map(unpack, comments) if recipe), None)
    mark = next((comment for comment in comments if comment.startswith(MARK_START)), None)
    return _sum_up(("gif", None), frames, size, delays / 100, loop, (mark, recipe))


def _probe_webp(file: BinaryIO) -> Probe:
    size, frames, shown_ms, loop, packet = None, 0, 0, 0, b""
    for name, content in _list_chunks(file, 12, "<4sI"):
        if name == b"VP8X" and size is None and len(content) >= 10:
            size = Size(int.from_bytes(content[4:7], "little") + 1, int.from_bytes(content[7:10], "little") + 1)
        elif name == b"ANIM":
            loop = int.from_bytes(content[4:6], "little")
        elif name == b"ANMF":
            frames += 1
            shown_ms += int.from_bytes(content[12:15], "little")
        elif name == b"XMP ":
            packet = content
    if size is None:
        raise ValueError("it is no animated WebP")
    mark, recipe = read_xmp(packet)
    return _sum_up(("webp", None), frames, size, shown_ms / 1000, loop, (mark, unpack(recipe)))


def _probe_png(file: BinaryIO) -> Probe:
    size, shown, loop, texts = None, list[Fraction](), 0, dict[str, str]()
    for name, content in _list_chunks(file, len(SIGNATURE), ">I4s"):
        if name == b"IHDR" and size is None:
            size = Size(*struct.unpack(">II", content[:8]))
        elif name == b"acTL":
            loop = int.from_bytes(content[4:8], "big")
        elif name == b"fcTL":
            number, base = struct.unpack(">HH", content[20:24])
            shown.append(Fraction(number, base or 100))
        elif name == b"iTXt" and len(texts) < MOST_COMMENTS:
            texts.update([_read_text(content)])
    if size is None:
        raise ValueError("it has no header")
    told = (texts.get("Software"), unpack(texts.get("Comment")))
    if not shown:
        return _sum_up(("png", None), 1, size, 0.0, None, told)
    return _sum_up(("apng", None), len(shown), size, float(sum(shown)), loop, told)


def _list_chunks(file: BinaryIO, place: int, head: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and first bytes of the chunks of a PNG or a RIFF, whose lengths are told by a head of 8 bytes."""
    is_png = head.startswith(">")
    for _ in range(MOST_PARTS):
        file.seek(place)
        found = file.read(8)
        if len(found) < 8:
            return
        first, second = struct.unpack(head, found)
        name, length = (second, first) if is_png else (first, second)
        wanted = min(length, 2 * LONGEST_TEXT if name in (b"iTXt", b"XMP ") else 32)
        content = file.read(wanted)
        if len(content) < wanted:
            raise ValueError("it breaks off")
        yield name, content
        place += 8 + length + (4 if is_png else length % 2)
    raise ValueError(f"it has more than {MOST_PARTS} parts")


def _read_text(content: bytes) -> tuple[str, str]:
    key, _, rest = content.partition(b"\0")
    return key.decode("latin-1"), rest[2:].split(b"\0", 2)[-1].decode(errors="replace")


def list_stills(folder: Path) -> list[Path]:
    """List the frames in a folder, the first one first."""
    return sorted(still for still in folder.iterdir() if re.fullmatch(r"[0-9]{4,9}\.png", still.name))


def _probe_folder(path: Path) -> Probe:
    """Take the stills of a folder as a clip; its rate is what the recipe says."""
    stills = list_stills(path)
    if not stills:
        raise ValueError("the folder holds no 0001.png")
    first = _probe_file(stills[0])
    knobs = (first.recipe or {}).get("knobs", {})
    play_fps = _read_rate(knobs) if isinstance(knobs, dict) else 0.0
    seconds = len(stills) / play_fps if play_fps else 0.0
    return _sum_up(("png", None), len(stills), first.size, seconds, None, (first.mark, first.recipe))


def _read_rate(knobs: dict[str, Any]) -> float:
    """Say at which rate stills play by the knobs of their recipe, which can hold anything; 0 where that is not told."""
    told = [knobs["smooth"]] if knobs.get("smooth") else [knobs.get("play_fps") or knobs.get("fps"), knobs.get("speed", 1)]
    are_rates = all(isinstance(number, int | float) and 0 < number < 1000 for number in told)
    return math.prod(map(float, told)) if are_rates else 0.0


def _sum_up(
    kind: tuple[str, str | None],
    frames: int,
    size: Size,
    seconds: float,
    loop: int | None,
    told: tuple[str | None, dict[str, Any] | None],
) -> Probe:
    if not frames or not size.area_px:
        raise ValueError("it holds no frames")
    play_fps = frames / seconds if seconds > 0 else 0.0
    return Probe(*kind, frames, size, seconds, play_fps, loop, *told)
