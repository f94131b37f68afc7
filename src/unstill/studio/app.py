"""The routes: `/v1/videos` in the shape that clients speak, events, and what an operator looks at.

It keeps nothing in memory that a restart would lose. It does not know how clips are made.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

import unstill
from unstill.errors import PictureError, RequestError, UnstillError
from unstill.jobs.files import Folder
from unstill.jobs.states import COMPLETED, FINAL, STATES
from unstill.jobs.store import Store
from unstill.studio.guard import Guard, TooMuch
from unstill.studio.orders import read_order
from unstill.studio.pictures import purify, read_data_url
from unstill.studio.videos import POLL_MS, TYPES, show_event, show_video

MOST_LISTED = 100
LOOK_S = 0.1  # between two looks for events
QUIET_S = 15.0  # then a comment is sent, so that nobody in between takes the line for dead
AT_ONCE = 2  # pictures that are decoded at a time


@dataclass
class Service:
    """What the routes work on."""

    folder: Folder
    store: Store
    cap: int = 100  # jobs that may wait
    keep_s: float | None = None  # how long ended jobs are kept
    is_ready: Callable[[], bool] = lambda: True
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


def make_app(service: Service, host: str = "127.0.0.1", key: str | None = None) -> Guard:
    """Put the application together."""
    app = FastAPI(title="unstill", version=unstill.__version__, docs_url=None, redoc_url=None)
    app.state.service = service
    for kind, explain in HANDLERS.items():
        app.add_exception_handler(kind, explain)
    app.post("/v1/videos", summary="Ask for a clip")(create)
    app.get("/v1/videos", summary="List clips, the newest first")(list_videos)
    app.get("/v1/videos/{id}", summary="See how far a clip is")(retrieve)
    app.delete("/v1/videos/{id}", summary="Delete a clip; one that runs is cancelled first")(delete)
    app.get("/v1/videos/{id}/content", summary="Fetch the clip")(content)
    app.post("/v1/videos/{id}/cancel", summary="Cancel a clip")(cancel)
    app.post("/v1/videos/{id}/retry", summary="Ask again for a clip that failed or was cancelled")(retry)
    app.get("/v1/videos/{id}/events", summary="Follow a clip")(follow)
    app.get("/v1/events", summary="Follow all clips")(follow_all)
    app.get("/healthz", summary="Is the server there")(healthz)
    app.get("/readyz", summary="Can it make clips")(readyz)
    app.get("/metrics", summary="Counts for Prometheus")(metrics)
    return Guard(app, host, key)


def service_of(request: Request) -> Service:
    """Give what the routes work on."""
    service: Service = request.app.state.service
    return service


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


def follow(request: Request, id: str) -> Response:
    """Send what happens to a clip until it has ended, from `Last-Event-ID` on."""
    service_of(request).store.get(id)
    return stream(request, id)


def follow_all(request: Request) -> Response:
    """Send what happens to all clips."""
    return stream(request, None)


def stream(request: Request, id: str | None) -> Response:
    """Send events as they come."""
    given = request.headers.get("last-event-id", "0")
    after = int(given) if given.isdecimal() and len(given) < 19 else 0
    return StreamingResponse(send_events(request, id, after), media_type="text/event-stream")


async def send_events(request: Request, id: str | None, after: int) -> AsyncIterator[str]:
    """Look into the store again and again; it is what survives."""
    store, quiet = service_of(request).store, 0.0
    while not await request.is_disconnected():
        events = await asyncio.to_thread(store.list_events, after, id)
        for event in events:
            after = event.id
            yield show_event(event)
            if id is not None and event.kind in FINAL:
                return
        quiet = 0.0 if events else quiet + LOOK_S
        if quiet >= QUIET_S:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)


def healthz() -> Response:
    """Say that the server answers."""
    return PlainTextResponse("ok\n")


def readyz(request: Request) -> Response:
    """Say whether jobs can be taken and made."""
    service = service_of(request)
    is_ready = service.is_ready() and service.store.count() is not None
    return PlainTextResponse("ready\n" if is_ready else "no worker runs\n", status_code=200 if is_ready else 503)


def metrics(request: Request) -> Response:
    """Give counts."""
    counts = service_of(request).store.count()
    lines = ["# HELP unstill_jobs Jobs by state.", "# TYPE unstill_jobs gauge"]
    return PlainTextResponse(
        "\n".join([*lines, *(f'unstill_jobs{{state="{state}"}} {counts.get(state, 0)}' for state in STATES), ""])
    )


def answer_video(video: dict[str, Any]) -> Response:
    """Answer with a clip's state, and when to ask again."""
    return JSONResponse(video, headers={"openai-poll-after-ms": str(POLL_MS)})


def explain(status: int, code: str, message: str, **more: Any) -> Response:
    """Answer with an error in the shape that clients read."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    headers = {"retry-after": "5"} if status in (429, 503) else None
    return JSONResponse({"error": {"message": message, "type": kind, "code": code, "param": None, **more}}, status, headers)


async def explain_own(request: Request, error: Exception) -> Response:
    """Explain what unstill itself says."""
    assert isinstance(error, UnstillError)
    more = {"problems": list(error.problems)} if isinstance(error, RequestError) else {}
    return explain(error.http_status, error.code, error.message, hint=error.hint, **more)


async def explain_http(request: Request, error: Exception) -> Response:
    """Explain a route that is none, or a state that does not allow it."""
    assert isinstance(error, HTTPException)
    return explain(
        error.status_code, {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "conflict"), str(error.detail)
    )


async def explain_body(request: Request, error: Exception) -> Response:
    """Explain a body that is too large or too slow."""
    assert isinstance(error, TooMuch)
    return explain(error.status, error.code, error.message)


async def explain_shape(request: Request, error: Exception) -> Response:
    """Explain parameters that are not what they should be."""
    return explain(422, "bad_request", "The parameters are not what this route takes")


Handler = Callable[[Request, Exception], Awaitable[Response]]
HANDLERS: dict[type[Exception], Handler] = {
    UnstillError: explain_own,
    HTTPException: explain_http,
    TooMuch: explain_body,
    RequestValidationError: explain_shape,
}
