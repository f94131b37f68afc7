"""Programs that start in milliseconds: forks of a process which has imported everything (see forker.py).

What is forked is the real program with its real arguments; only a function may be told to kill the process, or to fail,
before or after its n-th call. The processes of one test run share one to fork from.

Use: forks.work(folder, Arm("unstill.jobs.store.Store.complete", "after")).wait()
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from arms import Arm
from miniature import make_miniature

PICTURE = Path(__file__).parents[1] / "examples" / "harbour.jpg"
QUICK = {"unstill.jobs.worker.KEEP_EVERY_S": 0.0, "unstill.jobs.worker.PAUSE_S": 0.2}


class Child:
    """A forked process, as subprocess.Popen shows one: as much of that as is used. Where nobody holds it, it is asked to leave."""

    def __init__(self, line: socket.socket, pid: int) -> None:
        self.pid, self.returncode = pid, None
        self.stdin: IO[Any] | None = None
        self.stdout: IO[Any] | None = None
        self._line, self._lock = line, threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, less than 0 for a signal, or None while it runs."""
        with self._lock:
            if self.returncode is None and select.select([self._line], [], [], 0)[0]:
                said = self._line.recv(100)
                self.returncode = json.loads(said) if said else -signal.SIGKILL  # all forks end with the forker
                self._line.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the exit code."""
        code = self.poll()
        if code is None:
            select.select([self._line], [], [], timeout)
            code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to leave."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process to fork from, seen from any other."""

    def __init__(self, address: str) -> None:
        self.address = address

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with a cache of Hugging Face that holds the miniature as svd."""
        return {**os.environ, "HF_HUB_CACHE": f"{self.address}-cache"}

    def start(
        self, program: str, words: Sequence[str], *, stdin: Any = None, stdout: Any = None, stderr: Any = None,
        pass_fds: Sequence[int] = (), env: Mapping[str, str] | None = None, text: bool = False, encoding: str | None = None,
        errors: str | None = None, arms: Sequence[Arm] = (), put: Mapping[str, Any] | None = None, has_terminal: bool = False,
    ) -> Child:  # fmt: skip
        """Start a module as subprocess.Popen starts `python -m`; without one of its own a stream is this process's."""
        ours, theirs = {}, {}
        for number, (name, stream) in enumerate({"stdin": stdin, "stdout": stdout, "stderr": stderr}.items()):
            if stream == subprocess.PIPE:
                ends = os.pipe()
                theirs[number], ours[name] = ends if number == 0 else ends[::-1]
            elif stream == subprocess.DEVNULL:
                theirs[number] = os.open(os.devnull, os.O_RDWR)
            else:
                theirs[number] = os.dup(number if stream is None else stream if isinstance(stream, int) else stream.fileno())
        task = {"program": program, "words": list(words), "files": [*theirs, *pass_fds], "has_terminal": has_terminal,
                "environment": dict(os.environ if env is None else env), "folder": str(Path.cwd()), "put": dict(put or {}),
                "arms": [asdict(arm) for arm in arms]}  # fmt: skip
        child = self._ask(task, [*theirs.values(), *pass_fds])
        for number in theirs.values():
            os.close(number)
        for name, number in ours.items():
            mode = ("w" if name == "stdin" else "r") + ("" if text else "b")
            setattr(child, name, os.fdopen(number, mode, encoding=encoding, errors=errors))
        return child

    def run(self, words: Sequence[str], data: bytes = b"", **more: Any) -> subprocess.CompletedProcess[str]:
        """Run `unstill` to its end in this environment, and return what it said."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(data)
            given.seek(0)
            code = self.start("unstill", words, stdin=given, stdout=out, stderr=err, **more).wait()
            said = [read_again(stream) for stream in (out, err)]
        return subprocess.CompletedProcess(list(words), code, *said)

    def _ask(self, task: dict[str, Any], files: list[int]) -> Child:
        line = connect(self.address)
        socket.send_fds(line, [json.dumps(task).encode()], files)
        return Child(line, json.loads(line.recv(100)))

    def find(self, program: str, word: str) -> list[int]:
        """Return the processes of a program that run with this word as an argument."""
        with connect(self.address) as line:
            line.send(b"list")
            running = json.loads(line.recv(1 << 20))
        return [pid for pid, words in running if words[0] == program and word in words]

    def work(
        self, folder: Path, *arms: Arm, most: int | None = 1, lease_s: float = 1.0, log: Path | None = None, **more: Any
    ) -> Child:
        """Start a worker of a folder."""
        words = [str(folder), "--device", "cpu", "--lease-s", str(lease_s), *(["--most", str(most)] if most else [])]
        words += ["--parent", "here"]
        return self._run("unstill.jobs.worker", words, arms, log, {**QUICK, **more})

    def serve(
        self, folder: Path, port: int, *options: str, arms: tuple[Arm, ...] = (), log: Path | None = None, **more: Any
    ) -> Child:
        """Start a server of a folder, without workers unless a device is named."""
        return self._run("unstill", ["serve", "--data", str(folder), "--port", str(port), *options], arms, log, more)

    def _run(self, program: str, words: list[str], arms: Sequence[Arm], log: Path | None, put: dict[str, Any]) -> Child:
        with Path(log or os.devnull).open("ab") as said:
            return self.start(program, words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, arms=arms, put=put,
                              env=self.environment)  # fmt: skip


class Keeper:
    """Keeps the process to fork from, which whoever comes first starts and all processes of a test run share."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "forks")
        with FileLock(folder / "forks.lock"):
            self._line = self._keep() or self._start()

    def __enter__(self) -> Forks:
        return Forks(self.address)

    def __exit__(self, *told: object) -> None:
        self._line.close()

    def _keep(self) -> socket.socket | None:
        """Connect for as long as this process needs forks, if there is somebody."""
        try:
            line = connect(self.address)
            line.send(b"keep")
            if line.recv(100) == b"ready":
                return line
        except OSError:  # nobody, or somebody who leaves
            pass
        return None

    def _start(self) -> socket.socket:
        Path(self.address).unlink(missing_ok=True)
        words = [sys.executable, str(Path(__file__).with_name("forker.py")), self.address, str(PICTURE)]
        make_cache(Path(f"{self.address}-cache"))
        environment = {**Forks(self.address).environment, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
        assert self._process.stdout is not None and self._process.stdout.readline() == b"ready\n"
        line = self._keep()
        assert line is not None
        return line


def read_again(stream: IO[bytes]) -> str:
    """Read a file from its beginning."""
    stream.seek(0)
    return os.fsdecode(stream.read())


def make_cache(cache: Path) -> None:
    """Lay out a cache of Hugging Face that holds the miniature as svd."""
    commit = "0" * 40
    repository = cache / "models--stabilityai--stable-video-diffusion-img2vid"
    make_miniature(repository / "snapshots" / commit, frames=14)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)


def connect(address: str) -> socket.socket:
    """Connect to the process to fork from."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(address)
    return line
