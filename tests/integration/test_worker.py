"""jobs/worker.py: jobs become clips, or fail with a reason; what may happen to workers meanwhile is in test_faults.py."""

import pytest

from invariants import check_invariants
from server import HARBOUR
from unstill.jobs.records import Order
from unstill.jobs.worker import Worker


@pytest.fixture
def order(folder, miniature):
    """Order a small clip of a picture."""
    knobs = {"model": str(miniature), "size": "64x64", "frames": 3, "steps": 2, "seed": 1, "look": False, "measure": False}
    return lambda data, name: Order(knobs, folder.keep_picture(data), name)


def test_a_job_becomes_a_clip(folder, store, order):
    job = store.submit(order(HARBOUR.read_bytes(), "harbour.jpg"))
    Worker(folder, "cpu").run(most=1)
    done = store.get(job.id)
    assert (done.state, done.error, done.progress) == ("completed", None, 1.0)
    assert done.report["frames"] == 3
    assert str(folder.root) not in str(done.report)
    check_invariants(folder, store, [job.id])


def test_a_picture_that_is_none_fails_alone_and_for_good(folder, store, order):
    bad = store.submit(order(b"<svg/>", "bad.png"))
    good = store.submit(order(HARBOUR.read_bytes(), "harbour.jpg"))
    Worker(folder, "cpu").run(most=2)
    assert (store.get(bad.id).state, store.get(bad.id).error["code"]) == ("failed", "bad_picture")
    assert store.get(bad.id).attempts == 1
    assert store.get(good.id).state == "completed"
    check_invariants(folder, store, [bad.id, good.id])
