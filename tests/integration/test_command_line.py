"""The command line from end to end, on a miniature model: files, pipes, terminals, Ctrl-C, a hub on loopback."""

import codecs
import errno
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from PIL import Image

from hub import LoopbackHub
from unstill.cli import main
from unstill.cli.progress import STAGES
from unstill.cli.run import Target, run
from unstill.cli.telling import Manner
from unstill.formats.probe import probe
from unstill.request import Request

SVD = "stabilityai/stable-video-diffusion-img2vid"
SMALL = ["--size", "128x64", "--frames", "4", "--steps", "2"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder of our own with a picture in it, no configuration, an empty cache."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("UNSTILL_CONFIG", "HF_TOKEN", "HF_HUB_OFFLINE", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    paint(folder / "photo.png", 3)
    monkeypatch.chdir(folder)
    return folder


def paint(path, seed):
    """Write a picture that is not flat."""
    Image.frombytes("RGB", (96, 48), bytes((seed * x * x + x // 7) % 256 for x in range(96 * 48 * 3))).save(path)


@pytest.fixture
def animate(miniature):
    """Run `unstill animate` in this process."""

    def run(*words):
        return main(["animate", "photo.png", "--model", str(miniature), "--seed", "1", *SMALL, *words])

    return run


@pytest.fixture
def start(miniature):
    """Start `unstill` as a process of its own."""
    processes = []

    def start(*words, **more):
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | more
        processes.append(subprocess.Popen([sys.executable, "-m", "unstill", *words], **streams))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


class Terminal:
    """A terminal that a process is started in."""

    def __init__(self, words, columns=80, **more):
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.seen = self.said = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(sys.executable, [sys.executable, "-m", "unstill", *words], {**os.environ, "TERM": "xterm", **more})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def read_until(self, pattern, timeout_s=90):
        """Read until a text was seen; the last part of it is kept in `seen`."""
        end = time.monotonic() + timeout_s
        while not re.search(pattern, self.seen):
            assert time.monotonic() < end, self.seen
            if not self._read():
                raise AssertionError(f"ended without {pattern}: {self.seen}")

    def _read(self):
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            assert error.errno == errno.EIO
            return False
        self.seen += self.decoder.decode(data)  # a read may end within a character
        self.said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen).replace("\r\n", "\n")
        return bool(data)

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Read to the end and return the exit code."""
        while self._read():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def watch(words):
    """Run a command to its end; return what it said."""
    terminal = Terminal(words)
    terminal.end()
    return terminal.said


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_picture_becomes_a_clip_and_only_its_path_is_said(animate, place, capsys):
    assert animate() == 0
    assert capsys.readouterr().out == "photo.mp4\n"
    found = probe(place / "photo.mp4")
    assert (found.frames, str(found.size)) == (4, "128x64")
    assert list_names(place) == ["photo.mp4", "photo.png"]


def test_a_second_clip_takes_another_name(animate, place, capsys):
    assert animate() == 0
    first = (place / "photo.mp4").read_bytes()
    assert animate("--seed", "2") == 0
    assert capsys.readouterr().out == "photo.mp4\nphoto-2.mp4\n"
    assert (place / "photo.mp4").read_bytes() == first


def test_a_name_that_another_run_takes_while_this_one_writes_is_left_to_it(miniature, place, capsys):
    class Raced(Target):
        def choose(self, request):
            path = super().choose(request)
            if "3" not in path.name:
                path.write_text("theirs")
            return path

    request = Request(model=str(miniature), format="gif", size="128x64", frames=4, steps=2)
    assert run(request, Raced("photo.png"), Manner(quiet=True)).path == Path("photo-3.gif")
    assert list_names(place) == ["photo-2.gif", "photo-3.gif", "photo.gif", "photo.png"]
    assert {(place / name).read_text() for name in ("photo.gif", "photo-2.gif")} == {"theirs"}
    assert (place / "photo-3.gif").read_bytes().startswith(b"GIF89a")
    assert capsys.readouterr().out == "photo-3.gif\n"


def test_a_named_clip_replaces_what_was_there(animate, place):
    (place / "clip.gif").write_text("old")
    assert animate("-o", "clip.gif") == 0
    assert (place / "clip.gif").read_bytes().startswith(b"GIF89a")


def test_the_line_has_words_for_every_stage_that_is_run_and_no_other(animate, capsys):
    assert animate("--json") == 0
    of_a_batch = ["batch"]
    assert list(STAGES) == [*json.loads(capsys.readouterr().out)["report"]["stages_s"], *of_a_batch]


def test_json_tells_path_report_knobs_recipe_and_warnings(animate, capsys):
    assert animate("--json") == 0
    spoken = capsys.readouterr()
    answer = json.loads(spoken.out)
    assert answer["path"] == "photo.mp4"
    assert answer["knobs"]["seed"] == 1
    assert set(answer["report"]["stages_s"]) == {"prepare", "load", "sample", "decode", "check", "write"}
    assert answer["recipe"]["knobs"]["motion"] == 127
    assert any("2 steps are few" in warning for warning in answer["warnings"])
    assert spoken.err == ""


def test_warnings_come_before_the_run_and_once(animate, capsys):
    assert animate() == 0
    assert capsys.readouterr().err.count("warning: 2 steps are few") == 1


def test_what_a_format_cannot_hold_is_a_warning_and_no_python_warning(animate, capsys, recwarn):
    assert animate("-o", "clip.gif", "--play-fps", "60") == 0
    said = capsys.readouterr().err
    assert said.count("warning: GIF cannot play faster than 50 fps") == 1
    assert "UserWarning" not in said
    assert animate("-o", "clip.gif", "--play-fps", "60", "--json") == 0
    assert any("GIF cannot" in warning for warning in json.loads(capsys.readouterr().out)["warnings"])
    assert not recwarn.list


def test_stills_go_into_a_folder_of_their_own(animate, place, capsys):
    assert animate("--format", "png", "--loop", "ping-pong") == 0
    assert capsys.readouterr().out == "photo-frames\n"
    assert list_names(place / "photo-frames") == [f"{number:04d}.png" for number in range(1, 7)]


def test_quiet_says_the_path_alone(animate, capsys):
    assert animate("-q") == 0
    assert capsys.readouterr() == ("photo.mp4\n", "")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(animate, place, capsys):
    assert animate("--dry-run") == 0
    out = capsys.readouterr().out
    assert "128x64, 4 frames, 0.6 s at 7 fps" in out
    assert "photo.mp4" in out
    assert list_names(place) == ["photo.png"]


def test_a_dry_run_as_json_holds_the_plan(animate, capsys):
    assert animate("--dry-run", "--json", "-o", "x.gif") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["path"] == "x.gif"
    assert answer["plan"]["knobs"]["steps"] == 2
    assert answer["plan"]["device"] == "cpu"


@pytest.mark.parametrize(
    ("words", "said"),
    [(["-o", "nowhere/x.mp4"], "There is no folder"), (["-o", "x.xyz"], "does not tell its format"), (["-o", "photo.png"], "error: "),
     (["-o", "x.gif", "--codec", "vp9"], "gif cannot hold vp9"), (["-o", "-", "--format", "gif", "--codec", "vp9"], "gif cannot hold vp9"),
     (["--format", "gif", "--codec", "av1"], "gif cannot hold av1")],
)  # fmt: skip
def test_a_dry_run_refuses_a_place_that_a_run_refuses(words, said, animate, place, capsys):
    codes = animate("--dry-run", *words), animate(*words)
    spoken = capsys.readouterr()
    assert codes == (8, 8)
    assert spoken.err.count(said) == 2
    assert spoken.out == ""
    assert list_names(place) == ["photo.png"]


def test_a_dry_run_refuses_a_name_of_its_own_that_cannot_be(miniature, place, capsys):
    picture = "x" * 251 + ".png"  # file systems take 255 bytes, and .webp has one more than .png
    (place / "photo.png").rename(place / picture)
    assert main(["animate", picture, "--model", str(miniature), "--format", "webp", "--dry-run"]) == 8
    assert "Nothing can be written to" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_clip_never_replaces_the_picture_it_is_made_of(words, miniature, place, capsys):
    (place / "photo.png").rename(place / "photo.gif")
    (place / "link.gif").symlink_to("photo.gif")
    picture = (place / "photo.gif").read_bytes()
    for out in ("photo.gif", "link.gif", str(place / "photo.gif")):
        assert main(["animate", "photo.gif", "--model", str(miniature), "-o", out, *words]) == 8
        assert "replace the picture itself" in capsys.readouterr().err
    assert (place / "photo.gif").read_bytes() == picture


def test_the_configuration_counts_and_what_is_given_wins(animate, place, capsys):
    config = place.parent / "config" / "unstill" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[animate]\nmotion = 42\nfps = 9\n")
    assert animate("--dry-run", "--motion-bucket-id", "43", "--json") == 0
    knobs = json.loads(capsys.readouterr().out)["plan"]["knobs"]
    assert (knobs["motion"], knobs["fps"]) == (43, 9)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [(["animate", "none.png"], 3, "error: "), (["animate", "text.png"], 3, "error: "), (["animate", "."], 3, "error: "),
     (["animate", "photo.png", "--model", "svd"], 4, "unstill pull svd"), (["animate", "photo.png", "--device", "cuda"], 6, "cuda"),
     (["animate", "photo.png", "-o", "no/such/clip.mp4"], 8, "error: "), (["animate", "photo.png", "-o", "clip.xyz"], None, "error: "),
     (["inspect", "none.mp4"], None, "error: "), (["inspect", "text.mp4"], None, "error: "), (["again", "photo.png", "photo.png"], 9, "no recipe")],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_leaves_no_file(words, code, said, miniature, place, capsys):
    for name in ("text.png", "text.mp4"):
        (place / name).write_text("this is neither a picture nor a clip")
    if words[0] == "animate" and "--model" not in words:
        words = [*words, "--model", str(miniature)]
    got = main(words)
    spoken = capsys.readouterr()
    assert got == code if code else got in (2, 3, 8, 9)
    assert said in spoken.err
    assert "unstill itself failed" not in spoken.err
    assert spoken.out == ""
    assert list_names(place) == ["photo.png", "text.mp4", "text.png"]


def test_a_clip_tells_how_it_was_made(animate, capsys):
    assert animate("-q", "--motion", "99") == 0
    assert main(["inspect", "photo.mp4"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^motion +99$", out, re.MULTILINE)
    assert "4 frames, 128x64" in out
    assert main(["inspect", "photo.mp4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["knobs"]["motion"] == 99


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.webp"])
def test_a_clip_is_repeated_by_its_recipe(animate, name, miniature, place, capsys):
    assert animate("-q", "-o", name) == 0
    assert main(["again", name, "photo.png", "--model", str(miniature), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert Path(answer["path"]).suffix == Path(name).suffix
    assert (place / answer["path"]).read_bytes() == (place / name).read_bytes()
    assert not any("recipe" in warning for warning in answer["warnings"])


@pytest.mark.parametrize("picture", ["harbour.v2.png", "photo.png", ".hidden"])
@pytest.mark.parametrize("out", [["--format", "png"], ["-o", "frames"], ["-o", "x.apng"]])
def test_stills_are_repeated_whatever_their_picture_is_called(picture, out, miniature, place, capsys):
    (place / "photo.png").rename(place / picture)
    words = [picture, "--model", str(miniature)]
    assert main(["animate", *words, *SMALL, *out, "-q"]) == 0
    made = capsys.readouterr().out.strip()
    for more in ([], ["--dry-run"], ["--format", "gif"]):
        assert main(["again", made, *words, "-q", *more]) == 0
    again = capsys.readouterr().out.splitlines()[0]
    assert probe(place / again).format == probe(place / made).format
    assert probe(place / again).frames == 4


def test_another_picture_is_told_of_and_knobs_can_be_changed(animate, miniature, place, capsys):
    paint(place / "other.png", 5)
    assert animate("-q") == 0
    assert main(["again", "photo.mp4", "other.png", "--model", str(miniature), "--motion", "7", "-o", "x.mp4"]) == 0
    assert "not the picture" in capsys.readouterr().err
    assert probe(place / "x.mp4").recipe["knobs"]["motion"] == 7


def test_other_weights_under_the_same_name_are_told_of(animate, miniature, tmp_path, capsys):
    assert animate("-q") == 0
    other = shutil.copytree(miniature, tmp_path / "other" / miniature.name)
    unet = next((other / "unet").glob("*.safetensors"))
    unet.write_bytes(unet.read_bytes()[:-1] + b"\1")
    capsys.readouterr()
    assert main(["again", "photo.mp4", "photo.png", "--model", str(miniature)]) == 0
    assert "the weights" not in capsys.readouterr().err
    assert main(["again", "photo.mp4", "photo.png", "--model", str(other)]) == 0
    assert f"warning: the weights are not those of the recipe in unet/{unet.name}: expect another" in capsys.readouterr().err


def test_a_clip_without_a_recipe_cannot_be_repeated(animate, capsys):
    assert animate("-q", "--no-recipe") == 0
    assert main(["again", "photo.mp4", "photo.png"]) == 9
    assert main(["inspect", "photo.mp4"]) == 0
    assert "none: made with --no-recipe" in capsys.readouterr().out


def test_a_picture_comes_in_and_a_clip_goes_out_through_pipes(start, miniature, place):
    process = start("animate", "-", "-o", "-", "--format", "gif", "--model", str(miniature), "--seed", "1", *SMALL)
    out, err = process.communicate((place / "photo.png").read_bytes(), timeout=120)
    assert process.returncode == 0, err
    assert out.startswith(b"GIF89a")
    assert out.endswith(b";")
    *warnings, moves = err.decode().splitlines()
    assert {line.split(":")[0] for line in warnings} <= {"warning"}
    assert "px/frame" in moves
    assert list_names(place) == ["photo.png"]


def test_a_name_that_is_not_unicode_goes_through(start, miniature, place):
    name = os.fsdecode(b"caf\xe9.png")
    (place / "photo.png").rename(place / name)
    process = start("animate", name, "--model", str(miniature), *SMALL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out == b"caf\xe9.mp4\n"


def test_a_reader_that_leaves_is_no_reason_to_complain(start):
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("models", stdout=write_end)
    os.close(write_end)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


def test_a_terminal_shows_the_steps_and_what_was_made(miniature, place):
    words = ["animate", "photo.png", "--model", str(miniature), "--size", "128x64", "--frames", "4", "--steps", "20"]
    terminal = Terminal(words, columns=70)
    terminal.read_until(r"Sampling")
    terminal.read_until(r"/20")
    assert terminal.end() == 0
    said = terminal.said
    assert re.search(r"^.*photo\.mp4$", said, re.MULTILINE)
    assert re.search(r"4 frames, 0\.6 s at 7 fps, 128x64, \d+(\.\d)? kB, seed \d+", said)
    assert re.search(r"\d s in all: ", said)


def test_without_colour_a_terminal_gets_none(miniature):
    terminal = Terminal(["animate", "photo.png", "--model", str(miniature), *SMALL], NO_COLOR="1")
    assert terminal.end() == 0
    assert "warning: 2 steps" in terminal.said
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.seen)


def test_ctrl_c_stops_after_the_step_with_130_and_no_file(miniature, place):
    words = ["animate", "photo.png", "--model", str(miniature), "--size", "256x256", "--frames", "8", "--steps", "200"]
    terminal = Terminal(words)
    terminal.read_until(r"\d/200")
    terminal.type("\x03")
    terminal.read_until(r"Ctrl-C again stops at once")
    assert terminal.end() == 130
    assert re.search(r"/200[^\n]*\r\x1b\[2KStopping after", terminal.seen)  # the line is taken away, not left above
    stopped = re.search(r"error: Stopped after step (\d+) of 200; nothing was written", terminal.said)
    assert f"hint: the same command goes on after step {stopped[1]}" in terminal.said
    assert list_names(place) == ["photo.png"]
    assert f"step {stopped[1]} of 200" in watch(["resume", "--list"])


def test_resume_goes_on_with_the_last_run(miniature, place):
    words = [
        "animate",
        "photo.png",
        "-o",
        "clip.gif",
        "--model",
        str(miniature),
        "--size",
        "128x64",
        "--frames",
        "4",
        "--steps",
        "40",
    ]
    terminal = Terminal(words)
    terminal.read_until(r"\d/40")
    terminal.type("\x03")
    assert terminal.end() == 130
    said = watch(["resume"])
    assert re.search(r"going on after step \d+ of 40", said)
    assert list_names(place) == ["clip.gif", "photo.png"]
    assert "there is nothing to go on with" in watch(["resume"])


def test_a_second_ctrl_c_stops_at_once(miniature, place):
    words = ["animate", "photo.png", "--model", str(miniature), "--size", "512x512", "--frames", "14", "--steps", "200"]
    terminal = Terminal(words)
    terminal.read_until(r"Sampling")
    terminal.type("\x03")
    terminal.read_until(r"Ctrl-C again")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.seen
    assert list_names(place) == ["photo.png"]


def test_a_signal_reaches_a_run_in_a_pipe_too(start, miniature, place):
    words = ["--size", "256x256", "--frames", "8", "--steps", "200"]
    process = start("animate", "photo.png", "--model", str(miniature), *words)
    assert process.stderr.readline().startswith(b"warning")  # said when the plan is known, right before loading
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"error: Stopped" in err
    assert list_names(place) == ["photo.png"]


@pytest.fixture
def hub(miniature, monkeypatch):
    """A hub on loopback that holds the miniature under a published name."""
    with LoopbackHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url())
        hub.add(
            SVD, miniature, card={"license": "other", "license_name": "our-terms", "license_link": "https://example.com/terms"}
        )
        yield hub


def test_a_model_is_fetched_listed_and_used(hub, start, place):
    process = start("pull", "svd")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert (Path(out.decode().strip()) / "model_index.json").is_file()
    for said in ("our-terms", "https://example.com/terms", "free at", "size", "every file checked"):
        assert said in err.decode()
    out, _ = start("models", "--json").communicate(timeout=60)
    row = next(row for row in json.loads(out)["models"] if row["name"] == "svd")
    assert (row["state"], row["licence"], row["variants"]) == ("complete", "our-terms", ["fp32"])
    process = start("animate", "photo.png", "--model", "svd", *SMALL)
    assert process.communicate(timeout=120)[0] == b"photo.mp4\n"


def test_fetching_again_fetches_nothing(hub, start):
    assert start("pull", "svd", "-q").wait(timeout=120) == 0
    process = start("pull", "svd", "--json")
    answer = json.loads(process.communicate(timeout=120)[0])
    assert answer["fetched_bytes"] == 0
    assert answer["licence"]["name"] == "our-terms"


def test_the_text_of_the_licence_is_pointed_at(hub, start):
    hub.repositories[SVD].files["LICENSE.md"] = b"our terms"
    process = start("pull", "svd")
    _, err = process.communicate(timeout=120)
    path = re.search(r"Its licence came with it: (.*LICENSE\.md)", err.decode())[1]
    assert Path(path).expanduser().read_text() == "our terms"
    answer = json.loads(start("pull", "svd", "--json").communicate(timeout=120)[0])
    assert Path(answer["licence_text"]).read_text() == "our terms"


def test_a_revision_can_be_fetched_and_is_named_so_that_it_is_the_one_used(hub, start):
    assert start("pull", "svd", "-q").wait(timeout=120) == 0
    held = hub.repositories[SVD]
    held.files["model_index.json"] += b"\n"
    held.commit = "f" * 40
    process = start("pull", "svd", "--revision", held.commit)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.decode().strip().endswith(held.commit)
    assert f"Next: unstill animate PICTURE --model {out.decode().strip()}" in err.decode()
    assert "Its licence" not in err.decode()


def test_a_revision_that_is_not_there_is_said(hub, start):
    process = start("pull", "svd", "--revision", "v9")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "no such revision" in err.decode()


def test_a_terminal_is_asked_before_gigabytes_come(hub, place):
    terminal = Terminal(["pull", "svd"])
    terminal.read_until(r"Fetch it\?")
    assert "our-terms" in terminal.seen
    terminal.type("n\n")
    assert terminal.end() == 130
    assert not list((place.parent / "cache").rglob("*.safetensors"))


def test_yes_is_not_asked(hub):
    terminal = Terminal(["pull", "svd", "--yes"])
    assert terminal.end() == 0
    assert "Fetch it?" not in terminal.seen


def test_a_gated_model_says_where_to_go(hub, start):
    hub.repositories[SVD].gated_for = frozenset({"hf_good"})
    process = start("pull", "svd")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert SVD in err.decode()
    assert "HF_TOKEN" in err.decode()


def test_an_unreachable_hub_is_a_download_error(start, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    process = start("pull", "svd", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 5
    assert json.loads(out)["error"]["retryable"] is True
    assert err == b""
