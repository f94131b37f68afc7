"""Say how often text, faces and missing detail are found in pictures, and how often they are seen where there are none.

    python bench/detectors.py
    python bench/detectors.py --faces lfw_subset.npy   # 100 faces and 100 other pieces of 25x25 pixels, from scikit-image

The pictures are those of examples/ and recipe/pictures/; signs with words are drawn into them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src")]

from unstill.measure.faces import find_faces  # noqa: E402
from unstill.measure.letters import find_lines  # noqa: E402
from unstill.measure.picture import measure_detail  # noqa: E402
from unstill.measure.risks import SOFT  # noqa: E402

AREA = 1024 * 576
WORDS = (
    "OPEN SUNDAYS",
    "harbour cafe",
    "Exit 24 North",
    "the quick brown fox",
    "Mühlenweg 12",
    "PARKING ONLY",
    "Rue de la Paix",
)
INKS = (
    ("#f0f0f0", "#141e3c"),
    ("#143c28", "#f0e6c8"),
    (None, "#ffffff"),
    (None, "#101010"),
)  # ground, none is the picture; ink
HEIGHTS = (8, 10, 14, 20, 28, 40, 56)


def main() -> None:
    """Print one table after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path)
    asked = parser.parse_args()
    pictures = [
        open_picture(path)
        for folder in ("examples", "recipe/pictures")
        for path in sorted((HERE.parent / folder).glob("*.jpg"))
    ]
    print_text(pictures)
    print_detail(pictures)
    if asked.faces:
        print_faces(pictures, np.load(asked.faces))


def open_picture(path: Path) -> Image.Image:
    """Open a picture at the area of a frame, or smaller."""
    picture = Image.open(path).convert("RGB")
    scale = min(1.0, (AREA / (picture.width * picture.height)) ** 0.5)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def to_light(picture: Image.Image) -> np.ndarray:
    """Give grey levels."""
    return np.asarray(picture.convert("L"), dtype=float)


def print_text(pictures: list[Image.Image]) -> None:
    """Draw words of several heights and inks; look at the same pictures, and at pieces of them, without."""
    dice = np.random.default_rng(0)
    wild = [*pictures, *(cut_piece(picture, dice) for picture in pictures for _ in range(5)), *draw_rows()]
    seen = sum(bool(find_lines(to_light(picture))) for picture in wild)
    print("| letters of, px | found | of |\n|---|---|---|")
    hits = tries = 0
    for height in HEIGHTS:
        found = [write_and_find(picture, height, number, dice) for number, picture in enumerate(pictures * 3)]
        print(f"| {height} | {sum(found)} | {len(found)} |")
        hits, tries = hits + sum(found), tries + len(found)
    share = tries / len(wild)  # as many pictures with text as without
    precision, recall = hits / (hits + share * seen), hits / tries
    print(f"\nWithout text: {seen} of {len(wild)} seem to have some. Precision {precision:.2f}, recall {recall:.2f}.")


def write_and_find(picture: Image.Image, height: int, number: int, dice: np.random.Generator) -> bool:
    """Draw words at a random place, and say whether a line is found there."""
    picture, words, (ground, ink) = picture.copy(), WORDS[number % len(WORDS)], INKS[number % len(INKS)]
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(1.35 * height)
    box = draw.textbbox((0, 0), words, font=font)
    while box[2] > picture.width - 20:
        words = words[:-1]
        box = draw.textbbox((0, 0), words, font=font)
    x, y = int(dice.integers(8, picture.width - box[2] - 8)), int(dice.integers(8, picture.height - box[3] - 8))
    if ground is not None:
        draw.rectangle((x - 8, y - 4, x + box[2] + 8, y + box[3] + 6), fill=ground)
    draw.text((x, y), words, font=font, fill=ink)
    lines = find_lines(to_light(picture))
    return any(
        one.left < x + box[2] and one.left + one.width > x and one.top < y + box[3] and one.top + one.height > y
        for one in lines
    )


def cut_piece(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
    """Cut out a piece, and enlarge it to the picture's size."""
    wide, high = (int(side * dice.uniform(0.35, 0.8)) for side in picture.size)
    left, top = int(dice.integers(0, picture.width - wide)), int(dice.integers(0, picture.height - high))
    return picture.crop((left, top, left + wide, top + high)).resize(picture.size, Image.Resampling.BICUBIC)


def draw_rows() -> list[Image.Image]:
    """Draw rows of like things: bars, bricks, panes."""
    drawn = []
    for wide, high, step_x, step_y in (
        (8, 50, 22, 80),
        (36, 16, 40, 20),
        (22, 30, 44, 60),
        (12, 12, 18, 40),
        (30, 8, 36, 30),
        (5, 20, 12, 60),
    ):
        picture = Image.new("RGB", (1024, 576), "#d0d0c8")
        draw = ImageDraw.Draw(picture)
        for row, y in enumerate(range(20, 576 - high, step_y)):
            for x in range(row % 2 * step_x // 2, 1024 - wide, step_x):
                draw.rectangle((x, y, x + wide, y + high), fill="#554d48")
        drawn.append(picture)
    return drawn


def print_detail(pictures: list[Image.Image]) -> None:
    """Enlarge pictures, and count which are called soft."""
    print("\n| enlarged | detail, lowest to highest | called soft |\n|---|---|---|")
    for times in (1, 1.5, 2, 3, 4):
        values = []
        for picture in pictures:
            small = picture.resize((round(picture.width / times), round(picture.height / times)), Image.Resampling.LANCZOS)
            values.append(measure_detail(to_light(small.resize(picture.size, Image.Resampling.BICUBIC))))
        print(f"| {times}× | {min(values):.2f}–{max(values):.2f} | {sum(value < SOFT for value in values)} of {len(values)} |")


def print_faces(pictures: list[Image.Image], pieces: np.ndarray) -> None:
    """Put faces and other pieces into grey pictures, and look at the pictures that hold none."""
    wild = [picture for picture in pictures if picture.size != (512, 512)]  # the portrait of an astronaut is no picture without
    seen = sum(bool(find_faces(to_light(picture).astype(np.uint8))) for picture in wild)
    print("\n| faces of, px | found | other pieces taken for faces |\n|---|---|---|")
    for height in (24, 32, 48, 96):
        found = [bool(find_faces(set_in(piece, height))) for piece in pieces]
        print(f"| {height} | {sum(found[:100])} of 100 | {sum(found[100:])} of 100 |")
    print(f"\n{seen} of {len(wild)} pictures without a person seem to have a face.")


def set_in(piece: np.ndarray, height: int) -> np.ndarray:
    """Put a piece into the middle of a grey picture; a face fills 20 of its 25 rows."""
    side = round(height * 25 / 20)
    ground = Image.new("L", (4 * side, 4 * side), 128)
    ground.paste(Image.fromarray((piece * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC), (side, side))
    return np.asarray(ground)


if __name__ == "__main__":
    main()
