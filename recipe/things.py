"""What stands, hangs, flies, flows and grows in a scene. Each way of moving belongs to a way of looking.

Every function takes the stage and how near the thing is (0 far, 1 at the bottom edge), and gives a layer.
It does not know which things make a place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recipe import motion, shapes, textures
from recipe.dice import ripple
from recipe.motion import Move
from recipe.stage import BOTTOM, Layer, Stage

SOLID = (textures.FRACTAL, textures.LEAVES, textures.CELLS, textures.GRID, textures.STREAKS)


def place(stage: Stage, near: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose where a standing thing touches the ground, and a size that goes with its distance."""
    dice = stage.dice
    foot = stage.horizon + near * (BOTTOM - stage.horizon) if stage.grounded else dice.uniform(-0.1, 0.35)
    return stage.across(0.5), foot, (0.06 + 0.3 * near) * dice.log_uniform(0.5, 1.5)


def sometimes(stage: Stage, share: float, layer: Layer) -> Layer:
    """Let the thing be there in that share of the scenes."""
    there = stage.dice.chance(share)
    return Layer(layer.alpha_BHW * there, layer.colour_BCHW, layer.nearness, layer.move)


def choose(there: Tensor, one: Move, other: Move) -> Move:
    """Take one movement where `there` is 1, the other where it is 0."""
    return lambda times: there[:, None, None] * one(times) + (1 - there[:, None, None]) * other(times)


def outline(stage: Stage, x: Tensor, y: Tensor, size: Tensor) -> Tensor:
    """Give the outline of some solid thing around zero."""
    dice = stage.dice
    x, y = shapes.turn(x, y, dice.uniform(-0.5, 0.5) * dice.chance(0.6))
    kind = dice.coins.choice(("ellipse", "box", "polygon", "blob", "compound"))
    if kind == "ellipse":
        return shapes.ellipse(x, y, size / 2 * dice.uniform(0.5, 1.2), size / 2 * dice.uniform(0.5, 1.2))
    if kind == "box":
        return shapes.box(x, y, size / 2 * dice.uniform(0.4, 1.2), size / 2 * dice.uniform(0.4, 1.2))
    if kind == "polygon":
        return shapes.polygon(dice, x, y, size / 2, dice.coins.randint(3, 7))
    if kind == "blob":
        return shapes.blob(dice, x, y, size / 2)
    top = shapes.ellipse(x - size * dice.uniform(-0.2, 0.2), y + size * 0.35, size * 0.22, size * 0.22)
    return torch.minimum(shapes.blob(dice, x, y, size * 0.4, rough=0.3), top)


def band(stage: Stage, colour_BCHW: Tensor, x: Tensor, y: Tensor, size: Tensor) -> Tensor:
    """Give some things stripes in a colour of their own, straight, around, or as meridians: they are no edges of depth."""
    dice = stage.dice
    turned, _ = shapes.turn(x, y, dice.angle())
    bulge = x / (1 - (y / size / 0.75) ** 2).clamp(min=0.05).sqrt()
    along = dice.coins.choice((turned, turned, bulge, (x**2 + y**2).sqrt())) / size
    wave = (along * dice.log_uniform(6, 50) + dice.angle()).sin() - dice.uniform(-0.6, 0.6)
    share = (0.5 + wave * dice.log_uniform(2, 20)).clamp(0, 1) * dice.chance(0.4) * dice.uniform(0.4, 1)
    return colour_BCHW + share[:, None] * (stage.colour("any") - colour_BCHW)


def mark(stage: Stage, colour_BCHW: Tensor, x: Tensor, y: Tensor, size: Tensor) -> Tensor:
    """Paint flat marks on some things: what is round or has an outline need not be a thing of its own."""
    dice = stage.dice
    for _ in range(dice.coins.randint(1, 3)):
        far, angle = dice.uniform(0, 0.6) * size, dice.angle()
        at_x, at_y = shapes.turn(x - far * angle.cos(), y - far * angle.sin(), dice.angle())
        wide, high = size * dice.log_uniform(0.04, 0.35), size * dice.log_uniform(0.04, 0.25)
        kind = dice.coins.choice((shapes.ellipse, shapes.ellipse, shapes.box))
        there = shapes.cover(kind(at_x, at_y, wide, high), stage.columns, dice.log_uniform(1.2, 6)) * dice.chance(0.35)
        paint = stage.paint(dice.coins.choice(SOLID), "any", (0.5, 4))
        colour_BCHW = colour_BCHW + (there * dice.uniform(0.4, 1))[:, None] * (paint - colour_BCHW)
    return colour_BCHW


def solid(stage: Stage, near: Tensor) -> Layer:
    """Make a thing of one piece that stays, glides, turns or rocks, rigidly."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    cy = foot - size * dice.uniform(0.3, 0.6)
    x, y = stage.x - cx, stage.y - cy
    colour = band(stage, stage.paint(dice.coins.choice(SOLID), "any", (0.7, 4)), x, y, size)
    colour = stage.shade(mark(stage, colour, x, y, size), x, y, size)
    at = (stage.cell_x, stage.cell_y)
    ways = [
        motion.rest,
        motion.glide(dice, dice.sign() * dice.uniform(0.5, 2), dice.normal(0.2)),
        motion.swing(dice, *at, (cx, cy + size * dice.uniform(-0.2, 0.6)), size, dice.uniform(0.3, 1)),
        motion.spin(*at, (cx, cy), size, dice.sign() * dice.uniform(0.5, 2)),
    ]
    first, second = dice.coins.choices(ways, weights=(5, 4, 2, 1), k=2)
    alpha = shapes.cover(outline(stage, x, y, size), stage.columns)
    return Layer(alpha, stage.fade(colour, near), near, choose(dice.chance(0.5), first, second))


def vehicle(stage: Stage, near: Tensor) -> Layer:
    """Make a body on two wheels, or a hull, that drives or sails along the ground."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    x, y = stage.x - cx, stage.y - foot
    body = shapes.box(x, y + 0.16 * size, size / 2, size * dice.uniform(0.1, 0.18))
    cabin = shapes.box(x - size * dice.uniform(-0.15, 0.15), y + 0.3 * size, size * dice.uniform(0.15, 0.4), size * 0.14)
    wheels = [shapes.ellipse(x - side * 0.3 * size, y + 0.02 * size, size * 0.09, size * 0.09) for side in (-1, 1)]
    whole = torch.minimum(torch.minimum(body, cabin), torch.minimum(*wheels))
    colour = band(stage, stage.paint(textures.FRACTAL, "any", (0.3, 1)), x, y, size)
    dark = shapes.cover(torch.minimum(torch.minimum(*wheels), cabin + 0.03 * size), stage.columns)[:, None] * 0.8
    way = motion.glide(dice, dice.sign() * dice.uniform(0.8, 2.5), dice.normal(0.05))
    return Layer(shapes.cover(whole, stage.columns), stage.fade(colour * (1 - dark), near), near, way)


def building(stage: Stage, near: Tensor) -> Layer:
    """Make a block with windows; it stays."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    wide, high = size * dice.uniform(0.4, 1.2), size * dice.uniform(0.6, 2.2)
    x, y = stage.x - cx, stage.y - foot + high / 2
    wall = shapes.box(x, y, wide / 2, high / 2)
    roof = torch.maximum(x.abs() * dice.uniform(0.3, 1.5) - (y + high * 0.5 + wide * 0.4), y + high * 0.45)
    wall = torch.minimum(wall, roof + 9 * (1 - dice.chance(0.4)))
    pitch = wide / dice.uniform(3, 8)
    pane = (((x / pitch) % 1 - 0.5).abs() < 0.28) & (((y / pitch) % 1 - 0.5).abs() < 0.3)
    tone = 1 - dice.uniform(-0.6, 0.7) * pane.float() * dice.chance(0.7)
    colour = stage.paint(dice.coins.choice((textures.GRID, textures.FRACTAL)), "stone", tilt=0.05) * tone[:, None]
    return Layer(shapes.cover(wall, stage.columns), stage.fade(colour, near), near, motion.rest)


def tree(stage: Stage, near: Tensor) -> Layer:
    """Make a trunk and a crown; it bends from the root in the stage's wind."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    high = size * dice.uniform(1.2, 2.4)
    x, y = stage.x - cx, stage.y - foot
    trunk = torch.maximum(x.abs() - size * 0.05 * (1 - 0.5 * (-y / high)), torch.maximum(y, -y - high))
    crown = shapes.blob(dice, x, (y + high * 0.75) * dice.uniform(0.6, 1.1), size * dice.uniform(0.3, 0.5), waves=9, rough=0.8)
    crown = crown + 0.012 * ripple(dice, torch.atan2(y + high * 0.75, x + 1e-6), slowest=2, waves=12, fall=0.6) * size / 0.3
    leaves = stage.paint(dice.coins.choice((textures.FOLIAGE, textures.LEAVES, textures.FRACTAL)), "leaf", (2, 6))
    wood = stage.colour("wood")
    green = shapes.cover(crown, stage.columns)[:, None]
    colour = stage.shade(wood + green * (leaves - wood), x, y + high * 0.75, size)
    lift = (foot - stage.cell_y) / high
    way = motion.sway(dice, lift, stage.wind, 1.5 * stage.cell_x / size, dice.uniform(0.3, 1))
    return Layer(shapes.cover(torch.minimum(trunk, crown), stage.columns), stage.fade(colour, near), near, way)


def grass(stage: Stage, near: Tensor) -> Layer:
    """Make a strip of blades rooted at the bottom or on the ground; waves run through it."""
    dice = stage.dice
    foot = stage.horizon + near * (BOTTOM - stage.horizon) if stage.grounded else BOTTOM * dice.uniform(0.6, 1.1)
    high = (0.05 + 0.15 * near) * dice.uniform(0.6, 1.5)
    blades = ripple(dice, stage.x, slowest=25, waves=5, fall=0.3) * dice.uniform(0.1, 0.5)
    top = foot - high * (1 + blades + 0.3 * ripple(dice, stage.x, slowest=1, waves=5, fall=1))
    inside = torch.maximum(top - stage.y, stage.y - foot - 0.6 * near)
    u, v = stage.y * dice.uniform(2, 4), stage.x * dice.uniform(2, 5)
    colour = stage.tint(stage.bank.sample(dice, textures.STREAKS, u + dice.uniform(), v + dice.uniform()), "leaf")
    lift = (foot - stage.cell_y) / high
    way = motion.sway(dice, lift, stage.wind, dice.uniform(3, 12) * stage.cell_x, dice.uniform(0.4, 1.2))
    return Layer(shapes.cover(inside, stage.columns), stage.fade(colour, near), near, way)


def draw_face(stage: Stage, skin_BCHW: Tensor, x: Tensor, y: Tensor, size: Tensor) -> Tensor:
    """Draw eyes, brows and a mouth: they go where the head goes."""
    dice = stage.dice
    apart, open_, dark = size * dice.uniform(0.05, 0.09), size * dice.uniform(0.008, 0.025), stage.colour("wood") * 0.4
    side = x.abs() - apart
    eye = shapes.cover(shapes.ellipse(side, y, 1.6 * open_, open_), stage.columns)[:, None]
    iris = shapes.cover(shapes.ellipse(side, y, 0.8 * open_, 0.8 * open_), stage.columns)[:, None]
    brow = shapes.cover(shapes.box(side, y + 2.2 * open_, 1.8 * open_, 0.3 * open_), stage.columns)[:, None]
    mouth = shapes.cover(shapes.ellipse(x, y - 0.11 * size, apart, 0.012 * size), stage.columns)[:, None]
    skin_BCHW = skin_BCHW + eye * (0.95 - skin_BCHW)
    skin_BCHW = skin_BCHW + torch.maximum(iris, 0.7 * brow) * (dark - skin_BCHW)
    return skin_BCHW + 0.6 * mouth * (stage.colour("dusk") * 0.6 - skin_BCHW)


def figure(stage: Stage, near: Tensor) -> Layer:
    """Make a head on shoulders or a standing body; it rocks a little about its foot, or walks."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    size = size * dice.uniform(0.8, 2.0) * (1 + dice.chance(0.2) * dice.uniform(0.5, 2.5))
    high = size * dice.uniform(1.0, 2.6)
    x, y = stage.x - cx, stage.y - foot + high
    head = shapes.ellipse(x, y - 0.02 * high, size * 0.17, size * 0.22)
    body = shapes.box(x, y - size * 0.25 - high * 0.5, size * (0.28 + 0.1 * dice.uniform()), high * 0.5) - 0.04 * size
    slope = x.abs() * dice.uniform(0.3, 0.8) - (y - size * 0.2)
    body = torch.maximum(body, slope)
    skin, cloth = stage.paint(textures.FRACTAL, "skin", (0.3, 1)), stage.paint(dice.coins.choice(SOLID), "any", (1, 4))
    cloth = band(stage, cloth, x, y - 0.5 * size, size)
    hair = stage.colour("wood") * 0.6
    skin = draw_face(stage, skin, x - size * dice.uniform(-0.04, 0.04), y, size)
    face = shapes.cover(head, stage.columns)[:, None]
    hairy = shapes.cover(y - size * dice.uniform(-0.18, 0.0), stage.columns, 6)[:, None]
    colour = stage.shade(cloth + face * (skin + hairy * (hair - skin) - cloth), x, y - 0.5 * size, size)
    at = (stage.cell_x, stage.cell_y)
    rock = motion.swing(dice, *at, (cx, foot), high, dice.uniform(0.05, 0.4))
    walk = motion.glide(dice, dice.sign() * dice.uniform(0.4, 1.5), dice.normal(0.05))
    alpha = shapes.cover(torch.minimum(head, body), stage.columns)
    return Layer(alpha, stage.fade(colour, near), near, choose(dice.chance(0.75), rock, walk))


def flag(stage: Stage, near: Tensor) -> Layer:
    """Make a cloth held along one side; waves run out to its free end."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    side, high = dice.sign(), size * dice.uniform(1.0, 2.0)
    x, y = (stage.x - cx) * side, stage.y - foot + high
    cloth = shapes.box(x - size * 0.35, y - size * 0.2 - 0.02 * (x * 30).sin() * size, size * 0.35, size * 0.2)
    pole = torch.maximum(x.abs() - 0.02 * size, (y - high / 2).abs() - high / 2)
    colour = stage.paint(dice.coins.choice((textures.GRID, textures.FRACTAL)), "any", (1, 3))
    out = (stage.cell_x - cx) * side / (0.7 * size)
    phase = -dice.uniform(3, 7) * out
    up = torch.full_like(size, torch.pi / 2)
    way = motion.sway(dice, out, up, phase, dice.uniform(0.5, 1.2))
    return Layer(shapes.cover(torch.minimum(cloth, pole), stage.columns), stage.fade(colour, near), near, way)


def lamp(stage: Stage, near: Tensor) -> Layer:
    """Make something on a cord from above; it swings about its nail, rigidly."""
    dice = stage.dice
    cx, size = stage.across(0.45), (0.08 + 0.15 * near) * dice.uniform(0.7, 1.4)
    nail, low = torch.full_like(size, -BOTTOM), dice.uniform(-0.2, 0.1)
    x, y = stage.x - cx, stage.y - low
    cord = torch.maximum(x.abs() - 0.003, y)
    whole = torch.minimum(cord, outline(stage, x, y, size))
    colour = stage.shade(band(stage, stage.paint(dice.coins.choice(SOLID), "any", (0.7, 3)), x, y, size), x, y, size)
    way = motion.swing(dice, stage.cell_x, stage.cell_y, (cx, nail), low - nail, dice.uniform(0.5, 1.2))
    return Layer(shapes.cover(whole, stage.columns), colour, near, way)
