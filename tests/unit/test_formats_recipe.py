"""What a clip says about how it was made survives its container, and nothing else passes for it."""

import json
import time
from contextlib import suppress

import pytest

from clips import RECIPE
from unstill.errors import RecipeError, WriteError
from unstill.formats.recipe import DEEPEST, LONGEST_TEXT, count_levels, make_mark, pack, read_xmp, unpack, write_xmp


def test_a_recipe_comes_back_as_it_was_and_is_ascii_on_the_way():
    assert pack(RECIPE).isascii()
    assert unpack(pack(RECIPE)) == RECIPE


def test_it_survives_xmp():
    packet = write_xmp(make_mark("1.2"), pack(RECIPE))
    mark, text = read_xmp(packet)
    assert (mark, unpack(text)) == (make_mark("1.2"), RECIPE)


def test_xmp_without_a_recipe_keeps_the_mark():
    assert read_xmp(write_xmp(make_mark("1.2"), None)) == (make_mark("1.2"), None)


@pytest.mark.parametrize("recipe", [{"a": float("nan")}, {"a": object()}, {"a": "x" * LONGEST_TEXT}])
def test_what_could_not_be_read_back_is_not_written(recipe):
    with pytest.raises(WriteError):
        pack(recipe)


@pytest.mark.parametrize("text", [None, "", "hello", "[1]", '{"a":1}', "made with love"])
def test_other_texts_are_nobodys_recipe(text):
    assert unpack(text) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"unstill":"1"',
        '{"unstill":"1"}',
        '{"unstill":"1","knobs":[]}',
        '{"unstill":"1","knobs":{"a":null}}',
        '{"unstill":"1","knobs":{"a":[1]}}',
        '{"unstill":"1","knobs":{"a":NaN}}',
        '{"unstill":"1","knobs":{"a":1e999}}',
        '{"unstill":"1","knobs":{"a":' + "9" * 5000 + "}}",
        '{"unstill":' + "[" * 10_000 + "]" * 10_000 + "}",
        '{"unstill":"' + "x" * 100_000 + '"}',
    ],
)
def test_a_broken_recipe_is_refused(text):
    with pytest.raises(RecipeError):
        unpack(text)


def test_brackets_in_strings_are_no_levels():
    assert count_levels(json.dumps({"a": '[[[[[[[[[[[[ \\" {{{{', "b": {"c": 1}})) == 2
    assert unpack(pack({"unstill": "1", "knobs": {"model": "[" * 50}})) is not None
    assert count_levels("[" * (DEEPEST + 1)) == DEEPEST + 1


@pytest.mark.parametrize("part", ["<exif:UserComment>", "</dc:description>", '"', '\\"', "[", "<"])
def test_text_made_to_be_slow_is_not(part):
    """Patterns that search backwards and forwards take minutes for these."""
    start = time.process_time()
    read_xmp((part * 200_000).encode())
    with suppress(RecipeError):
        unpack('{"unstill' + part * (60_000 // len(part)))
    assert time.process_time() - start < 2  # a bound on the order of growth, not on the machine
