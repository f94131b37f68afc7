"""The application: every route and who answers it, and what all answers have in common.

It keeps nothing in memory that a restart would lose. It does not know how clips are made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import unstill
from unstill.errors import RequestError, UnstillError
from unstill.studio import drafts, events, health, openapi, page, session, videos
from unstill.studio.guard import Guard, TooMuch
from unstill.studio.service import Service


def make_app(service: Service, host: str = "127.0.0.1", key: str | None = None) -> Guard:
    """Put the application together."""
    app = FastAPI(title="unstill", version=unstill.__version__, docs_url=None, redoc_url=None)
    app.state.service = service
    for kind, explain in HANDLERS.items():
        app.add_exception_handler(kind, explain)
    app.get("/", include_in_schema=False)(page.show_page)
    app.get("/static/{name}", include_in_schema=False)(page.show_file)
    app.get("/v1/session", summary="Is a key needed, and is it known")(session.show)
    app.post("/v1/session", summary="Let a browser in that knows the key")(session.enter)
    app.delete("/v1/session", summary="Forget that a browser knows the key")(session.leave)
    app.post("/v1/pictures", summary="Keep a picture")(drafts.keep_picture)
    app.get("/v1/pictures/{id}", summary="Fetch a kept picture")(drafts.show_picture)
    app.post("/v1/plan", summary="See what would be made")(drafts.make_plan)
    app.get("/v1/knobs", summary="See what can be set")(drafts.list_knobs)
    app.get("/v1/models", summary="See which models there are")(drafts.list_models)
    app.get("/v1/queue", summary="List clips as they will be made")(videos.list_queue)
    app.post("/v1/videos", summary="Ask for a clip")(videos.create)
    app.post("/v1/videos/sync", summary="Ask for a clip and wait for its file")(videos.create_and_wait)
    app.get("/v1/videos", summary="List clips, the newest first")(videos.list_videos)
    app.get("/v1/videos/{id}", summary="See how far a clip is")(videos.retrieve)
    app.delete("/v1/videos/{id}", summary="Delete a clip; one that runs is cancelled first")(videos.delete)
    app.get("/v1/videos/{id}/content", summary="Fetch the clip")(videos.content)
    app.get("/v1/videos/{id}/preview", summary="See what the last step shows")(videos.preview)
    app.get("/v1/videos/{id}/report", summary="See all that was measured")(videos.report)
    app.post("/v1/videos/{id}/move", summary="Let a clip be made before another one")(videos.move)
    app.post("/v1/videos/{id}/cancel", summary="Cancel a clip")(videos.cancel)
    app.post("/v1/videos/{id}/retry", summary="Ask again for a clip that failed or was cancelled")(videos.retry)
    app.get("/v1/videos/{id}/events", summary="Follow a clip")(events.follow)
    app.get("/v1/events", summary="Follow all clips")(events.follow_all)
    app.get("/healthz", summary="Is the server there")(health.healthz)
    app.get("/readyz", summary="Can it make clips")(health.readyz)
    app.get("/metrics", summary="Counts for Prometheus")(health.metrics)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    guard = app.state.guard = Guard(app, host, key)
    return guard


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
    code = {404: "not_found", 405: "method_not_allowed", 410: "gone"}.get(error.status_code, "bad_request")
    answer = explain(error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})  # which methods are allowed, for one
    return answer


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
