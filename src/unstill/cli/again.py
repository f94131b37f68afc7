"""`unstill again`: repeat a clip by the recipe in its file, on the same or another picture."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from unstill.cli import inspect, options, output
from unstill.cli.help import Command

OTHER_PICTURE = "this is not the picture that the recipe was made with: expect another clip"


@click.command(cls=Command)
@options.clip_file
@options.picture
@options.out
@options.dry_run
@options.as_json
@options.quiet
@options.debug
@options.with_overrides
def again(file: str, picture: str, out: str | None, knobs: dict[str, Any], **manner: bool) -> None:
    """Repeat a clip by the recipe in its file, with the knobs that are given changed.

    FILE is a clip that unstill has made. PICTURE is what it was made from, or another: a file, or - for standard input.

    The configuration file does not count here, so that a recipe means the same everywhere.
    """
    from unstill.cli.config import merge
    from unstill.cli.run import STREAM, run
    from unstill.cli.telling import Manner
    from unstill.request import Request

    recipe = inspect.read_recipe(file)
    request = Request.from_mapping(merge(recipe["knobs"], knobs))
    wanted, found = recipe.get("picture_sha256"), None if picture == STREAM else hash_picture(picture)
    before = (OTHER_PICTURE,) if wanted and found and wanted != found else ()
    clip = run(request, picture, out, Manner(**manner), before=before)
    if clip is not None and picture == STREAM and wanted != clip.recipe.get("picture_sha256"):
        output.warn(OTHER_PICTURE)  # a stream cannot be looked at before it is read


def hash_picture(picture: str) -> str | None:
    """Hash a picture's file; one that cannot be read is for `prepare` to complain about."""
    path = Path(picture)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
