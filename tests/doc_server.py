"""Run commands and Python of the documentation, each in a fork of a process that has imported everything.

An example is run as it stands, in a real shell; only `unstill` is a small client of this server, since starting
Python and torch anew would take seconds for each of a hundred examples. The presets are shrunk, so that what
nobody asked to be large is small. It knows nothing of pages and blocks.

Use: python doc_server.py SOCKET      (serves until its standard input closes)
     python doc_server.py SOCKET unstill ARGUMENTS…
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import traceback

SMALL, SMALL_AREA = {"steps": 1, "frames": 3}, (128, 64)
PATIENCE_S = 180.0  # a machine may be busy; a worker of a server imports torch first


def serve(address: str) -> None:
    """Answer until standard input closes."""
    import_everything()
    shrink_presets()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for; they answer themselves
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(16)
        threading.Thread(target=leave_with_parent, daemon=True).start()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
                if os.fork() == 0:
                    run_child(connection, json.loads(message), descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)


def leave_with_parent() -> None:
    """End when the process that started this one is gone."""
    sys.stdin.read()
    os._exit(0)


def import_everything() -> None:
    """Import what examples need; nothing may be computed here, or the forks inherit busy threads."""
    import unstill.cli
    import unstill.compat
    import unstill.engine.reference
    import unstill.generate  # noqa: F401


def shrink_presets() -> None:
    """Make a few small frames and steps of every preset."""
    from dataclasses import replace

    from unstill.request import PRESETS
    from unstill.values import Size

    for name, preset in PRESETS.items():
        for_models = {family: {**knobs, **SMALL} for family, knobs in preset.per_model.items()}
        PRESETS[name] = replace(preset, knobs={**preset.knobs, **SMALL}, per_model=for_models, area=Size(*SMALL_AREA))


def run_child(connection: socket.socket, task: dict, descriptors: list[int]) -> None:
    """Become what was asked for, and answer with its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    os.chdir(task["folder"])
    os.environ.clear()
    os.environ.update(task["environment"])
    code = 1
    try:
        code = run_python(task["python"]) if "python" in task else run_command(task["arguments"])
    except BaseException:  # noqa: BLE001 - the caller reads it on standard error
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    connection.sendall(bytes([code & 0xFF]))
    os._exit(0)


def run_command(arguments: list[str]) -> int:
    """Run the command line as the installed script does."""
    from unstill.cli import main

    return main(arguments)


def run_python(source: str) -> int:
    """Run a script."""
    exec(compile(source, "example", "exec"), {"__name__": "__main__"})
    return 0


def ask(address: str, task: dict, descriptors: list[int]) -> int:
    """Have a task run with these files as its standard input, output and errors; return the exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(task).encode()], descriptors)
        answer = connection.recv(1)
    return answer[0] if answer else 1


if __name__ == "__main__":
    if sys.argv[2:3] == ["unstill"]:
        task = {"arguments": sys.argv[3:], "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
        raise SystemExit(ask(sys.argv[1], task, [0, 1, 2]))
    serve(sys.argv[1])
