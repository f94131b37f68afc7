"""A server for tests: it is forked, killed and started again on the same port, and remembers what it answered.

It does not know what is tested.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from arms import Arm
from forks import Forks
from invariants import check_invariants
from server import HARBOUR, find_port
from unstill.jobs.files import Folder
from unstill.jobs.records import Output
from unstill.jobs.store import Store

QUICK = {
    "model": "pocket",
    "size": "64x64",
    "num_frames": 2,
    "num_inference_steps": 1,
    "seed": 1,
    "look": False,
    "measure": False,
}
CLIP = Output("0" * 32 + ".mp4", "", 0, {})  # one that no worker made


def wait_until(condition: Callable[[], Any], what: str, most_s: float = 240.0) -> Any:
    """Wait for something to be so, as long as a busy machine may need; give what it is."""
    end = time.monotonic() + most_s
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {most_s:g} s"
        time.sleep(0.02)
    return found


class Served:
    """A server of a folder; by itself it has no workers."""

    def __init__(
        self, forks: Forks, folder: Path, *options: str, arms: tuple[Arm, ...] = (), has_workers: bool | None = None, **put: Any
    ) -> None:
        self.forks, self.folder, self.options, self.put = forks, folder, options, put
        self.port, self.log = find_port(), folder.parent / "server.log"
        self.has_workers = False if "--device" not in options else has_workers  # as /readyz should say; None: nobody looks
        self.answers: list[tuple[int, str]] = []
        self.http = httpx2.Client(
            timeout=240, base_url=f"http://127.0.0.1:{self.port}"
        )  # a busy machine is no fault of the server
        self.store = Store(Folder(folder).make().store)
        self.start(*arms)

    def start(self, *arms: Arm) -> None:
        """Serve, and wait until it answers."""
        self.process = self.forks.serve(self.folder, self.port, *self.options, arms=arms, log=self.log, **self.put)
        wait_until(self.is_there, "the server's coming up")

    def is_there(self) -> bool:
        """Say whether it answers."""
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self, *signals: int) -> int:
        """Ask it to leave; give its exit code."""
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
        return self.process.wait()

    @property
    def pid(self) -> int:
        """The process that serves now."""
        return self.process.pid

    def ask(self, method: str, path: str, **told: Any) -> httpx2.Response:
        """Ask, and remember the answer."""
        answer = self.http.request(method, path, **told)
        kind = answer.headers.get("content-type", "")
        self.answers.append((answer.status_code, answer.text if kind.startswith(("application/json", "text/")) else ""))
        return answer

    def get(self, path: str, **told: Any) -> httpx2.Response:
        """Ask for something."""
        return self.ask("GET", path, **told)

    def post(self, key: str | None = None, picture: bytes | None = None, **fields: Any) -> httpx2.Response:
        """Ask for a clip."""
        files = {"input_reference": ("harbour.jpg", picture or HARBOUR.read_bytes(), "image/jpeg")}
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.ask("POST", "/v1/videos", data={**QUICK, **fields}, files=files, headers=headers)

    def read_log(self) -> str:
        """Read what it said."""
        return self.log.read_text() if self.log.exists() else ""


def bring(server: Served, state: str) -> str:
    """Make a job of that state, as a worker would; its clip has no file."""
    id, store = server.post().json()["id"], server.store
    if state != "queued":
        job = store.claim("w", lease_s=1000)
        ends = {"completed": lambda: store.complete(job, CLIP), "failed": lambda: store.fail(job, {"code": "x", "message": "y"}),
                "cancelled": lambda: (store.cancel(id), store.stop(job))}  # fmt: skip
        ends.get(state, lambda: None)()
    assert store.get(id).state == state
    return id


def check(server: Served, *ids: str) -> None:
    """Check what must hold after every fault; these jobs were accepted."""
    check_invariants(Folder(server.folder), server.store, ids, server)


@contextmanager
def listening(
    server: Served, path: str = "/v1/events", after: int = 0
) -> Iterator[tuple[list[str], list[int], threading.Thread]]:
    """Follow events in a thread of its own; what was heard is a list of kinds, and its last id."""
    heard, ids = [], [after]

    def hear() -> None:
        with httpx2.stream(
            "GET", f"{server.http.base_url}{path}", headers={"Last-Event-ID": str(after)}, timeout=240
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    ids.append(int(line[4:]))
                elif line.startswith("event: "):
                    heard.append(line[7:])

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    yield heard, ids, thread
