"""Fields of a request become an order: names of OpenAI's video API, of other servers that speak it, of SVD, and our own knobs.

It does not know HTTP, nor how orders are kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unstill import values
from unstill.catalog.known import CATALOG, suggest
from unstill.errors import RequestError
from unstill.jobs.records import Order
from unstill.request import BUNDLED, PRESETS, Request

OWN = {"seconds", "priority", "title"}  # fields that are no knobs
_TEXT = "Stable Video Diffusion takes no text"
_GUIDANCE = "guidance is min_guidance_scale at the first frame, max_guidance_scale at the last"
_ONE_NETWORK = "there is one network here, with noise levels of its own"
_SILENT = "clips have no sound"
_BETWEEN = "frames between are made by smooth, which names a rate"
IGNORED = {  # what clients of OpenAI, vLLM-Omni and SGLang send, and what a clip is as good without
    "prompt": _TEXT, "negative_prompt": _TEXT, "max_sequence_length": _TEXT,
    "guidance_scale": _GUIDANCE, "guidance_scale_2": _GUIDANCE, "true_cfg_scale": _GUIDANCE,
    "boundary_ratio": _ONE_NETWORK, "flow_shift": _ONE_NETWORK, "extra_params": "it is for other models",
    "generate_sound": _SILENT, "sound_duration": _SILENT,
    "enable_frame_interpolation": _BETWEEN, "frame_interpolation_exp": _BETWEEN, "frame_interpolation_scale": _BETWEEN,
    "enable_teacache": "no step is left out", "generator_device": "a seed means the same clip everywhere",
    "user": "nobody counts who asks",
}  # fmt: skip
NOT_HERE = {
    "device": "the server chooses it",
    "takes": "a job is one clip: post several",
    "max_memory": "the server knows its memory",
}
LONGEST_TITLE = 200
LONGEST_NAME = 200  # of a model that is looked for among the known ones
NAMELESS = {"blob", "file", "image", "picture", "upload"}  # what browsers and libraries call a file that has no name
READ_PRIORITY, READ_SECONDS = values.whole(-100, 100), values.number(0.1, 60)
MODELS = ("auto", BUNDLED, *CATALOG)


@dataclass(frozen=True)
class Ticket:
    """An order, and what should be said of it."""

    order: Order
    warnings: tuple[str, ...] = ()


def read_order(fields: Mapping[str, Any], name: str, key: str | None = None, called: str = "") -> Ticket:
    """Make an order of fields and the name of a kept picture; what its file was called is the title, unless one is given."""
    knobs, given = read_request(fields).to_dict(), list_given(fields)
    digest = hashlib.sha256(json.dumps([knobs, name], sort_keys=True).encode()).hexdigest()
    said = tuple(f"{name} is ignored: {IGNORED[name]}" for name in given if name in IGNORED)
    title, priority = str(given.get("title") or title_of(called)), READ_PRIORITY(given.get("priority", 0))
    return Ticket(Order(knobs, name, title[:LONGEST_TITLE], priority, key, digest), said)


def title_of(called: str) -> str:
    """Make a title of what a file is called: the end of its path, without suffix, in letters that can be shown."""
    end = re.split(r"[/\\]", called)[-1]
    stem = end.rpartition(".")[0] or end
    title = " ".join("".join(letter if letter.isprintable() else " " for letter in stem).split())
    return "" if title.lower() in NAMELESS else title


def read_request(fields: Mapping[str, Any]) -> Request:
    """Judge all fields at once."""
    given = {name: value for name, value in list_given(fields).items() if name not in IGNORED}
    deep = [name for name, value in given.items() if not is_plain(value)]
    named = {name: value for name, value in given.items() if name not in OWN and name not in deep}
    problems = [f"{values.show(name)} must be a text, a number, true or false" for name in deep] + find_problems(named)
    try:
        READ_PRIORITY(given.get("priority", 0) if "priority" not in deep else 0)
    except ValueError as error:
        problems.append(f"priority {error}")
    try:
        request = match_seconds(Request.from_mapping(named), given.get("seconds") if "seconds" not in deep else None)
    except RequestError as error:
        raise RequestError([*problems, *error.problems]) from None
    if problems:
        raise RequestError(problems)
    return request


def list_given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that say something, by one spelling."""
    return {name.replace("-", "_"): value for name, value in fields.items() if value not in (None, "")}


def is_plain(value: object) -> bool:
    """Say whether a value is one, or a few such, as a size may be; JSON can be nested deeper than it could be shown."""
    if isinstance(value, list):
        return len(value) <= 4 and not any(isinstance(part, (list, dict)) for part in value)
    return not isinstance(value, dict)


def find_problems(named: Mapping[str, Any]) -> list[str]:
    """Say which knobs cannot be set from outside, whatever their values."""
    problems = [f"{name} cannot be set here: {why}" for name, why in NOT_HERE.items() if name in named]
    if named.get("model", "auto") not in MODELS:  # a path would name files of the server
        near = suggest(str(named["model"])[:LONGEST_NAME])
        problems.append(f"model must be one of {', '.join(MODELS)}" + (f"; did you mean {near}?" if near else ""))
    if named.get("format") == "png":
        problems.append("format must be one file: mp4, webm, gif, webp or apng")
    return problems


def match_seconds(request: Request, seconds: Any) -> Request:
    """Let the clip last so long: by its number of frames, or where that is given by the rate at which it plays."""
    if seconds in (None, ""):
        return request
    try:
        wanted = READ_SECONDS(seconds)
    except ValueError as error:
        raise RequestError(f"seconds {error}") from None
    if request.frames is not None:
        return request.replace(play_fps=request.frames / wanted)
    fps = request.play_fps or request.fps or PRESETS["default"].knobs["fps"]
    return request.replace(frames=min(128, max(2, round(wanted * fps))), play_fps=fps)
