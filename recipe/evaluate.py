"""Hold the bundled model against scenes that it never saw, whose motion is known.

    python -m recipe.evaluate --scenes 48

For each clip the model is told what a user could tell it: the picture, the camera's word, speed and rate, and where three
regions go. Its field is compared with the true one, and so is the best that one homography can do when it is fitted to the
whole truth. Edges of motion and nearness are compared with those of the scene, and with those of another one as the floor.
It does not know pixels.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe.lesson import draw_hints
from recipe.pool import Batch, Pool
from recipe.textures import Bank
from unstill.catalog.bundled import bundled_model
from unstill.model.denoiser import Conditions, Denoiser, Schedule
from unstill.model.field import PICTURE_NOISE, FieldNetwork, load_field_network, unpack

NOISE = 0.02
LEAST = 0.3  # of the clip's own speed: below, nothing moves that an error could be relative to


@dataclass(frozen=True, eq=False)
class Scores:
    """What was found, one number for each clip."""

    field_error: Tensor  # mean distance from the true displacement at the end, over the mean true displacement
    homography_error: Tensor
    edges: Tensor  # correlation of the field's edges with the scene's
    edges_elsewhere: Tensor  # with another scene's
    nearness: Tensor  # correlation of nearness with the true one


@torch.no_grad()
def sample(network: FieldNetwork, batch: Batch, hints_BCHW: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """Sample a field for each clip, all at once."""
    picture = batch.picture_BCHW
    noise = torch.randn(picture.shape, generator=generator, device=picture.device)
    seen, whole = network.eye(picture + PICTURE_NOISE * NOISE * noise)
    beside, context = network.condition(seen, hints_BCHW, batch.word_B), network.embed(whole, batch.word_B)
    told = torch.cat([batch.told_BI, torch.full_like(batch.told_BI[:, :1], NOISE)], dim=1)
    denoise = Denoiser(network.unet, Conditions(context, beside, told), torch.ones(network.config.keys))
    schedule = bundled_model().configs["scheduler"]
    sigmas = Schedule.from_config(schedule).sigmas(steps)
    shape = (len(picture), network.config.keys, network.config.latent_channels, *seen.shape[-2:])
    x = torch.randn(shape, generator=generator, device=picture.device) * (sigmas[0] ** 2 + 1) ** 0.5
    for sigma, target in itertools.pairwise(sigmas):
        x = x + (x - denoise(x, sigma)) / sigma * (target - sigma)
    return unpack(x)


def fit_homography(moved_BCHW: Tensor) -> Tensor:
    """Fit one homography to each field of displacements in widths, and give the displacements that it makes."""
    clips, _, rows, columns = moved_BCHW.shape
    y, x = torch.meshgrid(torch.arange(rows) + 0.5 - rows / 2, torch.arange(columns) + 0.5 - columns / 2, indexing="ij")
    x, y = (x / columns).flatten().double(), (y / columns).flatten().double()
    to_x, to_y = (moved_BCHW[:, axis].flatten(1).double() + part for axis, part in ((0, x), (1, y)))
    one, none = torch.ones_like(x), torch.zeros_like(x)
    weight = torch.ones_like(to_x)
    for _ in range(3):  # with the denominator of the last fit as weight, the algebraic error becomes the distance
        across = torch.stack([torch.stack([x, y, one, none, none, none], -1).expand(clips, -1, -1)], 0)[0]
        down = torch.stack([none, none, none, x, y, one], -1).expand(clips, -1, -1)
        a = torch.cat([
            torch.cat([across, torch.stack([-x * to_x, -y * to_x], -1)], -1) * weight[..., None],
            torch.cat([down, torch.stack([-x * to_y, -y * to_y], -1)], -1) * weight[..., None],
        ], dim=1)  # fmt: skip
        b = torch.cat([to_x * weight, to_y * weight], dim=1)[..., None]
        h = torch.linalg.lstsq(a, b).solution[..., 0]
        bottom = 1 + h[:, 6:7] * x + h[:, 7:8] * y
        weight = 1 / bottom.clamp(min=0.2)
    fitted_x = (h[:, 0:1] * x + h[:, 1:2] * y + h[:, 2:3]) / bottom - x
    fitted_y = (h[:, 3:4] * x + h[:, 4:5] * y + h[:, 5:6]) / bottom - y
    return torch.stack([fitted_x, fitted_y], dim=1).reshape(clips, 2, rows, columns).float()


def find_edges(velocity_BCHW: Tensor) -> Tensor:
    """Say how much the field changes at each cell."""
    padded = F.pad(velocity_BCHW, (0, 1, 0, 1), mode="replicate")
    here = padded[..., :-1, :-1]
    return (padded[..., :-1, 1:] - here).square().sum(1).add((padded[..., 1:, :-1] - here).square().sum(1)).sqrt()


def correlate(one_BHW: Tensor, two_BHW: Tensor) -> Tensor:
    one, two = (part.flatten(1) - part.flatten(1).mean(1, keepdim=True) for part in (one_BHW, two_BHW))
    return (one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1)).clamp(min=1e-9)


def judge(field_BKCHW: Tensor, batch: Batch) -> Scores:
    """Compare sampled fields with the true ones, at the last moment."""
    true, made = batch.field_BKCHW[:, -1], field_BKCHW[:, -1]
    size = true[:, :2].norm(dim=1).mean((1, 2))
    homography = fit_homography(true[:, :2] * 0.05)[:, :2] / 0.05  # as for a clip whose moving parts go 5 % of the width
    errors = [(part - true[:, :2]).norm(dim=1).mean((1, 2)) / size for part in (made[:, :2], homography)]
    edges, depth = find_edges(true), field_BKCHW[:, :, 2].mean(1)
    moving = find_edges(torch.cat([made[:, :2], depth[:, None]], dim=1))
    elsewhere = correlate(moving, edges.roll(1, dims=0))
    scores = Scores(*errors, correlate(moving, edges), elsewhere, correlate(depth, true[:, 2]))
    kept = size > LEAST
    return Scores(*(getattr(scores, name)[kept] for name in vars(scores)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=4711)
    settings = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_field_network(bundled_model(), str(device))
    generator = torch.Generator(device).manual_seed(settings.seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    bank, each = Bank(96, 256, seed=settings.seed, device=device), 4
    found: dict[str, list[Scores]] = {"told the word and three regions": [], "told the word only": []}
    for number in range(settings.scenes // each):
        pool = Pool((18, 32), each, each, settings.seed + 31 * number, device)
        pool.add(bank)
        batch = pool.draw(each, mirror=False)
        hints = draw_hints(batch.field_BKCHW[:, -1, :2], uniform, always=True)
        for name, told in zip(found, (hints, torch.zeros_like(hints)), strict=True):
            found[name].append(judge(sample(network, batch, told, settings.steps, generator).cpu(), move(batch)))
    for name, scores in found.items():
        print(name)
        for part in vars(scores[0]):
            values = torch.cat([getattr(one, part) for one in scores])
            print(f"  {part:18} median {values.median():.3f}  mean {values.mean():.3f}  of {len(values)}")


def move(batch: Batch) -> Batch:
    return Batch(*(value.cpu() for value in vars(batch).values()))


if __name__ == "__main__":
    main()
