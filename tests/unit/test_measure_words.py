"""measure/motion.py: camera words are told apart by what depth does to their flow; scenes and cameras are in closed form."""

import pytest

from pinhole import make_flow, make_scene, see, stand
from unstill.measure.motion import fit_camera, name_camera

PAIRS = 4
FAR = 0.045  # of the mean depth: 1 to 4 px a frame
WORDS = (
    "push", "pull", "left", "right", "up", "down", "orbit", "arc", "roll", "zoom", "dolly-zoom in", "dolly-zoom out", "handheld",
)  # fmt: skip


def name(word, scene, far=FAR, pairs=PAIRS):
    near = make_scene(scene)
    pairs = 12 if word == "handheld" else pairs
    flow = make_flow(lambda t: see(near, stand(word, t, far, near)), pairs)
    return name_camera(flow, fit_camera(flow))


@pytest.mark.parametrize("scene", ["ground", "pillar"])
@pytest.mark.parametrize("word", WORDS)
def test_each_word_is_seen_where_there_is_depth(word, scene):
    assert name(word, scene).word == word.split()[0]


@pytest.mark.parametrize("word", ["orbit", "dolly-zoom in", "dolly-zoom out"])
def test_words_that_are_nothing_without_depth_are_still_before_a_wall(word):
    assert name(word, "wall").word == "still"


def test_a_push_before_a_wall_may_be_a_zoom():
    found = name("push", "wall")
    assert {found.word, found.other} == {"push", "zoom"}


@pytest.mark.parametrize("scene", ["ground", "pillar", "wall"])
def test_nothing_is_seen_where_nothing_moves(scene):
    assert name("still", scene).word == "still"


@pytest.mark.parametrize(("path", "words"), [("push and left", {"arc", "push", "left"}), ("left and up", {"left", "up"})])
def test_a_path_is_seen_as_words_that_are_on_it(path, words):
    found = name(path, "pillar", far=0.09)
    assert found.other is not None
    assert {found.word, found.other} <= words


@pytest.mark.parametrize("word", ["push", "left", "zoom"])
def test_a_word_does_not_depend_on_how_fast_it_goes(word):
    assert {name(word, "pillar", far).word for far in (0.03, 0.06, 0.12)} == {word}
