"""Frames as MP4 and WebM: exact colours, exact size, exact time. It does not know files or recipes."""

from __future__ import annotations

import importlib
import io
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from unstill.formats.sheet import Sheet

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODECS = {"h264": "libx264", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
# Options for clips of a few seconds: fast, and without settings that browsers refuse.
# x264's AVX-512 code for macroblock trees reads memory that nobody wrote: the same frames gave other bytes once in a hundred
# runs, and always where malloc fills memory (MALLOC_PERTURB_). Its AVX2 code does not.
PROCESSOR = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
STEADY = {"x264-params": "asm=avx2"} if PROCESSOR.get("AVX512F") else {}
OPTIONS: dict[str, dict[str, str]] = {
    "h264": {"preset": "medium", "profile": "high", **STEADY},
    "vp9": {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    "av1": {"preset": "8"},
}
# Constant rate factor at quality 1 and 100; quality 80 is about 18, 24 and 24.
RATE_FACTORS = {"h264": (43, 12), "vp9": (60, 15), "av1": (60, 15)}
RGB = av.VideoFormat("rgb24")
BT709 = 1  # the number of ITU-R BT.709 in H.273, for primaries, transfer and matrix alike
LIMITED = 1  # AVCOL_RANGE_MPEG: 16–235, what every player expects of yuv420p
BEST_SCALING = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


def encode_video(frames: NDArray[np.uint8], sheet: Sheet, container: str, codec: str) -> bytes:
    """Encode [F, H, W, 3] frames; H.264 gets the last row or column twice where its 4:2:0 needs even sides."""
    if codec == "h264":
        frames = make_even(frames)
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder prints its settings on standard error
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        file.metadata["description" if container == "mp4" else "DESCRIPTION"] = sheet.mark
        if sheet.recipe is not None:
            file.metadata["comment" if container == "mp4" else "COMMENT"] = sheet.recipe
        stream = _add_stream(file, frames, sheet, codec)
        colours = _Colours(frames.shape[2], frames.shape[1], sheet.play_fps)
        for number, frame in enumerate(frames):
            file.mux(stream.encode(colours.convert(frame, number)))
        file.mux(stream.encode(None))
    return move_index_first(out.getvalue()) if container == "mp4" else out.getvalue()


def make_even(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column of frames whose sides are odd."""
    odd = (frames.shape[1] % 2, frames.shape[2] % 2)
    return np.pad(frames, ((0, 0), (0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else frames


def _add_stream(file: Any, frames: NDArray[np.uint8], sheet: Sheet, codec: str) -> Any:
    low, high = RATE_FACTORS[codec]
    factor = round(low + (high - low) * (sheet.quality - 1) / 99)
    stream = file.add_stream(CODECS[codec], rate=sheet.play_fps, options={**OPTIONS[codec], "crf": str(factor)})
    stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
    stream.time_base = 1 / sheet.play_fps
    context = stream.codec_context
    context.time_base, context.framerate = 1 / sheet.play_fps, sheet.play_fps
    context.color_range, context.colorspace = LIMITED, BT709
    context.color_primaries, context.color_trc = BT709, BT709
    # With two threads x264 gave other bytes for the same frames once in some hundred runs, and took no less time.
    context.thread_count = 1 if codec == "h264" else 2
    return stream


class _Colours:
    """Convert RGB to BT.709 yuv420p; swscale left alone takes BT.601, and every colour is off."""

    def __init__(self, width: int, height: int, play_fps: Fraction) -> None:
        self.time_base = 1 / play_fps
        self.graph = av.filter.Graph()
        source = self.graph.add_buffer(width=width, height=height, format=RGB, time_base=self.time_base)
        scale = self.graph.add("scale", f"out_color_matrix=bt709:out_range=tv:flags={BEST_SCALING}")
        form, sink = self.graph.add("format", "yuv420p"), self.graph.add("buffersink")
        source.link_to(scale)
        scale.link_to(form)
        form.link_to(sink)
        self.graph.configure()

    def convert(self, frame: NDArray[np.uint8], number: int) -> Any:
        """Convert one frame and give it its time; with a duration, or players drop the last one."""
        shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        shown.pts, shown.time_base, shown.duration = number, self.time_base, 1
        self.graph.push(shown)
        converted = self.graph.pull()
        converted.duration = 1
        return converted


def list_atoms(data: bytes, start: int = 0, end: int | None = None) -> list[tuple[bytes, int, int]]:
    """List the name, start and end of the boxes of an MP4 (ISO/IEC 14496-12, 4.2)."""
    atoms, end = [], len(data) if end is None else end
    while start + 8 <= end:
        length = int.from_bytes(data[start : start + 4], "big")
        length = int.from_bytes(data[start + 8 : start + 16], "big") if length == 1 else length or end - start
        if length < 8:
            break
        atoms.append((data[start + 4 : start + 8], start, min(start + length, end)))
        start += length
    return atoms


def move_index_first(data: bytes) -> bytes:
    """Put the index (moov) before the pictures (mdat), so that a browser plays while it loads."""
    atoms = {name: (start, end) for name, start, end in list_atoms(data)}
    index, pictures = atoms[b"moov"], atoms[b"mdat"]
    if index[0] < pictures[0]:
        return data
    moov = bytearray(data[index[0] : index[1]])
    for start, end in _find_offsets(moov):
        for place in range(start + 16, end, 4):
            offset = int.from_bytes(moov[place : place + 4], "big") + len(moov)
            moov[place : place + 4] = offset.to_bytes(4, "big")
    rest = data[: index[0]] + data[index[1] :]
    return rest[: pictures[0]] + bytes(moov) + rest[pictures[0] :]


def _find_offsets(moov: bytearray) -> list[tuple[int, int]]:
    """Find the tables of chunk offsets (stco) in an index."""
    spans = [(8, len(moov))]
    for parent in (b"trak", b"mdia", b"minf", b"stbl"):
        spans = [(s + 8, e) for a, b in spans for name, s, e in list_atoms(bytes(moov), a, b) if name == parent]
    return [(s, e) for a, b in spans for name, s, e in list_atoms(bytes(moov), a, b) if name == b"stco"]
