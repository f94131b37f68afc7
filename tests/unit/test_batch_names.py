"""batch/names.py: templates reach nothing but their fields, names lead nowhere else, and names that meet are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.batch.names import LONGEST_PART, Marks, Template, clean, find_fault, fold, mark
from unstill.errors import RequestError


def test_a_template_is_filled_with_its_fields():
    assert Template("{stem}-{seed:06d}-{motion}").fill({"stem": "one", "seed": 7, "motion": "60", "take": 1}) == "one-000007-60"


@pytest.mark.parametrize(
    "text", ["{nothing}", "{name.__class__}", "{name[0]}", "{name!r}", "{name:>1000000000}", "{seed:1000d}", "{", "{}", "{0}"]
)
def test_a_template_that_reaches_further_is_refused(text):
    with pytest.raises(RequestError):
        Template(text)


@pytest.mark.parametrize(
    "name",
    ["", "..", "../up", "a/../../b", "/etc/passwd", "a//b", "a/", ".hidden", ".unstill/records/x", "a\\b", "c:x", "a\0b",
     "a\nb", "\x1b[2J", "a\u202egpj", "a.", " a", "a ", "x" * 300, "/".join("x" * 200 for _ in range(9))],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_has_a_fault(name):
    assert find_fault(name) is not None


@pytest.mark.parametrize("name", ["one", "sub/two", "été 1", "a-b_c.d", "写真/犬", "x" * LONGEST_PART])
def test_a_plain_name_has_none(name):
    assert find_fault(name) is None


@given(st.text(max_size=40))
def test_no_name_without_a_fault_leaves_its_folder(tmp_path_factory, name):
    if find_fault(name) is None:
        root = tmp_path_factory.getbasetemp()
        assert (root / name).resolve().is_relative_to(root.resolve())
        assert (root / name).resolve() != root.resolve()


@pytest.mark.parametrize(
    ("value", "written"), [("a/b", "a_b"), ("1:3", "1_3"), ("0.5,0.5", "0.5,0.5"), (None, "auto"), ("..", "..")]
)
def test_values_of_knobs_are_written_so_that_they_can_stand_in_names(value, written):
    assert clean(value) == written


@pytest.mark.parametrize(("one", "other"), [("Photo.mp4", "photo.MP4"), ("e\u0301t", "ét")])
def test_names_that_some_system_takes_for_one_are_folded(one, other):
    assert fold(one) == fold(other)


@given(st.lists(st.text(max_size=3), max_size=30))
def test_marks_know_what_was_put_in_and_what_twice(texts):
    marks = Marks()
    for text in texts:
        marks.add(mark(text))
    assert all(mark(text) in marks for text in texts)
    assert mark("nothing of these") not in marks
    assert marks.list_twice() == {mark(text) for text in texts if texts.count(text) > 1}


def test_marks_meet_in_what_both_have():
    one, other = Marks(), Marks()
    for number in range(10):
        one.add(mark(number))
        other.add(mark(number + 8))
    assert one.meet(other) == {mark(8), mark(9)}


def test_marks_take_eight_bytes_each():
    marks = Marks()
    for number in range(1000):
        marks.add(mark(number))
    assert len(marks) == 1000
    assert marks._marks.itemsize == 8


def test_texts_are_not_run_together():
    assert mark("ab", "c") != mark("a", "bc")
