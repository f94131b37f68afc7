"""measure/clip.py and measure/verdicts.py: clips whose faults are known are measured and judged right."""

import dataclasses
import functools

import pytest
import torch

from faults import Known, make_clips
from films import disc, grain, pair, similar, travel
from unstill.artifacts import Measures
from unstill.measure.clip import measure_clip
from unstill.measure.verdicts import describe_motion, judge

NAMES = (
    "pan", "zoom", "roll", "object", "still", "jerky", "flicker", "flicker, alternating", "flash", "seams", "fade in", "fade out",
    "frames repeated", "frozen half way", "cut", "black frames", "colour lost", "contrast lost", "soft", "black border",
)  # fmt: skip
TOO_FINE = ("object",)  # flow reaches some px beyond its edge: at the small size a quarter of its area


@pytest.fixture(scope="module")
def small_clips() -> dict[str, Known]:
    return make_clips(grain(3, (240, 400)), frames=17)


@pytest.fixture(scope="module")
def clips() -> dict[str, Known]:
    return make_clips(grain(3))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in TOO_FINE])
def test_every_fault_is_named_and_measured_within_five_percent(name, small_clips):
    assert_known(small_clips[name])


@pytest.mark.thorough("the same clips, shorter and smaller, are measured in two fifths of the time")
@pytest.mark.parametrize("name", NAMES)
def test_every_fault_is_named_at_full_size(name, clips):
    assert_known(clips[name])


def assert_known(known: Known) -> None:
    found = measure_clip(known.frames_FCHW)
    assert [verdict.name for verdict in judge(found)] == ([known.verdict] if known.verdict else [])
    for measure, truth in known.truth.items():
        value = getattr(found, measure)
        assert value == truth if isinstance(truth, (str, tuple)) else value == pytest.approx(truth, rel=0.05, abs=0.02), measure


@pytest.mark.slow
def test_all_kinds_of_clips_are_tested(small_clips):
    assert sorted(small_clips) == sorted(NAMES)


@functools.cache
def measure_good() -> Measures:
    return measure_clip(travel(grain(size=(144, 256)), 6, pan=(0.5, 0.0)))


def changed(**numbers) -> Measures:
    return dataclasses.replace(measure_good(), **numbers)


def test_a_clean_pan_has_no_fault():
    assert judge(measure_good()) == ()


@pytest.mark.slow
def test_a_thing_that_passes_is_measured_and_is_not_the_camera():
    frames, way = disc(grain(3), grain(5), 5, radius_px=150)
    found = measure_clip(frames)
    assert (found.camera, found.motion_px) == ("still", pytest.approx(float(way.norm(dim=0).mean()), rel=0.05))
    assert judge(found) == ()


@pytest.mark.parametrize(
    ("numbers", "name", "cure"),
    [
        ({"motion_px": 0.1, "static_share": 1.0}, "still", "--fix-still"),
        ({"repeats": 3}, "frozen", "lost"),
        ({"black_frames": 2}, "black", "fp32"),
        ({"motion_spread_px": 3.0}, "jerky", "seed"),
        ({"cuts": (13,)}, "cut", "each part"),
        ({"seam_every": 8, "seam_greys": 2.0}, "seams", "chunks"),
        ({"flash_greys": 9.0}, "flash", "seed"),
        ({"flicker_greys": 2.0, "alternates": -0.9}, "flicker", "fp32"),
        ({"flicker_greys": 2.0, "alternates": 0.0}, "flicker", "steps"),
        ({"local_flicker_greys": 3.0}, "flicker", "motion"),
        ({"fade_greys": 4.0, "curves": {"motion_px": (1.0,) * 5, "light_greys": (100.0, 120.0)}}, "fade", "guidance"),
        ({"sharpness": 0.3}, "soft", "noise"),
        ({"saturation": 1.5}, "colour", "guidance"),
        ({"contrast": 0.7}, "colour", "guidance"),
        ({"band_percent": 5.0}, "bands", "motion"),
        ({"fidelity_db": 9.0}, "strange", "noise"),
    ],
)
def test_each_number_has_its_verdict_and_a_cure(numbers, name, cure):
    verdicts = judge(changed(**numbers))
    assert [verdict.name for verdict in verdicts] == [name]
    assert cure in verdicts[0].cure


def test_a_push_in_is_not_called_soft_for_being_larger():
    pushed = {"zoom_percent": 1.0, "sharpness": 0.45, "curves": {"motion_px": (1.0,) * 24}}
    assert judge(changed(**pushed)) == ()
    assert [verdict.name for verdict in judge(changed(**{**pushed, "sharpness": 0.1}))] == ["soft"]


@pytest.mark.slow
def test_a_scene_of_level_layers_has_no_bands():
    """A sky, hills and water: from column to column little changes, and when a house leaves the frame even less."""
    layers = torch.linspace(0.2, 0.9, 288)[:, None].expand(288, 512) + 0.1 * (torch.arange(288)[:, None] % 40 < 20)
    scene = layers.expand(3, -1, -1).clone()
    scene[:, 120:200, 20:60] = grain(2, (80, 40))
    scene[:, :, 300:] = 0.5 * scene[:, :, 300:] + 0.5 * grain(4, (288, 212))
    assert judge(measure_clip(travel(scene, 12, pan=(-4.0, 0.0))[..., :440])) == ()


def test_a_thing_that_moves_alone_is_no_still():
    assert judge(changed(motion_px=0.2, static_share=0.9)) == ()


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"camera": "left", "camera_px": 1.2, "motion_px": 1.2}, "moves like a slow pan to the left: 1.2 px/frame (asked)"),
        ({"camera": "push", "camera_px": 2, "motion_px": 2}, "moves like a push in: 2.0 px/frame (asked)"),
        ({"camera": "roll", "camera_px": 9, "motion_px": 9}, "moves like a fast roll of the camera: 9.0 px/frame (asked)"),
        (
            {"camera": "left", "camera_or": "orbit", "camera_px": 2, "motion_px": 2},
            "moves like a pan to the left, or a walk around the scene: 2.0 px/frame (asked)",
        ),
        (
            {"camera": "still", "camera_px": 0.1, "objects_px": 1, "motion_px": 1, "static_share": 0.7},
            "things move before a still camera, in 30% of the frame: 1.0 px/frame (asked)",
        ),
        (
            {"camera": "still", "camera_px": 0.5, "objects_px": 0.1, "motion_px": 0.6, "static_share": 0.2},
            "drifts a little, no one way: 0.6 px/frame (asked)",
        ),
        (
            {"camera": "up", "camera_px": 0.5, "objects_px": 1, "motion_px": 1, "static_share": 0.2},
            "things move before a tilt upward, in 80% of the frame: 1.0 px/frame (asked)",
        ),
        ({"motion_px": 0.02, "static_share": 1.0}, "stands still: 0.02 px/frame (asked)"),
    ],
)
def test_motion_is_told_in_a_sentence(numbers, words):
    assert describe_motion(changed(**{"objects_px": 0.0, "camera_or": None, **numbers}), "asked") == words


@pytest.mark.parametrize(
    ("numbers", "usual", "often"),
    [
        (
            {"camera": "left", "camera_px": 0.2, "motion_px": 0.2},
            "stands still: 0.20",
            "moves like a slow pan to the left: 0.2",
        ),
        ({"camera": "still", "camera_px": 0.1, "motion_px": 0.1}, "stands still: 0.10", "drifts a little, no one way: 0.1"),
        ({"camera": "still", "camera_px": 0.0, "motion_px": 0.01}, "stands still: 0.01", "stands still: 0.01"),
        ({"camera": "push", "camera_px": 2, "motion_px": 2, "static_share": 0}, "moves like a push", "moves like a fast push"),
    ],
)
def test_frames_that_come_four_times_as_often_may_each_move_less(numbers, usual, often):
    found = changed(**{"objects_px": 0.0, "camera_or": None, "static_share": 1.0, **numbers})
    assert describe_motion(found, "", 7.0).startswith(usual)
    assert describe_motion(found, "", 28.0).startswith(often)
    for fps in (7.0, 28.0):
        is_told_still = describe_motion(found, "", fps).startswith("stands still")
        assert is_told_still == ("still" in {verdict.name for verdict in judge(found, fps)}), "sentence and verdict agree"


@pytest.mark.slow
def test_a_thing_of_rich_texture_before_plain_ground_is_not_taken_for_the_camera():
    """It has most of what can be followed, and plain ground hardly tells that it is not moved."""
    ground = 0.3 + 0.5 * torch.linspace(0, 1, 512).expand(3, 288, 512)
    house = grain(2, (288, 512))
    ground = torch.cat([ground[:, :, :440], house[:, :, 440:]], 2)
    frames = []
    for number in range(4):
        frame = ground.clone()
        frame[:, 100:190, 60 + 3 * number : 150 + 3 * number] = grain(4, (90, 90))
        frames.append(frame)
    found = measure_clip(torch.stack(frames))
    assert (found.camera, found.camera_px) == ("still", 0.0)
    assert found.motion_px == pytest.approx(6 * 90 * 90 / (288 * 512), rel=0.25)


def test_two_frames_are_enough_and_small_clips_are_measured_at_their_size():
    clip = travel(grain(size=(144, 256)), 2, pan=(1.0, 0.0))
    found = measure_clip(clip, clip[0])
    assert found.fidelity_db == 99.0
    assert found.pan_x_px == pytest.approx(4.0, rel=0.05)  # of 1024x576
    assert {len(curve) for curve in found.curves.values()} == {1, 2}


@pytest.mark.slow
def test_grey_clips_lose_no_colour():
    grey = travel(grain(size=(144, 256)).mean(0, keepdim=True).expand(3, -1, -1), 4, pan=(1.0, 0.0))
    cast = torch.linspace(0.3, 3.0, 4)[:, None] / 255
    for clip in (grey, torch.stack([grey[:, 0] + cast[:, :, None], grey[:, 1], grey[:, 2]], 1)):
        found = measure_clip(clip)
        assert found.saturation == 1.0
        assert judge(found) == ()


@pytest.mark.parametrize("size", [(2, 4000), (4000, 8), (3, 3), (64, 64)])
def test_plain_and_narrow_clips_are_measured_without_nonsense(size):
    found = measure_clip(torch.full((3, 3, *size), 0.4))
    assert [verdict.name for verdict in judge(found)] == ["still"]
    assert found.sharpness == found.contrast == found.saturation == 1.0


def test_bytes_are_measured_as_what_they_stand_for():
    clip = travel(grain(size=(144, 256)), 3, pan=(1.0, 0.0))
    pixels = (clip * 255).round().byte()
    assert measure_clip(pixels).motion_px == pytest.approx(measure_clip(pixels.float() / 255).motion_px)


def test_a_roll_has_its_sign():
    picture = grain(size=(288, 512))
    assert measure_clip(pair(picture, similar(roll_degrees=0.5, size=(288, 512)))).roll_degrees == pytest.approx(0.5, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [lambda frame: torch.ones_like(frame), lambda frame: 0.3 * frame + 0.7])
def test_a_frame_that_is_gone_for_a_moment_is_no_cut(bad):
    film = travel(grain(size=(288, 512)), 7, pan=(2.0, 0.0))
    film[4] = bad(film[4])
    found = measure_clip(film)
    assert found.cuts == ()
    assert {"flicker", "flash"} & {verdict.name for verdict in judge(found)}
