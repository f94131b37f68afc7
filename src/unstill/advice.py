"""What to expect of settings before anything runs: those that lie outside what a model was trained on, or change nothing.

It does not know pictures or machines.
"""

from __future__ import annotations

from unstill.request import NATIVE, Request
from unstill.values import Size


def advise(request: Request, trained_frames: int) -> list[str]:
    """Say what to expect of settled values that lie outside what the model was trained on."""
    said = []
    if request.noise is not None and request.noise > 0.135:
        # Training drew log sigma ~ N(-3, 0.5²): two sigma end at exp(-2) = 0.135.
        said.append(f"noise {request.noise:g} is above 0.135, the most seen in training: expect the clip to leave the picture")
    if request.fps is not None and not 5 <= request.fps <= 30:
        said.append(f"fps {request.fps} is outside 5–30, what was seen in training: expect odd or broken motion")
    if request.frames is not None and request.frames != trained_frames and request.preset != "draft":
        said.append(f"{request.frames} frames, but the model was trained on {trained_frames}: expect weaker motion or drift")
    said.extend(_advise_steps(request))
    if request.size is not None:
        said.extend(_advise_size(request.size))
    return said


def _advise_steps(request: Request) -> list[str]:
    if request.steps is None:
        return []
    if request.steps_schedule == "ays":
        return ["steps-schedule ays: other noise levels than the model's own, so another clip in fewer steps"]
    if request.steps < 20 and request.preset != "draft":
        return [f"{request.steps} steps are few: under 20 is visibly worse"]
    return []


def _advise_size(size: Size) -> list[str]:
    said = []
    if size.width % 64 or size.height % 64:
        said.append(f"size {size} is not a multiple of 64 on both sides: expect artefacts at the borders")
    if size.area_px > 1.3 * NATIVE.area_px:
        said.append(
            f"size {size} is {size.area_px / NATIVE.area_px:.1f}× the trained area: expect repeated content and long runs"
        )
    elif size.area_px < 0.5 * NATIVE.area_px:
        said.append(
            f"size {size} is {size.area_px / NATIVE.area_px:.2f}× the trained area: expect less detail and odder motion"
        )
    return said
