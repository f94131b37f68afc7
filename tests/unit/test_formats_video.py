"""MP4 and WebM: exact colours, size and time; an index that comes first; silence."""

import io
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from clips import decode, make_frames, make_sheet
from unstill.formats.sheet import read_fps
from unstill.formats.video import encode_video, list_atoms, make_even

KINDS = [("mp4", "h264"), ("mp4", "av1"), ("webm", "vp9"), ("webm", "av1")]
RATES = [6, 7, 7.5, 23.976, 29.97, 30, 60]


def measure(data):
    """Return the start and end of every frame in seconds."""
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        packets = [packet for packet in file.demux(stream) if packet.size]
        spans = sorted((float(p.pts * stream.time_base), float((p.pts + p.duration) * stream.time_base)) for p in packets)
        return spans, file.duration / 1e6


@pytest.mark.parametrize(("container", "codec"), KINDS)
@pytest.mark.parametrize("play_fps", RATES)
def test_every_frame_has_its_time_and_the_last_its_whole(container, codec, play_fps):
    data = encode_video(make_frames(14, 64, 64), make_sheet(play_fps), container, codec)
    rate = float(read_fps(play_fps))
    spans, whole = measure(data)
    tolerance = 1e-6 if container == "mp4" else 0.00101  # Matroska counts milliseconds
    assert np.allclose([start for start, _ in spans], np.arange(14) / rate, atol=tolerance)
    assert spans[-1][1] == pytest.approx(14 / rate, abs=tolerance)
    assert whole == pytest.approx(14 / rate, abs=0.00101)


@pytest.mark.parametrize(("container", "codec"), KINDS)
@pytest.mark.parametrize("size", [(66, 64), (67, 101)])
def test_the_size_is_exact_or_grows_by_what_even_sides_need(container, codec, size):
    frames = decode(encode_video(make_frames(2, *size), make_sheet(), container, codec))
    grown = tuple(side + side % 2 for side in size) if codec == "h264" else size
    assert [frame.shape[:2] for frame in frames] == [grown, grown]


def test_a_thousand_by_568_stays_so():
    """diffusers rescales to multiples of 16: 1008x576."""
    assert decode(encode_video(make_frames(1, 568, 1000), make_sheet(), "mp4", "h264"))[0].shape == (568, 1000, 3)


def test_h264_repeats_the_last_row_and_column():
    frames = make_frames(2, 3, 5)
    even = make_even(frames)
    assert even.shape == (2, 4, 6, 3)
    assert np.array_equal(even[:, :3, :5], frames)
    assert np.array_equal(even[:, 3], even[:, 2]) and np.array_equal(even[:, :, 5], even[:, :, 4])
    assert make_even(make_frames(2, 4, 6)).shape == (2, 4, 6, 3)


@pytest.mark.parametrize(("container", "codec"), KINDS)
def test_colours_are_bt709_and_said_to_be(container, codec):
    """With BT.601, which is what scalers take unless told, green is off by 30 levels."""
    colours = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 90), (20, 60, 200)]
    frames = np.repeat(np.repeat(np.array(colours, np.uint8)[None, None], 64, axis=1), 64, axis=2)
    frames = np.concatenate([frames] * 3)
    data = encode_video(frames, make_sheet(quality=95), container, codec)
    with av.open(io.BytesIO(data)) as file:
        context = file.streams.video[0].codec_context
        shown = list(file.decode(video=0))[-1]
        told = (context.color_range, context.colorspace, context.color_primaries, context.color_trc, context.pix_fmt)
    assert told == (1, 1, 1, 1, "yuv420p")
    pixels = shown.to_ndarray(format="rgb24").astype(int)
    for number, colour in enumerate(colours):
        patch = pixels[16:48, 64 * number + 16 : 64 * number + 48]
        assert np.abs(patch - colour).max() <= 3, colour


def test_mp4_is_h264_high_with_its_index_first():
    data = encode_video(make_frames(14), make_sheet(), "mp4", "h264")
    names = [name for name, _, _ in list_atoms(data)]
    assert names.index(b"moov") < names.index(b"mdat")
    assert list_atoms(data)[-1][2] == len(data)
    with av.open(io.BytesIO(data)) as file:
        assert file.streams.video[0].codec_context.profile == "High"


def test_the_moved_index_still_points_at_the_pictures():
    frames = make_frames(14, 64, 96)
    found = decode(encode_video(frames, make_sheet(quality=95), "mp4", "h264"))
    assert len(found) == 14
    luma = [0.2126, 0.7152, 0.0722]  # chroma is halved, so that colour edges differ
    assert np.abs((np.stack(found) - frames.astype(float)) @ luma).mean() < 2


@pytest.mark.parametrize(("container", "codec"), KINDS)
def test_quality_costs_bytes_and_gives_fidelity(container, codec):
    frames = make_frames(5, 96, 128)
    frames += np.random.default_rng(0).integers(0, 12, frames.shape, np.uint8)
    sizes, errors = [], []
    for quality in (1, 30, 60, 80, 100):
        data = encode_video(frames, make_sheet(quality=quality), container, codec)
        sizes.append(len(data))
        errors.append(float(np.square(np.stack(decode(data)).astype(float) - frames).mean()))
    assert sizes == sorted(set(sizes))
    assert errors == sorted(set(errors), reverse=True)


@pytest.mark.parametrize(("container", "codec"), KINDS)
@pytest.mark.parametrize("count", [1, 2, 14])
def test_identical_frames_are_all_kept(container, codec, count):
    assert len(decode(encode_video(np.full((count, 64, 64, 3), 90, np.uint8), make_sheet(), container, codec))) == count


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc fills memory when asked to")
@pytest.mark.parametrize(
    "fillings", [("0", "200"), pytest.param(("0", "85", "200"), marks=pytest.mark.thorough("a third of the same"))]
)
def test_the_bytes_do_not_depend_on_what_memory_held_before(fillings):
    """x264's AVX-512 code reads memory that it did not write."""
    script = (
        "import hashlib, numpy as np; from clips import make_clip, make_frames; from pathlib import Path; import tempfile;"
        "place = Path(tempfile.mkdtemp()) / 'a.mp4'; make_clip(make_frames(14, 320, 576)).save(place);"
        "print(hashlib.sha256(place.read_bytes()).hexdigest())"
    )
    told = set()
    for filling in fillings:
        environment = {**os.environ, "MALLOC_PERTURB_": filling, "PYTHONPATH": os.pathsep.join(sys.path)}
        told.add(
            subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
        )
    assert len(told) == 1


def test_the_same_frames_give_the_same_bytes():
    frames = make_frames(5)
    first, second = (encode_video(frames, make_sheet(), "mp4", "h264") for _ in range(2))
    assert first == second


def test_encoders_say_nothing():
    """SVT-AV1 alone writes 30 lines of settings on standard error."""
    code = (
        "from clips import make_frames, make_sheet\n"
        "from unstill.formats.video import encode_video\n"
        f"for kind in {KINDS}: encode_video(make_frames(2, 64, 64), make_sheet(), *kind)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("SVT_LOG", None)  # what this process has set by now
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout + done.stderr == ""
