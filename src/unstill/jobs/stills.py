"""Still pictures of a clip for whoever looks at many of them: one frame, all frames on a sheet, and the last to go on from.

They lie beside the clip, under its name and a word more. It does not know jobs.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from unstill.formats.frames import walk_frames
from unstill.jobs.files import first_word, write_through

if TYPE_CHECKING:
    from unstill.artifacts import Pixels, Progress

THUMBNAIL_PX = 480  # the longest side; twice what a list shows, for dense screens
TILE_PX = 192  # the longest side of a frame on the sheet
MOST_TILES = 48  # frames on a sheet; of longer clips they are spread evenly
ACROSS = 8
QUALITY = 82
PREVIEW_FRAMES, PREVIEW_MS = 6, 160
AFTER_STEPS = 1000  # more than any clip has steps


@dataclass(frozen=True)
class Grid:
    """How frames lie on a sheet, row by row."""

    columns: int
    rows: int
    width: int  # of a frame on the sheet
    height: int
    frames: int


def keep_stills(clip: Path, last: Pixels) -> dict[str, Any]:
    """Write the stills of a finished clip beside it; say how its sheet is laid out and how many frames the file has."""
    tiles, count = shrink_frames(clip)
    grid = lay_out(tiles)
    sheet = Image.new("RGB", (grid.columns * grid.width, grid.rows * grid.height))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % grid.columns * grid.width, number // grid.columns * grid.height))
    first = shrink(next(walk_frames(clip)[0]), THUMBNAIL_PX)
    write_through(name_still(clip, "thumbnail"), encode(first, "JPEG"))
    write_through(name_still(clip, "spritesheet"), encode(sheet, "JPEG"))
    write_through(name_still(clip, "last"), encode(Image.fromarray(last), "PNG"))
    return {"spritesheet": asdict(grid), "file_frames": count}


def name_still(clip: Path, what: str) -> Path:
    """Say where a clip's thumbnail, spritesheet or last frame is."""
    return clip.with_name(f"{first_word(clip.name)}.{what}.{'png' if what == 'last' else 'jpg'}")


def shrink_frames(clip: Path) -> tuple[list[Image.Image], int]:
    """Read a clip from its file, which shows that it can be read; give some frames, made small, and the number of all."""
    frames, found = walk_frames(clip)
    wanted = {round(n * (found.frames - 1) / max(1, MOST_TILES - 1)) for n in range(MOST_TILES)}
    tiles, count = [], 0
    for frame in frames:
        if count in wanted:
            tiles.append(shrink(frame, TILE_PX))
        count += 1
    return tiles, count


def shrink(frame: Any, longest_px: int) -> Image.Image:
    """Make a frame as small as a side says; it is never made larger."""
    image = Image.fromarray(np.ascontiguousarray(frame))
    image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


def lay_out(tiles: list[Image.Image]) -> Grid:
    """Lay frames out, row by row."""
    columns = min(ACROSS, len(tiles))
    return Grid(columns, -(-len(tiles) // columns), *tiles[0].size, len(tiles))


def encode(image: Image.Image, kind: str) -> bytes:
    """Encode a still."""
    out = io.BytesIO()
    image.save(out, kind, **({"quality": QUALITY} if kind == "JPEG" else {"compress_level": 6}))
    return out.getvalue()


def draw_progress(progress: Progress) -> tuple[int, bytes]:
    """Draw what a step shows, or the frame that was just decoded; return a number that rises with it too."""
    if progress.frame is not None:
        frame: Pixels = (progress.frame * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return AFTER_STEPS + progress.done, draw_preview(frame[None])
    from unstill.sample import preview  # torch, which a process that makes clips has

    assert progress.step is not None
    return progress.step.number, draw_preview(preview(progress.step))


def draw_preview(small: Pixels, longest_px: int = THUMBNAIL_PX) -> bytes:
    """Draw a few frames of what a step shows as an animation, there and back, large enough to be looked at."""
    scale = longest_px / max(small.shape[1:3])
    size = (max(1, round(small.shape[2] * scale)), max(1, round(small.shape[1] * scale)))
    picked = small[np.linspace(0, len(small) - 1, min(len(small), PREVIEW_FRAMES)).round().astype(int)]
    frames = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in picked]
    out = io.BytesIO()
    there_and_back = [*frames, *frames[-2:0:-1]]
    there_and_back[0].save(
        out,
        "WEBP",
        save_all=True,
        append_images=there_and_back[1:],
        duration=PREVIEW_MS,
        loop=0,
        quality=QUALITY - 20,
        method=0,
    )
    return out.getvalue()
