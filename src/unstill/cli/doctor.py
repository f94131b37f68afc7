"""`unstill doctor`: what was found on this machine, and what to do about it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.errors import MachineError

if TYPE_CHECKING:
    from unstill.cli.findings import Finding

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.command(cls=Command)
@options.as_json
@options.debug
@click.pass_context
def doctor(context: click.Context, as_json: bool, debug: bool) -> None:
    """Look at this machine: what is there, what is missing, what would run."""
    from unstill.cli.findings import PROBLEM, look_everywhere

    findings = list(look_everywhere())
    problems = [finding for finding in findings if finding.state == PROBLEM]
    if as_json:
        output.answer_json({"ok": not problems, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        print_findings(findings)
    if problems:
        context.exit(MachineError.exit_code)


def print_findings(findings: list[Finding]) -> None:
    """Print the findings by topic, with a word for each state, so that colour is not needed."""
    from rich.text import Text

    table = output.new_table("", "")
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            if topic:
                table.add_row()
            topic = finding.topic
            table.add_row(Text(topic.capitalize(), style="bold"))
        table.add_row(Text(f"  {finding.state}", style=STYLES[finding.state]), output.escape(finding.what))
        if finding.remedy:
            table.add_row("", Text(f"→ {output.escape(finding.remedy)}", style="cyan"))
    output.print_parts(table)
    counts = [sum(finding.state == state for finding in findings) for state in ("problem", "note")]
    output.answer(f"\n{count(counts[0], 'problem')}, {count(counts[1], 'note').lower()}.")


def count(number: int, word: str) -> str:
    """Write a number of things."""
    return f"{number or 'No'} {word}{'' if number == 1 else 's'}"
