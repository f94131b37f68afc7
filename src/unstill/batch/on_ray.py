"""Workers on a Ray cluster: one actor for each GPU, or for a few cores, started once with the model loaded.

Ray starts actors and carries orders and records, which are small; pictures and clips go by shared folders or addresses. What is
tried again is the dispatcher's to say, so Ray restarts and repeats nothing by itself. A cluster lets whoever reaches it run
anything: one that asks for no token is refused unless that is wanted. It does not know what items are.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unstill.artifacts import Progress
from unstill.batch.items import Item, Model
from unstill.batch.schedule import News
from unstill.batch.sources import is_url
from unstill.errors import Cancelled, MachineError, RequestError
from unstill.values import show

HERE = "here"  # as an address: start Ray on this machine
MODE = "RAY_AUTH_MODE"
STORE_BYTES = 100_000_000  # of Ray's own memory for objects, where we start it: orders are a few hundred bytes
MOST_DEATHS = 20  # one after the other, with nothing made in between, until the cluster is given up
LONGEST_PAUSE_S = 30.0
LOOK_S = 30.0  # between two looks whether the cluster has grown
MISSING = "`ray status` says whether it is there; its token is in RAY_AUTH_TOKEN or ~/.ray/auth_token"
CONTROL = "control"  # calls that are heard while a clip is made
PROBE = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", b"", timeout=10)
except AuthenticationError:
    print("asks for a token")
"""


class Actor:
    """What runs on the cluster: it makes items, one after the other, and hears meanwhile that it is to end."""

    def __init__(self, place: str, device: str) -> None:
        from unstill.batch.maker import Maker
        from unstill.batch.places import open_place

        self._maker, self._leaves = Maker(open_place(place), device), False

    def is_ready(self) -> bool:
        """Answer, once the actor is there."""
        return True

    def describe(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """Say which model a request would run here, or why none."""
        return self._maker.describe(knobs)

    def make(self, orders: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        """Make what is ordered; give what came of it, by number. What is not told of was not made."""
        made: dict[int, dict[str, Any]] = {}
        with suppress(Cancelled):
            self._watch(None)
            for number, outcome in self._maker.make(orders, self._watch):
                made[number] = outcome
        return made

    def leave(self) -> None:
        """End after the current step."""
        self._leaves = True

    def _watch(self, progress: Progress | None) -> None:
        if self._leaves:
            raise Cancelled("Stopped")


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what of it is used."""

    address: str  # host:port, auto, or here
    share: int = 1  # workers for each GPU
    cores: int = 2  # for each worker, where there are no GPUs
    is_insecure: bool = False  # whether a cluster without a token will do


class Actors:
    """Workers on the cluster."""

    depth = 2  # the next order is there when a clip is done, wherever that is
    actor: type = Actor

    def __init__(self, cluster: Cluster, place: str) -> None:
        self._cluster, self._place = cluster, place if is_url(place) else str(Path(place).absolute())
        self._heard: queue.SimpleQueue[tuple[str, Sequence[int], Any]] = queue.SimpleQueue()
        self._early: list[News] = []
        self._actors: dict[str, Any] = {}
        self._vacant: list[float] = []  # when those are to be started that are missing
        self._born = self._deaths = 0
        self._looked, self._is_leaving, self._is_gpu = 0.0, False, False
        self._ray: Any = None

    def __enter__(self) -> Actors:
        self._ray = connect(self._cluster)
        self._grow()
        return self

    def __exit__(self, *what: object) -> None:
        self._ray.shutdown()  # its actors end with the one that started them

    def __len__(self) -> int:
        """Count the workers that there are to be."""
        return len(self._actors) + len(self._vacant)

    def describe(self, knobs: Mapping[str, Any]) -> Model:
        """Ask the first worker that is ready which model a request would run."""
        while True:
            ready = next((news.worker for news in self._early if news.kind == "ready" and news.worker in self._actors), None)
            if ready is None:
                self._early += self._wait(1.0)
                continue
            try:
                return dict(self._ray.get(self._actors[ready].describe.remote(dict(knobs))))
            except self._ray.exceptions.RayActorError:
                self._early += self._wait(1.0)

    def submit(self, worker: str, items: Sequence[Item]) -> None:
        """Order a worker to make items; never waits."""
        orders = [item.to_order() for item in items]
        for order in orders:
            if not is_url(order["picture"]):
                order["picture"] = str(Path(order["picture"]).absolute())  # an actor's folder is another one
        if worker in self._actors:
            self._call(worker, self._actors[worker].make.remote(orders), [item.number for item in items])

    def wait(self, most_s: float) -> list[News]:
        """Wait until something happens, but no longer than this."""
        if self._early:
            early, self._early = self._early, []
            return early
        return self._wait(most_s)

    def leave(self) -> None:
        """Ask all workers to end what they do after its current step, and to give back the rest."""
        self._is_leaving = True
        for actor in self._actors.values():
            actor.leave.options(concurrency_group=CONTROL).remote()

    def _wait(self, most_s: float) -> list[News]:
        self._grow()
        try:
            heard = [self._heard.get(timeout=most_s)]
        except queue.Empty:
            return []
        while not self._heard.empty():
            heard.append(self._heard.get())
        return [news for one in heard for news in self._understand(*one)]

    def _call(self, name: str, ref: Any, numbers: Sequence[int] = ()) -> None:
        """Hear of what was asked for, when it is there; nobody waits for it."""
        ref.future().add_done_callback(lambda future: self._heard.put((name, numbers, future)))

    def _understand(self, name: str, numbers: Sequence[int], future: Any) -> list[News]:
        if name not in self._actors:
            return []
        error = future.exception()
        if isinstance(error, self._ray.exceptions.RayTaskError) and not isinstance(error, self._ray.exceptions.RayActorError):
            told = {"code": "internal", "message": f"unstill itself failed: {str(error).splitlines()[-1][:200]}"}
            return [News("done", name, number, {"error": {**told, "retryable": True}}) for number in numbers]
        if error is not None:
            return [self._lose(name, error)]
        if not numbers:
            return [News("ready", name)]
        made = future.result()
        if any(not outcome.get("error") for outcome in made.values()):
            self._deaths = 0
        done = [News("done", name, number, outcome) for number, outcome in made.items()]
        return done + [News("released", name, number) for number in numbers if number not in made]

    def _lose(self, name: str, error: BaseException) -> News:
        """Do without a worker, and have another in its place."""
        self._ray.kill(self._actors.pop(name))  # one that cannot be reached may live
        self._deaths += 1
        self._vacant.append(time.monotonic() + min(LONGEST_PAUSE_S, 0.05 * 2 ** min(self._deaths, 12)))
        if self._deaths >= MOST_DEATHS:
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise MachineError(f"No worker lives long enough to make a clip: {why}", hint="`ray status` shows the cluster")
        return News("lost", name, reason=type(error).__name__)

    def _grow(self) -> None:
        """Start actors for what the cluster has, and in the place of those that are gone."""
        now = time.monotonic()
        if self._is_leaving:
            return
        if now - self._looked > LOOK_S or not self._actors:
            self._looked = now
            missing = self._count_places() - len(self._actors) - len(self._vacant)
            self._vacant += [now] * missing
        due = [when for when in self._vacant if when <= now]
        self._vacant = [when for when in self._vacant if when > now]
        for _ in due:
            self._start()

    def _count_places(self) -> int:
        has = self._ray.cluster_resources()
        self._is_gpu = has.get("GPU", 0) >= 1
        count = int(has["GPU"]) * self._cluster.share if self._is_gpu else int(has.get("CPU", 0)) // self._cluster.cores
        if not count and not self._actors:
            raise MachineError(f"The cluster has no GPU and fewer than {self._cluster.cores} cores", hint="--cores 1")
        return count

    def _start(self) -> None:
        self._born += 1
        name = f"actor-{self._born}"
        needs = {"num_gpus": 1 / self._cluster.share, "num_cpus": 1} if self._is_gpu else {"num_cpus": self._cluster.cores}
        made = self._ray.remote(concurrency_groups={CONTROL: 1})(self.actor).options(
            max_restarts=0, max_task_retries=0, **needs
        )
        self._actors[name] = made.remote(self._place, "cuda" if self._is_gpu else "cpu")
        self._call(name, self._actors[name].is_ready.remote())


def connect(cluster: Cluster) -> Any:
    """Connect to the cluster, or start one here; with a token, unless none is wanted."""
    os.environ.setdefault(MODE, "disabled" if cluster.is_insecure else "token")  # before Ray is imported, which reads it once
    if os.environ[MODE] != "token" and not cluster.is_insecure:
        raise RequestError(f"{MODE}={os.environ[MODE]} lets anybody run anything on the cluster",
                           hint=f"{MODE}=token, or --insecure-cluster where nobody else can reach it")  # fmt: skip
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
        raise MachineError(f"There is no cluster at {shown}: {' '.join(str(error).split())[:200]}", hint=MISSING) from None
    if not cluster.is_insecure and not asks_for_token(ray.get_runtime_context().gcs_address):
        ray.shutdown()
        raise RequestError(f"The cluster at {shown} asks for no token: whoever reaches it can run anything there",
                           hint=f"start it with {MODE}=token, or say --insecure-cluster")  # fmt: skip
    return ray


def asks_for_token(address: str) -> bool:
    """Say whether a cluster refuses one who has no token: another process tries, as this one has one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    environment |= {MODE: "disabled", "HOME": os.devnull}
    words = [sys.executable, "-c", PROBE, address]
    asked = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    return "asks for a token" in asked.stdout
