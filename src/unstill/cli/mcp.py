"""`unstill mcp`: tools for assistants, on top of a running server."""

from __future__ import annotations

import os
import sys

import click

from unstill.cli import options
from unstill.cli.help import Command
from unstill.cli.serve import KEY

PATIENCE_S = 5.0  # an assistant waits for an answer


@click.command(cls=Command)
@click.option(
    "--url",
    default="http://127.0.0.1:8000",
    metavar="URL",
    help="The server that makes clips.\n[default: http://127.0.0.1:8000]",
)
@options.debug
def mcp(url: str, debug: bool) -> None:
    """Give assistants tools to make clips, over standard input and output: the Model Context Protocol.

    Clips are made by a running `unstill serve`. If it wants a key, set UNSTILL_KEY.
    """
    from unstill.client import Client
    from unstill.mcp import serve

    with Client(url, os.environ.get(KEY) or None, patience_s=PATIENCE_S) as client:
        serve(client, sys.stdin, sys.stdout)
