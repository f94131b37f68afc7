"""The routes of `/v1/videos`: clips are asked for, looked at, fetched, deleted. How they are made they do not know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from unstill.errors import PictureError, RequestError
from unstill.jobs.states import COMPLETED, FINAL
from unstill.studio.orders import read_order
from unstill.studio.pictures import purify, read_data_url
from unstill.studio.service import service_of
from unstill.studio.shapes import POLL_MS, TYPES, show_video

MOST_LISTED = 100


async def create(request: Request) -> Response:
    """Take a picture and knobs, and answer with a job that waits."""
    service, key = service_of(request), request.headers.get("idempotency-key")
    fields, upload = await read_fields(request)
    async with service.decoding:
        picture = await asyncio.to_thread(purify, upload)
    ticket = await asyncio.to_thread(read_order, fields, picture, service.folder.keep_picture, key)
    job = await asyncio.to_thread(service.store.submit, ticket.order, service.cap)
    return answer_video(show_video(job, keep_s=service.keep_s, warnings=ticket.warnings))


async def read_fields(request: Request) -> tuple[dict[str, Any], bytes]:
    """Read a form or a JSON object: its fields, and the picture in it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        fields = read_json(await request.body())
        reference = fields.pop("input_reference", None)
        given = reference.get("image_url") if isinstance(reference, Mapping) else None
        if not isinstance(given, str):
            raise PictureError(
                "input_reference is missing", hint='{"input_reference": {"image_url": "data:image/png;base64,…"}}'
            )
        return fields, read_data_url(given)
    async with request.form(max_files=1, max_fields=100, max_part_size=34 * 2**20) as form:
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        file = form.get("input_reference")
        url = fields.pop("input_reference[image_url]", None)
        if isinstance(file, UploadFile):
            return fields, await file.read()
    if url is None:
        raise PictureError("input_reference is missing", hint="send a picture as the file input_reference")
    return fields, read_data_url(url)


def read_json(body: bytes) -> dict[str, Any]:
    """Read an object of plain values."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError("The body is no JSON") from None
    if not isinstance(found, dict):
        raise RequestError("The body must be a JSON object")
    return found


def list_videos(request: Request, after: str | None = None, limit: str = "20", order: str = "desc") -> Response:
    """Give a page of clips."""
    service = service_of(request)
    if not limit.isdecimal() or not 1 <= int(limit) <= MOST_LISTED or order not in ("asc", "desc"):
        raise RequestError([f"limit must be a whole number from 1 to {MOST_LISTED}, and order asc or desc"])
    jobs = service.store.list_jobs(after=after, limit=int(limit) + 1, newest_first=order == "desc")
    shown = [show_video(job, keep_s=service.keep_s) for job in jobs[: int(limit)]]
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return JSONResponse({"object": "list", "data": shown, "has_more": len(jobs) > int(limit), **ends})


def retrieve(request: Request, id: str) -> Response:
    """Give a clip's state."""
    service = service_of(request)
    return answer_video(show_video(service.store.get(id), keep_s=service.keep_s))


def delete(request: Request, id: str) -> Response:
    """Delete a clip and its file; a job that has not ended is cancelled and deleted once it has."""
    service = service_of(request)
    if service.store.get(id).state not in FINAL:
        job = service.store.cancel(id)
        if job.state not in FINAL:
            return JSONResponse({"id": id, "object": "video.deleted", "deleted": False}, status_code=202)
    gone = service.store.delete(id)
    if gone.output is not None:
        (service.folder.outputs / gone.output).unlink(missing_ok=True)
    return JSONResponse({"id": id, "object": "video.deleted", "deleted": True})


def content(request: Request, id: str, variant: str = "video") -> Response:
    """Give the clip's file."""
    service = service_of(request)
    job = service.store.get(id)
    if variant != "video":
        raise RequestError("variant must be video")
    if job.state != COMPLETED or job.output is None:
        raise HTTPException(409, f"The clip is {job.state}, and has no content yet")
    place = service.folder.outputs / job.output
    if not place.exists():
        raise HTTPException(410, "The clip is no longer kept")
    kind = place.suffix.removeprefix(".")
    return FileResponse(place, media_type=TYPES[kind], filename=f"{id}.{kind}", headers={"etag": f'"{job.output_sha256}"'})


def cancel(request: Request, id: str) -> Response:
    """Cancel a clip, at once or within a step."""
    service = service_of(request)
    return answer_video(show_video(service.store.cancel(id), keep_s=service.keep_s))


def retry(request: Request, id: str) -> Response:
    """Let a clip wait again."""
    service = service_of(request)
    return answer_video(show_video(service.store.retry(id), keep_s=service.keep_s))


def answer_video(video: dict[str, Any]) -> Response:
    """Answer with a clip's state, and when to ask again."""
    return JSONResponse(video, headers={"openai-poll-after-ms": str(POLL_MS)})
