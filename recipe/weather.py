"""What has no firm outline: sky, hills far off, clouds, water, falls, smoke, leaves before the lens.

Every function takes the stage and gives a layer. It does not know which of them make a place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recipe import motion, shapes, textures
from recipe.dice import ripple
from recipe.stage import BOTTOM, Layer, Stage


def sky(stage: Stage) -> Layer:
    """Make the farthest layer: a gradient from the zenith to the haze."""
    dice = stage.dice
    top = stage.colour(dice.coins.choice(("sky", "sky", "sky", "dusk", "any")))
    height = ((stage.y + BOTTOM) / (stage.horizon + BOTTOM).clamp(min=0.05)).clamp(0, 1) ** dice.uniform(0.6, 2)
    colour = top + (stage.haze - top) * height[:, None]
    grain = stage.paint(textures.FRACTAL, "sky", (0.3, 1)) - 0.5
    colour = colour + 0.08 * dice.uniform()[:, None] * grain
    return Layer(torch.ones_like(colour[:, 0]), colour, torch.zeros_like(stage.horizon), motion.rest)


def cloud(stage: Stage) -> Layer:
    """Make clouds that drift together, slower toward the horizon."""
    dice = stage.dice
    zoom, flat = dice.log_uniform(0.4, 1.2), dice.uniform(1, 3)
    u, v = stage.x * zoom + dice.uniform(), stage.y * zoom * flat + dice.uniform()
    puff = stage.bank.sample(dice, textures.FRACTAL, u, v)
    fill = puff[:, 0] + dice.uniform(-1.2, 0.6) - 0.4 * ((stage.y - stage.horizon) * 6).clamp(min=0)
    alpha = (fill * dice.uniform(0.8, 4)).sigmoid() * dice.uniform(0.5, 1.0) * (stage.y < stage.horizon + 0.02)
    colour = stage.colour("cloud") * (1 - 0.12 * puff[:, 1:].clamp(-1, 1.5)) - 0.05 * (fill.clamp(0, 2))[:, None]
    height = ((stage.horizon - stage.cell_y) / 0.3).clamp(0.1, 1)
    way = motion.flow(dice.sign() * dice.uniform(0.3, 1.0) * height, dice.normal(0.05) * height)
    return Layer(alpha, colour, torch.full_like(stage.horizon, 0.004), way)


def hill(stage: Stage, near: Tensor) -> Layer:
    """Make a ridge, hazier the farther; it stays."""
    dice = stage.dice
    crest = stage.horizon - dice.uniform(0.0, 0.14) - dice.uniform(0.005, 0.06) * ripple(
        dice, stage.x, slowest=0.7, waves=14, fall=1.1
    )  # fmt: skip
    colour = stage.paint(dice.coins.choice((textures.FRACTAL, textures.FOLIAGE, textures.LEAVES)), "leaf", (1, 4))
    inside = torch.maximum(crest - stage.y, stage.y - stage.horizon - 0.03)
    return Layer(shapes.cover(inside, stage.columns), stage.fade(colour, near), near, motion.rest)


def ground(stage: Stage) -> Layer:
    """Make the ground that recedes to the horizon, its texture in perspective."""
    dice = stage.dice
    kind = dice.coins.choice((textures.GRID, textures.CELLS, textures.LEAVES, textures.FRACTAL, textures.FOLIAGE))
    colour, near = lay_flat(
        stage, kind, dice.coins.choice(("ground", "ground", "leaf", "stone", "any")), dice.log_uniform(0.3, 1.2)
    )
    alpha = shapes.cover(stage.horizon - stage.y + 0.0 * near, stage.columns)
    return Layer(alpha, stage.fade(colour, near), stage.ground_nearness(stage.cell_y).clamp(min=0.01), motion.rest)


def lay_flat(stage: Stage, kind: str, name: str, zoom: Tensor, stretch: float = 1.0) -> tuple[Tensor, Tensor]:
    """Paint a texture on the ground, faded where it is too fine to be seen, [B, 3, H, W] and the nearness."""
    dice, near = stage.dice, stage.ground_nearness(stage.y).clamp(min=0.02)
    u, v = stage.x / near * zoom + dice.uniform(), (1 / near) * zoom * stretch + dice.uniform()
    fine = (near / (near + 0.08))[:, None]
    return stage.tint(stage.bank.sample(dice, kind, u, v) * fine, name), near


def water(stage: Stage) -> Layer:
    """Make a sheet of water on the ground whose surface streams across, or heaves as waves come in."""
    dice = stage.dice
    far = dice.uniform(0.02, 0.5)
    close = far + dice.uniform(0.2, 1.2)
    wobble = 0.04 * ripple(dice, stage.x, slowest=0.8, waves=8, fall=1.2)
    near = stage.ground_nearness(stage.y)
    inside = torch.maximum(far + wobble * far - near, near - close - wobble) * (BOTTOM - stage.horizon)
    colour, _ = lay_flat(stage, textures.STREAKS, "water", dice.log_uniform(0.5, 2), stretch=0.6)
    sheen = ((0.5 - near) * 1.2).clamp(0, 0.6)[:, None] * dice.uniform()[:, None]
    colour = colour + sheen * (stage.haze - colour)
    cells = stage.ground_nearness(stage.cell_y)
    stream = motion.flow(dice.sign() * dice.uniform(0.5, 1.5) * (0.3 + cells), 0.1 * dice.normal() * cells)
    phase = dice.uniform(4, 10) / cells.clamp(min=0.08) + dice.normal() * stage.cell_x * 4
    up = torch.full_like(stage.horizon, torch.pi / 2)
    heave = motion.sway(dice, cells.clamp(0.1, 1).expand_as(phase), up, phase, dice.uniform(0.3, 0.8))
    rough = dice.chance(0.5)[:, None, None]
    alpha = shapes.cover(inside, stage.columns, 2.0)
    return Layer(alpha, colour, cells.clamp(min=0.01), lambda times: rough * heave(times) + (1 - rough) * stream(times))


def fall(stage: Stage, near: Tensor) -> Layer:
    """Make a band of streaks running down, that falls."""
    dice = stage.dice
    cx, wide = stage.across(0.4), (0.04 + 0.15 * near) * dice.uniform(0.5, 1.5)
    top, foot = dice.uniform(-0.28, -0.05), stage.horizon + near * (BOTTOM - stage.horizon)
    edge = 0.1 * wide * ripple(dice, stage.y, slowest=4, waves=8, fall=0.8)
    inside = torch.maximum((stage.x - cx).abs() - wide / 2 - edge, torch.maximum(top - stage.y, stage.y - foot))
    u, v = (stage.y - top) * dice.uniform(1, 3) + dice.uniform(), stage.x * dice.uniform(2, 5)
    colour = stage.tint(stage.bank.sample(dice, textures.STREAKS, u, v), "cloud")
    speed = (0.6 + 2 * (stage.cell_y - top).clamp(0, 0.4)) * dice.uniform(0.7, 1.6)
    way = motion.flow(torch.zeros_like(speed), speed)
    return Layer(shapes.cover(inside, stage.columns, 2.5), colour, near, way)


def smoke(stage: Stage, near: Tensor) -> Layer:
    """Make a plume that rises from its foot, widens and leans with the wind."""
    dice = stage.dice
    cx, foot = stage.across(0.4), dice.uniform(-0.05, 0.25)
    wide, lean = dice.uniform(0.02, 0.06), 0.6 * stage.wind.cos() * dice.uniform()
    high = (foot - stage.y).clamp(min=0)
    middle = cx + lean * high + 0.02 * ripple(dice, stage.y, slowest=2, waves=4, fall=0.8)
    u, v = stage.x * dice.uniform(1, 2) + dice.uniform(), stage.y * dice.uniform(0.6, 1.5) + dice.uniform()
    puff = stage.bank.sample(dice, textures.FRACTAL, u, v)
    thick = 1 - ((stage.x - middle) / (wide + 0.5 * high)) ** 2 + 0.4 * puff[:, 0]
    alpha = thick.clamp(0, 1) * (high * 20).clamp(0, 1) * (1.2 - high * 2).clamp(0, 1) * dice.uniform(0.5, 1)
    climb = dice.uniform(0.5, 1.5) * (foot - stage.cell_y > 0)
    away = (stage.cell_x - cx - lean * (foot - stage.cell_y)) * 2
    return Layer(alpha, stage.colour("cloud") * (1 - 0.1 * puff[:, 1:]), near, motion.flow(climb * (lean + away), -climb))


def frond(stage: Stage) -> Layer:
    """Make leaves that hang into the picture from a corner or a side, near and moving."""
    dice = stage.dice
    cx, cy = dice.sign() * dice.uniform(0.3, 0.55), dice.sign() * dice.uniform(0.1, 0.3)
    x, y = stage.x - cx, stage.y - cy
    reach = dice.uniform(0.15, 0.4)
    ragged = ripple(dice, torch.atan2(y, x + 1e-6), slowest=1.5, waves=14, fall=0.5)
    inside = (x**2 + y**2).sqrt() - reach * (0.7 + 0.3 * ragged)
    colour = stage.paint(textures.FOLIAGE, "leaf", (1, 3)) * dice.uniform(0.4, 1)[:, None]
    lift = ((stage.cell_x - cx) ** 2 + (stage.cell_y - cy) ** 2).sqrt() / reach
    way = motion.sway(dice, lift, stage.wind, 6 * stage.cell_x, dice.uniform(0.4, 1))
    near = torch.full_like(reach, 1.2)
    return Layer(shapes.cover(inside, stage.columns, dice.uniform(1, 8)), colour, near, way)
