"""What the command line promises: its help, its options, its exit codes, its answers to nonsense, and a quick start.

The texts are kept in snapshots/. After a change that is meant, write them anew and read the difference:

    UNSTILL_WRITE_SNAPSHOTS=1 python -m pytest tests/contract/test_help.py
"""

import copy
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from unstill import values
from unstill.cli import main
from unstill.cli.app import app
from unstill.cli.help import list_exit_codes
from unstill.cli.options import name_option
from unstill.errors import UnstillError
from unstill.request import ALIASES, FLAGS, KNOBS

SNAPSHOTS = Path(__file__).parent / "snapshots"
BENCH = Path(__file__).parents[2] / "bench" / "start_up.py"
HEAVY = ("torch", "numpy", "huggingface_hub", "PIL", "av", "rich")
HOSTILE = ["NaN", "inf", "-inf", "1e308", "-1", "true", "False", "", " ", "1:2:3", "x" * 5000, "\0", "\x1b[2J", "٣", "9" * 400]
BY_SNAPSHOT = ["unstill", *app.commands]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder and no configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UNSTILL_CONFIG", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def read_help(monkeypatch, capsys):
    """Read the help of a command as a file of 100 columns gets it."""

    def read(command: str, columns: int = 100) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")
        words = [] if command == "unstill" else [command]
        assert main([*words, "--help"]) == 0
        spoken = capsys.readouterr()
        assert spoken.err == ""
        return spoken.out

    return read


@pytest.mark.parametrize("command", BY_SNAPSHOT)
def test_help_is_as_it_was_read_last(command, read_help):
    path = SNAPSHOTS / f"{command}.txt"
    if os.environ.get("UNSTILL_WRITE_SNAPSHOTS"):
        path.write_text(read_help(command))
    assert read_help(command) == path.read_text(), "read the difference, then write it anew with UNSTILL_WRITE_SNAPSHOTS=1"


def test_the_option_for_help_does_not_depend_on_who_asked_first():
    for name, command in app.commands.items():
        alone = copy.copy(command)  # click keeps the option that it made first
        with alone.make_context(name, [], resilient_parsing=True) as context:
            assert context.command.get_params(context)[-1].opts == ["-h", "--help"]


def test_every_snapshot_is_of_a_command():
    assert {path.stem for path in SNAPSHOTS.iterdir()} == set(BY_SNAPSHOT)


@pytest.mark.parametrize("command", BY_SNAPSHOT)
@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_help_fits_its_terminal(command, columns, read_help):
    assert max(len(line) for line in read_help(command, columns).splitlines()) <= columns


@pytest.mark.parametrize("command", ["animate", "again", "explain"])
def test_every_knob_is_an_option(command, read_help):
    lines = [line.split()[0] for line in read_help(command).splitlines() if line.startswith("  --")]
    for name, knob in KNOBS.items():
        spelled = name_option(name)
        assert (spelled.replace("--", "--[no-]", 1) if knob.read is values.flag else spelled) in lines


def test_every_exit_code_is_documented(read_help):
    def list_classes(root):
        return [root, *(below for child in root.__subclasses__() for below in list_classes(child))]

    section = read_help("unstill").split("Exit codes\n")[1]
    shown = {int(line.split()[0]) for line in section.splitlines() if line.split()[0].isdigit()}
    assert {error.exit_code for error in list_classes(UnstillError)} <= shown == set(list_exit_codes())


def list_nonsense():
    """List every knob with every value that it must refuse."""
    for name, knob in KNOBS.items():
        for value in HOSTILE:
            if knob.read is values.flag:
                yield name, f"{name_option(name)}={value}"
                continue
            try:
                knob.read(value)
            except ValueError:
                yield name, f"{name_option(name)}={value}"


@pytest.mark.slow
def test_nonsense_is_refused_by_name_and_leaves_no_file(place, capsys):
    Image.new("RGB", (64, 64)).save(place / "photo.png")
    cases = list(list_nonsense())
    assert len(cases) > 300
    for name, word in cases:
        assert main(["animate", "photo.png", word, "-o", "clip.mp4"]) == 2, word
        said = capsys.readouterr()
        assert name in said.err or name_option(name) in said.err, word
        assert len(said.err) < 400
        assert "\x1b" not in said.err
        assert said.out == ""
    assert [path.name for path in place.iterdir()] == ["photo.png"]


@pytest.mark.parametrize("alias", [alias for alias in ALIASES if alias not in FLAGS])
def test_other_tools_names_are_judged_alike(alias, capsys):
    assert main(["animate", "photo.png", name_option(alias), "NaN"]) == 2
    said = capsys.readouterr().err
    assert ALIASES[alias] in said or alias in said


@pytest.mark.parametrize("value", ["NaN", "x" * 4096, "\x1b[2J", "../../etc", "a/b"])
def test_a_model_that_cannot_be_is_not_there(value, place, capsys):
    Image.new("RGB", (64, 64)).save(place / "photo.png")
    assert main(["animate", "photo.png", "--model", value]) == 4
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert [path.name for path in place.iterdir()] == ["photo.png"]


def test_nonsense_as_json_is_one_object(capsys):
    assert main(["animate", "photo.png", "--json", "--motion=NaN", "--fps=-1"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert [problem.split()[0] for problem in error["problems"]] == ["motion", "fps"]


ANSWERS = """
import sys
import unstill
unstill.Request(motion=1)
from unstill.cli import main
for words in %r:
    try:
        main(words)
    except SystemExit:
        pass
    print(sorted(set(%r) & sys.modules.keys()), words, file=sys.stderr)
"""


def test_answers_need_nothing_heavy():
    """In one process, one after the other: what the first imports is still there when the last has answered."""
    asked = [[*([] if command == "unstill" else [command]), "--help"] for command in BY_SNAPSHOT]
    asked += [["--version"], ["animate", "x", "--moton"]]
    code = ANSWERS % (asked, HEAVY)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *others, mistake = [line for line in ran.stderr.splitlines() if line.startswith("[")]
    assert [line.partition("] ")[0] for line in others] == ["["] * (len(asked) - 1), others
    assert mistake.startswith("['rich'] ['animate'"), "an error is printed by rich, and by nothing else"


def test_an_install_brings_few_packages_beside_torch():
    spec = importlib.util.spec_from_file_location("start_up", BENCH)
    start_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(start_up)
    own = start_up.list_own()
    assert {"rich", "pillow", "av"} <= set(own)
    assert len(own) <= start_up.MOST_DISTRIBUTIONS, own
