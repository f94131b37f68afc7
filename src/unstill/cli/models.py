"""`unstill models` and `unstill pull`: what is known, what is here, and fetching it.

Where the files are and how they travel is the catalogue's business.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.cli.output import show_bytes
from unstill.errors import Cancelled

if TYPE_CHECKING:
    from unstill.catalog.inventory import ModelStatus
    from unstill.catalog.pull import Pulled, PullPlan


@click.command(cls=Command)
@options.as_json
@options.debug
def models(as_json: bool, debug: bool) -> None:
    """List the models that are known and what is here of them."""
    from unstill.catalog.cache import default_cache
    from unstill.catalog.inventory import list_models

    cache, rows = default_cache(), list_models()
    if as_json:
        output.answer_json({"cache": cache, "models": [to_dict(row) for row in rows]})
        return
    table = output.new_table("model", "here", "about")
    for row in rows:
        table.add_row(row.name, describe_state(row), row.about + (f"\nlicence: {row.licence}" if row.licence else ""))
    hint = f"`unstill pull MODEL` fetches one into {output.shorten(cache)}; a path works as --model too."
    output.print_parts(table, "", hint)


def to_dict(row: ModelStatus) -> dict[str, Any]:
    """Give a model as JSON values."""
    found = {key: value for key, value in vars(row).items() if key != "known"}
    size = {variant: row.known.expected_bytes(variant) for variant in ("fp16", "fp32")} if row.known else None
    more = {"family": row.known.family, "frames": row.known.frames, "gated": row.known.gated} if row.known else {}
    return {**found, **more, "download_bytes": size}


def describe_state(row: ModelStatus) -> str:
    """Say how much of a model is here, or how large it is."""
    if row.state == "complete":
        return f"{' + '.join(row.variants)}, {show_bytes(row.here_bytes)}"
    size = show_bytes(row.known.expected_bytes("fp16")) if row.known else ""
    if row.state == "partial":
        return f"in part, {show_bytes(row.here_bytes)}" + (f" of {size}" if size else "")
    return f"no ({size})"


@click.command(cls=Command)
@click.argument("model", metavar="MODEL", shell_complete=options.complete_model)
@click.option("--full-precision", is_flag=True, help="Fetch the float32 weights: twice the size, and seldom better.")
@click.option("--revision", metavar="NAME", help="A branch, a tag or a commit of the repository.\n[default: main]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.as_json
@options.quiet
@options.debug
def pull(model: str, full_precision: bool, revision: str | None, yes: bool, as_json: bool, quiet: bool, debug: bool) -> None:
    """Fetch a model, or what is missing of it, after saying how large it is and what its licence is.

    MODEL is a name that `unstill models` lists, or OWNER/NAME on the hub.
    """
    from unstill.catalog.pull import carry_out, plan_pull
    from unstill.cli.progress import Transfer

    plan = plan_pull(model, full_precision=full_precision, revision=revision)
    talks = not (as_json or quiet)
    if talks:
        describe_plan(plan)
    plan.require_room()
    if plan.fetch_bytes and talks and not yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Fetch it?", default=True, abort=True, err=True)
    try:
        with Transfer(is_shown=not quiet) as transfer:
            pulled = carry_out(plan, transfer)
    except KeyboardInterrupt as stop:
        raise Cancelled("Stopped", hint="what has arrived is kept: the same command goes on from there") from stop
    if as_json:
        output.answer_json(pulled_to_dict(pulled))
        return
    output.answer(str(pulled.snapshot))
    if talks:
        if pulled.licence_text:
            output.say(f"Its licence came with it: {output.shorten(pulled.licence_text)}")
        output.say(f"{plan.name} is here, every file checked. Next: unstill animate PICTURE --model {choose_name(pulled)}")


def choose_name(pulled: Pulled) -> str:
    """Name a model so that what was pulled is what is found: where there are several revisions, its name means one."""
    from unstill.catalog.find import find_model

    found = find_model(pulled.plan.name)
    return pulled.plan.name if found.revision == pulled.record.revision else shlex.quote(str(pulled.snapshot))


def describe_plan(plan: PullPlan) -> None:
    """Say what fetching brings, on standard error."""
    table = output.new_table("", "")
    table.add_row("model", f"{plan.name}, {plan.variant}, from {plan.repository}")
    table.add_row("revision", plan.revision)
    table.add_row("size", describe_size(plan))
    table.add_row("disk", f"{show_bytes(plan.free_bytes)} free at {output.shorten(plan.source.hub.cache)}")
    table.add_row("licence", str(plan.licence))
    if plan.licence.link:
        table.add_row("", output.escape(plan.licence.link))
    output.print_parts(table, error=True)


def describe_size(plan: PullPlan) -> str:
    """Say how much there is and how much of it must be fetched."""
    whole = f"{show_bytes(plan.total_bytes)} in {len(plan.files)} files"
    if plan.fetch_bytes == 0:
        return f"{whole}, all of it here"
    return whole if plan.fetch_bytes == plan.total_bytes else f"{whole}, {show_bytes(plan.fetch_bytes)} of it to fetch"


def pulled_to_dict(pulled: Pulled) -> dict[str, Any]:
    """Give a download as JSON values."""
    record = dataclasses.asdict(pulled.record)
    counts = {"bytes": pulled.plan.total_bytes, "fetched_bytes": pulled.plan.fetch_bytes}
    return {**record, "path": pulled.snapshot, "licence_text": pulled.licence_text, **counts}
