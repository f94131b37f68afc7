"""`unstill serve`, for tests of everything that speaks to it: start, stop and kill it, post to it, wait for jobs.

It does not know what is tested.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from forks import PICTURE as HARBOUR
from forks import Forks

QUICK = {"model": "pocket", "size": "64x64", "num_frames": 3, "num_inference_steps": 2, "seed": 1, "look": False,
         "measure": False}  # fmt: skip
# Of the miniature, which forks have under the name svd: half a second less for each clip.
SMALL = {**QUICK, "model": "svd", "num_frames": 2, "num_inference_steps": 1}
LONG = {**SMALL, "size": "128x128", "num_frames": 14, "num_inference_steps": 200}  # many small steps: others wait behind it
ENDED = ("completed", "failed", "cancelled")

http = httpx2.Client(timeout=240)  # a busy machine is no fault of the server


def find_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """A server of a folder; it can be killed and started again, and answers at the same address.

    It is forked, as are its workers, or without forks a process of its own.
    """

    def __init__(
        self, folder: Path, *options: str, key: str | None = None, forks: Forks | None = None, **environment: str
    ) -> None:
        self.folder, self.options, self.port, self.key, self.forks = folder, options, find_port(), key, forks
        self.quick = QUICK if forks is None else SMALL
        self.environment = {"OMP_NUM_THREADS": "1", **environment, **({"UNSTILL_KEY": key} if key else {})}
        self.start()

    def start(self) -> None:
        """Serve, and wait until it is ready."""
        words = ["serve", "--port", str(self.port), "--data", str(self.folder)]
        words += [*(() if "--ray" in self.options else ("--device", "cpu")), *self.options]
        environment = {**(os.environ if self.forks is None else self.forks.environment), **self.environment}
        if self.forks is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "unstill", *words], env=environment, stderr=subprocess.DEVNULL
            )
        else:
            self.process = self.forks.start("unstill", words, env=environment, stderr=subprocess.DEVNULL)
        self.wait_until_ready()

    def wait_until_ready(self, most_s: float = 240) -> None:
        """Wait until it answers and has a worker."""
        end = time.monotonic() + most_s
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if http.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server did not come up within {most_s:g} s, or left with {self.process.poll()}")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs that knows the key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def stop(self) -> int:
        """Ask it to leave, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(240)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()
        self.process.wait(240)


def wait_for(server: Server, id: str, *states: str, most_s: float = 240.0) -> dict:
    """Wait until a job is in one of these states, or has ended."""
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        video = http.get(f"{server.url}/v1/videos/{id}", headers=server.headers).json()
        if video["state"] in (states or ENDED):
            return video
        time.sleep(0.05)
    raise AssertionError(f"{video['state']} after {most_s:g} s: {video}")


def post(server: Server, headers=None, files=None, **fields) -> httpx2.Response:
    """Ask for a small clip of the harbour, unless the fields say otherwise."""
    files = {"input_reference": ("harbour.jpg", HARBOUR.read_bytes(), "image/jpeg")} if files is None else files
    return http.post(f"{server.url}/v1/videos", data={**server.quick, **fields}, files=files, headers=headers)
