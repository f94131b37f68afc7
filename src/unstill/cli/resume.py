"""`unstill resume`: go on with a run that broke off, list such runs, or forget them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.errors import RequestError

if TYPE_CHECKING:
    from unstill.runs import Kept


@click.command(cls=Command)
@click.option("--list", "lists", is_flag=True, help="Show the runs that broke off, and do nothing.")
@click.option("--forget", is_flag=True, help="Remove what is kept of them.")
@options.dry_run
@options.as_json
@options.quiet
@options.debug
def resume(lists: bool, forget: bool, **manner: bool) -> None:
    """Go on with the last run that broke off, from the last step that was kept.

    A run keeps a step every ten seconds, and the last one when it is stopped, until its clip is written. The same command
    given again goes on too. What is kept is forgotten after a week; UNSTILL_RUNS names another place for it.
    """
    from unstill.cli.run import Target, run
    from unstill.cli.telling import Manner
    from unstill.request import Request
    from unstill.runs import Runs

    kept = list(Runs())
    if lists or forget:
        tell_runs(kept, as_json=manner["as_json"])
        for one in kept if forget else ():
            one.remove()
        return
    if not kept:
        raise RequestError("No run has broken off: there is nothing to go on with", hint="unstill animate PICTURE")
    last = kept[0]
    if last.picture is None:
        raise RequestError("The last run's picture was no file", hint="give it again with the same command")
    out = last.out if last.out is not None and Path(last.out).parent.is_dir() else None  # a stream's was a place of the moment
    run(Request.from_mapping(last.knobs), Target(last.picture, out), Manner(**manner))


def tell_runs(kept: list[Kept], *, as_json: bool) -> None:
    """Say which runs there are."""
    if as_json:
        output.answer_json([{"picture": one.picture, "out": one.out, "done": one.done, "steps": one.steps} for one in kept])
        return
    for one in kept:
        when = datetime.fromtimestamp(one.kept_at).strftime("%Y-%m-%d %H:%M")
        output.answer(f"{when}  step {one.done} of {one.steps}  seed {one.seed}  {one.picture or 'a picture that was no file'}")
    if not kept:
        output.say("no run has broken off")
