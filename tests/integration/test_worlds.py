"""recipe/worlds.py: pictures and their fields, tied to each other."""

import pytest
import torch
from recipe import people, things, water, weather, worlds
from recipe.dice import Dice
from recipe.photographs import SIDE_PX, Photographs, cut_out
from recipe.stage import Stage
from recipe.textures import Bank

from unstill.models.pocket.field import CHANNELS, FLOW, FLOWS, NEARNESS, SWAY, SWAYS, to_share

PICTURE, CELLS = (96, 160), (24, 40)


@pytest.fixture(scope="module")
def bank():
    return Bank(24, 64, seed=0)


@pytest.fixture(scope="module")
def photos():
    return Photographs(None)


@pytest.fixture(scope="module")
def scenes(bank, photos):
    return worlds.join([worlds.make_scenes(4, bank, photos, Dice.seeded(4, seed), PICTURE, CELLS) for seed in range(6)])


def set_up(bank, photos, count=3, seed=0):
    dice = Dice.seeded(count, seed)
    flat = torch.zeros(count, 1, 1)
    stage = Stage(dice, bank, photos, PICTURE, CELLS, flat - 0.05, grounded=True, detail=flat + 1, outline=flat)
    stage.add(weather.sky(stage))
    stage.add(weather.ground(stage, rough=True))
    return stage


def test_a_seed_is_a_world(bank, photos):
    first, again, other = (worlds.make_scenes(2, bank, photos, Dice.seeded(2, seed), PICTURE, CELLS) for seed in (5, 5, 6))
    assert torch.equal(first.picture_BCHW, again.picture_BCHW)
    assert torch.equal(first.field_BCHW, again.field_BCHW)
    assert not torch.equal(first.picture_BCHW, other.picture_BCHW)


def test_shapes(scenes):
    assert scenes.picture_BCHW.shape == (24, 3, *PICTURE)
    assert scenes.picture_BCHW.dtype == torch.uint8
    assert scenes.field_BCHW.shape == (24, CHANNELS, *CELLS)


def test_every_number_is_finite_and_shares_are_shares(scenes):
    assert bool(scenes.field_BCHW.isfinite().all())
    for channel in (FLOWS, SWAYS):
        assert float(scenes.field_BCHW[:, channel].min()) >= -1.001
        assert float(scenes.field_BCHW[:, channel].max()) <= 1.001


def test_pictures_hold_something(scenes):
    """No picture is flat, and no two are alike."""
    assert float(scenes.picture_BCHW.float().flatten(1).std(1).min()) > 5
    assert len({picture.numpy().tobytes() for picture in scenes.picture_BCHW}) == 24


def test_only_what_flows_or_sways_has_motion(scenes):
    for share, motion in ((FLOWS, FLOW), (SWAYS, SWAY)):
        still = scenes.field_BCHW[:, share] <= -1
        assert float(scenes.field_BCHW[:, motion].norm(dim=1)[still].max()) == 0
    assert 0.02 < float(to_share(scenes.field_BCHW[:, FLOWS]).mean()) < 0.6
    assert 0.02 < float(to_share(scenes.field_BCHW[:, SWAYS]).mean()) < 0.6


def test_depth_breaks_where_the_picture_does(scenes):
    """Edges of nearness lie on edges of their own picture more than on those of another one."""
    grey = scenes.picture_BCHW.float().mean(1)
    contrast = torch.nn.functional.adaptive_avg_pool2d(edges(grey), CELLS)
    breaks = edges(scenes.field_BCHW[:, NEARNESS])
    own, others = correlate(contrast, breaks), correlate(contrast.roll(1, 0), breaks)
    assert own > others + 0.05, (own, others)


RIGID = [things.solid, things.rock, things.cutting, things.vehicle, things.boat, things.poles, things.pier, things.building,
         people.lamp]  # fmt: skip
SWAYING = [things.tree, things.plant, things.stems, people.grass, people.flag, people.curtain]


@pytest.mark.parametrize("make", RIGID, ids=lambda make: make.__name__)
def test_rigid_things_neither_flow_nor_sway(bank, photos, make):
    stage = set_up(bank, photos)
    before = stage.picture()
    stage.add(make(stage, torch.full((3, 1, 1), 0.7)))
    assert float(stage.moves_BCHW.abs().max()) == 0
    assert not torch.equal(before, stage.picture())


@pytest.mark.parametrize("make", SWAYING, ids=lambda make: make.__name__)
def test_plants_and_cloth_sway_and_do_not_flow(bank, photos, make):
    stage = set_up(bank, photos)
    stage.add(make(stage, torch.full((3, 1, 1), 0.7)))
    assert float(stage.moves_BCHW[:, 3].amax()) > 0.5
    assert float(stage.moves_BCHW[:, :3].abs().max()) == 0


def test_a_face_is_rigid(bank, photos):
    """Of figures only long hair sways: less than half of what is there."""
    stage = set_up(bank, photos, count=8)
    layer = people.figure(stage, torch.full((8, 1, 1), 0.8))
    there, sways = layer.alpha_BHW.sum(), (layer.alpha_BHW * layer.sway.share).sum()
    assert float(there) > 0
    assert float(sways) < 0.5 * float(there)


def test_a_reflection_is_as_near_as_the_water_and_flows_with_it(bank, photos):
    stage = set_up(bank, photos)
    stage.add(water.lake(stage))
    near = stage.nearness_BHW.clone()
    layer = things.poles(stage, torch.full((3, 1, 1), 0.5))
    painted = stage.picture()
    water.add_reflection(stage, layer, things.stand_at(stage, torch.full((3, 1, 1), 0.5)))
    assert not torch.equal(painted, stage.picture())
    assert torch.allclose(stage.nearness_BHW, near, atol=0.02)


def test_streams_and_falls_flow(bank, photos):
    for make in (water.stream, lambda stage: weather.fall(stage, torch.full((3, 1, 1), 0.4))):
        stage = set_up(bank, photos)
        stage.add(make(stage))
        assert float(stage.moves_BCHW[:, 0].amax()) > 0.9


def test_photographs_are_cut_into_squares(tmp_path):
    image = pytest.importorskip("PIL.Image").new("RGBA", (300, 120), (10, 200, 30, 255))
    squares = cut_out(image, (0.0, 0.0, 1.0, 1.0), whole=False)
    assert [square.size for square in squares] == [(SIDE_PX, SIDE_PX)] * 3
    for number, square in enumerate(squares):
        square.save(tmp_path / f"leaf-{number}.webp", lossless=True)
    cut_out(image, (0, 0, 1, 1), whole=True)[0].save(tmp_path / "thing-0.webp", lossless=True)
    photos, dice = Photographs(tmp_path), Dice.seeded(2, 0)
    u, v = torch.linspace(-3, 3, 9)[None, None, :], torch.linspace(-1, 1, 5)[None, :, None]
    assert torch.allclose(photos.cover(dice, "leaf", u, v)[0, :, 2, 4], torch.tensor([10, 200, 30]) / 255, atol=0.01)
    colour, alpha = photos.cut(dice, "thing", u, v)
    assert colour.shape == (2, 3, 5, 9)
    assert float(alpha[0, 4, 4]) > 0.4  # things stand at the bottom of their square
    assert float(alpha[0, 0, 4]) == 0
    assert photos.has("leaf")
    assert not photos.has("cloud")


def edges(x):
    """Return the sum of absolute differences to the right and downward, at the same size."""
    right = torch.nn.functional.pad(x.diff(dim=-1).abs(), (0, 1))
    down = torch.nn.functional.pad(x.diff(dim=-2).abs(), (0, 0, 0, 1))
    return right + down


def correlate(a_BHW, b_BHW):
    """Return the mean correlation of pictures over their cells."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a_BHW, b_BHW))
    return float(((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6)).mean())
