"""The clips of one call, side by side: a step of each, then the script's callback on all of them, as one batch.

Each clip is computed on its own, so that it does not depend on its neighbours. It does not know what a script asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unstill.artifacts import Latents, Plan, PreparedImage, Report
from unstill.check import check, complete
from unstill.decode import decode
from unstill.engine import Engine
from unstill.engine.memory_errors import annotate_memory
from unstill.engine.reference import DTYPES
from unstill.errors import RequestError, ResultError
from unstill.generate import ignore
from unstill.sample import Draws, sample

CallBack = Callable[[int, Tensor], Tensor]  # the step's number from 0 and the latents of all clips, to latents


@dataclass(frozen=True, eq=False)
class OneClip:
    """One clip: what to do, with which picture, from which noise."""

    plan: Plan
    image: PreparedImage
    draws: Draws


def list_clips(plans: list[Plan], images: list[PreparedImage], draws: list[Draws]) -> list[OneClip]:
    """Give each picture its clips, one picture after the other: a, a, b, b."""
    each = len(draws) // len(images)
    return [OneClip(plans[i // each], images[i // each], drawn) for i, drawn in enumerate(draws)]


def sample_clips(
    clips: list[OneClip], engine: Engine, sigmas: Tensor, call_back: CallBack | None, watch: Callable[[int], None]
) -> list[Latents]:
    """Take the steps of all clips together, telling the watcher how many are done; return their last latents."""
    dtype = DTYPES[clips[0].plan.dtype]
    runs = [sample(clip.plan, clip.image, engine, draws=clip.draws, sigmas=sigmas) for clip in clips]
    latents: list[Latents] = []
    changed: list[Tensor | None] = [None] * len(clips)
    for number in range(len(sigmas) - 1):
        with annotate_memory("sample"):  # the step alone: what a script's callback raises is the script's
            steps = [run.send(latents) for run, latents in zip(runs, changed, strict=True)]
        latents = [step.latents for step in steps]
        if call_back is not None:
            latents = _call(call_back, number, latents, dtype)
            changed = [one.values_BFCHW for one in latents]
        watch(number + 1)
    return latents


def _call(call_back: CallBack, number: int, latents: list[Latents], dtype: torch.dtype) -> list[Latents]:
    """Show the latents in the model's dtype, and take over what comes back if it differs."""
    shown = torch.cat([one.values_BFCHW for one in latents]).to(dtype)
    returned = call_back(number, shown.clone())
    if returned.shape != shown.shape:
        raise RequestError(f"The callback returned latents of shape {tuple(returned.shape)}, not {tuple(shown.shape)}")
    if torch.equal(returned, shown):
        return latents  # as they are, not rounded to the model's dtype
    parts = returned.detach().to(shown.device).float().chunk(len(latents))
    return [replace(one, values_BFCHW=part) for one, part in zip(latents, parts, strict=True)]


def join_latents(latents: list[Latents], dtype: torch.dtype) -> Tensor:
    """Give the latents of all clips as one tensor; refuse those that are not finite."""
    joined = torch.cat([one.values_BFCHW for one in latents])
    if not bool(joined.isfinite().all()):
        raise ResultError("The latents are not finite", hint="torch_dtype=torch.float32, or bfloat16 where the GPU has it")
    return joined.to(dtype)


def decode_clips(clips: list[OneClip], latents: list[Latents], engine: Engine) -> tuple[list[Tensor], tuple[Report, ...]]:
    """Decode and check each clip: frames [F, C, H, W] in 0–1, and their reports."""
    with annotate_memory("decode"):
        decoded = [decode(clip.plan, clip.image, one, engine, ignore) for clip, one in zip(clips, latents, strict=True)]
    made = list(zip(clips, decoded, strict=True))
    checked = [check(clip.plan, clip.image, frames) for clip, frames in made]
    reports = [complete(clip.plan, clip.image, frames, one) for (clip, frames), one in zip(made, checked, strict=True)]
    return [frames.values_FCHW for frames in decoded], tuple(reports)
