"""A small picture of the clip in the terminal while it is made, two pixels a character."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from rich.color import Color
from rich.segment import Segment, Segments
from rich.style import Style

from unstill.sample import preview

if TYPE_CHECKING:
    from unstill.artifacts import Pixels, Progress

COLUMNS, ROWS = 44, 12  # characters at most
UPPER = "▀"


def find_frame(progress: Progress) -> Pixels | None:
    """Return what there is to be seen: a frame that was just made, or the middle of what a step shows; None if nothing."""
    if progress.frame is not None:
        frame: Pixels = (progress.frame * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return frame
    if progress.step is None:
        return None
    frames = preview(progress.step)
    shown: Pixels = frames[progress.done * len(frames) // (progress.total + 1)]
    return shown


def draw(frame_HWC: Pixels) -> Segments:
    """Draw a frame in characters, ready to be printed again and again."""
    rows, columns = frame_HWC.shape[:2]
    scale = min(COLUMNS / columns, 2 * ROWS / rows)
    size = (max(1, round(columns * scale)), max(2, round(rows * scale / 2) * 2))
    small = np.asarray(Image.fromarray(frame_HWC).resize(size, Image.Resampling.BOX))
    drawn = []
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        for above, below in zip(upper, lower, strict=True):
            drawn.append(Segment(UPPER, Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))))
        drawn.append(Segment.line())
    return Segments(drawn)
