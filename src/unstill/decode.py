"""Latents become frames. It does not know how the decoder is run."""

from __future__ import annotations

import torch

from unstill.artifacts import Box, Draw, Frames, Latents, Plan, PreparedImage, Progress, Watch
from unstill.engine import Engine


def decode(plan: Plan, image: PreparedImage, latents: Latents, engine: Engine, watch: Watch) -> Frames:
    """Decode all frames, as many at a time as the engine does, and take padding away."""
    film = engine.decode(latents.values_BFCHW[0], plan, image)
    decoded, done = [], 0
    for pixels in film.parts:
        decoded.append((pixels * 0.5 + 0.5).clamp(0, 1)[..., _rows(image.content), _columns(image.content)])
        done += len(pixels)
        watch(Progress("decode", done, plan.frames, frame=decoded[-1][-1]))
    return Frames(torch.cat(decoded), film.view, film.notes, _keep_content(film.draw, image.content))


def _keep_content(draw: Draw | None, box: Box) -> Draw | None:
    """Return what draws frames in between, without padding."""
    return draw and (lambda place: draw(place)[..., _rows(box), _columns(box)])


def _rows(box: Box) -> slice:
    return slice(box.top, box.top + box.height)


def _columns(box: Box) -> slice:
    return slice(box.left, box.left + box.width)
