"""What was typed wrong, and what was probably meant.

It translates the complaints of the parser; it does not judge values.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import click

from unstill.errors import RequestError
from unstill.values import show

FILE_NAME = r".+\.(jpe?g|png|webp|avif|gif|tiff?|bmp|heic)"  # what people type in place of a command


def explain_mistake(error: click.ClickException) -> RequestError:
    """Turn a complaint of the parser into ours, with a hint."""
    context = getattr(error, "ctx", None) or click.Context(click.Command("unstill"), info_name="unstill")
    name = context.command_path
    usage = f"`{name} --help` says how it is used"
    if isinstance(error, click.NoSuchOption):
        near = _find_near(error.option_name, context)
        hint = f"did you mean {near}?" if near else f"`{name} --help` lists the options"
        return RequestError(f"There is no option {show(error.option_name)[1:-1]} of `{name}`", hint=hint)
    if isinstance(error, click.exceptions.NoSuchCommand):
        return _explain_command(error.command_name, context)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        option = f"{min(error.param.opts, key=len)} " if isinstance(error.param, click.Option) else "a "
        return RequestError(f"`{name}` needs {option}{error.param.make_metavar(context)}", hint=usage)
    return RequestError(" ".join(error.format_message().split()), hint=usage)


def _find_near(option: str, context: click.Context) -> str | None:
    """Find the option that is nearest, one that the help shows if possible."""
    for is_hidden in (False, True):
        some = (part for part in context.command.get_params(context) if isinstance(part, click.Option))
        names = [name for part in some if part.hidden is is_hidden for name in (*part.opts, *part.secondary_opts)]
        if near := difflib.get_close_matches(option, names, n=1, cutoff=0.65):
            return near[0]
    return None


def _explain_command(word: str, context: click.Context) -> RequestError:
    commands = context.command.list_commands(context) if isinstance(context.command, click.Group) else []
    if re.fullmatch(FILE_NAME, word, re.IGNORECASE) or _is_file(word):
        hint = f"unstill animate {word}" if len(word) < 60 and word.isprintable() else "unstill animate PICTURE"
    elif near := difflib.get_close_matches(word, commands, n=1):
        hint = f"did you mean `unstill {near[0]}`?"
    else:
        hint = f"there are {', '.join(commands)}"
    return RequestError(f"There is no command {show(word)}", hint=hint)


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):
        return False  # too long for a name, or with a NUL
