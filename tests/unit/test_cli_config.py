"""cli/config.py: a file that sets knobs, below what is given."""

import json
import tomllib

import pytest

from unstill.cli import main
from unstill.cli.config import find_config, merge, read_config
from unstill.errors import RequestError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A configuration folder of our own."""
    monkeypatch.delenv("UNSTILL_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def write(tmp_path, monkeypatch):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setenv("UNSTILL_CONFIG", str(path))
        return path

    return write


def test_without_a_file_nothing_is_set(place):
    assert find_config() == place / "unstill" / "config.toml"
    assert read_config() == {}


def test_the_file_in_the_users_folder_is_read(place):
    (place / "unstill").mkdir()
    (place / "unstill" / "config.toml").write_text("[animate]\nmotion = 150\n")
    assert read_config() == {"motion": 150}


def test_knobs_are_read_as_toml_writes_them_and_by_other_tools_names(write):
    write('[animate]\nmotion_bucket_id = 1\nplay-fps = 12.5\nping_pong = true\nsize = [576, 1024]\nmax_bytes = "5MB"\n')
    assert read_config() == {"motion": 1, "play_fps": 12.5, "loop": "ping-pong", "size": "576x1024", "max_bytes": 5_000_000}


@pytest.mark.parametrize(
    ("text", "message"),
    [("[animate]\nmotoin = 3\n", "'motoin' is not a knob; did you mean motion?"), ("[animate]\nmotion = 300\n", "motion must be"),
     ("motion = 3\n", "'motion' stands above the first table"), ("[animat]\nmotion = 3\n", r"did you mean \[animate\]\?"),
     ("[serve]\nport = 3\n", r"\[serve\] is not a table of this file; there is \[animate\]"),
     ("animate = 3\n", "animate must be a table"), ("[animate]\nmotion = nan\n", "motion must be a whole number"),
     ("[animate]\nmotion = 1\nmotion_bucket_id = 2\n", "motion is given twice")],
)  # fmt: skip
def test_what_cannot_be_meant_is_an_error_that_names_the_file(write, text, message):
    path = write(text)
    with pytest.raises(RequestError, match=message) as caught:
        read_config()
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)


def test_all_problems_of_a_file_are_reported_at_once(write):
    write("x = 1\n[animat]\n[animate]\nfps = 0\nsteps = 0\n")
    with pytest.raises(RequestError) as caught:
        read_config()
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [("[animate]\nmotion = \n", "line 2"), (b"[animate]\nmodel = '\xff'\n", "not a text in UTF-8: byte 19 is 0xff")],
)
def test_a_broken_file_is_named_with_the_place(write, text, message):
    path = write(text)
    with pytest.raises(RequestError, match=message) as caught:
        read_config()
    assert str(path) in caught.value.message


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("UNSTILL_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(RequestError, match=r"none\.toml cannot be read: No such file"):
        read_config()


@pytest.mark.parametrize(
    ("config", "given", "merged"),
    [({"motion": 1, "fps": 5}, {"motion": "2"}, {"motion": "2", "fps": 5}),
     ({"motion": 1}, {"motion_bucket_id": "2"}, {"motion_bucket_id": "2"}),
     ({"size": "64x64"}, {"width": "128", "height": "128"}, {"width": "128", "height": "128"}),
     ({"recipe": False}, {"recipe": True}, {"recipe": True})],
)  # fmt: skip
def test_what_is_given_wins_by_whichever_name(config, given, merged):
    assert merge(config, given) == merged


def test_the_command_shows_the_place_and_what_is_set(write, capsys):
    path = write('[animate]\nmotion = 150\nmodel = "svd"\nping_pong = true\n')
    assert main(["config"]) == 0
    assert capsys.readouterr().out == f'{path}\n  model = "svd"\n  motion = 150\n  loop = "ping-pong"\n'


@pytest.mark.parametrize("model", ["C:\\models\\svd", 'my "best" svd', "tab\tand\x7f", "zoë 🎞"])
def test_what_the_command_shows_can_be_written_into_a_file(model, write, capsys):
    write("[animate]\nmodel = " + json.dumps(model, ensure_ascii=False).replace("\x7f", "\\u007f") + "\nplay_fps = 12.5\n")
    assert main(["config"]) == 0
    shown = capsys.readouterr().out.partition("\n")[2]
    assert tomllib.loads(shown) == {"model": model, "play_fps": 12.5}


def test_the_command_gives_json(place, capsys):
    assert main(["config", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"path": str(place / "unstill" / "config.toml"), "exists": False, "knobs": {}}


def test_the_command_says_what_a_file_would_look_like(capsys):
    assert main(["config"]) == 0
    out = capsys.readouterr().out
    assert "not there, which is fine" in out
    assert "[animate]" in out
