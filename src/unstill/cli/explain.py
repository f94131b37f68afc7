"""`unstill explain`: the settled settings, what each means, and how other tools write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from unstill.advice import advise
from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.equivalents import Equivalent, equivalents
from unstill.request import BUNDLED, KNOBS, PRESETS, Request, settle

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

WIDE = 170  # columns that the table needs; below, each knob gets lines of its own
TOOLS = {"diffusers": "diffusers", "generative_models": "generative-models", "comfyui": "ComfyUI"}


@click.command(cls=Command)
@options.as_json
@options.debug
@options.with_knobs
def explain(as_json: bool, debug: bool, knobs: dict[str, Any]) -> None:
    """Show the same settings in the numbers of diffusers, generative-models and ComfyUI."""
    from unstill.cli.config import merge, read_config

    request = Request.from_mapping(merge(read_config(), knobs))
    family, frames = find_family(request)
    settled = settle(request, family, frames)
    rows = [row for row in equivalents(settled) if getattr(settled, own_name(row)) is not None or row.knob != "seed"]
    warnings = give_advice(settled, family, frames)
    if as_json:
        output.answer_json({"knobs": settled.to_dict(), "equivalents": rows, "warnings": warnings})
        return
    head = f"{family}, preset {settled.preset}: {PRESETS[settled.preset].help}"
    others = describe_others(settled, rows)
    body = make_table(rows) if output.open_console().width >= WIDE else make_paragraphs(rows)
    output.print_parts(head, "", body, *(["", f"Also set: {others}"] if others else []))
    output.warn(*warnings)


def give_advice(settled: Request, family: str, frames: int) -> list[str]:
    """Return what to expect of settled values, for the family that they are for."""
    if family != BUNDLED:
        return advise(settled, frames)
    from unstill.models.pocket.advice import advise_pocket

    return advise_pocket(settled)


def find_family(request: Request) -> tuple[str, int]:
    """Say whose presets apply and how many frames the model was trained on, without needing its files if its name is known."""
    from unstill.catalog.known import look_up

    if known := look_up("svd-xt" if request.model == "auto" else request.model):  # what the numbers of other tools are about
        return known.family, known.frames
    from unstill.catalog.find import find_model

    files = find_model(request.model)
    return files.family, files.frames


def own_name(row: Equivalent) -> str:
    """Give the name that a row has among the knobs."""
    return row.knob.replace("-", "_")


def make_table(rows: list[Equivalent]) -> Table:
    """Put the tools side by side."""
    table = output.new_table("knob", "value", *TOOLS.values(), "what it means")
    for column in table.columns[:-1]:
        column.no_wrap = True  # these are there to be copied
    for row in rows:
        others = [getattr(row, tool).replace(", ", ",\n").replace(" (", "\n(") for tool in TOOLS]
        table.add_row(row.knob, row.value, *others, KNOBS[own_name(row)].help)
    return table


def make_paragraphs(rows: list[Equivalent]) -> Group:
    """Give each knob a paragraph, for terminals where the tools do not fit side by side."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for row in rows:
        table = output.new_table("", "")
        for tool, title in TOOLS.items():
            table.add_row(Text(title, style="dim"), getattr(row, tool))
        help = Padding(Text(KNOBS[own_name(row)].help), (0, 0, 0, 2))
        parts += [Text(f"{row.knob} {row.value}", style="bold cyan"), help, Padding(table, (0, 0, 1, 2))]
    return Group(*parts)


def describe_others(settled: Request, rows: list[Equivalent]) -> str:
    """Name the settings that are not the standard ones and that stand in no row."""
    told = {own_name(row) for row in rows} | {"model", "preset"}
    standard = Request().to_dict()
    given = {name: value for name, value in settled.to_dict().items() if value != standard.get(name) and name not in told}
    return ", ".join(f"{name.replace('_', '-')} {value}" for name, value in given.items())
