"""The bar that a script shows while it runs: on a terminal, on standard error, and nowhere else.

It does not know what it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

KNOWN = ("disable", "desc", "leave")  # of tqdm's arguments, which diffusers passes on


@contextmanager
def show_bar(text: str, total: int, config: Mapping[str, Any], *, is_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar; the value is a function that takes how much is done."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if is_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden, gone = bool(config.get("disable")) or not console.is_terminal, config.get("leave") is False
    with Progress(*columns, console=console, disable=hidden, transient=gone) as progress:
        task = progress.add_task(config.get("desc") or text, total=total)
        yield lambda done: progress.update(task, completed=done)
