"""What is kept of jobs, and what goes in and out of the store. It does not know how it is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Job:
    """One job as it is kept."""

    id: str
    number: int
    state: str
    priority: int
    knobs: Mapping[str, Any]
    picture: str  # the name of its file
    title: str
    attempts: int
    claim: int
    worker: str | None
    wants_cancel: bool
    stage: str
    progress: float  # 0 to 1
    created_s: float
    started_s: float | None
    ended_s: float | None
    output: str | None  # the name of its file
    output_sha256: str | None
    output_bytes: int | None
    report: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


FIELDS = tuple(one.name for one in fields(Job))


@dataclass(frozen=True)
class Order:
    """What somebody asks for."""

    knobs: Mapping[str, Any]
    picture: str
    title: str = ""
    priority: int = 0
    key: str | None = None  # the same key gives the same job
    digest: str = ""  # of all that was asked for: the same key with another is a mistake


@dataclass(frozen=True)
class Event:
    """Something that happened; ids rise."""

    id: int
    job: str
    at_s: float
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Output:
    """A clip that is published."""

    name: str
    sha256: str
    size_bytes: int
    report: Mapping[str, Any]


def to_plain(value: Any) -> Any:
    """Make JSON of a report: numbers that are none become null."""
    if isinstance(value, Mapping):
        return {str(name): to_plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def read_job(row: Mapping[str, Any]) -> Job:
    """Make a job of a row."""
    values = {name: row[name] for name in FIELDS}
    for name in ("knobs", "report", "error"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return Job(**{**values, "wants_cancel": bool(values["wants_cancel"])})
