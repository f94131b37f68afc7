"""Make the pictures of what the bundled model does: the moving one of the README, and the sheet of first and last frames.

Use: python docs/build_moving_pictures.py      (with unstill beside Python)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from unstill.model.field import unpack

from unstill import animate
from unstill.generate import Sampling, foresee, ignore
from unstill.models import Keep
from unstill.request import Request
from unstill.values import Size

Frame = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
SHOWN = ("peaks", "dandelions", "meadow", "stream", "rocket", "pagoda", "cat")  # the last three are failures
SIZE = "512x288"
GROWN = 1.15  # what a plain zoom needs to move as fast as a push of the default motion
STRENGTH = 0.25  # how strongly a field is coloured


def make_moving() -> None:
    """Animate the harbour, there and back, so that the end is no jump."""
    out, picture = PICTURES / "harbour-push.webp", ROOT / "examples" / "harbour.jpg"
    knobs = "--model pocket --camera push --seed 1 --motion 90 --size 640x360 --loop ping-pong --quality 70 --max-bytes 1200kB"
    command = [sys.executable, "-m", "unstill", "animate", str(picture), "-o", str(out), *knobs.split()]
    subprocess.run(command, check=True)


def make_sheet() -> None:
    """Put each photograph beside the last frames of a plain zoom, of a push and of a turn, and the field of the push."""
    keep, rows = Keep(), []
    for name in SHOWN:
        picture = ROOT / "recipe" / "pictures" / f"{name}.jpg"
        push, turn = (
            animate(picture, model="pocket", camera=word, seed=1, size=SIZE, load=keep).frames for word in ("push", "right")
        )
        rows.append(np.concatenate([push[0], zoom(push[0]), push[-1], turn[-1], draw_field(picture, keep)], axis=1))
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS).save(
        PICTURES / "photographs.jpg", quality=84, optimize=True
    )


def zoom(frame_HWC: Frame) -> Frame:
    """End a Ken Burns move: enlarge the middle."""
    rows, columns, _ = frame_HWC.shape
    left, top = columns * (1 - 1 / GROWN) / 2, rows * (1 - 1 / GROWN) / 2
    box = (left, top, columns - left, rows - top)
    return np.asarray(Image.fromarray(frame_HWC).resize((columns, rows), Image.Resampling.LANCZOS, box=box))


def draw_field(picture: Path, keep: Keep) -> Frame:
    """Paint what the network made for a push: red is motion to the right, green is down, blue is near."""
    image, plan = foresee(Request(model="pocket", camera="push", seed=1, size=Size(512, 288)), picture)
    latents = Sampling(image, keep(plan), ignore).go_on(plan)
    field_CHW = unpack(latents.values_BFCHW[0])[-1].cpu()
    colours = (0.5 + STRENGTH * field_CHW).clamp(0, 1).permute(1, 2, 0)
    small = Image.fromarray((colours * 255).round().byte().numpy())
    return np.asarray(small.resize((plan.size.width, plan.size.height), Image.Resampling.NEAREST))


if __name__ == "__main__":
    make_moving()
    make_sheet()
