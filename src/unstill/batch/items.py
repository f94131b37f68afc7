"""Rows become items: one clip each, of one picture, one setting of every knob, one seed and one name.

It does not know where rows come from, nor how clips are made.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import unstill
from unstill.batch.names import FIELDS, Template, clean, find_fault, mark
from unstill.batch.sources import PictureRow
from unstill.errors import RequestError
from unstill.request import KNOBS, Request, name_knobs, settle
from unstill.values import show

SEEDS = 2**63
CACHED = 4096  # settings of knobs that are kept in mind: manifests repeat them
GIVEN = ("device",)  # knobs that workers are given, and rows may not set
SUFFIXES = {"auto": ".mp4", "mp4": ".mp4", "webm": ".webm", "gif": ".gif", "webp": ".webp", "apng": ".apng"}
UNSEEN = ("device", "memory", "max_memory", "decode_chunk", "forward_chunk", "offload", "engine", "look", "takes")  # in a clip

Choice = tuple[str, str, bool]  # what decides which model runs: its name, the dtype, and whether the camera is told something
Model = Mapping[str, Any]  # as a worker describes it: name, family, frames, identity, together


@dataclass(frozen=True, slots=True)
class Item:
    """One clip that is to be made."""

    number: int  # from 1
    picture: str
    output: str  # its name in the folder of clips
    knobs: Mapping[str, Any]  # as JSON values; shared between items
    seed: int
    settings: str  # a digest of all that shapes the clip but the picture
    model: str = ""  # a digest of the weights that are meant
    again: bool = False  # whether it is made even where it is there
    error: Mapping[str, Any] | None = None  # why it cannot be made
    together: int = 1  # clips of its kind that are made together

    def goes_with(self, other: Item) -> bool:
        """Say whether two items differ in picture and seed alone, so that they may share passes of the network."""
        return self.knobs == other.knobs and self.model == other.model and self.together > 1

    def to_order(self) -> dict[str, Any]:
        """Give what a worker is told."""
        return {
            "number": self.number, "picture": self.picture, "output": self.output, "settings": self.settings,
            "knobs": {**self.knobs, "seed": self.seed}, "model": self.model, "again": self.again,
        }  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What holds for every picture."""

    knobs: Mapping[str, Any] = field(default_factory=dict)
    grid: tuple[tuple[str, tuple[str, ...]], ...] = ()
    name: str | None = None  # a template
    again: bool = False


def read_grid(texts: Sequence[str], knobs: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read `motion=60,127`: a knob and values that are parted by commas, or by | where they hold commas."""
    grid: dict[str, tuple[str, ...]] = {}
    for text in texts:
        written, is_given, listed = text.partition("=")
        values = tuple(value.strip() for value in listed.split("|" if "|" in listed else ","))
        if not is_given or not all(values):
            raise RequestError(f"--grid {show(text)} is no list of values", hint="--grid motion=60,127,200")
        [name] = name_knobs({written.strip(): values[0]})
        if name in ("takes", *GIVEN) or name in grid or name in knobs:
            why = "is given twice" if name in grid or name in knobs else "cannot vary in a grid"
            raise RequestError(f"--grid: {name} {why}")
        for value in values:
            Request.from_mapping({name: value})
        grid[name] = values
    return tuple(grid.items())


@dataclass(frozen=True)
class Setting:
    """Knobs without their seed, read and judged."""

    request: Request
    knobs: Mapping[str, Any]
    takes: int
    suffix: str
    choice: Choice
    names: Mapping[str, str]  # knobs as they stand in names


class Expander:
    """Make items of rows; what rows have in common is worked out once, as there may be a million."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.template = None if wish.name is None else Template(wish.name)
        self.choices: dict[Choice, Request] = {}  # what decides about the models so far, each with a request to ask by
        self._settings: dict[tuple[Any, ...], Setting] = {}
        self._digests: dict[tuple[int, str], Any] = {}
        self._combinations = [
            dict(zip([name for name, _ in wish.grid], values, strict=True))
            for values in itertools.product(*(values for _, values in wish.grid))
        ]

    def expand(self, row: PictureRow, first: int, models: Mapping[Choice, Model] | None = None) -> Iterator[Item]:
        """Give the items of a row, numbered from `first`; those whose model is known with what their clips are known by."""
        if row.problem:
            raise RequestError(f"{row.where} {row.problem}")
        number, again = first, self.wish.again
        for place, combination in enumerate(self._combinations):
            setting, seed = self._settle(row, place), self._find_seed(row, combination)
            model = {} if models is None else models[setting.choice]
            for take in range(setting.takes):
                one = (seed + take) % SEEDS
                output = self._name(row, setting, combination, (one, take, number))
                digest = self._digest(setting, model, one) if "identity" in model else ""
                yield Item(number, row.picture, output, setting.knobs, one, digest, model.get("identity", ""), again,
                           model.get("error"), model.get("together", 1))  # fmt: skip
                number += 1

    def _settle(self, row: PictureRow, place: int) -> Setting:
        """Give the knobs of a row and a combination, but for the seed; 1 and true are equal, and not the same."""
        key = (place, *((name, value, value.__class__) for name, value in row.knobs.items() if name != "seed"))
        setting = self._settings.get(key)
        if setting is None:
            if len(self._settings) >= CACHED:
                self._settings.clear()
                self._digests.clear()
            setting = self._settings[key] = make_setting(self._join(row, self._combinations[place]))
            self.choices.setdefault(setting.choice, setting.request)
        return setting

    def _join(self, row: PictureRow, combination: Mapping[str, str]) -> dict[str, Any]:
        knobs = name_knobs(row.knobs)
        twice = [name for name in knobs if name in combination]
        if twice:
            raise RequestError([f"{name} is given twice: by --grid and in {row.where}" for name in twice])
        for name in GIVEN:
            if name in knobs:
                raise RequestError(f"{name} is not a row's to say", hint="--devices cuda:0,cuda:1")
        joined = {**self.wish.knobs, **knobs, **combination}
        joined.pop("seed", None)
        return joined

    def _find_seed(self, row: PictureRow, combination: Mapping[str, str]) -> int:
        """Give the seed: the one that is set, else one made of the picture's name, so that the same command means the same."""
        found = [given["seed"] for given in (row.knobs, combination, self.wish.knobs) if given.get("seed") is not None]
        if not found:
            return mark(end_of(row.picture)) % 2**32
        if row.knobs.get("seed") is not None and "seed" in combination:
            raise RequestError(f"seed is given twice: by --grid and in {row.where}")
        try:
            return int(KNOBS["seed"].read(found[0]))
        except ValueError as error:
            raise RequestError(f"seed {error}") from None

    def _name(self, row: PictureRow, setting: Setting, combination: Mapping[str, str], item: tuple[int, int, int]) -> str:
        seed, take, number = item
        if self.template is None:
            varied = [str(seed) if name == "seed" else setting.names[name] for name in combination]
            name = "-".join([row.name, *varied, *([str(take + 1)] if setting.takes > 1 else [])])
        else:
            suffix = end_of(row.picture).rpartition(".")[2].lower()
            own = dict(zip(FIELDS, (row.name, end_of(row.name), suffix, number, seed, take + 1), strict=True))
            name = self.template.fill({**setting.names, **own})
        name = name.removesuffix(setting.suffix)
        if name.lower().endswith(tuple(SUFFIXES.values())):
            raise RequestError(f"{show(name)} is named as another format, and {setting.suffix[1:]} is made", hint="--format")
        fault = find_fault(name)
        if fault:
            raise RequestError(f"{show(name)} cannot be the name of a clip: it {fault}")
        return name + setting.suffix

    def _digest(self, setting: Setting, model: Model, seed: int) -> str:
        begun = self._digests.get((id(setting), model["identity"]))
        if begun is None:
            settled = settle(setting.request, model["family"], model["frames"]).to_dict()
            shaping = {name: value for name, value in settled.items() if name not in UNSEEN}
            told = [unstill.__version__, model["identity"], shaping]
            begun = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
            self._digests[id(setting), model["identity"]] = begun
        digest = begun.copy()
        digest.update(str(seed).encode())
        return str(digest.hexdigest()[:32])


def end_of(path: str) -> str:
    """Give the last part of a path or an address."""
    return path.rpartition("/")[2]


def make_setting(given: Mapping[str, Any]) -> Setting:
    """Read knobs and judge them."""
    request = Request.from_mapping(given)
    if request.format == "png":
        raise RequestError("an item of a batch is one file", hint="leave format png out")
    takes, request = request.takes, request.replace(takes=1)
    choice = (request.model, request.dtype, request.camera != "auto" or request.move is not None)
    suffix = ".webm" if request.format == "auto" and request.codec == "vp9" else SUFFIXES[request.format]
    names = {name: clean(getattr(request, name)) for name in KNOBS}
    return Setting(request, request.to_dict(), takes, suffix, choice, names)
