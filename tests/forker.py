"""A process that has imported everything, and forks whatever program it is asked for: python forker.py SOCKET PICTURE

Starting Python and importing torch takes seconds, and making a first clip takes longer than making another: a fork has
all of that behind it. Every connection asks for one program, with its arguments, environment and open files, and is told
its process and later its exit code. The process ends with the last connection of those that keep it. It knows no tests.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import traceback
from contextlib import suppress
from typing import Any

MOST_BYTES = 1 << 20  # of a request
MOST_FILES = 8
HIGH = 100  # received files wait above this number for their places
FORKED = ("unstill.batch.worker", "unstill.jobs.worker", "unstill.studio.planner")  # what other programs start
IMPORTED = (*(f"unstill.{name}" for name in ("__main__", "batch.maker", "batch.places", "batch.worker", "cli.app", "cli.serve",
              "generate", "jobs.stills", "jobs.worker", "models.pocket.engine", "studio.app", "studio.planner", "studio.server",
              "studio.workers")),
            "httpx2", "huggingface_hub.utils", "rich.progress")  # fmt: skip


class Forker:
    """Everybody who is connected, and the processes that were forked for them."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(address)
        self.listener.listen(64)
        self.keepers: set[socket.socket] = set()
        self.owners: dict[int, socket.socket] = {}  # of each process
        self.words: dict[int, list[str]] = {}
        self.ended, wakes = socket.socketpair()
        for end in (self.ended, wakes):
            end.setblocking(False)
        self._wakes = wakes  # held, or it would be closed
        signal.set_wakeup_fd(wakes.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever tests
        self.waits = selectors.DefaultSelector()
        self.waits.register(self.listener, selectors.EVENT_READ, self.accept)
        self.waits.register(self.ended, selectors.EVENT_READ, self.reap)

    def run(self) -> None:
        """Fork until nobody keeps this process any more; then end what still runs."""
        was_kept = False
        while self.keepers or not was_kept:
            for key, _ in self.waits.select():
                key.data(key.fileobj)
            was_kept = was_kept or bool(self.keepers)
        for pid in self.owners:
            os.kill(pid, signal.SIGKILL)

    def accept(self, listener: socket.socket) -> None:
        """Take a connection."""
        line, _ = listener.accept()
        self.waits.register(line, selectors.EVENT_READ, self.hear)

    def hear(self, line: socket.socket) -> None:
        """Fork what is asked for; whoever is gone takes the process along, as gently as it can be asked."""
        message, files = b"", []
        with suppress(OSError):
            message, files, _, _ = socket.recv_fds(line, MOST_BYTES, MOST_FILES)
        if not message:
            self.part(line)
        elif message == b"keep":
            self.keepers.add(line)
            line.send(b"ready")
        elif message == b"list":
            line.send(json.dumps([(pid, self.words[pid]) for pid in self.owners]).encode())
        else:
            task = json.loads(message)
            pid = os.fork()
            if not pid:
                become(task, files, self.address)
            self.owners[pid], self.words[pid] = line, [task["program"], *task["words"]]
            line.send(json.dumps(pid).encode())
        for number in files:
            os.close(number)

    def part(self, line: socket.socket) -> None:
        """Forget a connection."""
        self.waits.unregister(line)
        self.keepers.discard(line)
        line.close()
        for pid in [pid for pid, owner in self.owners.items() if owner is line]:
            os.kill(pid, signal.SIGTERM)

    def reap(self, ended: socket.socket) -> None:
        """Say how processes ended."""
        with suppress(BlockingIOError):
            ended.recv(4096)
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                with suppress(OSError):
                    self.owners.pop(found[0]).send(json.dumps(os.waitstatus_to_exitcode(found[1])).encode())


def become(task: dict[str, Any], files: list[int], address: str) -> None:
    """Be the program, in a fork, and end as it ends."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        take_files(files, task["files"])
        if task["has_terminal"]:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.chdir(task["folder"])
        os.environ.clear()
        os.environ.update(task["environment"])
        for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
            del sys.modules[name]  # it reads its settings from the environment when it is imported
        code = run_program(task, address)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - into the log, which the test reads
        traceback.print_exc()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def take_files(received: list[int], places: list[int]) -> None:
    """Put the files that came to their numbers, and close all others, which are the forker's."""
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, HIGH) for number in received]
    for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - names alone
        if number not in high:
            with suppress(OSError):  # the listing's own
                os.close(number)
    for number, place in zip(high, places, strict=True):
        os.dup2(number, place)
        os.close(number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115


def run_program(task: dict[str, Any], address: str) -> int:
    """Run a module as `python -m` does."""
    import arms

    subprocess.Popen = start_by_fork(address)  # type: ignore[assignment, misc]
    for place, value in task["put"].items():
        arms.put(place, value)
    for arm in task["arms"]:
        arms.set_arm(arms.Arm(**arm))
    program, words = task["program"], task["words"]
    if program in FORKED and "--parent" in words:  # a process that is told whose child it is: this one's, here
        words[words.index("--parent") + 1] = str(os.getppid())
    sys.argv = [program, *words]
    if program == "unstill":
        if words[:1] == ["serve"] and not {"--device", "--ray"} & set(words):
            arms.put("unstill.cli.serve.find_devices", list)  # none: the test starts workers where it wants them
        importlib.import_module("unstill.__main__").run()
    importlib.import_module(program).main()
    return 0


def start_by_fork(address: str) -> Any:
    """Return what to put in the place of subprocess.Popen, so that programs of ours start as forks."""
    from forks import Forks

    whole, forks = subprocess.Popen, Forks(address)

    def start(words: list[str], **more: Any) -> Any:
        is_forked = words[:2] == [sys.executable, "-m"] and words[2] in FORKED
        return forks.start(words[2], words[3:], **more) if is_forked else whole(words, **more)

    return start


def warm_up(picture: str) -> None:
    """Import what programs need, and make a clip. This process must have one thread: a fork would lack the others."""
    for name in IMPORTED:
        importlib.import_module(name)
    from unstill import animate

    with tempfile.TemporaryDirectory() as folder:
        animate(picture, out=f"{folder}/clip.mp4", model="svd", size="64x64", frames=2, steps=1, device="cpu")
    assert len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208


if __name__ == "__main__":
    warm_up(sys.argv[2])
    forker = Forker(sys.argv[1])
    print("ready", flush=True)
    forker.run()
