"""Showing how a run comes along, and stopping it: one line on a terminal, nothing elsewhere.

It does not know what runs.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Line
from rich.table import Column
from rich.text import Text

from unstill.artifacts import Progress
from unstill.errors import Cancelled

if TYPE_CHECKING:
    from unstill.catalog.pull import PullProgress

STAGES = {
    "prepare": ("Reading the picture", "part"),
    "load": ("Loading the model", "part"),
    "sample": ("Sampling", "step"),
    "decode": ("Decoding", "frame"),
    "check": ("Checking", "frame"),
    "write": ("Writing", "frame"),
    "batch": ("Making clips", "clip"),
}
CLEAR = "\r\x1b[2K"  # to the start of the line, and clear all of it
WIDE = 66  # columns that a line with bar, rate, time left and time taken needs
HIGH = 24  # rows that a picture and the line need below the command
REDRAW_S = 0.1  # as often as rich draws by itself
PICTURE_S = 0.25  # between two pictures of the clip: drawing one takes 10 ms, and a step's a tenth of a second


class Stop:
    """Ctrl-C: the first asks the run to end after its current step, the second ends it at once. SIGTERM asks for it too.

    It takes effect inside `with`, once `arm` was called: before the run there is nothing to wait for.
    """

    def __init__(self, *, is_line_shown: bool = False) -> None:
        self.asked = False
        self._before_words = CLEAR if is_line_shown else "\n"
        self._before: dict[int, signal._HANDLER] = {}
        self._reached = "at the start"

    def arm(self) -> None:
        """Take over both; only the main thread may. Whoever starts us in the background has Ctrl-C ignored: so it stays."""
        if threading.current_thread() is not threading.main_thread() or self._before:
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._hear)

    def check(self, progress: Progress) -> None:
        """End the run if that was asked for."""
        stage, unit = STAGES.get(progress.stage, (progress.stage, "part"))
        if progress.done and progress.total > 1:
            self._reached = f"after {unit} {progress.done} of {progress.total}"
        if self.asked:
            raise Cancelled(f"Stopped {self._reached}; nothing was written")
        if not progress.done:
            self._reached = f"after: {stage.lower()}"  # told when it begins, and true when it is asked for

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.asked:
            return  # whoever sends SIGTERM twice has SIGKILL too
        self.asked = True
        again = " Ctrl-C again stops at once." if number == signal.SIGINT else ""
        # Printing through Python's buffers from a signal handler may meet a print that is under way.
        os.write(2, f"{self._before_words}Stopping after the current step.{again}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


def can_draw(console: Console) -> bool:
    """Return whether a picture fits on a terminal: enough colours, and room below the command."""
    return console.color_system == "truecolor" and console.width >= WIDE and console.height >= HIGH


def show_pace(pace_s: float, left_s: float, unit: str, *, is_wide: bool) -> str:
    """Write how fast a stage goes and how long it still takes."""
    rate = f"{pace_s:.1f} s/{unit}" if pace_s >= 1 else f"{1 / pace_s:.1f} {unit}s/s"
    return f"{rate}  {show_clock(left_s)} left" if is_wide else f"{show_clock(left_s)} left"


def show_clock(seconds: float) -> str:
    """Write minutes and seconds as a clock does."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Pace(ProgressColumn):
    """How fast the stage goes and how long it still takes; both are known from its second step on."""

    max_refresh = None

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._is_wide = console.width >= WIDE

    def render(self, task: Task) -> Text:
        """Write the rate and the time left."""
        pace_s, since = task.fields["pace_s"], task.fields["since"]
        if pace_s is None or task.total is None:
            return Text("")
        left_s = max(0.0, (task.total - task.completed) * pace_s - (time.monotonic() - since))
        return Text(show_pace(pace_s, left_s, task.fields["unit"], is_wide=self._is_wide), style="dim")


class Taken(ProgressColumn):
    """How long it has taken so far."""

    def render(self, task: Task) -> Text:
        """Write the time."""
        return Text(show_clock(task.elapsed or 0), style="dim")


class LineUnderPicture(Line):
    """The line, and over it a picture of the clip if there is one."""

    picture: RenderableType | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the picture and the line."""
        if self.picture is not None:
            yield self.picture
        yield from super().get_renderables()


class Display:
    """The line that shows the stage, its steps, their rate, the time left and the time taken."""

    def __init__(self, *, is_shown: bool, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        wide = console.width >= WIDE
        self._line = LineUnderPicture(
            *([SpinnerColumn(finished_text=" ")] if wide else []),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TextColumn("{task.fields[count]}"),
            Pace(console),
            Taken(),
            console=console,
            transient=True,
            expand=True,
            refresh_per_second=4 if can_draw(console) else 10,  # 20 KB each time
            disable=not is_shown or not console.is_terminal or console.is_dumb_terminal,
        )
        self._task: TaskID = self._line.add_task("Starting", total=None, count="", pace_s=None, since=0.0, unit="")
        self._stage = ""
        self._drawn = self._pictured = 0.0
        self._draws = self.is_shown and can_draw(console)
        self._first = (0, 0.0)  # how far the stage was when its first step was done, and when that was

    def __call__(self, progress: Progress) -> None:
        """Show a step."""
        now = time.monotonic()
        self._show_picture(progress, now)
        is_due = progress.stage != self._stage or now - self._drawn > REDRAW_S
        if progress.stage != self._stage:
            self._stage, self._first = progress.stage, (0, 0.0)
        if progress.done and not self._first[0]:
            self._first = (progress.done, now)
        description, unit = STAGES.get(progress.stage, (progress.stage.capitalize(), "part"))
        counted = progress.total > 1
        steps = progress.done - self._first[0]
        self._line.update(
            self._task,
            description=f"{progress.of}: {description.lower()}" if progress.of else description,
            total=progress.total if counted else None,
            completed=progress.done,
            count=f"{progress.done}/{progress.total}" if counted else "",
            pace_s=(now - self._first[1]) / steps if counted and self._first[0] and steps > 0 else None,
            since=now,
            unit=unit,
            refresh=is_due
            and not self._draws,  # on a busy machine the thread that draws comes seldom, and a stage can be short
        )
        if is_due:
            self._drawn = now

    def _show_picture(self, progress: Progress, now: float) -> None:
        """Show what is there of the clip, now and then."""
        if not self._draws or now - self._pictured < PICTURE_S or (progress.step is None and progress.frame is None):
            return
        from unstill.cli.preview import draw, find_frame  # numpy and Pillow, which are there once there are frames

        if (frame := find_frame(progress)) is not None:
            self._line.picture, self._pictured = draw(frame), time.monotonic()

    @property
    def is_shown(self) -> bool:
        """Say whether there is a line to be seen, on a terminal that can clear one."""
        return not self._line.disable and not self._line.console.legacy_windows

    def refresh(self) -> None:
        """Draw the line now; it draws itself ten times a second."""
        self._line.refresh()

    def interrupt(self, work: Callable[[], object]) -> None:
        """Take the line away while something else is printed."""
        self._line.stop()
        work()
        self._line.start()

    def __enter__(self) -> Self:
        self._line.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._line.stop()


class Transfer:
    """The line that shows a download: how much, how fast, and how long it still takes."""

    def __init__(self, *, is_shown: bool, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._line = Line(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            DownloadColumn(),
            *([TransferSpeedColumn()] if console.width >= WIDE else []),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            expand=True,
            disable=not is_shown or not console.is_terminal or console.is_dumb_terminal,
        )
        self._task = self._line.add_task("Fetching", total=None)

    def __call__(self, progress: PullProgress) -> None:
        """Show how far it is."""
        verb = {"verify": "Checking", "wait": "Waiting for another pull"}.get(progress.stage, "Fetching")
        self._line.update(self._task, description=verb, completed=progress.done_bytes, total=progress.total_bytes)

    def __enter__(self) -> Self:
        self._line.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._line.stop()
