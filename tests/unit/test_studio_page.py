"""The page's files: small, whole, from here alone, and speaking of knobs that exist."""

import re
from pathlib import Path

import pytest

import unstill.studio
from unstill.request import KNOBS, PRESETS

PAGE = Path(unstill.studio.__file__).parent / "page"
FILES = {place.name: place.read_text(encoding="utf-8") for place in PAGE.iterdir()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
MOST_BYTES = 100 * 1024


def read_names(text: str, constant: str) -> list[str]:
    """The words in a list, or the keys of an object, that a script calls by this name."""
    body = re.search(rf"const {constant} = [\[{{](.*?)[\]}}];", text, re.DOTALL)
    assert body is not None, constant
    return re.findall(r'"([^"]*)"', body[1]) or re.findall(r"(\w+):", body[1])


def test_the_page_is_small():
    assert sum((PAGE / name).stat().st_size for name in FILES) <= MOST_BYTES


def test_the_page_asks_no_other_address_and_holds_no_script_or_style_of_its_own():
    for name, text in FILES.items():
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == [], name
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", FILES["index.html"]) == []
    for name, text in SCRIPTS.items():
        assert re.findall(r"innerHTML|outerHTML|document\.write|\beval\(|\balert\(|setAttribute\(\"style\"", text) == [], name


def test_every_file_that_is_named_is_there():
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', FILES["index.html"])
    for text in SCRIPTS.values():
        named += re.findall(r'from "\./([^"]+)"', text)
    assert set(named) <= FILES.keys()
    assert {name for name in FILES if name.endswith((".js", ".css"))} <= set(named)


@pytest.mark.parametrize("constant", ["FRONT", "ELSEWHERE"])
def test_every_knob_in_front_exists(constant):
    names = read_names(FILES["knobs.js"], constant)
    assert names
    assert set(names) <= KNOBS.keys()


def test_every_knob_that_is_shown_in_a_way_of_its_own_exists():
    controls = FILES["controls.js"]
    names = re.findall(r"(\w+): \[", re.search(r"const SLIDERS = .*", controls)[0])
    names += re.findall(r"(\w+):", re.search(r"const LABELS = .*", controls)[0])
    for text in SCRIPTS.values():
        names += re.findall(r'knob\.name [!=]== "(\w+)"', text) + re.findall(r'setKnob\("(\w+)"', text)
        names += re.findall(r"settings\.(\w+)", text) + re.findall(r'rows\.get\("(\w+)"\)', text)
    assert len(names) > 20
    assert set(names) <= KNOBS.keys()


def test_every_group_has_its_place():
    assert set(read_names(FILES["knobs.js"], "GROUPS")) == {knob.group for knob in KNOBS.values()}


def test_what_a_camera_can_do_has_an_icon_each():
    assert {f"camera-{choice}" for choice in KNOBS["camera"].choices} <= set(
        re.findall(r'"(camera-[\w-]+)":', FILES["icons.js"])
    )


def test_motion_is_wanted_in_words_that_are_read():
    for word in read_names(FILES["knobs.js"], "WANTED"):
        KNOBS["want_motion"].read(word)


def test_shapes_are_sizes():
    for size in re.findall(r'"(\d+x\d+)"', re.search(r"const SHAPES = .*", FILES["controls.js"])[0]):
        KNOBS["size"].read(size)
    assert PRESETS["default"].area.area_px == 1024 * 576
