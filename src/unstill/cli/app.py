"""The commands, put together. It does not know what they do."""

from __future__ import annotations

import click

from unstill import __version__
from unstill.cli import (
    again,
    animate,
    batch,
    calibrate,
    completion,
    config,
    doctor,
    explain,
    help,
    inspect,
    jobs,
    mcp,
    models,
    report,
    resume,
    serve,
)

BEGIN = """\
  unstill animate photo.jpg
  unstill animate photo.jpg -o clip.gif --motion 180 --seed 7"""
MORE = "`unstill --help` lists the commands, `unstill doctor` looks at this machine."


@click.group("unstill", cls=help.Program, invoke_without_command=True)
@click.option("--version", is_flag=True, help="Print the version and stop.")
@click.pass_context
def app(context: click.Context, version: bool) -> None:
    """Turn one picture into a short moving clip with Stable Video Diffusion."""
    if version:
        print(f"unstill {__version__}")
        context.exit()
    if context.invoked_subcommand is None:
        print(f"{context.command.help}\n\n{BEGIN}\n\n{MORE}")


for command in (
    animate.animate,
    batch.batch,
    again.again,
    resume.resume,
    explain.explain,
    inspect.inspect,
    calibrate.calibrate,
    report.report,
    models.models,
    models.pull,
    config.config,
    serve.serve,
    jobs.jobs,
    mcp.mcp,
    doctor.doctor,
    completion.completion,
):
    app.add_command(command)
