"""What stands, hangs and grows in a scene: what sways, and what is rigid and does neither sway nor flow.

Every function takes the stage and how near the thing is (0 far, 1 at the bottom edge), and gives a layer.
It does not know which things make a place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recipe import own, photographs, shapes, textures
from recipe.stage import BOTTOM, Layer, Stage

SOLID = (textures.FRACTAL, textures.LEAVES, textures.CELLS, textures.GRID, textures.STREAKS)
LEAFY = (textures.FOLIAGE, textures.LEAVES, textures.FRACTAL)


def place(stage: Stage, near: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose where a standing thing touches the ground, and a size that goes with its distance."""
    dice = stage.dice
    foot = stand_at(stage, near) if stage.grounded else dice.uniform(-0.1, 0.35)
    return stage.across(0.5), foot, (0.06 + 0.3 * near) * dice.log_uniform(0.5, 1.5)


def stand_at(stage: Stage, near: Tensor) -> Tensor:
    """Return where on the picture a thing so near stands on the ground."""
    return stage.horizon + near * (BOTTOM - stage.horizon)


def sometimes(stage: Stage, share: float, layer: Layer) -> Layer:
    """Let the thing be there in that share of the scenes."""
    there = stage.dice.chance(share)
    return Layer(layer.alpha_BHW * there, layer.colour_BCHW, layer.nearness, layer.flow, layer.sway)


def outline(stage: Stage, x: Tensor, y: Tensor, size: Tensor) -> Tensor:
    """Return the outline of some solid thing around zero."""
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
    """Paint stripes on some things, straight, around, or as meridians: they are no edges of depth."""
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
    if dice.coins.random() < 0.3:
        colour_BCHW = letter(stage, colour_BCHW, x, y, size)
    for _ in range(dice.coins.randint(0, 2)):
        far, angle = dice.uniform(0, 0.6) * size, dice.angle()
        at_x, at_y = shapes.turn(x - far * angle.cos(), y - far * angle.sin(), dice.angle())
        wide, high = size * dice.log_uniform(0.04, 0.35), size * dice.log_uniform(0.04, 0.25)
        kind = dice.coins.choice((shapes.ellipse, shapes.ellipse, shapes.box))
        there = shapes.cover(kind(at_x, at_y, wide, high), stage.columns, dice.log_uniform(1.2, 6)) * dice.chance(0.35)
        paint = stage.paint(dice.coins.choice(SOLID), "any", (0.5, 4))
        colour_BCHW = colour_BCHW + (there * dice.uniform(0.4, 1))[:, None] * (paint - colour_BCHW)
    return colour_BCHW


def letter(stage: Stage, colour_BCHW: Tensor, x: Tensor, y: Tensor, size: Tensor) -> Tensor:
    """Write lines of glyphs on some things: random bits on a grid of four by six a glyph, in a box."""
    dice = stage.dice
    high = size * dice.log_uniform(0.05, 0.3)
    u, v = x / high * 6 + 200, (y - size * dice.uniform(-0.3, 0.3)) / high * 6 + 200
    column, row = u.floor(), v.floor()
    bit = ((column * 12.9898 + row * 78.233 + dice.uniform(0, 9)).sin() * 43758.5453) % 1 < 0.55
    line = ((row % 8) < 6) & ((column % 5) < 4) & ((v - 200).abs() < 8 * dice.uniform(0.4, 2)) & (x.abs() < size * 0.4)
    ink = (bit & line).float() * dice.chance(0.4)
    board = (line | ((v - 200).abs() < 9)).float() * (x.abs() < size * 0.43) * dice.chance(0.15)
    colour = colour_BCHW + board[:, None] * (stage.colour("any") - colour_BCHW)
    return colour + ink[:, None] * (stage.colour("any", odd=1) - colour)


def solid(stage: Stage, near: Tensor) -> Layer:
    """Make a thing of one piece."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    cy = foot - size * dice.uniform(0.3, 0.6)
    x, y = stage.x - cx, stage.y - cy
    colour = band(stage, stage.paint(dice.coins.choice(SOLID), "any", (0.7, 4), photo=photographs.SOLID), x, y, size)
    colour = stage.shade(mark(stage, colour, x, y, size), x, y, size)
    alpha = shapes.cover(outline(stage, x, y, size), stage.columns)
    return Layer(alpha, stage.fade(colour, near), near)


def rock(stage: Stage, near: Tensor) -> Layer:
    """Make a stone or a cluster of them, wide and low; dark where it is wet."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    size = size * dice.uniform(0.7, 2)
    x, y = stage.x - cx, stage.y - foot
    flat = dice.uniform(1.2, 2.5)
    body = shapes.blob(dice, x, y * flat, size * 0.5, rough=0.6, waves=7)
    body = torch.minimum(body, shapes.blob(dice, x - size * dice.uniform(-0.7, 0.7), y * flat, size * 0.3, rough=0.6))
    kind = dice.coins.choice((textures.FRACTAL, textures.CELLS, textures.LEAVES))
    colour = stage.paint(kind, "stone", (0.7, 4), photo=photographs.SOLID)
    moss = (stage.bank.sample(dice, textures.FRACTAL, stage.x * 2, stage.y * 2)[:, :1] * 3 - 2).sigmoid()
    colour = colour + moss * dice.chance(0.3)[:, None] * (stage.colour("leaf") - colour)
    colour = stage.shade(colour, x, y, 0.5 * size) * (1 + 0.5 * (-y / size).clamp(-0.8, 0.6))[:, None]
    return Layer(shapes.cover(torch.maximum(body, y - 0.1 * size), stage.columns), stage.fade(colour, near), near)


def cutting(stage: Stage, near: Tensor) -> Layer:
    """Place a thing cut out of a photograph: animals, vehicles, fruit, signs."""
    return cut(stage, near, photographs.THING)


def cut(stage: Stage, near: Tensor, kind: str, high: float = 1.0) -> Layer:
    """Stand something cut out of a photograph on the ground."""
    if not stage.photographs.has(kind):
        return solid(stage, near)
    dice = stage.dice
    cx, foot, size = place(stage, near)
    size = size * dice.uniform(0.8, 1.8) * high
    x, y = (stage.x - cx) * dice.sign() / size * 2, (stage.y - foot) / size * 2 + 1
    colour, alpha = stage.photographs.cut(dice, kind, x, y)
    return Layer(alpha, stage.fade(stage.recolour(colour), near), near)


def vehicle(stage: Stage, near: Tensor) -> Layer:
    """Make a body on two wheels, or a hull."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    x, y = stage.x - cx, stage.y - foot
    body = shapes.box(x, y + 0.16 * size, size / 2, size * dice.uniform(0.1, 0.18))
    cabin = shapes.box(x - size * dice.uniform(-0.15, 0.15), y + 0.3 * size, size * dice.uniform(0.15, 0.4), size * 0.14)
    wheels = [shapes.ellipse(x - side * 0.3 * size, y + 0.02 * size, size * 0.09, size * 0.09) for side in (-1, 1)]
    whole = torch.minimum(torch.minimum(body, cabin), torch.minimum(*wheels))
    colour = band(stage, stage.paint(textures.FRACTAL, "any", (0.3, 1)), x, y, size)
    dark = shapes.cover(torch.minimum(torch.minimum(*wheels), cabin + 0.03 * size), stage.columns)[:, None] * 0.8
    return Layer(shapes.cover(whole, stage.columns), stage.fade(colour * (1 - dark), near), near)


def boat(stage: Stage, near: Tensor) -> Layer:
    """Make a hull, with a cabin or a mast and sail."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    x, y = (stage.x - cx) * dice.sign(), stage.y - foot
    half, deep = size * dice.uniform(0.4, 0.9), size * dice.uniform(0.12, 0.25)
    hull = torch.maximum(torch.maximum(y, -deep - 0.3 * (x / half).clamp(0, 1.2) ** 2 * deep - y), x.abs() - half - 0.6 * (-y))
    cabin = shapes.box(x + half * 0.2, y + deep * 1.5, half * dice.uniform(0.2, 0.5), deep * 0.8) + 9 * dice.chance(0.5)
    high = size * dice.uniform(1, 2)
    mast = torch.maximum(x.abs() - 0.015 * size, (y + high / 2).abs() - high / 2)
    sail = torch.maximum(torch.maximum(-x, x * 2.2 + (-y - deep) - high * 0.95 + 0.2 * deep), y + deep * 1.6)
    sail = sail + 9 * dice.chance(0.5)
    rig = torch.minimum(mast, sail) + 9 * dice.chance(0.4)
    cloth = shapes.cover(sail, stage.columns)[:, None]
    colour = stage.paint(dice.coins.choice((textures.GRID, textures.FRACTAL)), "any", (0.5, 2), tilt=0.1)
    colour = colour + cloth * (stage.colour("cloud") - colour)
    colour = band(stage, colour, x, y, size)
    whole = torch.minimum(torch.minimum(hull, cabin), rig)
    return Layer(shapes.cover(whole, stage.columns), stage.fade(colour, near), near)


def poles(stage: Stage, near: Tensor) -> Layer:
    """Make thin upright poles in a row: fences, masts, lamp posts, with a rail or wires now and then."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    high, pitch = size * dice.log_uniform(0.4, 3), size * dice.log_uniform(0.25, 3)
    thin, reach = (0.01 + 0.05 * near) * dice.log_uniform(0.08, 0.5), size * dice.uniform(0, 4)
    x, y = stage.x - cx, stage.y - foot
    nearest = x - pitch * (x / pitch).round()
    post = torch.maximum(nearest.abs() - thin, torch.maximum((x - nearest).abs() - reach, torch.maximum(y, -high - y)))
    rail_y = y + high * dice.uniform(0.4, 1.0)
    rail = torch.maximum(rail_y.abs() - thin * dice.uniform(0.2, 0.9), x.abs() - reach) + 9 * dice.chance(0.5)
    lamp = shapes.ellipse(nearest, y + high, thin * 4, thin * 3) + 9 * (1 - dice.chance(0.2))
    lamp = torch.maximum(lamp, (x - nearest).abs() - reach)
    whole = torch.minimum(torch.minimum(post, rail), lamp)
    colour = stage.paint(textures.STREAKS, dice.coins.choice(("wood", "stone", "any")), (1, 3))
    return Layer(shapes.cover(whole, stage.columns), stage.fade(colour, near), near)


def pier(stage: Stage, near: Tensor) -> Layer:
    """Make a deck on thin posts that runs in from one side."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    x, y = (stage.x - cx * 0.5) * dice.sign(), stage.y - foot
    lift, thick = size * dice.uniform(0.1, 0.5), size * dice.uniform(0.04, 0.2)
    deck = torch.maximum((y + lift + thick / 2).abs() - thick / 2, -x)
    pitch, thin = size * dice.uniform(0.2, 0.9), size * dice.uniform(0.012, 0.06)
    nearest = (x - 0.5 * pitch) - pitch * ((x - 0.5 * pitch) / pitch).round()
    up = lift + size * dice.uniform(0, 0.5) * dice.chance(0.5)
    post = torch.maximum(torch.maximum(nearest.abs() - thin, -x), torch.maximum(y, -up - y))
    colour = stage.paint(
        dice.coins.choice((textures.GRID, textures.STREAKS)), "wood", (1, 3), tilt=0.05, photo=photographs.SOLID
    )
    colour = colour * (1 - 0.4 * (y > -lift).float())[:, None]
    return Layer(shapes.cover(torch.minimum(deck, post), stage.columns), stage.fade(colour, near), near)


def building(stage: Stage, near: Tensor) -> Layer:
    """Make a block or a tower with windows that mirror the sky, stripes, signs."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    wide, high = size * dice.uniform(0.4, 1.6), size * dice.uniform(0.6, 2.6)
    x, y = stage.x - cx, stage.y - foot + high / 2
    slim = dice.chance(0.25)  # a tower, a chimney, a lighthouse
    wide, taper = wide * (1 - 0.7 * slim), 1 + (0.2 * dice.chance(0.2) + 0.3 * slim) * y / high
    wall = shapes.box(x, y, wide / 2 * taper, high / 2)
    roof = torch.maximum(x.abs() * dice.uniform(0.3, 1.5) - (y + high * 0.5 + wide * 0.4), y + high * 0.45)
    wall = torch.minimum(wall, roof + 9 * (1 - dice.chance(0.4)))
    pitch, tall = wide / dice.uniform(2, 9), dice.uniform(0.7, 2)
    pane = (((x / pitch) % 1 - 0.5).abs() < dice.uniform(0.15, 0.4)) & (((y / pitch / tall) % 1 - 0.5).abs() < 0.3)
    glass = stage.haze * dice.uniform(0.2, 1.2)[:, None] + 0.15 * stage.paint(textures.FRACTAL, "sky", (1, 3))
    shown = (pane.float() * dice.chance(0.75))[:, None]
    kind = dice.coins.choice((textures.GRID, textures.FRACTAL, textures.CELLS))
    colour = stage.paint(kind, "stone", tilt=0.05, photo=photographs.SOLID)
    colour = mark(stage, band(stage, colour, x, y, size), x, y, size)
    colour = colour + shown * (glass - colour)
    tiled = (y < -high * 0.47).float()[:, None] * dice.chance(0.4)[:, None]
    colour = colour + tiled * (stage.colour("wood") - colour)
    return Layer(shapes.cover(wall, stage.columns), stage.fade(colour, near), near)


def tree(stage: Stage, near: Tensor) -> Layer:
    """Make a trunk, which stands, and a crown of leaves, which sways."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    high = size * dice.uniform(1.2, 2.6)
    x, y = stage.x - cx, stage.y - foot
    trunk = torch.maximum(x.abs() - size * 0.05 * (1 - 0.5 * (-y / high)), torch.maximum(y, -y - high))
    tall = (y + high * 0.75) * dice.uniform(0.5, 1.1)
    crown = shapes.blob(dice, x, tall, size * dice.uniform(0.3, 0.6), waves=9, rough=0.8)
    crown = torch.minimum(crown, shapes.blob(dice, x - size * dice.uniform(-0.3, 0.3), tall, size * 0.25, waves=9, rough=0.8))
    fir = torch.maximum(x.abs() * dice.uniform(2.5, 5) - (y + high * 1.05), y + high * 0.15)
    crown = crown + dice.chance(0.25) * (fir - crown)
    crown = crown + size * dice.uniform(0.0, 0.16) * leaf_edge(stage, size)
    leaves = stage.paint(dice.coins.choice(LEAFY), "leaf", (2, 6), photo=photographs.LEAF)
    wood = stage.colour("wood")
    green = shapes.cover(crown, stage.columns)
    colour = stage.shade(wood + green[:, None] * (leaves - wood), x, y + high * 0.75, size)
    sway = own.bend(-y / high, stage.wind, dice.uniform(0.3, 1), green)
    return Layer(shapes.cover(torch.minimum(trunk, crown), stage.columns), stage.fade(colour, near), near, sway=sway)


def leaf_edge(stage: Stage, size: Tensor) -> Tensor:
    """Return a rough texture that frays an outline into leaves, [B, H, W]."""
    dice = stage.dice
    zoom = dice.uniform(0.25, 0.9) / size
    kind = dice.coins.choice((textures.FOLIAGE, textures.LEAVES))
    return stage.bank.sample(dice, kind, stage.x * zoom + dice.uniform(), stage.y * zoom + dice.uniform())[:, 0]


def plant(stage: Stage, near: Tensor) -> Layer:
    """Place a tree or flower cut out of a photograph; it bends from its root."""
    layer = cut(stage, near, photographs.PLANT, 1.4)
    if not stage.photographs.has(photographs.PLANT):
        return tree(stage, near)
    foot = stand_at(stage, near) if stage.grounded else BOTTOM
    lift = 0.3 + (foot - stage.y).clamp(min=0) / (0.1 + 0.4 * near)
    return Layer(layer.alpha_BHW, layer.colour_BCHW, near, sway=own.bend(lift, stage.wind, stage.dice.uniform(0.4, 1.2)))


def stems(stage: Stage, near: Tensor) -> Layer:
    """Make flowers on thin stems, heads round, ragged or full of fine rays; they sway from the root."""
    dice = stage.dice
    cx, foot, size = place(stage, near)
    foot, alpha, wood = torch.maximum(foot, 0 * foot + 0.6 * BOTTOM), None, stage.colour("leaf")
    colour = wood.expand(-1, -1, *stage.size)
    for _ in range(dice.coins.randint(1, 5)):
        high, head = size * dice.uniform(1, 3), size * dice.log_uniform(0.06, 0.4)
        at_x, curve = cx + dice.uniform(-0.25, 0.25), dice.uniform(-0.6, 0.6)
        x, y = stage.x - at_x, stage.y - foot
        up = (-y / high).clamp(0, 1)
        stem = torch.maximum((x - curve * high * up**2).abs() - size * dice.uniform(0.006, 0.03), torch.maximum(y, -high - y))
        hx, hy = x - curve * high, y + high
        angle = torch.atan2(hy, hx + 1e-6)
        rays = dice.coins.choice((3, 5, 8, 24, 40)) + dice.index(4)[:, None, None].float()
        bloom = (hx**2 + hy**2).sqrt() - head * (1 + dice.uniform(0.05, 0.5) * (rays * angle).cos())
        pale = dice.chance(0.35)[:, None]
        petals = stage.colour("any") * (1 - pale) + stage.colour("cloud") * pale
        petals = stage.shade(petals + 0.1 * stage.paint(textures.FRACTAL, "any"), hx, hy, head)
        heart = shapes.cover(shapes.ellipse(hx, hy, head * 0.35, head * 0.35), stage.columns)[:, None]
        petals = petals + heart * dice.chance(0.6)[:, None] * (stage.colour("any") - petals)
        there = shapes.cover(bloom, stage.columns, dice.log_uniform(1, 12)) * dice.uniform(0.6, 1)
        colour = colour + there[:, None] * (petals - colour)
        shown = torch.maximum(there, shapes.cover(stem, stage.columns)) * dice.chance(0.8)
        alpha = shown if alpha is None else torch.maximum(alpha, shown)
    sway = own.bend((foot - stage.y) / (2 * size), stage.wind, dice.uniform(0.5, 1.2))
    assert alpha is not None
    return Layer(alpha, stage.fade(colour, near), near, sway=sway)
