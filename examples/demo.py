"""Animate a picture of this folder, or one of yours, with the model that comes with unstill: no download, no GPU.

Use: python examples/demo.py [PICTURE]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIPS = HERE.parent / "clips"


def main() -> int:
    """Run the command line on the picture and say where the clip is."""
    given = sys.argv[1] if len(sys.argv) > 1 else None
    picture = Path(given) if given else HERE / "harbour.jpg"
    CLIPS.mkdir(exist_ok=True)
    out = CLIPS / f"{picture.stem}.mp4"
    chosen = [] if given else ["--camera", "push", "--seed", "1"]
    command = [sys.executable, "-m", "unstill", "animate", str(picture), "-o", str(out), "--model", "pocket", *chosen]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        print(f"\nthe clip is at {out}\nanother picture: make demo PICTURE=photo.jpg")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
