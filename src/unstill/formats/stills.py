"""Frames as animated WebP, APNG and PNG, each frame one still. It does not know files or recipes.

The containers are written here: Pillow's writers merge frames that are alike, so that a clip loses frames.
"""

from __future__ import annotations

import io
import zlib
from fractions import Fraction
from typing import TYPE_CHECKING

from PIL import Image

from unstill.formats.recipe import write_xmp
from unstill.formats.sheet import Sheet, spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_webp(frames: NDArray[np.uint8], sheet: Sheet) -> bytes:
    """Encode an animated WebP; times are whole milliseconds whose sum is right."""
    height, width = frames.shape[1:3]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    has_animation_and_xmp = 0b00000110
    chunks = [
        _riff(b"VP8X", bytes([has_animation_and_xmp, 0, 0, 0]) + size),
        _riff(b"ANIM", b"\xff\xff\xff\xff" + sheet.plays.to_bytes(2, "little")),
    ]
    for frame, duration_ms in zip(frames, spread(len(frames), sheet.play_fps, 1000), strict=True):
        still = io.BytesIO()
        Image.fromarray(frame).save(still, "WEBP", quality=sheet.quality, method=4)
        opaque = 0b00000010  # do not blend with the frame before
        head = bytes(6) + size + duration_ms.to_bytes(3, "little") + bytes([opaque])
        chunks.append(_riff(b"ANMF", head + still.getvalue()[12:]))
    chunks.append(_riff(b"XMP ", write_xmp(sheet.mark, sheet.recipe)))
    return _riff(b"RIFF", b"WEBP" + b"".join(chunks))


def _riff(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def encode_apng(frames: NDArray[np.uint8], sheet: Sheet) -> bytes:
    """Encode an APNG; a frame's time is a fraction, so it is exact."""
    shown = Fraction(1 / sheet.play_fps).limit_denominator(65535)
    control = shown.numerator.to_bytes(2, "big") + shown.denominator.to_bytes(2, "big") + b"\0\0"  # replace, do not blend
    size = frames.shape[2].to_bytes(4, "big") + frames.shape[1].to_bytes(4, "big") + bytes(8)
    chunks, sequence = [], 0
    for number, frame in enumerate(frames):
        header, pixels = _split_png(frame)
        if number == 0:
            plays = len(frames).to_bytes(4, "big") + sheet.plays.to_bytes(4, "big")
            chunks += [header, *_write_texts(sheet), _chunk(b"acTL", plays)]
        chunks.append(_chunk(b"fcTL", sequence.to_bytes(4, "big") + size + control))
        sequence += 1
        if number == 0:
            chunks.append(_chunk(b"IDAT", pixels))
        else:
            chunks.append(_chunk(b"fdAT", sequence.to_bytes(4, "big") + pixels))
            sequence += 1
    return SIGNATURE + b"".join(chunks) + _chunk(b"IEND", b"")


def encode_pngs(frames: NDArray[np.uint8], sheet: Sheet) -> dict[str, bytes]:
    """Encode one PNG a frame, by file name."""
    files = {}
    digits = max(4, len(str(len(frames))))  # so that names sort as frames follow
    for number, frame in enumerate(frames, 1):
        header, pixels = _split_png(frame)
        chunks = [header, *_write_texts(sheet), _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")]
        files[f"{number:0{digits}d}.png"] = SIGNATURE + b"".join(chunks)
    return files


def _split_png(frame: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Compress a frame; return its header chunk and its pixels."""
    still = io.BytesIO()
    Image.fromarray(frame).save(still, "PNG", compress_level=6)
    parts = list(_list_chunks(still.getvalue()))
    header = next(content for name, content in parts if name == b"IHDR")
    return _chunk(b"IHDR", header), b"".join(content for name, content in parts if name == b"IDAT")


def _list_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """List the names and contents of the chunks of a PNG that was just made."""
    place, chunks = len(SIGNATURE), []
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def _write_texts(sheet: Sheet) -> list[bytes]:
    texts = {"Software": sheet.mark} if sheet.recipe is None else {"Software": sheet.mark, "Comment": sheet.recipe}
    return [_chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode()) for key, text in texts.items()]


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return len(content).to_bytes(4, "big") + name + content + checksum.to_bytes(4, "big")
