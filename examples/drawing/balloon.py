"""Balloons over valleys full of mist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ImageDraw

from drawing.tools import (
    Draw,
    Plane,
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
)


def draw_balloon(path: Path) -> None:
    """Morning: three balloons over valleys full of mist."""
    view, rng = View(1024, 1024), np.random.default_rng(37)
    sun = (0.13, 0.50)
    stops = [(0, "#4f8fc0"), (0.3, "#86b9d6"), (0.55, "#c5dcdd"), (0.72, "#f3e2c2"), (0.85, "#fbd9a8")]
    scene = gradient(stops, np.broadcast_to(view.y / 0.72, view.shape))
    away = distance(view, *sun)
    scene = scene + light("#ffd28a") * (0.75 * np.exp(-away / 0.12) + 0.32 * np.exp(-away / 0.40))[..., None]
    cover, lit = clouds(view, rng, 0.66, sun, 0.50)
    scene = mix(scene, mix(np.broadcast_to(light("#b9bfcb"), scene.shape), light("#fff3dd") * 1.05, lit), cover * 0.80)
    scene = scene + light("#fff2cf") * (3.0 * smooth(0.034, 0.029, away))[..., None]
    fog = noise(rng, cells=4, octaves=6, gain=0.5)
    layers = (
        (0.600, 0.16, 3, "#9fb6c6", 0.60),
        (0.655, 0.17, 4, "#7f9fb0", 0.50),
        (0.715, 0.15, 4, "#5f8794", 0.45),
        (0.785, 0.13, 5, "#40696f", 0.36),
        (0.865, 0.11, 5, "#264b4c", 0.24),
    )
    for number, (level, rise, cells, colour, haze) in enumerate(layers):
        if number == 2:
            scene = _draw_envelope(scene, view, (0.195, 0.295), 0.052, 0.42, ("#d8d0c0", "#3f7f8f", "#e9b44c"), turn=0.03)
        if number == 3:
            scene = _draw_envelope(scene, view, (0.855, 0.500), 0.070, 0.26, ("#7a4b8c", "#f0d9b5", "#c65b7c"), turn=0.02)
        scene = _draw_range(scene, view, rng, fog, (level, rise, cells, colour, haze))
    scene = _draw_envelope(scene, view, (0.545, 0.330), 0.205, 0.0, ("#c8382f", "#f2e3c6", "#ef9a36", "#24566b"), turn=0.035)
    scene = _draw_forest(scene, view, rng)
    develop(scene, view, path, quality=88, seed=3)


def _draw_range(
    scene: Scene, view: View, rng: np.random.Generator, fog: Plane, look: tuple[float, float, int, str, float]
) -> Scene:
    """A range of hills, warm towards the sun on the left, its foot in mist."""
    level, rise, cells, colour, haze = look
    line = ridge(view, rng, level, rise, cells, 0.52)
    soft = soften(line)
    lean = np.gradient(soften(line, 0.02)[0])[None, :]
    tint = np.broadcast_to(light(colour), scene.shape) * (1 - 0.16 * np.tanh(lean * 1.5))[..., None]
    tint = mix(tint.astype(np.float32), light("#ffdfab"), haze * np.exp(-view.x / 0.40) + 0 * view.y)
    drift = sample(fog, view.x * 0.7 + level * 3 + 0 * view.y, view.y * 2.4 + 0 * view.x)
    mist = smooth(0.015, 0.115, view.y - soft + 0.09 * (drift - 0.5)) * (0.45 + 0.5 * drift)
    tint = mix(tint, light("#f0e6d8"), np.clip(mist, 0, 0.92) * (0.35 + haze))
    return mix(scene, tint, below(view, line))


def _draw_envelope(
    scene: Scene, view: View, centre: tuple[float, float], radius: float, haze: float, colours: Sequence[str], turn: float
) -> Scene:
    """A balloon: gores of cloth on a round body, lit from the left and a little from its own flame."""
    x, y = (view.x - centre[0]) / radius, (view.y - centre[1]) / radius
    tail = np.clip(y / 1.42, 0, 1)
    half = np.where(y < 0, np.sqrt(np.clip(1 - y**2, 0, 1)), 0.15 + 0.85 * (1 - tail**1.9) ** 0.92)
    side = np.clip(x / np.maximum(half, 1e-3), -1, 1)
    gore = (np.arcsin(side) / np.pi + turn) * 20 + 100
    number, part = np.floor(gore).astype(int), gore % 1
    palette = np.array([light(colour) for colour in colours])
    zigzag = np.abs((gore * 0.5) % 1 - 0.5) * 0.30
    band = (y > -0.02 - zigzag) & (y < 0.30 - zigzag)
    rings = ((y < -0.80) & (y > -0.87)) | ((y > 0.40) & (y < 0.46)) | (y > 1.18)
    cloth = np.where(band[..., None], palette[-1], palette[number % (len(palette) - 1)])
    cloth = np.where(rings[..., None], palette[-1], cloth)
    down = np.where(y < 0, y, 0.42 * tail)
    flat = np.sqrt(np.clip(1 - down**2, 0, 1))
    facing = -0.66 * side * flat - 0.42 * down + 0.60 * flat * np.sqrt(np.clip(1 - side**2, 0, 1))
    facing = np.clip((facing + 0.22) / 1.22, 0, 1)
    shade = 0.17 + 0.83 * facing + 0.10 * smooth(0.75, 1.0, side)
    shade = shade * (1 - 0.30 * np.abs(2 * part - 1) ** 5) * (1 + 0.06 * np.sin(np.pi * part))
    warm = light("#fff0d2") * 1.15 * facing[..., None] + light("#9fc0dc") * 0.85 * (1 - facing)[..., None]
    painted = cloth * shade[..., None] * warm * 1.18
    painted = painted + light("#ffb04d") * (0.30 * np.exp(-((x / 0.40) ** 2) - ((y - 1.30) / 0.45) ** 2))[..., None]
    inside = np.clip((half - np.abs(x)) * radius * view.shape[0] + 0.5, 0, 1) * (y < 1.42) * (y > -1.01)
    far = light("#dfe3dd")
    scene = _draw_basket(scene, view, centre, radius, haze)
    return mix(scene, (painted * (1 - haze) + far * haze).astype(np.float32), inside)


def _draw_basket(scene: Scene, view: View, centre: tuple[float, float], radius: float, haze: float) -> Scene:
    def hang(pen: ImageDraw.ImageDraw, unit: float) -> None:
        def at(px: float, py: float) -> tuple[float, float]:
            return (centre[0] + px * radius) * unit, (centre[1] + py * radius) * unit

        rope = max(1, round(0.010 * radius * unit))
        for top, low in ((-0.145, -0.085), (-0.06, -0.045), (0.06, 0.045), (0.145, 0.085)):
            pen.line([*at(top, 1.40), *at(low, 1.80)], fill="#4b3d35", width=rope)
        pen.polygon([at(-0.020, 1.62), at(-0.012, 1.48), at(0.0, 1.40), at(0.012, 1.48), at(0.020, 1.62)], fill="#ffd97a")
        pen.rectangle([*at(-0.026, 1.62), *at(0.026, 1.65)], fill="#555058")
        for px, coat in ((-0.045, "#40563a"), (0.005, "#2f4a66"), (0.050, "#8a2f34")):
            pen.ellipse([*at(px - 0.018, 1.705), *at(px + 0.018, 1.742)], fill="#3b2b28")
            pen.rectangle([*at(px - 0.022, 1.740), *at(px + 0.022, 1.83)], fill=coat)
        pen.rounded_rectangle([*at(-0.105, 1.80), *at(0.105, 1.965)], radius=0.02 * radius * unit, fill="#7b5230")
        for step in range(7):
            left = -0.098 + 0.030 * step
            pen.rectangle([*at(left, 1.825), *at(left + 0.016, 1.955)], fill="#936640" if step < 4 else "#6b4627")
        pen.rounded_rectangle([*at(-0.112, 1.79), *at(0.112, 1.826)], radius=0.015 * radius * unit, fill="#a67546")

    colours, cover = shapes(view, hang)
    return mix(scene, (colours * (1 - haze) + light("#dfe3dd") * haze).astype(np.float32), cover)


def _draw_forest(scene: Scene, view: View, rng: np.random.Generator) -> Scene:
    """Firs on the nearest slope, darker the nearer they stand, with the sun on their left."""
    slope = 0.965 - 0.10 * np.exp(-(((view.x[0] - 0.05) / 0.28) ** 2)) - 0.075 * np.exp(-(((view.x[0] - 0.98) / 0.24) ** 2))
    rows = (
        (0.000, 0.058, "#2c5052", "#7d937a", 0.36),
        (0.028, 0.078, "#1d3d40", "#5f7a5f", 0.22),
        (0.060, 0.105, "#12292c", "#44604a", 0.10),
        (0.105, 0.150, "#091a1d", "#2c4335", 0.00),
    )
    for row, (drop, tall, dark, bright, mist) in enumerate(rows):
        veil = light("#e2d9c2")
        line = (slope + drop).astype(np.float32)
        scene = mix(scene, light(dark) * (1 - mist) + veil * mist, below(view, line[None, :]))
        colours, cover = shapes(view, _plant_firs(view, line, tall, (dark, bright), seed=50 + row))
        scene = mix(scene, colours * (1 - mist) + veil * mist, cover)
    return scene


def _plant_firs(view: View, line: Plane, tall: float, colours: tuple[str, str], seed: int) -> Draw:
    """Stand firs along a line, no two alike."""
    chance = np.random.default_rng(seed)

    def firs(pen: ImageDraw.ImageDraw, unit: float) -> None:
        at = -0.02
        while at < 1.02:
            foot = float(np.interp(at, view.x[0], line)) + 0.012 * chance.random()
            high = tall * (0.50 + 0.75 * chance.random() ** 1.5)
            _draw_fir(pen, unit, (at, foot), high, chance, colours)
            at += tall * (0.11 + 0.20 * chance.random())

    return firs


def _draw_fir(
    pen: ImageDraw.ImageDraw,
    unit: float,
    foot: tuple[float, float],
    high: float,
    chance: np.random.Generator,
    colours: tuple[str, str],
) -> None:
    x, y = foot
    tiers = 9
    left, right = [], []
    for tier in range(tiers):
        top, wide = high * (1 - tier / tiers), high * (0.035 + 0.165 * (tier + 1) / tiers)
        low = top - high / tiers * 1.15
        for points, way in ((left, -1), (right, 1)):
            reach = wide * (0.82 + 0.36 * chance.random())
            points += [(x + way * reach * 0.35, y - top), (x + way * reach, y - low)]
    outline = [(x, y - high * 1.06), *right, *left[::-1]]
    pen.polygon([(px * unit, py * unit) for px, py in outline], fill=colours[0])
    lit = [(x, y - high * 1.06), *[(x + (px - x) * 0.25, py) for px, py in left], *left[::-1]]
    pen.polygon([(px * unit, py * unit) for px, py in lit], fill=colours[1])
