"""Make the moving picture of the README: a clip of the bundled model, as the command line makes it.

Use: python docs/build_moving_pictures.py      (with unstill beside Python)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
CLIPS = {  # each as small as a page can carry: play there and back, so that the end is no jump
    "harbour-push": ("harbour.jpg", "--camera push --seed 1 --motion 90 --size 640x360"),
}
AS_FILE = "--format webp --ping-pong --quality 70 --max-bytes 1200kB"


def main() -> None:
    """Make every clip."""
    for name, (picture, knobs) in CLIPS.items():
        file = f"{AS_FILE} {knobs}".split()
        out = PICTURES / f"{name}.webp"
        command = [sys.executable, "-m", "unstill", "animate", str(ROOT / "examples" / picture), "-o", str(out)]
        subprocess.run([*command, "--model", "pocket", *file], check=True)


if __name__ == "__main__":
    main()
