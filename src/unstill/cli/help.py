"""How help reads: plain lines in two columns, for any width, with and without colour.

It does not know the commands.
"""

from __future__ import annotations

import inspect
import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from unstill.errors import UnstillError

WIDEST = 100  # columns; longer lines are hard to follow
HELP_NAMES = ["-h", "--help"]
NARROW = 56  # columns; below this, an option and its help stand on lines of their own

BROKEN_PIPE = 141  # what a program ends with that the system stops for writing into a closed pipe: 128 + SIGPIPE

Row = tuple[str, str]


class Option(click.Option):
    """An option that stands in the help under a heading."""

    def __init__(self, *names: Any, group: str = "Options", **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.group = group


class Command(click.Command):
    """A command whose help reads as described above."""

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """Name the option that shows the help. click keeps what it names first, so the context may have no say in it."""
        return HELP_NAMES

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help; click calls this."""
        formatter.write(write_help(self, ctx))


class Program(Command, click.Group):
    """The program itself, with its commands, and with what its exit codes mean."""

    command_class = Command

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help; click calls this."""
        commands = [(name, first_paragraph(self.commands[name])) for name in self.list_commands(ctx)]
        codes = [(str(code), text) for code, text in list_exit_codes().items()]
        formatter.write(write_help(self, ctx, commands, codes))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands as they were put together, the ones people need first at the top."""
        return list(self.commands)


def write_help(command: click.Command, context: click.Context, commands: Sequence[Row] = (), codes: Sequence[Row] = ()) -> str:
    """Write the help of a command: usage, what it does, its commands, its options by heading, exit codes."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    paragraphs = [textwrap.fill(part, width) for part in inspect.cleandoc(command.help or "").split("\n\n")]
    sections: dict[str, list[Row]] = {"Commands": list(commands), "Options": []}
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            heading = getattr(parameter, "group", "Options")
            sections.setdefault(heading, []).append((_spell(parameter), parameter.help or ""))
    sections["Exit codes"] = list(codes)
    rows = [row for section in sections.values() for row in section]
    indent = 0 if width < NARROW else 4 + max(len(name) for name, _ in rows)
    parts = [_paint(title, bold=True) + "\n" + write_rows(part, width, indent) for title, part in sections.items() if part]
    return "\n\n".join([_write_usage(command, context, width), *paragraphs, *parts]) + "\n"


def first_paragraph(command: click.Command) -> str:
    """Give what a command does, in a sentence."""
    return " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())


def write_rows(rows: Iterable[Row], width: int, indent: int) -> str:
    """Write names beside what they mean, or above it where `indent` is 0."""
    return "\n".join(line for row in rows for line in _write_row(*row, width, indent))


def _write_row(name: str, meaning: str, width: int, indent: int) -> Iterator[str]:
    shown = "  " + _paint(name, fg="cyan")
    if indent == 0:
        yield shown
    room = width - (indent or 6)
    for number, part in enumerate(meaning.split("\n")):
        for line in textwrap.wrap(part, room, break_on_hyphens=False) or [""]:
            left = shown + " " * (indent - 2 - len(name)) if indent and shown else " " * (indent or 6)
            shown = ""
            yield (left + (_paint(line, dim=True) if number else line)).rstrip()


def list_exit_codes() -> dict[int, str]:
    """Say what each exit code means, from the tree of errors."""
    codes = {
        0: "Done.",
        1: "A fault in unstill, or an error without a number of its own.",
        BROKEN_PIPE: "The program that read the output has gone.",
    }
    waiting: list[type[UnstillError]] = [UnstillError]
    while waiting:
        error = waiting.pop(0)
        codes.setdefault(error.exit_code, (error.__doc__ or "").splitlines()[0])
        waiting.extend(error.__subclasses__())
    return dict(sorted(codes.items()))


def _write_usage(command: click.Command, context: click.Context, width: int) -> str:
    pieces = " ".join(command.collect_usage_pieces(context))
    lead = len(context.command_path) + 8
    return textwrap.fill(f"Usage: {context.command_path} {pieces}", width, subsequent_indent=" " * lead)


def _spell(option: click.Option) -> str:
    """Write an option as it is typed: `-o, --out FILE`, `--[no-]loop`."""
    spelled = ", ".join(sorted(option.opts, key=len))
    if option.secondary_opts:
        return spelled.replace("--", "--[no-]", 1)
    return f"{spelled} {option.metavar}" if option.metavar else spelled


def _paint(text: str, **style: Any) -> str:
    """Colour a text where colour is wanted: a pipe gets none, click sees to that."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, **style)
