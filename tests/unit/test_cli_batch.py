"""cli/batch.py: devices, addresses, and what is said at the end."""

from pathlib import Path

import pytest

from unstill.batch.foresight import Looked
from unstill.batch.items import Wish
from unstill.batch.ledger import Ledger
from unstill.batch.run import Summary
from unstill.batch.schedule import News
from unstill.batch.survey import Batch
from unstill.cli import serve
from unstill.cli.ahead import describe_pictures, free_room
from unstill.cli.batch import Lines, Means, find_devices, make, tell
from unstill.errors import BatchError, RequestError

QUIET = {"as_json": False, "quiet": False}


def test_devices_are_those_that_are_named_else_all_gpus(monkeypatch):
    monkeypatch.setattr(serve, "find_devices", lambda: ["cuda:0", "cuda:1"])
    assert find_devices("auto", None) == ("cuda:0", "cuda:1")
    assert find_devices("cuda:1", None) == ("cuda:1",)
    assert find_devices("auto", "cuda:0, cpu") == ("cuda:0", "cpu")
    with pytest.raises(RequestError, match="--devices"):
        find_devices("auto", "cuda:0,,")


def test_what_failed_is_told_by_name_and_is_an_error(capsys):
    line = {"picture": "photos/bad.png", "error": {"message": "no picture"}}
    with pytest.raises(BatchError, match="1 of 3 pictures have no clip"):
        tell(Summary(3, made=1, there=1, failed=1, failures=[line]), "clips", Path("results.jsonl"), 2.0, QUIET)
    said = capsys.readouterr()
    assert "1 made, 1 there already, 1 failed in 2.0 s" in said.err
    assert "photos/bad.png: no picture" in said.err
    assert said.out == ""


def test_why_the_rest_was_not_tried_is_told():
    with pytest.raises(BatchError, match=r"70 clips left: .*full"):
        tell(Summary(100, made=10, failed=20, trouble="the disk is full"), "clips", Path("r"), 2.0, {**QUIET, "quiet": True})


def test_a_batch_that_is_whole_answers_with_its_folder(capsys):
    tell(Summary(2, made=2), "clips", Path("r"), 2.0, {**QUIET, "quiet": True})
    assert capsys.readouterr().out == "clips\n"


def test_room_is_that_of_the_nearest_folder_there_is(tmp_path):
    assert free_room(tmp_path / "a/b/c") > 0
    assert free_room(None) is None


def test_how_many_pictures_are_broken_is_said_of_those_that_were_looked_at():
    assert describe_pictures(Looked(5, 1, (), is_all=True)) == (
        "1 cannot be read and makes no clip, of all 5 whose headers were looked at"
    )
    assert describe_pictures(Looked(5, 2, (), is_all=True)).startswith("2 cannot be read and make no clip")
    assert describe_pictures(Looked(5, 0, (), is_all=False)) == "none is broken, of the first 5 whose headers were looked at"
    assert describe_pictures(Looked(0, 0, (), is_all=False)) == "none was looked at: they are addresses"


def test_lines_say_how_far_it_is_now_and_then_and_the_end_is_told_by_others(capsys):
    lines = Lines(is_shown=True, every_s=1e6)
    lines(Summary(10, made=2, failed=1))
    lines(Summary(10, made=3, failed=1))
    said = capsys.readouterr()
    assert said.err.startswith("2 of 9 clips made, 1 failed; about ") and said.err.count("\n") == 1
    assert said.out == ""
    often = Lines(is_shown=True, every_s=0)
    often(Summary(3, failed=1))
    often(Summary(3, made=2, failed=1))
    assert capsys.readouterr().err == "0 of 2 clips made, 1 failed\n", "how long is not known before one was made"
    Lines(is_shown=False)(Summary(10, made=2))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("means", "words"),
    [(Means(("auto",), 1), "1 worker on this machine"), (Means(("cuda:0", "cuda:1"), 2), "4 workers on cuda:0, cuda:1"),
     (Means(("auto",), 1, is_cluster=True), "on a Ray cluster")],
)  # fmt: skip
def test_what_a_batch_runs_on_is_said(means, words):
    assert str(means) == words


@pytest.mark.parametrize(("long_s", "is_told"), [(-1.0, True), (1e6, False)])
def test_in_a_long_batch_failures_are_told_as_they_come(tmp_path, capsys, monkeypatch, long_s, is_told):
    class Refusing:
        """A crew on whose machine no model is."""

        depth = 1

        def __len__(self):
            return 1

        def describe(self, knobs, wants_stop):
            return {"error": {"code": "model_missing", "message": "there is no such model"}}

        def wait(self, most_s):
            return [News("ready", "w")]

    monkeypatch.setattr("unstill.cli.batch.LONG_S", long_s)
    (tmp_path / "one.png").write_bytes(b"")
    batch = Batch([str(tmp_path / "one.png")], Wish(), tmp_path)
    with Ledger(tmp_path / "results.jsonl", tmp_path) as ledger:
        summary = make(batch, batch.look(), Refusing(), ledger, None, is_shown=True)
    assert summary.failed == 1
    assert ("one.png: there is no such model" in capsys.readouterr().err) is is_told
