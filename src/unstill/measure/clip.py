"""Everything that is measured about a clip, in one look: `measure_clip`.

It does not know what was asked for, nor which number is good enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unstill.artifacts import Measures
from unstill.measure.flow import Flow, Shrunk, follow, measure_length, shrink, to_unit, track
from unstill.measure.motion import (
    Camera,
    doubt_camera,
    fit_camera,
    measure_motion_px,
    measure_static_share,
    name_camera,
    settle,
)
from unstill.measure.scars import find_scars
from unstill.measure.steady import (
    DARK,
    GREYS,
    find_cuts,
    find_seams,
    measure_bands,
    measure_contrast,
    measure_error,
    measure_fidelity_db,
    measure_flicker,
    measure_saturation,
    measure_sharpness,
)

REPEATED = 0.15  # grey levels of change that rounding and a video's compression leave between equal frames
MOVES = 4 * REPEATED  # what a clip changes by otherwise, where a repeated frame is a fault and not a pause
PLAIN = 1 / GREYS  # of contrast: less is one colour
SHOWN_DIGITS = 3


def measure_clip(
    frames_FCHW: Tensor, picture_CHW: Tensor | None = None, device: str = "cpu", points: Sequence[tuple[float, float]] = ()
) -> Measures:
    """Measure motion, light, colour, sharpness, borders and scars.

    The picture is what the first frame should be. Of points of the first frame, in fractions of its sides, it is measured how
    far what is there goes.
    """
    small = shrink(frames_FCHW, device)
    flow = track(small)
    is_cut_P = find_cuts(small, flow)
    flow = forget(flow, is_cut_P)
    scars = find_scars(small, flow, _count_scene(is_cut_P))
    moved = follow(flow, points)
    flow, camera = settle(flow, doubt_camera(fit_camera(flow), small, flow), small)
    numbers = {**_measure_motion(flow, camera, ~is_cut_P), **_measure_stillness(small)}
    curves = numbers.pop("curves")
    numbers |= _measure_light(small, flow, curves["motion_px"], ~is_cut_P)
    curves |= {
        "sharpness": measure_sharpness(frames_FCHW, device),
        "saturation": measure_saturation(small),
        "contrast": measure_contrast(small),
        "light_greys": small.light_FHW.mean((1, 2)) * GREYS,
    }
    bands = measure_bands(small)
    is_plain = float(small.light_FHW[0].std()) < PLAIN  # of one colour: everything is a band and a repeat of itself
    if is_plain:
        numbers["repeats"] = 0
    kinds = (bands.black_percent, bands.mirrored_percent, bands.stretched_percent)
    return Measures(
        **{name: _plain(value) for name, value in numbers.items()},
        sharpness=_plain(curves["sharpness"][-1]),
        saturation=_plain(curves["saturation"][-1]),
        contrast=_plain(curves["contrast"][-1]),
        band_percent=0.0 if is_plain else round(max(max(kind.values()) for kind in kinds), 1),
        cuts=tuple(int(pair) + 2 for pair in is_cut_P.nonzero()[:, 0]),
        fidelity_db=None if picture_CHW is None else round(measure_fidelity_db(to_unit(frames_FCHW[0]), picture_CHW), 2),
        scars=scars,
        moved=tuple((round(x, SHOWN_DIGITS), round(y, SHOWN_DIGITS)) for x, y in moved),
        curves={name: tuple(_plain(value) for value in curve) for name, curve in curves.items()},
    )


def _count_scene(is_cut_P: Tensor) -> int:
    """Count the frames before another scene."""
    cuts = is_cut_P.nonzero()
    return int(cuts[0, 0]) + 1 if len(cuts) else len(is_cut_P) + 1


def forget(flow: Flow, is_cut_P: Tensor) -> Flow:
    """Let nothing move from one scene to another."""
    flow_PCHW = flow.flow_PCHW.masked_fill(is_cut_P[:, None, None, None], 0.0)
    return replace(flow, flow_PCHW=flow_PCHW, confidence_PHW=flow.confidence_PHW.masked_fill(is_cut_P[:, None, None], 0.0))


def _measure_motion(flow: Flow, camera: Camera, counts_P: Tensor) -> dict[str, Any]:
    """Say what moves, split into the camera and the rest; the pairs that count alone make the means."""
    motion_P, word = measure_motion_px(flow, camera), name_camera(flow, camera)
    camera_P = measure_length(camera.plane_PCHW).mean((1, 2))
    if not bool(counts_P.any()):
        counts_P = torch.ones_like(counts_P)
    ways = {
        "pan_x_px": camera.pan_x_px_P,
        "pan_y_px": camera.pan_y_px_P,
        "zoom_percent": camera.zoom_percent_P,
        "roll_degrees": camera.roll_degrees_P,
        "static_share": measure_static_share(flow, camera),
        "motion_px": motion_P,
        "camera_px": camera_P,
        "objects_px": camera.objects_px_P,
    }
    return {
        **{name: way_P[counts_P].mean() for name, way_P in ways.items()},
        "motion_spread_px": motion_P[counts_P].std(correction=0),
        "camera": word.word,
        "camera_or": word.other,
        "curves": {name: ways[name] for name in ("motion_px", "camera_px", "objects_px")},
    }


def _measure_light(small: Shrunk, flow: Flow, motion_P: Tensor, counts_P: Tensor) -> dict[str, Any]:
    """Say how light steps from frame to frame, and whether chunks show, in light or in detail."""
    flicker = measure_flicker(small, flow)
    step_P, error_P = flicker.step_greys_P, measure_error(small, flow)
    if bool(counts_P.any()):  # another scene is neither a flash nor a seam
        step_P, error_P = (torch.where(counts_P, x_P, x_P[counts_P].median()) for x_P in (step_P, error_P))
    found = [find_seams(step_P), find_seams(error_P)]
    if found[1][0] == find_seams(motion_P)[0]:  # what leaps is followed less well: no fault of the decoder
        del found[1]
    chunk, seam = max(found, key=lambda one: one[1])
    return {
        "flicker_greys": (step_P - step_P.mean()).abs().mean(),
        "local_flicker_greys": flicker.local_greys_P.mean(),
        "flash_greys": (step_P - step_P.median()).abs().max(),
        "fade_greys": step_P.mean(),
        "alternates": _alternates(step_P - step_P.mean()),
        "seam_greys": seam,
        "seam_every": chunk,
    }


def _alternates(step_P: Tensor) -> float:
    """Give how far each step undoes the one before, -1 to 1: -1 is light that goes up and down with every frame."""
    return float((step_P[1:] * step_P[:-1]).sum() / step_P.square().sum().clamp(min=1e-9)) if len(step_P) > 1 else 0.0


def _measure_stillness(small: Shrunk) -> dict[str, Any]:
    """Count frames that repeat the one before in a clip that moves otherwise, and frames that are black."""
    change_P = (small.light_FHW[1:] - small.light_FHW[:-1]).abs().mean((1, 2)) * GREYS
    is_repeat = change_P < REPEATED
    usual = change_P[~is_repeat]
    is_fault = len(usual) > 0 and float(usual.median()) > MOVES
    is_black = small.light_FHW.flatten(1).amax(1) < DARK
    is_repeat &= ~is_black[1:]
    return {"repeats": int(is_repeat.sum()) if is_fault else 0, "black_frames": int(is_black.sum())}


def _plain(value: Any) -> Any:
    """Take a number out of its tensor, rounded to what it is worth."""
    if isinstance(value, (Tensor, float)):
        return round(float(value), SHOWN_DIGITS)
    return value


def to_frames(pixels_FHWC: Tensor) -> Tensor:
    """View bytes as what is measured, [F, C, H, W]."""
    return pixels_FHWC.permute(0, 3, 1, 2)
