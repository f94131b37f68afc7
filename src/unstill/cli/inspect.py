"""`unstill inspect`: what a clip is and how it was made, from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.cli.telling import measure
from unstill.request import KNOBS

if TYPE_CHECKING:
    from unstill.formats.probe import Probe


@click.command(cls=Command)
@options.clip_file
@options.as_json
@options.debug
def inspect(file: str, as_json: bool, debug: bool) -> None:
    """Show what a clip is and how it was made."""
    from unstill.formats.probe import probe

    found = probe(Path(file))
    if as_json:
        output.answer_json({"path": file, "bytes": measure(Path(file)), **vars(found)})
        return
    table = output.new_table("", "")
    for name, value in (*describe_file(Path(file), found), *describe_recipe(found.recipe)):
        table.add_row(name, output.escape(value))
    output.print_parts(table)


def describe_file(path: Path, found: Probe) -> list[tuple[str, str]]:
    """Say row by row what the file is."""
    kind = found.format if found.codec in (None, found.format) else f"{found.format}, {found.codec}"
    length = f"{found.frames} frame{'' if found.frames == 1 else 's'}, {found.size}, {found.duration_s:.2f} s"
    return [("file", f"{path}, {output.show_bytes(measure(path))}"), ("format", kind), ("clip", length)]


def describe_recipe(recipe: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Say row by row how the clip was made."""
    if not recipe:
        return [("recipe", "none: made with --no-recipe, by another program, or taken away since")]
    model = _as_dict(recipe.get("model"))
    revision = f", revision {str(model['revision'])[:12]}" if model.get("revision") else ""
    engine = f"unstill {recipe.get('unstill')}, engine {recipe.get('engine')}, torch {recipe.get('torch')}"
    rows = [("model", f"{model.get('name')}{revision}"), ("made by", engine)]
    rows.append(("picture", f"sha256 {str(recipe.get('picture_sha256'))[:16]}…"))
    knobs = _as_dict(recipe.get("knobs"))
    names = [*(name for name in KNOBS if name in knobs), *(name for name in knobs if name not in KNOBS)]
    return [*rows, *((name.replace("_", "-"), _show(knobs[name])) for name in names if name != "model")]


def _show(value: object) -> str:
    """Write the value of a knob as it is typed."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _as_dict(value: object) -> dict[str, Any]:
    """Take a part of a recipe as it should be; a file can hold anything."""
    return value if isinstance(value, dict) else {}
