"""What has no firm outline: sky, hills far off, clouds, smoke, falls, ground, leaves before the lens.

Every function takes the stage and gives a layer. It does not know which of them make a place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe import own, photographs, shapes, textures
from recipe.dice import ripple
from recipe.stage import BOTTOM, Layer, Own, Stage
from recipe.things import LEAFY, cut, leaf_edge, stand_at


def sky(stage: Stage) -> Layer:
    """Make the farthest layer: a gradient from the zenith to the haze, a sun now and then."""
    dice = stage.dice
    top = stage.colour(dice.coins.choice(("sky", "sky", "sky", "dusk", "cloud", "any")))
    height = ((stage.y + BOTTOM) / (stage.horizon + BOTTOM).clamp(min=0.05)).clamp(0, 1) ** dice.uniform(0.6, 2)
    colour = top + (stage.haze - top) * height[:, None]
    grain = stage.paint(textures.FRACTAL, "sky", (0.3, 1)) - 0.5
    colour = colour + 0.08 * dice.uniform()[:, None] * grain
    far = ((stage.x - stage.across(0.5)) ** 2 + (stage.y - stage.horizon + dice.uniform(0, 0.3)) ** 2).sqrt()
    glow = (-far / dice.log_uniform(0.02, 0.2)).exp() * dice.chance(0.25) * dice.uniform(0.5, 1.2)
    return Layer(torch.ones_like(colour[:, 0]), colour + glow[:, None], torch.zeros_like(stage.horizon))


def cloud(stage: Stage) -> Layer:
    """Make clouds that drift together, slower toward the horizon."""
    dice = stage.dice
    zoom, flat = dice.log_uniform(0.4, 1.2), dice.uniform(1, 3)
    u, v = stage.x * zoom + dice.uniform(), stage.y * zoom * flat + dice.uniform()
    puff = stage.bank.sample(dice, textures.FRACTAL, u, v)
    fill = puff[:, 0] + dice.uniform(-1.2, 0.8) - 0.4 * ((stage.y - stage.horizon) * 6).clamp(min=0)
    alpha = (fill * dice.uniform(0.8, 4)).sigmoid() * dice.uniform(0.5, 1.0) * (stage.y < stage.horizon + 0.02)
    tone = dice.uniform(0.3, 1) ** dice.chance(0.5)
    colour = stage.colour("cloud") * tone[:, None]
    colour = colour * (1 - 0.12 * puff[:, 1:].clamp(-1, 1.5)) - 0.05 * (fill.clamp(0, 2))[:, None]
    height, share = ((stage.horizon - stage.y) / 0.3).clamp(0.1, 1), torch.ones_like(alpha)
    if stage.photographs.has(photographs.CLOUD) and dice.coins.random() < 0.5:
        colour = stage.photo(photographs.CLOUD, u * 2, v / flat * 2)
        alpha, share = torch.ones_like(alpha) * (stage.y < stage.horizon + 0.02), find_texture(colour)
    speed = dice.uniform(0.2, 0.6)
    flow = Own(share, dice.sign() * speed * height, dice.normal(0.05) * height)
    return Layer(alpha, colour, torch.full_like(stage.horizon, 0.004), flow)


def find_texture(colour_BCHW: Tensor) -> Tensor:
    """Return 1 where there is something whose motion could be seen, 0 where a sky is plain, [B, H, W]."""
    grey = colour_BCHW.mean(1, keepdim=True)
    detail = (grey - F.avg_pool2d(grey, 15, 1, 7, count_include_pad=False)).abs()
    return (F.avg_pool2d(detail, 15, 1, 7, count_include_pad=False) * 40 - 0.2).clamp(0, 1)[:, 0]


def wood(stage: Stage) -> Layer:
    """Make a wall of leaves behind the ground, as a forest or a hedge is, dark below; it sways a little."""
    dice, near = stage.dice, stage.dice.uniform(0.08, 0.35)
    crest = stage.horizon - dice.uniform(0.05, 0.5) - dice.uniform(0.01, 0.08) * ripple(
        dice, stage.x, slowest=1.5, waves=14, fall=0.8
    )  # fmt: skip
    inside = torch.maximum(crest - stage.y, stage.y - stand_at(stage, near)) + 0.03 * leaf_edge(stage, near)
    colour = stage.paint(dice.coins.choice(LEAFY), "leaf", (1.5, 6), photo=photographs.LEAF)
    colour = colour * (1 - dice.uniform(0, 0.6) * ((stage.y - crest) * 4).clamp(0, 1))[:, None]
    sway = own.bend(0.3 + (stage.horizon - stage.y).clamp(min=0) * 2, stage.wind, dice.uniform(0.3, 0.8))
    return Layer(shapes.cover(inside, stage.columns), stage.fade(colour, near), near, sway=sway)


def hill(stage: Stage, near: Tensor) -> Layer:
    """Make a ridge or a far wood, hazier the farther; it stays."""
    dice = stage.dice
    crest = stage.horizon - dice.uniform(0.0, 0.16) - dice.uniform(0.005, 0.06) * ripple(
        dice, stage.x, slowest=0.7, waves=14, fall=1.1
    )  # fmt: skip
    kind = dice.coins.choice((textures.FRACTAL, textures.FOLIAGE, textures.LEAVES))
    colour = stage.paint(kind, dice.coins.choice(("leaf", "leaf", "stone")), (1, 4), photo=photographs.LEAF)
    inside = torch.maximum(crest - stage.y, stage.y - stage.horizon - 0.03)
    return Layer(shapes.cover(inside, stage.columns), stage.fade(colour, near), near)


def ground(stage: Stage, *, rough: bool = False) -> Layer:
    """Make the ground that recedes to the horizon, its texture in perspective; a third are meadows, which sway."""
    dice = stage.dice
    meadow = dice.coins.random() < 0.35 and not rough
    if rough:
        kind, name, photo = dice.coins.choice((textures.LEAVES, textures.CELLS, textures.FOLIAGE)), "stone", photographs.SOLID
    elif meadow:
        kind, name, photo = dice.coins.choice(LEAFY), "leaf", photographs.GRASS
    else:
        kind = dice.coins.choice((textures.GRID, textures.CELLS, textures.LEAVES, textures.FRACTAL))
        name, photo = dice.coins.choice(("ground", "ground", "ground", "stone", "stone", "any")), photographs.SOLID
    colour, near = lay_flat(stage, kind, name, dice.log_uniform(0.3, 1.2), photo=photo)
    alpha = shapes.cover(stage.horizon - stage.y + 0.0 * near, stage.columns)
    sway = own.bend(0.4 * near + 0.05, stage.wind, dice.uniform(0.3, 1), (near * 4 - 0.4).clamp(0, 1)) if meadow else None
    return Layer(alpha, stage.fade(colour, near), near.clamp(min=0.01), sway=sway)


def lay_flat(
    stage: Stage, kind: str, name: str, zoom: Tensor, stretch: float = 1.0, photo: str | None = None
) -> tuple[Tensor, Tensor]:
    """Paint a texture on the ground, faded where it is too fine to be seen, [B, 3, H, W] and the nearness."""
    dice, near = stage.dice, stage.ground_nearness(stage.y).clamp(min=0.02)
    u, v = stage.x / near * zoom + dice.uniform(), (1 / near) * zoom * stretch + dice.uniform()
    fine = (near / (near + 0.08))[:, None]
    if photo and stage.photographs.has(photo) and dice.coins.random() < 0.5:
        colour = stage.photo(photo, u, v)
        plain = colour.mean((2, 3), keepdim=True)
        return plain + fine * (colour - plain), near
    return stage.tint(stage.bank.sample(dice, kind, u, v) * fine, name, odd=0.05), near


def fall(stage: Stage, near: Tensor) -> Layer:
    """Make a cliff down which a band of streaks falls."""
    dice = stage.dice
    cx, wide = stage.across(0.4), (0.04 + 0.2 * near) * dice.uniform(0.5, 1.8)
    top, foot = dice.uniform(-0.28, -0.05), stand_at(stage, near)
    rim = cx + wide * ripple(dice, stage.y, slowest=2, waves=8, fall=0.8)
    cliff = torch.maximum(
        (stage.x - rim).abs() - wide * dice.uniform(1, 3), torch.maximum(top - 0.02 - stage.y, stage.y - foot)
    )
    rock = stage.paint(dice.coins.choice((textures.FRACTAL, textures.LEAVES)), "stone", (1, 3), photo=photographs.SOLID)
    there = dice.chance(0.8)
    edge = 0.1 * wide * ripple(dice, stage.y, slowest=4, waves=8, fall=0.8)
    inside = torch.maximum((stage.x - cx).abs() - wide / 2 - edge, torch.maximum(top - stage.y, stage.y - foot))
    u, v = (stage.y - top) * dice.uniform(1, 3) + dice.uniform(), stage.x * dice.uniform(2, 5)
    colour = stage.tint(stage.bank.sample(dice, textures.STREAKS, u, v), "cloud")
    speed = (0.6 + 2 * (stage.y - top).clamp(0, 0.4)) * dice.uniform(0.7, 1.6)
    wet = shapes.cover(inside, stage.columns, 2.5)
    alpha = torch.maximum(wet, shapes.cover(cliff, stage.columns)) * there
    flow = Own(wet, torch.zeros_like(speed), speed)
    return Layer(alpha, rock + wet[:, None] * (colour - rock), near, flow)


def smoke(stage: Stage, near: Tensor) -> Layer:
    """Make a plume that rises from its foot, widens and leans with the wind."""
    dice = stage.dice
    if stage.photographs.has(photographs.SMOKE) and dice.coins.random() < 0.3:
        layer = cut(stage, near, photographs.SMOKE, 1.5)
        flow = own.stream(dice.normal(0.2), -dice.uniform(0.5, 1.5))
        return Layer(layer.alpha_BHW, layer.colour_BCHW, near, flow)
    cx, foot = stage.across(0.4), dice.uniform(-0.05, 0.25)
    wide, lean = dice.uniform(0.01, 0.06), 0.6 * stage.wind.cos() * dice.uniform()
    high = (foot - stage.y).clamp(min=0)
    middle = cx + lean * high + 0.02 * ripple(dice, stage.y, slowest=2, waves=4, fall=0.8)
    u, v = stage.x * dice.uniform(1, 2) + dice.uniform(), stage.y * dice.uniform(0.6, 1.5) + dice.uniform()
    puff = stage.bank.sample(dice, textures.FRACTAL, u, v)
    thick = 1 - ((stage.x - middle) / (wide + 0.5 * high)) ** 2 + 0.4 * puff[:, 0]
    alpha = thick.clamp(0, 1) * (high * 20).clamp(0, 1) * (1.2 - high * 2).clamp(0, 1) * dice.uniform(0.3, 1)
    climb = dice.uniform(0.5, 1.5)
    away = (stage.x - cx - lean * (foot - stage.y)) * 2
    colour = stage.colour("cloud") * dice.uniform(0.3, 1)[:, None] * (1 - 0.1 * puff[:, 1:])
    return Layer(alpha, colour, near, own.stream(climb * (lean + away), -climb))


def frond(stage: Stage) -> Layer:
    """Make leaves that hang into the picture from a corner or a side, near and swaying."""
    dice = stage.dice
    cx, cy = dice.sign() * dice.uniform(0.3, 0.55), dice.sign() * dice.uniform(0.1, 0.3)
    x, y = stage.x - cx, stage.y - cy
    reach = dice.uniform(0.15, 0.4)
    ragged = ripple(dice, torch.atan2(y, x + 1e-6), slowest=1.5, waves=14, fall=0.5)
    inside = (x**2 + y**2).sqrt() - reach * (0.7 + 0.3 * ragged)
    inside = inside + reach * dice.uniform(0, 0.25) * leaf_edge(stage, reach)
    colour = stage.paint(dice.coins.choice(LEAFY), "leaf", (1, 3), photo=photographs.LEAF) * dice.uniform(0.4, 1)[:, None]
    lift = 0.2 + (x**2 + y**2).sqrt() / reach
    sway = own.bend(lift, stage.wind, dice.uniform(0.4, 1))
    near = torch.full_like(reach, 1.2)
    return Layer(shapes.cover(inside, stage.columns, dice.uniform(1, 8)), colour, near, sway=sway)
