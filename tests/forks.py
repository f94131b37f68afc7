"""Workers and servers that are forks of a process which has imported everything, and that die or fail at a named point.

A worker imports torch, which takes seconds, and a fork has it already. What is forked runs the real program, with its real
arguments; only a function may be told to kill the process, or to fail, before or after its n-th call. It knows no faults.

Use: with Forks() as forks: forks.work(folder, Arm("unstill.jobs.store.Store.complete", "after")); …
"""

from __future__ import annotations

import errno
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

QUICK = {"unstill.jobs.worker.KEEP_EVERY_S": 0.0, "unstill.jobs.worker.PAUSE_S": 0.2}


@dataclass(frozen=True)
class Arm:
    """What happens at a call of a function: the n-th of those whose arguments name a place with such a word in it."""

    at: str
    side: str = "before"
    nth: int = 1
    word: str = ""
    act: str = "kill"  # kill, count (into `file`), or the name of an error number
    times: int = 1
    file: str = ""


class Forks:
    """The process to fork from, seen from a test."""

    def __enter__(self) -> Forks:
        words = [sys.executable, __file__]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *told: object) -> None:
        self._process.stdin.close()
        self._process.wait(60)

    def _ask(self, **task: Any) -> Any:
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def work(
        self, folder: Path, *arms: Arm, most: int | None = 1, lease_s: float = 1.0, log: Path | None = None, **more: Any
    ) -> int:
        """Fork a worker; give its process."""
        words = [str(folder), "--device", "cpu", "--lease-s", str(lease_s), *(["--most", str(most)] if most else [])]
        words += ["--parent", str(self._process.pid)]
        return self._ask(do="work", words=words, arms=[asdict(arm) for arm in arms], log=str(log or ""), put={**QUICK, **more})

    def serve(
        self, folder: Path, port: int, *options: str, arms: tuple[Arm, ...] = (), log: Path | None = None, **more: Any
    ) -> int:
        """Fork a server, by itself without workers; give its process."""
        words = ["serve", "--data", str(folder), "--port", str(port), *options]
        return self._ask(do="serve", words=words, arms=[asdict(arm) for arm in arms], log=str(log or ""), put=more)

    def wait(self, pid: int) -> int:
        """Wait for the end of a process; give its exit code, less than 0 for a signal."""
        return self._ask(do="wait", pid=pid)


def main() -> None:
    """Fork what is asked for until nobody asks any more; then end what still runs."""
    import_everything()
    ended: dict[int, int] = {}
    children: set[int] = set()

    def reap(*_: object) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            ended[pid] = os.waitstatus_to_exitcode(status)

    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        if task["do"] == "wait":
            while task["pid"] not in ended:
                time.sleep(0.005)
            answer = ended[task["pid"]]
        else:
            answer = os.fork()
            if not answer:
                run_child(task)
            children.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in children - set(ended):
        os.kill(pid, signal.SIGKILL)


def import_everything() -> None:
    """Import what workers and servers need; nothing may be computed here, or the forks inherit busy threads."""
    for name in (
        "cli",
        "cli.serve",
        "engine.motion",
        "generate",
        "jobs.worker",
        "studio.app",
        "studio.server",
        "studio.workers",
    ):
        importlib.import_module(f"unstill.{name}")
    for name in ("stills",):
        if importlib.util.find_spec(f"unstill.jobs.{name}"):
            importlib.import_module(f"unstill.jobs.{name}")


def run_child(task: dict[str, Any]) -> None:
    """Become a worker or a server."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    out = os.open(task["log"] or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, out)):
        os.dup2(descriptor, number)
    sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    for place, value in task["put"].items():
        owner, name = find(place)
        setattr(owner, name, value)
    for arm in task["arms"]:
        set_arm(Arm(**arm))
    code = 1
    try:
        code = run_program(task)
    except BaseException:  # noqa: BLE001 - into the log, which the test reads
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_program(task: dict[str, Any]) -> int:
    """Run what is installed as a program."""
    import unstill.cli
    import unstill.cli.serve
    from unstill.jobs import worker

    if task["do"] == "work":
        sys.argv = ["worker", *task["words"]]
        worker.main()
        return 0
    if "--device" not in task["words"]:
        unstill.cli.serve.find_devices = list  # none: the test starts workers where it wants them
    return unstill.cli.main(task["words"])


def find(place: str) -> tuple[Any, str]:
    """Find the module or class that a dotted name is an attribute of."""
    words = place.split(".")
    for length in range(len(words) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(words[:length]))
        except ModuleNotFoundError:
            continue
        for word in words[length:-1]:
            owner = getattr(owner, word)
        return owner, words[-1]
    raise ValueError(place)


def set_arm(arm: Arm) -> None:
    """Let a function do what is asked for at its calls."""
    owner, name = find(arm.at)
    whole, calls = getattr(owner, name), iter(range(1, 2**31))

    @functools.wraps(whole)
    def armed(*given: Any, **named: Any) -> Any:
        number = next(calls) if arm.word in tell_places(given) else 0
        is_due = arm.nth <= number < arm.nth + arm.times
        if arm.side == "before" and is_due:
            act(arm)
        made = whole(*given, **named)
        if arm.side == "after" and is_due:
            act(arm)
        return made

    setattr(owner, name, armed)


def act(arm: Arm) -> None:
    """Do it."""
    if arm.act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    elif arm.act == "count":
        with Path(arm.file).open("a") as file:
            file.write("x")
    else:
        number = getattr(errno, arm.act)
        raise OSError(number, os.strerror(number))


def tell_places(given: tuple[Any, ...]) -> str:
    """Name the places that arguments mean; an open file is known by its number."""
    return " ".join(read_link(one) if isinstance(one, int) else str(one) for one in given)


def read_link(number: int) -> str:
    """Say which file a number stands for."""
    try:
        return os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
    except OSError:
        return ""


if __name__ == "__main__":
    main()
