"""How things are said: results on standard output, all else on standard error, JSON as one object.

It does not know any command.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from unstill.errors import RequestError, UnstillError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDTH_IN_FILES = 120  # columns of a table that goes into a file or a pipe


def prepare_streams() -> None:
    """Let any text be written: odd bytes of file names go out as they came, unknown letters as '?'."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # tests and notebooks put other objects there
        if reconfigure is not None:
            is_unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
            reconfigure(errors="surrogateescape" if is_unicode else "replace")


def open_console(*, error: bool = False) -> Console:
    """Open the terminal, or the file or pipe in its place."""
    import rich.console

    class Terminal(rich.console.Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # one place decides what a closed pipe means, and it is not rich

    console = Terminal(stderr=error, highlight=False, emoji=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Terminal(stderr=error, highlight=False, emoji=False, markup=False, width=WIDTH_IN_FILES)
    return console


def say(text: str, *, kind: str = "", style: str = "") -> None:
    """Say something on standard error, such as `warning: …`; on a terminal wrapped at words."""
    from rich.text import Text

    console = open_console(error=True)
    line = Text.assemble((kind, style), ": ", escape(text)) if kind else Text(escape(text), style=style)
    console.print(line, soft_wrap=not console.is_terminal)


def warn(*texts: str) -> None:
    """Say what to expect."""
    for text in texts:
        say(text, kind="warning", style="bold yellow")


def answer(text: str) -> None:
    """Write one line of the result; control characters are shown, not sent, to a terminal."""
    print(escape(text) if sys.stdout.isatty() else text)


def answer_json(value: object) -> None:
    """Write the result as one JSON object."""
    print(json.dumps(to_plain(value), indent=2, allow_nan=False))


def print_parts(*parts: RenderableType, error: bool = False) -> None:
    """Write tables and styled lines of the result, or of what is said beside it."""
    console = open_console(error=error)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    # Rich fills every cell with blanks, which nobody wants in a file.
    print("\n".join(line.rstrip() for line in capture.get().splitlines()), file=sys.stderr if error else sys.stdout)


def new_table(*headers: str) -> Table:
    """Make a table that reads well without lines and colours."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_header=any(headers))
    for number, header in enumerate(headers):
        table.add_column(header, overflow="fold", style="cyan" if number == 0 else None)
    return table


def say_error(error: UnstillError, *, as_json: bool) -> None:
    """Say what happened and what to try."""
    if as_json:
        answer_json({"error": error.to_dict()})
        return
    for problem in error.problems if isinstance(error, RequestError) else (error.message,):
        say(problem, kind="error", style="bold red")
    if error.hint:
        say(error.hint, kind="hint", style="bold cyan")


def escape(text: str) -> str:
    """Show control characters of a text instead of sending them to the terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in text
    )


def to_plain(value: object) -> Any:
    """Turn a value into what JSON can hold; numbers that are not finite become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(part) for name, part in vars(value).items()}
    if isinstance(value, dict):
        return {str(key): to_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def show_bytes(count: int | None) -> str:
    """Write a byte count for people."""
    if count is None:
        return "unknown"
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if size >= 99.95 or unit == "B" else f"{size:.1f} {unit}"


def show_seconds(seconds: float) -> str:
    """Write a time span for people."""
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "0 s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def show_ago(seconds: float) -> str:
    """Write for people how long ago something was; a clock that was set back makes it now."""
    for unit, length_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * length_s:
            return f"{int(seconds // length_s)} {unit} ago"
    return f"{int(seconds)} s ago" if seconds >= 1 else "now"


def silence_pipe(stream: IO[str]) -> None:
    """Send what is still to be written nowhere: the reader is gone, and Python would complain at exit."""
    target = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(target, stream.fileno())
    except (OSError, ValueError):
        return  # not a real file, so nothing is left to be flushed into a pipe
    finally:
        os.close(target)


def shorten(path: Path) -> str:
    """Write a path of the home folder as ~/…, as people know it."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)
