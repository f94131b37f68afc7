"""Cut textures and things out of freely licensed photographs, and hold them while scenes are painted.

    apt-get download mate-backgrounds plasma-workspace-wallpapers tuxpaint-stamps-default
    for one in *.deb; do dpkg -x "$one" "${one%%_*}"; done
    python -m recipe.photographs FOLDER --out build/photographs

photographs.csv lists what is cut and what kind of surface it is. Training works without these files, on painted
textures alone. It does not know what the cuttings are used for.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from recipe.dice import Dice

LIST = Path(__file__).parent / "photographs.csv"
SIDE_PX = 160
MOST = 4  # squares cut from one region
LEAF, GRASS, CLOUD, WATER, SOLID = "leaf", "grass", "cloud", "water", "solid"  # surfaces, which fill their square
THING, PLANT, SMOKE = "thing", "plant", "smoke"  # cut out along their outline


class Photographs:
    """Squares by kind, with an outline in a fourth channel."""

    def __init__(self, folder: Path | None, device: torch.device | str = "cpu") -> None:
        found = defaultdict(list)
        for path in sorted(folder.glob("*.webp")) if folder else ():
            found[path.stem.split("-")[0]].append(np.asarray(Image.open(path).convert("RGBA")))
        self.squares_BCHW = {
            kind: torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).to(device).half() / 255
            for kind, squares in found.items()
        }

    def has(self, kind: str) -> bool:
        """Return whether there are photographs of the kind."""
        return kind in self.squares_BCHW

    def cover(self, dice: Dice, kind: str, u_BHW: Tensor, v_BHW: Tensor) -> Tensor:
        """Sample a random surface of the kind for each scene, mirrored at its borders, [B, 3, H, W]."""
        u, v = ((2 * (part / 2 - (part / 2).round())).abs() * 2 - 1 for part in (u_BHW, v_BHW))
        return self._sample(dice, kind, u, v, "border")[:, :3]

    def cut(self, dice: Dice, kind: str, u_BHW: Tensor, v_BHW: Tensor) -> tuple[Tensor, Tensor]:
        """Sample a random thing that fills −1 to 1: its colour [B, 3, H, W] and outline [B, H, W]."""
        sampled = self._sample(dice, kind, u_BHW, v_BHW, "zeros")
        return sampled[:, :3], sampled[:, 3]

    def _sample(self, dice: Dice, kind: str, u: Tensor, v: Tensor, padding: str) -> Tensor:
        squares = self.squares_BCHW[kind]
        chosen = squares[dice.index(len(squares))].float()
        grid = torch.stack(torch.broadcast_tensors(u, v), dim=-1)
        return F.grid_sample(chosen, grid.expand(dice.count, -1, -1, -1), align_corners=False, padding_mode=padding)


def cut_out(image: Image.Image, box: tuple[float, ...], *, whole: bool) -> list[Image.Image]:
    """Cut a region into squares, or pad a thing to one."""
    width, height = image.size
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (width, height) * 2, strict=True))
    if whole:
        side = max(width, height)
        square = Image.new("RGBA", (side, side))
        square.paste(image, ((side - width) // 2, side - height))
        return [square.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)]
    side = min(right - left, bottom - top)
    across, down = max(1, (right - left) // side), max(1, (bottom - top) // side)
    corners = [(left + i * side, top + j * side) for i in range(across) for j in range(down)][:MOST]
    middle = (left + (right - left) // 2 - side // 4, top + (bottom - top) // 2 - side // 4)
    boxes = [(x, y, x + side, y + side) for x, y in corners]
    boxes.append((*middle, middle[0] + side // 2, middle[1] + side // 2))
    return [image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX, box=one, reducing_gap=3) for one in boxes]


def main() -> None:
    """Write the squares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds a folder for each unpacked package")
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    settings.out.mkdir(parents=True, exist_ok=True)
    with LIST.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            image = Image.open(settings.folder / row["package"] / row["path"]).convert("RGBA")
            box = tuple(float(row[side]) for side in ("left", "top", "right", "bottom"))
            squares = cut_out(image, box, whole=row["kind"] in (THING, PLANT, SMOKE))
            for part, square in enumerate(squares):
                square.save(settings.out / f"{row['kind']}-{number:03}-{part}.webp", quality=88)


if __name__ == "__main__":
    main()
