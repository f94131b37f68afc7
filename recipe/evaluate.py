"""Hold the bundled model against scenes that it never saw, whose fields are known.

    python -m recipe.evaluate --scenes 64 --model build/model
    python -m recipe.evaluate --labelled build/labelled/apart

Nearness is compared by its correlation, classes by intersection over union, the sampled flow and sway by direction and
length. It does not know pixels.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import torch
from torch import Tensor

from recipe.labelled import Labelled
from recipe.photographs import Photographs
from recipe.pool import Batch, Pool
from recipe.textures import Bank
from unstill.model.denoiser import Conditions, Denoiser, Schedule
from unstill.models.pocket.field import FLOW, FLOWS, NEARNESS, SWAY, SWAYS, SceneField, read_field, to_share, unpack
from unstill.models.pocket.network import IDS, KEYS, SIGMA_MAX, SIGMA_MIN, WEIGHTS, PocketNetwork, load_pocket_network

LEAST = 0.02  # of a picture's cells that must be of a class before it counts


@torch.no_grad()
def sample(network: PocketNetwork, picture_BCHW: Tensor, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the mean answer and a sample for each small picture, [B, 7, H, W] both."""
    seen, whole = network.eye(picture_BCHW)
    ids = seen.new_zeros(len(seen), IDS)
    denoise = Denoiser(network.unet, Conditions(whole[:, None], seen, ids), torch.ones(KEYS))
    sigmas = Schedule(SIGMA_MIN, SIGMA_MAX).sigmas(steps)
    shape = (len(seen), KEYS, network.config.latent_channels, *seen.shape[-2:])
    mean = denoise(torch.zeros(shape, device=seen.device), sigmas[0])
    x = torch.randn(shape, generator=generator, device=seen.device) * (sigmas[0] ** 2 + 1) ** 0.5
    for sigma, target in itertools.pairwise(sigmas):
        x = x + (x - denoise(x, sigma)) / sigma * (target - sigma)
    return unpack(mean)[:, 0], unpack(x)[:, 0]


def correlate(one_BHW: Tensor, two_BHW: Tensor) -> Tensor:
    one, two = (part.flatten(1) - part.flatten(1).mean(1, keepdim=True) for part in (one_BHW, two_BHW))
    return (one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1)).clamp(min=1e-9)


def overlap(found_BHW: Tensor, true_BHW: Tensor) -> tuple[float, float]:
    """Return intersection over union of two shares, over all cells and as the mean over pictures that have any."""
    found, true = found_BHW > 0.5, true_BHW > 0.5
    both, either = (found & true).float().mean((1, 2)), (found | true).float().mean((1, 2))
    some = true.float().mean((1, 2)) > LEAST
    return float(both.sum() / either.sum().clamp(min=1e-9)), float((both / either.clamp(min=1e-9))[some].mean())


def compare(found_BCHW: Tensor, true_BCHW: Tensor, share_BHW: Tensor) -> tuple[float, float]:
    """Return how well directions agree, whatever their sign, and the error over the mean length, where there is motion."""
    dot = (found_BCHW * true_BCHW).sum(1)
    lengths = found_BCHW.norm(dim=1) * true_BCHW.norm(dim=1)
    there = (share_BHW > 0.5) & (true_BCHW.norm(dim=1) > 0.1)
    agreed = dot.abs().sum((1, 2)) / lengths.sum((1, 2)).clamp(min=1e-9)
    nearest = torch.minimum(*((found_BCHW - sign * true_BCHW).norm(dim=1) for sign in (1, -1)))
    return float(agreed[there.any(2).any(1)].mean()), float(nearest[there].mean() / true_BCHW.norm(dim=1)[there].mean())


def judge(mean: Tensor, sampled: Tensor, batch: Batch) -> dict[str, float]:
    """Compare with the truth."""
    true = batch.field_BCHW
    nearness = correlate(mean[:, NEARNESS], true[:, NEARNESS])
    scores = {"nearness correlation, median": float(nearness.median()), "nearness correlation, mean": float(nearness.mean())}
    for name, share, motion in (("flows", FLOWS, FLOW), ("sways", SWAYS, SWAY)):
        found, wanted = to_share(mean[:, share]), to_share(true[:, share])
        scores[f"{name}: IoU of all cells"], scores[f"{name}: IoU, mean of pictures"] = overlap(found, wanted)
        agreed, error = compare(sampled[:, motion], true[:, motion], wanted)
        scores[f"{name}: direction agrees"], scores[f"{name}: error over length"] = agreed, error
    return scores


@torch.no_grad()
def judge_labelled(network: PocketNetwork, photographs: Labelled) -> dict[str, float]:
    """Compare the shares of the direct answer with labels, over all cells that are labelled."""
    batch = photographs.whole()
    assert batch.weight_BCHW is not None
    seen, whole = network.eye(batch.picture_BCHW)
    denoise = Denoiser(network.unet, Conditions(whole[:, None], seen, seen.new_zeros(len(seen), IDS)), torch.ones(KEYS))
    shape = (len(seen), KEYS, network.config.latent_channels, *seen.shape[-2:])
    mean = unpack(denoise(torch.zeros(shape, device=seen.device), torch.tensor(SIGMA_MAX)))[:, 0]
    scores = {}
    for name, share in (("flows", FLOWS), ("sways", SWAYS)):
        known = batch.weight_BCHW[:, share] > 0
        found, true = (to_share(part[:, share])[known] > 0.5 for part in (mean, batch.field_BCHW))
        scores[f"{name}: IoU of labelled cells"] = float((found & true).sum() / (found | true).sum().clamp(min=1))
        scores[f"{name}: found of what does"] = float((found & true).sum() / true.sum().clamp(min=1))
        scores[f"{name}: wrong of what does not"] = float((found & ~true).sum() / (~true).sum().clamp(min=1))
    return scores


def read(mean: Tensor, sampled: Tensor) -> list[SceneField]:
    """Return the field of every picture."""
    return [read_field(one, other) for one, other in zip(mean, sampled, strict=True)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--each", type=int, default=4, help="scenes of one cast")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--labelled", type=Path, help="a folder of labelled photographs to judge instead of scenes")
    settings = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_pocket_network(settings.model, device)
    if settings.labelled:
        for name, value in judge_labelled(network, Labelled(settings.labelled, device)).items():
            print(f"{name:32} {value:.3f}")
        return
    generator = torch.Generator(device).manual_seed(settings.seed)
    bank, photos = Bank(96, 256, seed=settings.seed, device=device), Photographs(settings.photographs, device)
    pool = Pool((18, 32), settings.scenes, settings.each, settings.seed, device)
    for _ in range(settings.scenes // settings.each):
        pool.add(bank, photos)
    batch = Batch(pool.picture.float() / 127.5 - 1, pool.field.float())
    parts = [sample(network, part, settings.steps, generator) for part in batch.picture_BCHW.split(32)]
    mean, sampled = (torch.cat(part) for part in zip(*parts, strict=True))
    for name, value in judge(mean, sampled, batch).items():
        print(f"{name:32} {value:.3f}")


if __name__ == "__main__":
    main()
