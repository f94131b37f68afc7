"""All rows looked at before anything runs: how many clips, which models, what is wrong, and which names meet.

A million rows take 24 bytes each and a minute. It does not know how clips are made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unstill.batch.items import Choice, Expander, Item, Model, Wish
from unstill.batch.names import Marks, fold, mark
from unstill.batch.sources import MANIFESTS, PICTURES, is_url, read_rows
from unstill.errors import RequestError
from unstill.request import Request
from unstill.values import show

MOST_SHOWN = 10  # problems that are told one by one
MOST_CHOICES = 100  # different models in one batch


@dataclass
class Survey:
    """What a batch will do."""

    count: int = 0
    choices: dict[Choice, Request] = field(default_factory=dict)  # with a request for each model, to ask by
    firsts: list[Item] = field(default_factory=list)  # some, to plan by
    suffixes: set[str] = field(default_factory=set)  # of the clips
    stamps: tuple[tuple[str, int, int], ...] = ()  # of the manifests as they were read


class Batch:
    """Sources and what is wished of them; its items can be gone through any number of times, none is kept."""

    def __init__(self, sources: Sequence[str], wish: Wish, out: Path | None) -> None:
        """Take the folder of clips too, if it is one, as no clip may take the place of a picture."""
        self.sources, self.wish, self.out = tuple(sources), wish, out
        self._folder = "" if out is None else place_of(out)

    def look(self) -> Survey:
        """Look at all rows, and say everything that is wrong at once."""
        survey, expander, problems = Survey(stamps=stamp(self.sources)), Expander(self.wish), Problems()
        here = place_of(".")
        names, outputs, pictures = Marks(), Marks(), Marks()
        for row in read_rows(self.sources):
            try:
                for item in expander.expand(row, survey.count + 1):
                    survey.count += 1
                    survey.suffixes.add(os.path.splitext(item.output)[1])  # noqa: PTH122 - a path would take longer than all else
                    if len(survey.firsts) < MOST_SHOWN:
                        survey.firsts.append(item)
                    names.add(mark(fold(item.output)))
                    if self.out is not None:
                        outputs.add(mark(self._place(item)))
            except RequestError as error:
                problems.add(row.where, error)
            if self.out is not None and not is_url(row.picture):
                pictures.add(mark(os.path.normpath(row.picture if row.picture.startswith("/") else f"{here}/{row.picture}")))
        problems.tell()
        survey.choices = expander.choices
        if len(survey.choices) > MOST_CHOICES:
            raise RequestError(f"{len(survey.choices)} different models are asked for, and {MOST_CHOICES} may be")
        if not survey.count:
            raise RequestError(f"There are no pictures in {', '.join(map(show, self.sources))}")
        self._refuse_feeding(survey.suffixes)
        self._refuse_meeting(names.list_twice())
        self._refuse_replacing(outputs.meet(pictures))
        return survey

    def items(self, survey: Survey, models: Mapping[Choice, Model]) -> Iterator[Item]:
        """Give the items, one at a time; manifests must be as they were looked at."""
        if stamp(self.sources) != survey.stamps:
            raise RequestError("A manifest has changed meanwhile", hint="the same command goes on with what it says now")
        expander, number = Expander(self.wish), 1
        for row in read_rows(self.sources):
            for item in expander.expand(row, number, models):
                yield item
                number = item.number + 1

    def pictures(self) -> Iterator[str]:
        """Give the picture of every row."""
        for row in read_rows(self.sources):
            yield row.picture

    def _names(self) -> Iterator[Item]:
        expander, number = Expander(self.wish), 1
        for row in read_rows(self.sources):
            for item in expander.expand(row, number):
                yield item
                number = item.number + 1

    def _refuse_feeding(self, suffixes: set[str]) -> None:
        """Refuse clips among the pictures that the same command would take for pictures when it goes on."""
        for source in self.sources if self.out is not None and suffixes & PICTURES else ():
            folder = place_of(source)
            if f"{self._folder}{os.sep}".startswith(f"{folder}{os.sep}") and Path(source).is_dir():
                [kind, *_] = sorted(suffixes & PICTURES)
                raise RequestError(f"Clips that end in {kind} would lie in {show(source)} and be taken for pictures",
                                   hint="-o a folder beside it")  # fmt: skip

    def _refuse_meeting(self, twice: set[int]) -> None:
        """Find out which items have one name, if any have."""
        if not twice:
            return
        found: dict[str, list[Item]] = {}
        for item in self._names():
            name = fold(item.output)
            if mark(name) in twice:
                found.setdefault(name, []).append(item)
        meeting = [items for items in found.values() if len(items) > 1][:MOST_SHOWN]
        if meeting:
            told = [
                f"{show(items[0].output)} would be of {tell_end(items[0])} and of {tell_end(items[1])}" for items in meeting
            ]
            raise RequestError(told, hint="--name '{name}-{suffix}', '{name}-{seed}' or '{number}' tells them apart")

    def _refuse_replacing(self, meeting: set[int]) -> None:
        """Refuse a clip that would take the place of a picture."""
        for item in self._names() if meeting else ():
            if mark(self._place(item)) in meeting:
                raise RequestError(f"{show(item.output)} would replace a picture", hint="-o another folder, or --name")

    def _place(self, item: Item) -> str:
        return f"{self._folder}{os.sep}{item.output}"


def tell_end(item: Item) -> str:
    """Name an item's picture by the end of its path, which is what differs."""
    return show("…" + item.picture[-40:] if len(item.picture) > 41 else item.picture)


def place_of(path: str | Path) -> str:
    """Give a path from the root; links are not followed, as there may be a million."""
    return os.path.normpath(Path.cwd() / path)


def stamp(sources: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    """Say what manifests there are, and how they are known to be the same."""
    found = []
    for source in sources:
        if source.lower().endswith(MANIFESTS) and Path(source).exists():
            status = Path(source).stat()
            found.append((source, status.st_size, status.st_mtime_ns))
    return tuple(found)


class Problems:
    """What is wrong with rows: the first ones by their words, the others by their number."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    def add(self, where: str, error: RequestError) -> None:
        """Note what is wrong with a row; what belongs to no row is wrong at once."""
        if not where:
            raise error
        for problem in error.problems:
            if len(self._told) < MOST_SHOWN:
                self._told.append(problem if problem.startswith(where) else f"{where}: {problem}")
            else:
                self._more += 1

    def tell(self) -> None:
        """Refuse, if anything is wrong."""
        if self._told:
            more = [f"and {self._more} more problems"] if self._more else []
            raise RequestError([*self._told, *more], hint="nothing was run")
