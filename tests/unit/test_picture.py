"""formats/picture.py: which files are read, which are refused, and how it is said."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pictures import encode, make_blank_png, make_png, png_chunk, smooth
from unstill.errors import PictureError
from unstill.formats import picture
from unstill.formats.picture import MOST_PX, OTHERS, check_size, decode, recognise
from unstill.values import Size

FTYP = b"\0\0\0\x20ftyp"


def read(data):
    return decode(io.BytesIO(data), "#ffffff")


def refusal(data) -> PictureError:
    with pytest.raises(PictureError) as caught:
        read(data)
    return caught.value


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_formats_come_back_bit_for_bit(format):
    options = {"lossless": True} if format == "WEBP" else {}
    assert np.array_equal(read(encode(smooth(), format, **options)).pixels_HWC, np.asarray(smooth()))


@pytest.mark.parametrize(("format", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("AVIF", {}), ("WEBP", {})])
def test_lossy_formats_come_back_as_pillow_reads_them(format, options):
    data = encode(smooth(), format, quality=95, **options)
    assert np.array_equal(read(data).pixels_HWC, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_every_accepted_format_has_a_limit():
    assert set(picture.READERS) <= set(MOST_PX)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "AVIF", "PNG", "TIFF"])
def test_the_first_picture_of_several_is_taken_and_said(format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("#ff0000", "#0000ff", "#00ff00")]
    found = read(encode(frames[0], format, save_all=True, append_images=frames[1:]))
    assert np.abs(found.pixels_HWC[16, 16].astype(int) - (255, 0, 0)).max() <= 3
    assert any("holds several pictures: the first was taken" in note for note in found.notes)


def test_an_mpo_is_a_jpeg_with_another_behind_it():
    data = encode(smooth(), "MPO", save_all=True, append_images=[smooth().rotate(180)])
    found = read(data)
    assert found.size == Size(160, 120)
    assert found.notes == ()


LOOKS = {
    b'<?xml version="1.0"?><!-- by hand --><svg xmlns="http://www.w3.org/2000/svg"/>': "an SVG drawing",
    b"  <svg onload='x'>": "an SVG drawing",
    b"<!DOCTYPE html><title>404</title>": "a web page",
    b"<?xml version='1.0'?><rss/>": "an XML document",
    b"%PDF-1.7\n": "a PDF document",
    b"%!PS-Adobe-3.0 EPSF-3.0\n": "a PostScript file",
    b"8BPS\0\1": "a Photoshop file",
    b"\0\0\1\0\1\0": "an icon",
    FTYP + b"heic\0\0\0\0mif1heic": "a HEIC photo",
    FTYP + b"isom\0\0\2\0isomiso2": "a video",
    b"\x1aE\xdf\xa3": "a video",
    b"PK\3\4\x14\0": "a ZIP archive",
    b"\x1f\x8b\x08": "an archive",
    b"#!/bin/sh\nrm": "a program",
    b"\xff\x0a\xfa": "a JPEG XL picture",
    b"\0\0\0\x0cjP  \r\n": "a JPEG 2000 picture",
    b"version https://git-lfs.github.com/spec/v1\n": "a Git LFS pointer",
}


@pytest.mark.parametrize(("head", "looks"), LOOKS.items(), ids=LOOKS.values())
def test_other_files_are_told_by_their_content(head, looks):
    error = refusal(head + bytes(200))
    assert f"looks like {looks}, which cannot be read as a picture; possible are JPEG, PNG" in error.message


def test_every_kind_of_other_file_is_tried_above():
    assert {looks for _, looks, _ in OTHERS} == set(LOOKS.values())


def test_empty_and_unknown_files():
    assert refusal(b"").message == "The picture is empty: 0 bytes"
    assert "starts with 'P6 32 32 255'" in refusal(b"P6 32 32 255\n" + bytes(3072)).message


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"hello\n", "is text, no picture"), ("Wörter\tund Zeilen\r\n".encode(), "is text, no picture"),
        ("ö".encode()[:1] + b"\0", r"starts with '\xc3\x00'"), (("x" * 1023 + "ö").encode()[:1024], "is text, no picture"),
        ("\ufeffwords".encode("utf-16-le"), "is text, no picture"), (b"\0\1\2 and more of it", r"starts with '\x00\x01\x02 and more"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_told_in_words_not_as_python_writes_it(head, told):
    with pytest.raises(PictureError) as caught:
        recognise(head)
    assert told in caught.value.message
    assert "b'" not in caught.value.message
    assert "possible are JPEG, PNG" in caught.value.message


def test_an_avif_may_call_itself_by_its_container():
    assert recognise(FTYP + b"mif1\0\0\0\0mif1miafavif" + bytes(9)) == "AVIF"


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (Size(1, 1), "too small: each side needs 16 pixels or more"),
        (Size(15, 400), "too small"),
        (Size(1, 20000), "too small"),
        (Size(20_001, 4000), "sides of 20000 pixels"),
        (Size(13_000, 13_000), "169.0 megapixels, too large: a PNG may have 62 megapixels"),
        (Size(1000, 100), "one side 10.0 times the other: up to 8 times is possible"),
    ],
)
def test_sizes_beyond_the_limits_are_refused_with_the_limits(size, said):
    with pytest.raises(PictureError) as caught:
        check_size(size, "PNG")
    assert said in caught.value.message


@pytest.mark.parametrize("size", [Size(16, 16), Size(16, 128), Size(9504, 6336), Size(20_000, 2500)])
def test_sizes_within_the_limits_pass(size):
    check_size(size, "PNG")


@pytest.mark.slow
def test_a_header_is_believed_before_anything_is_decoded():
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0))
    assert "too large" in refusal(b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", b"")).message
    assert "too large" in refusal(make_blank_png(8000, 8000)).message


@pytest.mark.parametrize("name", [b"zTXt", *(pytest.param(name, marks=pytest.mark.slow) for name in (b"iCCP", b"iTXt"))])
def test_metadata_that_unpacks_to_a_gigabyte_is_refused(name):
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    before = {b"zTXt": b"x\0\0", b"iCCP": b"x\0\0", b"iTXt": b"x\0\1\0\0\0"}[name]
    data = make_png((32, 32), 8, 0, [bytes(32)] * 32, png_chunk(name, before + bomb))
    assert "broken or of a rare kind" in refusal(data).message


def test_every_flipped_byte_of_a_png_is_found():
    data = encode(smooth(32, 24), "PNG")
    whole = np.asarray(smooth(32, 24))
    for at in range(8, len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 0x10
        try:
            assert np.array_equal(read(bytes(flipped)).pixels_HWC, whole), at
        except PictureError:
            continue


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("restarts", [0, 4])
def test_a_jpeg_that_ends_early_is_refused_though_its_end_is_marked(subsampling, restarts):
    """libjpeg fills the rest with grey and says nothing."""
    data = encode(smooth(), "JPEG", quality=90, subsampling=subsampling, restart_marker_blocks=restarts)
    for tenth in range(4, 10):
        cut = data[: len(data) * tenth // 10].rstrip(b"\xff") + b"\xff\xd9"
        assert "ends early" in refusal(cut).message
    assert "truncated" in refusal(data[:-2]).message


def test_a_jpeg_that_really_ends_in_grey_is_read():
    image = smooth()
    image.paste((128, 128, 128), (0, 64, 160, 120))
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 2}):
        found = read(encode(image, "JPEG", quality=95, subsampling=0, **options))
        assert tuple(found.pixels_HWC[-1, -1]) == (128, 128, 128)


def test_a_jpeg_of_a_phone_with_200_megapixels_is_read_at_half_its_sides(monkeypatch):
    """The real limit needs a quarter of a gigabyte; the integration tests go there."""
    monkeypatch.setattr(picture, "WHOLE_PX", 160 * 120 - 1)
    found = read(encode(smooth(), "JPEG", quality=95))
    assert found.size == Size(80, 60)
    assert found.notes == ("read at half its sides: 160x120 is far more than a clip shows",)
    assert np.abs(found.pixels_HWC.astype(int) - np.asarray(smooth().reduce(2))).mean() < 3


def test_a_jpeg_of_very_many_scans_is_refused():
    data = encode(smooth(), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert read(data[:-2] + last * 20 + b"\xff\xd9").size == Size(160, 120)
    assert "more than 50 scans" in refusal(data[:-2] + last * 60 + b"\xff\xd9").message


def test_a_jpeg_in_several_scans_has_a_limit_of_its_own(monkeypatch):
    """Its coefficients are all kept: 6 bytes a pixel, or 8 for CMYK, beside the picture."""
    monkeypatch.setitem(picture.MOST_PX, "JPEG in several scans", 100)
    assert "JPEG in several scans may have" in refusal(encode(smooth(), "JPEG", progressive=True)).message
    assert read(encode(smooth(), "JPEG")).size == Size(160, 120)


def test_camera_raw_files_in_tiff_clothes_are_refused():
    data = encode(smooth(), "TIFF", tiffinfo={254: 1})
    assert "starts with a thumbnail" in refusal(data).message


def test_an_inverted_16_bit_tiff_is_refused_rather_than_shown_negative():
    data = bytearray(encode(Image.fromarray(np.zeros((32, 32), np.uint16)), "TIFF"))
    data[data.index(struct.pack("<HHIH", 262, 3, 1, 1)) + 8] = 0
    assert "unusual pixels" in refusal(bytes(data)).message


def test_refusals_do_not_hold_addresses_of_memory():
    for data in (b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"RIFF\0\0\0\0WEBPVP8 ", b"BM" + bytes(20), FTYP + b"avif" + bytes(30)):
        assert "0x" not in refusal(data).message
