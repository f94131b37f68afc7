"""cli/__init__.py and cli/mistakes.py: what was typed wrong is said in our words, and nothing ends in a traceback."""

import json
import sys

import pytest

from unstill.cli import config, main


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder and a configuration of our own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("UNSTILL_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [(["animate", "--moton", "1", "x"], "error: There is no option --moton of `unstill animate`\nhint: did you mean --motion?"),
     (["animate", "x", "--motion-bucket-d", "1"], "hint: did you mean --motion-bucket-id?"),
     (["animate", "x", "--no-ping-pog"], "hint: did you mean --no-ping-pong?"),
     (["animate", "x", "-Z"], "error: There is no option -Z of"), (["animate", "x", "--jsn"], "did you mean --json?"),
     (["animate", "--qqqqq", "x"], "hint: `unstill animate --help` lists the options"),
     (["amimate", "x"], "error: There is no command 'amimate'\nhint: did you mean `unstill animate`?"),
     (["qqqqq"], "hint: there are animate, batch, again, resume"), (["photo.JPG"], "hint: unstill animate photo.JPG"),
     (["\x1b[2J.png"], "There is no command '\\x1b[2J.png'\nhint: unstill animate PICTURE"), (["a\0b"], "There is no command 'a\\x00b'"),
     (["animate"], "error: `unstill animate` needs a PICTURE"), (["again", "x"], "error: `unstill again` needs a PICTURE"),
     (["batch", "photos"], "error: `unstill batch` needs -o FOLDER"),
     (["animate", "a", "b"], "error: Got unexpected extra argument"), (["animate", "x", "--motion"], "'--motion' requires an argument"),
     (["animate", "x", "--ping-pong=NaN"], "'--ping-pong' does not take a value"), (["models", "--json=1"], "does not take a value")],
)  # fmt: skip
def test_mistakes_are_named_with_what_was_probably_meant(words, said, capsys):
    assert main(words) == 2
    spoken = capsys.readouterr()
    assert said in spoken.err
    assert spoken.out == ""


def test_a_file_in_place_of_a_command_is_meant_to_be_animated(place, capsys):
    (place / "portrait").touch()
    assert main(["portrait"]) == 2
    assert "hint: unstill animate portrait" in capsys.readouterr().err


def test_mistakes_come_as_json_when_asked_for(capsys):
    assert main(["animate", "x", "--moton", "1", "--json"]) == 2
    spoken = capsys.readouterr()
    error = json.loads(spoken.out)["error"]
    assert (error["code"], error["hint"]) == ("bad_request", "did you mean --motion?")
    assert len(error["problems"]) == 1
    assert spoken.err == ""


def test_json_after_a_double_dash_is_a_name_and_no_option(capsys):
    assert main(["animate", "--moton", "1", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_every_bad_knob_is_reported_at_once(capsys):
    assert main(["animate", "x", "--motion", "300", "--fps", "fast", "--size", "1x1"]) == 2
    assert [line.split()[:2] for line in capsys.readouterr().err.splitlines()] == [
        ["error:", "motion"], ["error:", "fps"], ["error:", "size"],
    ]  # fmt: skip


def test_alone_it_says_how_to_begin(capsys):
    assert main([]) == 0
    assert "\n  unstill animate photo.jpg\n" in capsys.readouterr().out


def test_a_fault_of_ours_is_owned_in_two_lines_and_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(config, "read_config", lambda: 1 // 0)
    assert main(["config"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: unstill itself failed: ZeroDivisionError: integer division or modulo by zero"
    assert "--debug" in lines[1]
    assert len(lines) == 2


def test_debug_shows_the_traceback_of_the_fault_itself(monkeypatch, capsys):
    monkeypatch.setattr(config, "read_config", lambda: 1 // 0)
    assert main(["config", "--debug"]) == 1
    assert "test_cli_mistakes.py" in capsys.readouterr().err


def test_ctrl_c_anywhere_ends_with_130(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(config, "read_config", interrupt)
    assert main(["config"]) == 130
    assert capsys.readouterr().err == "error: Stopped\n"


def test_arguments_are_those_of_the_process_by_default(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["unstill", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("unstill 0.")
