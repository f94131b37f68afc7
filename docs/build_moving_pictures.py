"""Make the pictures of what the bundled model does: every picture of this project at the default settings, seed 1.

Use: python docs/build_moving_pictures.py

Nothing is chosen: the moving sheet of the README shows all pictures, and docs/pictures/photographs.jpg the first, middle
and last frame of each.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unstill import animate
from unstill.models import Keep

Frame = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "pictures"
PHOTOGRAPHS = sorted((ROOT / "recipe" / "pictures").glob("*.jpg"), key=lambda path: path.stem.startswith("drawn"))
PICTURES = [*PHOTOGRAPHS, *sorted((ROOT / "examples").glob("*.jpg"))]
SIZE, FRAME_MS, ACROSS = (512, 288), 140, 4
TILE = (256, 144)


def make_clips() -> list[list[Image.Image]]:
    """Animate every picture."""
    keep, size = Keep(), "{}x{}".format(*SIZE)
    clips = (animate(picture, model="pocket", seed=1, size=size, load=keep, measure=False) for picture in PICTURES)
    return [[Image.fromarray(frame) for frame in clip.frames] for clip in clips]


def draw_moving(clips: list[list[Image.Image]]) -> None:
    """Play all clips side by side, there and back."""
    small = [[frame.resize(TILE, Image.Resampling.LANCZOS) for frame in clip] for clip in clips]
    there = [lay_out(list(tiles)) for tiles in zip(*small, strict=True)]
    frames = [*there, *there[-2:0:-1]]
    frames[0].save(
        OUT / "moving.webp", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, quality=62, method=6
    )


def lay_out(tiles: list[Image.Image]) -> Image.Image:
    """Lay tiles out row by row."""
    sheet = Image.new("RGB", (ACROSS * TILE[0], -(-len(tiles) // ACROSS) * TILE[1]))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % ACROSS * TILE[0], number // ACROSS * TILE[1]))
    return sheet


def draw_sheet(clips: list[list[Image.Image]]) -> None:
    """Put the first, middle and last frame of each clip side by side."""
    rows = [np.concatenate([np.asarray(clip[at]) for at in (0, len(clip) // 2, -1)], axis=1) for clip in clips]
    sheet = Image.fromarray(np.concatenate(rows))
    small = sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS)
    small.save(OUT / "photographs.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    made = make_clips()
    draw_moving(made)
    draw_sheet(made)
