"""Plan and image become latents, one step at a time.

`sample` is a generator: progress, previews, stopping and resuming are the caller's loop.
All randomness is drawn here, on the CPU, in the order of the diffusers pipeline, so that a seed means the
same clip on every device. It does not know how networks are run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unstill.artifacts import Latents, Plan, PreparedImage, Step
from unstill.engine import Engine
from unstill.errors import ResultError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHECK_FILES = "`unstill models` says which files are used; pull them anew if others make clips of them neither"


@dataclass(frozen=True, eq=False)
class Draws:
    """Everything random about one clip: standard normal, float32, on the CPU."""

    picture_BCHW: Tensor  # noise on the picture
    latents_BFCHW: Tensor  # what the clip starts from


def draw(plan: Plan, engine: Engine, generator: torch.Generator | None = None) -> Draws:
    """Draw the noise of one clip: the picture's first, then the latents'.

    The bundled model's latents are of one size whatever the clip's, and come first: a small draft moves as the clip will.
    """
    generator = generator or torch.Generator("cpu").manual_seed(plan.seed)
    shapes = [(1, 3, plan.size.height, plan.size.width), (1, *engine.latent_shape(plan))]
    if plan.model.layout == "bundled":
        latents, picture = (torch.randn(shape, generator=generator) for shape in reversed(shapes))
    else:
        picture, latents = (torch.randn(shape, generator=generator) for shape in shapes)
    return Draws(picture, latents)


def sample(
    plan: Plan,
    image: PreparedImage,
    engine: Engine,
    *,
    draws: Draws | None = None,
    sigmas: Tensor | None = None,
    resume: Step | None = None,
) -> Generator[Step, Tensor | None, None]:
    """Take the Euler steps from noise to latents, from the start or from after `resume`.

    A caller may `send` latents to go on from in place of those it was given.
    """
    draws = draws or draw(plan, engine)
    pixels = scale_pixels(image.canvas_HWC)
    repairs: list[str] = []
    encoded = _encode(pixels, draws, plan, engine, repairs)
    embedding = engine.embed(image.source_HWC)
    denoise = engine.denoiser(embedding, encoded, plan)
    to_rgb = engine.fit_colours(encoded, pixels)
    sigmas = engine.schedule.sigmas(plan.steps, plan.request.steps_schedule) if sigmas is None else sigmas
    total = len(sigmas) - 1
    # Latents stay float32 between steps; only the network's input is rounded to its dtype.
    x = draws.latents_BFCHW.to(encoded.device) * (sigmas.max() ** 2 + 1) ** 0.5
    done = 0
    if resume is not None:
        x, done = resume.latents.values_BFCHW.to(encoded.device), resume.number
    for number in range(done, total):
        sigma, target = sigmas[number], sigmas[number + 1]
        denoised = denoise(x, sigma)
        if not is_finite(denoised):
            with _widened(plan, engine, f"step {number + 1}", repairs):
                denoised = engine.denoiser(engine.embed(image.source_HWC), encoded.float(), plan)(x, sigma)
            _refuse(denoised, f"Step {number + 1}")
        x = x + (x - denoised) / sigma * (target - sigma)
        changed = yield Step(number + 1, total, float(target), Latents(x, to_rgb, tuple(repairs)), denoised)
        x = x if changed is None else changed


def _encode(pixels_BCHW: Tensor, draws: Draws, plan: Plan, engine: Engine, repairs: list[str]) -> Tensor:
    assert plan.request.noise is not None
    noised = pixels_BCHW + plan.request.noise * draws.picture_BCHW
    encoded = engine.encode(noised)
    if not is_finite(encoded):
        with _widened(plan, engine, "the picture's encoding", repairs):
            encoded = engine.encode(noised).to(encoded.dtype)
        _refuse(encoded, "The encoded picture")
    return encoded


def is_finite(x: Tensor) -> bool:
    """Say whether no number is infinite or none at all."""
    return bool(x.isfinite().all())


@contextmanager
def _widened(plan: Plan, engine: Engine, what: str, repairs: list[str]) -> Iterator[None]:
    """Repeat in float32 what overflowed in half precision; float32 itself has no wider one to go to."""
    if plan.dtype == "fp32":
        raise ResultError(f"{what[0].upper()}{what[1:]} is not finite", hint=CHECK_FILES)
    with engine.widened():
        yield
    repairs.append(f"{what} was not finite in {plan.dtype} and was repeated in float32")


def _refuse(x: Tensor, what: str) -> None:
    if not is_finite(x):
        raise ResultError(f"{what} is not finite, in float32 neither", hint=CHECK_FILES)


def scale_pixels(canvas_HWC: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 pixels into float32 in [−1, 1], [1, 3, H, W]."""
    # The batch axis comes first, as in diffusers: its stride decides whether convolutions take the channels-last path.
    pixels_BCHW = torch.from_numpy(canvas_HWC[None].copy()).permute(0, 3, 1, 2)
    return 2.0 * (pixels_BCHW.float() / 255.0) - 1.0


def preview(step: Step) -> NDArray[np.uint8]:
    """Show what the network takes the clip to be: uint8 [F, h, w, 3], one pixel per latent cell."""
    latents = step.denoised_BFCHW[0].float().cpu().movedim(1, -1)
    fit = step.latents.to_rgb
    colours = latents @ fit[:-1] + fit[-1]
    shown: NDArray[np.uint8] = (colours.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return shown
