"""Water: lakes and seas that mirror what stands behind and in them, and streams that wind toward the viewer.

A reflection is as near as the water's surface, and flows with it. It does not know which things make a place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe import own, photographs, shapes, textures
from recipe.dice import ripple
from recipe.stage import BOTTOM, Layer, Stage


def lake(stage: Stage) -> Layer:
    """Make a sheet of water from a far shore to a near one, or to the bottom; half of them mirror the shore."""
    dice = stage.dice
    far = dice.uniform(0.0, 0.4) * dice.chance(0.7)
    close = far + dice.log_uniform(0.2, 2.5)
    shore = 0.03 * ripple(dice, stage.x, slowest=0.8, waves=8, fall=1.2) * far
    near = stage.ground_nearness(stage.y)
    inside = torch.maximum(far + shore - near, near - close - 3 * shore) * (BOTTOM - stage.horizon)
    alpha = shapes.cover(inside, stage.columns, 2.0)
    surface, waves = paint_water(stage)
    line = stage.horizon + far * (BOTTOM - stage.horizon)
    mirrored, _ = reflect(stage, stage.picture(), line, waves)
    calm = dice.uniform(0.2, 0.95) * dice.chance(0.8)
    colour = surface + calm[:, None] * (mirrored * dice.uniform(0.6, 1.05, 3) - surface)
    colour = glitter(stage, colour, waves, near)
    drift = dice.sign() * dice.uniform(0.3, 1.2) * (0.15 + near)
    toward = dice.uniform(-0.1, 0.4) * near
    flow = own.stream(drift, toward)
    stage.wet, stage.wet_flow = alpha * (0.2 + 0.7 * calm), flow
    return Layer(alpha, colour, near.clamp(min=0.01), flow)


def paint_water(stage: Stage) -> tuple[Tensor, Tensor]:
    """Return the water's own colour in perspective, and the height of its waves, [B, H, W]."""
    dice = stage.dice
    near = stage.ground_nearness(stage.y).clamp(min=0.02)
    zoom, stretch = dice.log_uniform(0.5, 2.5), dice.uniform(0.4, 1.5)
    u, v = stage.x / near * zoom * 0.5 + dice.uniform(), (1 / near) * zoom * stretch + dice.uniform()
    kind = dice.coins.choice((*(textures.STREAKS,) * 5, textures.FRACTAL))
    waves = stage.bank.sample(dice, kind, u, v)
    name = dice.coins.choice(("water", "water", "water", "sky", "sky", "stone", "leaf"))
    if stage.photographs.has(photographs.WATER) and dice.coins.random() < 0.4:
        colour = stage.photo(photographs.WATER, u, v)
    else:
        fine = (near / (near + 0.05))[:, None]
        colour = stage.tint(waves * fine, name, odd=0.04)
    sheen = ((0.7 - near) * 1.2).clamp(0, 0.8)[:, None] * dice.uniform()[:, None]
    return colour + sheen * (stage.haze - colour), waves[:, 0]


def reflect(stage: Stage, image_BCHW: Tensor, line: Tensor, waves: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror an image at a horizontal line, wobbling with the waves; also return where that is inside the image."""
    dice, near = stage.dice, stage.ground_nearness(stage.y)
    rough = dice.log_uniform(0.001, 0.03) * (0.2 + near)
    y = line - (stage.y - line) * dice.uniform(0.85, 1.1) + rough * waves
    x = stage.x + 0.25 * rough * waves.roll(3, -1)
    rows, columns = stage.size
    grid = torch.stack(torch.broadcast_tensors(x * 2 * stage.columns / columns, y * 2 * stage.columns / rows), dim=-1)
    mirrored = F.grid_sample(image_BCHW, grid, align_corners=False, padding_mode="reflection")
    return mirrored, (stage.y > line).float()


def glitter(stage: Stage, colour: Tensor, waves: Tensor, near: Tensor) -> Tensor:
    """Put light on the crests, and foam on some waters."""
    dice = stage.dice
    crest = ((waves - dice.uniform(0.5, 2.0)) * dice.log_uniform(1.5, 8)).sigmoid() * (near + 0.15).clamp(max=1)
    lit = crest * dice.uniform(0, 0.8) * dice.chance(0.75)
    return colour * (1 + 0.12 * dice.uniform() * waves)[:, None] + lit[:, None] * (stage.haze * 1.1 - colour)


def add_reflection(stage: Stage, layer: Layer, foot: Tensor) -> None:
    """Mirror a thing that stands in calm water below its foot."""
    if stage.wet is None:
        return
    wave = ripple(stage.dice, stage.y, slowest=6, waves=8, fall=0.6)
    image = torch.cat([layer.colour_BCHW, layer.alpha_BHW[:, None]], dim=1)
    mirrored, below = reflect(stage, image, foot, wave.expand(-1, *stage.size))
    alpha = mirrored[:, 3] * below * stage.wet
    near = stage.ground_nearness(stage.y).clamp(min=0.01)
    stage.add(Layer(alpha, mirrored[:, :3] * 0.85, near, stage.wet_flow))


def stream(stage: Stage) -> Layer:
    """Make water that winds from far off toward the viewer between banks, dark and clear or white with foam."""
    dice = stage.dice
    near = stage.ground_nearness(stage.y).clamp(min=0.02)
    far = dice.uniform(0.02, 0.3)
    middle, swing = stage.across(0.3), dice.uniform(0.0, 0.25)
    turns, phase, lean = dice.uniform(0.3, 1.5), dice.angle(), dice.normal(0.25)
    bend = 2 * torch.pi * turns * near + phase
    path = middle * (1 - 0.5 * near) + near * (lean + swing * bend.sin())
    slope = lean + swing * (bend.sin() + near * bend.cos() * 2 * torch.pi * turns)
    ragged = 0.15 * ripple(dice, stage.y, slowest=6, waves=10, fall=0.7) + 0.1 * ripple(
        dice, stage.x, slowest=3, waves=6, fall=1
    )
    wide = near * dice.log_uniform(0.1, 0.7) * (1 + ragged)
    inside = torch.maximum((stage.x - path).abs() - wide, (far - near) * (BOTTOM - stage.horizon))
    zoom = dice.log_uniform(0.7, 3)
    along, across = (1 / near) * zoom * dice.uniform(0.4, 1.5), (stage.x - path) / near * zoom
    if stage.photographs.has(photographs.WATER) and dice.coins.random() < 0.3:
        colour = stage.photo(photographs.WATER, across, along)
    else:
        colour = stage.tint(
            stage.bank.sample(dice, textures.STREAKS, along, across), dice.coins.choice(("water", "stone", "leaf"))
        )
    waves = stage.bank.sample(dice, dice.coins.choice((textures.STREAKS, textures.FRACTAL)), along * 1.5, across * 1.5)[:, 0]
    colour = glitter(stage, colour * dice.uniform(0.4, 1.1)[:, None], waves, near + 0.3)
    mirrored, _ = reflect(stage, stage.picture(), stage.horizon.expand_as(middle), waves)
    colour = colour + (dice.uniform(0, 0.6) * dice.chance(0.4))[:, None] * (mirrored - colour)
    step = (along * dice.log_uniform(0.3, 2) + 0.3 * waves) % 1
    foam = (step < dice.uniform(0.1, 0.6)) * (waves * dice.uniform(1, 3) + dice.uniform(-1, 1.5)).sigmoid() * dice.chance(0.75)
    colour = colour + foam[:, None] * (stage.colour("cloud") - colour)
    speed = dice.sign() * near * (1 - 0.6 * ((stage.x - path).abs() / wide.clamp(min=1e-3)).clamp(0, 1) ** 2)
    flow = own.stream(speed * slope.clamp(-3, 3) * 0.5, speed)
    return Layer(shapes.cover(inside, stage.columns, 2.0), colour, near.clamp(min=0.01), flow)
