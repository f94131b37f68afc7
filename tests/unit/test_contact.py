"""contact.py and `unstill report`: a sheet that fits what it shows, and words for a clip of any origin."""

import json

import numpy as np
import pytest
from PIL import Image

from clips import make_clip
from films import grain, travel
from unstill.artifacts import Verdict
from unstill.cli import main
from unstill.cli.report import tell_asked
from unstill.contact import BAD, GOOD, WIDTH, Contact, Curves, choose_frames, choose_span, draw_contact, follow
from unstill.measure.clip import measure_clip


@pytest.fixture(scope="module")
def frames():
    return (travel(grain(size=(96, 160)), 5, pan=(1.0, 0.0)) * 255).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.fixture
def file(frames, tmp_path):
    return make_clip(frames).save(tmp_path / "walk.webm")


def test_the_report_says_how_it_moves(file, capsys):
    assert main(["report", str(file)]) == 0
    out = capsys.readouterr().out
    assert "a fast pan to the left" in out.splitlines()[0]
    assert "motion 127" in out.splitlines()[0]
    assert "nothing wrong" in out


def test_the_report_is_json_if_asked(file, capsys):
    assert main(["report", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measures"]["camera"] == "left"
    assert len(found["measures"]["curves"]["motion_px"]) == 4
    assert found["verdicts"] == []


@pytest.mark.slow
def test_the_sheet_is_a_picture_with_every_frame_of_a_short_clip(file, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["report", str(file), "-o", str(sheet)]) == 0
    with Image.open(sheet) as picture:
        assert picture.width == WIDTH
        assert len(np.unique(np.asarray(picture.convert("L")))) > 100


def test_a_still_clip_is_told_with_its_cure(frames, tmp_path, capsys):
    file = make_clip(np.repeat(frames[:1], 4, axis=0)).save(tmp_path / "still.gif")
    assert main(["report", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("stands still")
    assert "--fix-still" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["-o", "sheet.jpg"], "named like one"), (["missing"], "missing")],
)
def test_what_cannot_be_is_refused(arguments, words, file, capsys):
    given = [str(file), *arguments] if arguments[0] == "-o" else arguments
    assert main(["report", *given]) != 0
    assert words in capsys.readouterr().err


def test_a_recipe_of_strangers_says_nothing():
    asked = {"motion": 3, "camera": "push"}
    assert tell_asked({"knobs": asked}) == "asked: motion 3, camera push"
    for odd in ({"camera": "a\nb"}, {"camera": "x" * 60_000}, {"camera": []}, {"motion": "9"}, {"motion": None}):
        assert tell_asked({"knobs": {**asked, **odd}}) == ""


def test_arrows_on_a_plain_sky_are_the_cameras():
    """What has no texture cannot be followed; that it stood still would be a lie."""
    film = travel(grain(), 3, pan=(4.0, 0.0))
    film[:, :, :200] = 0.6
    pixels = (film.permute(0, 2, 3, 1) * 255).byte().numpy()
    ways = follow(pixels, 0)
    assert np.abs(ways[..., 0]) == pytest.approx(4.0, abs=0.4)
    assert ways[..., 1] == pytest.approx(0.0, abs=0.4)


@pytest.mark.parametrize("size", [(2, 400), (400, 8)])
@pytest.mark.slow
def test_the_sheet_of_a_strip_is_a_sheet(size, tmp_path):
    file = make_clip(np.random.default_rng(0).integers(0, 255, (3, *size, 3), np.uint8)).save(tmp_path / "strip.gif")
    assert main(["report", str(file), "-o", str(tmp_path / "sheet.png")]) == 0
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.height < 3000


def test_the_sheet_does_not_replace_the_clip(frames, tmp_path, capsys):
    file = make_clip(frames).save(tmp_path / "clip.apng").rename(tmp_path / "clip.png")
    before = file.read_bytes()
    assert main(["report", str(file), "-o", str(file)]) == 2
    assert file.read_bytes() == before


def test_a_single_frame_has_no_motion(frames, tmp_path, capsys):
    folder = make_clip(frames[:1]).save(tmp_path / "one")
    assert main(["report", str(folder)]) == 2
    assert "motion takes two" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "numbers"), [(2, [0, 1]), (8, list(range(8))), (25, [0, 3, 7, 10, 14, 17, 21, 24])])
def test_shown_frames_are_spread_and_hold_both_ends(count, numbers):
    assert choose_frames(count) == numbers


def test_a_panel_does_not_make_drama_of_noise():
    assert choose_span(Curves("", (("a", (1.0, 1.01)),), 2, 0.4)) == pytest.approx((0.805, 0.4))
    assert choose_span(Curves("", (("a", (0.1, 3.0)),), 2, 1.0)) == pytest.approx((0.0, 3.0))


def test_frames_that_are_wanted_are_shown():
    numbers = choose_frames(25, [13, 6])
    assert {0, 6, 13, 24} <= set(numbers)
    assert len(set(numbers)) == 8
    assert numbers == sorted(numbers)


def count_pixels(sheet, colour):
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return (np.asarray(sheet) == wanted).all(2)


@pytest.mark.slow
def test_a_fault_has_its_box_in_its_frame_and_a_whole_clip_its_green_sentence(frames):
    found = measure_clip(travel(grain(size=(96, 160)), 5, pan=(1.0, 0.0)))
    scar = Verdict("torn", "it is torn at the right of frame 3", "less motion", 3, (0.6, 0.4, 0.8, 0.6))
    broken, whole = (draw_contact(frames, Contact("a", "b", "c", found, said)) for said in ((scar,), ()))
    below = 150 + 2 * (211 + 16)  # the head, and two rows of frames
    boxed = count_pixels(broken, BAD)[:below]
    assert boxed.sum() > 200
    assert (np.nonzero(boxed)[1] >= 40 + 2 * (368 + 16)).all(), "it is in the third frame"
    assert (np.nonzero(boxed)[1] < 40 + 3 * (368 + 16)).all()
    assert not count_pixels(whole, BAD)[:below].any()
    assert count_pixels(whole, GOOD)[below:].sum() > 200
    assert not count_pixels(broken, GOOD)[below:].any()
