"""batch/survey.py: everything that is wrong is told at once, before anything runs; names that meet are found."""

import pytest

from unstill.batch.items import Wish, read_grid
from unstill.batch.survey import Batch
from unstill.errors import RequestError


def write(path, text):
    path.write_text(text)
    return str(path)


def test_all_problems_are_told_with_their_lines(tmp_path):
    manifest = write(tmp_path / "shots.csv", "picture,motion,name\na.png,60,a\nb.png,999,b\nc.png,x,../c\n,,\n")
    with pytest.raises(RequestError) as caught:
        Batch([manifest], Wish(), None).look()
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        f"{manifest}, line 3", f"{manifest}, line 4", f"{manifest}, line 5 names no picture"
    ]  # fmt: skip


def test_only_some_of_many_problems_are_told(tmp_path):
    manifest = write(tmp_path / "shots.csv", "picture,motion\n" + "a.png,999\n" * 1000)
    with pytest.raises(RequestError) as caught:
        Batch([manifest], Wish(), None).look()
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1] == "and 990 more problems"


@pytest.mark.parametrize("names", [("a", "a"), ("Photo", "photo"), ("e\u0301", "é")])
def test_two_clips_of_one_name_are_found(tmp_path, names):
    manifest = write(tmp_path / "shots.csv", "picture,name\n" + "".join(f"{i}.png,{name}\n" for i, name in enumerate(names)))
    with pytest.raises(RequestError, match=r"would be of .*0\.png. and of .*1\.png"):
        Batch([manifest], Wish(), None).look()


def test_a_template_that_does_not_tell_takes_apart_is_refused(tmp_path):
    manifest = write(tmp_path / "shots.csv", "picture\na.png\n")
    with pytest.raises(RequestError, match="would be of"):
        Batch([manifest], Wish({"takes": 2}, name="{stem}"), None).look()
    assert Batch([manifest], Wish({"takes": 2}, name="{stem}-{take}"), None).look().count == 2


def test_a_clip_never_takes_the_place_of_a_picture(tmp_path):
    for name in ("a.webp", "a.png"):
        (tmp_path / name).write_bytes(b"")
    manifest = write(tmp_path / "shots.csv", "picture,name\na.png,a\na.webp,b\n")
    with pytest.raises(RequestError, match="would replace a picture"):
        Batch([manifest], Wish({"format": "webp"}), tmp_path).look()
    assert Batch([manifest], Wish({"format": "webp"}), tmp_path / "clips").look().count == 2


def test_no_pictures_are_an_error(tmp_path):
    with pytest.raises(RequestError, match="no pictures"):
        Batch([str(tmp_path)], Wish(), None).look()


def test_models_are_asked_for_once_each(tmp_path):
    manifest = write(tmp_path / "shots.csv", "picture,model\na.png,pocket\nb.png,pocket\nc.png,svd\nd.png,\n")
    survey = Batch([manifest], Wish(grid=read_grid(["motion=1,2"], {})), None).look()
    assert survey.count == 8
    assert {choice[0] for choice in survey.choices} == {"pocket", "svd", "auto"}


def test_a_manifest_that_changes_meanwhile_is_refused(tmp_path):
    manifest = write(tmp_path / "shots.csv", "picture\na.png\n")
    batch = Batch([manifest], Wish(), None)
    survey = batch.look()
    write(tmp_path / "shots.csv", "picture\na.png\nb.png\n")
    with pytest.raises(RequestError, match="has changed"):
        next(batch.items(survey, {}))


@pytest.mark.parametrize("within", ["", "clips"])
def test_clips_that_would_be_taken_for_pictures_when_it_goes_on_are_refused(tmp_path, within):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(RequestError, match=r"\.webp would lie in .* taken for pictures"):
        Batch([str(tmp_path)], Wish({"format": "webp"}), tmp_path / within).look()
    assert Batch([str(tmp_path)], Wish(), tmp_path / within).look().count == 1
    assert Batch([str(tmp_path)], Wish({"format": "webp"}), tmp_path.with_name("clips")).look().count == 1
