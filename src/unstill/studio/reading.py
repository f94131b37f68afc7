"""Bodies of requests: forms and JSON become fields and a picture. It does not know what the fields mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from unstill.errors import PictureError, RequestError
from unstill.studio.pictures import read_data_url
from unstill.studio.service import Service

NAMES = ("input_reference", "picture")  # of the file in a form
REFERENCES = ("input_reference", "image_reference")  # OpenAI's, and vLLM-Omni's where it is no file
PART_BYTES = 34 * 2**20


@dataclass(frozen=True)
class Given:
    """What came in: plain fields, and a picture as a file or as the name of one that is kept."""

    fields: dict[str, Any]
    upload: bytes | None = None
    kept: str | None = None
    called: str = ""  # the file, by whoever sent it

    async def keep(self, service: Service) -> str:
        """Keep the picture, decoded and encoded anew; give its name."""
        if self.kept is not None:
            return service.folder.find_picture(self.kept).name
        if self.upload is None:
            raise PictureError("input_reference is missing", hint="send a picture as the file input_reference")
        async with service.decoding:
            picture = await asyncio.to_thread(service.purifier.purify, self.upload)
        return await asyncio.to_thread(service.folder.keep_picture, picture)


async def read_fields(request: Request) -> Given:
    """Read a form or a JSON object."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        fields = read_json(await request.body())
        named = [fields.pop(name, None) for name in REFERENCES]
        return refer(fields, next(filter(None, named), None) or {"image_url": fields.pop("image_url", None)})
    async with request.form(max_files=1, max_fields=100, max_part_size=PART_BYTES) as form:
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        file = next((form[name] for name in NAMES if isinstance(form.get(name), UploadFile)), None)
        if isinstance(file, UploadFile):
            return Given(fields, await file.read(), called=file.filename or "")
    written, url = fields.pop("image_reference", None), fields.pop("input_reference", None)
    if written or url:
        return refer(fields, read_json(written.encode()) if written else url)
    return refer(fields, {name: fields.pop(f"input_reference[{name}]", None) for name in ("image_url", "file_id")})


def refer(fields: dict[str, Any], reference: Any) -> Given:
    """Find the picture that a reference means."""
    reference = {"image_url": reference} if isinstance(reference, str) else reference
    if not isinstance(reference, Mapping):
        raise PictureError("input_reference is no picture", hint='{"image_url": "data:image/png;base64,…"} or {"file_id": "…"}')
    url, kept = reference.get("image_url"), reference.get("file_id")
    if isinstance(url, str):
        return Given(fields, read_data_url(url))
    return Given(fields, None, kept if isinstance(kept, str) else None)


def read_json(body: bytes) -> dict[str, Any]:
    """Read an object of plain values."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError("The body is no JSON") from None
    if not isinstance(found, dict):
        raise RequestError("The body must be a JSON object")
    if b"\\ud" in body.lower() and not is_writable(found):
        raise RequestError("The body holds half a character, which nothing can keep")
    return found


def is_writable(found: Any) -> bool:
    """Say whether all texts can be written again; in JSON halves of characters can be escaped one by one."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
