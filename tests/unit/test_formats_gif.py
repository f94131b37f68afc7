"""GIF: exact average time, every frame, true colours, the number of plays that was asked for."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from clips import make_frames, make_sheet
from unstill.formats.gif import FEW_COLOURS, encode_gif, list_blocks, read_chain, share_time
from unstill.formats.sheet import read_fps


def read(data):
    """Read a GIF with Pillow: delays in ms, and pixels."""
    with Image.open(io.BytesIO(data)) as image:
        delays, frames = [], []
        for number in range(image.n_frames):
            image.seek(number)
            delays.append(image.info["duration"])
            frames.append(np.asarray(image.convert("RGB")))
        return delays, np.stack(frames), image.info.get("loop")


@pytest.mark.parametrize("play_fps", [0.5, 6, 7, 7.5, 23.976, 29.97, 30, 50])
def test_the_whole_lasts_as_long_as_it_should(play_fps):
    delays, frames, _ = read(encode_gif(make_frames(14, 16, 16), make_sheet(play_fps)))
    assert len(frames) == 14
    assert abs(sum(delays) - 1000 * 14 / read_fps(play_fps)) <= 5
    assert max(delays) - min(delays) <= 10


@pytest.mark.parametrize("play_fps", [51, 60, 100, 240])
@pytest.mark.parametrize("count", [1, 2, 14, 25])
def test_above_fifty_frames_a_second_some_are_left_out_evenly(play_fps, count):
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    kept, delays = share_time(frames, Fraction(play_fps))
    assert min(delays) >= 2
    assert sum(delays) == max(2, round(100 * count / play_fps))
    steps = np.diff(kept[:, 0, 0, 0].astype(int))
    assert len(kept) == 1 or (kept[-1, 0, 0, 0] == count - 1 and steps.max() - steps.min() <= 1 and steps.min() >= 1)


@pytest.mark.parametrize("count", [1, 2, 14])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (57, 101)])
def test_identical_frames_are_all_kept(count, size):
    """Encoders merge frames that are alike, and a still clip became one frame of no duration."""
    frames = np.broadcast_to(np.array([200, 30, 90], np.uint8), (count, *size, 3))
    delays, found, _ = read(encode_gif(frames, make_sheet(7)))
    assert len(found) == count
    assert abs(sum(delays) - 1000 * count / 7) <= 5
    assert np.array_equal(found, frames)


def test_a_drawing_keeps_its_colours_to_the_bit():
    frames = np.random.default_rng(2).integers(0, 4, (3, 24, 32, 3), np.uint8) * 85
    assert np.array_equal(read(encode_gif(frames, make_sheet()))[1], frames)


def test_black_and_white_stay_so_among_many_colours():
    frames = np.random.default_rng(0).integers(0, 256, (4, 160, 160, 3), np.uint8)
    frames[:, :80, :80], frames[:, 80:, :80] = 0, 255
    assert len(np.unique(frames.reshape(-1, 3), axis=0)) > FEW_COLOURS
    found = read(encode_gif(frames, make_sheet(dither="none")))[1]
    assert found[:, 8:72, 8:72].max() <= 1 and found[:, 88:152, 8:72].min() >= 254


@pytest.mark.parametrize("colors", [2, 3, 16, 255, 256])
def test_there_are_as_many_colours_as_asked_for(colors):
    found = read(encode_gif(make_frames(4, 64, 96), make_sheet(colors=colors)))[1]
    count = len(np.unique(found.reshape(-1, 3), axis=0))
    assert colors * 0.9 - 1 <= count <= colors


def test_dither_matters_and_none_leaves_steps():
    """Averaged over blocks a dithered ramp is truer than one without."""
    ramp = np.broadcast_to(np.linspace(40, 90, 128)[None, None, :, None], (2, 64, 128, 3)).astype(np.uint8)
    errors = {}
    for dither in ("sierra", "bayer", "none"):
        found = read(encode_gif(ramp, make_sheet(colors=6, dither=dither)))[1][0]
        means = (image.reshape(8, 8, 16, 8, 3).mean(axis=(1, 3)) for image in (found, ramp[0]))
        errors[dither] = float(np.abs(np.subtract(*means)).mean())
    assert errors["sierra"] < errors["none"] / 2
    assert errors["bayer"] < errors["none"]


@pytest.mark.parametrize(("loop", "block"), [(0, b"\x01\x00\x00"), (1, None), (2, b"\x01\x01\x00"), (65535, b"\x01\xfe\xff")])
def test_the_number_of_plays_is_written_as_repetitions(loop, block):
    data = encode_gif(make_frames(2, 8, 8), make_sheet(plays=loop))
    assert data.count(b"NETSCAPE2.0") == (block is not None)
    assert block is None or data.partition(b"NETSCAPE2.0\x03")[2][:3] == block


def test_comments_longer_than_one_block_come_back():
    recipe = '{"unstill":"' + "x" * 1000 + '"}'
    data = io.BytesIO(encode_gif(make_frames(2, 8, 8), make_sheet(recipe=recipe)))
    comments = [read_chain(data, start + 2, 10**6) for kind, start, _ in list_blocks(data) if kind == "comment"]
    assert comments == [b"made by unstill", recipe.encode()]


def test_blocks_cover_the_file():
    data = encode_gif(make_frames(3, 8, 8), make_sheet())
    blocks = list(list_blocks(io.BytesIO(data)))
    assert [start for _, start, _ in blocks[1:]] == [end for _, _, end in blocks[:-1]]
    assert blocks[-1][2] == len(data)
    assert [kind for kind, _, _ in blocks].count("image") == 3
