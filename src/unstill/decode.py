"""Latents become frames. It does not know how the decoder is run."""

from __future__ import annotations

import torch

from unstill.artifacts import Box, Frames, Latents, Plan, Progress, Watch
from unstill.engine import Engine


def decode(plan: Plan, latents: Latents, engine: Engine, keep: Box, watch: Watch) -> Frames:
    """Decode all frames, `decode_chunk` at a time if the plan says so, and take padding away."""
    values_FCHW = latents.values_BFCHW[0]
    chunk = plan.request.decode_chunk or plan.frames
    decoded = []
    for start in range(0, plan.frames, chunk):
        pixels = engine.decode(values_FCHW[start : start + chunk])
        decoded.append((pixels * 0.5 + 0.5).clamp(0, 1)[..., _rows(keep), _columns(keep)])
        watch(Progress("decode", min(start + chunk, plan.frames), plan.frames))
    return Frames(torch.cat(decoded))


def _rows(box: Box) -> slice:
    return slice(box.top, box.top + box.height)


def _columns(box: Box) -> slice:
    return slice(box.left, box.left + box.width)
