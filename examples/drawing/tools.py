"""Light, noise, shapes and water: what the scenes are made of.

Everything is worked out in linear light at twice the size and then reduced. It knows no scene.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Plane = NDArray[np.float32]  # rows, columns
Scene = NDArray[np.float32]  # rows, columns, linear red green blue

Draw = Callable[[ImageDraw.ImageDraw, float], None]  # onto a canvas whose height is the number

SCALE = 2  # drawn at twice the size
FINER = 2  # shapes at twice that again


@dataclass(frozen=True)
class View:
    """Where each pixel is: y from 0 at the top to 1 at the bottom, x in the same unit."""

    width: int
    height: int

    @property
    def y(self) -> Plane:
        return np.linspace(0, 1, self.height * SCALE, dtype=np.float32)[:, None]

    @property
    def x(self) -> Plane:
        return (np.arange(self.width * SCALE, dtype=np.float32) / (self.height * SCALE))[None, :]

    @property
    def shape(self) -> tuple[int, int]:
        return self.height * SCALE, self.width * SCALE


def light(colour: str) -> NDArray[np.float32]:
    """Read #rrggbb as linear light."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255
    return values**2.2


def smooth(low: float, high: float, values: Plane) -> Plane:
    """Rise softly from 0 at low to 1 at high."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(scene: Scene, colour: NDArray[np.float32], share: Plane) -> Scene:
    """Lay a colour, or another scene, over a scene."""
    share = np.broadcast_to(share, scene.shape[:2])[..., None]
    return scene * (1 - share) + colour * share


def gradient(stops: Sequence[tuple[float, str]], at: Plane) -> Scene:
    """Look colours up along a line of stops."""
    places, colours = [place for place, _ in stops], np.array([light(colour) for _, colour in stops])
    return np.stack([np.interp(at, places, colours[:, i]) for i in range(3)], axis=-1).astype(np.float32)


def noise(rng: np.random.Generator, size: int = 1024, cells: int = 8, octaves: int = 7, gain: float = 0.5) -> Plane:
    """Make a square of fractal noise between 0 and 1 that repeats at its edges."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        count = min(cells << octave, size)
        grid = np.pad(rng.random((count, count), np.float32), 4, mode="wrap")
        edge = 4 * size // count
        fine = np.asarray(Image.fromarray(grid).resize((size + 2 * edge,) * 2, Image.Resampling.BICUBIC))
        total += fine[edge : edge + size, edge : edge + size] * gain**octave
    return (total - total.min()) / (total.max() - total.min())


def sample(tile: Plane, u: Plane, v: Plane) -> Plane:
    """Look a repeating tile up at fractions of its side."""
    size = len(tile)
    u, v = np.broadcast_arrays(u * size, v * size)
    left, top = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    right_share, low_share = u - left, v - top
    rows, columns = (top % size, (top + 1) % size), (left % size, (left + 1) % size)
    upper = tile[rows[0], columns[0]] * (1 - right_share) + tile[rows[0], columns[1]] * right_share
    lower = tile[rows[1], columns[0]] * (1 - right_share) + tile[rows[1], columns[1]] * right_share
    return (upper * (1 - low_share) + lower * low_share).astype(np.float32)


def distance(view: View, x: float, y: float) -> Plane:
    return np.hypot(view.x - x, view.y - y)


def shapes(view: View, draw: Draw) -> tuple[Scene, Plane]:
    """Draw shapes finely; return their colours and how much of each pixel they cover."""
    height, width = view.shape
    image = Image.new("RGBA", (width * FINER, height * FINER))
    draw(ImageDraw.Draw(image), height * FINER)
    pixels = np.asarray(image.reduce(FINER), np.float32) / 255
    cover = pixels[..., 3]
    return (pixels[..., :3] ** 2.2).astype(np.float32), cover


def develop(scene: Scene, view: View, path: Path, quality: int, seed: int) -> None:
    """Turn light into a file: highlights roll off, a fine grain hides steps in gradients."""
    knee = 0.7
    over = np.maximum(scene - knee, 0)
    scene = np.minimum(scene, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee)))
    values = np.clip(scene, 0, 1) ** (1 / 2.2) * 255
    size = (view.width, view.height)
    planes = [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS)) for plane in np.moveaxis(values, -1, 0)]
    pixels = np.stack(planes, axis=-1)
    pixels += np.random.default_rng(seed).normal(0, 0.9, (*pixels.shape[:2], 1))
    Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8)).save(path, quality=quality, subsampling=0, optimize=True)


def clouds(view: View, rng: np.random.Generator, horizon: float, sun: tuple[float, float], low: float) -> tuple[Plane, Plane]:
    """Lay clouds on a plane overhead; return how dense they are and how much they face the sun."""
    tile = noise(rng, cells=4, octaves=8, gain=0.55)
    depth = 1 / (np.maximum(horizon - view.y, 0) + 0.10)
    u, v = (view.x - sun[0]) * depth * 0.055 + 0.3, depth * 0.11 + 0 * view.x
    density = sample(tile, u, v)
    toward = sample(tile, u - 0.010 * np.tanh((view.x - sun[0]) / 0.25), v + 0.010)
    cover = smooth(low, low + 0.22, density) * smooth(0.0, 0.10, horizon - view.y)
    return cover, np.clip(0.5 + (density - toward) * 7, 0, 1)


def ridge(view: View, rng: np.random.Generator, level: float, rise: float, cells: int, rough: float = 0.5) -> Plane:
    """Give the height line of a range of hills, as y for each column."""
    line = noise(rng, 1024, cells, 8, rough)[0]
    line = (line - line.mean()) / (line.max() - line.min())
    return (level - rise * np.interp(np.linspace(0, 1023, view.shape[1]), np.arange(1024), line))[None, :].astype(np.float32)


def soften(line: Plane, share: float = 0.035) -> Plane:
    """Smooth a height line, for what follows its shape but not its teeth."""
    reach = int(line.shape[1] * share)
    window = np.hanning(2 * reach + 1)
    padded = np.pad(line[0], reach, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")[None, :].astype(np.float32)


def below(view: View, line: Plane) -> Plane:
    """Mask what is below a line, softly within a pixel."""
    return np.clip((view.y - line) * view.shape[0] + 0.5, 0, 1)


def water(
    scene: Scene, view: View, rng: np.random.Generator, horizon: float, deep: str, chop: float
) -> tuple[Scene, Plane, Plane]:
    """Mirror all that is above the horizon in moving water; return also the slope of the waves and how near they are."""
    tile = noise(rng, cells=16, octaves=6, gain=0.6) - 0.5
    depth = np.maximum((view.y - horizon) / (1 - horizon), 0)
    far = 1 / (depth + 0.06)
    slope = sample(tile, (view.x - 0.7) * far * 0.10, far * 0.55) + 0.5 * sample(tile, view.x * far * 0.31, far * 1.4 + 0.37)
    slope = slope + 0.35 * sample(tile, view.x * far * 0.9 + 0.11, far * 3.1 + 0.7) * smooth(0.0, 0.25, depth)
    total = np.zeros_like(scene)
    columns = np.broadcast_to(np.arange(view.shape[1])[None, :], view.shape)
    for part in np.linspace(-1, 1, 9):
        mirrored = 2 * horizon - view.y + slope * chop * (0.10 + depth) + part * chop * 0.5 * (0.1 + depth)
        rows = np.clip(mirrored, 0, horizon - 0.001) * view.shape[0]
        total += scene[rows.astype(np.int64), columns] / 9
    fresnel = np.clip(0.80 - 0.45 * depth + 0.45 * slope, 0, 1)
    sea = mix(np.broadcast_to(light(deep), scene.shape), total, fresnel)
    return mix(scene, sea, (view.y > horizon).astype(np.float32)), slope, depth
