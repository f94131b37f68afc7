"""Run the shell scripts and the Python of the documentation, and `unstill` within them in this very process.

A script is run by a real shell; only `unstill` is a small client that hands its arguments, folder, environment and open
files to this process, since starting Python and torch anew would take seconds for each of a hundred commands. The presets
are shrunk, so that what nobody asked to be large is small. It knows nothing of pages and blocks.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

SMALL, SMALL_AREA = {"steps": 1, "frames": 2}, (64, 64)
PATIENCE_S = 180.0  # for a script to end or to run `unstill`; a machine may be busy
SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLIENT = """\
#!/bin/sh
exec "{python}" -IS -c '
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as desk:
    desk.connect(sys.argv[1])
    socket.send_fds(desk, [json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
    sys.exit((desk.recv(1) or b"?")[0])
' "{address}" "$@"
"""


@dataclass(frozen=True)
class Done:
    """How a script or a piece of Python ended, and what it said on both of its outputs."""

    code: int
    said: str


class Desk:
    """Runs scripts, and what their client called `unstill` asks for: one command at a time, as no example pipes two together."""

    def __init__(self, folder: Path) -> None:
        """Listen in the folder, and put the client into it."""
        self._folder = folder
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "desk"))
        self._listener.listen()
        client = folder / "unstill"
        client.write_text(CLIENT.format(python=sys.executable, address=folder / "desk"))
        client.chmod(0o755)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def put_first(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment with the client where a shell looks first."""
        return {**environment, "PATH": f"{self._folder}:{environment['PATH']}"}

    def run_script(self, text: str, folder: Path, environment: Mapping[str, str]) -> Done:
        """Run a script in a shell, and here whatever it asks of `unstill`."""
        words = ["bash", "-euo", "pipefail", "-c", text]
        with tempfile.TemporaryFile("w+") as said:  # a pipe would fill up while nobody reads it
            shell = subprocess.Popen(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            end = os.pidfd_open(shell.pid)
            try:
                while self._listener in (ready := select.select([self._listener, end], [], [], PATIENCE_S)[0]):
                    self._run_command()
                assert ready, f"nothing happened for {PATIENCE_S:g} s in:\n{text}"
            finally:
                os.close(end)
                shell.kill()  # does nothing to one that has ended
                shell.wait()
            said.seek(0)
            return Done(shell.returncode, said.read())

    def _run_command(self) -> None:
        from unstill.cli import main

        connection, _ = self._listener.accept()
        with connection:
            message, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
            arguments, folder, environment = json.loads(message)
            with surroundings(folder, environment, files):
                code = main(arguments)
            connection.sendall(bytes([code]))


def run_python(text: str, folder: Path, environment: Mapping[str, str]) -> Done:
    """Run a piece of Python as a script of its own."""
    with tempfile.TemporaryFile("w+") as said, Path(os.devnull).open() as nothing:
        files = [os.dup(file.fileno()) for file in (nothing, said, said)]
        with surroundings(folder, environment, files):
            exec(compile(text, "example", "exec"), {"__name__": "__main__"})
        said.seek(0)
        return Done(0, said.read())


@contextlib.contextmanager
def surroundings(folder: str | Path, environment: Mapping[str, str], files: Sequence[int]) -> Iterator[None]:
    """Be, for a while, a process with this folder, environment, input and outputs, with no trace of it afterwards.

    The descriptors are closed at the end.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, environment, clear=True))
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        stack.enter_context(replace_streams(files))
        yield
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


@contextlib.contextmanager
def replace_streams(files: Sequence[int]) -> Iterator[None]:
    """Let the first three descriptors be these, for what writes to them directly too, and Python's streams speak to them."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in range(3)]
    streams: list[Any] = []
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        streams += [open(number, "w" if number else "r", closefd=False) for number in range(3)]  # noqa: SIM115
        with patch.multiple(sys, stdin=streams[0], stdout=streams[1], stderr=streams[2]):
            yield
    finally:
        with contextlib.suppress(OSError, ValueError):  # a pipe that nobody reads any more
            for stream in streams[1:]:
                stream.flush()
        for number, file in enumerate(kept):
            os.dup2(file, number)
            os.close(file)


def shrink_presets(presets: dict[str, Any]) -> None:
    """Make a few small frames and steps of every preset."""
    from unstill.values import Size

    for name, preset in presets.items():
        for_models = {family: {**knobs, **SMALL} for family, knobs in preset.per_model.items()}
        presets[name] = replace(preset, knobs={**preset.knobs, **SMALL}, per_model=for_models, area=Size(*SMALL_AREA))
