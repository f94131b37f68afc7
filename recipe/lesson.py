"""What the network is asked in one step of training: noise, hints, what is left out, and how wrong the answer was.

EDM with velocity prediction, as SVD (Karras et al. 2022, table 1): input x / sqrt(sigma² + 1), time 0.25·ln sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recipe.pool import Batch
from unstill.model.field import PICTURE_NOISE, SIGMA_MAX, SIGMA_MIN, WORDS, FieldNetwork, pack, unpack

MEAN, SPREAD = 1.0, 1.7  # of ln sigma: what is decided by many cells together is still open at sigma 10 and above
NOTHING = 0.1  # share of clips whose conditions are left out, for guidance
ANYHOW = 0.3  # share of clips whose word is not told
UNHINTED = 0.4
HINTED = 4  # most regions of a clip that are hinted at
LARGEST = 6.0  # cells, the radius of such a region
ORDER_WEIGHT = 0.3  # nearness is told by the picture, and six of seven parts of it by its mean


@dataclass(frozen=True, eq=False)
class Question:
    """A batch and everything random that is done to it."""

    batch: Batch
    sigma_B: Tensor
    noise_BKCHW: Tensor
    picture_noise_BCHW: Tensor
    amount_B: Tensor  # of noise on the picture, as the knob says it
    hints_BCHW: Tensor
    told_B: Tensor  # 0 where conditions are left out
    word_B: Tensor


def ask(batch: Batch, generator: torch.Generator) -> Question:
    """Draw noise levels spread evenly over the batch, and all else."""
    count, device = len(batch.word_B), batch.word_B.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    even = (torch.arange(count, device=device) + uniform(count)) / count
    log_sigma = MEAN + SPREAD * 2**0.5 * torch.erfinv((2 * even - 1).clamp(-0.9999, 0.9999))
    amount = torch.where(uniform(count) < 0.6, 0.02, (-2.5 + torch.randn(count, generator=generator, device=device)).exp())
    return Question(
        batch=batch,
        sigma_B=log_sigma.exp().clamp(SIGMA_MIN, SIGMA_MAX)[torch.randperm(count, generator=generator, device=device)],
        noise_BKCHW=torch.randn(batch.field_BKCHW.shape, generator=generator, device=device),
        picture_noise_BCHW=torch.randn(batch.picture_BCHW.shape, generator=generator, device=device),
        amount_B=amount.clamp(0, 1),
        hints_BCHW=draw_hints(batch.field_BKCHW[:, -1, :2], uniform),
        told_B=(uniform(count) >= NOTHING).float(),
        word_B=torch.where(uniform(count) < ANYHOW, torch.full_like(batch.word_B, WORDS.index("auto")), batch.word_B),
    )


def draw_hints(velocity_BCHW: Tensor, uniform: Callable[..., Tensor], *, always: bool = False) -> Tensor:
    """Tell the truth about some round regions: their mask, and their velocity at the end of the clip."""
    count, _, rows, columns = velocity_BCHW.shape
    y = torch.arange(rows, device=velocity_BCHW.device)[None, None, :, None]
    x = torch.arange(columns, device=velocity_BCHW.device)[None, None, None, :]
    middle, radius = uniform(count, HINTED, 2, 1, 1), 0.6 + (LARGEST - 0.6) * uniform(count, HINTED, 1, 1) ** 2
    far = ((y - middle[:, :, 0] * rows) ** 2 + (x - middle[:, :, 1] * columns) ** 2).sqrt()
    there = (uniform(count, HINTED, 1, 1) < 0.5) & (uniform(count, 1, 1, 1) >= UNHINTED) | always
    mask = ((far < radius) & there).any(1, keepdim=True).float()
    return torch.cat([mask, velocity_BCHW * mask], dim=1)


def answer(network: FieldNetwork, asked: Question) -> Tensor:
    """Give the mean squared error for each clip, by channel: [B, 3]."""
    batch, told = asked.batch, asked.told_B
    picture = batch.picture_BCHW + PICTURE_NOISE * asked.amount_B[:, None, None, None] * asked.picture_noise_BCHW
    seen, whole = network.eye(picture)
    beside = network.condition(seen, asked.hints_BCHW, asked.word_B) * told[:, None, None, None]
    context = network.embed(whole, asked.word_B) * told[:, None, None]
    sigma = asked.sigma_B[:, None, None, None, None]
    noisy = (batch.field_BKCHW + sigma * asked.noise_BKCHW) / (sigma**2 + 1).sqrt()
    wanted = (asked.noise_BKCHW - sigma * batch.field_BKCHW) / (sigma**2 + 1).sqrt()
    keys = noisy.shape[1]
    x = torch.cat([pack(noisy), beside[:, None].expand(-1, keys, -1, -1, -1).to(noisy.dtype)], dim=2)
    ids = torch.cat([batch.told_BI, asked.amount_B[:, None]], dim=1)
    velocity = unpack(network.unet(x, 0.25 * asked.sigma_B.log(), context, ids))
    return (velocity.float() - wanted).square().mean((1, 3, 4))


def weigh(error_BC: Tensor) -> Tensor:
    """Join the errors of the channels."""
    return (error_BC[:, 0] + error_BC[:, 1] + ORDER_WEIGHT * error_BC[:, 2]) / (2 + ORDER_WEIGHT)
