"""measure/motion.py: how much moves, and how the camera goes."""

from dataclasses import replace

import pytest
import torch
from recipe import motion as recipe
from recipe.dice import Dice

from films import disc, grain, pair, places, similar, travel
from unstill.measure.flow import Flow, shrink, track
from unstill.measure.motion import fit_camera, measure_motion_px, measure_static_share, name_camera, settle

PIXEL_PX = (2.0, 2.0)


def look(frames):
    small = shrink(frames)
    flow = track(small)
    return settle(flow, fit_camera(flow), small)


def whole(way_CHW):
    """Take a known way for a flow that is trusted everywhere."""
    flow = torch.nn.functional.avg_pool2d(way_CHW[None], 4)
    return Flow(flow, torch.ones_like(flow[:, 0]), PIXEL_PX)


@pytest.mark.parametrize(
    ("pan", "zoom", "roll"),
    [
        pytest.param((0.5, 0.0), 0, 0, marks=pytest.mark.slow),
        pytest.param((12.0, -3.0), 0, 0, marks=pytest.mark.slow),
        pytest.param((0.0, 0.0), 1, 0, marks=pytest.mark.slow),
        pytest.param((0.0, 0.0), -1, 0, marks=pytest.mark.slow),
        pytest.param((0.0, 0.0), 0, 1, marks=pytest.mark.slow),
        ((4.0, 2.0), 0.8, -0.6),
    ],
)
def test_a_camera_is_taken_apart(pan, zoom, roll):
    way = similar(pan, zoom, roll)
    flow, camera = look(pair(grain(), way))
    assert float(camera.pan_x_px_P) == pytest.approx(pan[0], rel=0.02, abs=0.03)
    assert float(camera.pan_y_px_P) == pytest.approx(pan[1], rel=0.02, abs=0.03)
    assert float(camera.zoom_percent_P) == pytest.approx(zoom, rel=0.03, abs=0.02)
    assert float(camera.roll_degrees_P) == pytest.approx(roll, rel=0.03, abs=0.02)
    assert float(camera.objects_px_P) < 0.15
    assert float(measure_motion_px(flow, camera)) == pytest.approx(float(way.norm(dim=0).mean()), rel=0.03)


@pytest.mark.slow
def test_places_that_cannot_be_seen_count_with_the_camera():
    """Only the middle has texture; the whole picture zooms."""
    picture, way = grain().clone(), similar(zoom_percent=1)
    picture[:, :, :300], picture[:, :, 724:] = 0.5, 0.5
    flow, camera = look(pair(picture, way))
    assert float(measure_motion_px(flow, camera)) == pytest.approx(float(way.norm(dim=0).mean()), rel=0.05)


@pytest.mark.parametrize("step_px", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_an_object_is_not_the_camera(step_px):
    """Flow reaches some 6 px beyond the object's edge, an eighth of this disc's area, and is taken back by the light there."""
    frames, way = disc(grain(), grain(2), step_px)
    flow, camera = look(frames)
    truth = float(way.norm(dim=0).mean())
    assert float(torch.hypot(camera.pan_x_px_P, camera.pan_y_px_P)) < 0.03
    assert float(camera.objects_px_P) == pytest.approx(truth, rel=0.05)
    assert float(measure_motion_px(flow, camera)) == pytest.approx(truth, rel=0.05)
    assert float(measure_static_share(flow, camera)) == pytest.approx(float((way[0] == 0).float().mean()), abs=0.03)
    assert name_camera(flow, camera).word == "still"


def test_an_object_before_a_moving_camera_is_left_over():
    """It covers a third of the picture."""
    way = similar((6.0, 0.0))
    x, y = places()
    way[0] = torch.where((x.abs() < 300) & (y.abs() < 170), -2.0, way[0])
    camera = fit_camera(whole(way))
    assert float(camera.pan_x_px_P) == pytest.approx(6, rel=0.02)
    assert float(camera.objects_px_P) == pytest.approx(8 * float((way[0] < 0).float().mean()), rel=0.05)


def test_a_frozen_clip_is_static():
    flow, camera = look(grain()[None].repeat(2, 1, 1, 1))
    assert measure_static_share(flow, camera).tolist() == [1]
    assert float(measure_motion_px(flow, camera).max()) < 1e-3
    assert name_camera(flow, camera).word == "still"


def test_nothing_to_see_gives_zeros():
    flow, camera = look(torch.full((2, 3, 288, 512), 0.4))
    assert float(measure_motion_px(flow, camera)) == pytest.approx(0, abs=1e-3)
    assert float(camera.zoom_percent_P) == pytest.approx(0, abs=1e-3)
    assert name_camera(flow, camera).word == "still"


@pytest.mark.parametrize(
    ("word", "film"),
    [
        ("left", {"pan": (3.0, 0.0)}),
        pytest.param("right", {"pan": (-3.0, 0.5)}, marks=pytest.mark.slow),
        pytest.param("up", {"pan": (0.4, 3.0)}, marks=pytest.mark.slow),
        pytest.param("down", {"pan": (0.0, -3.0)}, marks=pytest.mark.slow),
        ("zoom", {"zoom_percent": 0.8}),
        pytest.param("pull", {"zoom_percent": -0.8}, marks=pytest.mark.slow),
        ("still", {}),
    ],
)
def test_a_clip_gets_its_word(word, film):
    found = name_camera(*look(travel(grain(), 2, **film)))
    assert (found.word, found.other) == (word, "push" if word == "zoom" else None)


def test_a_turn_is_called_roll():
    found = name_camera(*look(pair(grain(), similar(roll_degrees=-0.5))))
    assert (found.word, found.other) == ("roll", None)


@pytest.mark.slow
def test_between_two_words_both_are_told():
    found = name_camera(*look(pair(grain(), similar((3.0, -2.6)))))
    assert (found.word, found.other) == ("left", "down")


@pytest.mark.slow
@pytest.mark.parametrize("ground", [True, False])
def test_words_mean_what_they_mean_in_the_worlds_of_the_recipe(ground):
    """Before a receding ground every word is found; before a wall an orbit looks like a walk, and so it is told."""
    dice = Dice.seeded(48, 3)
    last_B = torch.full((48,), 24.0)
    times = recipe.Times(torch.full((48, 1), 2.0), last_B, last_B / 3, torch.full((48, 1, 1), 5 / 1024))
    x, y = places((144, 256)) / 256
    near = (0.45 + 1.2 * y if ground else torch.full_like(y, 0.4))[None].expand(48, -1, -1)
    camera = recipe.draw_camera(dice, times, recipe.Depth(*(torch.full((48, 1, 1), near) for near in (0.4, 0.4))))
    camera = replace(camera, shake=camera.shake * 0)
    gone = camera.see(x[None, None], y[None, None], near[:, None], times)[:, 0] - torch.stack([x, y])
    checked = 0
    for word_id, way in zip(camera.word_B.tolist(), gone * 1024 / 2, strict=True):
        word = recipe.WORDS[int(word_id)]
        flow = Flow(way[None], torch.ones_like(way[:1]), PIXEL_PX)
        found = name_camera(flow, fit_camera(flow))
        if word in ("auto", "still") or found.motion_px < 0.5:
            continue
        if word == "orbit" and not ground:
            continue
        assert word in (found.word, found.other), (word, found)
        checked += 1
    assert checked > 15
