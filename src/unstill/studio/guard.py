"""Who may come in, how much may be sent, and for how long: an ASGI layer around the whole application.

It does not know routes.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 34 * 2**20  # a picture of 32 MiB, and the form around it
BODY_S = 60.0  # for all of a body, however slowly it comes
OPEN = {"/", "/healthz", "/readyz", "/v1/session"}  # what may be asked without a key
OPEN_FILES = "/static/"
COOKIE = "unstill"
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Refuse strangers, floods and drips before a route sees them."""

    def __init__(self, app: App, host: str, key: str | None = None) -> None:
        self.app, self.host, self.key = app, host, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._find_fault(scope, headers)
        if refused is not None:
            await answer(send, *refused)
            return
        started = False

        async def tell(message: Message) -> None:
            """Send an answer with the headers that all have."""
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = list(message.get("headers", []))
                said = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(header for header in HEADERS if header[0] not in said)]
            await send(message)

        try:
            await self.app(scope, Limit(receive), tell)
        except TooMuch as fault:
            if not started:
                await answer(send, fault.status, fault.code, fault.message)

    def _find_fault(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str, str] | None:
        """Say why a request is refused, if it is."""
        if not self._is_own(headers.get(b"host", "")):
            return 421, "bad_host", "This server does not go by that name"
        origin = headers.get(b"origin")
        if origin is not None and origin.partition("://")[2] != headers.get(b"host"):
            return 403, "bad_origin", "Pages of other addresses may not use this server"
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > MOST_BYTES:
            return 413, "too_large", f"At most {MOST_BYTES} bytes are taken"
        if not is_open(scope["path"]) and not self.knows(headers):
            return 401, "bad_key", "A key is needed: Authorization: Bearer …"
        return None

    def knows(self, headers: Mapping[bytes, str]) -> bool:
        """Say whether somebody has the key: in a header, or as a browser that was let in before."""
        if self.key is None:
            return True
        given = headers.get(b"authorization", "").removeprefix("Bearer ")
        return self.is_key(given) or hmac.compare_digest(read_cookie(headers.get(b"cookie", "")).encode(), make_token(self.key))

    def is_key(self, given: str) -> bool:
        """Compare in a time that tells nothing."""
        return self.key is None or hmac.compare_digest(given.encode(), self.key.encode())

    def _is_own(self, host: str) -> bool:
        """Say whether a name is ours: an address, localhost, or what it was started with; others may be a page's trick."""
        name = read_host(f"//{host}")
        if name in ("localhost", self.host, "testserver"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def read_host(address: str) -> str:
    """Read the name in an address; one that is none is nobody's."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def is_open(path: str) -> bool:
    """Say whether a path may be asked for without a key."""
    return path in OPEN or path.startswith(OPEN_FILES)


def make_token(key: str) -> bytes:
    """Make what a browser shows in place of the key; the key cannot be told from it."""
    return hmac.new(key.encode(), b"a browser that was let in", "sha256").hexdigest().encode()


def read_cookie(header: str) -> str:
    """Find what a browser shows, if it shows anything."""
    cookies = SimpleCookie()
    with suppress(CookieError):
        cookies.load(header)
    return cookies[COOKIE].value if COOKIE in cookies else ""


class TooMuch(Exception):
    """A body that is too large, or too slow."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Limit:
    """Count what comes in, and for how long it has been coming."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes, self._is_whole = receive, 0, False
        self._end = asyncio.get_running_loop().time() + BODY_S

    async def __call__(self) -> Message:
        """Receive the next part."""
        if self._is_whole:
            return await self._receive()  # what follows a body is only whether the client is still there
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            raise TooMuch(408, "too_slow", f"The request took more than {BODY_S:g} s to arrive") from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > MOST_BYTES:
            raise TooMuch(413, "too_large", f"At most {MOST_BYTES} bytes are taken")
        self._is_whole = not message.get("more_body", False)
        return message


async def answer(send: Send, status: int, code: str, message: str) -> None:
    """Answer with an error in the shape that clients read."""
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    headers += [(b"connection", b"close")] if status in (408, 413) else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
