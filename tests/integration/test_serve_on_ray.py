"""jobs/on_ray.py: actors of a cluster make what a server's own workers make, and kills of anybody lose nothing."""

import importlib.util
import os
import signal
from contextlib import suppress

import pytest

from invariants import check_invariants
from ray_cluster import list_actors, opened
from served import wait_until
from server import HARBOUR, Server, http, post, wait_for
from unstill.cluster import Cluster
from unstill.jobs.files import Folder
from unstill.jobs.records import Order
from unstill.jobs.stills import name_still
from unstill.jobs.store import Store
from unstill.jobs.worker import read_pid
from unstill.studio.workers import Keeping, Workers, give_cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]
KNOBS = {"size": "64x64", "frames": 3, "steps": 2, "seed": 1, "look": False, "measure": False}
ENDLESS = {"frames": 25, "steps": 200}  # for what does not come to its end
TOKEN = "0123456789abcdef" * 2
LEASE_S = 6.0


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Where actors keep steps."""
    return tmp_path_factory.mktemp("runs-of-actors")


@pytest.fixture(scope="module")
def cluster(runs):
    """Give the address of a cluster of two cores that asks for a token."""
    with opened(2, RAY_AUTH_TOKEN=TOKEN, UNSTILL_RUNS=str(runs), OMP_NUM_THREADS="1") as address:
        yield address


@pytest.fixture
def token(monkeypatch):
    """Let what is started here know the token."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)


@pytest.fixture
def workers(cluster, token, folder, store):
    """One actor, and who feeds it."""
    found = Workers(folder, store, give_cluster(Cluster(cluster, cores=2)), Keeping(), lease_s=LEASE_S)
    found.start()
    yield found
    found.stop()
    assert not found.is_alive


@pytest.fixture
def order(folder, miniature):
    """Ask for a clip of a model whose steps take no time."""

    def ask(picture: bytes | None = None, **knobs) -> Order:
        kept = folder.keep_picture(HARBOUR.read_bytes() if picture is None else picture)
        return Order({**KNOBS, "model": str(miniature), **knobs}, kept, "harbour.jpg")

    return ask


def is_sampling(store, id) -> bool:
    job = store.get(id)
    return job.stage == "sample" and job.progress > 0.08


def test_a_server_lets_a_cluster_make_its_clips(cluster, token, tmp_path):
    server = Server(tmp_path / "data", "--ray", cluster, "--cores", "1")
    try:
        short, endless = (post(server, **more).json()["id"] for more in ({}, {"num_frames": 25, "num_inference_steps": 200}))
        wait_until(lambda: http.get(f"{server.url}/v1/videos/{endless}/preview").status_code == 200, "a preview")
        http.post(f"{server.url}/v1/videos/{endless}/cancel")
        assert [wait_for(server, id)["state"] for id in (short, endless)] == ["completed", "cancelled"]
        folder = Folder(tmp_path / "data")
        store = Store(folder.store)
        job = store.get(short)
        assert (job.attempts, job.report["frames"], job.report["file_frames"]) == (1, 3, 3)
        assert job.report["knobs"]["model"] == "pocket"
        assert str(tmp_path) not in str(job.report)
        stills = [name_still(folder.outputs / job.output, what) for what in ("thumbnail", "spritesheet", "last")]
        assert all(still.stat().st_size for still in stills)
        check_invariants(folder, store, [short, endless])
        store.close()
    finally:
        code = server.stop()
    assert code == 0
    wait_until(lambda: not list_actors("JobActor"), "the actors' end")


def stop_actor() -> int:
    """Stop the actor before it gets its job, so that no machine is quick enough to end it first."""
    [actor] = list_actors("JobActor")
    os.kill(actor, signal.SIGSTOP)
    return actor


def test_whoever_dies_or_hangs_its_job_is_made_all_the_same(workers, folder, store, order):
    wait_until(lambda: workers.is_alive, "the first actor")

    # An actor is killed.
    actor = stop_actor()
    id = store.submit(order()).id
    wait_until(lambda: store.get(id).attempts, "its claim")
    with suppress(ProcessLookupError):  # on a machine that is very busy it was held to hang already
        os.kill(actor, signal.SIGKILL)
    wait_until(lambda: store.get(id).state == "completed", "its clip")

    # One hangs.
    wait_until(lambda: workers.is_alive, "the next actor")
    actor = stop_actor()
    hung = store.submit(order(seed=5)).id
    wait_until(lambda: store.get(hung).attempts == 2, "another attempt")
    wait_until(lambda: actor not in list_actors("JobActor"), "its end")
    wait_until(lambda: store.get(hung).state == "completed", "its clip")

    # The process that feeds actors is killed.
    wait_until(lambda: workers.is_alive, "the next actor")
    stop_actor()
    other = store.submit(order(seed=2)).id
    wait_until(lambda: store.get(other).worker, "its claim")
    os.kill(read_pid(store.get(other).worker), signal.SIGKILL)
    wait_until(lambda: store.get(other).state == "completed", "its clip")
    assert all(store.get(one).attempts >= 2 for one in (id, hung, other))
    check_invariants(folder, store, [id, hung, other])


def test_one_that_leaves_a_job_makes_the_next_and_gives_back_what_it_has_no_time_for(workers, runs, folder, store, order):
    id = store.submit(order(**ENDLESS, seed=3)).id
    wait_until(lambda: is_sampling(store, id), "some steps")
    actors = list_actors("JobActor")
    store.cancel(id)
    wait_until(lambda: store.get(id).state == "cancelled", "its end")
    bad = store.submit(order(picture=b"<svg/>")).id
    good = store.submit(order()).id
    wait_until(lambda: store.get(good).state == "completed", "the next clip")
    assert (store.get(bad).state, store.get(bad).error["code"], store.get(bad).attempts) == ("failed", "bad_picture", 1)
    assert list_actors("JobActor") == actors

    last = store.submit(order(**ENDLESS, seed=4)).id
    wait_until(lambda: is_sampling(store, last), "some steps")
    workers.stop()
    assert (store.get(last).state, store.get(last).attempts) == ("queued", 0)
    assert len(list(runs.glob("jobs/*-4/step.safetensors"))) == 1, "the next actor there goes on from it"
    check_invariants(folder, store, [id, bad, good, last])
    wait_until(lambda: not list_actors("JobActor"), "the actor's end")
