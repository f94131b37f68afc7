"""`unstill jobs`: what a server has been asked for, and how far it is; it reads the server's folder itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unstill.cli import options, output
from unstill.cli.help import Command

if TYPE_CHECKING:
    from unstill.jobs.files import Folder
    from unstill.jobs.records import Job

SHOWN = 20


@click.command(cls=Command)
@click.option(
    "--data", type=click.Path(), metavar="FOLDER", help="The server's folder.\n[default: where `unstill serve` keeps it]"
)
@click.option("--cancel", metavar="ID", help="Cancel this job.")
@click.option("--retry", metavar="ID", help="Let this job, which failed or was cancelled, wait again.")
@click.option("--all", "every", is_flag=True, help="List all jobs, not only the last twenty.")
@options.as_json
@options.debug
def jobs(data: str | None, cancel: str | None, retry: str | None, every: bool, as_json: bool, debug: bool) -> None:
    """List the jobs of a server, the newest first; cancel one, or try one again."""
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
    found = store.list_jobs(limit=2**31 if every else SHOWN)
    if as_json:
        output.answer_json({"jobs": found})
        return
    table = output.new_table("id", "state", "", "picture", "clip or reason")
    for job in found:
        table.add_row(
            job.id, job.state, describe_progress(job), output.escape(job.title), output.escape(describe_end(job, folder))
        )
    output.print_parts(table)


def describe_progress(job: Job) -> str:
    """Say how far a job is."""
    return f"{job.progress:.0%} {job.stage}".strip() if job.state == "running" else ""


def describe_end(job: Job, folder: Folder) -> str:
    """Say where the clip is, or why there is none."""
    if job.output is not None:
        return str(folder.outputs / job.output)
    return str((job.error or {}).get("message", ""))
