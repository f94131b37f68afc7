"""What a job asks for, read, and what came of it, told, wherever its clip is made. It does not know where that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unstill.errors import RequestError
from unstill.request import Request

if TYPE_CHECKING:
    from unstill.artifacts import Clip

SUFFIXES = {"auto": ".mp4", "mp4": ".mp4", "webm": ".webm", "gif": ".gif", "webp": ".webp", "apng": ".apng"}


def read_request(knobs: Mapping[str, Any], device: str) -> Request:
    """Read what is asked for; it is made on this device."""
    request = Request.from_mapping(knobs).replace(device=device)
    if request.takes > 1 or request.format == "png":
        raise RequestError("a job is one clip in one file", hint="leave takes and format png out")
    return request


def name_suffix(request: Request) -> str:
    """Say how the name of the clip ends."""
    return ".webm" if request.codec == "vp9" else SUFFIXES[request.format]


def tell_report(clip: Clip) -> dict[str, Any]:
    """Tell what was made, and what the knobs were that the model or a preset decided."""
    settled = {**clip.request.to_dict(), "model": clip.recipe["model"]["name"]}  # what `auto` was
    return {**clip.report.to_dict(), "knobs": settled}
