"""Scenes by the dozen: a picture, and for every cell how near it is, whether it flows or sways, and how.

It does not know of networks, noise or training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe import people, photographs, textures, things, water, weather
from recipe.dice import Dice
from recipe.photographs import Photographs
from recipe.stage import Layer, Stage
from recipe.textures import Bank
from unstill.models.pocket.field import normalise

ORDER_MIDDLE, ORDER_SPREAD = 0.4, 0.35  # bring nearness to about zero mean and unit spread
COLOURS = ("any", "stone", "leaf", "sky", "wood", "water")  # of a backdrop

Maker = Callable[[Stage, Tensor], Layer]


@dataclass(frozen=True, eq=False)
class Scenes:
    """Pictures and the fields that go with them."""

    picture_BCHW: Tensor  # uint8
    field_BCHW: Tensor  # the seven channels of unstill.models.pocket.field


def join(parts: list[Scenes]) -> Scenes:
    """Return all scenes of one shape in one."""
    return Scenes(torch.cat([part.picture_BCHW for part in parts]), torch.cat([part.field_BCHW for part in parts]))


def make_scenes(
    count: int, bank: Bank, photos: Photographs, dice: Dice, size: tuple[int, int], cells: tuple[int, int]
) -> Scenes:
    """Paint that many scenes that share a cast but nothing else."""
    kind = dice.coins.choices(tuple(PLACES), weights=(6, 2, 2))[0]
    stage = Stage(
        dice=dice, bank=bank, photographs=photos, size=size, cells=cells, grounded=kind != "wall",
        horizon=dice.uniform(-0.18, 0.14), detail=1 - dice.chance(0.15) * dice.uniform(0.6, 1.0),
        outline=dice.chance(0.12) * dice.uniform(0.5, 1),
    )  # fmt: skip
    PLACES[kind](stage)
    return Scenes((finish(dice, stage.picture()) * 255).round().to(torch.uint8), read(stage))


def read(stage: Stage) -> Tensor:
    """Return the field that the finished stage shows, [B, 7, h, w]."""
    assert stage.moves_BCHW is not None
    order = (stage.nearness_BHW - ORDER_MIDDLE) / ORDER_SPREAD
    moves = F.adaptive_avg_pool2d(stage.moves_BCHW, stage.cells)
    flows, sways = moves[:, 0], moves[:, 3]
    # Vectors are times the share: where half of a cell flows, at half the speed.
    flow, sway = normalise(moves[:, 1:3], flows), normalise(moves[:, 4:6], sways)
    return torch.cat([torch.stack([order, 2 * flows - 1, 2 * sways - 1], dim=1), flow, sway], dim=1)


def finish(dice: Dice, picture: Tensor) -> Tensor:
    """Develop the picture: blur, exposure, contrast, cast, vignette, grain, now and then no colour."""
    x, y = (
        torch.linspace(-1, 1, picture.shape[3], device=dice.device),
        torch.linspace(-1, 1, picture.shape[2], device=dice.device),
    )
    edge = x[None, None, None, :] ** 2 + y[None, None, :, None] ** 2
    soft = F.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)
    picture = picture + (dice.chance(0.3) * dice.uniform())[..., None] * (soft - picture)
    picture = picture * (1 - 0.2 * dice.uniform()[..., None] * edge) * dice.uniform(0.9, 1.1, 3)
    picture = picture.clamp(1e-3, 1) ** dice.uniform(0.7, 1.6)[..., None]
    picture = 0.5 + (picture - 0.5) * dice.uniform(0.7, 1.2)[..., None] + 0.06 * dice.normal()[..., None]
    grey = picture.mean(1, keepdim=True)
    picture = picture + (grey - picture) * (dice.chance(0.1) + dice.uniform(0, 0.3))[..., None].clamp(max=1)
    grain = torch.randn(picture.shape, generator=dice.generator, device=dice.device)
    return (picture + 0.03 * dice.uniform()[..., None] * grain).clamp(0, 1)


def outdoors(stage: Stage) -> None:
    """Set up sky, far hills, ground or water, and things that stand on it, the nearest last."""
    coins = stage.dice.coins
    stage.add(weather.sky(stage))
    if coins.random() < 0.6:
        stage.add(things.sometimes(stage, 0.9, weather.cloud(stage)))
    for number in range(coins.randint(0, 3)):
        stage.add(things.sometimes(stage, 0.8, weather.hill(stage, torch.full_like(stage.horizon, 0.015 * (number + 1)))))
    if coins.random() < 0.35:  # a row of trees or houses on the shore, which water mirrors
        maker = coins.choice((things.tree, things.building, things.tree))
        for _ in range(coins.randint(1, 4)):
            stage.add(things.sometimes(stage, 0.8, maker(stage, stage.dice.uniform(0.03, 0.12))))
    kind = coins.choices(("dry", "lake", "stream", "gorge"), weights=(5, 4, 1.5, 2))[0]
    is_wood = coins.random() < (0.5 if kind == "gorge" else 0.2)
    if is_wood:
        stage.add(weather.wood(stage))
    stage.add(weather.ground(stage, rough=kind == "gorge"))
    if kind == "gorge":  # stones on the banks, then the stream
        for _ in range(coins.randint(2, 6)):
            stage.add(things.sometimes(stage, 0.8, things.rock(stage, stage.dice.uniform(0.05, 0.9))))
    if kind != "dry":
        stage.add(water.lake(stage) if kind == "lake" else things.sometimes(stage, 0.95, water.stream(stage)))
    if is_wood or kind in ("stream", "gorge"):  # trunks, and stones in the stream
        stones = 1 if kind == "dry" else 5
        for maker in coins.choices((things.poles, things.rock, things.tree), weights=(2, stones, 2), k=4):
            stage.add(things.sometimes(stage, 0.6, maker(stage, stage.dice.uniform(0.08, 0.8))))
    if coins.random() < (0.3 if kind == "gorge" else 0.04):
        stage.add(things.sometimes(stage, 0.8, weather.fall(stage, stage.dice.uniform(0.03, 0.3))))
    stand(stage, coins.choices(OUTSIDE, weights=OUTSIDE_WET if kind != "dry" else OUTSIDE_DRY, k=coins.randint(1, 6)), 0.06)
    frame(stage)


OUTSIDE: tuple[Maker, ...] = (
    things.tree, things.building, things.solid, things.vehicle, people.figure, people.flag, weather.smoke, people.grass,
    things.cutting, things.plant, things.stems, things.poles, things.rock, things.pier, things.boat,
)  # fmt: skip
OUTSIDE_DRY = (5, 5, 3, 2, 3, 1, 1, 2.5, 5, 2, 2.5, 2, 2, 0.3, 0.2)
OUTSIDE_WET = (3, 2, 2, 0.5, 1.5, 0.7, 0.5, 1.5, 3, 1, 0.7, 2.5, 5, 2.5, 3)


def room(stage: Stage) -> None:
    """Set up five planes that meet in a far wall, and things that stand on the floor or hang."""
    dice = stage.dice
    back, middle = dice.uniform(0.15, 0.5), dice.uniform(-0.25, 0.25)
    left, right, top = dice.uniform(1, 3), dice.uniform(1, 3), dice.uniform(2, 5)
    floor = stage.ground_nearness(stage.y)
    sides = (
        floor,
        back.expand_as(floor),
        (middle - stage.x) * left,
        (stage.x - middle) * right,
        (stage.horizon - stage.y) * top,
    )
    near, plane = torch.stack(torch.broadcast_tensors(*sides)).max(dim=0)
    along_x, along_y, deep = (stage.x - middle) / near, (stage.y - stage.horizon) / near, 1 / near
    u = torch.where((plane == 2) | (plane == 3), deep, along_x) * 0.5 + dice.uniform()
    v = torch.where((plane == 0) | (plane == 4), deep, along_y) * 0.5 + dice.uniform()
    texture = stage.bank.sample(dice, dice.coins.choice(things.SOLID), u, v)
    colour = stage.tint(texture * (near / (near + 0.05))[:, None], "stone")
    if stage.photographs.has(photographs.SOLID) and dice.coins.random() < 0.3:
        colour = stage.photo(photographs.SOLID, u, v)
    for number in range(5):
        lit = (stage.colour("stone") * 0.6 + 0.5) * dice.uniform(0.6, 1.2)[..., None]
        colour = torch.where((plane == number)[:, None], colour * lit, colour)
    colour = things.mark(stage, colour, stage.x, stage.y, torch.ones_like(back))
    stage.add(Layer(torch.ones_like(colour[:, 0]), colour, near.clamp(max=1.5)))
    makers = (
        things.solid,
        people.figure,
        people.lamp,
        people.curtain,
        things.plant,
        things.cutting,
        weather.smoke,
        things.poles,
    )
    stand(stage, dice.coins.choices(makers, weights=(5, 4, 2, 1.2, 1, 4, 0.3, 0.7), k=dice.coins.randint(1, 5)), 0.45)


def wall(stage: Stage) -> None:
    """Set up one backdrop, sharp or out of focus, and things before it."""
    dice = stage.dice
    one = torch.ones_like(stage.horizon)
    photo = dice.coins.choice((photographs.SOLID, photographs.SOLID, photographs.LEAF, photographs.CLOUD))
    kind = dice.coins.choice((*things.SOLID, textures.FOLIAGE))
    colour = stage.paint(kind, dice.coins.choice(COLOURS), (0.5, 4), photo=photo)
    colour = things.mark(stage, things.band(stage, colour, stage.x, stage.y, one), stage.x, stage.y, one)
    slope = dice.normal(0.4) * stage.x + dice.normal(0.6) * stage.y
    colour = colour * (1 + slope.clamp(-0.5, 0.5))[:, None]
    if dice.coins.random() < 0.5:
        coarse = F.avg_pool2d(colour, 16, ceil_mode=True) if min(stage.size) >= 64 else colour
        colour = F.interpolate(coarse, size=stage.size, mode="bicubic", align_corners=False)
    far = dice.uniform(0.05, 0.5)
    tilt = (dice.normal(0.3) * stage.x + dice.uniform(-0.1, 0.8) * stage.y) * dice.chance(0.6)
    stage.add(Layer(torch.ones_like(colour[:, 0]), colour, (far + tilt).clamp(0.02, 1)))
    makers = (things.solid, people.figure, people.lamp, people.grass, things.tree, people.flag, things.cutting, things.plant,
              things.stems, things.poles, people.curtain, weather.smoke)  # fmt: skip
    weights = (5, 5, 1, 1, 1, 0.5, 5, 1.5, 2, 1, 0.7, 0.4)
    stand(stage, dice.coins.choices(makers, weights=weights, k=dice.coins.randint(1, 5)), 0.5)
    frame(stage)


def stand(stage: Stage, makers: list[Maker], farthest: float) -> None:
    """Put things at distances that go from far to near, mirrored where they stand in water."""
    dice = stage.dice
    for number, make in enumerate(makers):
        rank = (number + dice.uniform(0.1, 0.9)) / len(makers)
        near = farthest + (1.05 - farthest) * rank ** (1.5 if stage.grounded else 1.0)
        layer = things.sometimes(stage, 0.85, make(stage, near))
        if make is not weather.smoke:
            water.add_reflection(stage, layer, things.stand_at(stage, near))
        stage.add(layer)


def frame(stage: Stage) -> None:
    """Let leaves hang into some pictures."""
    if stage.dice.coins.random() < 0.15:
        stage.add(things.sometimes(stage, 0.7, weather.frond(stage)))


PLACES = {"outdoors": outdoors, "room": room, "wall": wall}
