"""What the network means: noise levels, preconditioning and guidance.

A denoiser is a function (x, sigma) → denoised; guidance is inside it, and a sampler knows neither.
Follows Karras et al. 2022 (EDM) as SVD uses it: v-prediction, network input x / sqrt(sigma² + 1), time 0.25·ln sigma.
It does not know how sampling steps are taken, nor where a model came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unstill.errors import WeightsError

RHO = 7.0  # Karras et al. 2022, table 1
# Sabour, Fidler and Kreis 2024, "Align Your Steps", table 3: ten steps for SVD, the last of which ends at zero here.
AYS = (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)

Network = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Schedule:
    """The range of noise that the model was trained on."""

    sigma_min: float = 0.002
    sigma_max: float = 700.0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schedule:
        """Read scheduler_config.json; refuse what is not SVD's way of sampling."""
        wanted = {"prediction_type": "v_prediction", "timestep_type": "continuous", "use_karras_sigmas": True}
        other = [f"{key} is {config[key]!r}, not {value!r}" for key, value in wanted.items() if config.get(key, value) != value]
        if other:
            raise WeightsError(
                f"The scheduler is not Stable Video Diffusion's: {'; '.join(other)}",
                hint="check scheduler/scheduler_config.json against the published one",
            )
        return cls(float(config.get("sigma_min") or cls.sigma_min), float(config.get("sigma_max") or cls.sigma_max))

    def sigmas(self, steps: int, kind: str = "karras") -> Tensor:
        """Return steps + 1 noise levels from high to zero, in float32 on the CPU."""
        if kind == "ays":
            return self._align(steps)
        ramp = np.linspace(0, 1, steps)
        high, low = self.sigma_max ** (1 / RHO), self.sigma_min ** (1 / RHO)
        levels = (high + ramp * (low - high)) ** RHO
        return torch.from_numpy(np.append(levels, 0.0).astype(np.float32))

    def _align(self, steps: int) -> Tensor:
        """Return the published levels, or as many between them on a line of their logarithms."""
        if (self.sigma_max, self.sigma_min) != (AYS[0], AYS[-1]):
            own = f"from {self.sigma_min} to {self.sigma_max:g}"
            raise WeightsError(
                f"The levels of ays are for noise from {AYS[-1]} to {AYS[0]:g}, not {own}",
                hint="--steps-schedule karras",
            )
        place = np.linspace(0, 1, steps + 1)
        levels = np.exp(np.interp(place, np.linspace(0, 1, len(AYS)), np.log(AYS)))
        levels[-1] = 0.0
        return torch.from_numpy(levels.astype(np.float32))


def guidance_over_frames(first: float, last: float, shape: str, frames: int) -> Tensor:
    """Return the guidance of every frame.

    `linear` is diffusers' and Stability's own; `triangle` rises to LAST in the middle and returns, as
    Stability's TrianglePredictionGuider does for clips that should end as they began.
    """
    if shape == "flat":
        return torch.full((frames,), last)
    if shape == "triangle":
        position = torch.linspace(0, 1, frames)
        return first + (last - first) * (1 - (2 * position - 1).abs())
    return torch.linspace(first, last, frames)


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the network is told about the clip."""

    embedding_BND: Tensor  # what CLIP saw
    latents_BCHW: Tensor  # the noised picture, encoded, not scaled
    added_ids_BI: Tensor  # fps − 1, motion, noise


class Denoiser:
    """Estimate the clean clip from a noisy one."""

    def __init__(self, network: Network, conditions: Conditions, guidance_F: Tensor) -> None:
        frames = guidance_F.shape[0]
        self.network = network
        self.guided = bool((guidance_F != 1).any())
        latents_BFCHW = conditions.latents_BCHW[:, None].expand(-1, frames, -1, -1, -1)
        self.guidance_BFCHW = guidance_F[None, :, None, None, None].to(latents_BFCHW)
        # The unconditional branch sees no picture: zeros, first in the batch as in diffusers.
        self.latents_BFCHW = _with_zeros(latents_BFCHW) if self.guided else latents_BFCHW
        self.embedding_BND = _with_zeros(conditions.embedding_BND) if self.guided else conditions.embedding_BND
        ids_BI = conditions.added_ids_BI
        self.added_ids_BI = torch.cat([ids_BI, ids_BI]) if self.guided else ids_BI

    def __call__(self, x_BFCHW: Tensor, sigma: Tensor) -> Tensor:
        """Denoise float32 latents of noise level sigma (a float32 scalar on the CPU)."""
        velocity = self.velocity(x_BFCHW / (sigma**2 + 1) ** 0.5, 0.25 * sigma.log())
        return velocity * (-sigma / (sigma**2 + 1) ** 0.5) + x_BFCHW / (sigma**2 + 1)

    def velocity(self, scaled_BFCHW: Tensor, time: Tensor) -> Tensor:
        """Run the network, on both branches when guided, and return the guided velocity."""
        scaled_BFCHW = scaled_BFCHW.to(self.latents_BFCHW.dtype)
        if self.guided:
            scaled_BFCHW = torch.cat([scaled_BFCHW, scaled_BFCHW])
        x_BFCHW = torch.cat([scaled_BFCHW, self.latents_BFCHW], dim=2)
        velocity = self.network(x_BFCHW, time, self.embedding_BND, self.added_ids_BI)
        if not self.guided:
            return velocity
        without, with_picture = velocity.chunk(2)
        return without + self.guidance_BFCHW * (with_picture - without)


def _with_zeros(x: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(x), x])
