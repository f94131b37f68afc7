"""prepare.py: where pictures come from, native sizes, and framing."""

import hashlib
import io
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from pictures import encode, smooth
from unstill import prepare as module
from unstill.artifacts import Box
from unstill.errors import PictureError
from unstill.prepare import crop_box, native_size, pad_box, prepare, read_picture, resize
from unstill.request import Request
from unstill.values import Focus, Size

AREA_PX = 1024 * 576
WHITE = "#ffffff"
CENTRE = Focus(0.5, 0.5)


def refusal(source) -> PictureError:
    with pytest.raises(PictureError) as caught:
        read_picture(source, WHITE)
    return caught.value


# --- where pictures come from -------------------------------------------------------------------------------------


def test_the_same_picture_from_anywhere(tmp_path):
    data, pixels = encode(smooth(), "PNG"), np.asarray(smooth())
    (tmp_path / "a.png").write_bytes(data)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.png")
    for source in (data, str(tmp_path / "a.png"), tmp_path / "a.png", tmp_path / "link.jpg", smooth(), pixels):
        found = read_picture(source, WHITE)
        assert np.array_equal(found.pixels_HWC, pixels)
        of_file = not isinstance(source, Image.Image | np.ndarray)
        assert found.sha256 == hashlib.sha256(data if of_file else pixels.tobytes()).hexdigest()


def test_arrays_of_grey_and_with_alpha():
    grey = np.asarray(smooth().convert("L"))
    for array in (grey, grey[..., None]):
        assert np.array_equal(read_picture(array, WHITE).pixels_HWC, np.repeat(grey[..., None], 3, axis=2))
    clear = np.dstack([np.asarray(smooth()), np.zeros_like(grey)])
    assert (read_picture(clear, "#010203").pixels_HWC == (1, 2, 3)).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((64, 64, 3), np.float32),
        np.zeros((3, 64, 64), np.uint8),
        np.zeros((64, 0, 3), np.uint8),
        np.zeros(64, np.uint8),
    ],
)
def test_other_arrays_are_refused_with_the_way_out(array):
    error = refusal(array)
    assert "uint8 of rows, columns, channels is" in error.message
    assert "transpose(1, 2, 0)" in error.hint


def test_other_types_are_refused():
    assert "not list" in refusal([smooth()]).message


def test_a_closed_pillow_image_is_refused():
    image = Image.open(io.BytesIO(encode(smooth(), "PNG")))
    image.close()
    assert "cannot be read" in refusal(image).message


@pytest.mark.parametrize(
    "address", ["https://example.org/a.png", "HTTP://x/y.jpg", "file:///etc/passwd", "data:image/png;base64,AAAA", "ftp://x/y"]
)
def test_addresses_are_not_opened(address):
    error = refusal(address)
    assert "Addresses are not opened" in error.message
    assert "curl -s URL | unstill animate -" in error.hint


def test_a_path_object_made_of_an_address_is_told_too():
    assert "Addresses are not opened" in refusal(Path("https://example.org/a.png")).message


def test_files_that_are_not_there_or_not_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty.png").touch()
    assert "There is no file" in refusal(tmp_path / "none.png").message
    assert "is a folder" in refusal(tmp_path).message
    assert "is a pipe" in refusal(tmp_path / "pipe").message
    assert "is a device" in refusal("/dev/zero").message
    assert "cannot be opened: Too many levels of symbolic links" in refusal(tmp_path / "loop").message
    assert "empty: 0 bytes" in refusal(tmp_path / "empty.png").message
    assert "cannot be opened: Not a directory" in refusal(tmp_path / "empty.png" / "x").message


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000, "", "\ud800.png", "../" * 40 + "none", "\u202egnp.exe"])
def test_odd_names_are_refused_or_not_found(name):
    message = refusal(name).message
    assert "There is no file" in message or "cannot be opened" in message
    assert message.isprintable() and message.isascii() and len(message) < 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "secret.png").touch(mode=0)
    assert "Permission denied" in refusal(tmp_path / "secret.png").message


def test_a_file_beyond_200_megabytes_is_refused_unread(tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(200_000_001)
    assert "more than 200 MB" in refusal(tmp_path / "huge.png").message


def test_no_descriptor_stays_open(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(smooth(), "PNG"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        read_picture(tmp_path / "a.png", WHITE)
        refusal(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


READ_STDIN = """
from unstill.errors import PictureError
from unstill.prepare import read_picture
try:
    print(read_picture("-", "#ffffff").size)
except PictureError as error:
    print(error)
"""


def read_stdin(**streams) -> str:
    ran = subprocess.run([sys.executable, "-c", READ_STDIN], capture_output=True, text=True, timeout=60, **streams)
    assert ran.stderr == ""
    return ran.stdout.strip()


@pytest.mark.slow
def test_standard_input_from_a_file_a_terminal_and_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(smooth(), "PNG"))
    with (tmp_path / "a.png").open("rb") as file:
        assert read_stdin(stdin=file) == "160x120"
    master, terminal = os.openpty()
    assert read_stdin(stdin=terminal).startswith("Standard input is a terminal, not a picture\nhint:")
    os.close(master)
    os.close(terminal)
    assert read_stdin(stdin=subprocess.DEVNULL) == "The picture is empty: 0 bytes"
    assert "Standard input is closed" in read_stdin(preexec_fn=lambda: os.close(0))


@pytest.mark.slow
def test_standard_input_from_a_slow_pipe():
    data = encode(smooth(), "PNG")
    out, into = os.pipe()

    def feed():
        with os.fdopen(into, "wb", buffering=0) as pipe:
            for at in range(0, len(data), 4000):
                pipe.write(data[at : at + 4000])

    thread = threading.Thread(target=feed)
    thread.start()
    assert read_stdin(stdin=out) == "160x120"
    thread.join()
    os.close(out)


def test_standard_input_is_read_up_to_its_limit(monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(2000))))
    assert "the most that is read" in refusal("-").message


# --- sizes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "native"),
    [
        (Size(1920, 1080), "1024x576"),
        (Size(1080, 1920), "576x1024"),
        (Size(500, 500), "768x768"),
        (Size(4000, 3000), "832x640"),
        (Size(6000, 4000), "960x640"),
        (Size(2560, 1600), "1024x640"),
        (Size(2390, 1000), "1216x512"),
        (Size(8000, 1000), "1216x512"),
        (Size(1000, 8000), "512x1216"),
        (Size(1170, 2532), "512x1088"),
    ],
)
def test_native_sizes_have_the_models_area_in_the_pictures_shape(picture, native):
    assert str(native_size(picture, AREA_PX, 64)) == native


sides = some.integers(16, 20_000)
sizes = some.builds(Size, sides, sides)
shapes = some.builds(Size, some.integers(64, 4096), some.integers(64, 4096))
points = some.builds(Focus, some.floats(0, 1), some.floats(0, 1))


@settings(deadline=None)
@given(sizes, some.sampled_from([AREA_PX, 576 * 320, 256 * 144]), some.sampled_from([8, 16, 32, 64]))
def test_native_sizes_are_multiples_of_about_the_area_and_shape(picture, area_px, multiple):
    found = native_size(picture, area_px, multiple)
    assert found.width % multiple == found.height % multiple == 0
    assert abs(found.area_px / area_px - 1) <= 0.12
    aspect = min(max(picture.width / picture.height, 1 / 2.4), 2.4)
    off = abs(math.log(found.width / found.height / aspect))
    assert off < {AREA_PX: 0.04, 576 * 320: 0.12, 256 * 144: 0.5}[area_px]


@settings(deadline=None)
@given(sizes)
def test_a_picture_on_its_side_gets_the_size_on_its_side(picture):
    across = native_size(picture, AREA_PX, 64)
    assert native_size(Size(picture.height, picture.width), AREA_PX, 64) == Size(across.height, across.width)


def test_a_tiny_area_still_gives_a_size():
    assert native_size(Size(100, 100), 64 * 64, 64) == Size(64, 64)
    assert native_size(Size(800, 100), 100, 64) == Size(64, 64)


@settings(deadline=None)
@given(sizes, shapes, points)
def test_a_crop_is_the_largest_of_its_shape_and_holds_the_focus(picture, shape, focus):
    box = crop_box(picture, shape, focus)
    assert box.left >= 0 and box.top >= 0
    assert box.left + box.width <= picture.width and box.top + box.height <= picture.height
    assert box.width == picture.width or box.height == picture.height
    exact = shape.width / shape.height
    assert abs(box.width - box.height * exact) <= max(1, exact) or min(box.width, box.height) == 1
    x, y = focus.x * picture.width, focus.y * picture.height
    assert box.left - 0.5 <= x <= box.left + box.width + 0.5
    assert box.top - 0.5 <= y <= box.top + box.height + 0.5


@settings(deadline=None)
@given(sizes, shapes)
def test_a_crop_around_the_middle_leaves_as_much_on_either_side(picture, shape):
    box = crop_box(picture, shape, CENTRE)
    assert abs(picture.width - box.width - 2 * box.left) <= 1
    assert abs(picture.height - box.height - 2 * box.top) <= 1


@settings(deadline=None)
@given(sizes.filter(lambda s: max(s.width, s.height) <= 8 * min(s.width, s.height)), shapes)
def test_a_padded_picture_lies_in_the_middle_on_even_numbers(picture, clip):
    box = pad_box(picture, clip)
    assert all(number % 2 == 0 for number in (box.left, box.top, box.width, box.height))
    assert box.left + box.width <= clip.width and box.top + box.height <= clip.height
    assert abs(clip.width - box.width - 2 * box.left) <= 3 and abs(clip.height - box.height - 2 * box.top) <= 3
    assert clip.width - box.width <= 1 or clip.height - box.height <= 1
    assert abs(box.width - box.height * picture.width / picture.height) <= 2 * max(1, picture.width / picture.height) + 0.01


# --- framing ------------------------------------------------------------------------------------------------------


def test_a_picture_of_the_clips_shape_is_resized_as_pillow_does_bit_for_bit():
    """Scripts written for other tools resize with Lanczos before; the result must be the same clip."""
    image = smooth(1280, 720)
    prepared = prepare(image, Request())
    assert np.array_equal(prepared.canvas_HWC, np.asarray(image.resize((1024, 576), Image.Resampling.LANCZOS)))
    assert np.array_equal(prepared.source_HWC, np.asarray(image))
    assert prepared.content == Box(0, 0, 1024, 576)
    assert (prepared.original, prepared.notes) == (Size(1280, 720), ())


@settings(deadline=None)
@given(some.integers(16, 300), some.integers(16, 300), some.integers(8, 200), some.integers(8, 200), some.integers(1, 5000))
def test_resizing_in_bands_is_pillows_lanczos(width, height, new_width, new_height, band_px):
    image = Image.fromarray(np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8))
    before, module.BAND_PX = module.BAND_PX, band_px
    try:
        found = resize(np.asarray(image), Size(new_width, new_height))
    finally:
        module.BAND_PX = before
    assert np.array_equal(found, np.asarray(image.resize((new_width, new_height), Image.Resampling.LANCZOS)))


def test_a_crop_is_cut_out_before_it_is_resized():
    image = smooth(400, 225)
    prepared = prepare(image, Request(size="128x128", focus="0.25,0.5"))
    cut = image.crop((0, 0, 225, 225))
    assert np.array_equal(prepared.source_HWC, np.asarray(cut))
    assert np.array_equal(prepared.canvas_HWC, np.asarray(cut.resize((128, 128), Image.Resampling.LANCZOS)))
    assert prepared.notes == ("cropped away 44% (right); --fit pad keeps all of it",)


@pytest.mark.parametrize(
    ("focus", "sides"), [("center", "left and right"), ("left", "right"), ("right", "left"), ("0.4,0", "left and right")]
)
def test_what_was_cropped_is_said(focus, sides):
    notes = prepare(smooth(320, 120), Request(size="64x64", focus=focus)).notes
    assert notes == (f"cropped away 62% ({sides}); --fit pad keeps all of it",)


def test_an_upscaled_picture_is_said_to_be():
    assert prepare(smooth(256, 144), Request()).notes == ("upscaled 4.0×: the picture is smaller than the clip",)


@pytest.mark.parametrize("fit", ["crop", "pad", "blur", "stretch"])
@pytest.mark.parametrize("size", ["100x70", "101x67", "65x128", "64x64"])
def test_the_canvas_is_a_multiple_and_the_content_exact(fit, size):
    prepared = prepare(smooth(160, 90), Request(fit=fit, size=size))
    asked = Request(size=size).size
    assert prepared.canvas_HWC.shape[1] % 8 == prepared.canvas_HWC.shape[0] % 8 == 0
    assert 0 <= prepared.size.width - asked.width < 8 and 0 <= prepared.size.height - asked.height < 8
    if fit != "pad":
        assert prepared.content == Box(0, 0, asked.width, asked.height)
    assert prepared.canvas_HWC.flags.writeable and prepared.canvas_HWC.flags.c_contiguous
    assert prepared.source_HWC.flags.writeable and prepared.source_HWC.flags.c_contiguous


def test_a_size_that_is_no_multiple_is_exact_and_the_surplus_repeats_the_edge():
    image = smooth(300, 201)
    prepared = prepare(image, Request(size="100x67"))
    assert np.array_equal(prepared.canvas_HWC[:67, :100], np.asarray(image.resize((100, 67), Image.Resampling.LANCZOS)))
    assert (prepared.canvas_HWC[67:, :100] == prepared.canvas_HWC[66, :100]).all()
    assert (prepared.canvas_HWC[:, 100:] == prepared.canvas_HWC[:, 99:100]).all()


def test_pad_keeps_the_whole_picture_undistorted_and_marks_it():
    image = smooth(300, 300)
    prepared = prepare(image, Request(fit="pad", size="256x144"))
    assert prepared.content == Box(56, 0, 144, 144)
    small = np.asarray(image.resize((144, 144), Image.Resampling.LANCZOS))
    assert np.array_equal(prepared.canvas_HWC[:, 56:200], small)
    ground = prepared.canvas_HWC[0, 0]
    assert (prepared.canvas_HWC[:, :56] == ground).all() and (prepared.canvas_HWC[:, 200:] == ground).all()
    assert np.abs(ground - small.mean((0, 1))).max() < 4
    assert prepared.notes == ("padded to 256x144; the padding is removed again, so the clip is 144x144",)
    assert prepared.source_HWC.shape == (300, 534, 3)
    assert np.array_equal(prepared.source_HWC[:, 116:416], np.asarray(image))


def test_blur_keeps_the_whole_canvas():
    image = smooth(300, 300)
    prepared = prepare(image, Request(fit="blur", size="256x144"))
    assert prepared.content == Box(0, 0, 256, 144)
    small = np.asarray(image.resize((144, 144), Image.Resampling.LANCZOS))
    assert np.array_equal(prepared.canvas_HWC[:, 56:200], small)
    assert prepared.canvas_HWC[:, :56].std((0, 1)).max() < 0.8 * small.std((0, 1)).min()
    assert np.abs(prepared.canvas_HWC[:, :56].mean((0, 1)) - small.mean((0, 1))).max() < 20
    assert prepared.notes == ("filled left and right with a blurred copy of the picture",)


@pytest.mark.parametrize("fit", ["pad", "blur"])
def test_a_composed_source_is_bounded(fit):
    prepared = prepare(smooth(300, 2250), Request(fit=fit, size="256x144"))
    assert max(prepared.source_HWC.shape) <= 2049


def test_stretch_distorts_only_when_asked_and_says_so():
    image = smooth(300, 300)
    prepared = prepare(image, Request(fit="stretch", size="256x144"))
    assert np.array_equal(prepared.canvas_HWC, np.asarray(image.resize((256, 144), Image.Resampling.LANCZOS)))
    assert prepared.notes == ("stretched: everything is 1.78× too wide",)


@pytest.mark.parametrize("fit", ["crop", "pad", "blur", "stretch"])
def test_a_fitting_picture_is_the_same_in_every_fit(fit):
    expected = prepare(smooth(256, 144), Request(size="128x72"))
    found = prepare(smooth(256, 144), Request(size="128x72", fit=fit))
    assert np.array_equal(found.canvas_HWC, expected.canvas_HWC)
    assert np.array_equal(found.source_HWC, expected.source_HWC)
    assert (found.content, found.notes) == (Box(0, 0, 128, 72), ())


def test_the_preset_gives_the_area():
    assert prepare(smooth(256, 144), Request(preset="draft")).size == Size(576, 320)


def test_multiple_and_base_are_the_models():
    assert prepare(smooth(256, 144), Request(preset="draft"), multiple=16).size.width % 16 == 0
    assert prepare(smooth(256, 144), Request(size="100x70"), base=16).size == Size(112, 80)


@settings(deadline=None)
@given(
    some.integers(16, 200), some.integers(16, 200), some.integers(64, 140), some.integers(64, 140),
    some.sampled_from(["crop", "pad", "blur", "stretch"]), points,
)  # fmt: skip
def test_any_picture_fits_any_clip(width, height, new_width, new_height, fit, focus):
    if max(width, height) > 8 * min(width, height):
        return
    prepared = prepare(smooth(width, height), Request(size=(new_width, new_height), fit=fit, focus=focus))
    content, canvas = prepared.content, prepared.size
    assert canvas == Size(-(-new_width // 8) * 8, -(-new_height // 8) * 8)
    assert content.left >= 0 and content.left + content.width <= canvas.width
    assert content.top >= 0 and content.top + content.height <= canvas.height
    assert prepared.original == Size(width, height)
    if fit != "pad":
        assert content.size == Size(new_width, new_height)


# --- our own pictures ---------------------------------------------------------------------------------------------

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "size", "notes"),
    [
        ("harbour.jpg", Size(1024, 576), ()),
        ("lighthouse.jpg", Size(576, 1024), ()),
        ("balloon.jpg", Size(768, 768), ()),
    ],
)
def test_the_examples_have_one_of_each_shape_and_need_no_crop(name, size, notes):
    prepared = prepare(EXAMPLES / name, Request())
    assert (prepared.size, prepared.notes) == (size, notes)


def test_the_examples_stay_small():
    assert sum(path.stat().st_size for path in EXAMPLES.glob("*.jpg")) <= 700_000


@pytest.mark.thorough("draws a picture of 1024x576; only a change of its script can fail it")
def test_an_example_is_what_its_script_draws(tmp_path):
    """Other versions of numpy and Pillow may round otherwise, so a level or two of 255 are let through."""
    draw = "import sys, pathlib; from drawing.harbour import draw_harbour; draw_harbour(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", draw, tmp_path / "drawn.jpg"], cwd=EXAMPLES, check=True, timeout=300)
    drawn, kept = (np.asarray(Image.open(path)).astype(int) for path in (tmp_path / "drawn.jpg", EXAMPLES / "harbour.jpg"))
    assert np.abs(drawn - kept).mean() < 2
