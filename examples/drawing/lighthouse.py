"""Night comes to a lighthouse on its rock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ImageDraw

from drawing.tools import (
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
    water,
)


def draw_lighthouse(path: Path) -> None:
    """Night comes to a lighthouse on its rock: stars, a last glow on the sea, two beams."""
    view, rng = View(720, 1280), np.random.default_rng(23)
    horizon, lamp = 0.735, (0.345, 0.292)
    stops = [(0, "#060b1f"), (0.3, "#0d1d42"), (0.6, "#1d4470"), (0.82, "#4f8296"), (0.93, "#d3a888"), (1, "#f3b27c")]
    scene = gradient(stops, np.broadcast_to(view.y / horizon, view.shape))
    scene = scene + _scatter_stars(view, rng, horizon)[..., None] * light("#dfe8ff")
    cover, lit = clouds(view, rng, horizon, (0.1, horizon), 0.52)
    low = smooth(0.25, 0.95, view.y / horizon)
    tint = mix(gradient([(0, "#122747"), (1, "#5d5f80")], low + 0 * view.x), light("#e8a184"), lit * low**3 * 0.8)
    scene = mix(scene, tint, cover * 0.75)
    scene = _draw_beams(scene, view, rng, lamp)
    for level, rise, colour in ((horizon - 0.014, 0.05, "#3f5672"), (horizon - 0.004, 0.035, "#2a3d58")):
        scene = mix(scene, light(colour), below(view, ridge(view, rng, level, rise, 3)))
    scene, slope, depth = water(scene, view, rng, horizon, "#0b2036", 0.10)
    shine = 0.30 * np.exp(-depth / 0.16) * smooth(0.0, 0.4, slope + 0.1) * (view.y > horizon)
    scene = scene + light("#f7b079") * shine[..., None]
    scene = _draw_tower(scene, view, lamp, foot=0.684)
    scene = _draw_rock(scene, view, rng, horizon)
    glow = distance(view, *lamp)
    scene = scene + light("#ffdf9c") * (1.6 * np.exp(-glow / 0.012) + 0.22 * np.exp(-glow / 0.05))[..., None]
    develop(scene, view, path, quality=88, seed=2)


def _scatter_stars(view: View, rng: np.random.Generator, horizon: float) -> Plane:
    """Give the brightness of stars, more of them along a band, fewer towards the horizon."""
    sky = np.zeros(view.shape, np.float32)
    rows, columns = view.shape
    for bright, count, radius in ((0.25, 1500, 1), (0.6, 260, 1.5), (1.5, 34, 2.4)):
        reach = int(4 * radius)
        tops = (rng.random(count) ** 1.3 * horizon * 0.85 * (rows - 2 * reach)).astype(int) + reach
        lefts = (rng.random(count) * (columns - 2 * reach)).astype(int) + reach
        for top, left, strength in zip(tops, lefts, rng.random(count), strict=True):
            window = (slice(top - reach, top + reach + 1), slice(left - reach, left + reach + 1))
            dy, dx = np.mgrid[window]
            sky[window] += bright * (0.3 + strength) * np.exp(-((dy - top) ** 2 + (dx - left) ** 2) / radius**2)
    along = view.y - 0.55 + 0.75 * view.x
    dust = noise(rng, cells=6, octaves=8, gain=0.6)
    band = np.exp(-((along / 0.10) ** 2)) * smooth(0.25, 0.85, sample(dust, view.x + 0 * view.y, view.y + 0 * view.x))
    return (sky + 0.035 * band) * smooth(0.92, 0.35, view.y / horizon)


def _draw_beams(scene: Scene, view: View, rng: np.random.Generator, lamp: tuple[float, float]) -> Scene:
    """Two cones of light that thin out, with a little mist in them."""
    dx, dy = view.x - lamp[0], view.y - lamp[1]
    mist = 0.55 + 0.9 * sample(noise(rng, cells=8, octaves=6, gain=0.55), view.x * 0.9 + 0 * view.y, view.y * 1.8 + 0 * view.x)
    for way, tilt, strength in ((1, -0.10, 0.75), (-1, 0.10, 0.55)):
        along = np.maximum(way * dx, 0)
        spread = 0.004 + 0.085 * along
        beam = np.exp(-(((dy - tilt * way * dx) / spread) ** 2)) * smooth(0.0, 0.012, along)
        scene = (
            scene
            + light("#ffe3a8") * (strength * beam * mist * np.exp(-along / 0.30) * 0.012 / (0.012 + 0.10 * along))[..., None]
        )
    return scene


def _draw_rock(scene: Scene, view: View, rng: np.random.Generator, horizon: float) -> Scene:
    """The rock, lit from the glow on the left, and foam around its foot."""
    x, y = view.x + 0 * view.y, view.y + 0 * view.x
    top = horizon + 0.150 - 0.215 * np.exp(-(np.abs((x - 0.36) / 0.205) ** 2.4)) + 0.7 * ridge(view, rng, 0, 0.05, 8, 0.5)
    broad, fine = noise(rng, cells=4, octaves=6, gain=0.5), noise(rng, cells=16, octaves=6, gain=0.6)

    def height(dx: float, dy: float) -> Plane:
        big = np.abs(sample(broad, (x + dx) * 1.1 + 0.35 * y, (y + dy) * 0.8 - 0.2 * x) - 0.5)
        return -0.12 * big + 0.021 * sample(fine, (x + dx) * 1.3 + 0.3 * y, (y + dy) * 1.0)

    step = 0.0016
    across, along = (height(step, 0) - height(-step, 0)) / (2 * step), (height(0, step) - height(0, -step)) / (2 * step)
    slope = -0.95 * across - 0.40 * along - 1.5 * (x - 0.33)
    facing = np.clip(0.38 + 0.55 * slope / np.sqrt(1 + across**2 + along**2), 0, 1)
    stone = gradient([(0, "#0b1018"), (0.3, "#1d2330"), (0.6, "#4a4450"), (0.85, "#96705f"), (1, "#d59c78")], facing)
    wet = smooth(0.050, 0.012, horizon + 0.145 - y)
    stone = stone * (1 - 0.55 * wet)[..., None]
    turf = smooth(0.034, 0.010, y - top + 0.030 * sample(fine, x * 1.3, y * 2)) * smooth(0.20, 0.27, x) * smooth(0.54, 0.46, x)
    stone = mix(stone, gradient([(0, "#0c1714"), (0.5, "#26382c"), (1, "#5c6a48")], facing), turf)
    foot = horizon + 0.146 + 0.006 * np.sin(x * 31 + 1) + 0.012 * (sample(broad, x * 0.9, 0 * x) - 0.5)
    scene = mix(scene, light("#081320"), 0.70 * smooth(0.11, 0.0, y - foot) * below(view, foot) * smooth(0.0, 0.05, foot - top))
    scene = mix(scene, stone, below(view, top) * (1 - below(view, foot)))
    swell = sample(fine, x * 0.9 + 0.2 * y, (y - foot) * 5 + 0.6)
    wash = np.exp(-np.maximum(y - foot, 0) / 0.016) * np.exp(-np.maximum(foot - y, 0) / 0.003) * smooth(0.42, 0.66, swell)
    far_wash = np.exp(-(((y - foot - 0.030) / 0.020) ** 2)) * smooth(0.58, 0.72, sample(fine, x * 0.7 + 0.5, (y - foot) * 9))
    near = smooth(-0.02, 0.03, foot - top)
    return mix(scene, light("#b9c6d2"), np.clip(0.8 * wash + 0.30 * far_wash, 0, 1) * near)


def _draw_tower(scene: Scene, view: View, lamp: tuple[float, float], foot: float) -> Scene:
    """White and red rings on a round tower: bright towards the glow, a gallery, a lantern, a dome."""
    x, y = lamp
    base, head = 0.040, 0.0245
    down = np.clip((view.y - y - 0.028) / (foot - y - 0.028), 0, 1)
    half = head + (base - head) * down**1.25
    side = np.clip((view.x - x) / half, -1, 1)
    ring = np.minimum(np.floor(down * 5), 4) % 2
    edge = np.minimum((down * 5) % 1, 1 - (down * 5) % 1) * 14
    white, red = light("#e9e2d6"), light("#b3332f")
    paint = np.where((ring == 1)[..., None], red, white).astype(np.float32) * (0.93 + 0.07 * np.clip(edge, 0, 1))[..., None]
    turn = np.sqrt(np.clip(1 - side**2, 0, 1))
    shade = 0.10 + 0.62 * np.clip(-0.72 * side + 0.55 * turn, 0, 1) + 0.16 * smooth(0.6, 1.0, side)
    warm = light("#ffc79a") * 0.9 * smooth(-0.1, -0.95, side)[..., None] + light("#8fb0d8") * 0.75
    paint = paint * (shade[..., None] * (0.55 * warm + 0.62))
    rows = view.shape[0]
    inside = (
        np.clip((half - np.abs(view.x - x)) * rows + 0.5, 0, 1)
        * (view.y > y + 0.028)
        * (1 - below(view, foot + 0.006 - 0.004 * turn))
    )
    scene = mix(scene, paint.astype(np.float32), inside.astype(np.float32))

    def metal(pen: ImageDraw.ImageDraw, unit: float) -> None:
        def box(left: float, top: float, right: float, bottom: float, fill: str) -> None:
            pen.rectangle([(x + left) * unit, (y + top) * unit, (x + right) * unit, (y + bottom) * unit], fill=fill)

        box(-0.034, 0.0235, 0.034, 0.0300, "#1d2230")
        box(-0.034, 0.0235, -0.006, 0.0252, "#c08d72")
        for at in np.linspace(-0.033, 0.033, 9):
            box(at - 0.0006, 0.0105, at + 0.0006, 0.024, "#2a3040")
        box(-0.0335, 0.0100, 0.0335, 0.0114, "#4a4650")
        box(-0.0165, -0.0170, 0.0165, 0.0240, "#ffe9b0")
        for at in (-0.0165, -0.0058, 0.0053, 0.0155):
            box(at, -0.0170, at + 0.0012, 0.0240, "#3a2f34")
        box(-0.0200, -0.0200, 0.0200, -0.0165, "#3b2a30")
        dome = [(x + 0.0185 * np.sin(a), y - 0.019 - 0.021 * np.cos(a)) for a in np.linspace(-np.pi / 2, np.pi / 2, 40)]
        pen.polygon([(px * unit, py * unit) for px, py in dome], fill="#8e2b2b")
        box(-0.0008, -0.058, 0.0008, -0.038, "#2a2530")
        pen.ellipse([(x - 0.0028) * unit, (y - 0.0440) * unit, (x + 0.0028) * unit, (y - 0.0384) * unit], fill="#6d2a2a")
        for place in (0.14, 0.34, 0.54, 0.74):
            at = 0.028 + (foot - y - 0.028) * place
            box(-0.0035, at, 0.0035, at + 0.0125, "#2b2732")
            box(-0.0022, at + 0.0015, 0.0022, at + 0.0110, "#ffca72")
        door = foot - y
        box(-0.0075, door - 0.040, 0.0075, door, "#3a2426")

    colours, cover = shapes(view, metal)
    return mix(scene, colours * 0.9, cover)
