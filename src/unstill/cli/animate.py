"""`unstill animate`. It does not know the knobs one by one."""

from __future__ import annotations

from typing import Any

import click

from unstill.cli import options
from unstill.cli.help import Command


@click.command(cls=Command)
@options.picture
@options.out
@options.dry_run
@options.as_json
@options.quiet
@options.debug
@options.with_knobs
def animate(picture: str, out: str | None, knobs: dict[str, Any], **manner: bool) -> None:
    """Turn a picture into a short moving clip.

    PICTURE is a file, or - for standard input.

    What is not set comes from the configuration file, then from the preset, then from the model.
    """
    from unstill.cli.config import merge, read_config
    from unstill.cli.run import Target, run
    from unstill.cli.telling import Manner
    from unstill.request import Request

    request = Request.from_mapping(merge(read_config(), knobs))
    run(request, Target(picture, out), Manner(**manner))
