"""A client of `unstill serve`: ask for clips, wait for them, fetch them, whatever happens on the way.

    from unstill.client import Client
    Client("http://127.0.0.1:8000").animate("photo.jpg", "clip.mp4", motion=180)

    video     a clip as it is seen from here          transfer    pictures sent, clips fetched, patience
    answers   JSON, errors and events

A server that restarts and a connection that breaks are waited for, and what was asked for once is made once.
It imports neither torch nor the server, and does not know how clips are made.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from unstill.client.answers import Happening, read_answer, read_events
from unstill.client.transfer import PictureSource, Tries, fetch, name_picture, read_picture, write_aside
from unstill.client.video import Video
from unstill.errors import Cancelled, RequestError, ServerError, make_error
from unstill.formats import SUFFIXES

__all__ = ["Client", "Video"]

WAIT_S = httpx2.Timeout(60.0, connect=10.0)  # a server that has nothing to tell gives a sign of life every 15 s
CONVERT_S = httpx2.Timeout(330.0, connect=10.0)  # making another format may take so long before the first byte comes
PATIENCE_S = 60.0  # a server may take so long to come back
POLL_S = 1.0  # between two looks, where events do not come through
PAGE = 100  # the most that a server lists at once


class Client:
    """A server of clips. It may be used from several threads."""

    def __init__(self, url: str = "http://127.0.0.1:8000", key: str | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self.url, self.patience_s = url.rstrip("/").removesuffix("/v1"), patience_s
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(base_url=self.url, headers=headers, timeout=WAIT_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *caught: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def create(self, picture: PictureSource, /, **knobs: Any) -> Video:
        """Ask for a clip of a picture: its path, its bytes, or an open file. Besides knobs: `seconds`, `title`, `priority`."""
        fields = {name: write_field(value) for name, value in knobs.items() if value is not None}
        # A server makes one job of one key: a request whose answer was lost can be sent again.
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        files = {"input_reference": (name_picture(picture), read_picture(picture))}
        return Video.from_answer(self._ask("POST", "/v1/videos", data=fields, files=files, headers=headers))

    def get(self, id: str) -> Video:
        """Say how far a clip is."""
        return Video.from_answer(self._ask("GET", name_route(id)))

    def list(
        self, *, newest_first: bool = True, after: str | None = None, q: str | None = None, state: Sequence[str] = ()
    ) -> Iterator[Video]:
        """Give all clips, in pages that are fetched as they are needed; `q` looks for words, `state` for states."""
        query = {"limit": str(PAGE), "order": "desc" if newest_first else "asc"}
        query |= {"q": q} if q else {}
        query |= {"state": ",".join(state)} if state else {}
        while True:
            page = self._ask("GET", "/v1/videos", params={**query, **({"after": after} if after else {})})
            yield from map(Video.from_answer, page["data"])
            if not page["has_more"]:
                return
            after = page["last_id"]

    def follow(self, id: str) -> Iterator[Video]:
        """Give a clip with every change, until it has ended."""
        video, last = self.get(id), 0
        while not video.is_over:
            with suppress(httpx2.TransportError):  # the next time the server tells what came after the last
                for told in self._listen(id, last):
                    last, video = told.number, video.after(told.kind, told.data)
                    if not video.is_over:
                        yield video
            video = self.get(id)
            if not video.is_over:
                yield video
                time.sleep(POLL_S)
        yield video

    def wait(self, id: str, watch: Callable[[Video], None] | None = None) -> Video:
        """Wait until a clip has ended, however it ends; `watch` is called with every change."""
        for video in self.follow(id):
            if watch is not None:
                watch(video)
        return video

    def download(self, id: str, path: str | os.PathLike[str], format: str | None = None) -> Path:
        """Fetch a finished clip: whole and under its name, or not at all. Another format is made of it by the server."""
        query, patience = ({"format": format}, CONVERT_S) if format else ({}, WAIT_S)
        plain = {"Accept-Encoding": "identity"}  # parts of what a proxy has packed do not fit together
        asked = self._http.build_request("GET", f"{name_route(id)}/content", params=query, headers=plain, timeout=patience)
        with write_aside(Path(path)) as file:
            fetch(self._http, asked, file, Tries(self.url, self.patience_s))
        return Path(path)

    def cancel(self, id: str) -> Video:
        """Cancel a clip: at once if it waits, within a step if it runs."""
        return Video.from_answer(self._ask("POST", f"{name_route(id)}/cancel"))

    def retry(self, id: str) -> Video:
        """Let a clip that failed or was cancelled wait again."""
        return Video.from_answer(self._ask("POST", f"{name_route(id)}/retry", is_repeatable=False))

    def delete(self, id: str) -> bool:
        """Delete a clip and its file; one that runs is only cancelled, and False is given."""
        return bool(self._ask("DELETE", name_route(id), is_repeatable=False)["deleted"])

    def animate(
        self, picture: PictureSource, out: str | os.PathLike[str], watch: Callable[[Video], None] | None = None, **knobs: Any
    ) -> Video:
        """Ask for a clip, wait for it and fetch it, in the format that the name of the file says."""
        kind = SUFFIXES.get(Path(out).suffix.lower(), "png")
        if kind == "png":
            raise RequestError(f"{Path(out).name} must end in {', '.join(filter(None, SUFFIXES))}, to tell its format")
        video = self.wait(self.create(picture, **{"format": kind, **knobs}).id, watch)
        if not video.is_completed:
            raise make_error(video.error or {}, Cancelled if video.state == "cancelled" else ServerError)
        self.download(video.id, out)
        return video

    def _ask(self, method: str, path: str, *, is_repeatable: bool = True, **more: Any) -> Any:
        """Ask, again while nothing answers. What must not be repeated is sent again only if it cannot have arrived."""
        tries = Tries(self.url, self.patience_s)
        while True:
            try:
                return read_answer(self._http.request(method, path, **more))
            except httpx2.ConnectError as error:
                tries.pause(error)
            except httpx2.TransportError as error:
                if not is_repeatable:
                    raise ServerError(f"The answer of {self.url} was lost: {error}", hint="look whether it was done") from error
                tries.pause(error)

    def _listen(self, id: str, last: int) -> Iterator[Happening]:
        """Give what happens to a clip after an event; nothing, where events do not come through."""
        headers = {"Last-Event-ID": str(last)}
        with self._http.stream("GET", f"{name_route(id)}/events", headers=headers) as answer:
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                yield from read_events(answer.iter_lines())


def name_route(id: str) -> str:
    """Give the route of a clip."""
    return f"/v1/videos/{quote(id, safe='')}"


def write_field(value: object) -> str:
    """Write a value as forms have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
