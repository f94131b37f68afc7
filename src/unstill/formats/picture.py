"""Read a picture file of one of seven formats, within limits, or say why that cannot be done.

It owns which formats are read, what the limits are, and what counts as broken. It does not know where the bytes come
from, how colours are converted, nor what a clip looks like.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from unstill.errors import PictureError
from unstill.formats.colour import flatten
from unstill.values import Size, show

if TYPE_CHECKING:
    from unstill.artifacts import Pixels

Stream = io.BytesIO | io.BufferedReader  # bytes that can be rewound

# The classes are called directly: Image.open would try other formats, warn on standard error about large pictures, and
# give a phone's MPO (a JPEG with a second one behind it) another name.
READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "AVIF": AvifImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
}

SHORTEST_SIDE_PX = 16  # less is an icon's part: one latent of the model covers 8 pixels
LONGEST_SIDE_PX = 20_000  # phones make 16,320
LONGEST_ASPECT = 8.0  # the widest clip is 12:5, so less than a third of a longer strip would be seen
# Chosen so that reading takes less than 512 MB in all, of which Python, numpy and Pillow are 40. Measured at the peak: 7
# bytes per pixel where Pillow decodes straight into an image (4, and our array 3); 12 for a JPEG in several scans, whose
# coefficients are kept (10 without CMYK); 18 for WebP and 12 for AVIF (420, 10 bits), whose frames are handed over in bytes.
WHOLE_PX = 62_000_000  # the largest full-frame cameras have 61 megapixels
MOST_PX = {
    "JPEG": 210_000_000,  # phones have 200; above WHOLE_PX it is decoded at half its sides
    "JPEG in several scans": 36_000_000,
    "PNG": WHOLE_PX,
    "WebP": 25_000_000,
    "AVIF": 25_000_000,
    "GIF": WHOLE_PX,
    "TIFF": WHOLE_PX,
    "BMP": WHOLE_PX,
    "Pillow image": WHOLE_PX,
}
MOST_SCANS = 50  # encoders write up to 14; each scan of a JPEG goes over the whole picture: 13 ms for 36 megapixels

# What Pillow raises for files that are not what they should be, by its plugins' sources and by fuzzing.
BROKEN = (
    OSError,  # truncated data, decoder errors
    SyntaxError,  # "not a PNG file", bad checksums, odd chunks
    ValueError,  # bad sizes, compressed text beyond Pillow's limit, undecodable text
    EOFError,  # no first frame
    LookupError,  # unknown modes and tags
    TypeError,  # tags of the wrong type
    ArithmeticError,  # rational tags over zero, offsets beyond 2**63
    struct.error,  # headers cut short
    zlib.error,
    RuntimeError,  # what libavif reports; NotImplementedError too
    MemoryError,  # the process has a limit
    Image.DecompressionBombError,  # the WebP and GIF readers look at sizes themselves
)

HEAD_BYTES = 1024  # enough for the markup of an SVG behind a comment, and for the brands of an AVIF
SIGNATURES = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"RIFF....WEBP", "WebP"),
    (rb"....ftyp(?:avi[fs]|(?:mif1|msf1)....(?:....){0,16}?avi[fs])", "AVIF"),
    (rb"GIF8[79]a", "GIF"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"BM.{4}\0{4}", "BMP"),
)
OTHERS = (  # what people try, and what helps
    (rb"....ftyp(?:hei|hev|mif1|msf1)", "a HEIC photo", "heif-convert IN.heic OUT.jpg"),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video", "take a frame of it: ffmpeg -i IN -frames:v 1 OUT.png"),
    (rb"%PDF", "a PDF document", "pdftoppm -singlefile -png IN.pdf OUT"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file", "gs -o OUT.png -sDEVICE=png16m -r200 IN.eps"),
    (rb"8BPS", "a Photoshop file", "export it as PNG"),
    (rb"\0\0[\x01\x02]\0", "an icon", "save it as PNG"),
    (rb"(?:\xff\x0a|\0\0\0\x0cJXL )", "a JPEG XL picture", "djxl IN.jxl OUT.png"),
    (rb"(?:\xff\x4f\xff\x51|\0\0\0\x0cjP  )", "a JPEG 2000 picture", "opj_decompress -i IN.jp2 -o OUT.png"),
    (rb"(?s:(?:\xef\xbb\xbf)?\s*<.*<svg|(?:\xef\xbb\xbf)?\s*<svg)", "an SVG drawing", "rsvg-convert -w 2048 IN.svg > OUT.png"),
    (rb"(?i:(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body))", "a web page", "save the picture itself, not the page"),
    (rb"\s*<", "an XML document", None),
    (rb"PK[\x03\x05]", "a ZIP archive", "unpack it first"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|\xfd7zXZ", "an archive", "unpack it first"),
    (rb"#!|\x7fELF|MZ", "a program", None),
    (rb"version https://git-lfs", "a Git LFS pointer", "git lfs pull"),
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it should be looked at: upright, sRGB, opaque."""

    pixels_HWC: Pixels
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        return Size(self.pixels_HWC.shape[1], self.pixels_HWC.shape[0])


def decode(stream: Stream, ground: str) -> Picture:
    """Read a picture file."""
    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    stream.seek(0)
    kind = recognise(stream.read(HEAD_BYTES))
    notes: list[str] = []
    try:
        pixels = flatten(_open(stream, kind, notes), ground, notes)
    except BROKEN as error:
        raise _explain(kind, error) from error
    # A turned picture is a view; only here is the decoded image free, so that its copy is not a third one in memory.
    return Picture(np.ascontiguousarray(pixels), sha256, tuple(notes))


def check_head(stream: Stream) -> None:
    """Refuse what its first bytes and its header show to be no picture that can be read; its pixels are not looked at."""
    kind = recognise(stream.read(HEAD_BYTES))
    stream.seek(0)
    try:
        size = Size(*READERS[kind](stream).size)
    except BROKEN as error:
        raise _explain(kind, error) from error
    check_size(size, kind)


def adopt(image: Image.Image, ground: str) -> Picture:
    """Take a picture that is in memory, or opened, as a Pillow image."""
    notes: list[str] = []
    check_size(Size(*image.size), "Pillow image")
    try:
        pixels = np.ascontiguousarray(flatten(image, ground, notes))
    except BROKEN as error:
        raise PictureError(f"The Pillow image cannot be read: {show(str(error) or type(error).__name__)}") from error
    return Picture(pixels, hashlib.sha256(pixels.data).hexdigest(), tuple(notes))


def recognise(head: bytes) -> str:
    """Tell the format by the first bytes, or say what the file looks like instead."""
    for signature, kind in SIGNATURES:
        if re.match(signature, head, re.DOTALL):
            return kind
    possible = f"possible are {', '.join(READERS)}"
    for signature, looks, hint in OTHERS:
        if re.match(signature, head, re.DOTALL):
            raise PictureError(f"The file looks like {looks}, which cannot be read as a picture; {possible}", hint=hint)
    if not head:
        raise PictureError("The picture is empty: 0 bytes")
    if _is_text(head):
        raise PictureError(f"The file is text, no picture; {possible}")
    raise PictureError(
        f"The file is no picture of a known format, it starts with {show(head[:12].decode('latin-1'))}; {possible}"
    )


def _is_text(head: bytes) -> bool:
    """Say whether the first bytes of a file are letters, blanks and signs; the last letter may be cut off."""
    try:
        letters = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return all(letter.isprintable() or letter.isspace() for letter in letters.removeprefix("\ufeff"))


def check_size(size: Size, kind: str) -> None:
    """Refuse sizes that make no clip or would take too much memory."""
    short, long = sorted((size.width, size.height))
    if short < SHORTEST_SIDE_PX:
        raise PictureError(f"The picture is {size}, too small: each side needs {SHORTEST_SIDE_PX} pixels or more")
    if long > LONGEST_SIDE_PX or size.area_px > MOST_PX[kind]:
        raise PictureError(
            f"The picture is {size}, {size.area_px / 1e6:.1f} megapixels, too large: a {kind} may have "
            f"{MOST_PX[kind] / 1e6:.0f} megapixels and sides of {LONGEST_SIDE_PX} pixels",
            hint="make it smaller first; a clip shows about half a megapixel",
        )
    if long > LONGEST_ASPECT * short:
        raise PictureError(
            f"The picture is {size}, one side {long / short:.1f} times the other: up to {LONGEST_ASPECT:g} times is possible",
            hint="cut out the part that should move",
        )


def _explain(kind: str, error: BaseException) -> PictureError:
    return PictureError(
        f"The {kind} picture is broken or of a rare kind: {show(str(error) or type(error).__name__)}",
        hint="save it again as PNG in a picture editor, or fetch it again if a download broke off",
    )


def _open(stream: Stream, kind: str, notes: list[str]) -> ImageFile.ImageFile:
    """Read the header and check what it promises, before anything large is decoded."""
    stream.seek(0)
    image = READERS[kind](stream)
    if isinstance(image, JpegImageFile):
        return _load_jpeg(image, stream, notes)
    check_size(Size(*image.size), kind)
    if isinstance(image, PngImageFile):
        image.verify()  # the checksum of every chunk, which the decoder skips for pixel data
        stream.seek(0)
        image = PngImageFile(stream)
        _scale_key(image)
    elif isinstance(image, TiffImageFile):
        _check_tiff(image)
    if getattr(image, "is_animated", False):
        notes.append(f"the {kind} file holds several pictures: the first was taken")
    return image


def _scale_key(image: PngImageFile) -> None:
    """Bring the colour that a PNG declares transparent to the depth its pixels are unpacked to."""
    key, raw_mode = image.info.get("transparency"), image.tile[0].args
    if isinstance(key, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = key * {"L;2": 85, "L;4": 17}[raw_mode] & 255
    elif isinstance(key, tuple):
        image.info["transparency"] = tuple((part >> 8 if raw_mode == "RGB;16B" else part) & 255 for part in key)


def _check_tiff(image: TiffImageFile) -> None:
    """Refuse TIFF files that Pillow opens but shows wrong."""
    subfile, bits, photometric = (image.tag_v2.get(tag) for tag in (254, 258, 262))
    if isinstance(subfile, int) and subfile & 1:
        raise PictureError(
            "The TIFF file starts with a thumbnail, as raw files of cameras do", hint="export it as JPEG or PNG first"
        )
    if bits == (12,) or (photometric == 0 and image.mode not in ("1", "L")):
        raise PictureError(
            f"The TIFF file has unusual pixels: {show(bits)} bits, photometric {show(photometric)}", hint="save it as PNG first"
        )


def _load_jpeg(image: JpegImageFile, stream: Stream, notes: list[str]) -> JpegImageFile:
    """Decode a JPEG, a very large one at half its sides; refuse data that ends early."""
    size, scan = Size(*image.size), stream.tell()  # Pillow has read the header, and that of the first scan
    check_size(size, "JPEG")
    stream.seek(scan - 8 - 2 * image.layers)
    all_at_once = b"\xff\xda" + struct.pack(">HB", 6 + 2 * image.layers, image.layers)
    if "progressive" in image.info or stream.read(5) != all_at_once:
        check_size(size, "JPEG in several scans")
        if stream.read().count(b"\xff\xda") > MOST_SCANS:
            raise PictureError(f"The JPEG has more than {MOST_SCANS} scans, which no camera or editor writes")
    if size.area_px > WHOLE_PX:
        image.draft(image.mode, (size.width // 2, size.height // 2))
        notes.append(f"read at half its sides: {size} is far more than a clip shows")
    image.load()
    if _ends_early(image, stream, scan):
        raise OSError("the picture data ends early")
    return image


def _ends_early(image: JpegImageFile, stream: Stream, scan: int) -> bool:
    """Say whether the decoder ran out of data and filled the rest of a loaded JPEG with grey, as libjpeg does in silence.

    The fill is mid-grey down to the last block. A picture may end in that colour too, so bytes are put in before each
    marker of the first scan: they change the pixels only if the decoder was still hungry there.
    """
    width, height = image.size
    corner = image.crop((max(0, width - 4), height - 1, width, height))
    if any(not 127 <= level <= 128 for level in corner.tobytes()):
        return False
    stream.seek(0)
    data, food = stream.read(), bytes(range(1, 255))
    end = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]").search(data, scan)
    if end is None:
        return True
    restarts = re.compile(rb"\xff[\xd0-\xd7]")
    fed = restarts.sub(lambda marker: food + marker[0], data[scan : end.start()])
    return _shrink_jpeg(data) != _shrink_jpeg(data[:scan] + fed + food + data[end.start() :])


def _shrink_jpeg(data: bytes) -> bytes:
    """Give the pixels of a JPEG at an eighth of its sides: one for each block."""
    image = JpegImageFile(io.BytesIO(data))
    image.draft(image.mode, (image.width // 8, image.height // 8))
    return image.tobytes()
