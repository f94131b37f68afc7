"""All of it put together: look at the rows, ask which models run, hand out what is not there yet, write down what comes of it.

It does not know words on a terminal, nor what workers are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from unstill.batch.items import Choice, Item, Model
from unstill.batch.ledger import Ledger
from unstill.batch.schedule import Crew, Dispatcher, Outcome, Wants, drive, never
from unstill.batch.survey import Batch, Survey

MOST_KEPT = 100  # failures that are kept to be told; all of them are in the file of results


class Asked(Crew, Protocol):
    """Workers that can be asked which model a request would run."""

    def __len__(self) -> int:
        """Count the workers that there are to be."""

    def describe(self, knobs: Mapping[str, Any], wants_stop: Wants = never) -> Model:
        """Say which model a request would run, or why none; waits for a worker, unless somebody wants to stop."""


@dataclass
class Summary:
    """How a batch has come along."""

    total: int
    made: int = 0
    there: int = 0  # that were there before
    failed: int = 0
    trouble: str = ""  # why the rest was not tried
    failures: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.made + self.there + self.failed

    @property
    def to_make(self) -> int:
        """Clips that are or will be made: which are there, or cannot be, is found out on the way."""
        return self.total - self.there - self.failed

    @property
    def is_whole(self) -> bool:
        return self.made + self.there == self.total


def run_batch(
    batch: Batch,
    survey: Survey,
    crew: Asked,
    ledger: Ledger,
    *,
    watch: Callable[[Summary], None] = lambda summary: None,
    wants_stop: Wants = never,
    together: int | None = None,
) -> Summary:
    """Make what is not there yet; no more than `together` clips share a pass of the network, if that is said."""
    summary = Summary(survey.count)
    models: dict[Choice, Model] = {
        choice: limit(crew.describe(asked.to_dict(), wants_stop), survey.count, len(crew), together)
        for choice, asked in survey.choices.items()
    }

    def record(item: Item, outcome: Outcome) -> None:
        """Write down what came of an item."""
        line = write_line(item, outcome)
        ledger.add(line)
        if line["error"] is not None:
            summary.failed += 1
            if len(summary.failures) < MOST_KEPT:
                summary.failures.append(line)
        elif line["found"]:
            summary.there += 1
        else:
            summary.made += 1
        watch(summary)

    def list_left() -> Iterator[Item]:
        """Give what is not there yet."""
        for item in batch.items(survey, models):
            if item.error is not None:
                record(item, {"error": item.error})
            elif ledger.has(item):
                summary.there += 1
            else:
                yield item

    scheduler = Dispatcher(list_left(), crew.depth)
    drive(scheduler, crew, record, wants_stop)
    summary.trouble = scheduler.trouble
    return summary


def limit(model: Model, items: int, workers: int, most: int | None) -> Model:
    """Let no more clips share a pass than are allowed to, and no worker have some while another has none."""
    shared = min(model.get("together", 1), math.ceil(items / max(1, workers)), most or items)
    return {**model, "together": max(1, shared)}


def write_line(item: Item, outcome: Outcome) -> dict[str, Any]:
    """Give the line of an item in the file of results."""
    told = {
        "number": item.number, "picture": item.picture, "output": item.output, "knobs": {**item.knobs, "seed": item.seed},
        "settings": item.settings, "key": None, "stamp": None, "sha256": None, "bytes": None, "seconds": None, "together": None,
        "moves": None, "verdicts": [], "warnings": [], "found": False, "attempts": 0, "error": None,
    }  # fmt: skip
    return {**told, **outcome}
