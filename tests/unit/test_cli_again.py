"""cli/again.py and cli/inspect.py: recipes as they are found in files, which can hold anything."""

import hashlib
from pathlib import Path

import pytest

from unstill.cli.again import OTHER_PICTURE, choose_knobs, compare, hash_picture
from unstill.cli.inspect import describe_file, describe_recipe
from unstill.errors import RecipeError
from unstill.formats.probe import Probe
from unstill.request import Request
from unstill.values import Size

RECIPE = {
    "unstill": "0.1.0",
    "knobs": Request(motion=99, seed=5, device="cuda:0", format="gif", play_fps=12).to_dict(),
    "model": {"name": "svd", "revision": "0123456789abcdef"},
    "picture_sha256": "ab" * 32,
    "engine": "reference",
    "torch": "2.13.0",
}


def test_what_made_the_clip_is_taken_and_where_it_ran_is_not():
    knobs = choose_knobs("x.gif", RECIPE)
    assert (knobs["motion"], knobs["seed"], knobs["play_fps"]) == (99, 5, 12)
    assert (knobs["device"], knobs["format"]) == ("auto", "auto")


@pytest.mark.parametrize("recipe", [{}, {"knobs": None}, {"knobs": [1]}, {"knobs": "motion"}])
def test_without_knobs_there_is_no_recipe(recipe):
    with pytest.raises(RecipeError, match=r"x\.mp4 carries no recipe"):
        choose_knobs("x.mp4", recipe)


@pytest.mark.parametrize("knobs", [{"motion": 300}, {"swirl": 1}, {"motion": {"a": 1}}, {"model": "x" * 5000}])
def test_a_recipe_of_another_world_cannot_be_repeated(knobs):
    with pytest.raises(RecipeError, match="cannot be repeated"):
        choose_knobs("x.mp4", {"knobs": knobs, "unstill": "9.9"})


def test_the_same_is_the_same():
    assert compare(RECIPE, RECIPE, is_said=False) == []


def test_another_picture_is_said_once():
    other = {**RECIPE, "picture_sha256": "cd" * 32}
    assert compare(RECIPE, other, is_said=False) == [OTHER_PICTURE]
    assert compare(RECIPE, other, is_said=True) == []


@pytest.mark.parametrize("model", [{"name": "svd", "revision": "f" * 16}, {"name": "svd"}, None, "svd"])
def test_another_revision_of_the_model_is_said(model):
    (said,) = compare(RECIPE, {**RECIPE, "model": model}, is_said=False)
    assert "0123456789abcdef" in said


def with_weights(sha256):
    return {**RECIPE, "model": {"name": "svd", "revision": None, "sha256": sha256}}


@pytest.mark.parametrize(
    ("then", "now", "names"),
    [({"unet/a": "12", "vae/b": "34"}, {"unet/a": "12", "vae/b": "56"}, "vae/b"), ({"b": "1", "a": "1"}, {"a": "2", "b": "2"}, "a, b"),
     ({"a": "sampled-sha256:1"}, {"a": "sampled-sha256:2"}, "a"), ({"a": [1]}, {"a": "2"}, "a")],
)  # fmt: skip
def test_other_weights_are_said_by_file(then, now, names):
    said = f"the weights are not those of the recipe in {names}: expect another clip"
    assert compare(with_weights(then), with_weights(now), is_said=False) == [said]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"a": "1"}, {"b": "2"}),
        ({"a": "1"}, {}),
        (None, {"a": "1"}),
        ("a", {"a": "1"}),
        ({"a": "1"}, {"a": "sampled-sha256:2"}),
    ],
)
def test_weights_that_cannot_be_compared_are_not_said_to_differ(then, now):
    assert compare(with_weights(then), with_weights(now), is_said=False) == []


def test_a_picture_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"bytes")
    assert hash_picture(str(path)) == hashlib.sha256(b"bytes").hexdigest()


@pytest.mark.parametrize("name", ["none", ".", "a\0b", "x" * 5000, "/dev/null"])
def test_what_cannot_be_hashed_is_left_to_be_refused_later(name):
    assert hash_picture(name) is None


def test_a_recipe_is_shown_in_the_order_of_the_knobs():
    rows = describe_recipe(RECIPE)
    names = [name for name, _ in rows]
    assert rows[0] == ("model", "svd, revision 0123456789ab")
    assert names.index("motion") < names.index("seed") < names.index("play-fps")
    assert ("play-fps", "12") in rows
    assert ("loop", "none") in rows


@pytest.mark.parametrize("recipe", [{"knobs": 3}, {"model": [1]}, {"knobs": {"\x1b": None}}, {"picture_sha256": 3}])
def test_any_recipe_can_be_looked_at(recipe):
    assert all(isinstance(text, str) for row in describe_recipe(recipe) for text in row)


@pytest.mark.parametrize("recipe", [None, {}])
def test_no_recipe_is_said(recipe):
    ((name, text),) = describe_recipe(recipe)
    assert name == "recipe"
    assert text.startswith("none")


def test_a_file_is_three_lines(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(bytes(2000))
    found = Probe("mp4", "h264", 14, Size(1024, 576), 2.0, 7.0, None, None, None)
    assert describe_file(path, found) == [
        ("file", f"{Path(path)}, 2.0 kB"), ("format", "mp4, h264"), ("clip", "14 frames, 1024x576, 2.00 s"),
    ]  # fmt: skip
