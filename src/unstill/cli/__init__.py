"""The command line: it parses and prints, nothing else. `main` runs it and turns what goes wrong into words.

    app        the commands, put together        options    every knob as an option
    run        one clip, from start to end       telling    what is said of it
    progress   the line that moves, and Ctrl-C   output     where words go, JSON
    config     the configuration file            help       how help reads

It does not know how clips are made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from unstill.errors import Cancelled, UnstillError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    from unstill.cli import help, output

    words = list(sys.argv[1:] if arguments is None else arguments)
    options = words[: words.index("--")] if "--" in words else words
    output.prepare_streams()
    try:
        code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        error: UnstillError = Cancelled("Stopped")
    except UnstillError as caught:
        error = caught
    except BrokenPipeError:
        output.silence_pipe(sys.stdout)
        return help.BROKEN_PIPE
    except Exception as caught:  # noqa: BLE001 - a traceback that reaches a user is our bug, so this is where the last one ends
        error = _own_up(caught)
    else:
        return code
    if "--debug" in options:
        import traceback

        traceback.print_exception(error.__cause__ if type(error) is UnstillError and error.__cause__ else error)
    return _say(error, as_json="--json" in options)


def _say(error: UnstillError, *, as_json: bool) -> int:
    from unstill.cli import output

    try:
        output.say_error(error, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        output.silence_pipe(sys.stdout)
    return error.exit_code


def _own_up(caught: Exception) -> UnstillError:
    """Make words of an error that nobody foresaw."""
    error = UnstillError(
        f"unstill itself failed: {type(caught).__name__}: {str(caught)[:500]}",
        hint="this is a fault of unstill; run it again with --debug and report what it prints",
    )
    error.__cause__ = caught
    return error


def _run(words: list[str]) -> int:
    import click

    from unstill.cli.app import app
    from unstill.cli.mistakes import explain_mistake

    if os.environ.get("_UNSTILL_COMPLETE"):
        app.main(args=words, prog_name="unstill")  # a shell asks what may come next; this exits
    try:
        with app.make_context("unstill", words) as context:
            app.invoke(context)
    except click.exceptions.Exit as left:
        return left.exit_code
    except click.Abort as left:
        raise Cancelled("Stopped") from left
    except click.ClickException as error:
        raise explain_mistake(error) from error
    return 0
