"""Photographs whose regions were labelled by hand: what flows, what sways, what is rigid, and what nobody can tell.

    python -m recipe.labelled FOLDER --out build/labelled

labels.csv lists polygons in percent of a picture's width and height; later rows lie over earlier ones. A condition
such as `light<0.3`, `blue>0.2` or `green>0.03` limits a row to the pixels that fulfil it. FOLDER holds a folder for each
package. A quarter of the photographs of packages that photographs.csv does not cut from are kept apart for evaluation.
It does not know the network.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from recipe.photographs import LIST as CUT
from recipe.pool import Batch
from unstill.models.pocket.field import CELL_PX, CHANNELS, FLOWS, PATCH, SWAYS
from unstill.models.pocket.network import shrink

LIST = Path(__file__).parent / "labels.csv"
LEARNT, APART = "learnt", "apart"  # folders
NONE, RIGID, FLOWING, SWAYING = range(4)  # values of a label
CODES = {"none": NONE, "rigid": RIGID, "flows": FLOWING, "sways": SWAYING}
WIDE_PX, HIGH_PX = 576, 384  # photographs are kept in one shape; crops are stretched at random anyway
SMALLEST = 0.45  # side of a crop, of the photograph's
LEAST_LABELLED = 0.6  # of a cell's pixels, or it does not count
MIXED = 0.3  # of crops: parts of another lie on them, so that surfaces are known wherever they are
FINER = 2  # samples for each pixel of a crop, along each side


def label(image: Image.Image, rows: list[dict[str, str]]) -> Image.Image:
    """Return the labels of an image, of its size."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    red, green, blue = (pixels[..., k] for k in range(3))
    measures = {"light": pixels.mean(-1), "blue": blue - red, "green": green - (red + blue) / 2}
    labels = np.zeros(pixels.shape[:2], dtype=np.uint8)
    for row in rows:
        corners = [tuple(float(part) / 100 for part in corner.split(",")) for corner in row["polygon"].split()]
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).polygon([(x * image.width, y * image.height) for x, y in corners], fill=1)
        chosen = np.asarray(mask) > 0
        if condition := row["where"]:
            name, sign, limit = condition.partition("<" if "<" in condition else ">")
            chosen = chosen & ((measures[name] < float(limit)) == (sign == "<"))
        labels[chosen] = CODES[row["class"]]
    return Image.fromarray(labels)


class Labelled:
    """The photographs and their labels, on the device."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        pictures, labels = [], []
        for path in sorted(folder.glob("*.webp")):
            pictures.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(np.asarray(Image.open(path.with_suffix(".png"))))
        self.picture_NCHW = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device)
        classes = torch.from_numpy(np.stack(labels)).to(device)
        self.shares_NCHW = F.one_hot(classes.long(), len(CODES)).permute(0, 3, 1, 2).half()  # shares of cells once averaged
        self.weights_C = balance(classes)
        self.device = torch.device(device)

    def draw(self, count: int, patches: tuple[int, int], generator: torch.Generator) -> Batch:
        """Return random crops with their shares as a field; no other channel has weight."""
        chosen = torch.randint(len(self.picture_NCHW), (count,), generator=generator, device=self.device)
        rows, columns = (FINER * side * PATCH * CELL_PX for side in patches)
        grid = self._crop(count, rows, columns, generator)
        picture = F.grid_sample(self.picture_NCHW[chosen].float() / 127.5 - 1, grid, align_corners=False)
        shares = F.grid_sample(self.shares_NCHW[chosen].float(), grid, align_corners=False)
        batch = self._lay(F.avg_pool2d(picture, FINER), F.avg_pool2d(shares, FINER * CELL_PX))
        return mix(replace(batch, picture_BCHW=jitter(batch.picture_BCHW, generator)), generator)

    def whole(self) -> Batch:
        """Return all photographs, whole."""
        picture = shrink(self.picture_NCHW.float() / 127.5 - 1)
        cells = [side // CELL_PX for side in picture.shape[-2:]]
        return self._lay(picture, F.adaptive_avg_pool2d(self.shares_NCHW.float(), cells))

    def _lay(self, picture: Tensor, shares: Tensor) -> Batch:
        """Lay out shares of cells as a field."""
        known = 1 - shares[:, NONE]
        field = torch.zeros(len(shares), CHANNELS, *shares.shape[-2:], device=self.device)
        weight = torch.zeros_like(field)
        for channel, value in ((FLOWS, FLOWING), (SWAYS, SWAYING)):
            field[:, channel] = 2 * shares[:, value] / known.clamp(min=1e-3) - 1
            weight[:, channel] = (shares * self.weights_C[:, None, None]).sum(1) * (known > LEAST_LABELLED)
        return Batch(picture, field, weight)

    def _crop(self, count: int, rows: int, columns: int, generator: torch.Generator) -> Tensor:
        """Return sampling grids of random windows, about as stretched as the photographs were, half of them mirrored."""

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator, device=self.device)

        wide = uniform(SMALLEST, 1)
        aspect = rows / columns * WIDE_PX / HIGH_PX * uniform(0.85, 1.18)
        high = (wide * aspect).clamp(max=1)
        wide = torch.minimum(wide, high / aspect * 1.15)
        right, down = uniform(-1, 1) * (1 - wide), uniform(-1, 1) * (1 - high)
        mirror = (uniform(0, 1) < 0.5).float() * 2 - 1
        x = torch.linspace(-1 + 1 / columns, 1 - 1 / columns, columns, device=self.device)
        y = torch.linspace(-1 + 1 / rows, 1 - 1 / rows, rows, device=self.device)
        across = (mirror * wide)[:, None, None] * x + right[:, None, None]
        along = high[:, None, None] * y[:, None] + down[:, None, None]
        return torch.stack(torch.broadcast_tensors(across, along), dim=-1)


def balance(labels_NHW: Tensor) -> Tensor:
    """Return a weight for each label, greater for what is rarer, 1 on average over labelled pixels; unlabelled is 0.

    By the root of its rarity: weights that make all labels count alike made the network see leaves in boards.
    """
    counts = torch.bincount(labels_NHW.flatten().long(), minlength=len(CODES)).float()
    weights = counts.clamp(min=1).rsqrt()
    weights[NONE] = 0
    return weights * counts[RIGID:].sum() / (weights * counts).sum().clamp(min=1e-9)


def mix(batch: Batch, generator: torch.Generator) -> Batch:
    """Lay parts of its neighbour, of smooth random outline, over some pictures of a batch."""
    picture, field, weight = batch.picture_BCHW, batch.field_BCHW, batch.weight_BCHW
    assert weight is not None
    count, device = len(picture), picture.device
    heights = torch.randn(count, 1, 4, 6, generator=generator, device=device)
    mixed = torch.rand(count, 1, 1, 1, generator=generator, device=device) < MIXED
    over = mixed & (F.interpolate(heights, size=picture.shape[-2:], mode="bicubic", align_corners=False) > 0)
    over_cells = F.avg_pool2d(over.float(), CELL_PX) > 0.5
    picture = torch.where(over, picture.roll(1, 0), picture)
    return Batch(picture, *(torch.where(over_cells, part.roll(1, 0), part) for part in (field, weight)))


def jitter(picture_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and tint at random."""

    def uniform(spread: float, channels: int = 1) -> Tensor:
        shape = (len(picture_BCHW), channels, 1, 1)
        return spread * (2 * torch.rand(shape, generator=generator, device=picture_BCHW.device) - 1)

    grey = picture_BCHW.mean(1, keepdim=True)
    coloured = grey + (picture_BCHW - grey) * (1 + uniform(0.6))
    middle = coloured.mean((1, 2, 3), keepdim=True)
    varied = middle + (coloured - middle) * (1 + uniform(0.4)) + uniform(0.3) + uniform(0.15, 3)
    return varied.clamp(-1, 1)


def main() -> None:
    """Write the photographs in small and their labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds a folder for each unpacked package")
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    with CUT.open(newline="") as file:
        cut = {row["package"] for row in csv.DictReader(file)}
    with LIST.open(newline="") as file:
        pictures = groupby(csv.DictReader(file), key=lambda row: (row["package"], row["path"]))
        for number, ((package, path), rows) in enumerate(pictures):
            image = Image.open(settings.folder / package / path)
            image.draft("RGB", (2 * WIDE_PX, 2 * HIGH_PX))
            small = image.convert("RGB").resize((WIDE_PX, HIGH_PX), Image.Resampling.LANCZOS)
            is_apart = package not in cut and crc32(path.encode()) % 4 == 0
            folder = settings.out / (APART if is_apart else LEARNT)
            folder.mkdir(parents=True, exist_ok=True)
            small.save(folder / f"{number:03}.webp", quality=88)
            label(small, list(rows)).save(folder / f"{number:03}.png")


if __name__ == "__main__":
    main()
