"""Browsers that know the key: they show it once and get a cookie, as pictures and events cannot be asked for with a header."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from unstill.errors import RequestError
from unstill.studio.guard import COOKIE, Guard, make_token
from unstill.studio.reading import read_json


def guard_of(request: Request) -> Guard:
    """Give who decides who comes in."""
    guard: Guard = request.app.state.guard
    return guard


def show(request: Request) -> Response:
    """Say whether a key is needed, and whether this browser has shown it."""
    guard, headers = guard_of(request), {name: value.decode("latin-1") for name, value in request.headers.raw}
    return JSONResponse({"needs_key": guard.key is not None, "is_open": guard.knows(headers)})


async def enter(request: Request) -> Response:
    """Let a browser in that knows the key."""
    guard, given = guard_of(request), read_json(await request.body()).get("key")
    if not guard.is_key(given if isinstance(given, str) else ""):
        raise RequestError("That is not the key", hint="it is what UNSTILL_KEY was when the server was started")
    answer = Response(status_code=204)
    if guard.key is not None:
        token, is_safe = make_token(guard.key).decode(), request.url.scheme == "https"
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=is_safe)
    return answer


def leave() -> Response:
    """Forget that a browser knew the key."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
