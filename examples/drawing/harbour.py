"""The sun goes down over a bay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ImageDraw

from drawing.tools import (
    Scene,
    View,
    below,
    clouds,
    develop,
    distance,
    gradient,
    light,
    mix,
    noise,
    ridge,
    sample,
    shapes,
    smooth,
    soften,
    water,
)


def draw_harbour(path: Path) -> None:
    """The sun goes down over a bay: hills in haze, a village, a sailing boat in the glitter."""
    view, rng = View(1280, 720), np.random.default_rng(11)
    horizon, sun = 0.60, (1.13, 0.47)
    stops = [(0.0, "#243a68"), (0.28, "#5a639a"), (0.5, "#b5839b"), (0.72, "#eda57c"), (0.9, "#ffd193"), (1.0, "#ffdca6")]
    scene = gradient(stops, np.broadcast_to(view.y / horizon, view.shape))
    away = distance(view, *sun)
    scene = scene + light("#ff9d4d") * (0.9 * np.exp(-away / 0.16) + 0.35 * np.exp(-away / 0.45))[..., None]
    cover, lit = clouds(view, rng, horizon, sun, 0.47)
    near_sun = np.exp(-away / 0.5)[..., None]
    bright = light("#ffb58a") * (0.75 + 1.1 * near_sun) * lit[..., None] + light("#77668f") * (1 - lit[..., None])
    scene = mix(scene, bright.astype(np.float32), cover * 0.85)
    skyline = np.ones((1, view.shape[1]), np.float32)
    for level, rise, cells, colour, haze in (
        (0.500, 0.20, 3, "#a98398", 0.70),
        (0.540, 0.16, 4, "#806c86", 0.50),
        (0.572, 0.13, 5, "#54536f", 0.34),
    ):
        line = ridge(view, rng, level, rise, cells)
        skyline = np.minimum(skyline, line)
        tint = mix(np.broadcast_to(light(colour), scene.shape), light("#ffc08a"), haze * np.exp(-away / 0.33))
        tint = mix(tint, light("#e8b09a"), 0.45 * smooth(0.0, 0.10, view.y - soften(line)))
        scene = mix(scene, tint, below(view, line))
    scene = _draw_headland(scene, view, rng, horizon)
    scene = _draw_boat(scene, view, (0.985, horizon + 0.004), 0.145)
    scene, slope, depth = water(scene, view, rng, horizon, "#1d3350", 0.15)
    sparks = sample(noise(rng, cells=32, octaves=5, gain=0.7), view.x / (depth + 0.05) * 0.21, 1.9 / (depth + 0.05))
    lane = np.exp(-(((view.x - sun[0]) / (0.030 + 0.15 * depth)) ** 2)) * (view.y > horizon)
    scene = scene + light("#ffb870") * (0.55 * lane * (1 - 0.6 * depth))[..., None]
    scene = scene + light("#ffe2ae") * (3.2 * lane * smooth(0.52, 0.74, sparks + 0.25 * slope) * (1.1 - depth))[..., None]
    disc = smooth(0.037, 0.033, away) * (view.y < horizon)
    hills = smooth(0.0, 0.002, view.y - skyline)
    scene = scene + light("#ffedc4") * (4.0 * disc * (1 - hills))[..., None]
    scene = mix(scene, light("#f0b493"), 0.34 * np.exp(-np.abs(view.y - horizon) / 0.012) * np.ones(view.shape, np.float32))
    scene = _draw_jetty(scene, view, rng, horizon)
    develop(scene, view, path, quality=88, seed=1)


def _draw_headland(scene: Scene, view: View, rng: np.random.Generator, horizon: float) -> Scene:
    """A wooded hill on the left, with a village at its foot."""
    x = view.x
    back = horizon + 0.01 - 0.23 * np.exp(-((x / 0.42) ** 2)) - 0.05 * np.exp(-(((x - 0.38) / 0.22) ** 2))
    line = back + (ridge(view, rng, 0, 0.03, 16, 0.62) + ridge(view, rng, 0, 0.010, 128, 0.7)) * smooth(0.75, 0.55, x)
    tile = noise(rng, cells=32, octaves=6, gain=0.6)
    leaves = sample(tile, x * 1.1 + 0 * view.y, view.y * 1.6 + 0 * x)
    wood = light("#2b3546") * (0.55 + 0.9 * leaves[..., None])
    wood = mix(wood.astype(np.float32), light("#e0906a"), 0.20 * smooth(0.10, 0.7, x) * smooth(0.55, 0.8, leaves))
    wood = mix(wood, light("#c08a86"), 0.40 * smooth(horizon - 0.10, horizon + 0.01, view.y))
    scene = mix(scene, wood, below(view, line) * (view.y < horizon + 0.004))

    def houses(pen: ImageDraw.ImageDraw, unit: float) -> None:
        chance = np.random.default_rng(5)
        walls = ["#c9a591", "#b98f86", "#d6b79a", "#a78a90", "#c59c7c"]
        for row, foot in ((0, horizon - 0.030), (1, horizon - 0.013), (2, horizon + 0.001)):
            at = 0.05 + 0.03 * row
            while at < 0.50 - 0.03 * row:
                w, h = 0.018 + 0.012 * chance.random(), 0.016 + 0.010 * chance.random()
                _draw_house(pen, unit, (at, foot - 0.012 * np.exp(-(((at - 0.1) / 0.2) ** 2))), (w, h), chance, walls)
                at += w + 0.004 + 0.02 * chance.random()
        tower = [(0.232, 0.572), (0.232, 0.512), (0.240, 0.482), (0.248, 0.512), (0.248, 0.572)]
        pen.polygon([(px * unit, py * unit) for px, py in tower], fill="#8d7680")
        pen.rectangle([0.2375 * unit, 0.520 * unit, 0.2425 * unit, 0.530 * unit], fill="#ffd98a")

    colours, cover = shapes(view, houses)
    lamps = smooth(0.80, 0.95, colours[..., 0]) * cover
    scene = mix(scene, colours * 0.62, cover)
    return scene + light("#ffb955") * (lamps * 1.2)[..., None]


def _draw_house(
    pen: ImageDraw.ImageDraw,
    unit: float,
    foot: tuple[float, float],
    size: tuple[float, float],
    chance: np.random.Generator,
    walls: Sequence[str],
) -> None:
    (x, y), (w, h) = foot, size
    pen.rectangle([x * unit, (y - h) * unit, (x + w) * unit, y * unit], fill=walls[chance.integers(len(walls))])
    roof = [(x - 0.002, y - h), (x + w / 2, y - h - 0.011), (x + w + 0.002, y - h)]
    pen.polygon([(px * unit, py * unit) for px, py in roof], fill="#6b4148")
    for column in range(2 + (w > 0.025)):
        if chance.random() < 0.6:
            left, top = x + w * (0.16 + 0.30 * column), y - h * 0.72
            pen.rectangle([left * unit, top * unit, (left + 0.0035) * unit, (top + 0.0055) * unit], fill="#ffc964")


def _draw_boat(scene: Scene, view: View, foot: tuple[float, float], tall: float) -> Scene:
    """A sailing boat with the sun behind its sails."""
    x, y = foot

    def curve(points: Sequence[tuple[float, float]], unit: float) -> list[tuple[float, float]]:
        return [((x + px * tall) * unit, (y - py * tall) * unit) for px, py in points]

    up = np.linspace(0, 1, 24)
    main = [
        (0.02, 0.14),
        *[(0.02 + 0.36 * (1 - t) ** 0.8 + 0.05 * np.sin(np.pi * t), 0.14 + 0.84 * t) for t in up],
        (0.02, 0.98),
    ]
    jib = [(-0.03, 0.90), *[(-0.03 - 0.36 * t + 0.03 * np.sin(np.pi * t), 0.90 - 0.78 * t) for t in up], (-0.06, 0.16)]
    hull = [(-0.44, 0.12), (0.46, 0.11), (0.40, 0.03), (0.32, 0.0), (-0.28, 0.0), (-0.36, 0.04)]

    def sails(pen: ImageDraw.ImageDraw, unit: float) -> None:
        pen.polygon(curve(main, unit), fill="#f3c9a0")
        pen.polygon(curve(jib, unit), fill="#fbdcb4")
        for t in (0.30, 0.52, 0.74):
            pen.line(
                curve([(0.02, 0.14 + 0.84 * t), (0.02 + 0.36 * (1 - t) ** 0.8 + 0.04, 0.12 + 0.84 * t)], unit),
                fill="#d9a987",
                width=3,
            )
        pen.line(curve([(0, 0.1), (0, 1.02)], unit), fill="#4a3440", width=6)
        pen.polygon(curve(hull, unit), fill="#3a2a38")
        pen.line(curve([(-0.44, 0.115), (0.46, 0.105)], unit), fill="#e0a882", width=4)

    colours, cover = shapes(view, sails)
    return mix(scene, colours * 1.05, cover)


def _draw_jetty(scene: Scene, view: View, rng: np.random.Generator, horizon: float) -> Scene:
    """A jetty that runs from the lower left towards the sun; its planks shine where they face it."""
    vanish, near, last = 0.64, 0.42, 3.4
    away = near / np.maximum(view.y - horizon, 1e-3)  # 1 at the lower edge, `last` at the end of the jetty
    across = (view.x - vanish) * away  # in the same unit wherever it is
    plank = away * 15
    number, part = np.floor(plank), plank % 1
    tone = 0.75 + 0.5 * np.random.default_rng(3).random(200, np.float32)[np.clip(number, 0, 199).astype(np.int64)]
    grain = sample(noise(rng, cells=16, octaves=6, gain=0.65), across * 0.5, plank * 0.13 + number * 0.31)
    wood = light("#3a2b30") * (tone * (0.6 + 0.8 * grain))[..., None]
    shine = smooth(1.0, 3.2, away) * (0.35 + 0.9 * grain) * tone
    wood = wood + light("#ff9f62") * (0.16 * shine + 0.02)[..., None]
    gap = smooth(0.0, 0.07, part) * smooth(1.0, 0.93, part)
    wood = wood * (0.25 + 0.75 * gap)[..., None]
    on = (smooth(-0.66, -0.657, across) * smooth(-0.30, -0.303, across) * (away < last)).astype(np.float32)
    side = smooth(-0.303, -0.30, across) * smooth(-0.262, -0.268, across) * (away < last * 1.03)
    shade = smooth(-0.70, -0.66, across) * smooth(-0.20, -0.27, across) * (away < last * 1.04)
    scene = mix(scene, light("#2a2231"), 0.55 * shade)
    scene = mix(mix(scene, light("#191420"), side.astype(np.float32)), wood.astype(np.float32), on)

    def posts(pen: ImageDraw.ImageDraw, unit: float) -> None:
        for z in (3.35, 2.55, 1.95, 1.5, 1.17):
            for at, foot in ((-0.665, 0.0), (-0.285, 0.075)):
                x, y = (vanish + at / z) * unit, (horizon + near / z) * unit
                wide, high, low = 0.017 / z * unit, 0.115 / z * unit, foot / z * unit
                pen.rectangle([x - wide, y - high, x + wide, y + low], fill="#1b151f")
                pen.rectangle([x + wide * 0.45, y - high, x + wide, y + low], fill="#5d3a35")
                pen.rectangle([x + wide * 0.80, y - high, x + wide, y + low], fill="#d98c5a")
                pen.ellipse([x - wide, y - high - wide * 0.35, x + wide, y - high + wide * 0.35], fill="#8d5e4c")

    colours, cover = shapes(view, posts)
    return mix(scene, colours, cover)
