"""Scenes by the dozen: a first picture, and for every clip of it where each point goes, normalised for the network.

It does not know of networks, noise or training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe import motion, textures, things, weather
from recipe.dice import Dice
from recipe.motion import Times
from recipe.stage import Layer, Stage, compose
from recipe.textures import Bank
from unstill.model.field import BEND, FASTEST_PX, measure_speed

KEYS = 12  # moments of a clip that the network draws; the frames between are interpolated
CLIPS = 2  # ways in which each scene is filmed
ORDER_MIDDLE, ORDER_SPREAD = 0.4, 0.35  # bring nearness to about zero mean and unit spread


@dataclass(frozen=True, eq=False)
class Scenes:
    """Pictures and what moves in them. M counts the clips of one picture."""

    picture_BCHW: Tensor  # uint8
    order_BHW: Tensor  # nearness, normalised
    velocity_BMTCHW: Tensor  # displacement by time by speed
    speed_px_BM: Tensor  # of what moves, a frame, at 1024x576
    word_BM: Tensor
    last_BM: Tensor  # number of the last frame
    fps_BM: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Scenes:
        return Scenes(*(change(getattr(self, one.name)) for one in fields(self)))


def join(parts: list[Scenes]) -> Scenes:
    return Scenes(*(torch.cat([getattr(part, one.name) for part in parts]) for one in fields(Scenes)))


def speed_of(motion_id: Tensor) -> Tensor:
    """Say what a motion of 0 to 255 means in pixels a frame."""
    return FASTEST_PX * (motion_id / 255) ** BEND


def motion_of(speed_px: Tensor) -> Tensor:
    return (255 * (speed_px / FASTEST_PX) ** (1 / BEND)).clamp(0, 255)


def make_scenes(count: int, bank: Bank, dice: Dice, size: tuple[int, int], cells: tuple[int, int]) -> Scenes:
    """Paint and film that many scenes that share a cast but nothing else."""
    kind = dice.coins.choices(("outdoors", "room", "wall"), weights=(5, 2, 3))[0]
    stage = Stage(
        dice=dice, bank=bank, size=size, cells=cells, grounded=kind != "wall",
        horizon=dice.uniform(-0.16, 0.12), detail=1 - dice.chance(0.15) * dice.uniform(0.6, 1.0),
    )  # fmt: skip
    PLACES[kind](stage)
    outline = dice.chance(0.12) * dice.uniform(0.5, 1)
    picture, shown = compose(stage, outline)
    return film(stage, finish(dice, picture), shown)


def film(stage: Stage, picture: Tensor, shown_BHW: Tensor) -> Scenes:
    """Move the things and the camera, and say where each cell goes."""
    cells = stage.cells
    near = torch.stack([layer.nearness.expand(-1, *cells) for layer in stage.layers], dim=1)
    near = near.gather(1, shown_BHW[:, None])[:, 0]
    clips = [film_once(stage, shown_BHW, near) for _ in range(CLIPS)]
    velocity, speed, word, last, fps = (torch.stack(part, dim=1) for part in zip(*clips, strict=True))
    order = (near - ORDER_MIDDLE) / ORDER_SPREAD
    return Scenes((picture * 255).round().to(torch.uint8), order, velocity, speed, word, last, fps)


def film_once(stage: Stage, shown_BHW: Tensor, near_BHW: Tensor) -> tuple[Tensor, ...]:
    dice = stage.dice
    times = draw_times(dice, stage.unit_px)
    camera = motion.draw_camera(dice, times, motion.Depth.of(near_BHW))
    local = Times(times.frame_BT, times.last_B, times.fps_B, times.pace * dice.log_uniform(0.4, 2.0))
    x, y = stage.cell_x[:, None], stage.cell_y[:, None]
    moved = torch.zeros(dice.count, KEYS, 2, *stage.cells, device=dice.device)
    for number, layer in enumerate(stage.layers):
        mine = (shown_BHW == number)[:, None, None]
        moved = torch.where(mine, layer.move(local), moved)
    seen = camera.see(x + moved[:, :, 0], y + moved[:, :, 1], near_BHW[:, None], times)
    gone = seen - torch.stack([x.expand_as(seen[:, :, 0]), y.expand_as(seen[:, :, 0])], dim=2)
    velocity_px = gone * stage.unit_px / times.frame_BT[:, :, None, None, None]
    speed_px = measure_speed(velocity_px)
    scaled = velocity_px / speed_px.clamp(min=0.02)[:, None, None, None, None]
    return scaled, speed_px, camera.word_B, times.last_B, times.fps_B


def draw_times(dice: Dice, unit_px: float) -> Times:
    """Draw how long a clip is and how fast its scene."""
    last_B = torch.where(dice.uniform() < 0.7, 24.0 - 11.0 * dice.chance(0.4), dice.log_uniform(6, 48).round())[:, 0, 0]
    fps_B = torch.where(dice.uniform() < 0.5, torch.full_like(dice.uniform(), 7.0), dice.log_uniform(4, 25).round())[:, 0, 0]
    frame_BT = last_B[:, None] * (torch.arange(KEYS, device=dice.device) + 1) / KEYS
    return Times(frame_BT, last_B, fps_B, dice.log_uniform(0.4, 9) / unit_px)


def finish(dice: Dice, picture: Tensor) -> Tensor:
    """Develop the picture: exposure, contrast, cast, vignette, grain, now and then no colour."""
    x, y = (
        torch.linspace(-1, 1, picture.shape[3], device=dice.device),
        torch.linspace(-1, 1, picture.shape[2], device=dice.device),
    )
    edge = x[None, None, None, :] ** 2 + y[None, None, :, None] ** 2
    picture = picture * (1 - 0.2 * dice.uniform()[..., None] * edge) * dice.uniform(0.9, 1.1, 3)
    picture = picture.clamp(1e-3, 1) ** dice.uniform(0.7, 1.5)[..., None]
    picture = 0.5 + (picture - 0.5) * dice.uniform(0.7, 1.15)[..., None] + 0.06 * dice.normal()[..., None]
    grey = picture.mean(1, keepdim=True)
    picture = picture + (grey - picture) * (dice.chance(0.1) + dice.uniform(0, 0.3))[..., None].clamp(max=1)
    grain = torch.randn(picture.shape, generator=dice.generator, device=dice.device)
    return (picture + 0.02 * dice.uniform()[..., None] * grain).clamp(0, 1)


def outdoors(stage: Stage) -> None:
    """Set up sky, far hills, ground or water, and things that stand on it, the nearest last."""
    coins = stage.dice.coins
    stage.add(weather.sky(stage))
    if coins.random() < 0.6:
        stage.add(things.sometimes(stage, 0.9, weather.cloud(stage)))
    for number in range(coins.randint(0, 3)):
        stage.add(things.sometimes(stage, 0.8, weather.hill(stage, torch.full_like(stage.horizon, 0.015 * (number + 1)))))
    stage.add(weather.ground(stage))
    if coins.random() < 0.35:
        stage.add(things.sometimes(stage, 0.9, weather.water(stage)))
    if coins.random() < 0.12:
        stage.add(things.sometimes(stage, 0.8, weather.fall(stage, stage.dice.uniform(0.03, 0.3))))
    makers = (
        things.tree,
        things.building,
        things.solid,
        things.vehicle,
        things.figure,
        things.flag,
        weather.smoke,
        things.grass,
    )
    stand(stage, coins.choices(makers, weights=(6, 4, 4, 3, 3, 1, 1, 2), k=coins.randint(1, 6)), 0.06)
    frame(stage)


def room(stage: Stage) -> None:
    """Set up five planes that meet in a far wall, and things that stand on the floor or hang."""
    dice = stage.dice
    back, middle = dice.uniform(0.15, 0.5), dice.uniform(-0.25, 0.25)
    left, right, top = dice.uniform(1, 3), dice.uniform(1, 3), dice.uniform(2, 5)

    def planes(x: Tensor, y: Tensor) -> Tensor:
        floor = stage.ground_nearness(y)
        return torch.stack([floor, back.expand_as(floor), (middle - x) * left, (x - middle) * right, (stage.horizon - y) * top])

    near, plane = planes(stage.x, stage.y).max(dim=0)
    along_x, along_y, deep = (stage.x - middle) / near, (stage.y - stage.horizon) / near, 1 / near
    u = torch.where((plane == 2) | (plane == 3), deep, along_x)
    v = torch.where((plane == 0) | (plane == 4), deep, along_y)
    texture = stage.bank.sample(dice, dice.coins.choice(things.SOLID), u * 0.5 + dice.uniform(), v * 0.5 + dice.uniform())
    colour = stage.tint(texture * (near / (near + 0.05))[:, None], "stone")
    for number in range(5):
        lit = (stage.colour("stone") * 0.6 + 0.5) * dice.uniform(0.6, 1.2)[..., None]
        colour = torch.where((plane == number)[:, None], colour * lit, colour)
    cells = planes(stage.cell_x, stage.cell_y).amax(dim=0).clamp(max=1.5)
    stage.add(Layer(torch.ones_like(colour[:, 0]), colour, cells, motion.rest))
    makers = (things.solid, things.solid, things.figure, things.lamp, things.flag, things.tree)
    stand(stage, dice.coins.choices(makers, weights=(4, 4, 3, 2, 0.6, 1.5), k=dice.coins.randint(1, 5)), 0.45)


def wall(stage: Stage) -> None:
    """Set up one backdrop, sharp or out of focus, and things before it."""
    dice = stage.dice
    one = torch.ones_like(stage.horizon)
    colour = stage.paint(
        dice.coins.choice((*things.SOLID, textures.FOLIAGE)), dice.coins.choice(tuple(stage_names())), (0.5, 4)
    )
    colour = things.mark(stage, things.band(stage, colour, stage.x, stage.y, one), stage.x, stage.y, one)
    slope = dice.normal(0.4) * stage.x + dice.normal(0.6) * stage.y
    colour = colour * (1 + slope.clamp(-0.5, 0.5))[:, None]
    if dice.coins.random() < 0.5:
        coarse = F.avg_pool2d(colour, 16, ceil_mode=True) if min(stage.size) >= 64 else colour
        colour = F.interpolate(coarse, size=stage.size, mode="bicubic", align_corners=False)
    far = dice.uniform(0.05, 0.5)
    tilt = (dice.normal(0.3) * stage.cell_x + dice.uniform(-0.1, 0.8) * stage.cell_y) * dice.chance(0.6)
    stage.add(Layer(torch.ones_like(colour[:, 0]), colour, (far + tilt).clamp(0.02, 1), motion.rest))
    makers = (things.solid, things.solid, things.figure, things.lamp, things.grass, things.tree, things.flag)
    stand(stage, dice.coins.choices(makers, weights=(5, 5, 4, 1, 1, 1, 0.5), k=dice.coins.randint(1, 5)), 0.5)
    frame(stage)


def stage_names() -> tuple[str, ...]:
    """Name the colours a backdrop may have."""
    return ("any", "stone", "leaf", "sky", "wood", "water")


def stand(stage: Stage, makers: list[Callable[[Stage, Tensor], Layer]], farthest: float) -> None:
    """Put things at distances that go from far to near, each with its shadow where it touches the ground."""
    dice = stage.dice
    for number, make in enumerate(makers):
        rank = (number + dice.uniform(0.1, 0.9)) / len(makers)
        near = farthest + (1.05 - farthest) * rank ** (1.5 if stage.grounded else 1.0)
        stage.add(things.sometimes(stage, 0.85, make(stage, near)))


def frame(stage: Stage) -> None:
    """Let leaves hang into some pictures."""
    if stage.dice.coins.random() < 0.15:
        stage.add(things.sometimes(stage, 0.7, weather.frond(stage)))


PLACES = {"outdoors": outdoors, "room": room, "wall": wall}
