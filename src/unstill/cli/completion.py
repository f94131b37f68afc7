"""`unstill completion`: the script that lets a shell complete commands, options and their values."""

from __future__ import annotations

import os
from pathlib import Path

import click

from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.errors import RequestError

INSTALL = {
    "bash": "unstill completion bash > ~/.local/share/bash-completion/completions/unstill",
    "zsh": "unstill completion zsh > ~/.zfunc/_unstill   (and in ~/.zshrc: fpath+=~/.zfunc; autoload -Uz compinit; compinit)",
    "fish": "unstill completion fish > ~/.config/fish/completions/unstill.fish",
}


@click.command(cls=Command)
@click.argument("shell", required=False, metavar="[bash|zsh|fish]")
@options.debug
@click.pass_context
def completion(context: click.Context, shell: str | None, debug: bool) -> None:
    """Print the script that lets a shell complete what is typed.

    Without a name it is for the shell that $SHELL names.
    """
    from click.shell_completion import get_completion_class

    name = shell or Path(os.environ.get("SHELL", "bash")).name
    kind = get_completion_class(name) if name in INSTALL else None
    if kind is None:
        raise RequestError(f"Completion is for {', '.join(INSTALL)}, not {output.escape(name)}", hint="unstill completion bash")
    print(kind(context.find_root().command, {}, "unstill", "_UNSTILL_COMPLETE").source())
    output.say(f"to keep it: {INSTALL[name]}")
