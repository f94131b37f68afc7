"""recipe/worlds.py: pictures and what moves in them, tied to each other."""

import pytest
import torch
from recipe import worlds
from recipe.dice import Dice
from recipe.textures import Bank

PICTURE, CELLS = (144, 256), (18, 32)


@pytest.fixture(scope="module")
def bank():
    return Bank(32, 128, seed=0)


@pytest.fixture(scope="module")
def scenes(bank):
    return worlds.join([worlds.make_scenes(8, bank, Dice.seeded(8, seed), PICTURE, CELLS) for seed in range(4)])


def test_a_seed_is_a_world(bank):
    first, again, other = (worlds.make_scenes(3, bank, Dice.seeded(3, seed), PICTURE, CELLS) for seed in (5, 5, 6))
    assert torch.equal(first.picture_BCHW, again.picture_BCHW)
    assert torch.equal(first.velocity_BMTCHW, again.velocity_BMTCHW)
    assert not torch.equal(first.picture_BCHW, other.picture_BCHW)


def test_shapes(scenes):
    assert scenes.picture_BCHW.shape == (32, 3, *PICTURE)
    assert scenes.picture_BCHW.dtype == torch.uint8
    assert scenes.order_BHW.shape == (32, *CELLS)
    assert scenes.velocity_BMTCHW.shape == (32, worlds.CLIPS, worlds.KEYS, 2, *CELLS)


def test_every_number_is_finite(scenes):
    assert bool(scenes.velocity_BMTCHW.isfinite().all())
    assert bool(scenes.order_BHW.isfinite().all())
    assert bool((scenes.speed_px_BM >= 0).all())


def test_pictures_hold_something(scenes):
    """No picture is flat, and no two are alike."""
    spread = scenes.picture_BCHW.float().flatten(1).std(1)
    assert float(spread.min()) > 5
    assert len({picture.numpy().tobytes() for picture in scenes.picture_BCHW}) == 32


def test_two_clips_of_a_picture_move_differently(scenes):
    first, second = scenes.velocity_BMTCHW[:, 0], scenes.velocity_BMTCHW[:, 1]
    assert float((first - second).abs().mean()) > 0.1


def test_motion_and_speed_are_each_others_inverse():
    motion = torch.arange(0.0, 256)
    assert torch.allclose(worlds.motion_of(worlds.speed_of(motion)), motion, atol=1e-2)


def test_motion_breaks_where_the_picture_does(scenes):
    """Edges of the field lie on edges of their own picture more than on those of another one."""
    grey = scenes.picture_BCHW.float().mean(1)
    contrast = torch.nn.functional.adaptive_avg_pool2d(edges(grey), CELLS)
    breaks = edges(scenes.velocity_BMTCHW[:, 0, -1]).mean(1)
    own = correlate(contrast, breaks)
    others = correlate(contrast.roll(1, 0), breaks)
    assert own > others + 0.1, (own, others)


def edges(x):
    """Sum the absolute differences to the right and downward, at the same size."""
    right = torch.nn.functional.pad(x.diff(dim=-1).abs(), (0, 1))
    down = torch.nn.functional.pad(x.diff(dim=-2).abs(), (0, 0, 0, 1))
    return right + down


def correlate(a_BHW, b_BHW):
    """Return the mean correlation of pictures over their cells."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a_BHW, b_BHW))
    return float(((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6)).mean())
