"""`unstill jobs`: what a server has been asked for, and how far it is; it reads the server's folder itself."""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unstill.cli import options, output
from unstill.cli.help import Command

if TYPE_CHECKING:
    from unstill.jobs.files import Folder
    from unstill.jobs.records import Job
    from unstill.jobs.store import Store

SHOWN = 20
LOOK_S = 0.2  # between two looks at a job that is followed


@click.command(cls=Command)
@click.option(
    "--data", type=click.Path(), metavar="FOLDER", help="The server's folder.\n[default: where `unstill serve` keeps it]"
)
@click.option("--follow", metavar="ID", help="Tell what happens to this job until it has ended.")
@click.option("--cancel", metavar="ID", help="Cancel this job.")
@click.option("--retry", metavar="ID", help="Let this job, which failed or was cancelled, wait again.")
@click.option("--all", "every", is_flag=True, help="List all jobs, not only the last twenty.")
@options.as_json
@options.debug
def jobs(data: str | None, follow: str | None, cancel: str | None, retry: str | None, **manner: bool) -> None:
    """List the jobs of a server, the newest first; follow one, cancel one, or try one again."""
    from unstill.cli.serve import find_data
    from unstill.errors import StoreError
    from unstill.jobs.files import Folder
    from unstill.jobs.store import Store

    folder = Folder(find_data() if data is None else Path(data))
    if not folder.store.exists():
        raise StoreError(f"There are no jobs in {folder.root}", hint="--data FOLDER, the one that `unstill serve` was given")
    store = Store(folder.store)
    if cancel is not None:
        store.cancel(cancel)
    if retry is not None:
        store.retry(retry)
    if follow is not None:
        tell_life(store, folder, follow, as_json=manner["as_json"])
        return
    found = store.list_jobs(limit=2**31 if manner["every"] else SHOWN)
    if manner["as_json"]:
        output.answer_json({"jobs": found})
        return
    if sys.stdout.isatty():
        for job in found:
            for line in lay_out(job, folder):
                output.answer(line)
        return
    for job in found:  # for programs: nothing is folded, and times are such as can be counted with
        took_s = measure_took(job)
        times = (show_moment(job.created_s), "" if took_s is None else f"{took_s:.3f}")
        row = (job.id, job.state, describe_progress(job), job.title, describe_end(job, folder), *times)
        output.answer("\t".join(" ".join(cell.split()) for cell in row))


def lay_out(job: Job, folder: Folder) -> Iterator[str]:
    """Put a job into lines, for people: names that are to be copied stand whole."""
    from unstill.jobs.clock import read_time_s

    took_s = measure_took(job)
    asked = f"asked {output.show_ago(read_time_s() - job.created_s)}"
    took = "" if took_s is None else f"took {output.show_seconds(took_s)}"
    yield "  ".join(filter(None, (job.id, f"{job.state} {describe_progress(job)}".strip(), asked, took, job.title)))
    if end := describe_end(job, folder):
        yield f"    {end}"


def measure_took(job: Job) -> float | None:
    """Say how long a job ran, from its first start to its end, if it has both."""
    if job.started_s is None or job.ended_s is None:
        return None
    return max(0.0, job.ended_s - job.started_s)


def show_moment(at_s: float) -> str:
    """Write a moment as programs read it."""
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).isoformat(timespec="seconds")


def tell_life(store: Store, folder: Folder, id: str, *, as_json: bool) -> None:
    """Tell what happens to a job, from its beginning, until it has ended; one that failed is an error here too."""
    from unstill.errors import make_error
    from unstill.jobs.states import CANCELLED, FAILED, FINAL

    job, after = store.get(id), 0
    while True:
        events = store.list_events(after, id)
        for event in events:
            after = event.id
            done = f" {event.data['progress']:.0%}" if "progress" in event.data else ""
            told = {"kind": event.kind, "at": event.at_s, **event.data}
            output.answer(json.dumps(told) if as_json else f"{event.data.get('stage') or event.kind}{done}")
        if not events:
            job = store.get(id)
            if job.state in FINAL:
                break
            time.sleep(LOOK_S)
    if job.state == FAILED:
        raise make_error(job.error or {})
    if job.state != CANCELLED and not as_json:
        output.answer(describe_end(job, folder))


def describe_progress(job: Job) -> str:
    """Say how far a job is."""
    return f"{job.progress:.0%} {job.stage}".strip() if job.state == "running" else ""


def describe_end(job: Job, folder: Folder) -> str:
    """Say where the clip is, or why there is none."""
    if job.output is not None:
        return str(folder.outputs / job.output)
    return str((job.error or {}).get("message", ""))
