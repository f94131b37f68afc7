"""`unstill serve`: the HTTP API, with a worker for each device."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unstill import values
from unstill.cli import options, output
from unstill.cli.help import Command, Option
from unstill.errors import Cancelled, RequestError

if TYPE_CHECKING:
    from unstill.studio.workers import Duty

KEY = "UNSTILL_KEY"


def read_size(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Read a number of bytes."""
    try:
        return None if value is None else int(values.byte_count(0, 10**15)(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(cls=Command)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), metavar="N", help="Port to listen on. [default: 8000]")
@click.option("--data", type=click.Path(), metavar="FOLDER", help="Where jobs, pictures and clips are kept.")
@click.option(
    "--device", "devices", multiple=True, metavar="NAME", help="A device to work on; may be given again.\n[default: all GPUs]"
)
@click.option("--queue", default=100, type=click.IntRange(1, 100_000), metavar="N", help="Jobs that may wait. [default: 100]")
@click.option(
    "--keep-days", default=30.0, type=click.FloatRange(0.001, 3650), metavar="N", help="Days that clips are kept. [default: 30]"
)
@click.option(
    "--keep-bytes",
    callback=read_size,
    metavar="SIZE",
    help="Bytes of clips that are kept; the oldest go first.\n[default: no limit]",
)
@click.option(
    "--keep-free", default="1GB", callback=read_size, metavar="SIZE",
    help="Take no jobs while less than this is free on the disk.\n[default: 1GB]",
)  # fmt: skip
@options.with_cluster
@options.workers("Actors for each GPU of the cluster. [default: 1]", cls=Option, group="Ray")
@options.debug
def serve(host: str, port: int, data: str | None, queue: int, debug: bool, devices: tuple[str, ...], **asked: Any) -> None:
    """Serve clips over HTTP: /v1/videos, as OpenAI's client and others speak it.

    Jobs are on disk before they are accepted; a restart goes on with them. Any address but this machine's own needs a
    key in the variable UNSTILL_KEY.
    """
    key = os.environ.get(KEY) or None
    if key is None and not is_loopback(host):
        raise RequestError(f"{host} can be reached by others, and no key is set", hint=f"{KEY}=… unstill serve --host {host}")
    try:
        from unstill.studio.app import make_app
        from unstill.studio.server import Leave, Server, allow_files, listen
        from unstill.studio.service import Service
    except ModuleNotFoundError as error:
        raise RequestError(f"Serving needs {error.name}", hint="pip install 'unstill[serve]'") from None
    from unstill.jobs.files import Folder, hold_folder
    from unstill.jobs.store import Store
    from unstill.studio.planner import Planner
    from unstill.studio.workers import Keeping, Workers

    keeping = Keeping(asked["keep_days"], asked["keep_bytes"], asked["keep_free"])
    duties, told = choose_duties(devices, asked)
    folder, leave = Folder(find_data() if data is None else Path(data)).make(), Leave()
    allow_files()
    with listen(host, port) as line, hold_folder(folder, f"process {os.getpid()} at {show_url(host, line)}"), leave.heard():
        store = Store(folder.store)
        workers = Workers(folder, store, duties, keeping)
        planner = Planner(folder, "auto" if asked["ray"] else next(iter(duties), "auto"))
        service = Service(folder, store, queue, keeping.days * 86_400, planner=planner, is_ready=lambda: workers.is_alive,
                          free_bytes=keeping.free_bytes)  # fmt: skip

        def leaving() -> None:
            service.listeners.close()
            workers.ask_to_leave()

        workers.start()
        output.say(f"{show_url(host, line)} (and /v1/videos), working on {told}, jobs in {folder.root}")
        try:
            Server(make_app(service, host, key), leave, leaving, is_loud=debug).run([line])
        finally:
            planner.close()
            workers.stop(is_hurried=lambda: leave.is_hurried)
            store.close()
    if leave.is_hurried:
        raise Cancelled("Left at once; the jobs that ran wait again")


def choose_duties(devices: tuple[str, ...], asked: Mapping[str, Any]) -> tuple[dict[str, Duty], str]:
    """Say who is to work, and what people call it; a cluster is looked at before anything is promised."""
    from unstill.cluster import look_at_cluster
    from unstill.studio.workers import give_cluster, give_devices

    if asked["ray"] is None:
        if asked["workers"] > 1:
            raise RequestError("--workers says how many work on each GPU of a cluster, and --ray names none", hint="--ray=auto")
        found = devices or find_devices()
        return give_devices(found), ", ".join(found)
    if devices:
        raise RequestError("--device is of this machine, and --ray lets a cluster make the clips", hint="leave one of them out")
    cluster = options.read_cluster(asked)
    room = look_at_cluster(cluster)
    clips = "one clip" if room.count == 1 else f"{room.count} clips"
    return give_cluster(cluster), f"a Ray cluster with room for {clips} at a time, on {room.device}"


def show_url(host: str, line: socket.socket) -> str:
    """Write where the server is."""
    return f"http://{f'[{host}]' if ':' in host else host}:{line.getsockname()[1]}"


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def find_data() -> Path:
    """Say where jobs are kept if nothing is said."""
    import platformdirs

    return Path(platformdirs.user_data_dir("unstill")) / "serve"


def find_devices() -> list[str]:
    """List the GPUs without importing torch; a worker finds out by itself what else there is."""
    import shutil
    import subprocess

    if shutil.which("nvidia-smi") is None:
        return ["auto"]
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    count = sum(line.startswith("GPU ") for line in listed.splitlines())
    return [f"cuda:{number}" for number in range(count)] or ["auto"]
