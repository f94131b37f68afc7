"""cli/output.py: where words go, and how numbers read."""

import io
import json
import math
import sys
from pathlib import Path

import pytest

from unstill.cli import output
from unstill.errors import MachineError, RequestError
from unstill.values import Size


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (312_400, "312 kB"), (4_511_000_000, "4.5 GB"), (99_949, "99.9 kB"),
     (99_950, "100 kB"), (999_600, "1.0 MB"), (2**50, "1126 TB"), (None, "unknown")],
)  # fmt: skip
def test_byte_counts_read_well(count, text):
    assert output.show_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.06, "0.1 s"),
        (99.4, "99.4 s"),
        (99.6, "1 min 40 s"),
        (3599, "59 min 59 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_time_spans_read_well(seconds, text):
    assert output.show_seconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "now"), (0.4, "now"), (59, "59 s ago"), (60, "1 min ago"), (7199, "1 h ago"), (47 * 3600, "47 h ago"), (3 * 86_400, "3 days ago")],
)  # fmt: skip
def test_how_long_ago_something_was_reads_well(seconds, text):
    assert output.show_ago(seconds) == text


def test_control_characters_are_shown_and_not_sent():
    assert output.escape("a\x1b[2Jb\x07\u202ec\udce9") == "a\\x1b[2Jb\\x07\\u202ec\\udce9"


def test_json_holds_what_json_can_hold():
    value = {"path": Path("x"), "size": Size(2, 1), "nan": math.nan, "deep": ({"inf": math.inf},), 1: None}
    assert json.loads(json.dumps(output.to_plain(value))) == {
        "path": "x", "size": {"width": 2, "height": 1}, "nan": None, "deep": [{"inf": None}], "1": None,
    }  # fmt: skip


def test_a_message_in_a_pipe_stays_on_one_line(capsys):
    output.warn("word " * 80)
    assert capsys.readouterr().err.count("\n") == 1


def test_every_problem_of_a_request_is_an_error_of_its_own(capsys):
    output.say_error(RequestError(["motion is wrong", "fps is wrong"], hint="look"), as_json=False)
    said = capsys.readouterr()
    assert said.err == "error: motion is wrong\nerror: fps is wrong\nhint: look\n"
    assert said.out == ""


def test_an_error_as_json_is_one_object_on_standard_output(capsys):
    output.say_error(MachineError("too small", hint="less"), as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out)["error"] == {"code": "machine", "message": "too small", "hint": "less", "retryable": False}
    assert said.err == ""


def test_square_brackets_are_text_and_no_markup(capsys):
    output.warn("[red]no[/red] :smile:")
    assert capsys.readouterr().err == "warning: [red]no[/red] :smile:\n"


@pytest.mark.parametrize(("encoding", "written"), [("utf-8", b"\xe9 \xe2\x80\x93"), ("ascii", b"? ?")])
def test_streams_take_any_text(monkeypatch, encoding, written):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    output.prepare_streams()
    print("\udce9 –", end="", flush=True)
    assert raw.getvalue() == written


def test_tables_in_a_file_have_no_blanks_at_the_ends_of_lines(capsys):
    table = output.new_table("one", "two")
    table.add_row("a", "long enough")
    table.add_row("b", "c")
    output.print_parts(table)
    assert capsys.readouterr().out == "one  two\na    long enough\nb    c\n"


def test_a_path_at_home_is_written_as_people_write_it(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert output.shorten(Path("/home/somebody/.cache/x")) == "~/.cache/x"
    assert output.shorten(Path("/srv/x")) == "/srv/x"
