"""batch/ledger.py: what is told to be made, and is there as it was, is known; nothing else is."""

import json
from dataclasses import replace

import pytest

from unstill.batch.items import Item
from unstill.batch.ledger import Ledger, count_made, stamp_picture

ITEM = Item(1, "", "one.mp4", {}, 7, "abc")


@pytest.fixture
def item(tmp_path):
    (tmp_path / "one.png").write_bytes(b"picture")
    return replace(ITEM, picture=str(tmp_path / "one.png"))


def make(ledger, folder, item, **more):
    (folder / item.output).write_bytes(b"clip")
    line = {"picture": item.picture, "output": item.output, "settings": item.settings, "stamp": stamp_picture(item.picture)}
    ledger.add({**line, "bytes": 4, "seconds": 2.0, "error": None, **more})


def reopen(folder):
    return Ledger(folder / "results.jsonl", folder)


def test_what_was_made_is_known_in_the_next_run(tmp_path, item):
    with reopen(tmp_path) as ledger:
        assert not ledger.has(item)
        make(ledger, tmp_path, item)
    with reopen(tmp_path) as ledger:
        assert ledger.has(item)
        assert not ledger.has(replace(item, again=True))
        assert not ledger.has(replace(item, settings="other"))
        assert not ledger.has(replace(item, output="two.mp4"))
    counted = count_made(tmp_path / "results.jsonl")
    assert (counted.made, counted.seconds, counted.bytes) == (1, 2.0, 4)


def test_a_failure_is_tried_again(tmp_path, item):
    with reopen(tmp_path) as ledger:
        make(ledger, tmp_path, item, error={"code": "bad_picture"})
    with reopen(tmp_path) as ledger:
        assert not ledger.has(item)


@pytest.mark.parametrize("change", ["clip gone", "clip cut", "picture changed", "picture gone"])
def test_what_is_not_as_it_was_is_looked_at_again(tmp_path, item, change):
    with reopen(tmp_path) as ledger:
        make(ledger, tmp_path, item)
    place = tmp_path / ("one.mp4" if change.startswith("clip") else "one.png")
    place.unlink() if change.endswith("gone") else place.write_bytes(b"x")
    with reopen(tmp_path) as ledger:
        assert not ledger.has(item)


def test_half_a_line_of_a_run_that_was_killed_hides_nothing(tmp_path, item):
    with reopen(tmp_path) as ledger:
        make(ledger, tmp_path, item)
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(b'{"picture": "x", "err')
    with reopen(tmp_path) as ledger:
        assert ledger.has(item)
        make(ledger, tmp_path, replace(item, output="two.mp4"))
    with reopen(tmp_path) as ledger:
        assert ledger.has(replace(item, output="two.mp4"))


@pytest.mark.parametrize("line", ["[]", "7", "{}", '{"error": null}', '{"error": null, "picture": []}', "\xff", ""])
def test_lines_of_others_are_passed_over(tmp_path, item, line):
    (tmp_path / "results.jsonl").write_text(line + "\n")
    with reopen(tmp_path) as ledger:
        make(ledger, tmp_path, item)
    with reopen(tmp_path) as ledger:
        assert ledger.has(item)


def test_of_an_address_the_file_is_believed(tmp_path):
    item = replace(ITEM, picture="s3://shots/one.png")
    with Ledger(tmp_path / "results.jsonl", None) as ledger:
        ledger.add({"picture": item.picture, "output": item.output, "settings": item.settings, "stamp": "", "bytes": 4,
                    "seconds": 1.0, "error": None})  # fmt: skip
    with Ledger(tmp_path / "results.jsonl", None) as ledger:
        assert ledger.has(item)


def test_every_line_is_an_object(tmp_path, item):
    with reopen(tmp_path) as ledger:
        make(ledger, tmp_path, replace(item, output="\udcff.mp4"))
        make(ledger, tmp_path, item)
    assert len((tmp_path / "results.jsonl").read_bytes().splitlines()) == 2
    assert json.loads((tmp_path / "results.jsonl").read_bytes().splitlines()[1])["output"] == "one.mp4"
