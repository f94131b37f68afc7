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
AREA = 512 * 288  # pixels of a clip, whatever its picture's shape
FRAME_MS, HIGH, WIDE = 140, 136, 1024  # of the moving sheet: its frames, and px of a clip and of all clips in a row
GAP = 4


def make_clips() -> list[list[Image.Image]]:
    """Animate every picture in its own shape."""
    keep = Keep()
    clips = (animate(picture, model="pocket", seed=1, size=shape(picture), load=keep, measure=False) for picture in PICTURES)
    return [[Image.fromarray(frame) for frame in clip.frames] for clip in clips]


def shape(picture: Path) -> str:
    """Return the size of a clip that keeps its picture's shape."""
    with Image.open(picture) as opened:
        wide = (AREA * opened.width / opened.height) ** 0.5
    return f"{round(wide / 16) * 16}x{round(AREA / wide / 16) * 16}"


def draw_moving(clips: list[list[Image.Image]]) -> None:
    """Play all clips side by side, there and back."""
    small = [[lower(frame, HIGH) for frame in clip] for clip in clips]
    there = [lay_out(list(tiles)) for tiles in zip(*small, strict=True)]
    frames = [*there, *there[-2:0:-1]]
    frames[0].save(
        OUT / "moving.webp", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, quality=62, method=6
    )


def lower(frame: Image.Image, high: int) -> Image.Image:
    """Return a frame that is so many pixels high."""
    return frame.resize((round(frame.width * high / frame.height), high), Image.Resampling.LANCZOS)


def lay_out(tiles: list[Image.Image]) -> Image.Image:
    """Lay tiles of one height out in rows, the rows in the middle."""
    rows: list[list[Image.Image]] = [[]]
    for tile in tiles:
        if sum(one.width + GAP for one in rows[-1]) + tile.width > WIDE:
            rows.append([])
        rows[-1].append(tile)
    sheet = Image.new("RGB", (WIDE, len(rows) * (HIGH + GAP) - GAP), "white")
    for number, row in enumerate(rows):
        left = (WIDE - sum(one.width + GAP for one in row) + GAP) // 2
        for tile in row:
            sheet.paste(tile, (left, number * (HIGH + GAP)))
            left += tile.width + GAP
    return sheet


def draw_sheet(clips: list[list[Image.Image]]) -> None:
    """Put the first, middle and last frame of each clip side by side."""
    high = 192
    rows = [[lower(clip[at], high) for at in (0, len(clip) // 2, -1)] for clip in clips]
    sheet = Image.new("RGB", (max(3 * row[0].width for row in rows), len(rows) * high), "white")
    for number, row in enumerate(rows):
        for at, frame in enumerate(row):
            sheet.paste(frame, (at * frame.width, number * high))
    sheet.save(OUT / "photographs.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    made = make_clips()
    draw_moving(made)
    draw_sheet(made)
