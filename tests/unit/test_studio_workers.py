"""studio/workers.py: what was kept long enough is forgotten, and nothing else; workers that die or hang are replaced."""

import os
import signal
import time

import pytest

from served import wait_until
from unstill.cluster import Cluster
from unstill.errors import MachineError
from unstill.jobs.records import Order, Output
from unstill.studio.workers import Keeping, Running, Workers, give_cluster, give_devices

HOUR_S = 3600.0


def finish(folder, store, data: bytes = b"clip") -> str:
    """Make an ended job whose clip has a file; give its name."""
    store.submit(Order({}, folder.keep_picture(b"pixels")))
    place = folder.place_output(".mp4")
    place.write_bytes(data)
    place.with_suffix(".thumbnail.jpg").write_bytes(b"still")
    store.complete(store.claim("w"), Output(place.name, "", len(data), {}))
    return place.name


def test_ended_jobs_are_forgotten_after_their_days_and_others_kept(folder, store):
    finish(folder, store)
    waiting = store.submit(Order({}, folder.keep_picture(b"pixels"))).id
    Workers(folder, store, {}, Keeping(days=1)).forget()
    assert len(store.list_jobs()) == 2 and len(list(folder.outputs.iterdir())) == 2
    Workers(folder, store, {}, Keeping(days=-1)).forget()
    assert [job.id for job in store.list_jobs()] == [waiting]
    assert list(folder.outputs.iterdir()) == [], "the clip goes at once, and what was made of it"
    assert (folder.pictures / store.get(waiting).picture).exists()


def test_the_oldest_clips_go_when_there_are_too_many_bytes_of_them(folder, store):
    names = [finish(folder, store, b"x" * 100) for _ in range(5)]
    Workers(folder, store, {}, Keeping(most_bytes=250)).forget()
    assert {job.output for job in store.list_jobs()} == set(names[3:])
    assert {path.name for path in folder.outputs.glob("*.mp4")} == set(names[3:])


def test_what_nobody_names_goes_once_it_was_old_twice(folder, store):
    kept, lost = finish(folder, store), folder.place_output(".mp4")
    lost.write_bytes(b"x")
    for place in folder.outputs.iterdir():
        os.utime(place, (time.time() - 2 * HOUR_S,) * 2)
    workers = Workers(folder, store, {}, Keeping())
    workers.sweep()
    assert lost.exists()
    workers.sweep()
    assert not lost.exists()
    assert (folder.outputs / kept).exists()


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_jumps_by_a_day_and_back_takes_nothing_along(folder, store, monkeypatch, days):
    """A clip that is being written is named by no job yet, and looks a day old."""
    finish(folder, store)
    fresh, real = folder.place_output(".mp4"), time.time
    fresh.write_bytes(b"x")
    store.submit(Order({}, folder.keep_picture(b"pixels")))
    running, workers = store.claim("w"), Workers(folder, store, {}, Keeping())
    for shift_s in (days * 24 * HOUR_S, 0, days * 24 * HOUR_S):
        monkeypatch.setattr(time, "time", lambda shift_s=shift_s: real() + shift_s)
        workers.sweep()
        workers.forget()
        assert store.expire() == []
    assert fresh.exists() and len(store.list_jobs()) == 2 and store.get(running.id).state == "running"


@pytest.mark.slow
def test_a_worker_that_dies_or_hangs_is_replaced(folder, store):
    """Idle ones, which have not imported torch."""
    workers = Workers(folder, store, give_devices(["cpu"]), Keeping(), lease_s=2.0)
    workers.start()
    try:
        running = workers.running["cpu"]
        for number in (signal.SIGKILL, signal.SIGSTOP):
            wait_until(lambda: running.is_up, "its first sign")
            pid = running.process.pid
            os.kill(pid, number)
            wait_until(lambda pid=pid: running.process.pid != pid, "another one")
        wait_until(lambda: running.is_up, "its sign")
    finally:
        workers.stop()
    assert not workers.is_alive and running.process.returncode in (0, -signal.SIGTERM), "which may not be heard so soon"


@pytest.mark.slow
def test_one_that_hands_work_on_is_not_able_before_it_says_so(folder):
    """There is no cluster at this address."""
    [duty] = give_cluster(Cluster("127.0.0.1:1")).values()
    running = Running("ray", duty, folder.root, lease_s=60.0)
    assert not running.is_able
    wait_until(lambda: running.process.poll() is not None, "its leaving")
    assert running.process.returncode == MachineError.exit_code
    running.look()
    assert not running.is_able and not running.is_alive
