"""measure/picture.py, letters.py and risks.py: what a picture holds, and what is said of it."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from films import grain
from unstill.measure.letters import find_lines, find_shapes
from unstill.measure.picture import Looks, look, measure_detail
from unstill.measure.risks import list_risks

PLAIN = Looks(0, 0.0, None, None, None, 0.1, 0.6)


def paint_wild():
    return (grain(3).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def write(words, px, place=(120, 200), ground=None, sign=True):
    picture = Image.fromarray(paint_wild() if ground is None else ground)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(px * 1.35)
    left, top, right, bottom = draw.textbbox(place, words, font=font)
    if sign:
        draw.rectangle((left - 10, top - 8, right + 10, bottom + 8), fill="#f4f1e6")
    draw.text(place, words, font=font, fill="#14202c")
    return np.asarray(picture)


def test_a_wild_picture_has_no_text():
    assert look(paint_wild()).text_lines == 0


@pytest.mark.parametrize("px", [10, 16, 24, 36])
@pytest.mark.parametrize("words", ["Harbour cafe, open", "EXIT 24 NORTHBOUND"])
def test_a_sign_is_found_with_the_height_of_its_letters(px, words):
    found = look(write(words, px))
    assert found.text_lines >= 1
    assert found.smallest_letter_px == pytest.approx(px * (1.0 if words.isupper() else 0.8), rel=0.3)


def test_a_page_has_many_lines():
    page = np.full((576, 1024, 3), 250, np.uint8)
    for row in range(12):
        page = write("the quick brown fox jumps over the lazy dog", 14, (60, 30 + 40 * row), page, sign=False)
    assert look(page).text_lines >= 11
    assert look(page).text_share > 0.03


@pytest.mark.parametrize("kind", ["blinds", "fence", "bricks", "panes"])
def test_rows_of_like_things_are_no_text(kind):
    picture = Image.new("L", (1024, 576), 210)
    draw = ImageDraw.Draw(picture)
    if kind == "blinds":
        boxes = [(0, y, 1024, y + 9) for y in range(0, 576, 18)]
    elif kind == "fence":
        boxes = [(x, 200, x + 8, 250) for x in range(0, 1024, 22)]
    elif kind == "bricks":
        boxes = [
            (x + 20 * (y // 20 % 2), y, x + 36 + 20 * (y // 20 % 2), y + 16)
            for y in range(0, 576, 20)
            for x in range(0, 1024, 40)
        ]
    else:
        boxes = [(x, y, x + 22, y + 30) for y in range(40, 500, 60) for x in range(60, 1000, 44)]
    for box in boxes:
        draw.rectangle(box, fill=90)
    assert find_lines(np.asarray(picture, dtype=float)) == []


def test_shapes_are_joined_over_corners_and_kept_apart_over_gaps():
    drawn = ["#..#..", ".#...#", "..#.#.", "......", "###..."]
    mask = np.array([[letter == "#" for letter in row] for row in drawn])
    shapes = find_shapes(mask, mask * 100.0)
    boxes = zip(shapes.left_S, shapes.top_S, shapes.right_S, shapes.bottom_S, shapes.set_S, strict=True)
    assert sorted(tuple(map(int, box)) for box in boxes) == [(0, 0, 3, 3, 3), (0, 4, 3, 5, 3), (3, 0, 4, 1, 1), (4, 1, 6, 3, 2)]
    assert set(shapes.ink_S) == {100.0}


def test_an_empty_mask_has_no_shapes():
    assert len(find_shapes(np.zeros((4, 4), bool), np.zeros((4, 4))).left_S) == 0


def test_a_picture_that_was_enlarged_has_less_detail_the_more_it_was():
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 255, (288, 512, 3), np.uint8))
    details = [
        measure_detail(np.asarray(sharp.resize((512 // times, 288 // times)).resize((512, 288)).convert("L"), dtype=float))
        for times in (1, 2, 4)
    ]
    assert all(a > 1.5 * b for a, b in itertools.pairwise(details))


def test_noise_is_busy_and_a_wall_is_not():
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    assert look(noise).busyness == 1.0
    assert look(np.full((256, 256, 3), 90, np.uint8)).busyness == 0.0


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (16, 16), (2000, 3)])
def test_odd_pictures_are_looked_at(size):
    assert look(np.zeros((*size, 3), np.uint8)).text_lines == 0


def risks(kept=1.0, enlarged=1.0, invents=True, **found):
    return list_risks(Looks(**{**vars(PLAIN), **found}), kept, enlarged, invents=invents)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"faces": 2, "smallest_face_px": 40}, "2 faces, the smallest 40 px"),
        ({"text_lines": 1, "smallest_letter_px": 12}, "a line of text, letters of 12 px"),
        ({"busyness": 0.8}, "fine detail fills 80%"),
        ({"detail": 0.1}, "detail 0.10"),
        ({"enlarged": 2.0}, "enlarged 2.0 times"),
        ({"kept": 0.4}, "keeps 40%"),
    ],
)
def test_each_risk_is_said_with_what_was_measured(given, words):
    said = risks(**given)
    assert len(said) == 1
    assert words in said[0]


def test_a_good_picture_has_no_risks():
    assert risks(faces=1, smallest_face_px=200, text_lines=1, smallest_letter_px=60) == []


def test_a_model_that_moves_pixels_melts_nothing():
    assert risks(invents=False, faces=2, smallest_face_px=40, text_lines=1, smallest_letter_px=12, busyness=0.9) == []


def test_faces_are_unknown_where_nothing_can_look():
    """None is not the same as no face."""
    code = "import sys; sys.modules['cv2'] = None; from unstill.measure.faces import find_faces; print(find_faces(None))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "None\n"


def test_a_face_is_found_where_opencv_is():
    pytest.importorskip("cv2")
    with Image.open("recipe/pictures/astronaut.jpg") as picture:
        found = look(np.asarray(picture.convert("RGB")))
    assert found.faces == 1
