"""Draw the three pictures of this folder: python examples/draw_pictures.py [FOLDER].

They are made of noise, gradients and a few shapes, so they belong to the project and nobody else; every run draws the
same ones. How, is in drawing/.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing.balloon import draw_balloon
from drawing.harbour import draw_harbour
from drawing.lighthouse import draw_lighthouse


def main(folder: Path) -> None:
    """Draw all three."""
    draw_harbour(folder / "harbour.jpg")
    draw_lighthouse(folder / "lighthouse.jpg")
    draw_balloon(folder / "balloon.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
