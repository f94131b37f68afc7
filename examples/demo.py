"""Animate a picture of this folder from end to end, on any machine, without a download.

The network is a miniature with random weights: it runs the whole path and draws noise, not motion.
Use: python examples/demo.py [PICTURE]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIPS = HERE.parent / "clips"
LOUD = """
  ┌──────────────────────────────────────────────────────────────────────────┐
  │ This demo runs a MINIATURE WITH RANDOM WEIGHTS: every stage is real, the │
  │ frames are coloured noise. For a moving picture: unstill pull svd-xt     │
  └──────────────────────────────────────────────────────────────────────────┘
"""


def main() -> int:
    """Make the miniature, run the command line on it, and say again what it was."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from miniature import make_miniature

    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "harbour.jpg"
    print(LOUD)
    CLIPS.mkdir(exist_ok=True)
    model = make_miniature(CLIPS / "miniature", frames=14)
    out = CLIPS / f"{picture.stem}.mp4"
    small = ["--size", "320x192", "--steps", "8", "--seed", "1"]
    command = [sys.executable, "-m", "unstill", "animate", str(picture), "-o", str(out), "--model", str(model), *small]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        print(f"\nthe clip is at {out}\n(random weights: coloured noise, as said above)")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
