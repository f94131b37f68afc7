"""measure/scars.py, doubles.py and lines.py: what the first frame does not explain is found, and named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from broken import AROUND, FAULTS, make_broken, read
from films import grain, places, travel
from unstill.artifacts import Scar
from unstill.measure.clip import measure_clip, to_frames
from unstill.measure.flow import follow, shrink, trace, track
from unstill.measure.lines import find_lines, measure_bends
from unstill.measure.scars import find_known, fit_whole
from unstill.measure.verdicts import SCARS, judge, judge_asked

pytestmark = pytest.mark.slow  # clips are made and looked at: a second each
TORN = sorted((Path(__file__).parents[1] / "data" / "torn").glob("*.webp"))
PICTURE = Path(__file__).parents[2] / "examples" / "harbour.jpg"


@pytest.fixture(scope="module")
def clips():
    with Image.open(PICTURE) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((896, 504)))
    return dict(make_broken(torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255, seed=3))


@pytest.fixture(scope="module")
def good():
    return replace(measure_clip(travel(grain(size=(144, 256)), 3, pan=(1.0, 0.0))), scars=())


def scarred(found) -> set[str]:
    return {verdict.name for verdict in judge(found)} & set(SCARS)


@pytest.mark.parametrize("path", TORN, ids=lambda path: path.stem)
def test_clips_that_were_torn_are_called_so(path):
    """First and last frames of clips that an earlier renderer made, each with a crack or a shard in it."""
    with Image.open(path) as film:
        frames = []
        for number in range(film.n_frames):
            film.seek(number)
            frames.append(np.asarray(film.convert("RGB")))
    assert scarred(measure_clip(to_frames(torch.from_numpy(np.stack(frames))))) & {"torn", "filled", "ghost"}


def test_all_torn_clips_are_there():
    assert len(TORN) == 6


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_clip_gets_its_verdict_with_frame_and_place(name, clips):
    verdicts = {verdict.name: verdict for verdict in judge(measure_clip(to_frames(clips[name].frames_FHWC)))}
    assert clips[name].verdict in verdicts
    verdict = verdicts[clips[name].verdict]
    assert verdict.frame > 3
    left, top, right, bottom = verdict.box
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1


def test_a_whole_clip_gets_none(clips):
    """What something near uncovers as it passes is often called torn (docs/howto/check-a-clip.md), and left out here."""
    whole = {name: clip for name, clip in clips.items() if clip.verdict is None and name != "parallax"}
    assert len(whole) == 5
    for name, clip in whole.items():
        assert scarred(measure_clip(to_frames(clip.frames_FHWC))) == set(), name


def test_a_late_frame_is_traced_to_the_first():
    film = travel(grain(size=(288, 512)), 7, pan=(5.0, -2.0))
    small = shrink(film)
    way = trace(small, track(small), [3, 6])
    inner = way[:, :, 60:-60, 80:-80].mean((2, 3))
    assert inner[0].tolist() == pytest.approx([-15.0, 6.0], abs=0.1)
    assert inner[1].tolist() == pytest.approx([-30.0, 12.0], abs=0.1)
    known = find_known(way)
    assert not bool(known[1, :, :30].any()), "what came in at the left was not in the first frame"
    assert bool(known[1, 100:200, 100:400].all())


def test_points_are_followed_to_the_last_frame():
    film = travel(grain(size=(288, 512)), 5, pan=(4.0, 2.0))
    ((x, y),) = follow(track(shrink(film)), [(0.5, 0.5)])
    assert (x, y) == (pytest.approx(16 / 512, rel=0.03), pytest.approx(8 / 288, rel=0.03))


def test_the_whole_frames_movement_is_fitted_past_a_thing_that_moves_otherwise():
    way = torch.zeros(1, 2, 100, 160)
    way[:, 0] = 4.0
    way[:, 0, 30:60, 30:70] = -6.0
    plane = fit_whole(way, torch.rand(1, 3, 100, 160, generator=torch.Generator().manual_seed(0)))
    assert float((plane[:, 0] - 4).abs().max()) < 0.3
    assert float(plane[:, 1].abs().max()) < 0.1


@pytest.mark.parametrize("high", [0.0, 5.0])
def test_a_pole_that_bends_is_told_from_one_that_does_not(high):
    x, y = places((216, 384))
    first = (0.3 + 0.5 * (3.5 - x.abs()).clamp(0, 1) + 0.02 * grain(2, (216, 384))[0]).expand(3, -1, -1)
    hump = high * torch.exp(-(y**2) / 800)
    way = torch.stack([-hump, torch.zeros_like(hump)])
    late = read(first, torch.stack([x, y]) + way)
    off_px = float(measure_bends(find_lines(first), late, way).off_L.max())
    assert off_px > SCARS["bent"][0] if high else off_px < SCARS["bent"][0] / 4


def test_lines_that_noise_seems_to_have_do_not_bend():
    picture = grain(4, AROUND)
    bends = measure_bends(find_lines(picture), read(picture, places(AROUND) - 3.0), torch.full((2, *AROUND), -3.0))
    assert float(bends.off_L.max()) < SCARS["bent"][0]


def test_a_picture_of_one_colour_has_no_lines():
    assert len(find_lines(torch.full((3, *AROUND), 0.5)).edge_L) == 0


@pytest.mark.parametrize("kind", SCARS)
def test_each_scar_beyond_its_threshold_is_a_verdict(kind, good):
    least, box = SCARS[kind][0], (0.0, 0.7, 0.2, 0.9)
    (verdict,) = judge(replace(good, scars=(Scar(kind, least * 1.1, 9, box),)))
    assert (verdict.name, verdict.frame, verdict.box) == (kind, 9, box)
    assert "bottom left" in verdict.text
    assert judge(replace(good, scars=(Scar(kind, least * 0.9, 9, box),))) == ()


@pytest.mark.parametrize(
    ("asked", "found", "other", "names"),
    [
        ("auto", "left", None, []),
        ("push", "push", None, []),
        ("push", "zoom", "push", []),
        ("orbit", "left", "orbit", []),
        ("orbit", "left", None, ["camera"]),
        ("still", "right", None, ["camera"]),
        ("push 60%, left 40%", "left", None, []),
        ("push 60%, left 40%", "roll", None, ["camera"]),
    ],
)
def test_the_camera_is_compared_with_what_was_asked(asked, found, other, names, good):
    verdicts = judge_asked(replace(good, camera=found, camera_or=other, motion_px=2.0, static_share=0.0), asked)
    assert [verdict.name for verdict in verdicts] == names


def test_a_clip_that_stands_still_is_told_so_once(good):
    assert judge_asked(replace(good, camera="still", camera_or=None, motion_px=0.05, static_share=1.0), "push") == ()


@pytest.mark.parametrize(
    ("gone", "names"), [((0.14, 0.0), []), ((0.02, 0.1), ["move"]), ((-0.1, 0.0), ["move"]), ((0.06, -0.03), [])]
)
def test_an_arrow_is_compared_with_where_the_thing_went(gone, names, good):
    verdicts = judge_asked(replace(good, moved=(gone,)), "auto", [(0.15, 0.0)])
    assert [verdict.name for verdict in verdicts] == names
