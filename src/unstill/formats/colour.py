"""Turn a Pillow image of any mode into opaque sRGB pixels, standing upright.

It owns bit depth, palettes, transparency, colour profiles and orientation. It does not know about files.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from unstill.errors import PictureError
from unstill.values import show

if TYPE_CHECKING:
    from unstill.artifacts import Pixels

Convert = Callable[[Image.Image], Image.Image]

BAND_PX = 2**20  # converted at a time, so that conversions add a few megabytes to a large picture and not whole copies

ORIENTATION = 0x0112  # the EXIF tag; what its values ask for is in EXIF 2.32, table 6
TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels[::-1].transpose(1, 0, 2),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: pixels[:, ::-1].transpose(1, 0, 2),
}

# A picture is worth showing whatever its EXIF is; these are what Pillow's reader of it raises, by its source and by fuzzing.
BROKEN_EXIF = (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error)

GREY16 = ("I", "I;16", "I;16B", "I;16L", "I;16N")
GREY = ("1", "L", "LA", "La", *GREY16)
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "HSV", "CMYK")
SPACES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}  # ICC.1:2022, table 19, and the Pillow mode it works on
SAME_LEVELS = 2  # sRGB is shipped in a dozen variants that differ by rounding; turning one into another only adds noise


def flatten(image: Image.Image, ground: str, notes: list[str]) -> Pixels:
    """Give the pixels of an image; note what was done to them."""
    asked = _read_orientation(image, notes)
    image.load()
    left = _read_orientation(image, [])  # none in a TIFF, whose reader turns the picture while it loads
    if image.mode not in GREY + COLOUR or not _is_16_bit(image):
        raise PictureError(
            f"The picture has pixels of the kind {image.mode!r} (floating point, 32 bits or Lab), which has no fixed white",
            hint="save it with 8 or 16 bits a channel",
        )
    convert = _plan_conversion(image, ground, notes)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, BAND_PX // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        pixels[top : top + rows] = np.asarray(convert(band))
    if asked:
        notes.append("turned upright as its EXIF says")
    return TURNS[left](pixels) if left else pixels


def _read_orientation(image: Image.Image, notes: list[str]) -> int | None:
    """Give the orientation if the picture must be turned."""
    try:
        found = image.getexif().get(ORIENTATION)
    except BROKEN_EXIF:
        notes.append("its EXIF data is broken and was ignored")
        return None
    return found if found in TURNS else None


def _is_16_bit(image: Image.Image) -> bool:
    """Say whether 32-bit grey holds 16-bit values; any other mode passes."""
    if image.mode != "I":
        return True
    low, high = image.getextrema()
    return bool(low >= 0 and high <= 65535)  # type: ignore[operator]  # one band, so two numbers


def _plan_conversion(image: Image.Image, ground: str, notes: list[str]) -> Convert:
    """Choose how a band of this image becomes opaque sRGB."""
    to_srgb = _plan_colour(image, notes)
    if not image.has_transparency_data:
        return lambda band: to_srgb(_opaque(band))
    notes.append(f"transparent parts shown on {ground}")

    def convert(band: Image.Image) -> Image.Image:
        coloured, mask = _part_alpha(band)
        # Mixed in sRGB values, as browsers do, and not in linear light: edges look as they do on a web page.
        flat = Image.new("RGB", band.size, ground)
        flat.paste(to_srgb(coloured), mask=mask)
        return flat

    return convert


def _opaque(band: Image.Image) -> Image.Image:
    """Bring a band without transparency to L, RGB or CMYK."""
    if band.mode in GREY16:
        # Pillow's own conversion clips at 255, so that nearly everything turns white.
        levels = np.asarray(band).astype(np.uint32)
        return Image.fromarray(((levels * 255 + 32895) >> 16).astype(np.uint8))  # levels / 257, rounded
    if band.mode in ("L", "RGB", "CMYK"):
        return band
    return band.convert("L" if band.mode == "1" else "RGB")


def _part_alpha(band: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Part a band into colour (L or RGB) and an image whose alpha is its opacity."""
    if band.mode in GREY16:
        clear = np.asarray(band) == band.info["transparency"]
        return _opaque(band), Image.fromarray(np.where(clear, 0, 255).astype(np.uint8))
    layered = band.convert("LA" if band.mode in GREY else "RGBA")
    return layered.convert("L" if layered.mode == "LA" else "RGB"), layered


def _plan_colour(image: Image.Image, notes: list[str]) -> Convert:
    """Choose how L, RGB or CMYK becomes sRGB: by the embedded profile, else by Pillow's arithmetic."""
    mode = "L" if image.mode in GREY else "CMYK" if image.mode == "CMYK" else "RGB"
    profile = image.info.get("icc_profile")
    if not profile:
        if mode == "CMYK":
            notes.append("CMYK without a colour profile: its colours are approximate")
        return _to_rgb
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = SPACES.get(source.profile.xcolor_space)
        if space is None or (space != mode and (space, mode) != ("RGB", "L")):
            raise ValueError(f"a profile of {source.profile.xcolor_space} for pixels of {mode}")
        # Relative colorimetric keeps every colour that sRGB can show; black point compensation keeps the shadows of prints.
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), space, "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        notes.append("its colour profile is broken or of another kind, and was ignored")
        return _to_rgb
    if space == "RGB" and _is_srgb(transform):
        return _to_rgb
    notes.append(f"colours converted to sRGB from the profile {show((source.profile.profile_description or '?').strip())}")
    return lambda band: transform.apply(band if band.mode == space else band.convert(space))


def _to_rgb(band: Image.Image) -> Image.Image:
    return band if band.mode == "RGB" else band.convert("RGB")


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    """Say whether a conversion of RGB leaves all colours where they are."""
    steps = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(18, -1, 3)
    moved = np.asarray(transform.apply(Image.fromarray(colours)))
    return int(np.abs(moved.astype(int) - colours).max()) <= SAME_LEVELS
