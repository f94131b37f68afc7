"""How a model is run. `Engine` is what the verbs may rely on; `models.load_engine` loads the one a plan names.

Engines know nothing of requests, pictures or files beyond the plan they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from unstill.artifacts import Draw, Plan, PreparedImage, Rung, View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from unstill.model.denoiser import Denoiser, Schedule


@dataclass(frozen=True, eq=False)
class Reel:
    """Frames in the making, and what they show of the picture."""

    parts: Iterator[Tensor]
    view: View = View()
    notes: tuple[str, ...] = ()  # what comes out otherwise than was asked
    draw: Draw | None = None


class Engine(Protocol):
    """Run the networks of a model on one device."""

    schedule: Schedule

    def latent_shape(self, plan: Plan) -> tuple[int, int, int, int]:
        """Say what a clip is while it is sampled: moments, channels, rows, columns."""

    def embed(self, source_HWC: NDArray[np.uint8]) -> Tensor:
        """Look at the picture with CLIP; return [1, 1, D]."""

    def encode(self, pixels_BCHW: Tensor) -> Tensor:
        """Encode float32 pixels in [−1, 1] into unscaled latents [B, C, h, w]."""

    def denoiser(self, embedding_BND: Tensor, latents_BCHW: Tensor, plan: Plan) -> Denoiser:
        """Bind the network to what it is told about this clip."""

    def previewer(self, encoded_BCHW: Tensor, plan: Plan, image: PreparedImage) -> Callable[[Tensor], NDArray[np.uint8]]:
        """Return a function that draws a small clip [F, h, w, 3] of denoised latents [F, C, H, W] without decoding them."""

    def decode(self, latents_FCHW: Tensor, plan: Plan, image: PreparedImage) -> Reel:
        """Make frames of latents, some at a time: [F, C, H, W], float32 in [−1, 1], on the CPU."""

    def widened(self) -> AbstractContextManager[None]:
        """Run in float32 for a while; afterwards everything is in its own dtype again, whatever happens."""

    def arrange(self, rung: Rung) -> None:
        """Hold the model in memory as a rung says."""

    def wait(self) -> None:
        """Return when the device has done what it was given."""

    def peak_bytes(self) -> int | None:
        """Return the most device memory held since the last call, where the device can tell."""


Load = Callable[[Plan], Engine]
