"""The routes of `/v1/videos`: clips are asked for, looked at, fetched, deleted. How they are made they do not know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import NoneType
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

from unstill.errors import JobConflict, RequestError
from unstill.jobs.records import Job
from unstill.jobs.states import COMPLETED, FINAL, QUEUED, RUNNING, STATES
from unstill.jobs.stills import name_still
from unstill.studio.convert import FORMATS, find_format
from unstill.studio.orders import read_order, read_request
from unstill.studio.reading import read_fields, read_json
from unstill.studio.service import Service, service_of
from unstill.studio.shapes import POLL_MS, TYPES, show_video

MOST_LISTED = 100
VARIANTS = ("video", "thumbnail", "spritesheet")
LOOK_S = 0.1  # between two looks at a clip that somebody waits for
KEPT = {"cache-control": "private, max-age=3600"}


async def create(request: Request) -> Response:
    """Take a picture and knobs, and answer with a job that waits."""
    job, warnings = await submit(request)
    return await asyncio.to_thread(answer_video, service_of(request), job, warnings)


async def submit(request: Request) -> tuple[Job, Sequence[str]]:
    """Make a job of a request; give it, and what should be said of it."""
    service, key = service_of(request), request.headers.get("idempotency-key")
    await asyncio.to_thread(service.check_room, key)
    given = await read_fields(request)
    read_request(given.fields)  # before the picture, which takes longer to judge
    ticket = read_order(given.fields, await given.keep(service), key, given.called)
    return await asyncio.to_thread(service.store.submit, ticket.order, service.cap), ticket.warnings


async def create_and_wait(request: Request) -> Response:
    """Take a picture and knobs, and answer with the clip once it is made; whoever leaves meanwhile finds it in the list."""
    service = service_of(request)
    job, _ = await submit(request)
    while job.state not in FINAL and not await request.is_disconnected():
        await asyncio.sleep(LOOK_S)
        job = await asyncio.to_thread(service.store.get, job.id)
    if job.state != COMPLETED:
        why = (job.error or {}).get("message", "nobody waits for it here any more")
        raise JobConflict(f"The clip {job.id} is {job.state}: {why}")
    answer = await content(request, job.id)
    answer.headers["x-request-id"] = job.id
    return answer


def list_videos(
    request: Request, after: str | None = None, limit: str = "20", order: str = "desc", q: str = "", state: str = ""
) -> Response:
    """Give a page of clips: all, or those that hold some words, or are in some states."""
    service = service_of(request)
    states = [word for word in state.split(",") if word]
    is_whole = limit.isascii() and limit.isdecimal() and len(limit) < 4
    problems = [] if is_whole and 1 <= int(limit) <= MOST_LISTED else [f"limit must be a whole number from 1 to {MOST_LISTED}"]
    problems += [] if order in ("asc", "desc") else ["order must be asc or desc"]
    problems += [] if set(states) <= set(STATES) else [f"state must be some of {', '.join(STATES)}"]
    if problems:
        raise RequestError(problems)
    jobs = service.store.list_jobs(
        after=after, limit=int(limit) + 1, newest_first=order == "desc", states=states, words=q.split()
    )
    shown = show_all(service, jobs[: int(limit)])
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return JSONResponse({"object": "list", "data": shown, "has_more": len(jobs) > int(limit), **ends})


def list_queue(request: Request) -> Response:
    """Give the clips that are being made, and those that wait in the order in which they will be."""
    service = service_of(request)
    running = service.store.list_jobs(limit=MOST_LISTED, newest_first=False, states=(RUNNING,))
    waiting = [service.store.get(id) for id in service.store.list_queue()]
    return JSONResponse({"object": "list", "data": show_all(service, [*running, *waiting])})


def show_all(service: Service, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Show jobs as clients see them."""
    waiting = service.store.list_queue() if any(job.state == QUEUED for job in jobs) else []
    return [show_video(job, service, waiting) for job in jobs]


def retrieve(request: Request, id: str) -> Response:
    """Give a clip's state."""
    service = service_of(request)
    return answer_video(service, service.store.get(id))


def delete(request: Request, id: str) -> Response:
    """Delete a clip and its file; a job that runs is cancelled, and deleted once it has ended."""
    service = service_of(request)
    gone = service.store.delete(id)
    if gone.state == RUNNING:
        return JSONResponse({"id": id, "object": "video.deleted", "deleted": False}, status_code=202)
    if gone.output is not None:
        service.folder.remove_output(gone.output)
    return JSONResponse({"id": id, "object": "video.deleted", "deleted": True})


async def content(request: Request, id: str, variant: str = "video", format: str = "") -> Response:
    """Give the clip's file, in another format if one is asked for; or a still of it, or all its frames on a sheet."""
    service = service_of(request)
    job = await asyncio.to_thread(service.store.get, id)
    if variant not in VARIANTS or format not in ("", *FORMATS):
        raise RequestError(f"variant must be one of {', '.join(VARIANTS)}, and format one of {', '.join(FORMATS)}")
    if job.state != COMPLETED or job.output is None:
        raise JobConflict(f"The clip is {job.state}, and has no content yet")
    place = service.folder.outputs / job.output
    if variant != "video":
        place = name_still(place, variant)
    elif format:
        async with service.converting:
            place = await asyncio.to_thread(find_format, place, format)
    try:
        found = place.stat()
    except FileNotFoundError:
        raise HTTPException(410, "The clip is no longer kept") from None
    kind = place.suffix.removeprefix(".")
    tag = f'"{job.output_sha256}"' if place.name == job.output else f'"{job.output_sha256}-{variant}-{kind}"'
    headers = {"etag": tag, **KEPT}
    return FileResponse(place, media_type=TYPES[kind], filename=f"{id}.{kind}", headers=headers, stat_result=found)


def preview(request: Request, id: str) -> Response:
    """Show what the last step of a running clip shows."""
    service = service_of(request)
    service.store.get(id)
    try:
        return Response(service.folder.place_preview(id).read_bytes(), media_type="image/webp")
    except FileNotFoundError:
        raise HTTPException(404, "There is nothing to be seen of the clip yet, or it is finished") from None


def report(request: Request, id: str) -> Response:
    """Give all that was measured of a clip, curves included, and how it was made."""
    job = service_of(request).store.get(id)
    if job.report is None:
        raise JobConflict(f"The clip is {job.state}, and has no report")
    return JSONResponse(job.report)


def cancel(request: Request, id: str) -> Response:
    """Cancel a clip, at once or within a step."""
    service = service_of(request)
    return answer_video(service, service.store.cancel(id))


def retry(request: Request, id: str) -> Response:
    """Let a clip wait again."""
    service = service_of(request)
    return answer_video(service, service.store.retry(id))


async def move(request: Request, id: str) -> Response:
    """Let a clip that waits be made before another one, or last."""
    service, fields = service_of(request), read_json(await request.body())
    before = fields.get("before")
    if fields.keys() - {"before"} or not isinstance(before, (str, NoneType)):
        raise RequestError("before must be the id of a clip that waits, or null for the end")
    await asyncio.to_thread(service.store.move, id, before)
    return answer_video(service, await asyncio.to_thread(service.store.get, id))


def answer_video(service: Service, job: Job, warnings: Sequence[str] = ()) -> Response:
    """Answer with a clip's state, and when to ask again."""
    waiting = service.store.list_queue() if job.state == QUEUED else []
    return JSONResponse(show_video(job, service, waiting, warnings), headers={"openai-poll-after-ms": str(POLL_MS)})
