"""A Ray cluster of one raylet in a process of its own, for tests: ray_cluster.py CORES

It says its address on a line, and ends with its standard input. It asks for the token in RAY_AUTH_TOKEN.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NODE = {"object_store_memory": 80 * 2**20}
HEAD = {**NODE, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}  # what nobody here looks at
IMPATIENT = {"RAY_kill_worker_timeout_milliseconds": "200"}  # from SIGTERM to SIGKILL, which is all that one that hangs obeys


def list_actors(kind: str) -> list[int]:
    """Find the processes of actors on clusters that this process started; others on the machine are not ours to kill."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (place / "cmdline").read_bytes().startswith(f"ray::{kind}".encode()) and descends(int(place.name), os.getpid()):
                found.append(int(place.name))
    return found


def descends(process: int, ancestor: int) -> bool:
    """Say whether a process was started by another one, by one that this started, and so on."""
    while process > 1 and process != ancestor:
        stat = Path(f"/proc/{process}/stat").read_text(errors="replace")
        process = int(stat.rpartition(")")[2].split()[1])  # after the name, which may hold anything: state and parent
    return process == ancestor


@contextmanager
def opened(cores: int, **environment: str) -> Iterator[str]:
    """Start one and give its address; it ends with this process, whatever happens to it."""
    command = [sys.executable, __file__, str(cores)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, text=True, env={**os.environ, **IMPATIENT, **environment}, **pipes)
    try:
        address = process.stdout.readline().strip()
        assert address, "the cluster did not come up"
        yield address
    finally:
        process.stdin.close()
        process.wait(120)


def main() -> None:
    """Be a cluster."""
    os.environ["RAY_AUTH_MODE"] = "token"  # before Ray is imported
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**HEAD, "num_cpus": int(sys.argv[1])})
    try:
        print(cluster.address, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
