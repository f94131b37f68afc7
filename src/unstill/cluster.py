"""A Ray cluster: joined with a token, its places counted, actors put there.

    python -m unstill.cluster --ray ADDRESS     joins it, says on a line of JSON what it has, and leaves

A cluster lets whoever reaches it run anything: one that asks for no token is refused unless that is wanted. Ray restarts and
repeats nothing by itself: what is tried again is for those to say who use this. It does not know what actors do.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unstill.errors import MachineError, RequestError, UnstillError, make_error
from unstill.values import show

HERE = "here"  # as an address: start Ray on this machine
MODE = "RAY_AUTH_MODE"
STORE_BYTES = 100_000_000  # of Ray's own memory for objects, where we start it: a few pictures and clips
MISSING = "`ray status` says whether it is there; its token is in RAY_AUTH_TOKEN or ~/.ray/auth_token"
CONTROL = "control"  # calls that are heard while a clip is made
LONGEST_CALL_S = 10.0  # until somebody answers at an address
LONGEST_JOIN_S = 30  # to a cluster that answers; Ray itself may take longer
TOKEN = "it is in RAY_AUTH_TOKEN or ~/.ray/auth_token, the same on every machine"
REFUSED = "InvalidAuthToken"  # in what Ray logs, again and again, where a token is another
PROBE = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", b"", timeout=10)
except AuthenticationError:
    print("asks for a token")
"""


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what of it is used."""

    address: str  # host:port, auto, or here
    share: int = 1  # workers for each GPU
    cores: int = 2  # for each worker, where there are no GPUs
    is_insecure: bool = False  # whether a cluster without a token will do

    def to_words(self) -> list[str]:
        """Write it as the options that `add_options` reads."""
        words = ["--ray", self.address, "--workers", str(self.share), "--cores", str(self.cores)]
        return [*words, "--insecure-cluster"] if self.is_insecure else words


@dataclass(frozen=True)
class Room:
    """How many actors a cluster has room for, and what each of them holds."""

    count: int
    device: str  # cuda | cpu
    needs: Mapping[str, float]  # in Ray's words


def read_address(text: str) -> str:
    """Refuse what is no address of a cluster: a picture that stands behind --ray is taken for one."""
    if re.fullmatch(r"here|auto|[\w.\[\]:-]+:\d+", text):
        return text
    hint = "--ray=auto, --ray=10.0.0.1:6379, or --ray as the last word"
    raise RequestError(f"{show(text)} is no address of a Ray cluster", hint=hint)


def connect(cluster: Cluster) -> Any:
    """Connect to the cluster, or start one here; with a token, unless none is wanted."""
    os.environ.setdefault(MODE, "disabled" if cluster.is_insecure else "token")  # before Ray is imported, which reads it once
    if os.environ[MODE] != "token" and not cluster.is_insecure:
        raise RequestError(f"{MODE}={os.environ[MODE]} lets anybody run anything on the cluster",
                           hint=f"{MODE}=token, or --insecure-cluster where nobody else can reach it")  # fmt: skip
    refuse_silence(cluster.address)
    try:
        ray: Any = importlib.import_module("ray")
    except ModuleNotFoundError:
        raise RequestError("--ray needs Ray", hint="pip install 'unstill[ray]'") from None
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if cluster.address == HERE:
        ray.init(address="local", dashboard_host="127.0.0.1", object_store_memory=STORE_BYTES, **quiet)
        return ray
    shown = show(cluster.address)
    try:
        ray.init(address=cluster.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        why = " ".join(str(error).split())
        if "no authentication token" in why:
            raise RequestError(f"The cluster at {shown} asks for a token, and there is none here", hint=TOKEN) from None
        if cluster.address == "auto":
            hint = "--ray=10.0.0.1:6379 names one elsewhere, --ray as the last word starts Ray here"
            raise MachineError("This machine is part of no Ray cluster", hint=hint) from None
        raise MachineError(f"There is no cluster at {shown}: {why[:200]}", hint=MISSING) from None
    if not cluster.is_insecure and not asks_for_token(ray.get_runtime_context().gcs_address):
        ray.shutdown()
        raise RequestError(f"The cluster at {shown} asks for no token: whoever reaches it can run anything there",
                           hint=f"start it with {MODE}=token, or say --insecure-cluster")  # fmt: skip
    return ray


def refuse_silence(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself was still trying after ten minutes."""
    host, _, port = address.rpartition(":")
    if not host:  # auto, which Ray looks up, or here
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), LONGEST_CALL_S).close()
    except (OSError, OverflowError, UnicodeError) as error:  # the last of a name that no host can have
        raise MachineError(f"There is no cluster at {show(address)}: {error}", hint=MISSING) from None


def asks_for_token(address: str) -> bool:
    """Say whether a cluster refuses one who has no token: another process tries, as this one has one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    environment |= {MODE: "disabled", "HOME": os.devnull}
    words = [sys.executable, "-c", PROBE, address]
    try:
        asked = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_JOIN_S)
    except subprocess.TimeoutExpired:
        return False
    return "asks for a token" in asked.stdout


def count_room(ray: Any, cluster: Cluster) -> Room:
    """Count what there is room for: actors on GPUs where there are any, else on cores."""
    has = ray.cluster_resources()
    if has.get("GPU", 0) >= 1:
        return Room(int(has["GPU"]) * cluster.share, "cuda", {"num_gpus": 1 / cluster.share, "num_cpus": 1})
    return Room(int(has.get("CPU", 0)) // cluster.cores, "cpu", {"num_cpus": cluster.cores})


def refuse_none(room: Room, cluster: Cluster) -> None:
    """Refuse a cluster that has no room for a single actor."""
    if not room.count:
        raise MachineError(f"The cluster has no GPU and fewer than {cluster.cores} cores", hint="--cores 1")


def start_actor(ray: Any, kind: type, room: Room, *told: Any) -> Any:
    """Start an actor wherever there is room; calls in the group CONTROL are heard while it is busy with another."""
    made = ray.remote(concurrency_groups={CONTROL: 1})(kind).options(max_restarts=0, max_task_retries=0, **room.needs)
    return made.remote(*told)


def look_at_cluster(cluster: Cluster, most_s: int = LONGEST_JOIN_S) -> Room:
    """Find out from a process of its own what a cluster has room for, or why it cannot be used; Ray is not imported here."""
    words = [sys.executable, "-m", __name__, *cluster.to_words(), "--most-s", str(most_s)]
    asked = subprocess.run(words, capture_output=True, text=True, check=False)
    if REFUSED in asked.stderr:
        raise RequestError(f"The cluster at {show(cluster.address)} refuses the token that is here", hint=TOKEN)
    if asked.returncode == -signal.SIGALRM:
        raise MachineError(f"There is no answer from a cluster at {show(cluster.address)}", hint=MISSING)
    try:
        told = json.loads(asked.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        why = (asked.stderr.strip().splitlines() or ["no reason is given"])[-1]
        raise MachineError(f"The cluster at {show(cluster.address)} cannot be used: {show(why)}", hint=MISSING) from None
    if "error" in told:
        raise make_error(told["error"], MachineError)
    return Room(**told)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a process be told which cluster it is about."""
    parser.add_argument("--ray", required=True, metavar="ADDRESS")
    parser.add_argument("--workers", type=int, default=Cluster.share)
    parser.add_argument("--cores", type=int, default=Cluster.cores)
    parser.add_argument("--insecure-cluster", action="store_true")


def read_options(asked: argparse.Namespace) -> Cluster:
    """Read which cluster is meant."""
    return Cluster(read_address(asked.ray), asked.workers, asked.cores, asked.insecure_cluster)


def main() -> None:
    """Join a cluster, say what it has room for, and leave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--most-s", type=int, default=LONGEST_JOIN_S, help="until it is given up")
    asked = parser.parse_args()
    cluster = read_options(asked)
    # Ray waits for ever where something else listens, and hears no Ctrl-C meanwhile.
    signal.alarm(0 if cluster.address == HERE else asked.most_s)
    try:
        ray = connect(cluster)
        room = count_room(ray, cluster)
        refuse_none(room, cluster)
        ray.shutdown()
        told = {"count": room.count, "device": room.device, "needs": dict(room.needs)}
    except UnstillError as error:
        told = {"error": error.to_dict()}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
