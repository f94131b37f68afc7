"""Plan and image become latents, one step at a time.

`sample` is a generator: progress, previews, stopping and resuming are the caller's loop.
All randomness is drawn here, on the CPU, in the order of the diffusers pipeline, so that a seed means the
same clip on every device. It does not know how networks are run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
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


class Walk:
    """One clip on its way from noise to latents: where it is, and how it takes a step."""

    def __init__(
        self,
        plan: Plan,
        image: PreparedImage,
        engine: Engine,
        *,
        draws: Draws | None = None,
        sigmas: Tensor | None = None,
        resume: Step | None = None,
    ) -> None:
        """Look at the picture and stand at the start, or after the step that is gone on from."""
        self.plan, self.image, self.engine = plan, image, engine
        self.repairs = [] if resume is None else list(resume.latents.repairs)
        draws = draws or draw(plan, engine)
        pixels = scale_pixels(image.canvas_HWC)
        self.encoded = _encode(pixels, draws, plan, engine, self.repairs)
        self.embedding = engine.embed(image.source_HWC)
        self.draw = engine.previewer(self.encoded, plan, image)
        self.sigmas = engine.schedule.sigmas(plan.steps, plan.request.steps_schedule) if sigmas is None else sigmas
        device, self.done = self.encoded.device, 0
        if resume is None:
            # Latents stay float32 between steps; only the network's input is rounded to its dtype.
            self.x = draws.latents_BFCHW.to(device) * (self.sigmas.max() ** 2 + 1) ** 0.5
        else:
            self.x, self.done = resume.latents.values_BFCHW.to(device), resume.number

    @property
    def is_over(self) -> bool:
        """Say whether all steps are done."""
        return self.done == len(self.sigmas) - 1

    @property
    def sigma(self) -> Tensor:
        """The noise that there is now."""
        return self.sigmas[self.done]

    def take(self, denoised: Tensor) -> Step:
        """Take an Euler step towards what the network took the clip to be."""
        sigma, target = self.sigmas[self.done], self.sigmas[self.done + 1]
        self.done += 1
        if not is_finite(denoised):
            with _widened(self.plan, self.engine, f"step {self.done}", self.repairs):
                denoise = self.engine.denoiser(self.engine.embed(self.image.source_HWC), self.encoded.float(), self.plan)
                denoised = denoise(self.x, sigma)
            _refuse(denoised, f"Step {self.done}")
        self.x = self.x + (self.x - denoised) / sigma * (target - sigma)
        latents = Latents(self.x, tuple(self.repairs))
        return Step(self.done, len(self.sigmas) - 1, float(target), latents, denoised, self.draw)


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
    walk = Walk(plan, image, engine, draws=draws, sigmas=sigmas, resume=resume)
    denoise = engine.denoiser(walk.embedding, walk.encoded, plan)
    while not walk.is_over:
        changed = yield walk.take(denoise(walk.x, walk.sigma))
        walk.x = walk.x if changed is None else changed


def sample_together(walks: Sequence[Walk]) -> Generator[list[Step], None, None]:
    """Take the steps of several clips in one pass of the network each.

    They differ in picture and seed alone and stand at the same step. Each draws its own noise, so that it is the clip that it
    is alone, but for how a product of more rows is rounded.
    """
    first = walks[0]
    embedding, encoded = torch.cat([walk.embedding for walk in walks]), torch.cat([walk.encoded for walk in walks])
    denoise = first.engine.denoiser(embedding, encoded, first.plan)
    while not first.is_over:
        denoised = denoise(torch.cat([walk.x for walk in walks]), first.sigma)
        yield [walk.take(one) for walk, one in zip(walks, denoised.chunk(len(walks)), strict=True)]


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
    said = f"{what} was not finite in {plan.dtype} and was repeated in float32"
    if said not in repairs:  # the picture's encoding is done again where a clip goes on
        repairs.append(said)


def _refuse(x: Tensor, what: str) -> None:
    if not is_finite(x):
        raise ResultError(f"{what} is not finite, in float32 neither", hint=CHECK_FILES)


def scale_pixels(canvas_HWC: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 pixels into float32 in [−1, 1], [1, 3, H, W]."""
    # The batch axis comes first, as in diffusers: its stride decides whether convolutions take the channels-last path.
    pixels_BCHW = torch.from_numpy(canvas_HWC[None].copy()).permute(0, 3, 1, 2)
    return 2.0 * (pixels_BCHW.float() / 255.0) - 1.0


def preview(step: Step) -> NDArray[np.uint8]:
    """Draw a small clip of what the network takes the clip to be: uint8 [F, h, w, 3]."""
    assert step.draw is not None  # only a step that an earlier process kept has none, and nobody is shown that
    return step.draw(step.denoised_BFCHW[0])
