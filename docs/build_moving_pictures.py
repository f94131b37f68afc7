"""Make the pictures of what the bundled model does: the moving one of the README, and the sheet of first and last frames.

Use: python docs/build_moving_pictures.py      (with unstill beside Python)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from unstill import animate
from unstill.engine import Keep

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
SHOWN = ("peaks", "dandelions", "cat", "stream", "rocket", "pagoda")  # the last two are failures
WORDS = ("push", "right")


def make_moving() -> None:
    """Animate the harbour, there and back, so that the end is no jump."""
    out, picture = PICTURES / "harbour-push.webp", ROOT / "examples" / "harbour.jpg"
    knobs = "--model pocket --camera push --seed 1 --motion 90 --size 640x360 --ping-pong --quality 70 --max-bytes 1200kB"
    command = [sys.executable, "-m", "unstill", "animate", str(picture), "-o", str(out), *knobs.split()]
    subprocess.run(command, check=True)


def make_sheet() -> None:
    """Put the first frame of each photograph beside the last ones of a push and of a turn to the right."""
    keep, rows = Keep(), []
    for name in SHOWN:
        picture = ROOT / "recipe" / "pictures" / f"{name}.jpg"
        clips = [animate(picture, model="pocket", camera=word, seed=1, size="512x288", load=keep) for word in WORDS]
        rows.append(np.concatenate([clips[0].frames[0], *(clip.frames[-1] for clip in clips)], axis=1))
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4), Image.Resampling.LANCZOS).save(
        PICTURES / "photographs.jpg", quality=82, optimize=True
    )


if __name__ == "__main__":
    make_moving()
    make_sheet()
