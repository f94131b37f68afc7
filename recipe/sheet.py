"""Draw what the model finds in pictures: nearness, what flows (blue) and sways (red), and two samples of how.

python -m recipe.sheet examples/*.jpg recipe/pictures/*.jpg --out build/sheet.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from recipe.evaluate import read, sample
from unstill.models.pocket.field import SceneField
from unstill.models.pocket.network import WEIGHTS, load_pocket_network, shrink

HIGH_PX, WIDE_PX, ROWS_A_COLUMN = 144, 256, 8


def to_tile(picture_CHW: Tensor) -> Tensor:
    """Fit an image of 0 to 1 into a tile of the sheet."""
    scale = min(HIGH_PX / picture_CHW.shape[1], WIDE_PX / picture_CHW.shape[2])
    size = [round(side * scale) for side in picture_CHW.shape[1:]]
    small = F.interpolate(picture_CHW[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
    return F.pad(small, (0, WIDE_PX - size[1], 0, HIGH_PX - size[0]))


def draw(picture_CHW: Tensor, fields: list[SceneField]) -> Tensor:
    """Return a row of tiles."""
    one = fields[0]
    near = one.nearness_HW
    near = ((near - near.min()) / (near.max() - near.min()).clamp(min=1e-3)).expand(3, -1, -1)
    grey = F.interpolate(picture_CHW.mean(0)[None, None], size=one.flows_HW.shape, mode="area")[0, 0]
    classes = torch.stack([one.sways_HW, 0.6 * grey * (1 - one.sways_HW) * (1 - one.flows_HW), one.flows_HW])
    motions = [
        torch.stack([0.5 + 0.25 * moved[0], 0.5 + 0.25 * moved[1], torch.full_like(moved[0], 0.5)])
        for moved in (field.flow_CHW * field.flows_HW + field.sway_CHW * field.sways_HW for field in fields)
    ]
    return torch.cat([to_tile(part) for part in (picture_CHW, near, classes, *motions)], dim=2)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, rows = load_pocket_network(settings.model, device), []
    for path in settings.pictures:
        pixels = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).permute(2, 0, 1).float() / 255
        fields = []
        for seed in (1, 2):
            generator = torch.Generator(device).manual_seed(seed)
            small = shrink(pixels[None]).to(device) * 2 - 1
            fields += read(*(part.cpu() for part in sample(network, small, settings.steps, generator)))
        rows.append(draw(pixels, fields))
    rows += [torch.zeros_like(rows[0])] * (-len(rows) % ROWS_A_COLUMN)
    columns = [torch.cat(rows[k : k + ROWS_A_COLUMN], dim=1) for k in range(0, len(rows), ROWS_A_COLUMN)]
    sheet = (torch.cat(columns, dim=2) * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(sheet).save(settings.out, quality=88)


if __name__ == "__main__":
    main()
