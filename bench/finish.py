"""How much closer frames made by optical flow come to the true ones than blended frames, and how long they take.

    python bench/finish.py [FOLDER]        two tables in Markdown; frames to look at go into FOLDER

Films are read from pictures along known maps, so the true frame in the middle is known; of a clip of the bundled model every
second frame is left out, made again, and compared.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unstill import animate
from unstill.between import interpolate
from unstill.finish import finish
from unstill.request import Request

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from films import disc, grain, travel  # noqa: E402

PICTURES = ("examples/harbour.jpg", "recipe/pictures/pagoda.jpg", "recipe/pictures/cat.jpg")
NOISE = 0.01  # of a static film: 2.5 grey levels


def load(name: str) -> Tensor:
    """Read a picture and cut 1024x576 from it."""
    with Image.open(ROOT / name) as image:
        grown = max(1024 / image.width, 576 / image.height)
        image = image.convert("RGB").resize((round(image.width * grown) + 1, round(image.height * grown) + 1))
    return torch.from_numpy(np.asarray(image)[:576, :1024].copy()).permute(2, 0, 1) / 255


def make_films(picture: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Film a picture in ways that are known: the first frame, the true one in the middle, the last."""
    for step in (2, 6, 12):
        yield f"pan, {2 * step} px between frames", travel(picture, 3, pan=(step, 0.3 * step))
    for percent in (1, 3):
        yield f"zoom, {2 * percent} %", travel(picture, 3, zoom_percent=percent)
    for step in (8, 24):
        (first, last), _ = disc(picture, grain(5), step)
        yield f"a disc goes {step} px", torch.stack([first, disc(picture, grain(5), step // 2)[0][1], last])
    noise = torch.randn(3, *picture.shape, generator=torch.Generator().manual_seed(0))
    yield "static, with noise", (picture + NOISE * noise).clamp(0, 1)


def measure_db(made: Tensor, truth: Tensor) -> float:
    """Give the PSNR of a frame as it is stored, in 8 bits."""
    return float(-10 * ((made * 255).round() / 255 - truth).square().mean().log10())


def print_table(folder: Path | None) -> None:
    rows: dict[str, list[tuple[float, float]]] = {}
    films = [(label, film) for name in PICTURES for label, film in make_films(load(name))]
    for number, (label, film) in enumerate(films):
        film = (film * 255).round() / 255
        (made,) = interpolate(film[0], film[2], [0.5])
        blended = (film[0] + film[2]) / 2
        rows.setdefault(label, []).append((measure_db(blended, film[1]), measure_db(made, film[1])))
        if folder is not None:
            sheet = (torch.cat([film[1], made, blended], 2) * 255).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(sheet).save(folder / f"{number:03d}.png")
    print("| film | blended, dB | by flow, dB | the least gain of one, dB |\n|---|---|---|---|")
    for label, pairs in rows.items():
        blended_db, made_db = (sum(part) / len(pairs) for part in zip(*pairs, strict=True))
        print(f"| {label} | {blended_db:.1f} | {made_db:.1f} | {min(b - a for a, b in pairs):+.1f} |")


def print_seconds() -> None:
    frames = animate(ROOT / "examples" / "harbour.jpg", model="pocket", camera="push", seed=1).frames
    print("\n| 25 frames of 1024x576 at 7 fps | frames | s |\n|---|---|---|")
    for knobs in ({"smooth": 14}, {"smooth": 24}, {"smooth": 60}, {"smooth": 24, "loop": "ping-pong"}, {"loop": "cross-fade"}):
        start = time.perf_counter()
        made, _ = finish(frames, Request(fps=7, **knobs))
        words = " ".join(f"--{name} {value}" for name, value in knobs.items())
        print(f"| `{words}` | {len(made)} | {time.perf_counter() - start:.1f} |")


if __name__ == "__main__":
    torch.set_num_threads(2)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print_table(target)
    print_seconds()
