"""jobs/worker.py: clips are made and published once, whatever happens to the processes that make them."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unstill.formats.frames import read_frames
from unstill.jobs.files import Folder, first_word, hash_file
from unstill.jobs.records import Order
from unstill.jobs.store import Store
from unstill.jobs.worker import Worker

HARBOUR = Path(__file__).parents[2] / "examples" / "harbour.jpg"
KNOBS = {"model": "pocket", "size": "64x64", "frames": 3, "steps": 2, "seed": 1, "look": False, "measure": False}
LEASE_S = 1.0


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "data").make()


@pytest.fixture
def store(folder):
    found = Store(folder.store)
    yield found
    found.close()


def order(folder, **knobs) -> Order:
    return Order({**KNOBS, **knobs}, folder.keep_picture(HARBOUR.read_bytes()), "harbour.jpg")


def start(folder, *more) -> subprocess.Popen:
    words = [sys.executable, "-m", "unstill.jobs.worker", str(folder.root), "--device", "cpu", "--lease-s", str(LEASE_S), *more]
    return subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)


def wait_for(condition, what: str, most_s: float = 240.0) -> None:
    end = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {most_s:g} s"
        time.sleep(0.02)


def check_invariants(folder, store) -> None:
    """Every completed job has its file, whole and as it was hashed; every file under a job's name has one job."""
    assert store.check()
    done = [job for job in store.list_jobs(limit=1000) if job.state == "completed"]
    for job in done:
        place = folder.outputs / job.output
        assert hash_file(place) == job.output_sha256
        assert place.stat().st_size == job.output_bytes
        assert len(read_frames(place)[0]) == job.knobs["frames"]
    assert len({job.output for job in done}) == len(done)


def test_a_job_becomes_a_clip(folder, store):
    job = store.submit(order(folder))
    Worker(folder, "cpu").run(most=1)
    done = store.get(job.id)
    assert (done.state, done.error, done.progress) == ("completed", None, 1.0)
    assert done.report["frames"] == 3
    assert str(folder.root) not in str(done.report)
    check_invariants(folder, store)


def test_a_picture_that_is_none_fails_alone_and_for_good(folder, store):
    bad = store.submit(Order(KNOBS, folder.keep_picture(b"<svg/>"), "bad.png"))
    good = store.submit(order(folder))
    Worker(folder, "cpu").run(most=2)
    assert (store.get(bad.id).state, store.get(bad.id).error["code"]) == ("failed", "bad_picture")
    assert store.get(bad.id).attempts == 1
    assert store.get(good.id).state == "completed"


def test_a_cancelled_job_stops_between_two_steps(folder, store):
    job = store.submit(order(folder, steps=200, size="512x512"))
    worker = start(folder)
    try:
        wait_for(lambda: store.get(job.id).stage == "sample", "sampling")
        store.cancel(job.id)
        wait_for(lambda: store.get(job.id).state == "cancelled", "the cancelling")
        assert worker.poll() is None, "the worker goes on with the next job"
    finally:
        worker.kill()
        worker.wait()


def test_a_worker_that_is_asked_to_leave_gives_its_job_back(folder, store):
    job = store.submit(order(folder, steps=200, size="512x512"))
    worker = start(folder)
    wait_for(lambda: store.get(job.id).stage == "sample", "sampling")
    worker.terminate()
    assert worker.wait(120) == 0
    assert (store.get(job.id).state, store.get(job.id).attempts) == ("queued", 0)


def test_a_worker_that_hangs_is_replaced_and_comes_too_late(folder, store):
    """It wakes up after its job was taken over, and must publish nothing."""
    job = store.submit(order(folder, steps=60, size="256x256"))
    worker = start(folder)
    try:
        wait_for(lambda: store.get(job.id).stage == "sample", "sampling")
        worker.send_signal(signal.SIGSTOP)
        wait_for(lambda: store.expire() == [job.id], "the end of the lease")
        other = store.claim("other", lease_s=60)
        worker.send_signal(signal.SIGCONT)
        time.sleep(2 * LEASE_S)
        assert (store.get(job.id).claim, store.get(job.id).worker) == (other.claim, "other")
        assert store.get(job.id).state == "running"
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.slow
def test_workers_that_are_killed_at_random_lose_and_repeat_nothing(folder, store):
    """Two workers, jobs that take a second, a kill -9 every few tenths: in the end all clips are there, once."""
    dice, ids = random.Random(3), [store.submit(order(folder, seed=seed)).id for seed in range(8)]
    workers, kills, end = [], 0, time.monotonic() + 400
    try:
        while any(store.get(id).state not in ("completed", "failed") for id in ids) and time.monotonic() < end:
            workers = [worker for worker in workers if worker.poll() is None]
            while len(workers) < 2:
                workers.append(start(folder))
            time.sleep(dice.uniform(2.0, 6.0))
            store.expire()
            if kills < 12:
                dice.choice(workers).kill()
                kills += 1
            for id in ids:  # a job whose workers die too often is given up with a reason: asked for again, it goes on
                if store.get(id).state == "failed":
                    assert store.get(id).error["code"] == "worker_lost"
                    store.retry(id)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert store.count() == {"completed": 8}
    check_invariants(folder, store)
    named = {store.get(id).output for id in ids}
    assert set(folder.sweep(named, [store.get(ids[0]).picture], old_s=-1)).isdisjoint(named)
    assert {first_word(path.name) for path in folder.outputs.iterdir()} == {first_word(name) for name in named}
