"""cli/progress.py: a line that moves, and two ways to stop."""

import io
import signal

import pytest
import torch
from rich.console import Console

from unstill.artifacts import Progress
from unstill.cli.progress import Display, Stop, show_pace
from unstill.errors import Cancelled


def open_terminal(width=80):
    """A terminal that keeps what it is sent."""
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def test_the_first_ctrl_c_ends_the_run_at_the_next_step(capfd):
    with Stop() as stop:
        stop.arm()
        stop.check(Progress("sample", 3, 25))
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Cancelled, match="Stopped after step 4 of 25; nothing was written"):
            stop.check(Progress("sample", 4, 25))
    assert "Ctrl-C again stops at once" in capfd.readouterr().err


@pytest.mark.parametrize(("is_line_shown", "start"), [(True, "\r\x1b[2KStopping"), (False, "\nStopping")])
def test_the_words_take_the_place_of_the_line_where_there_is_one(is_line_shown, start, capfd):
    with Stop(is_line_shown=is_line_shown) as stop:
        stop.arm()
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err.startswith(start)


def test_a_line_is_shown_on_terminals_that_can_and_unless_quiet():
    assert Display(is_shown=True, console=open_terminal()).is_shown
    assert not Display(is_shown=False, console=open_terminal()).is_shown
    assert not Display(is_shown=True, console=Console(file=io.StringIO())).is_shown


def test_the_picture_is_drawn_over_the_line_where_a_terminal_can_show_it():
    """The upper half of a frame red, the lower blue: characters of these colours."""
    frame_CHW = torch.zeros(3, 72, 128)
    frame_CHW[0, :36], frame_CHW[2, 36:] = 1, 1
    for width, height, colours, is_drawn in ((80, 30, "truecolor", True), (80, 12, "truecolor", False), (80, 30, None, False)):
        console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=colours)
        with Display(is_shown=True, console=console) as display:
            display(Progress("decode", 3, 25, frame=frame_CHW))
        shown = console.file.getvalue()
        assert ("38;2;255;0;0" in shown and "38;2;0;0;255" in shown) == is_drawn


@pytest.mark.parametrize(
    ("last", "now", "said"),
    [(("load", 0, 1), ("sample", 0, 1), "after: loading the model"), (("sample", 0, 1), ("sample", 1, 25), "after step 1 of 25"),
     (("sample", 25, 25), ("decode", 0, 1), "after step 25 of 25"), (("decode", 8, 14), ("decode", 14, 14), "after frame 14 of 14")],
)  # fmt: skip
def test_it_says_how_far_the_run_had_come(last, now, said, capfd):
    with Stop() as stop:
        stop.arm()
        stop.check(Progress(*last))
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Cancelled, match=f"Stopped {said}; nothing"):
            stop.check(Progress(*now))


def test_the_second_ctrl_c_ends_it_at_once(capfd):
    with Stop() as stop, pytest.raises(KeyboardInterrupt):
        stop.arm()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_sigterm_ends_the_run_at_the_next_step_however_often_it_comes(capfd):
    before = signal.getsignal(signal.SIGTERM)
    with Stop() as stop:
        stop.arm()
        stop.check(Progress("sample", 3, 25))
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Cancelled, match="Stopped after step 4 of 25"):
            stop.check(Progress("sample", 4, 25))
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == "\nStopping after the current step.\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_that_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Stop() as stop:
        stop.arm()
        signal.raise_signal(signal.SIGINT)
        assert not stop.asked


def test_before_it_is_armed_ctrl_c_is_pythons():
    with Stop(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_is_given_back():
    before = signal.getsignal(signal.SIGINT)
    with Stop() as stop:
        stop.arm()
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(
    ("pace_s", "left_s", "text"),
    [(0.25, 5, "4.0 steps/s  0:05 left"), (2.5, 62.4, "2.5 s/step  1:02 left"), (60, 4000, "60.0 s/step  66:40 left")],
)
def test_pace_is_steps_a_second_or_seconds_a_step(pace_s, left_s, text):
    assert show_pace(pace_s, left_s, "step", is_wide=True) == text


def test_a_narrow_line_keeps_the_time_left():
    assert show_pace(0.25, 5, "step", is_wide=False) == "0:05 left"


def test_the_line_shows_stage_steps_and_pace():
    console = open_terminal()
    with Display(is_shown=True, console=console) as display:
        for done in range(4):
            display(Progress("sample", done, 25))
            display.refresh()
    shown = console.file.getvalue()
    assert "Sampling" in shown
    assert "3/25" in shown
    assert "left" in shown


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_line_fits_its_terminal(width):
    console = open_terminal(width)
    with Display(is_shown=True, console=console) as display:
        for done in range(1, 25):
            display(Progress("sample", done, 25))
            display.refresh()
    lines = console.file.getvalue().replace("\x1b[2K", "").replace("\r", "\n").split("\n")
    assert max(len(line.split("\x1b")[0]) for line in lines) <= width
    assert "24/25" in console.file.getvalue()


def test_a_stage_without_steps_has_no_count():
    console = open_terminal()
    with Display(is_shown=True, console=console) as display:
        display(Progress("load", 0, 1))
        display.refresh()
    assert "Loading the model" in console.file.getvalue()
    assert "0/1" not in console.file.getvalue()


def test_in_a_pipe_nothing_is_shown(capsys):
    with Display(is_shown=True) as display:
        display(Progress("sample", 1, 25))
    assert capsys.readouterr().err == ""


def test_quiet_shows_nothing_on_a_terminal_either():
    console = open_terminal()
    with Display(is_shown=False, console=console) as display:
        display(Progress("sample", 1, 25))
    assert console.file.getvalue() == ""


def test_the_line_steps_aside_for_words():
    console = open_terminal()
    with Display(is_shown=True, console=console) as display:
        display(Progress("load", 0, 1))
        display.interrupt(lambda: console.print("a warning"))
        display(Progress("load", 1, 1))
    assert "\na warning\n" in console.file.getvalue().replace("\x1b[2K", "\n").replace("\r", "")
