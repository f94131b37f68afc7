"""Frames become a report, or a clear failure: a broken clip is never handed on.

It measures; it does not repair.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F

from unstill.artifacts import Frames, Measures, Plan, PreparedImage, Report, View
from unstill.engine.memory_errors import is_memory
from unstill.errors import ResultError
from unstill.measure.clip import measure_clip
from unstill.measure.steady import measure_fidelity_db
from unstill.measure.verdicts import describe_motion, judge, judge_asked

GREY_LEVELS = 255.0
BLACK = 2 / GREY_LEVELS  # brighter than this anywhere is not black
FLAT = 0.5 / GREY_LEVELS  # a frame that varies less than this shows nothing, once rounded to 8 bits
FEW = 16  # one row in so many is looked at first
STILL = 0.1  # mean change in grey levels; rounding to 8 bits alone hides anything below


def check(plan: Plan, image: PreparedImage, frames: Frames) -> Report:
    """Refuse frames that are not finite, black or of one colour; report what is known of the others at once."""
    values_FCHW, picture_CHW = frames.values_FCHW, _kept_picture(image, frames.view)
    refuse_broken(values_FCHW, picture_CHW)
    return Report(
        frames=values_FCHW.shape[0],
        size=plan.clip_size,
        mean_change=round(measure_change(values_FCHW) * GREY_LEVELS, 3),
        fidelity_db=round(measure_fidelity_db(values_FCHW[0], picture_CHW), 2),
        device=plan.device,
        dtype=plan.dtype,
        engine=plan.engine,
        shows=round(1 / frames.view.scale, 3),
        warnings=(*plan.warnings, *frames.notes),
    )


def complete(plan: Plan, image: PreparedImage, frames: Frames, report: Report) -> Report:
    """Add to a report how the clip moves and what is wrong with it. It refuses nothing, so a file need not wait for it."""
    found, said = measure(plan, frames.values_FCHW, _kept_picture(image, frames.view)) if plan.request.measure else (None, ())
    if found is None:
        is_still = report.mean_change < STILL
        still = f"the clip stands still ({report.mean_change:.2f} grey levels of change): --fix-still, or --want-motion natural"
        return replace(report, warnings=(*report.warnings, *said, *([still] if is_still else [])))
    verdicts = (*judge(found), *judge_asked(found, plan.request.camera, list_arrows(plan)[1]))
    told = [f"{verdict.text}: {verdict.cure}" for verdict in verdicts]
    moves = describe_motion(found, tell_asked(plan))
    return replace(report, measures=found, verdicts=verdicts, moves=moves, warnings=(*report.warnings, *told, *said))


def measure(plan: Plan, values_FCHW: torch.Tensor, picture_CHW: torch.Tensor) -> tuple[Measures | None, tuple[str, ...]]:
    """Measure the clip, on the CPU where the device has too little memory; no clip is lost for want of its measures."""
    said: tuple[str, ...] = ()
    for device in (plan.device, "cpu"):
        try:
            return measure_clip(values_FCHW, picture_CHW, device, list_arrows(plan)[0]), said
        except (RuntimeError, MemoryError) as error:
            if not is_memory(error):
                raise
            said = ("memory ran out while the clip was measured: it was measured again on the CPU",)
    return None, ("memory ran out while the clip was measured: nothing is known of its motion",)


def list_arrows(plan: Plan) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """List where the arrows that were asked for start, and how far they go, in fractions of the frame."""
    each = plan.request.move.each if plan.request.move is not None else ()
    return [(arrow.x, arrow.y) for arrow in each], [(arrow.dx, arrow.dy) for arrow in each]


def tell_asked(plan: Plan) -> str:
    """Say what motion was asked for."""
    camera = f", camera {plan.request.camera}" if plan.request.camera != "auto" else ""
    return f"asked: motion {plan.request.motion}{camera}"


def refuse_broken(values_FCHW: torch.Tensor, picture_CHW: torch.Tensor) -> None:
    """Raise when a frame is not finite, black, or of one colour; a picture of one colour may give such frames."""
    finite_F = values_FCHW.flatten(1).sum(1, dtype=torch.float32).isfinite()
    if not bool(finite_F.all()):
        raise ResultError(
            f"{int((~finite_F).sum())} of {len(finite_F)} frames are not finite, the first is frame {_first(~finite_F)}",
            hint="--dtype fp32, or bf16 where the GPU has it: fp16 overflowed",
        )
    flat_F = _are_flat(values_FCHW)
    if bool(flat_F.any()) and not bool(_are_flat(picture_CHW[None])):
        kind = "black" if float(values_FCHW[flat_F].amax()) < BLACK else "of one colour"
        raise ResultError(
            f"{int(flat_F.sum())} of {len(flat_F)} frames are {kind}, the first is frame {_first(flat_F)}",
            hint="--dtype fp32; if that does not help, check the files",
        )


def measure_change(values_FCHW: torch.Tensor) -> float:
    """Return the mean change from frame to frame, frame by frame so that little memory is written."""
    changes = [(late - early).abs_().mean() for early, late in pairwise(values_FCHW)]
    return float(torch.stack(changes).mean()) if changes else 0.0


def _are_flat(values_FCHW: torch.Tensor) -> torch.Tensor:
    """Return for each frame whether no channel spreads over it.

    A few rows clear most frames: squared deviations of all pixels add up to no less than those of some from their own mean.
    """
    few_FCHW = values_FCHW[:, :, ::FEW]
    flat_F = _spread(few_FCHW) * math.sqrt(few_FCHW.shape[2] / values_FCHW.shape[2]) < FLAT
    if bool(flat_F.any()):
        flat_F[flat_F.clone()] = _spread(values_FCHW[flat_F]) < FLAT
    return flat_F


def _spread(values_FCHW: torch.Tensor) -> torch.Tensor:
    """Return for each frame the largest spread of a channel over the frame."""
    return values_FCHW.flatten(2).std(2, correction=0).amax(1)


def _first(mask_F: torch.Tensor) -> int:
    """Return the number of the first true frame, counting from 1."""
    return int(mask_F.int().argmax()) + 1


def enlarge(picture_CHW: torch.Tensor, view: View) -> torch.Tensor:
    """Return what a view shows of a picture, at the picture's size."""
    if view.is_whole:
        return picture_CHW
    rows, columns = picture_CHW.shape[-2:]
    x = (torch.arange(columns) + 0.5) / (columns * view.scale) + view.left
    y = (torch.arange(rows) + 0.5) / (rows * view.scale) + view.top
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1) * 2 - 1
    shown = F.grid_sample(picture_CHW[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False)
    return shown[0].clamp(0, 1)


def _kept_picture(image: PreparedImage, view: View) -> torch.Tensor:
    """Return the part of the picture that the clip keeps and shows, in 0–1."""
    box = image.content
    picture_CHW = enlarge(torch.from_numpy(image.canvas_HWC.copy()).permute(2, 0, 1).float() / GREY_LEVELS, view)
    return picture_CHW[:, box.top : box.top + box.height, box.left : box.left + box.width]
