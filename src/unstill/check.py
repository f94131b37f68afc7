"""Frames become a report, or a clear failure: a broken clip is never handed on.

It measures; it does not repair.
"""

from __future__ import annotations

import math

import torch

from unstill.artifacts import Frames, Plan, PreparedImage, Report
from unstill.errors import ResultError

GREY_LEVELS = 255.0
BLACK = 2 / GREY_LEVELS  # brighter than this anywhere is not black
STILL = 0.1  # mean change in grey levels; rounding to 8 bits alone hides anything below


def check(plan: Plan, image: PreparedImage, frames: Frames) -> Report:
    """Refuse frames that are not finite, black or of one colour; report the others' numbers."""
    values_FCHW = frames.values_FCHW
    refuse_broken(values_FCHW)
    change = (values_FCHW[1:] - values_FCHW[:-1]).abs().mean().item() * GREY_LEVELS
    warnings = list(plan.warnings)
    if change < STILL:
        warnings.append(
            f"the clip stands still ({change:.2f} grey levels of change): try more motion, more noise or another seed"
        )
    return Report(
        frames=values_FCHW.shape[0],
        size=plan.clip_size,
        mean_change=round(change, 3),
        fidelity_db=round(_fidelity_db(values_FCHW[0], image), 2),
        device=plan.device,
        dtype=plan.dtype,
        engine=plan.engine,
        warnings=tuple(warnings),
    )


def refuse_broken(values_FCHW: torch.Tensor) -> None:
    """Raise when a frame is not finite or black, or the whole clip is of one colour."""
    finite_F = values_FCHW.isfinite().flatten(1).all(1)
    if not bool(finite_F.all()):
        raise ResultError(
            f"{int((~finite_F).sum())} of {len(finite_F)} frames are not finite, the first is frame {_first(~finite_F)}",
            hint="--dtype fp32, or bf16 where the GPU has it: fp16 overflowed",
        )
    black_F = values_FCHW.flatten(1).amax(1) < BLACK
    if bool(black_F.any()) and float(values_FCHW[0].amax()) >= BLACK:
        raise ResultError(
            f"{int(black_F.sum())} of {len(black_F)} frames are black, the first is frame {_first(black_F)}",
            hint="--dtype fp32",
        )
    if float(values_FCHW.std()) < 1 / GREY_LEVELS:
        raise ResultError(
            "Every frame is of one and the same colour", hint="--dtype fp32; if it stays, check the model's files"
        )


def _first(mask_F: torch.Tensor) -> int:
    """Return the number of the first true frame, counting from 1."""
    return int(mask_F.int().argmax()) + 1


def _fidelity_db(first_CHW: torch.Tensor, image: PreparedImage) -> float:
    """Compare the first frame with the picture: PSNR, at most 99 dB."""
    box = image.content
    part = image.canvas_HWC[box.top : box.top + box.height, box.left : box.left + box.width]
    wanted = torch.from_numpy(part.copy()).permute(2, 0, 1).float() / GREY_LEVELS
    error = (first_CHW - wanted).square().mean().item()
    return 99.0 if error == 0 else min(99.0, -10 * math.log10(error))
