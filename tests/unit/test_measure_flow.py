"""measure/flow.py: flow agrees with known motion, and is trusted only where it can be seen."""

import pytest
import torch

from films import SIZE, disc, grain, pair, similar
from unstill.measure.flow import shrink, track


def follow(frames):
    return track(shrink(frames))


def seen_mean(values_PHW, flow):
    return float((values_PHW * flow.confidence_PHW).sum() / flow.confidence_PHW.sum())


@pytest.mark.parametrize("step_px", [0.5, *(pytest.param(px, marks=pytest.mark.slow) for px in (1.0, 3.0, 6.5, 12.0)), 25.0])
def test_a_pan_is_measured_within_three_percent(step_px):
    flow = follow(pair(grain(), similar((step_px * 0.8, -step_px * 0.6))))
    assert seen_mean(flow.flow_PCHW.norm(dim=1), flow) == pytest.approx(step_px, rel=0.03)
    assert seen_mean(flow.flow_PCHW[:, 0], flow) == pytest.approx(step_px * 0.8, rel=0.02, abs=0.03)
    assert seen_mean(flow.flow_PCHW[:, 1], flow) == pytest.approx(-step_px * 0.6, rel=0.02, abs=0.03)


@pytest.mark.parametrize("turned", [{"zoom_percent": 1}, {"zoom_percent": -1}, {"roll_degrees": 1}], ids=["in", "out", "roll"])
def test_zoom_and_roll_are_followed_everywhere(turned):
    way = similar(**turned)
    flow = follow(pair(grain(), way))
    truth = torch.nn.functional.avg_pool2d(way[None], 4)
    assert seen_mean((flow.flow_PCHW - truth).norm(dim=1), flow) < 0.15


@pytest.mark.parametrize("step_px", [2, pytest.param(4, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)])
def test_a_disc_moves_and_what_is_behind_it_does_not(step_px):
    frames, way = disc(grain(), grain(2), step_px)
    flow = follow(frames)
    inside = torch.nn.functional.avg_pool2d(way[:1] / step_px, 4) > 0.999
    speed = flow.flow_PCHW.norm(dim=1)
    assert float(speed[inside].mean()) == pytest.approx(step_px, rel=0.05)
    far = torch.ones_like(inside)
    far[:, 40:130, 60:160] = False
    assert float(speed[far].mean()) < 0.02


@pytest.mark.parametrize(
    "size",
    [(288, 512), (300, 500), *(pytest.param(size, marks=pytest.mark.slow) for size in ((576, 1024), (1024, 576), (768, 1024)))],
)
def test_motion_is_told_at_the_size_of_1024x576(size):
    """A step of 1 % of the side means the same in every size of one shape."""
    unit = (1024 * 576 / (size[0] * size[1])) ** 0.5
    flow = follow(pair(grain(3, size), similar((4 / unit, 2 / unit), size=size)))
    assert seen_mean(flow.flow_PCHW[:, 0], flow) == pytest.approx(4, rel=0.03)
    assert seen_mean(flow.flow_PCHW[:, 1], flow) == pytest.approx(2, rel=0.03)


def test_the_same_frame_twice_does_not_move():
    flow = follow(grain()[None].repeat(2, 1, 1, 1))
    assert flow.flow_PCHW.shape == (1, 2, 144, 256)
    assert float(flow.flow_PCHW.abs().max()) < 1e-3


def test_a_change_of_light_is_not_motion():
    frames = pair(grain() * 0.8 + 0.1, similar((2.0, 0.0)))
    frames[1] = frames[1] + 8 / 255
    flow = follow(frames)
    assert seen_mean(flow.flow_PCHW[:, 0], flow) == pytest.approx(2, rel=0.03)


def test_a_plain_place_is_not_trusted():
    picture = grain().clone()
    picture[:, :, 512:] = 0.5
    trust = follow(pair(picture, similar((3.0, 0.0)))).confidence_PHW[0]
    assert float(trust[:, 10:110].mean()) > 0.7
    assert float(trust[:, 146:].max()) < 0.01


def test_what_leaves_the_frame_is_not_trusted():
    trust = follow(pair(grain(), similar((40.0, 0.0)))).confidence_PHW[0]
    assert float(trust[:, -9:].max()) == 0
    assert float(trust[:, 60:200].mean()) > 0.7


def test_frames_of_one_colour_give_finite_numbers_that_are_not_trusted():
    flow = follow(torch.full((2, 3, *SIZE), 0.3))
    assert bool(flow.flow_PCHW.isfinite().all())
    assert float(flow.confidence_PHW.max()) < 1e-6


@pytest.mark.slow
def test_a_cut_is_hardly_trusted():
    trust = follow(torch.stack([grain(), grain(9)])).confidence_PHW
    assert float(trust.mean()) < 0.15
