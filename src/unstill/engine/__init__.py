"""How a model is run. `Engine` is what the verbs may rely on; `load_engine` gives the one a plan names.

Engines know nothing of requests, pictures or files beyond the plan they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from unstill.artifacts import Plan, PreparedImage, Rung, View

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

    def fit_colours(self, encoded_BCHW: Tensor, pixels_BCHW: Tensor) -> Tensor:
        """Give the affine map [C + 1, 3] that shows latents as colours, for previews."""

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


def load_engine(plan: Plan) -> Engine:
    """Load the engine that the plan names."""
    if plan.engine == "motion":
        from unstill.engine.motion import MotionEngine

        return MotionEngine(plan)
    if plan.engine == "fast":
        from unstill.engine.fast import FastEngine

        return FastEngine(plan)
    from unstill.engine.reference import ReferenceEngine

    return ReferenceEngine(plan)


class Keep:
    """Load engines as `load_engine` does, or in a way of one's own, but keep the last one for the next clip."""

    def __init__(self, load: Load = load_engine) -> None:
        self._load = load
        self._kept: tuple[object, Engine] | None = None

    def __call__(self, plan: Plan) -> Engine:
        """Return the kept engine if it fits the plan; else load another in its place."""
        key = (plan.model, plan.device, plan.dtype, plan.engine)
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # free the old one before the new one needs its memory
            self._kept = (key, self._load(plan))
        else:
            self._kept[1].arrange(plan.rung)
        return self._kept[1]
