"""Figures with faces, and cloth: hair, flags, curtains and washing sway, bodies and faces do not.

It does not know which things make a place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recipe import own, photographs, shapes, textures
from recipe.dice import ripple
from recipe.stage import BOTTOM, Layer, Stage
from recipe.things import SOLID, band, mark, outline, place, stand_at


def draw_face(stage: Stage, skin_BCHW: Tensor, x: Tensor, y: Tensor, size: Tensor) -> Tensor:
    """Draw eyes, brows, a nose and a mouth on a head: they are as near as it is."""
    dice = stage.dice
    apart, open_, dark = size * dice.uniform(0.05, 0.09), size * dice.uniform(0.008, 0.025), stage.colour("wood") * 0.4
    side = x.abs() - apart
    eye = shapes.cover(shapes.ellipse(side, y, 1.6 * open_, open_), stage.columns)[:, None]
    iris = shapes.cover(shapes.ellipse(side, y, 0.8 * open_, 0.8 * open_), stage.columns)[:, None]
    brow = shapes.cover(shapes.box(side, y + 2.2 * open_, 1.8 * open_, 0.3 * open_), stage.columns)[:, None]
    mouth = shapes.cover(shapes.ellipse(x, y - 0.11 * size, apart, 0.012 * size), stage.columns)[:, None]
    nose = shapes.cover(shapes.ellipse(x - 0.01 * size, y - 0.05 * size, 0.015 * size, 0.03 * size), stage.columns, 4)[:, None]
    skin_BCHW = skin_BCHW * (1 - 0.15 * nose)
    skin_BCHW = skin_BCHW + eye * (0.95 - skin_BCHW)
    skin_BCHW = skin_BCHW + torch.maximum(iris, 0.7 * brow) * (dark - skin_BCHW)
    return skin_BCHW + 0.6 * mouth * (stage.colour("dusk") * 0.6 - skin_BCHW)


def figure(stage: Stage, near: Tensor) -> Layer:
    """Make a head on shoulders or a standing body, rigid but for long hair."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    size = size * dice.uniform(0.8, 2.0) * (1 + dice.chance(0.35) * dice.uniform(0.5, 2.5))
    high = size * dice.uniform(1.0, 2.6)
    x, y = stage.x - cx, stage.y - foot + high
    head = shapes.ellipse(x, y - 0.02 * high, size * 0.17, size * 0.22)
    body = shapes.box(x, y - size * 0.25 - high * 0.5, size * (0.28 + 0.1 * dice.uniform()), high * 0.5) - 0.04 * size
    slope = x.abs() * dice.uniform(0.3, 0.8) - (y - size * 0.2)
    body = torch.maximum(body, slope)
    skin = stage.paint(textures.FRACTAL, "skin", (0.3, 1))
    cloth = stage.paint(dice.coins.choice(SOLID), "any", (1, 4), photo=photographs.SOLID)
    cloth = mark(stage, band(stage, cloth, x, y - 0.5 * size, size), x, y - 0.6 * size, size)
    hair = stage.tint(stage.bank.sample(dice, textures.STREAKS, stage.y * 2, stage.x * 3), "wood") * 0.7
    skin = draw_face(stage, skin, x - size * dice.uniform(-0.04, 0.04), y, size)
    face = shapes.cover(head, stage.columns)[:, None]
    hairy = shapes.cover(y - size * dice.uniform(-0.18, 0.0), stage.columns, 6)[:, None]
    colour = stage.shade(cloth + face * (skin + hairy * (hair - skin) - cloth), x, y - 0.5 * size, size)
    long = size * dice.uniform(0.2, 0.7)
    mane = shapes.box(x, y - long / 2, size * dice.uniform(0.19, 0.26), long / 2 + 0.15 * size) - 0.04 * size
    mane = torch.maximum(mane, -head) + 9 * (1 - dice.chance(0.45))
    flowing = shapes.cover(mane, stage.columns)
    colour = colour + flowing[:, None] * (hair - colour)
    alpha = shapes.cover(torch.minimum(torch.minimum(head, body), mane), stage.columns)
    sway = own.bend((y + 0.1 * size) / long, stage.wind, dice.uniform(0.3, 0.9), flowing)
    return Layer(alpha, stage.fade(colour, near), near, sway=sway)


def flag(stage: Stage, near: Tensor) -> Layer:
    """Make a cloth held along one side of a pole, which stands; waves run out to its free end."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    side, high = dice.sign(), size * dice.uniform(1.0, 2.0)
    x, y = (stage.x - cx) * side, stage.y - foot + high
    wavy = y - size * 0.2 - 0.02 * (x / size * dice.uniform(5, 12) + dice.angle()).sin() * size
    cloth = shapes.box(x - size * 0.35, wavy, size * 0.35, size * 0.2)
    pole = torch.maximum(x.abs() - 0.02 * size, (y - high / 2).abs() - high / 2)
    colour = stage.paint(dice.coins.choice((textures.GRID, textures.FRACTAL)), "any", (1, 3))
    colour = band(stage, colour, x - size * 0.35, wavy, size)
    colour = colour * (1 + 0.2 * (x / size * dice.uniform(6, 16) + dice.angle()).sin())[:, None]
    held = shapes.cover(cloth, stage.columns)
    sway = own.wave(x / (0.7 * size), stage.wind, dice.uniform(0.5, 1.2), held)
    return Layer(shapes.cover(torch.minimum(cloth, pole), stage.columns), stage.fade(colour, near), near, sway=sway)


def curtain(stage: Stage, near: Tensor) -> Layer:
    """Make cloth that hangs in folds from above, or washing on a line; its lower end sways."""
    dice = stage.dice
    cx, top = stage.across(0.5), dice.uniform(-0.35, -0.05)
    wide, high = (0.05 + 0.2 * near) * dice.uniform(0.6, 1.8), dice.uniform(0.15, 0.6)
    x, y = stage.x - cx, stage.y - top
    fold = x / wide * dice.uniform(8, 25)
    cloth = shapes.box(x + 0.01 * fold.sin(), y - high / 2, wide / 2 * (1 + 0.2 * y / high), high / 2)
    colour = stage.paint(dice.coins.choice((textures.FRACTAL, textures.GRID)), "any", (0.5, 2))
    colour = colour * (1 + dice.uniform(0.1, 0.4) * (fold + 0.5 * ripple(dice, y, slowest=2, waves=4, fall=1)).sin())[:, None]
    sway = own.bend(y / high, stage.wind, dice.uniform(0.3, 1))
    return Layer(shapes.cover(cloth, stage.columns), stage.fade(colour, near), near, sway=sway)


def lamp(stage: Stage, near: Tensor) -> Layer:
    """Make something rigid on a cord from above."""
    dice = stage.dice
    cx, size = stage.across(0.45), (0.08 + 0.15 * near) * dice.uniform(0.7, 1.4)
    x, y = stage.x - cx, stage.y - dice.uniform(-0.2, 0.1)
    whole = torch.minimum(torch.maximum(x.abs() - 0.003, y), outline(stage, x, y, size))
    colour = stage.paint(dice.coins.choice(SOLID), "any", (0.7, 3), photo=photographs.SOLID)
    colour = stage.shade(band(stage, colour, x, y, size), x, y, size)
    return Layer(shapes.cover(whole, stage.columns), colour, near)


def grass(stage: Stage, near: Tensor) -> Layer:
    """Make a strip of blades rooted at the bottom or on the ground."""
    dice = stage.dice
    foot = stand_at(stage, near) if stage.grounded else BOTTOM * dice.uniform(0.6, 1.1)
    high = (0.05 + 0.2 * near) * dice.uniform(0.6, 1.8)
    blades = ripple(dice, stage.x, slowest=dice.coins.choice((12, 25, 50)), waves=5, fall=0.3) * dice.uniform(0.1, 0.7)
    top = foot - high * (1 + blades + 0.3 * ripple(dice, stage.x, slowest=1, waves=5, fall=1))
    inside = torch.maximum(top - stage.y, stage.y - foot - 0.6 * near)
    if stage.photographs.has(photographs.GRASS) and dice.coins.random() < 0.5:
        zoom = dice.uniform(1, 3)
        colour = stage.photo(photographs.GRASS, stage.x * zoom + dice.uniform(), stage.y * zoom + dice.uniform())
    else:
        u, v = stage.y * dice.uniform(2, 4), stage.x * dice.uniform(2, 7)
        colour = stage.tint(stage.bank.sample(dice, textures.STREAKS, u + dice.uniform(), v + dice.uniform()), "leaf")
    sway = own.bend(0.15 + (foot - stage.y) / high, stage.wind, dice.uniform(0.4, 1.2))
    return Layer(shapes.cover(inside, stage.columns), stage.fade(colour, near), near, sway=sway)
