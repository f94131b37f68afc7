"""formats/colour.py: any kind of pixels becomes opaque upright sRGB, checked on values."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from pictures import (
    ADOBE_D50,
    P3_D50,
    SRGB_D50,
    cmyk_profile,
    curve,
    encode,
    light_to_srgb,
    make_icc,
    make_png,
    png_chunk,
    rgb_profile,
    smooth,
    srgb_to_light,
)
from unstill.errors import PictureError
from unstill.prepare import read_picture

T = Image.Transpose
WHITE, BLUE = "#ffffff", "#0000ff"
UNDO = {
    2: T.FLIP_LEFT_RIGHT,
    3: T.ROTATE_180,
    4: T.FLIP_TOP_BOTTOM,
    5: T.TRANSPOSE,
    6: T.ROTATE_90,
    7: T.TRANSVERSE,
    8: T.ROTATE_270,
}


def read(data, ground=WHITE):
    return read_picture(data, ground).pixels_HWC.astype(int)


def patches(*colours, mode="RGB", side=16):
    """A row of square patches."""
    image = Image.new(mode, (side * len(colours), side))
    for i, colour in enumerate(colours):
        image.paste(colour, (i * side, 0, (i + 1) * side, side))
    return image


def middles(pixels, side=16):
    return [tuple(pixels[side // 2, i * side + side // 2]) for i in range(pixels.shape[1] // side)]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize(
    ("format", "options", "off"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 98, "subsampling": 0}, 2),
        ("AVIF", {"quality": 98, "subsampling": "4:4:4"}, 2),
    ],
)
def test_pictures_stand_upright(orientation, format, options, off):
    upright = smooth(48, 32)
    stored = upright.transpose(UNDO[orientation]) if orientation in UNDO else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_picture(encode(stored, format, exif=exif, **options), WHITE)
    assert picture.pixels_HWC.shape == (32, 48, 3)
    assert np.abs(picture.pixels_HWC.astype(int) - np.asarray(upright)).mean() <= off  # another turn is 40 off
    assert ("turned upright as its EXIF says" in picture.notes) == (orientation > 1)


def test_a_pillow_image_keeps_to_its_exif_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(io.BytesIO(encode(smooth(48, 32), "PNG", exif=exif)))
    assert np.array_equal(read(opened), np.asarray(smooth(48, 32).transpose(T.ROTATE_270)))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_change_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read(encode(smooth(), "PNG", exif=exif)), np.asarray(smooth()))


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_cost_the_picture(format, exif):
    assert np.abs(read(encode(smooth(), format, exif=exif, quality=95)) - np.asarray(smooth())).mean() < 3
    if b"garbage" in exif and format != "JPEG":  # whose reader has already looked, for the resolution, and moved on
        assert read_picture(encode(smooth(), format, exif=exif), WHITE).notes == ("its EXIF data is broken and was ignored",)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_transparent_parts_show_the_ground_mixed_in_srgb(format):
    image = patches((200, 100, 0, 255), (200, 100, 0, 0), (200, 100, 0, 128), (200, 100, 0, 51), mode="RGBA")
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    found = middles(read(encode(image, format, **options), BLUE))
    mixed = [tuple((np.array([200, 100, 0]) * a + np.array([0, 0, 255]) * (255 - a) + 127) // 255) for a in (255, 0, 128, 51)]
    assert found == mixed
    assert "transparent parts shown on #0000ff" in read_picture(encode(image, format, **options), BLUE).notes


def test_grey_with_alpha():
    image = patches((100, 255), (100, 0), (100, 51), mode="LA")
    assert middles(read(encode(image, "PNG"), BLUE)) == [(100,) * 3, (0, 0, 255), (20, 20, 224)]


def test_premultiplied_pixels_of_a_tiff_are_divided_again():
    """TIFF 6.0, ExtraSamples 1: (100, 50, 0) under half opacity is the colour (200, 100, 0)."""
    data = bytearray(encode(patches((100, 50, 0, 128), mode="RGBA"), "TIFF"))
    at = data.index(struct.pack("<HHII", 338, 3, 1, 2))
    data[at + 8] = 1
    assert np.abs(np.array(middles(read(bytes(data), "#000000"))[0]) - (100, 50, 0)).max() <= 1


def test_palettes_with_one_clear_entry_and_with_many():
    image = patches((255, 0, 0), (0, 255, 0), (0, 0, 0)).quantize(3)
    clear = image.getpixel((24, 8))
    for transparency in (clear, bytes(0 if i == clear else 255 for i in range(3))):
        found = middles(read(encode(image, "PNG", transparency=transparency), BLUE))
        assert found == [(255, 0, 0), (0, 0, 255), (0, 0, 0)]
    assert middles(read(encode(image, "GIF", transparency=clear), BLUE))[1] == (0, 0, 255)


@pytest.mark.parametrize(
    ("depth", "colour", "row", "key", "clear", "kept"),
    [
        (1, 0, bytes([0x00, 0xFF] * 1), struct.pack(">H", 1), 8, (0, 0, 0)),
        (2, 0, bytes([0x55] * 2 + [0xFF] * 2), struct.pack(">H", 3), 8, (85, 85, 85)),
        (4, 0, bytes([0x55] * 4 + [0xFF] * 4), struct.pack(">H", 15), 8, (85, 85, 85)),
        (8, 0, bytes([85] * 8 + [200] * 8), struct.pack(">H", 200), 8, (85, 85, 85)),
        (16, 0, struct.pack(">H", 257 * 85) * 8 + struct.pack(">H", 51401) * 8, struct.pack(">H", 51401), 8, (85, 85, 85)),
        (8, 2, bytes([85, 0, 9] * 8 + [1, 2, 3] * 8), struct.pack(">3H", 1, 2, 3), 8, (85, 0, 9)),
        (16, 2, struct.pack(">3H", 21930, 99, 7) * 8 + b"\x12\x34" * 24, b"\x12\x34" * 3, 8, (85, 0, 0)),
    ],
)
def test_a_png_colour_declared_transparent_is_clear_at_every_depth(depth, colour, row, key, clear, kept):
    data = make_png((16, 16), depth, colour, [row] * 16, png_chunk(b"tRNS", key))
    pixels = read(data, BLUE)
    assert tuple(pixels[3, clear]) == (0, 0, 255)
    assert tuple(pixels[3, clear - 1]) == kept


def test_every_level_of_16_bit_grey_is_scaled_and_rounded():
    """Pillow's own conversion turns 99.6 % of them white."""
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.round(levels / 257).astype(int)
    png = make_png((256, 256), 16, 0, [row.astype(">u2").tobytes() for row in levels])
    little = encode(Image.fromarray(levels), "TIFF")
    big = encode(Image.frombytes("I;16B", (256, 256), levels.astype(">u2").tobytes()), "TIFF")
    whole = encode(Image.fromarray(levels.astype(np.int32)), "TIFF")
    for data in (png, little, big, whole):
        assert np.array_equal(read(data)[..., 0], expected)
    for mode in ("I;16", "I;16B"):
        code = "<u2" if mode == "I;16" else ">u2"
        assert np.array_equal(read(Image.frombytes(mode, (256, 256), levels.astype(code).tobytes()))[..., 0], expected)


def test_16_bit_colour():
    rows = [struct.pack(">3H", 257 * 10, 257 * 128, 65535) * 16] * 16
    assert (read(make_png((16, 16), 16, 2, rows)) == (10, 128, 255)).all()


def test_one_bit_grey_palette_and_bitmap():
    assert middles(read(encode(patches(0, 255, mode="1"), "PNG"))) == [(0, 0, 0), (255, 255, 255)]
    assert middles(read(encode(patches(0, 77, mode="L"), "JPEG", quality=100))) == [(0, 0, 0), (77, 77, 77)]
    assert middles(read(encode(patches((9, 8, 7), (255, 0, 1)).quantize(2), "BMP"))) == [(9, 8, 7), (255, 0, 1)]


@pytest.mark.parametrize(
    "image",
    [
        Image.new("F", (32, 32), 0.5),
        Image.fromarray(np.full((32, 32), 70_000, np.int32)),
        Image.fromarray(np.full((32, 32), -1, np.int32)),
    ],
)
def test_pixels_without_a_fixed_white_are_refused(image):
    with pytest.raises(PictureError, match="no fixed white"):
        read(encode(image, "TIFF"))


def test_cmyk_without_a_profile_is_pillows_and_said_to_be_approximate():
    image = patches((0, 0, 0, 0), (0, 0, 0, 255), (255, 0, 0, 0), (0, 128, 128, 64), mode="CMYK")
    for data, off in ((encode(image, "TIFF"), 0), (encode(image, "JPEG", quality=100, subsampling=0), 2)):
        picture = read_picture(data, WHITE)
        expected = [(255, 255, 255), (0, 0, 0), (0, 255, 255), (191, 95, 95)]
        assert np.abs(np.array(middles(picture.pixels_HWC.astype(int))) - expected).max() <= off + 1
        assert "CMYK without a colour profile: its colours are approximate" in picture.notes


def test_ycck_as_photoshop_writes_it():
    """Adobe's fourth kind: CMY turned into YCC, black beside it, all inverted; its marker says 2."""
    inks = [(0, 0, 0, 0), (0, 0, 0, 255), (200, 30, 60, 40)]
    inverted = patches(*[ink[:3] for ink in inks]).convert("YCbCr").point(lambda level: 255 - level)
    black = patches(*[ink[3] for ink in inks], mode="L")
    data = bytearray(encode(Image.merge("CMYK", (*inverted.split(), black)), "JPEG", quality=100, subsampling=0))
    data[data.index(b"Adobe") + 11] = 2
    expected = [tuple((255 - ink) * (255 - k) / 255 for ink in (c, m, y)) for c, m, y, k in inks]
    assert np.abs(np.array(middles(read(bytes(data)))) - expected).max() <= 3


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 150, 100), (30, 60, 90), (128, 128, 128), (255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize(
    ("columns", "decode"),
    [(P3_D50, srgb_to_light), (ADOBE_D50, lambda values: values ** (563 / 256))],
    ids=["Display P3", "Adobe RGB"],
)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_wide_gamut_colours_become_srgb(columns, decode, format):
    profile = rgb_profile(columns, decode(np.linspace(0, 1, 1024)))
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})
    picture = read_picture(encode(patches(*COLOURS), format, icc_profile=profile, **options), WHITE)
    light = decode(np.array(COLOURS) / 255) @ columns.T @ np.linalg.inv(SRGB_D50).T
    assert np.abs(middles(picture.pixels_HWC.astype(int)) - 255 * light_to_srgb(light)).max() <= (
        3 if format == "JPEG" else 1.6
    )
    assert "colours converted to sRGB from the profile 'test'" in picture.notes


def test_a_profile_that_is_srgb_leaves_every_bit_alone():
    ours = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rounded = rgb_profile(SRGB_D50.round(4), srgb_to_light(np.linspace(0, 1, 256)))
    for profile in (ours, rounded):
        picture = read_picture(encode(smooth(), "PNG", icc_profile=profile), WHITE)
        assert np.array_equal(picture.pixels_HWC, np.asarray(smooth()))
        assert picture.notes == ()


def test_colours_under_transparency_are_converted_before_they_are_mixed():
    profile = rgb_profile(ADOBE_D50, np.linspace(0, 1, 1024) ** (563 / 256))
    image = patches((200, 150, 100, 255), (200, 150, 100, 0), mode="RGBA")
    found = middles(read(encode(image, "PNG", icc_profile=profile), BLUE))
    light = (np.array([200, 150, 100]) / 255) ** (563 / 256) @ ADOBE_D50.T @ np.linalg.inv(SRGB_D50).T
    assert np.abs(found[0] - 255 * light_to_srgb(light)).max() <= 1.6
    assert found[1] == (0, 0, 255)


def test_grey_profiles_apply_to_grey_and_rgb_profiles_too():
    linear = make_icc(b"GRAY", b"mntr", {b"kTRC": curve(np.array([0.0, 1.0]))})
    found = middles(read(encode(patches(0, 55, 128, 255, mode="L"), "PNG", icc_profile=linear)))
    assert np.abs(np.array(found)[:, 0] - 255 * light_to_srgb(np.array([0, 55, 128, 255]) / 255)).max() <= 1.6
    dark = rgb_profile(SRGB_D50, np.linspace(0, 1, 1024) ** 3)
    found = middles(read(encode(patches(0, 128, 255, mode="L"), "PNG", icc_profile=dark)))
    assert np.abs(np.array(found)[:, 1] - 255 * light_to_srgb((np.array([0, 128, 255]) / 255) ** 3)).max() <= 1.6


def test_cmyk_is_printed_by_its_profile():
    """A press whose cyan ink is red: only the profile can know."""
    inks = np.array([(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)])
    lab = np.array([[0.0, 0, 0] if k or m or y else [54.29, 80.81, 69.89] if c else [100.0, 0, 0] for c, m, y, k in inks])
    image = patches((0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255), mode="CMYK")
    for format in ("TIFF", "JPEG"):
        options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
        picture = read_picture(encode(image, format, icc_profile=cmyk_profile(lab), **options), WHITE)
        assert np.abs(np.array(middles(picture.pixels_HWC.astype(int))) - [(255,) * 3, (255, 0, 0), (0,) * 3]).max() <= 4
        assert picture.notes == ("colours converted to sRGB from the profile 'test'",)


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense",
        rgb_profile(P3_D50, np.linspace(0, 1, 64))[:200],
        make_icc(b"GRAY", b"mntr", {b"kTRC": curve(np.array([0.0, 1.0]))}),
        make_icc(b"Lab ", b"abst", {}),
    ],
    ids=["noise", "cut short", "grey for colour", "abstract"],
)
def test_a_profile_that_is_broken_or_of_another_kind_is_ignored_aloud(profile):
    picture = read_picture(encode(smooth(), "PNG", icc_profile=profile), WHITE)
    assert np.array_equal(picture.pixels_HWC, np.asarray(smooth()))
    assert picture.notes == ("its colour profile is broken or of another kind, and was ignored",)


@pytest.mark.slow
def test_a_large_picture_is_converted_without_seams():
    """Larger than one band, so that two are joined."""
    image = smooth(2048, 1100)
    assert np.array_equal(read(encode(image, "BMP")), np.asarray(image))
    clear = image.copy()
    clear.putalpha(255)
    assert np.array_equal(read(clear), np.asarray(image))
