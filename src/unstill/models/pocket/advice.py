"""What the bundled model does when nobody decides, and which settings change nothing.

It does not import torch: plans are made without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unstill.request import DEFAULTS, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unstill.artifacts import PreparedImage
    from unstill.measure.picture import Looks

TALL, WIDE = 1.2, 1.25  # height over width of what is tall, width over height of what is wide
FACE_MOTION = 50  # 0.9 px a frame: a slow push
SKY_SHARE = 0.15  # of the picture's rows that are sky before it counts as a landscape
SKY_GREYS = 5.0  # mean step between neighbouring pixels of a row; skies have 0.3 to 3, woods 10 and more


def settle_camera(image: PreparedImage, request: Request, looks: Looks | None) -> tuple[Request, str]:
    """Settle a camera that is left open by what is in the picture, never by the seed; return why."""
    if request.move is None and looks is not None and looks.faces:
        motion = FACE_MOTION if request.motion is None else request.motion
        return request.replace(camera="push", motion=motion), "slowly, as there is a face"
    word, why = choose_camera(image, request)
    return request.replace(camera=word), why


def choose_camera(image: PreparedImage, request: Request) -> tuple[str, str]:
    """Return a camera word for a picture without faces, and why."""
    if request.move is not None:
        return "still", "move says what moves"
    rows, columns = image.source_HWC.shape[:2]
    if rows > TALL * columns:
        return "up", "the picture is tall"
    if columns > WIDE * rows and (sky := measure_sky(image)) > SKY_SHARE:
        side = "right" if lean(image) > 0 else "left"
        return side, f"a wide view, {sky:.0%} of it sky, with more to see on the {side}"
    return "push", "neither a tall picture nor a wide view"


def measure_sky(image: PreparedImage) -> float:
    """Return the share of rows, from the top, that are smooth."""
    light_HW = _shrink(image)
    smooth = np.abs(np.diff(light_HW, axis=1)).mean(1) < SKY_GREYS
    return float(np.cumprod(smooth).mean())


def lean(image: PreparedImage) -> float:
    """Return where the picture's detail lies, from −1 on the left to 1 on the right."""
    light_HW = _shrink(image)
    detail = np.abs(np.diff(light_HW, axis=1)).sum(0)
    place = np.linspace(-1, 1, len(detail))
    return float((detail * place).sum() / max(float(detail.sum()), 1e-9))


def _shrink(image: PreparedImage) -> NDArray[np.float64]:
    """Return the light of every so many pixels, about 160 columns."""
    step = max(1, image.canvas_HWC.shape[1] // 160)
    rows, columns = (side // step * step for side in image.canvas_HWC.shape[:2])
    light_HW = image.canvas_HWC[:rows, :columns].astype(np.float64).mean(-1)
    small_HW: NDArray[np.float64] = light_HW.reshape(rows // step, step, columns // step, step).mean((1, 3))
    return small_HW


def advise_pocket(request: Request) -> list[str]:
    """Return what to expect of settled values that change nothing, or too much."""
    said = [
        f"{name.replace('_', '-')} changes nothing here: pocket is small, and its frames are made one at a time"
        for name in ("memory", "max_memory", "decode_chunk", "forward_chunk", "offload")
        if getattr(request, name) != DEFAULTS[name]
    ]
    if request.steps is not None and request.steps < 4:
        said.append(f"{request.steps} steps are few for pocket: under 4, water and leaves move oddly")
    return said
