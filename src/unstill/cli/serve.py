"""`unstill serve`: the HTTP API, with a worker for each device."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import click

from unstill.cli import options, output
from unstill.cli.help import Command

KEY = "UNSTILL_KEY"


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
@options.debug
def serve(host: str, port: int, data: str | None, devices: tuple[str, ...], queue: int, keep_days: float, debug: bool) -> None:
    """Serve clips over HTTP: /v1/videos, as OpenAI's client and others speak it.

    Jobs are on disk before they are accepted; a restart goes on with them. Any address but this machine's own needs a
    key in the variable UNSTILL_KEY.
    """
    from unstill.errors import RequestError

    key = os.environ.get(KEY) or None
    if key is None and not is_loopback(host):
        raise RequestError(f"{host} can be reached by others, and no key is set", hint=f"{KEY}=… unstill serve --host {host}")
    try:
        import uvicorn

        from unstill.studio.app import make_app
        from unstill.studio.service import Service
    except ModuleNotFoundError as error:
        raise RequestError(f"Serving needs {error.name}", hint="pip install 'unstill[serve]'") from None
    from unstill.jobs.files import Folder, hold_folder
    from unstill.jobs.store import Store
    from unstill.studio.planner import Planner
    from unstill.studio.workers import Workers

    folder = Folder(find_data() if data is None else Path(data)).make()
    with hold_folder(folder, f"process {os.getpid()} at http://{host}:{port}"):
        store = Store(folder.store)
        workers = Workers(folder, store, devices or find_devices(), keep_s=keep_days * 86_400)
        workers.start()
        planner = Planner(folder, workers.devices[0])
        service = Service(folder, store, queue, workers.keep_s, planner=planner, is_ready=lambda: workers.is_alive)
        output.say(f"http://{host}:{port} (and /v1/videos), working on {', '.join(workers.devices)}, jobs in {folder.root}")
        try:
            uvicorn.run(make_app(service, host, key), host=host, port=port, log_level="debug" if debug else "warning",
                        timeout_graceful_shutdown=5, h11_max_incomplete_event_size=65_536)  # fmt: skip
        finally:
            planner.close()
            workers.stop()
            store.close()


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
