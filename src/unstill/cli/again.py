"""`unstill again`: repeat a clip by the recipe in its file, on the same or another picture."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.errors import RecipeError, RequestError
from unstill.request import Request

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

    The file is of the same format unless -o or --format say otherwise. The configuration file does not count here, so
    that a recipe means the same everywhere.
    """
    from unstill.cli.config import merge
    from unstill.cli.run import STREAM, Target, run
    from unstill.cli.telling import Manner
    from unstill.formats.probe import probe

    found = probe(Path(file))
    recipe = found.recipe or {}
    request = Request.from_mapping(merge(choose_knobs(file, recipe), knobs))
    wanted = recipe.get("picture_sha256")
    digest = wanted if picture == STREAM else hash_picture(picture)  # a stream cannot be looked at before it is read
    before = (OTHER_PICTURE,) if digest not in (wanted, None) else ()
    clip = run(request, Target(picture, out, found.format), Manner(**manner), before=before)
    if clip is not None and not manner["quiet"]:
        output.warn(*compare(recipe, clip.recipe, is_said=bool(before)))


def choose_knobs(file: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """Take from a recipe what made the clip; where it ran does not count, nor a format that -o may contradict."""
    knobs = recipe.get("knobs")
    if not isinstance(knobs, dict):
        hint = "clips made with --no-recipe have none, and some programs take it away"
        raise RecipeError(f"{file} carries no recipe", hint=hint)
    refuse_replaced(file, recipe)
    try:
        made_by = Request.from_mapping(knobs)
    except RequestError as error:
        hint = f"it was written by unstill {recipe.get('unstill')}"
        raise RecipeError(f"The recipe in {file} cannot be repeated: {'; '.join(error.problems)}", hint=hint) from error
    return made_by.replace(device="auto", format="auto").to_dict()


def refuse_replaced(file: str, recipe: dict[str, Any]) -> None:
    """Raise if the recipe needs an earlier bundled model, whose motion this version cannot repeat."""
    from unstill.catalog.bundled import bundled_model

    bundled, model = bundled_model(), _as_dict(recipe.get("model"))
    if model.get("name") != bundled.name or not list_changed(_as_dict(model.get("sha256")), dict(bundled.sha256)):
        return
    made_by = recipe.get("unstill")
    raise RecipeError(
        f"{file} was made by unstill {made_by} with an earlier {bundled.name}, which this version no longer has",
        hint="`unstill animate PICTURE` makes a new clip; only the unstill that made it repeats this one",
    )


def compare(then: dict[str, Any], now: dict[str, Any], *, is_said: bool) -> list[str]:
    """Say what was not as it was, now that the clip is made."""
    said = []
    if not is_said and then.get("picture_sha256") != now.get("picture_sha256"):
        said.append(OTHER_PICTURE)
    was, is_now = (_as_dict(recipe.get("model")) for recipe in (then, now))
    if was.get("revision") != is_now.get("revision"):
        said.append(f"the model is of revision {is_now.get('revision')}, and was of {was.get('revision')}: expect another clip")
    elif changed := list_changed(_as_dict(was.get("sha256")), _as_dict(is_now.get("sha256"))):
        said.append(f"the weights are not those of the recipe in {', '.join(changed)}: expect another clip")
    return said


def list_changed(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List the files whose digests differ, of those that both know by digests of one kind."""

    def name_kind(digest: object) -> str:
        return str(digest).rpartition(":")[0]  # a fingerprint names its kind, a sha256 does not

    both = sorted(then.keys() & now.keys())
    return [name for name in both if then[name] != now[name] and name_kind(then[name]) == name_kind(now[name])]


def _as_dict(value: object) -> dict[str, Any]:
    """Take a part of a recipe as it should be; a file can hold anything."""
    return value if isinstance(value, dict) else {}


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
