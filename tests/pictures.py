"""Picture files made byte by byte: what Pillow cannot write, with values that a test can work out itself."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

D50 = (0.9642, 1.0, 0.8249)
SRGB_D50 = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
P3_D50 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_D50 = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    """Write a Pillow image into bytes."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def smooth(width: int = 160, height: int = 120) -> Image.Image:
    """A colourful picture without flat parts, deterministic."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(np.sin(x / 9 + k) + np.cos(y / 7 - k)) * 60 + 128 - k * 10 for k in range(3)]
    return Image.fromarray(np.stack(planes, axis=-1).round().astype(np.uint8))


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Frame one PNG chunk, with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def make_png(size: tuple[int, int], depth: int, colour: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    """Write a PNG from packed rows; `extra` goes before the pixel data."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9))
    return b"\x89PNG\r\n\x1a\n" + head + extra + data + png_chunk(b"IEND", b"")


def make_blank_png(width: int, height: int) -> bytes:
    """Write a black one-channel PNG row by row, however large."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def make_icc(space: bytes, kind: bytes, tags: Mapping[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    """Write an ICC version 2 profile with the tags given and those it cannot do without."""
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67)
    every = {b"desc": description, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": xyz(D50), **tags}
    offset, table, body = 128 + 4 + 12 * len(every), b"", b""
    for name, data in every.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    total = offset + len(body)
    head = struct.pack(">I4sI4s4s4s", total, bytes(4), 0x02400000, kind, space, pcs) + struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(28) + xyz(D50)[8:] + bytes(48)
    return head + struct.pack(">I", len(every)) + table + body


def xyz(values: tuple[float, ...] | np.ndarray) -> bytes:
    """Write an ICC XYZ tag."""
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def curve(samples: np.ndarray) -> bytes:
    """Write an ICC curve tag from values between 0 and 1."""
    return b"curv" + bytes(4) + struct.pack(">I", len(samples)) + np.round(samples * 65535).astype(">u2").tobytes()


def rgb_profile(columns: np.ndarray, decoded: np.ndarray) -> bytes:
    """Write the profile of an RGB space: its primaries as columns, and light for 0 to 1 as a table."""
    colours = {name: xyz(columns[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return make_icc(b"RGB ", b"mntr", {**colours, **{name: curve(decoded) for name in (b"rTRC", b"gTRC", b"bTRC")}})


def cmyk_profile(ink_to_lab: np.ndarray) -> bytes:
    """Write the profile of a press from the Lab colours of the 16 overprints, cyan slowest, black fastest."""
    grid = np.stack([ink_to_lab[:, 0] * 2.55, ink_to_lab[:, 1] + 128, ink_to_lab[:, 2] + 128], axis=-1)
    straight = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + (np.eye(3) * 65536).astype(">i4").tobytes()
    lut += straight * 4 + grid.round().clip(0, 255).astype(np.uint8).tobytes() + straight * 3
    return make_icc(b"CMYK", b"prtr", {b"A2B0": lut, b"A2B1": lut}, pcs=b"Lab ")


def srgb_to_light(values: np.ndarray) -> np.ndarray:
    """Decode sRGB values between 0 and 1 (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: np.ndarray) -> np.ndarray:
    """Encode light between 0 and 1 as sRGB."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
