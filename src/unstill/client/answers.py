"""What a server answers: JSON, errors as the classes of `unstill.errors`, and events. It does not know what is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from unstill.errors import (
    JobConflict,
    JobMissing,
    KeyRefused,
    PictureError,
    QueueFull,
    RequestError,
    ServerError,
    UnstillError,
    make_error,
)

BY_STATUS: dict[int, type[UnstillError]] = {  # where the code is none of ours: of the server's guard, or of a proxy
    400: RequestError, 401: KeyRefused, 404: JobMissing, 405: RequestError, 409: JobConflict, 410: JobMissing,
    413: PictureError, 422: RequestError, 429: QueueFull,
}  # fmt: skip


@dataclass(frozen=True)
class Happening:
    """Something that a server says has happened to a clip; numbers rise."""

    number: int
    kind: str
    data: Mapping[str, Any]


def read_answer(answer: httpx2.Response) -> Any:
    """Give what a server answers, or raise what it says went wrong."""
    try:
        found = answer.json()
    except ValueError:  # a page of a proxy
        found = None
    if answer.is_success and found is not None:
        return found
    told = found.get("error") if isinstance(found, dict) else None
    if not isinstance(told, Mapping):
        told = {"message": f"{answer.url.host} answers {answer.status_code} {answer.reason_phrase}, and no JSON of ours"}
    raise make_error(told, BY_STATUS.get(answer.status_code, ServerError))


def read_events(lines: Iterable[str]) -> Iterator[Happening]:
    """Read server-sent events, as far as they come."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name:  # a comment has none
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield Happening(int(fields.get("id", 0)), fields.get("event", ""), json.loads(fields["data"]))
            fields = {}
