"""Where pictures come from: files, folders, globs, and manifests whose rows may set knobs. Read one at a time.

    picture,motion,seed,name          {"picture": "harbour.jpg", "motion": 60}
    harbour.jpg,60,1,calm             {"picture": "s3://shots/pier.png", "name": "pier"}

Values are passed on as they are written: `Request.from_mapping` judges them. It does not know what becomes of a row.
"""

from __future__ import annotations

import csv
import glob
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from unstill.errors import RequestError
from unstill.values import show

MANIFESTS = (".csv", ".jsonl", ".ndjson")
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
MOST_SHOWN = 8  # columns of a manifest that are named
LONGEST_LINE = 65_536  # characters of a manifest's line
URL = re.compile(r"(?i)[a-z][a-z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One picture as its source gives it."""

    picture: str  # a path or an address
    name: str  # what its clips are called by, without suffix
    knobs: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""  # that it was read from
    problem: str = ""  # why it is none


def is_url(text: str) -> bool:
    """Say whether a text is an address rather than a path."""
    return URL.match(text) is not None


def read_rows(sources: Sequence[str]) -> Iterator[PictureRow]:
    """Give the pictures of all sources, one at a time, in an order that does not change."""
    for source in sources:
        yield from _read_source(source)


def _read_source(source: str) -> Iterator[PictureRow]:
    if source.lower().endswith(MANIFESTS):
        yield from _read_manifest(source)
    elif is_url(source):
        yield PictureRow(source, stem_of(source))
    elif Path(source).is_dir():
        yield from _walk(source, "")
    elif os.path.lexists(source):
        yield PictureRow(source, Path(source).stem)
    elif glob.has_magic(source):
        yield from _read_glob(source)
    else:
        raise RequestError(f"There is no picture, folder or manifest {show(source)}", hint="a manifest ends in .csv or .jsonl")


def _walk(folder: str, within: str) -> Iterator[PictureRow]:
    """Give the pictures of a folder and those below it, by name; what begins with a dot is left out."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{within}{entry.name}/")
        elif Path(entry.name).suffix.lower() in PICTURES:
            yield PictureRow(entry.path, within + Path(entry.name).stem)


def _read_glob(pattern: str) -> Iterator[PictureRow]:
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    for found in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - pathlib's takes no pattern from the root
        if Path(found).suffix.lower() in PICTURES and not Path(found).is_dir():
            yield PictureRow(found, Path(found).relative_to(root).with_suffix("").as_posix())


def _read_manifest(source: str) -> Iterator[PictureRow]:
    """Read a manifest line by line; pictures are beside it, unless their paths say otherwise."""
    folder = source[: source.rfind("/") + 1]
    try:
        with Path(source).open(encoding="utf-8-sig", newline="") as file:
            read = _read_csv if source.lower().endswith(".csv") else _read_jsonl
            for number, cells in read(file, source):
                yield _make_row(cells, folder, f"{source}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"byte {error.start} is no text in UTF-8"
        raise RequestError(f"The manifest {show(source)} cannot be read: {why}") from None


def _lines(file: IO[str], source: str) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise RequestError(f"The manifest {show(source)} has a line of more than {LONGEST_LINE} characters")
        yield line


def _read_csv(file: IO[str], source: str) -> Iterator[tuple[int, Any]]:
    lines = _lines(file, source)
    first = next(lines, "")
    # Spreadsheets part cells by semicolons where numbers have commas.
    mark = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(itertools.chain([first], lines), strict=True, delimiter=mark)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if "picture" not in header:
            has = f", but {', '.join(map(show, header[:MOST_SHOWN]))}" if any(header) else ""
            raise RequestError(f"The manifest {show(source)} has no column `picture`{has}",
                               hint="its first line names the columns")  # fmt: skip
        if len(set(header)) < len(header):
            raise RequestError(f"The manifest {show(source)} names a column twice")
        for cells in reader:
            if len(cells) > len(header):
                yield reader.line_num, f"has {len(cells)} cells for {len(header)} columns"
            elif cells:
                yield reader.line_num, {name: cell for name, cell in zip(header, cells, strict=False) if cell.strip()}
    except csv.Error as error:
        raise RequestError(f"{source}, line {reader.line_num}: {error}") from None


def _read_jsonl(file: IO[str], source: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_lines(file, source), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "is not JSON"
            continue
        is_plain = isinstance(found, dict) and all(not isinstance(value, (dict, list)) for value in found.values())
        yield number, found if is_plain else "must be an object of plain values"


def _make_row(cells: Any, folder: str, where: str) -> PictureRow:
    if isinstance(cells, str):
        return PictureRow("", "", where=where, problem=cells)
    picture, name = cells.pop("picture", None), cells.pop("name", None)
    if not isinstance(picture, str) or not picture.strip() or "\0" in picture:
        return PictureRow("", "", where=where, problem="names no picture")
    if name is not None and not isinstance(name, (str, int)):
        return PictureRow("", "", where=where, problem=f"name must be a text, not {show(name)}")
    picture = picture.strip()
    if not picture.startswith("/") and not is_url(picture):
        picture = folder + picture
    return PictureRow(picture, stem_of(picture) if name is None else str(name).strip(), cells, where)


def stem_of(path: str) -> str:
    """Give the name of a picture, without its suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name
