"""Pictures that lie, and files that call themselves pictures, by name. What is said of them others test."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image

from pictures import ADOBE_D50, encode, make_blank_png, make_png, png_chunk, rgb_profile, smooth

TRUE = "true-"  # how the names of those begin that are pictures for all that


def make_kinds() -> dict[str, bytes]:
    """Make one file of each kind that is read."""
    grey16 = Image.fromarray(np.asarray(smooth().convert("L")).astype(np.uint16) * 257)
    return {
        "plain.jpg": encode(smooth(), "JPEG", quality=90),
        "progressive.jpg": encode(smooth(), "JPEG", progressive=True),
        "cmyk.jpg": encode(smooth().convert("CMYK"), "JPEG"),
        "colour.png": encode(smooth(), "PNG"),
        "palette.png": encode(smooth().quantize(64), "PNG", transparency=3),
        "grey16.png": encode(grey16, "PNG"),
        "moving.png": encode(smooth(), "PNG", save_all=True, append_images=[smooth().rotate(180)]),
        "lossy.webp": encode(smooth(), "WEBP"),
        "lossless.webp": encode(smooth(), "WEBP", lossless=True),
        "a.avif": encode(smooth(), "AVIF"),
        "a.gif": encode(smooth().quantize(64), "GIF"),
        "a.bmp": encode(smooth(), "BMP"),
        "raw.tif": encode(smooth(), "TIFF"),
        "lzw.tif": encode(smooth(), "TIFF", compression="tiff_lzw"),
        "deflate.tif": encode(smooth(), "TIFF", compression="tiff_adobe_deflate"),
        "fax.tif": encode(smooth().convert("1"), "TIFF", compression="group4"),
    }


def claim_more(name: str, data: bytes) -> bytes:
    """Change the size that a file's header states to about 65535 by 65535, as far as its format goes."""
    huge = bytearray(data)
    if name.endswith(".jpg"):
        frame = data.index(b"\xff\xc2" if name.startswith("progressive") else b"\xff\xc0")
        huge[frame + 5 : frame + 9] = b"\xff" * 4
    elif name.endswith(".png"):
        return data[:8] + png_chunk(b"IHDR", b"\0\0\xff\xff" * 2 + data[24:29]) + data[33:]
    elif name.endswith(".webp"):
        at = 26 if name == "lossy.webp" else 21
        huge[at : at + 4] = b"\xff\x3f\xff\x3f" if name == "lossy.webp" else b"\xff\xff\xff\x0f"
    elif name.endswith(".avif"):
        at = data.index(b"ispe") + 8
        huge[at : at + 8] = b"\0\0\xff\xff" * 2
    elif name.endswith(".gif"):
        huge[6:10] = b"\xff" * 4
    elif name.endswith(".bmp"):
        huge[18:26] = b"\xff\xff\0\0" * 2
    else:
        for tag in (b"\0\1", b"\1\1"):  # ImageWidth and ImageLength, little-endian
            at = next(at for kind in (3, 4) if (at := data.find(tag + bytes([kind]) + b"\0\1\0\0\0")) > 0)
            huge[at + 8 : at + 12] = b"\xff\xff\0\0"
    return bytes(huge)


def make_bombs() -> dict[str, bytes]:
    """Make PNGs whose metadata unpacks to half a gigabyte."""
    bomb, found = zlib.compress(bytes(64 * 2**20), 9), {}
    for name, before in ((b"zTXt", b"x\0\0"), (b"iCCP", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0")):
        chunk = png_chunk(name, before + bomb)
        found[f"{name.decode()}.png"] = make_png((32, 32), 8, 0, [bytes(32)] * 32, chunk * 8)
    return found


def make_strangers() -> dict[str, bytes]:
    """Make beginnings of files that are no pictures of ours, whatever they are called."""
    box = b"\0\0\0\x20ftyp"
    return {
        "empty.png": b"", "noise.png": bytes(range(256)) * 40, "page.png": b"<!DOCTYPE html><script>alert(1)</script>",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "paper.pdf": b"%PDF-1.7\n",
        "print.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n", "layers.psd": b"8BPS\0\1" + bytes(40), "icon.ico": b"\0\0\1\0\1\0" + bytes(40),
        "photo.heic": box + b"heic\0\0\0\0mif1heic" + bytes(64), "film.mp4": box + b"isom\0\0\2\0isomiso2", "zip.png": b"PK\3\4" * 50,
        "script.png": b"#!/bin/sh\nrm -rf /\n", "program.png": b"\x7fELF" + bytes(64), "pickle.png": b"\x80\4\x95cos\nsystem\n",
    }  # fmt: skip


def make_liars() -> dict[str, bytes]:
    """Make files that are recognised as pictures and cannot be taken."""
    plain = make_kinds()
    found = {"1x1.png": encode(Image.new("RGB", (1, 1)), "PNG"), "1x20000.png": encode(Image.new("L", (1, 20_000)), "PNG"),
             "13000.png": make_blank_png(13_000, 13_000), **make_bombs(),
             "header.png": b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 65_535, 65_535, 8, 2, 0, 0, 0))}  # fmt: skip
    for name, data in plain.items():
        found[f"claims-{name}"] = claim_more(name, data)
        found[f"half-{name}"] = data[: len(data) // 2]
    broken = bytearray(plain["colour.png"])
    broken[len(broken) // 2] ^= 255
    return {**found, "checksum.png": bytes(broken)}


def make_oddities() -> dict[str, bytes]:
    """Make pictures of rare kinds that are pictures all the same."""
    levels = (np.mgrid[0:64, 0:64][1] * 1040).astype(np.uint16)
    row16 = [np.repeat(line, 3).astype(">u2").tobytes() for line in levels]
    found = {**make_kinds(), "mpo.jpg": encode(smooth(), "MPO", save_all=True, append_images=[smooth()]),
             "colour16.png": make_png((64, 64), 16, 2, row16), "la.png": encode(smooth().convert("LA"), "PNG"),
             "rgba.png": encode(smooth().convert("RGBA"), "PNG"), "broken-profile.jpg": encode(smooth(), "JPEG", icc_profile=b"none"),
             "wide.jpg": encode(smooth(), "JPEG", icc_profile=rgb_profile(ADOBE_D50, np.linspace(0, 1, 256) ** 2.2))}  # fmt: skip
    found |= make_animations(10_000)
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        found[f"turned-{turn}.jpg"] = encode(make_corner(), "JPEG", exif=exif, quality=95)
    return {TRUE + name: data for name, data in found.items()}


def make_animations(count: int) -> dict[str, bytes]:
    """Make animations that show one small frame over and over; Pillow takes seconds for as many."""
    frame = Image.new("L", (32, 32), 90)
    gif, png, webp = (encode(frame, format) for format in ("GIF", "PNG", "WEBP"))
    at = 13 + 3 * 2 ** ((gif[10] & 7) + 1)  # past the header and the palette
    pixels = png[png.index(b"IDAT") + 4 : -16]

    def control(number: int) -> bytes:
        return png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 32, 32, 0, 0, 1, 10, 0, 0))

    first = png[:33] + png_chunk(b"acTL", struct.pack(">II", count, 0)) + control(0) + png_chunk(b"IDAT", pixels)
    more = (control(n) + png_chunk(b"fdAT", struct.pack(">I", n + 1) + pixels) for n in range(1, 2 * count - 2, 2))
    size = (31).to_bytes(3, "little") * 2
    moves = riff_chunk(b"ANMF", bytes(6) + size + (100).to_bytes(3, "little") + b"\0" + webp[12:]) * count
    body = b"WEBP" + riff_chunk(b"VP8X", b"\2\0\0\0" + size) + riff_chunk(b"ANIM", bytes(6)) + moves
    return {
        f"{count}-frames.gif": gif[:at] + gif[at:-1] * count + b";",
        f"{count}-frames.png": first + b"".join(more) + png_chunk(b"IEND", b""),
        f"{count}-frames.webp": riff_chunk(b"RIFF", body),
    }


def riff_chunk(name: bytes, data: bytes) -> bytes:
    """Frame one chunk of a RIFF file."""
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def make_corner() -> Image.Image:
    """Make a wide grey picture whose top left quarter is red, to tell which way up it is."""
    image = Image.new("RGB", (128, 64), "#808080")
    image.paste("#ff0000", (0, 0, 64, 32))
    return image
