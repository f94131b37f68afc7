"""WebP, APNG and PNG: every frame, exact time, exact pixels where the format is lossless."""

import io

import numpy as np
import pytest
from PIL import Image

from clips import make_frames, make_sheet
from unstill.formats.recipe import read_xmp
from unstill.formats.sheet import read_fps, spread
from unstill.formats.stills import encode_apng, encode_pngs, encode_webp

RATES = [0.5, 6, 7, 7.5, 23.976, 29.97, 30, 60, 240]


def read(data):
    with Image.open(io.BytesIO(data)) as image:
        durations, frames = [], []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            durations.append(image.info.get("duration", 0))
            frames.append(np.asarray(image.convert("RGB")))
        return durations, np.stack(frames), image.info


@pytest.mark.parametrize("play_fps", RATES)
def test_webp_lasts_to_the_millisecond_and_apng_exactly(play_fps):
    frames = make_frames(14, 8, 8)
    exact_ms = 14000 / float(read_fps(play_fps))
    durations = read(encode_webp(frames, make_sheet(play_fps)))[0]
    assert (len(durations), sum(durations)) == (14, round(exact_ms))
    durations = read(encode_apng(frames, make_sheet(play_fps)))[0]
    assert len(durations) == 14
    assert sum(durations) == pytest.approx(exact_ms, abs=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (57, 101)])
def test_apng_and_png_keep_every_pixel(size):
    frames = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    assert np.array_equal(read(encode_apng(frames, make_sheet()))[1], frames)
    stills = [read(data)[1][0] for data in encode_pngs(frames, make_sheet()).values()]
    assert np.array_equal(np.stack(stills), frames)


@pytest.mark.parametrize("encode", [encode_webp, encode_apng])
@pytest.mark.parametrize("size", [(1, 1), (16, 33)])
def test_identical_frames_are_all_kept(encode, size):
    frames = np.full((14, *size, 3), 77, np.uint8)
    durations, found, _ = read(encode(frames, make_sheet(7)))
    assert len(found) == 14
    assert abs(sum(durations) - 2000) <= 1
    assert np.abs(found.astype(int) - 77).max() <= 2


@pytest.mark.parametrize("encode", [encode_webp, encode_apng])
@pytest.mark.parametrize("loop", [0, 1, 5, 65535])
def test_the_number_of_plays_is_kept(encode, loop):
    assert read(encode(make_frames(2, 8, 8), make_sheet(plays=loop)))[2]["loop"] == loop


def test_webp_quality_costs_bytes_and_gives_fidelity():
    frames = make_frames(2, 64, 96)
    sizes, errors = [], []
    for quality in (5, 40, 80, 100):
        data = encode_webp(frames, make_sheet(quality=quality))
        sizes.append(len(data))
        errors.append(float(np.square(read(data)[1].astype(float) - frames).mean()))
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


def test_texts_are_where_other_programs_look_for_them():
    sheet = make_sheet(recipe='{"unstill":"1"}')
    frames = make_frames(2, 8, 8)
    wanted = ("made by unstill", '{"unstill":"1"}')
    assert read_xmp(read(encode_webp(frames, sheet))[2]["xmp"]) == wanted
    for data in (encode_apng(frames, sheet), encode_pngs(frames, sheet)["0001.png"]):
        with Image.open(io.BytesIO(data)) as image:
            assert (image.text["Software"], image.text["Comment"]) == wanted


@pytest.mark.slow
def test_names_sort_as_frames_follow():
    names = list(encode_pngs(np.zeros((10_000, 1, 1, 3), np.uint8), make_sheet()))
    assert names == sorted(names)
    assert list(encode_pngs(make_frames(2, 1, 1), make_sheet())) == ["0001.png", "0002.png"]


@pytest.mark.parametrize("play_fps", RATES)
@pytest.mark.parametrize("ticks", [100, 1000])
def test_ticks_are_shared_evenly(play_fps, ticks):
    shares = spread(25, read_fps(play_fps), ticks)
    assert abs(sum(shares) - 25 * ticks / read_fps(play_fps)) <= 0.5
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (23.976, (24000, 1001)),
        (23.98, (24000, 1001)),
        (29.97, (30000, 1001)),
        (59.94, (60000, 1001)),
        (7.5, (15, 2)),
        (24, (24, 1)),
        (0.1, (1, 10)),
        (6.99, (699, 100)),
    ],
)
def test_broadcast_rates_are_known_by_their_short_names(written, meant):
    assert read_fps(written).as_integer_ratio() == meant
