"""Workers that are killed, stopped, cancelled and left without room: every job ends once, and its clip is whole.

The letters are those of the table in docs/concepts/jobs.md.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from arms import Arm
from forks import Child
from invariants import check_invariants
from served import wait_until
from server import HARBOUR
from unstill.errors import DiskFull, JobMissing
from unstill.jobs.files import Folder
from unstill.jobs.records import Order
from unstill.jobs.store import Store
from unstill.jobs.worker import is_gone

pytestmark = pytest.mark.slow
STEPS = 3


@pytest.fixture
def submit(folder, store, miniature):
    def ask(**knobs) -> str:
        knobs = {
            "model": str(miniature),
            "size": "64x64",
            "frames": 2,
            "steps": STEPS,
            "seed": 1,
            "look": False,
            "measure": False,
            **knobs,
        }
        return store.submit(Order(knobs, folder.keep_picture(HARBOUR.read_bytes()), "harbour.jpg")).id

    return ask


# ---- F1: the worker is killed --------------------------------------------------------------------------------

POINTS = {
    "claim": Arm("unstill.jobs.store.Store.claim"),
    "encode": Arm("unstill.engine.reference.ReferenceEngine.encode"),
    "step 2": Arm("unstill.runs.Run.keep", nth=2),
    "decode": Arm("unstill.generate.decode"),
    "write": Arm("unstill.write.encode"),
    "fsync": Arm("os.fsync", word="/outputs/"),
    "rename": Arm("pathlib.Path.replace", word="/outputs/"),
    "fsync of the folder": Arm("os.fsync", word="/outputs", nth=2),
    "within the commit": Arm("unstill.jobs.store.Store._end"),
    "commit": Arm("unstill.jobs.store.Store.complete"),
}
SIDES = ("before", "after")


MANY = {"unstill.jobs.store.MOST_ATTEMPTS": 99}


def test_a_clip_whose_workers_are_killed_at_every_stage_is_made_once_and_no_step_twice(forks, folder, store, submit, tmp_path):
    """Each worker goes on where the one before was killed, and is killed a little later."""
    id, kept = submit(), tmp_path / "kept"
    count = Arm("unstill.runs.Run.keep", act="count", times=99, file=str(kept))
    for point in POINTS:
        for side in SIDES:
            worker = forks.work(folder.root, replace(POINTS[point], side=side), count, **MANY)
            assert worker.wait() == -signal.SIGKILL, (point, side)
            is_done = (point, side) == ("commit", "after")
            assert is_done == (store.get(id).state == "completed"), (point, side)
            check_invariants(folder, store, [id])
        if point == "fsync of the folder":  # what is written is kept no longer
            assert len(kept.read_text()) == STEPS + 1, "one was killed between a step and its keeping"
    assert store.get(id).attempts == 2 * len(POINTS) - 1, "each but the first had claimed it"


@pytest.mark.thorough("the test above in one chain; here each kill is alone, and the very next worker ends the job")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_on_either_side_of_a_stage_loses_and_repeats_nothing(
    forks, folder, store, submit, tmp_path, point, side
):
    id, kept = submit(), tmp_path / "kept"
    assert forks.work(folder.root, replace(POINTS[point], side=side)).wait() == -signal.SIGKILL
    check_invariants(folder, store, [id])
    is_done = (point, side) == ("commit", "after")
    assert store.get(id).state == ("completed" if is_done else "queued" if (point, side) == ("claim", "before") else "running")
    if not is_done:
        assert forks.work(folder.root, Arm("unstill.runs.Run.keep", act="count", times=99, file=str(kept))).wait() == 0
    job = store.get(id)
    assert (job.state, job.attempts) == ("completed", 1 if is_done or (point, side) == ("claim", "before") else 2)
    if point == "step 2":
        assert len(kept.read_text()) == STEPS - (2 if side == "after" else 1), "it goes on after the last step that was kept"
    check_invariants(folder, store, [id])


def test_a_job_whose_workers_die_three_times_is_given_up_with_a_reason(forks, folder, store, submit):
    id = submit()
    for _ in range(3):
        assert forks.work(folder.root, POINTS["encode"]).wait() == -signal.SIGKILL
        store.expire(is_gone)
    job = store.get(id)
    assert (job.state, job.error["code"]) == ("failed", "worker_lost")
    assert "died or hung 3 times" in job.error["message"]
    store.retry(id)
    assert forks.work(folder.root).wait() == 0
    assert store.get(id).state == "completed"
    check_invariants(folder, store, [id])


@pytest.mark.thorough("20 random kills; a thousand are `make soak`")
def test_workers_that_are_killed_at_random_lose_and_repeat_nothing(forks, folder, store, submit):
    """Two workers and 20 kills; `make soak` does the same a thousand times, with a server."""
    dice, workers = random.Random(3), [forks.work(folder.root, most=None) for _ in range(2)]
    ids = [submit(seed=seed) for seed in range(6)]
    for _ in range(20):
        time.sleep(dice.uniform(0.0, 0.8))
        number = dice.randrange(2)
        workers[number].kill()
        workers[number].wait()
        workers[number] = forks.work(folder.root, most=None)
        for id in ids:  # a job whose workers die too often is given up with a reason: asked for again, it goes on
            if store.get(id).state == "failed":
                assert store.get(id).error["code"] == "worker_lost"
                store.retry(id)
    wait_until(lambda: store.count().get("completed", 0) + store.count().get("failed", 0) == len(ids), "the end of all")
    for worker in workers:
        worker.terminate()
        assert worker.wait() == 0
    assert all(store.get(id).state == "completed" or store.get(id).error["code"] == "worker_lost" for id in ids)
    check_invariants(folder, store, ids)


# ---- F3, F7, F12: it is asked to leave, it hangs, somebody wants the job no more ----------------------------------


@pytest.fixture
def long(forks, folder, store, submit):
    """A job that is being sampled and would be for long, and its worker."""
    id = submit(steps=200, size="128x128", frames=14)
    worker = forks.work(folder.root, most=None)
    wait_until(lambda: store.get(id).stage == "sample" or store.get(id).error, "sampling")
    yield id, worker
    worker.kill()
    worker.wait()


def test_a_worker_that_is_asked_to_leave_twice_gives_its_job_back(forks, folder, store, long):
    id, worker = long
    worker.terminate()
    worker.terminate()
    assert worker.wait() == 0
    assert (store.get(id).state, store.get(id).attempts) == ("queued", 0)
    check_invariants(folder, store, [id])


def stop_between_changes(worker: Child, folder: Folder) -> None:
    """Stop a worker where it does not hold the store: else nobody could change that until it is killed."""
    while True:
        worker.send_signal(signal.SIGSTOP)
        with (
            closing(sqlite3.connect(folder.store, timeout=0.5, isolation_level=None)) as db,
            suppress(sqlite3.OperationalError),
        ):
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
            return
        worker.send_signal(signal.SIGCONT)
        time.sleep(0.01)


def test_a_worker_that_hangs_is_replaced_and_comes_too_late(folder, store, long):
    """It wakes up after its job was taken over, finds itself refused, and goes on with other jobs."""
    id, worker = long
    stop_between_changes(worker, folder)
    wait_until(lambda: store.expire() == [id], "the end of the lease")
    other = store.claim("other", lease_s=1000)
    worker.send_signal(signal.SIGCONT)
    next_one = store.submit(Order(dict(other.knobs, steps=1, size="64x64", frames=2), other.picture, "next")).id
    wait_until(lambda: store.get(next_one).state == "completed", "its next job")
    assert (store.get(id).state, store.get(id).worker, store.get(id).claim) == ("running", "other", other.claim)
    assert other.claim == 2
    check_invariants(folder, store, [id])


@pytest.mark.parametrize("wish", ["cancel", "delete"])
def test_a_running_job_that_nobody_wants_makes_way_for_the_next(folder, store, submit, long, wish):
    id, worker = long
    next_one = submit(steps=1)
    assert getattr(store, wish)(id).state == getattr(store, wish)(id).state == "running", "asked twice, it is the same"
    wait_until(lambda: store.get(next_one).state == "completed", "the next one's end")
    assert worker.poll() is None, "the worker goes on"
    if wish == "cancel":
        assert store.get(id).state == "cancelled"
    else:
        with pytest.raises(JobMissing):
            store.get(id)
        assert [event.kind for event in store.list_events(job=id)] == ["deleted"]
    assert [path.name for path in folder.outputs.glob("*.mp4")] == [store.get(next_one).output]
    check_invariants(folder, store, [next_one])


def test_the_wish_to_delete_outlives_the_worker(forks, folder, store, long):
    id, worker = long
    stop_between_changes(worker, folder)
    store.delete(id)
    worker.kill()
    worker.wait()
    assert store.expire(is_gone) == [id]
    with pytest.raises(JobMissing):
        store.get(id)
    check_invariants(folder, store)


# ---- F4: there is no room --------------------------------------------------------------------------------------

WRITES = [Arm(at, word="/outputs/") for at in ("pathlib.Path.open", "os.fsync", "pathlib.Path.replace")]


def test_a_clip_that_finds_no_room_waits_and_is_made_by_itself_later(forks, folder, store, submit, tmp_path):
    """There is none to open its file, then to flush it, then to rename it."""
    id = submit()
    full = [replace(point, act="ENOSPC") for point in WRITES]
    assert forks.work(folder.root, *full, most=len(full) + 1, log=tmp_path / "log").wait() == 0
    assert (store.get(id).state, store.get(id).attempts) == ("completed", 1)
    assert (tmp_path / "log").read_text().count("No room is left") == 1, "said once"
    check_invariants(folder, store, [id])


def test_a_clip_that_the_disk_refuses_fails_with_the_reason(forks, folder, store, submit):
    """One when its file is opened, the next when it is flushed, the last when it is renamed."""
    ids = [submit(seed=seed) for seed in range(len(WRITES))]
    assert forks.work(folder.root, *(replace(point, act="EIO") for point in WRITES), most=len(ids)).wait() == 0
    for job in map(store.get, ids):
        assert (job.state, job.error["code"]) == ("failed", "write_failed")
        assert "Input/output error" in job.error["message"] and str(folder.root) not in job.error["message"]
    assert list(folder.outputs.iterdir()) == []
    check_invariants(folder, store, ids)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own that is soon full; whoever may not mount one skips the test."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True).returncode
    ):
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    """Take all room that is left."""
    with place.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return place
    raise AssertionError("it never fills")


def test_on_a_disk_that_is_full_all_waits_and_goes_on_by_itself(forks, small_disk, miniature, tmp_path):
    folder = Folder(small_disk / "data").make()
    store, log = Store(folder.store), tmp_path / "log"
    order = Order({"model": str(miniature), "size": "64x64", "frames": 2, "steps": 2, "seed": 1, "look": False, "measure": False},
                  folder.keep_picture(HARBOUR.read_bytes()), "harbour.jpg")  # fmt: skip
    ids = [store.submit(order).id]
    filler = fill(small_disk / "filler")
    with pytest.raises(DiskFull, match="No room is left"):
        for _ in range(1000):  # the log of changes may have some room of its own
            ids.append(store.submit(order).id)
    with pytest.raises(DiskFull, match="No room is left"):
        folder.keep_picture(os.urandom(100_000))
    worker = forks.work(folder.root, most=None, log=log)
    wait_until(lambda: log.exists() and "waits: No room is left" in log.read_text(), "its saying so")
    filler.unlink()
    wait_until(lambda: store.get(ids[0]).state == "completed", "its going on")
    worker.terminate()
    assert worker.wait() == 0
    assert "Traceback" not in log.read_text()
    check_invariants(folder, store, ids)
    store.close()
    shutil.rmtree(folder.root)
