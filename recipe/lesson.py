"""What the network is asked in one step of training, and how wrong the answer was.

Almost half of the questions are direct: zeros for a field, at the highest noise; the best answer is the mean of all fields that
fit the picture. The others are EDM with velocity prediction, as SVD (Karras et al. 2022, table 1): input
x / sqrt(sigma² + 1), time 0.25·ln sigma.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recipe.pool import Batch
from unstill.models.pocket.field import CHANNELS, NEARNESS, pack, unpack
from unstill.models.pocket.network import SIGMA_MAX, SIGMA_MIN, PocketNetwork

DIRECT = 0.45  # share of questions
MEAN, SPREAD = 1.0, 1.7  # of ln sigma: what is decided by many cells together is still open at sigma 10 and above
NOTHING = 0.1  # share of sampled fields whose picture is left out, for guidance
GRAIN = 0.02  # noise on the picture
WEIGHTS_DIRECT = (1.0, 1.0, 1.0, 0.2, 0.2, 0.2, 0.2)  # nearness and shares are read off the direct answer
WEIGHTS_SAMPLED = (0.15, 0.3, 0.3, 1.0, 1.0, 1.0, 1.0)  # flow and sway off the sample


@dataclass(frozen=True, eq=False)
class Question:
    """A batch and everything random that is done to it."""

    batch: Batch
    sigma_B: Tensor
    noise_BCHW: Tensor
    direct_B: Tensor  # 1 where zeros stand for the noisy field
    shown_B: Tensor  # 0 where the picture is left out


def ask(batch: Batch, generator: torch.Generator) -> Question:
    """Draw noise levels spread evenly over the batch, and all else."""
    count, device = len(batch.picture_BCHW), batch.picture_BCHW.device

    def uniform() -> Tensor:
        return torch.rand(count, generator=generator, device=device)

    even = ((torch.arange(count, device=device) + uniform()) / count)[torch.randperm(count, generator=generator, device=device)]
    sigma = (MEAN + SPREAD * 2**0.5 * torch.erfinv((2 * even - 1).clamp(-0.9999, 0.9999))).exp().clamp(SIGMA_MIN, SIGMA_MAX)
    direct = (uniform() < DIRECT).float()
    if batch.weight_BCHW is not None:  # photographs tell shares alone, which are read off the direct answer
        direct = torch.maximum(direct, (batch.weight_BCHW[:, NEARNESS].amax((1, 2)) == 0).float())
    grain = GRAIN * torch.randn(batch.picture_BCHW.shape, generator=generator, device=device)
    return Question(
        batch=replace(batch, picture_BCHW=batch.picture_BCHW + grain),
        sigma_B=torch.where(direct > 0, SIGMA_MAX, sigma),
        noise_BCHW=torch.randn(batch.field_BCHW.shape, generator=generator, device=device),
        direct_B=direct,
        shown_B=torch.maximum(direct, (uniform() >= NOTHING).float()),
    )


def refill(held: Question, asked: Question) -> None:
    """Copy a question into the memory of another of its shape."""
    for name in ("sigma_B", "noise_BCHW", "direct_B", "shown_B"):
        getattr(held, name).copy_(getattr(asked, name))
    held.batch.picture_BCHW.copy_(asked.batch.picture_BCHW)
    held.batch.field_BCHW.copy_(asked.batch.field_BCHW)
    if held.batch.weight_BCHW is not None and asked.batch.weight_BCHW is not None:
        held.batch.weight_BCHW.copy_(asked.batch.weight_BCHW)


def hold(asked: Question, sigma: float | None) -> Question:
    """Ask the same at one noise level, or directly if it is None, always with the picture."""
    ones = torch.ones_like(asked.sigma_B)
    direct = ones if sigma is None else 0 * ones
    return Question(asked.batch, (sigma or SIGMA_MAX) * ones, asked.noise_BCHW, direct, ones)


def answer(network: PocketNetwork, asked: Question) -> Tensor:
    """Return the mean squared error for each question, by channel: [B, 7]."""
    field = asked.batch.field_BCHW
    sigma, sampled = asked.sigma_B[:, None, None, None], 1 - asked.direct_B[:, None, None, None]
    noise = asked.noise_BCHW * sampled
    noisy = (field + sigma * noise) / (sigma**2 + 1).sqrt() * sampled
    wanted = (noise - sigma * field) / (sigma**2 + 1).sqrt()
    seen, whole = network.eye(asked.batch.picture_BCHW)
    seen, whole = seen * asked.shown_B[:, None, None, None], whole * asked.shown_B[:, None]
    velocity = unpack(network(pack(noisy)[:, None].to(seen.dtype), 0.25 * asked.sigma_B.log(), seen, whole)[:, 0])
    error = (velocity.float() - wanted).square()
    if asked.batch.weight_BCHW is not None:
        error = error * asked.batch.weight_BCHW
    return error.mean((2, 3))


def lay_weights(device: torch.device | str = "cpu") -> Tensor:
    """Return the weight of each channel in sampled and in direct questions, [2, 7]."""
    return torch.tensor([WEIGHTS_SAMPLED, WEIGHTS_DIRECT], device=device)


def weigh(error_BC: Tensor, direct_B: Tensor, weights_2C: Tensor) -> Tensor:
    """Join the errors of the channels, by what each question is for."""
    sampled, direct = (error_BC @ weights_2C.T / CHANNELS).unbind(1)
    return sampled + direct_B * (direct - sampled)
