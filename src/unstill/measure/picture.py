"""What is in a picture that a model may have trouble with: text, faces, too much of everything, too little detail.

It does not know models, nor what is too much. Pixels are those of a picture of 1024x576 pixels in area.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from unstill.measure.faces import find_faces
from unstill.measure.flow import LIGHT, UNIT_PIXELS
from unstill.measure.letters import find_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_PX = 16  # a side; a cell of latents covers 8
BUSY_GREYS = 9.0  # mean step between neighbouring pixels; foliage has 12 to 30, a wall or a sky under 3
MARGIN_PX = 4  # left out at each edge, where resampling is done from less


@dataclass(frozen=True)
class Looks:
    """What a picture holds."""

    text_lines: int
    text_share: float  # of the area
    smallest_letter_px: int | None  # height of the smallest line
    faces: int | None  # None where nothing is installed that could tell
    smallest_face_px: int | None
    busyness: float  # share of the area that is full of fine detail, 0 to 1
    detail: float  # at the scale of single pixels: 0.5 and more is sharp, 0.3 enlarged twice, 0.15 four times


def look(picture_HWC: NDArray[np.uint8]) -> Looks:
    """Look at a picture, made smaller first where it is larger than a frame."""
    light_HW = _shrink(picture_HWC)
    unit = (UNIT_PIXELS / light_HW.size) ** 0.5  # small pictures stay small, and are told as if they were not
    lines = find_lines(light_HW)
    faces = find_faces(light_HW.round().astype(np.uint8))
    return Looks(
        text_lines=len(lines),
        text_share=round(sum(line.width * line.height for line in lines) / light_HW.size, 4),
        smallest_letter_px=round(unit * min(line.letter_px for line in lines)) if lines else None,
        faces=None if faces is None else len(faces),
        smallest_face_px=round(unit * min(box[3] for box in faces)) if faces else None,
        busyness=round(measure_busyness(light_HW), 3),
        detail=round(measure_detail(light_HW), 3),
    )


def _shrink(picture_HWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Give light in grey levels, of at most the area of a frame."""
    rows, columns = picture_HWC.shape[:2]
    scale = (UNIT_PIXELS / (rows * columns)) ** 0.5
    if scale < 1:
        size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
        picture_HWC = np.asarray(Image.fromarray(picture_HWC).resize(size, Image.Resampling.LANCZOS))
    light_HW: NDArray[np.float64] = picture_HWC.astype(np.float64) @ np.array(LIGHT)
    return light_HW


def measure_busyness(light_HW: NDArray[np.float64]) -> float:
    """Give the share of blocks in which light steps everywhere."""
    rows, columns = (side // BLOCK_PX for side in light_HW.shape)
    if not rows or not columns:
        return 0.0
    steps = np.abs(np.diff(light_HW, axis=1))[:-1] + np.abs(np.diff(light_HW, axis=0))[:, :-1]
    steps = np.pad(steps / 2, ((0, 1), (0, 1)))[: rows * BLOCK_PX, : columns * BLOCK_PX]
    blocks = steps.reshape(rows, BLOCK_PX, columns, BLOCK_PX).mean((1, 3))
    return float((blocks > BUSY_GREYS).mean())


def measure_detail(light_HW: NDArray[np.float64]) -> float:
    """Compare how light bends with how it steps, at edges and in texture: what was enlarged or blurred goes up in ramps.

    16 pictures have 0.53 to 0.82; the same enlarged twice 0.25 to 0.41, four times 0.10 to 0.19.
    """
    inner = light_HW[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    if min(inner.shape) < 8:
        return 1.0
    shares = []
    for axis in (0, 1):
        view = np.moveaxis(inner, axis, 0)
        near = np.abs(view[1:-1] - view[:-2]) + np.abs(view[2:] - view[1:-1])
        bend = np.abs(view[2:] - 2 * view[1:-1] + view[:-2])
        strong = near >= np.quantile(near, 0.95)  # edges and texture; flat parts hold noise
        shares.append(float(bend[strong].sum() / max(near[strong].sum(), 1e-9)))
    return min(1.0, float(np.mean(shares)))
