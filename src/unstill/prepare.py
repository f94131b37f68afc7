"""Prepare a picture: find its bytes, choose the clip's size, and frame the picture for the model.

It owns where pictures come from, native sizes, and how a picture of one shape fills a clip of another. It does not
know file formats and colours (`formats/picture.py`, `formats/colour.py`), nor what a model does with the result.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFilter

from unstill.artifacts import Box, PreparedImage
from unstill.errors import PictureError
from unstill.formats.picture import Picture, Stream, adopt, decode
from unstill.request import PRESETS, Request
from unstill.values import Focus, Size, show

if TYPE_CHECKING:
    from unstill.artifacts import Pixels

Source = str | Path | bytes | Image.Image | np.ndarray[Any, Any]

MOST_BYTES = 200_000_000  # an uncompressed 61-megapixel picture has 183 MB
AREA_SLACK = 0.12  # of a native size's area; at 1024x576 no shape is then more than 4 % off (with 0.10: 6 %)
WIDEST = 2.4  # 12:5, the widest cinema format, also covers phone screens (9:21); wider ones are cropped to it
COMPOSED_SIDE_PX = 2048  # of a padded picture for CLIP, which looks at 224 pixels
BLUR = 1 / 24  # of the shorter side: shapes dissolve, colours stay where they were
BAND_PX = 2**22  # copied at a time


def prepare(source: Source, request: Request, *, multiple: int = 64, base: int = 8) -> PreparedImage:
    """Read a picture and frame it for a clip of the requested or its native size."""
    picture = read_picture(source, request.ground)
    clip = request.size or native_size(picture.size, PRESETS[request.preset].area.area_px, multiple)
    framed = _FRAMINGS[request.fit](picture, clip, _round_up(clip, base), request.focus)
    return PreparedImage(
        source_HWC=framed.source_HWC,
        canvas_HWC=framed.canvas_HWC,
        content=framed.content,
        original=picture.size,
        sha256=picture.sha256,
        notes=(*picture.notes, *framed.notes),
    )


def read_picture(source: Source, ground: str) -> Picture:
    """Read a picture from a path, standard input (-), bytes, a Pillow image or an array."""
    if isinstance(source, Image.Image):
        return adopt(source, ground)
    if isinstance(source, np.ndarray):
        return adopt(_image_of(source), ground)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode(io.BytesIO(source), ground)
    if not isinstance(source, (str, Path)):
        raise PictureError(f"A picture is a path, bytes, a Pillow image or an array, not {type(source).__name__}")
    if str(source) == "-":
        return decode(_read_stdin(), ground)
    with _open(str(source)) as stream:
        return decode(stream, ground)


def native_size(picture: Size, area_px: int, multiple: int) -> Size:
    """Choose the clip size of a model's area in the picture's shape.

    Of all sizes whose sides are multiples of `multiple` and whose area is within 12 % of `area_px`, take the one whose
    aspect is nearest (as a ratio), then the one whose area is. Pictures beyond 12:5 count as 12:5.
    """
    aspect = min(max(picture.width / picture.height, 1 / WIDEST), WIDEST)
    units = area_px / multiple**2
    least, most = units * (1 - AREA_SLACK), units * (1 + AREA_SLACK)
    widths = range(1, math.ceil(math.sqrt(most * WIDEST)) + 1)
    pairs = [(w, h) for w in widths for h in range(math.ceil(least / w), math.floor(most / w) + 1)]
    if not pairs:  # an area of a few units
        pairs = [(max(1, round(math.sqrt(units * aspect))), max(1, round(math.sqrt(units / aspect))))]
    # Rounded, so that a shape between two sizes is decided by area and not by the last bit.
    width, height = min(pairs, key=lambda p: (round(abs(math.log(p[0] / p[1] / aspect)), 9), abs(p[0] * p[1] - units)))
    return Size(width * multiple, height * multiple)


def crop_box(picture: Size, shape: Size, focus: Focus) -> Box:
    """Find the largest part of a picture in the shape of a clip, around the focus as far as the picture goes."""
    width = min(picture.width, max(1, round(picture.height * shape.width / shape.height)))
    height = min(picture.height, max(1, round(picture.width * shape.height / shape.width)))
    left = min(max(round(focus.x * picture.width - width / 2), 0), picture.width - width)
    top = min(max(round(focus.y * picture.height - height / 2), 0), picture.height - height)
    return Box(left, top, width, height)


def pad_box(picture: Size, clip: Size) -> Box:
    """Find where a whole picture lies in a clip: centred, all four numbers even, for video stores colour by pairs."""
    scale = min(clip.width / picture.width, clip.height / picture.height)
    width, height = (
        max(2, min(2 * round(side * scale / 2), most // 2 * 2))
        for side, most in ((picture.width, clip.width), (picture.height, clip.height))
    )
    return Box((clip.width - width) // 4 * 2, (clip.height - height) // 4 * 2, width, height)


@dataclass(frozen=True, eq=False)
class _Framed:
    source_HWC: Pixels
    canvas_HWC: Pixels
    content: Box
    notes: list[str]


def _crop(picture: Picture, clip: Size, canvas: Size, focus: Focus) -> _Framed:
    """Take the largest part in the clip's shape, undistorted."""
    box = crop_box(picture.size, clip, focus)
    notes = [*_say_cropped(picture.size, box), *_say_upscaled(box.size, clip)]
    return _fill(_cut(picture.pixels_HWC, box), clip, canvas, notes)


def _stretch(picture: Picture, clip: Size, canvas: Size, focus: Focus) -> _Framed:
    """Take the whole picture, distorted if need be."""
    factor = (clip.width / clip.height) / (picture.size.width / picture.size.height)
    notes = _say_upscaled(picture.size, clip)
    if max(factor, 1 / factor) >= 1.01:
        notes.append(f"stretched: everything is {max(factor, 1 / factor):.2f}× too {'wide' if factor > 1 else 'tall'}")
    return _fill(picture.pixels_HWC, clip, canvas, notes)


def _fill(part_HWC: Pixels, clip: Size, canvas: Size, notes: list[str]) -> _Framed:
    """Resize to the clip's size, and repeat the edge where the model needs a few pixels more than the clip has."""
    surplus = ((0, canvas.height - clip.height), (0, canvas.width - clip.width), (0, 0))
    canvas_HWC = np.pad(resize(part_HWC, clip), surplus, mode="edge")
    return _Framed(np.ascontiguousarray(part_HWC), canvas_HWC, Box(0, 0, clip.width, clip.height), notes)


def _pad(picture: Picture, clip: Size, canvas: Size, focus: Focus) -> _Framed:
    """Put the whole picture on a plain ground; the clip keeps the picture's part alone."""
    inner = pad_box(picture.size, clip)
    # The picture's mean colour. Black or white would make a hard edge, which a decoder smears and a model takes for a
    # thing in the picture; nobody sees the ground, as it is cut off again.
    colour = resize(picture.pixels_HWC, Size(8, 8)).mean((0, 1)).round().astype(np.uint8)

    def ground(size: Size) -> Pixels:
        return np.tile(colour, (size.height, size.width, 1))

    notes = _say_upscaled(picture.size, inner.size)
    if inner.size != clip:
        notes.append(f"padded to {clip}; the padding is removed again, so the clip is {inner.size}")
    return _Framed(*_place(picture, canvas, inner, ground), inner, notes)


def _blur(picture: Picture, clip: Size, canvas: Size, focus: Focus) -> _Framed:
    """Put the whole picture on a blurred copy of itself that fills the clip."""
    inner = pad_box(picture.size, clip)

    def ground(size: Size) -> Pixels:
        cover = resize(_cut(picture.pixels_HWC, crop_box(picture.size, size, Focus(0.5, 0.5))), size)
        return np.array(Image.fromarray(cover).filter(ImageFilter.GaussianBlur(min(size.width, size.height) * BLUR)))

    notes = _say_upscaled(picture.size, inner.size)
    if inner.size != clip:
        sides = "left and right" if inner.width < clip.width else "top and bottom"
        notes.append(f"filled {sides} with a blurred copy of the picture")
    return _Framed(*_place(picture, canvas, inner, ground), Box(0, 0, clip.width, clip.height), notes)


_FRAMINGS = {"crop": _crop, "pad": _pad, "blur": _blur, "stretch": _stretch}


def _place(picture: Picture, canvas: Size, inner: Box, ground: Callable[[Size], Pixels]) -> tuple[Pixels, Pixels]:
    """Put a whole picture on a ground twice: at its own resolution, up to a bound, and at the canvas's."""
    scale = min(picture.size.width / inner.width, COMPOSED_SIDE_PX / max(canvas.width, canvas.height))
    outer = Size(math.ceil(canvas.width * scale), math.ceil(canvas.height * scale))
    left, top, width, height = (int(n * scale) for n in (inner.left, inner.top, inner.width, inner.height))
    inside = Box(left, top, max(1, width), max(1, height))
    return _compose(picture, outer, inside, ground), _compose(picture, canvas, inner, ground)


def _compose(picture: Picture, canvas: Size, inner: Box, ground: Callable[[Size], Pixels]) -> Pixels:
    canvas_HWC = ground(canvas)
    _cut(canvas_HWC, inner)[:] = resize(picture.pixels_HWC, inner.size)
    return canvas_HWC


def resize(pixels_HWC: Pixels, size: Size) -> Pixels:
    """Resize with Pillow's Lanczos; the Pillow image is filled in bands, to copy a large picture once and not twice."""
    height, width, _ = pixels_HWC.shape
    image, rows = Image.new("RGB", (width, height)), max(1, BAND_PX // width)
    for top in range(0, height, rows):
        image.paste(Image.fromarray(pixels_HWC[top : top + rows]), (0, top))
    return np.array(image.resize((size.width, size.height), Image.Resampling.LANCZOS))


def _cut(pixels_HWC: Pixels, box: Box) -> Pixels:
    return pixels_HWC[box.top : box.top + box.height, box.left : box.left + box.width]


def _round_up(size: Size, base: int) -> Size:
    return Size(-(-size.width // base) * base, -(-size.height // base) * base)


def _say_cropped(picture: Size, box: Box) -> list[str]:
    lost = 1 - box.size.area_px / picture.area_px
    right, bottom = picture.width - box.left - box.width, picture.height - box.top - box.height
    ends = {"left": box.left, "right": right, "top": box.top, "bottom": bottom}
    sides = " and ".join(side for side, cut in ends.items() if cut)
    return [f"cropped away {lost:.0%} ({sides}); --fit pad keeps all of it"] if lost >= 0.005 else []


def _say_upscaled(part: Size, clip: Size) -> list[str]:
    factor = max(clip.width / part.width, clip.height / part.height)
    return [f"upscaled {factor:.1f}×: the picture is smaller than the clip"] if factor >= 1.05 else []


def _image_of(array: np.ndarray[Any, Any]) -> Image.Image:
    """Wrap an array of rows, columns and 1, 3 or 4 channels, or of rows and columns."""
    shape = array.shape[:2] if array.ndim == 3 and array.shape[2] == 1 else array.shape
    if array.dtype != np.uint8 or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)) or not array.size:
        raise PictureError(
            f"An array of shape {array.shape} and type {array.dtype} is no picture: uint8 of rows, columns, channels is",
            hint="values from 0 to 1: (255 * array).round().astype('uint8'); channels first: array.transpose(1, 2, 0)",
        )
    return Image.fromarray(np.ascontiguousarray(array.reshape(shape)))


def _read_stdin() -> Stream:
    """Read all of standard input."""
    stdin = sys.stdin
    if stdin is None or stdin.closed or not hasattr(stdin, "buffer"):
        raise PictureError("Standard input is closed, so there is no picture to read from it")
    if stdin.isatty():
        raise PictureError("Standard input is a terminal, not a picture", hint="unstill animate - < photo.jpg")
    try:
        data = stdin.buffer.read(MOST_BYTES + 1)
    except OSError as error:
        raise PictureError(f"Standard input cannot be read: {error.strerror}") from error
    _check_length(len(data))
    return io.BytesIO(data)


def _open(name: str) -> Stream:
    """Open a picture file; anything that is not a plain file, or a link to one, is refused before it can block."""
    if re.match(r"(?i)[a-z][a-z0-9+.-]+:/|data:", name):
        raise PictureError(
            f"Addresses are not opened: {show(name)}", hint="download it first: curl -s URL | unstill animate - -o clip.mp4"
        )
    try:
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        hint = "give the path of a picture, or - for standard input"
        raise PictureError(f"There is no file {show(name)}", hint=hint) from None
    except (OSError, ValueError) as error:  # ValueError: NUL, lone surrogates
        raise PictureError(f"The file {show(name)} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    try:
        _check_plain(os.fstat(descriptor), name)
    except PictureError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_plain(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        found = kinds.get(stat.S_IFMT(status.st_mode), "something else")
        hint = "a pipe can be read as: unstill animate - < PIPE" if found == "a pipe" else None
        raise PictureError(f"{show(name)} is {found}, not a picture file", hint=hint)
    _check_length(status.st_size)


def _check_length(length_bytes: int) -> None:
    if length_bytes > MOST_BYTES:
        raise PictureError(f"The picture has more than {MOST_BYTES // 10**6} MB, the most that is read")
