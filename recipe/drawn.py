"""Three drawings that the bundled model is judged on and never learns from: python -m recipe.drawn [FOLDER].

A street, a forest and a desk: ground or table that recedes, things before one another, texture on everything.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

from drawing.tools import Plane, Scene, View, develop, gradient, light, mix, noise, sample, smooth


def draw_street(path: Path) -> None:
    """A street between house fronts towards a low sun, with a lamp and a trunk in front."""
    view, rng = View(1200, 800), np.random.default_rng(5)
    grain = noise(rng, cells=16)
    horizon, middle = 0.52, 0.75
    scene = gradient([(0, "#6f9cc8"), (0.35, "#b9cfdd"), (0.55, "#ffe3b8")], np.broadcast_to(view.y, view.shape))
    away = np.abs(view.x - middle) + 0 * view.y
    depth = 1 / np.maximum(np.maximum(np.abs(view.y - horizon) * 1.6, 0.03), away * 0.9 + 0.0 * view.y)
    stone = sample(grain, view.x * depth * 0.35, depth * 0.6)
    ground = light("#8d8478")[None, None] * (0.55 + 0.7 * stone[..., None])
    scene = mix(scene, ground.astype(np.float32), smooth(horizon, horizon + 0.01, view.y + 0 * view.x))
    for side, colours in ((-1, ("#b5744f", "#d9b88a", "#8f9f9a")), (1, ("#a98f63", "#7e5f57", "#c9c0a8"))):
        for number in (5, 4, 3, 2, 1, 0):
            near, far = 0.80 * 0.62**number, 0.80 * 0.62 ** (number + 1)
            scene = _draw_front(scene, view, (middle, horizon), side, (near, far), colours[number % 3], grain)
    scene = _stand(scene, view, (0.16, 1.02), (0.055, 1.20), "#4a3a2c", grain, 7.0)  # a trunk, near
    scene = _stand(scene, view, (1.18, 0.97), (0.014, 0.62), "#20262b", grain, 2.0)  # a lamp post
    lamp = np.hypot(view.x - 1.18, (view.y - 0.345) * 0.8)
    scene = mix(scene, light("#ffe9b0") * 1.4, smooth(0.040, 0.030, lamp))
    develop(scene, view, path, quality=86, seed=8)


def _draw_front(
    scene: Scene, view: View, centre: tuple[float, float], side: int, span: tuple[float, float], colour: str, grain: Plane
) -> Scene:
    """A house front that recedes from the near to the far distance, with windows."""
    middle, horizon = centre
    across = (view.x - middle) * side
    inside = ((across > span[1]) & (across <= span[0])).astype(np.float32) + 0 * view.y
    high = across * (0.62 + 0.12 * np.sin(span[0] * 40)) + 0 * view.y
    wall = inside * (view.y > horizon - high) * (view.y < horizon + across * 0.42)
    along = (np.log(np.maximum(across, 1e-3)) - np.log(span[1])) / np.log(span[0] / span[1]) + 0 * view.y
    up = (view.y - horizon) / np.maximum(across, 1e-3)
    cell_x, cell_y = (along * 3) % 1, ((up + 0.62) * 4.2) % 1
    window = (np.abs(cell_x - 0.5) < 0.22) & (np.abs(cell_y - 0.5) < 0.28) & (up < 0.22)
    shade = 0.62 + 0.5 * sample(grain, along * 0.8 + span[0], up * 0.8)
    face = light(colour)[None, None] * shade[..., None] * (1.0 if side < 0 else 0.72)
    face = np.where(window[..., None], light("#2b3a4a") * (0.6 + 0.8 * cell_y[..., None]), face)
    haze = float(np.clip(0.55 - span[0], 0, 0.5))
    return mix(scene, (face * (1 - haze) + light("#f3dcb6") * haze).astype(np.float32), wall)


def _stand(
    scene: Scene, view: View, foot: tuple[float, float], size: tuple[float, float], colour: str, grain: Plane, turns: float
) -> Scene:
    """A round upright thing, lit from one side."""
    x = (view.x - foot[0]) / size[0] + 0 * view.y
    y = (foot[1] - view.y) / size[1] + 0 * view.x
    wide = 1 + 0.35 * np.clip(0.18 - y, 0, 1) * turns * 0.5
    inside = smooth(1.02, 0.98, np.abs(x) / wide) * (y > 0) * (y < 1)
    bark = sample(grain, x * 0.06 * turns, y * 0.12 * turns)
    lit = np.clip(0.55 - 0.5 * x / wide, 0.08, 1)
    return mix(scene, (light(colour)[None, None] * (0.5 + 1.1 * bark * lit)[..., None] * 1.6).astype(np.float32), inside)


def draw_forest(path: Path) -> None:
    """Trunks at many distances over a leafy ground with a path."""
    view, rng = View(1200, 800), np.random.default_rng(11)
    grain, leaves = noise(rng, cells=10), noise(rng, cells=40, octaves=5, gain=0.75)
    scene = gradient([(0, "#3f5d3a"), (0.4, "#a9bf8a"), (0.6, "#d8dfb2")], np.broadcast_to(view.y, view.shape))
    canopy = sample(leaves, view.x * 0.8 + 0 * view.y, view.y * 0.8 + 0 * view.x)
    scene = mix(scene, light("#274326"), smooth(0.42, 0.7, canopy) * smooth(0.55, 0.05, view.y + 0 * view.x))
    floor = 1 / np.maximum(view.y - 0.50, 0.02)
    litter = sample(leaves, (view.x - 0.75) * floor * 0.5, floor * 0.5)
    ground = mix(np.broadcast_to(light("#6a5a33"), scene.shape), light("#3c4a22"), smooth(0.35, 0.7, litter))
    way = np.abs(view.x - 0.72 - 0.25 * np.sin(5 * view.y)) * floor * 0.12 + 0 * view.y
    ground = mix(ground, light("#b79d70") * (0.7 + 0.5 * litter[..., None]), smooth(0.16, 0.10, way))
    scene = mix(scene, ground.astype(np.float32), smooth(0.55, 0.565, view.y + 0 * view.x))
    for row in range(6):
        near = (row + 1) / 6
        for _ in range(9 - row):
            x, wide = float(rng.uniform(0, 1.5)), 0.008 + 0.045 * near**2 * float(rng.uniform(0.7, 1.2))
            tone = 1 - 0.75 * near
            mixed = (int(v * (1 - tone) + f * tone) for v, f in zip((64, 48, 36), (176, 186, 150), strict=True))
            colour = "#{:02x}{:02x}{:02x}".format(*mixed)
            scene = _stand(scene, view, (x, 0.57 + 0.42 * near**2), (wide, 1.2), colour, grain, 5.0)
    develop(scene, view, path, quality=86, seed=9)


def draw_desk(path: Path) -> None:
    """A cup and books on a wooden table before a window."""
    view, rng = View(1200, 800), np.random.default_rng(17)
    grain = noise(rng, cells=12)
    plaster = sample(grain, view.x * 0.3 + 0 * view.y, view.y * 0.3 + 0 * view.x)
    scene = (light("#c9b79c")[None, None] * (0.75 + 0.35 * plaster)[..., None]).astype(np.float32)
    sky = gradient([(0, "#7fb0d8"), (0.5, "#dbe9ee")], np.broadcast_to(view.y, view.shape))
    pane = (view.x > 0.75) & (view.x < 1.35) & (view.y > 0.06) & (view.y < 0.52)
    bar = (np.abs(view.x - 1.05) < 0.012) | (np.abs(view.y - 0.29) < 0.012)
    scene = mix(scene, sky, (pane & ~bar).astype(np.float32))
    plank = 1 / np.maximum(view.y - 0.30, 0.05)
    wood = sample(grain, (view.x - 0.75) * plank * 0.9, plank * 0.12)
    board = light("#8a5a34")[None, None] * (0.5 + 0.9 * wood)[..., None]
    scene = mix(scene, board.astype(np.float32), smooth(0.58, 0.59, view.y + 0 * view.x))
    books = ((0.22, 0.70, 0.055, 0.36, "#7c2f2b"), (0.33, 0.71, 0.045, 0.30, "#2f4f6b"), (0.42, 0.705, 0.040, 0.34, "#b98b2f"))
    for x, foot, half, high, colour in books:
        inside = (np.abs(view.x - x) < half) & (view.y < foot) & (view.y > foot - high)
        stripe = 1 - 0.5 * ((np.abs((foot - view.y) / high - 0.82) < 0.03) | (np.abs((foot - view.y) / high - 0.15) < 0.02))
        cloth = 0.6 + 0.5 * sample(grain, view.x * 3 + 0 * view.y, view.y * 3 + 0 * view.x) + 0.15 * (view.x - x) / half
        bound = (light(colour)[None, None] * (cloth * stripe)[..., None]).astype(np.float32)
        scene = mix(scene, bound, inside.astype(np.float32))
    shadow = ((view.x - 1.10) / 0.20) ** 2 + ((view.y - 0.865) / 0.065) ** 2
    scene = mix(scene, light("#3a2417"), 0.5 * smooth(1.05, 0.9, shadow))
    scene = _stand(scene, view, (1.08, 0.88), (0.13, 0.30), "#d8d2c4", grain, 0.6)
    ring = ((view.x - 1.08) / 0.13) ** 2 + ((view.y - 0.58) / 0.035) ** 2
    scene = mix(scene, light("#f4efe4"), smooth(1.06, 0.98, ring))
    scene = mix(scene, light("#3b2013"), smooth(0.80, 0.74, ring))
    handle = np.abs(np.hypot((view.x - 1.225) / 0.055, (view.y - 0.72) / 0.075) - 1)
    scene = mix(scene, light("#cfc8b8"), smooth(0.22, 0.16, handle) * (view.x > 1.205))
    develop(scene, view, path, quality=86, seed=10)


def main(folder: Path) -> None:
    """Draw all three."""
    for draw in (draw_street, draw_forest, draw_desk):
        draw(folder / f"{draw.__name__.replace('draw_', 'drawn-')}.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
