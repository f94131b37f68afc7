"""batch/items.py: rows become items; grids, takes, seeds and names; what decides whether a clip is known again."""

from dataclasses import replace

import pytest

from unstill.batch.items import Expander, Wish, read_grid
from unstill.batch.sources import PictureRow
from unstill.errors import RequestError

ROW = PictureRow("photos/one.png", "one")
MODEL = {"name": "pocket", "family": "pocket", "frames": 25, "identity": "abc"}


def expand(wish=None, row=ROW, model=MODEL):
    expander = Expander(wish or Wish())
    list(expander.expand(row, 1))
    return list(expander.expand(row, 1, dict.fromkeys(expander.choices, model)))


def test_a_row_is_one_clip_with_a_seed_of_its_own_that_stays():
    [item], [again], [other] = expand(), expand(), expand(row=PictureRow("photos/two.png", "two"))
    assert (item.output, item.number) == ("one.mp4", 1)
    assert item == again
    assert item.seed != other.seed


def test_a_folder_that_was_moved_makes_the_same_clips():
    assert expand()[0].settings == expand(row=PictureRow("elsewhere/one.png", "one"))[0].settings


def test_a_grid_makes_every_combination_and_names_it():
    items = expand(Wish(grid=read_grid(["motion=60,127", "seed=1,2"], {})))
    assert [item.output for item in items] == ["one-60-1.mp4", "one-60-2.mp4", "one-127-1.mp4", "one-127-2.mp4"]
    assert [(item.knobs["motion"], item.seed) for item in items] == [(60, 1), (60, 2), (127, 1), (127, 2)]
    assert [item.number for item in items] == [1, 2, 3, 4]


def test_takes_have_the_next_seeds_and_are_clips_of_their_own():
    items = expand(Wish({"takes": "3", "seed": "7"}))
    assert [(item.seed, item.output, item.knobs["takes"]) for item in items] == [
        (7, "one-1.mp4", 1), (8, "one-2.mp4", 1), (9, "one-3.mp4", 1)
    ]  # fmt: skip


def test_a_row_says_more_than_the_command_line():
    [item] = expand(Wish({"motion": 60, "format": "gif"}), PictureRow("a.png", "a", {"motion_bucket_id": "90", "seed": "5"}))
    assert (item.knobs["motion"], item.seed, item.output) == (90, 5, "a.gif")


def test_a_template_names_clips():
    [item] = expand(Wish({"seed": 3, "guidance": "1:3"}, name="{stem}/{suffix}-{number:04d}-{seed}-{guidance}"))
    assert item.output == "one/png-0001-3-1_3.mp4"


@pytest.mark.parametrize(
    "row",
    [
        PictureRow("a.png", "../a"),
        PictureRow("a.png", "/a"),
        PictureRow("a.png", ""),
        PictureRow("a.png", "a.gif"),
        PictureRow("a.png", ".unstill/x"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(row):
    with pytest.raises(RequestError, match=r"cannot be the name|another format"):
        expand(row=row)


def test_a_name_with_the_right_suffix_is_taken_as_it_is():
    assert expand(row=PictureRow("a.png", "clip.mp4"))[0].output == "clip.mp4"


@pytest.mark.parametrize(
    "knobs",
    [
        {"motion": "300"},
        {"moton": "3"},
        {"seed": "x"},
        {"device": "cpu"},
        {"format": "png"},
        {"motion": 1, "motion_bucket_id": 2},
    ],
)
def test_knobs_of_rows_are_judged(knobs):
    with pytest.raises(RequestError):
        expand(row=PictureRow("a.png", "a", knobs))


@pytest.mark.parametrize("text", ["motion", "motion=", "motion=1,", "moton=1", "motion=1,999", "takes=1,2", "device=cpu"])
def test_a_grid_that_is_none_is_refused(text):
    with pytest.raises(RequestError):
        read_grid([text], {})


def test_a_knob_is_set_in_one_place():
    with pytest.raises(RequestError, match="given twice"):
        read_grid(["motion_bucket_id=1,2"], {"motion": "3"})
    with pytest.raises(RequestError, match="given twice"):
        expand(Wish(grid=read_grid(["motion=60"], {})), PictureRow("a.png", "a", {"motion": 1}, "line 2"))


def test_values_with_commas_are_parted_otherwise():
    assert read_grid(["focus=0.5,0.5|left"], {}) == (("focus", ("0.5,0.5", "left")),)


@pytest.mark.parametrize("knobs", [{"motion": 61}, {"quality": 70}, {"format": "gif"}, {"seed": 9}, {"camera": "push"}])
def test_what_shapes_a_clip_makes_it_another(knobs):
    assert expand(Wish(knobs))[0].settings != expand()[0].settings


@pytest.mark.parametrize("knobs", [{"memory": "tiny"}, {"decode_chunk": 1}, {"look": False}, {"motion": 80}, {"frames": 25}])
def test_what_does_not_leaves_it_what_it_is(knobs):
    """80 and 25 are what pocket does when nothing is said."""
    assert expand(Wish(knobs))[0].settings == expand()[0].settings


def test_other_weights_make_another_clip():
    assert expand(model={**MODEL, "identity": "abd"})[0].settings != expand()[0].settings


def test_another_version_makes_another_clip(monkeypatch):
    before = expand()[0].settings
    monkeypatch.setattr("unstill.__version__", "99.0")
    assert expand()[0].settings != before


def test_a_model_that_is_missing_is_the_trouble_of_its_items():
    [item] = expand(model={"error": {"code": "model_missing", "message": "not here"}})
    assert item.error == {"code": "model_missing", "message": "not here"}


def test_an_order_says_what_a_worker_needs():
    [item] = expand(Wish({"motion": 60, "seed": 4}))
    order = replace(item, again=True).to_order()
    assert order["knobs"]["motion"] == 60
    assert order["knobs"]["seed"] == 4
    assert order["again"] is True


def test_true_is_not_one():
    expander = Expander(Wish())
    assert len(list(expander.expand(PictureRow("a.png", "a", {"motion": 1}), 1))) == 1
    with pytest.raises(RequestError, match="motion"):
        list(expander.expand(PictureRow("b.png", "b", {"motion": True}), 1))
