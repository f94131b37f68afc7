"""Fields of a request become an order: names of OpenAI's video API, of SVD, and our own knobs.

It does not know HTTP, nor how orders are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unstill.catalog.known import CATALOG
from unstill.errors import RequestError
from unstill.jobs.records import Order
from unstill.request import BUNDLED, PRESETS, Request

OWN = {"prompt", "seconds", "priority", "title"}  # fields that are no knobs
NOT_HERE = {
    "device": "the server chooses it",
    "takes": "a job is one clip: post several",
    "max_memory": "the server knows its memory",
}
LONGEST_TITLE = 200
MOST_PRIORITY = 100
MODELS = ("auto", BUNDLED, *CATALOG)


@dataclass(frozen=True)
class Ticket:
    """An order, and what should be said of it."""

    order: Order
    warnings: tuple[str, ...] = ()


def read_order(fields: Mapping[str, Any], name: str, key: str | None = None) -> Ticket:
    """Make an order of fields and the name of a kept picture."""
    knobs, priority = read_request(fields).to_dict(), int(fields.get("priority", 0))
    digest = hashlib.sha256(json.dumps([knobs, name], sort_keys=True).encode()).hexdigest()
    title = str(fields.get("title") or "")[:LONGEST_TITLE]
    said = ("prompt is ignored: Stable Video Diffusion takes no text",) if fields.get("prompt") else ()
    return Ticket(Order(knobs, name, title, priority, key, digest), said)


def read_request(fields: Mapping[str, Any]) -> Request:
    """Judge all fields at once."""
    named = {name: value for name, value in fields.items() if name not in OWN and value not in (None, "")}
    problems = [f"{name} cannot be set here: {why}" for name, why in NOT_HERE.items() if name in named]
    model = named.get("model", "auto")
    if model not in MODELS:  # a path would name files of the server
        problems.append(f"model must be one of {', '.join(MODELS)}")
    if named.get("format") == "png":
        problems.append("format must be one file: mp4, webm, gif, webp or apng")
    priority = str(fields.get("priority", 0)).removeprefix("-")
    if not (priority.isascii() and priority.isdecimal() and len(priority) < 4 and int(priority) <= MOST_PRIORITY):
        problems.append(f"priority must be a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}")
    try:
        request = match_seconds(Request.from_mapping(named), fields.get("seconds"))
    except RequestError as error:
        raise RequestError([*problems, *error.problems]) from None
    if problems:
        raise RequestError(problems)
    return request


def match_seconds(request: Request, seconds: Any) -> Request:
    """Let the clip last so long: by its number of frames, or where that is given by the rate at which it plays."""
    if seconds in (None, ""):
        return request
    try:
        wanted = float(seconds)
    except (TypeError, ValueError):
        wanted = 0.0
    if not 0.1 <= wanted <= 60:
        raise RequestError("seconds must be a number from 0.1 to 60")
    if request.frames is not None:
        return request.replace(play_fps=request.frames / wanted)
    fps = request.play_fps or request.fps or PRESETS["default"].knobs["fps"]
    return request.replace(frames=min(128, max(2, round(wanted * fps))), play_fps=fps)
