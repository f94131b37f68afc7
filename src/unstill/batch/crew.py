"""Workers of this machine: a process for each device, started anew when it dies. It does not know what items are."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import unstill
from unstill.batch.items import Item, Model
from unstill.batch.running_clock import RunningClock
from unstill.batch.schedule import News, Wants, heed, never
from unstill.errors import MachineError, make_error
from unstill.jobs.processors import share_processors

MOST_DEATHS = 5  # one after the other, with nothing made in between, until a device is given up
GRACE_S = 5.0  # for a worker with nothing to do to end
LONGEST_PAUSE_S = 30.0  # before a worker that dies at once is started again
SILENT_S = 60.0  # without a sign of life until a worker is held to hang; it gives one every second
LONGEST_START_S = 120.0  # while it starts: Python and torch may come from a cold disk, which stops all threads
LOOK_S = 1.0  # between two looks while something else is waited for


@dataclass
class Post:
    """A device and the process that works on it."""

    device: str
    name: str = ""
    process: subprocess.Popen[str] | None = None
    started: int = 0
    deaths: int = 0
    not_before: float = 0.0
    heard_at_s: float = 0.0  # the last sign of life, on the crew's clock
    is_ready: bool = False
    is_silent: bool = False  # was killed, as it gave none


class Processes:
    """Processes that make items."""

    depth = 1  # the next order is there a millisecond after the last one is done

    def __init__(self, place: str, devices: Sequence[str], *, debug: bool = False, silent_s: float = SILENT_S) -> None:
        """Name the devices; one that is named twice has two workers."""
        self._place, self._debug, self._silent_s = place, debug, silent_s
        self._posts = [Post(device) for device in devices]
        self._heard: queue.SimpleQueue[tuple[Post, str, dict[str, Any]]] = queue.SimpleQueue()
        self._early: list[News] = []  # what happened while something else was waited for
        self._is_leaving = False
        self._clock = RunningClock(2 * LOOK_S)

    def __enter__(self) -> Processes:
        for post in self._posts:
            self._start(post)
        return self

    def __exit__(self, kind: type[BaseException] | None, *what: object) -> None:
        running = [post.process for post in self._posts if post.process is not None]
        for process in running:
            with suppress(BrokenPipeError):
                assert process.stdin is not None
                process.stdin.close()  # nothing more comes: those with nothing to do end by themselves
        for process in running:
            try:
                process.wait(0 if kind is not None else GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __len__(self) -> int:
        """Count the workers that there are to be."""
        return len(self._posts)

    def describe(self, knobs: Mapping[str, Any], wants_stop: Wants = never) -> Model:
        """Ask the first worker that is ready which model a request would run."""
        while (post := self._find_ready()) is None:
            heed(wants_stop)
            self._early += self._wait(LOOK_S)
        self._tell(post, {"describe": dict(knobs)})
        while True:
            heed(wants_stop)
            self._look()
            try:
                heard, name, told = self._heard.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if told["kind"] == "described":
                return dict(told["model"])
            self._early += self._understand(heard, name, told)
            if heard is post and told["kind"] == "gone":
                return self.describe(knobs, wants_stop)

    def _find_ready(self) -> Post | None:
        ready = {event.worker for event in self._early if event.kind == "ready"}
        return next((post for post in self._posts if post.name in ready and post.process is not None), None)

    def submit(self, worker: str, items: Sequence[Item]) -> None:
        """Order a worker to make items; one that has died meanwhile is heard of soon."""
        post = next(post for post in self._posts if post.name == worker)
        self._tell(post, {"orders": [item.to_order() for item in items]})

    def wait(self, most_s: float) -> list[News]:
        """Wait until something happens, but no longer than this."""
        if self._early:
            early, self._early = self._early, []
            return early
        return self._wait(most_s)

    def leave(self) -> None:
        """Ask all workers to end what they do after its current step, and to give back the rest."""
        self._is_leaving = True
        for post in self._posts:
            if post.process is not None and post.process.poll() is None:
                post.process.terminate()

    def _wait(self, most_s: float) -> list[News]:
        self._replace()
        self._look()
        try:
            heard = [self._heard.get(timeout=most_s)]
        except queue.Empty:
            return []
        while not self._heard.empty():
            heard.append(self._heard.get())
        return [event for one in heard for event in self._understand(*one)]

    def _understand(self, post: Post, name: str, told: Mapping[str, Any]) -> list[News]:
        """Make an event of what a worker said, or of its end."""
        kind = told["kind"]
        if kind == "unfit":
            raise make_error(told["error"])
        if kind == "done" and not told["outcome"].get("error"):
            post.deaths = 0
        if kind == "gone":
            if post.name == name:
                post.deaths += 1
                post.not_before = time.monotonic() + min(LONGEST_PAUSE_S, 0.1 * 2**post.deaths)
                post.process = None
            silent = f"it gave no sign of life for {self._silent_s:g} s"
            return [News("lost", name, reason=silent if post.is_silent else str(told["reason"]))]
        return [News(kind, name, told.get("number", 0), told.get("outcome", {}))]

    def _start(self, post: Post) -> None:
        post.started += 1
        post.is_silent, post.is_ready, post.heard_at_s = False, False, self._clock.now_s
        post.name = f"{post.device}/{self._posts.index(post)}/{post.started}"
        words = [sys.executable, "-m", "unstill.batch.worker", self._place, "--device", post.device]
        words += ["--parent", str(os.getpid())]
        paths = [str(Path(unstill.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        # So that it is this very package, and that workers leave each other some processors.
        environment = {**share_processors(len(self._posts)), "PYTHONPATH": os.pathsep.join(paths)}
        post.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None if self._debug else subprocess.DEVNULL,
            text=True, encoding="utf-8", errors="surrogateescape", env=environment,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(post, post.name, post.process), daemon=True).start()

    def _listen(self, post: Post, name: str, process: subprocess.Popen[str]) -> None:
        """Hear one worker to its end."""
        assert process.stdout is not None
        for line in process.stdout:
            if post.name == name:
                post.heard_at_s = self._clock.now_s
            with suppress(ValueError):  # half a line, of one that was killed
                told = json.loads(line)
                post.is_ready = post.is_ready or told["kind"] == "ready"
                if told["kind"] != "alive":
                    self._heard.put((post, name, told))
        self._heard.put((post, name, {"kind": "gone", "reason": describe_end(process.wait())}))

    def _replace(self) -> None:
        """Start workers anew that have died, later each time they do so."""
        for post in self._posts if not self._is_leaving else ():
            if post.process is None and post.deaths < MOST_DEATHS and time.monotonic() > post.not_before:
                self._start(post)
        if not self._is_leaving and all(post.process is None and post.deaths >= MOST_DEATHS for post in self._posts):
            raise MachineError("No worker lives long enough to make a clip", hint="--debug shows what they say")

    def _look(self) -> None:
        """Kill workers that have given no sign of life for too long."""
        now_s = self._clock.tick()
        for post in self._posts:
            most_s = self._silent_s if post.is_ready else max(self._silent_s, LONGEST_START_S)
            if post.process is not None and now_s - post.heard_at_s > most_s:
                post.is_silent = True
                post.process.kill()

    def _tell(self, post: Post, told: Mapping[str, Any]) -> None:
        assert post.process is not None or post.deaths
        if post.process is not None and post.process.stdin is not None:
            with suppress(BrokenPipeError, ValueError):
                post.process.stdin.write(json.dumps(told) + "\n")
                post.process.stdin.flush()


def describe_end(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"it ended with code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
