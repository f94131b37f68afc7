"""`unstill batch`: many pictures into a folder of clips. It does not know how they are handed out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unstill.cli import options, output
from unstill.cli.help import Command

if TYPE_CHECKING:
    from unstill.batch.ledger import Ledger
    from unstill.batch.run import Asked, Summary
    from unstill.batch.survey import Batch, Survey

MOST_TOLD = 20  # failures that are told one by one
LONG_S = 30.0  # from then on failures are told as they come
RESULTS = "results.jsonl"
EVERY_S = 5.0  # between two lines that say how far it is, where they go to a file or a pipe


@dataclass(frozen=True)
class Means:
    """What a batch runs on."""

    devices: tuple[str, ...]
    workers: int
    is_cluster: bool = False
    together: int | None = None  # clips that may share a pass, at most

    def __str__(self) -> str:
        if self.is_cluster:
            return "on a Ray cluster"
        count = len(self.devices) * self.workers
        where = "this machine" if self.devices == ("auto",) else ", ".join(self.devices)
        return f"{count} {'worker' if count == 1 else 'workers'} on {where}"


class Lines:
    """How far a batch is, a line now and then."""

    def __init__(self, *, is_shown: bool, every_s: float = EVERY_S) -> None:
        self._is_shown, self._every_s = is_shown, every_s
        self._started, self._said = time.monotonic(), -math.inf

    def __call__(self, summary: Summary) -> None:
        """Say it, if that is due; the last one is the end's to tell."""
        now = time.monotonic()
        if not self._is_shown or now - self._said < self._every_s or summary.done == summary.total:
            return
        self._said = now
        failed = f", {summary.failed} failed" if summary.failed else ""
        left_s = (now - self._started) / summary.made * (summary.to_make - summary.made) if summary.made else None
        left = "" if left_s is None else f"; about {output.show_seconds(left_s)} left"
        output.say(f"{summary.made} of {summary.to_make} clips made{failed}{left}", style="dim")


@click.command(cls=Command)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--out", "-o", required=True, metavar="FOLDER", help="Where clips go: a folder, or an address such as s3://….")
@click.option(
    "--name", metavar="TEMPLATE", help="How clips are called, such as '{stem}-{seed}'.\n[default: the picture's name]"
)
@click.option("--grid", multiple=True, metavar="KNOB=A,B", help="Make a clip for each value; may be given again.")
@click.option("--again", is_flag=True, help="Make clips anew that are there already.")
@click.option(
    "--results", type=click.Path(), metavar="FILE", help="What came of each picture.\n[default: FOLDER/results.jsonl]"
)
@click.option("--devices", metavar="A,B", help="Devices to work on, such as cuda:0,cuda:1.\n[default: all GPUs, else the CPU]")
@options.workers("Processes for each device. [default: 1]")
@click.option(
    "--together",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Clips that share a pass through the network, at most.\n[default: as many as gain by it, on a GPU]",
)
@options.with_cluster
@options.dry_run
@options.as_json
@options.quiet
@options.debug
@options.with_knobs
def batch(sources: tuple[str, ...], out: str, knobs: dict[str, Any], **asked: Any) -> None:
    """Turn many pictures into clips: on all GPUs of this machine, or of a Ray cluster.

    SOURCE is a picture, a folder, a glob, or a manifest: a CSV file or JSON lines with a column `picture` and knobs as others.

    What is there already is not made again, so the same command goes on after a stop. Each of `--takes` is a clip of its own.
    """
    from unstill.batch.items import Wish, read_grid
    from unstill.batch.sources import is_url
    from unstill.batch.survey import Batch
    from unstill.cli.config import merge, read_config
    from unstill.errors import RequestError
    from unstill.request import Request, name_knobs

    settings = Request.from_mapping(merge(read_config(), knobs))  # judged once, whatever rows say
    device = settings.device
    named = name_knobs(merge(read_config(), knobs))
    named.pop("device", None)
    wish = Wish(named, read_grid(asked["grid"], name_knobs(knobs)), asked["name"], asked["again"])
    folder = None if is_url(out) else Path(out)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise RequestError(f"-o {out} is no folder", hint="name a folder: clips are put into it")
    whole = Batch(sources, wish, folder)
    survey = whole.look()
    results = Path(asked["results"] or (RESULTS if folder is None else folder / RESULTS))
    means = Means(find_devices(device, asked["devices"]), asked["workers"], asked["ray"] is not None, asked["together"])
    if asked["dry_run"]:
        from unstill.cli.ahead import tell_ahead

        tell_ahead(whole, survey, results, means, as_json=asked["as_json"])
        return
    run(whole, survey, out, results, means, asked)


def find_devices(device: str, listed: str | None) -> tuple[str, ...]:
    """Give the devices to work on."""
    from unstill.cli.serve import find_devices as list_gpus
    from unstill.errors import RequestError
    from unstill.request import KNOBS

    if listed is None:
        return tuple(list_gpus()) if device == "auto" else (device,)
    try:
        return tuple(KNOBS["device"].read(one.strip()) for one in listed.split(","))
    except ValueError as error:
        raise RequestError(f"--devices {error}") from None


def run(batch: Batch, survey: Survey, out: str, results: Path, means: Means, asked: dict[str, Any]) -> None:
    """Make the clips, and say how it went."""
    from unstill.batch.ledger import Ledger
    from unstill.batch.places import ClipFolder, open_place

    place = open_place(out)
    held: AbstractContextManager[None] = place.held() if isinstance(place, ClipFolder) else nullcontext()
    started = time.perf_counter()
    with held, Ledger(results, batch.out) as ledger:
        if not asked["quiet"]:
            before = f"; {results} tells of {ledger.told}" if ledger.told else ""
            output.say(f"{survey.count} {'clip' if survey.count == 1 else 'clips'} into {out}, {means}{before}", style="dim")
        with open_crew(out, means, asked) as crew:
            summary = make(batch, survey, crew, ledger, asked["together"], is_shown=not asked["quiet"])
    tell(summary, out, results, time.perf_counter() - started, asked)


def open_crew(out: str, means: Means, asked: dict[str, Any]) -> AbstractContextManager[Asked]:
    """Give the workers: processes of this machine, or actors on a cluster."""
    if asked["ray"] is None:
        from unstill.batch.crew import Processes

        return Processes(out, [device for device in means.devices for _ in range(means.workers)], debug=asked["debug"])
    from unstill.batch.on_ray import Actors

    return Actors(options.read_cluster(asked), out)


def make(batch: Batch, survey: Survey, crew: Asked, ledger: Ledger, together: int | None, *, is_shown: bool) -> Summary:
    """Run the batch and show how far it is: a line that moves, or lines where none can; Ctrl-C stops it."""
    from unstill.artifacts import Progress
    from unstill.batch.run import run_batch
    from unstill.cli.progress import Display, Stop
    from unstill.errors import Cancelled

    display = Display(is_shown=is_shown)
    stop = Stop(is_line_shown=display.is_shown)
    lines = Lines(is_shown=is_shown and not display.is_shown)

    begun, said = time.monotonic(), 0

    def watch(summary: Summary) -> None:
        """Show how far it is, and in a long batch what failed."""
        nonlocal said
        if is_shown and time.monotonic() - begun > LONG_S:  # in a short one the end is soon enough
            for line in summary.failures[said:MOST_TOLD]:
                display.interrupt(partial(tell_failure, line))
        said = len(summary.failures)
        lines(summary)
        of = f"{summary.failed} failed" if summary.failed else ""
        display(Progress("batch", summary.made, summary.to_make, of=of))

    with stop, display:
        stop.arm()
        summary = run_batch(batch, survey, crew, ledger, watch=watch, wants_stop=lambda: stop.asked, together=together)
    if stop.asked and not summary.is_whole:
        left = f"{summary.total - summary.done} of {summary.total} clips are left"
        raise Cancelled(f"Stopped: {left}", hint="the same command goes on with them")
    return summary


def tell_failure(line: Mapping[str, Any]) -> None:
    """Say of which picture there is no clip, and why."""
    output.say(f"{line['picture']}: {line['error']['message']}", kind="failed", style="bold red")


def tell(summary: Summary, out: str, results: Path, took_s: float, asked: dict[str, Any]) -> None:
    """Say how it went; pictures without a clip are an error."""
    from unstill.errors import BatchError

    if asked["as_json"] and summary.is_whole:
        output.answer_json({"out": out, "results": results, "seconds": round(took_s, 3), **vars(summary)})
    elif summary.is_whole:
        output.answer(out)
    if not (asked["as_json"] or asked["quiet"]):
        made = f"{summary.made} made, {summary.there} there already, {summary.failed} failed"
        output.say(f"{made} in {output.show_seconds(took_s)}; what came of each is in {results}", style="dim")
        for line in summary.failures[:MOST_TOLD]:
            tell_failure(line)
    if summary.trouble:
        raise BatchError(f"Stopped with {summary.total - summary.done} clips left: {summary.trouble}",
                         hint="the same command goes on with them")  # fmt: skip
    if not summary.is_whole:
        raise BatchError(f"{summary.failed} of {summary.total} pictures have no clip", hint=f"{results} says why; "
                         "the same command tries them again")  # fmt: skip
