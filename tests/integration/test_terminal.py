"""The command line as a process: pipes, terminals, Ctrl-C and what is resumed after it. Most processes are forks."""

import os
import re
import signal
import subprocess
import sys

import pytest

from arms import Arm
from command_line import SMALL, list_names
from served import wait_until
from terminal import Terminal, watch

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("place")]
LONG = ["--size", "128x128", "--frames", "14", "--steps", "200"]


def test_a_picture_comes_in_and_a_clip_goes_out_through_pipes(miniature, place):
    """With a process that is nobody's fork."""
    words = ["animate", "-", "-o", "-", "--format", "gif", "--model", str(miniature), "--seed", "1", *SMALL]
    done = subprocess.run(
        [sys.executable, "-m", "unstill", *words], input=(place / "photo.png").read_bytes(), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"GIF89a")
    assert done.stdout.endswith(b";")
    *warnings, moves = done.stderr.decode().splitlines()
    assert {line.split(":")[0] for line in warnings} <= {"warning"}
    assert "px/frame" in moves
    assert list_names(place) == ["photo.png"]


def test_a_name_that_is_not_unicode_goes_through(forks, miniature, place):
    name = os.fsdecode(b"caf\xe9.png")
    (place / "photo.png").rename(place / name)
    done = forks.run(["animate", name, "--model", str(miniature), *SMALL])
    assert done.returncode == 0, done.stderr
    assert os.fsencode(done.stdout) == b"caf\xe9.mp4\n"


def test_a_reader_that_leaves_is_no_reason_to_complain():
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([sys.executable, "-m", "unstill", "models"], stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_terminal_shows_the_steps_and_what_was_made(forks, miniature, place):
    words = ["animate", "photo.png", "--model", str(miniature), "--size", "64x64", "--frames", "3", "--steps", "15"]
    terminal = Terminal(forks, words, columns=70)
    terminal.read_until(r"Sampling")
    terminal.read_until(r"/15")
    assert terminal.end() == 0
    said = terminal.said
    assert re.search(r"^.*photo\.mp4$", said, re.MULTILINE)
    assert re.search(r"3 frames, 0\.4 s at 7 fps, 64x64, \d+(\.\d)? kB, seed \d+", said)
    assert re.search(r"\d s in all: ", said)


def test_without_colour_a_terminal_gets_none(forks, miniature):
    terminal = Terminal(forks, ["animate", "photo.png", "--model", str(miniature), *SMALL], NO_COLOR="1")
    assert terminal.end() == 0
    assert "warning: 2 steps" in terminal.said
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.seen)


def test_ctrl_c_stops_after_the_step_with_130_and_no_file(forks, miniature, place):
    terminal = Terminal(forks, ["animate", "photo.png", "--model", str(miniature), *LONG])
    terminal.read_until(r"\d/200")
    terminal.type("\x03")
    terminal.read_until(r"Ctrl-C again stops at once")
    assert terminal.end() == 130
    assert re.search(r"/200[^\n]*\r\x1b\[2KStopping after", terminal.seen)  # the line is taken away, not left above
    stopped = re.search(r"error: Stopped after step (\d+) of 200; nothing was written", terminal.said)
    assert f"hint: the same command goes on after step {stopped[1]}" in terminal.said
    assert list_names(place) == ["photo.png"]
    assert f"step {stopped[1]} of 200" in watch(forks, ["resume", "--list"])


def test_resume_goes_on_with_the_last_run(forks, miniature, place):
    words = ["animate", "photo.png", "-o", "clip.gif", "--model", str(miniature), *SMALL[:4], "--steps", "4"]
    ctrl_c = Arm("unstill.runs.Run.offer", nth=2, act="interrupt")
    assert Terminal(forks, words, arms=[ctrl_c]).end() == 130
    assert re.search(r"going on after step 2 of 4", watch(forks, ["resume"]))
    assert list_names(place) == ["clip.gif", "photo.png"]
    assert "there is nothing to go on with" in watch(forks, ["resume"])


def test_a_second_ctrl_c_stops_at_once(forks, miniature, place):
    """The step does not end."""
    hangs = Arm("unstill.engine.reference.ReferenceEngine._run_unet", act="hang")
    terminal = Terminal(forks, ["animate", "photo.png", "--model", str(miniature), *SMALL], arms=[hangs])
    terminal.read_until(r"Sampling")
    terminal.type("\x03")
    terminal.read_until(r"Ctrl-C again")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.seen
    assert list_names(place) == ["photo.png"]


def test_a_signal_reaches_a_run_in_a_pipe_too(forks, miniature, place):
    said = place.parent / "said"
    with said.open("wb") as stderr:
        process = forks.start(
            "unstill", ["animate", "photo.png", "--model", str(miniature), *LONG], stderr=stderr, env=os.environ
        )
    wait_until(lambda: said.read_text().startswith("warning"), "what is said when the plan is known, right before loading")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert "error: Stopped" in said.read_text()
    assert list_names(place) == ["photo.png"]
