"""Frames as GIF: one good palette, exact average timing, every frame kept. It does not know files or recipes.

FFmpeg chooses colours and encodes; delays, loops and comments are then written into the container by us, as its
muxer rounds every delay alike and its comment is its own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from unstill.formats.sheet import Sheet, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

TICKS_PER_S = 100  # GIF counts hundredths of a second
FASTEST_FPS = 50  # browsers play delays under 2 hundredths at a tenth of a second
DITHERS = {"sierra": "sierra2_4a", "bayer": "bayer:bayer_scale=3", "none": "none"}
CLOCK = Fraction(1, 1000)  # inside FFmpeg only; its delays are replaced


def encode_gif(frames: NDArray[np.uint8], sheet: Sheet) -> bytes:
    """Encode [F, H, W, 3] frames; above 50 fps frames are left out evenly, so that the clip keeps its duration."""
    play_fps = sheet.play_fps
    if play_fps > FASTEST_FPS:
        kept = max(2, round(len(frames) * FASTEST_FPS / play_fps))
        frames = frames[np.linspace(0, len(frames) - 1, kept).round().astype(int)]
        play_fps = Fraction(FASTEST_FPS)
    out = io.BytesIO()
    with av.open(out, "w", format="gif") as file:
        stream = file.add_stream("gif", rate=10)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "pal8"
        stream.time_base = stream.codec_context.time_base = CLOCK
        for frame in reduce_colours(frames, sheet):
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    notes = [sheet.mark] if sheet.recipe is None else [sheet.mark, sheet.recipe]
    return rewrite(out.getvalue(), spread(len(frames), play_fps, TICKS_PER_S), sheet.loop, notes)


def reduce_colours(frames: NDArray[np.uint8], sheet: Sheet) -> Iterator[Any]:
    """Reduce frames to one palette, made of what all of them hold."""
    graph, source = _begin(frames)
    maker = graph.add("palettegen", f"max_colors={sheet.colors}:reserve_transparent=1:stats_mode=full")
    sink = graph.add("buffersink")
    source.link_to(maker)
    maker.link_to(sink)
    graph.configure()
    # Six bits a channel: 64 times fewer colours to sort, and of 25 frames of 1024x576 with grain 9 s less.
    for number, frame in enumerate((frames & 0xFC) | 2):
        source.push(_timed(frame, number))
    source.push(None)
    palette = sink.pull()
    graph, source = _begin(frames)
    given = graph.add_buffer(width=palette.width, height=palette.height, format=palette.format.name, time_base=CLOCK)
    use = graph.add("paletteuse", f"dither={DITHERS[sheet.dither]}:diff_mode=rectangle")
    sink = graph.add("buffersink")
    source.link_to(use, 0, 0)
    given.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    palette.pts, palette.time_base = 0, CLOCK
    given.push(palette)
    given.push(None)
    for number, frame in enumerate(frames):
        source.push(_timed(frame, number))
        yield from _drain(sink)
    source.push(None)
    yield from _drain(sink)


def _begin(frames: NDArray[np.uint8]) -> tuple[Any, Any]:
    graph = av.filter.Graph()
    return graph, graph.add_buffer(
        width=frames.shape[2], height=frames.shape[1], format=av.VideoFormat("rgb24"), time_base=CLOCK
    )


def _timed(frame: NDArray[np.uint8], number: int) -> Any:
    shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    shown.pts, shown.time_base = number * 100, CLOCK
    return shown


def _drain(sink: Any) -> Iterator[Any]:
    while True:
        try:
            yield sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):  # nothing more yet, or ever
            return


def list_blocks(data: bytes) -> list[tuple[str, int, int]]:
    """List the blocks of a GIF as (kind, start, end): header, control, comment, application, image, other, end."""
    place = 13 + _table_bytes(data[10])
    blocks = [("header", 0, place)]
    while place < len(data) and data[place] != 0x3B:
        if data[place] == 0x21:
            kind = {0xF9: "control", 0xFE: "comment", 0xFF: "application"}.get(data[place + 1], "other")
            end = _end_of_chain(data, place + 2)
        elif data[place] == 0x2C:
            kind, end = "image", _end_of_chain(data, place + 11 + _table_bytes(data[place + 9]))
        else:
            raise ValueError(f"no GIF block begins with {data[place]:#x}")
        blocks.append((kind, place, end))
        place = end
    return [*blocks, ("end", place, len(data))]


def _table_bytes(flags: int) -> int:
    """Count the bytes of the colour table that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_chain(data: bytes, place: int) -> int:
    """Skip sub-blocks up to the empty one."""
    while data[place]:
        place += data[place] + 1
    return place + 1


def read_chain(data: bytes, place: int) -> bytes:
    """Join the sub-blocks from a place on."""
    parts = []
    while data[place]:
        parts.append(data[place + 1 : place + 1 + data[place]])
        place += data[place] + 1
    return b"".join(parts)


def _write_chain(content: bytes) -> bytes:
    parts = (content[i : i + 255] for i in range(0, len(content), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def rewrite(data: bytes, delays: list[int], loop: int, notes: list[str]) -> bytes:
    """Give a GIF its delays, its number of plays and its comments, in place of those it has."""
    blocks, waiting = [], iter(delays)
    for kind, start, end in list_blocks(data):
        block = data[start:end]
        if kind == "control":
            block = block[:4] + next(waiting).to_bytes(2, "little") + block[6:]
        if kind not in ("comment", "application"):
            blocks.append(block)
    comments = b"".join(b"\x21\xfe" + _write_chain(note.encode()) for note in notes)
    return blocks[0] + _write_loop(loop) + comments + b"".join(blocks[1:])


def _write_loop(loop: int) -> bytes:
    """Write how often it plays: the block counts repetitions, so one play has no block and n plays say n − 1."""
    if loop == 1:
        return b""
    return b"\x21\xff\x0bNETSCAPE2.0" + _write_chain(b"\x01" + max(0, loop - 1).to_bytes(2, "little"))
