"""jobs/store.py, states.py and files.py: no job is lost, none is run twice, and every move is one of the table."""

import itertools
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from unstill.errors import DiskFull, JobConflict, JobMissing, LostClaim, PictureError, QueueFull, StoreError
from unstill.jobs import clock, states, store
from unstill.jobs.files import Folder, hold_folder
from unstill.jobs.records import Order, Output
from unstill.jobs.schema import SCHEMA, VERSION
from unstill.jobs.states import MOVES, STATES, draw_diagram
from unstill.jobs.store import Store

ORDER = Order({"motion": 100}, "a" * 64, "boat.jpg")
OUTPUT = Output("clip.mp4", "b" * 64, 1234, {"frames": 3})


@pytest.fixture
def jobs(tmp_path):
    found = Store(tmp_path / "jobs.sqlite")
    yield found
    found.close()


def test_a_job_is_accepted_claimed_and_completed(jobs):
    job = jobs.submit(ORDER)
    assert (job.state, job.knobs, job.title, job.attempts) == ("queued", {"motion": 100}, "boat.jpg", 0)
    claimed = jobs.claim("w")
    assert (claimed.id, claimed.state, claimed.worker, claimed.attempts, claimed.claim) == (job.id, "running", "w", 1, 1)
    assert jobs.beat(claimed, "sample", 0.5)
    assert jobs.get(job.id).progress == 0.5
    jobs.complete(claimed, OUTPUT)
    done = jobs.get(job.id)
    assert (done.state, done.output, done.output_sha256, done.progress, done.report) == (
        "completed",
        "clip.mp4",
        "b" * 64,
        1.0,
        {"frames": 3},
    )
    assert jobs.claim("w") is None


def test_the_first_that_waits_comes_first_and_priority_before_all(jobs):
    first, second, urgent = (jobs.submit(Order({}, "p", priority=priority)).id for priority in (0, 0, 5))
    assert [jobs.claim("w").id for _ in range(3)] == [urgent, first, second]


def test_the_same_key_is_the_same_job_and_with_another_request_a_mistake(jobs):
    first = jobs.submit(Order({}, "p", key="k", digest="d"))
    assert jobs.submit(Order({}, "p", key="k", digest="d"), cap=0).id == first.id
    with pytest.raises(JobConflict, match="Idempotency-Key"):
        jobs.submit(Order({}, "p", key="k", digest="e"))
    assert jobs.count() == {"queued": 1}


def test_a_full_queue_refuses(jobs):
    for _ in range(3):
        jobs.submit(ORDER, cap=3)
    with pytest.raises(QueueFull) as caught:
        jobs.submit(ORDER, cap=3)
    assert caught.value.retryable


def test_of_200_at_once_exactly_as_many_are_accepted_as_may_wait(jobs, tmp_path):
    """Each thread with a connection of its own, as processes have."""
    accepted, refused = [], []

    def post(own: Store) -> None:
        for _ in range(25):
            try:
                accepted.append(own.submit(ORDER, cap=100).id)
            except QueueFull:
                refused.append(1)

    own = [Store(tmp_path / "jobs.sqlite") for _ in range(8)]
    threads = [threading.Thread(target=post, args=[one]) for one in own]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(set(accepted)), len(refused), jobs.count()) == (100, 100, {"queued": 100})


def test_no_two_workers_get_the_same_job(jobs, tmp_path):
    ids = {jobs.submit(ORDER).id for _ in range(60)}
    got: list[str] = []

    def work() -> None:
        own = Store(tmp_path / "jobs.sqlite")
        while (job := own.claim("w")) is not None:
            got.append(job.id)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(ids)


def test_a_worker_that_gives_no_sign_loses_its_job_and_can_change_nothing_after(jobs):
    jobs.submit(ORDER)
    late = jobs.claim("late", lease_s=-1)
    assert jobs.expire() == [late.id]
    again = jobs.claim("other")
    assert (again.id, again.attempts, again.claim) == (late.id, 2, 2)
    for change in (
        lambda: jobs.complete(late, OUTPUT),
        lambda: jobs.beat(late),
        lambda: jobs.fail(late, {}),
        lambda: jobs.release(late),
        lambda: jobs.stop(late),
    ):
        with pytest.raises(LostClaim):
            change()
    jobs.complete(again, OUTPUT)
    assert jobs.get(late.id).state == "completed"


def test_a_worker_that_is_known_to_be_gone_is_not_waited_for(jobs):
    jobs.submit(ORDER)
    job = jobs.claim("12@cpu", lease_s=1000)
    assert jobs.expire(lambda worker: False) == []
    assert jobs.expire(lambda worker: worker == "12@cpu") == [job.id]


def test_after_three_attempts_it_is_given_up_with_a_reason(jobs):
    jobs.submit(ORDER)
    for _ in range(3):
        job = jobs.claim("w", lease_s=-1)
        jobs.expire()
    job = jobs.get(job.id)
    assert (job.state, job.error["code"]) == ("failed", "worker_lost")
    assert "3 times" in job.error["message"]


def test_what_may_be_retried_waits_again_and_what_may_not_fails(jobs):
    for error, state in (({"retryable": True}, "queued"), ({"retryable": False}, "failed")):
        jobs.submit(ORDER)
        job = jobs.claim("w")
        jobs.fail(job, error)
        assert jobs.get(job.id).state == state
        while jobs.claim("rest"):
            pass


def test_a_job_given_back_has_lost_no_attempt(jobs):
    jobs.submit(ORDER)
    jobs.release(jobs.claim("w"))
    assert jobs.claim("w").attempts == 1


def test_cancelling_takes_effect_at_once_or_with_the_next_heartbeat(jobs):
    waiting = jobs.submit(ORDER)
    assert jobs.cancel(waiting.id).state == "cancelled"
    jobs.submit(ORDER)
    running = jobs.claim("w")
    assert jobs.cancel(running.id).state == "running"
    assert jobs.cancel(running.id).wants_cancel
    assert not jobs.beat(running)
    jobs.stop(running)
    assert jobs.get(running.id).state == "cancelled"
    assert jobs.cancel(running.id).state == "cancelled"


@pytest.mark.parametrize("end", ["release", "expire", "fail"])
def test_a_job_that_nobody_wants_does_not_wait_again(jobs, end):
    jobs.submit(ORDER)
    job = jobs.claim("w", lease_s=-1)
    jobs.cancel(job.id)
    {"release": lambda: jobs.release(job), "expire": jobs.expire, "fail": lambda: jobs.fail(job, {"retryable": True})}[end]()
    assert jobs.get(job.id).state == "cancelled"


def test_a_clock_that_jumps_expires_nothing(jobs, monkeypatch):
    jobs.submit(ORDER)
    jobs.claim("w")
    for days in (-1, 1):
        monkeypatch.setattr(clock, "read_time_s", lambda days=days: time.time() + 86_400 * days)
        monkeypatch.setattr(store, "read_time_s", clock.read_time_s)
        assert jobs.expire() == []


def test_a_restarted_machine_takes_all_running_jobs_back(jobs, monkeypatch):
    jobs.submit(ORDER)
    job = jobs.claim("w")
    monkeypatch.setattr(store, "read_boot", lambda: "another start")
    assert jobs.expire() == [job.id]


def test_the_queue_can_be_put_in_another_order(jobs):
    a, b, c, d = (jobs.submit(ORDER).id for _ in range(4))
    jobs.move(d, before=b)
    assert jobs.list_queue() == [a, d, b, c]
    jobs.move(c, before=a)
    jobs.move(a, before=None)
    assert jobs.list_queue() == [c, d, b, a]
    running = jobs.claim("w")
    with pytest.raises(JobConflict):
        jobs.move(running.id, before=d)


def test_every_order_can_be_reached(tmp_path):
    jobs = Store(tmp_path / "jobs.sqlite")
    ids = [jobs.submit(ORDER).id for _ in range(4)]
    for wished in itertools.permutations(ids):
        for id in wished:
            jobs.move(id, before=None)
        assert jobs.list_queue() == list(wished)


def test_a_queue_can_be_moved_about_for_ever(jobs):
    """Places are halves of halves until no number lies between two; then all are counted anew."""
    a, b, c = (jobs.submit(ORDER).id for _ in range(3))
    for _ in range(80):
        jobs.move(c, before=b)
        assert jobs.list_queue() == [a, c, b]
        jobs.move(b, before=c)
        assert jobs.list_queue() == [a, b, c]


def test_a_picture_that_is_sent_again_is_not_swept_as_an_old_one(tmp_path):
    folder = Folder(tmp_path / "data").make()
    name = folder.keep_picture(b"pixels")
    os.utime(folder.pictures / name, (0, 0))
    folder.keep_picture(b"pixels")
    assert folder.list_old([], []) == []


def test_numbers_that_are_none_are_kept_as_null(jobs):
    jobs.submit(ORDER)
    job = jobs.claim("w")
    jobs.complete(job, Output("clip.mp4", "", 1, {"a": float("nan"), "b": [1.0, float("inf")]}))
    assert jobs.get(job.id).report == {"a": None, "b": [1.0, None]}


def test_failed_and_cancelled_jobs_can_be_tried_again(jobs):
    job = jobs.submit(ORDER)
    jobs.cancel(job.id)
    assert jobs.retry(job.id).state == "queued"
    with pytest.raises(JobConflict):
        jobs.retry(job.id)


@pytest.mark.parametrize("end", ["complete", "fail", "stop", "release", "expire"])
def test_a_job_is_deleted_at_once_or_however_it_ends(jobs, end):
    waiting = jobs.submit(ORDER)
    assert jobs.delete(waiting.id).state == "queued"
    jobs.submit(ORDER)
    job = jobs.claim("w", lease_s=-1)
    assert jobs.delete(job.id).state == jobs.delete(job.id).state == "running"
    assert not jobs.beat(job, lease_s=-1)
    ends = {"complete": lambda: jobs.complete(job, OUTPUT), "fail": lambda: jobs.fail(job, {}), "stop": lambda: jobs.stop(job),
            "release": lambda: jobs.release(job), "expire": jobs.expire}  # fmt: skip
    assert ends[end]() in (None, False, [job.id]), "a clip that nobody wants is not kept"
    for id in (waiting.id, job.id):
        with pytest.raises(JobMissing):
            jobs.get(id)
        assert [event.kind for event in jobs.list_events(job=id)] == ["deleted"]


def test_a_cancelled_job_whose_workers_died_is_cancelled_and_not_failed(jobs):
    jobs.submit(ORDER)
    for _ in range(2):
        jobs.claim("w", lease_s=-1)
        jobs.expire()
    job = jobs.claim("w", lease_s=-1)
    jobs.cancel(job.id)
    jobs.expire()
    assert jobs.get(job.id).state == "cancelled"


def test_the_oldest_clips_go_first_and_what_waits_or_runs_never(jobs, monkeypatch):
    now = iter(range(1000, 2000))
    monkeypatch.setattr(store, "read_time_s", lambda: next(now))
    done = [finish(jobs, f"{number}.mp4") for number in range(4)]
    running, waiting = jobs.submit(ORDER).id, jobs.submit(ORDER).id
    assert jobs.claim("w").id == running
    assert jobs.forget_outlived(before_s=0) == []
    assert jobs.forget_outlived(before_s=0, most_bytes=3 * OUTPUT.size_bytes) == ["0.mp4"]
    assert jobs.forget_outlived(before_s=jobs.get(done[1]).ended_s + 0.5) == ["1.mp4"]
    assert jobs.forget_outlived(before_s=0, most_bytes=1) == ["2.mp4"], "the newest is kept, however large"
    assert {job.id for job in jobs.list_jobs()} == {done[3], running, waiting}
    jobs.forget_events(before_s=5000)
    assert {event.job for event in jobs.list_events()} == {done[3], running, waiting}


def finish(jobs, name: str) -> str:
    jobs.submit(ORDER)
    job = jobs.claim("w")
    jobs.complete(job, Output(name, "", OUTPUT.size_bytes, {}))
    return job.id


def test_events_rise_and_can_be_had_from_any_point_on(jobs):
    job = jobs.submit(ORDER)
    claimed = jobs.claim("w")
    jobs.beat(claimed, "sample", 0.5)
    assert [event.kind for event in jobs.list_events()] == ["queued", "running", "progress"]
    jobs.complete(claimed, OUTPUT)
    events = jobs.list_events(job=job.id)
    assert [event.kind for event in events] == ["queued", "running", "completed"], "progress of an ended job is not kept"
    assert [event.kind for event in jobs.list_events(after=events[1].id)] == ["completed"]
    assert all(a.id < b.id for a, b in itertools.pairwise(events))


def test_jobs_are_listed_in_pages(jobs):
    ids = [jobs.submit(ORDER).id for _ in range(5)]
    assert [job.id for job in jobs.list_jobs(limit=2)] == [ids[4], ids[3]]
    assert [job.id for job in jobs.list_jobs(limit=9, after=ids[3])] == [ids[2], ids[1], ids[0]]
    assert [job.id for job in jobs.list_jobs(limit=2, after=ids[1], newest_first=False)] == [ids[2], ids[3]]
    jobs.cancel(ids[2])
    assert [job.id for job in jobs.list_jobs(states=["cancelled"])] == [ids[2]]


def test_every_move_that_is_made_is_one_of_the_table(jobs):
    """Each is made here once, by what the store offers."""
    made = set()

    def watch(id: str, change) -> None:
        before = jobs.get(id).state
        change()
        made.add((before, jobs.get(id).state))

    ends = {
        "completed": lambda job: jobs.complete(job, OUTPUT),
        "failed": lambda job: jobs.fail(job, {}),
        "cancelled": jobs.stop,
        "queued": jobs.release,
    }
    for end in ends.values():
        id = jobs.submit(Order({}, "p", priority=1)).id
        watch(id, lambda: jobs.claim("w"))
        watch(id, lambda id=id, end=end: end(jobs.get(id)))
        if jobs.get(id).state in ("failed", "cancelled"):
            watch(id, lambda id=id: jobs.retry(id))
        watch(id, lambda id=id: jobs.cancel(id))
    assert {move for move in made if move[0] != move[1]} == set(MOVES)


def test_the_diagram_tells_every_move():
    drawn = draw_diagram()
    assert all(f"{origin} --> {target}: {why}" in drawn for (origin, target), why in MOVES.items())
    assert {state for move in MOVES for state in move} == set(STATES)
    assert states.list_origins("running") == ("queued",)
    assert drawn in (Path(__file__).parents[2] / "docs" / "concepts" / "jobs.md").read_text()


@pytest.mark.parametrize("data", [b"", b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 2000])
def test_a_file_that_is_no_store_is_refused_and_left(tmp_path, data):
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(data)
    if not data:
        Store(path).close()  # an empty file is an empty store
        return
    with pytest.raises(StoreError, match="cannot be read"):
        Store(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("version", [-1, 0, VERSION + 1])
def test_a_store_of_a_version_that_is_not_known_is_refused_and_left(tmp_path, version):
    path = tmp_path / "jobs.sqlite"
    Store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"version {version}"):
        Store(path)
    assert path.read_bytes() == before
    assert list(tmp_path.glob("*.v*")) == []


def test_a_store_of_the_first_version_becomes_todays_and_is_kept_as_it_was(tmp_path):
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as db:
        for statement in SCHEMA.replace(", wants_delete INTEGER NOT NULL DEFAULT 0", "").split(";"):
            db.execute(statement)
        db.execute("INSERT INTO jobs (id, state, place, priority, knobs, picture, title, digest, created_s) "
                   "VALUES ('old', 'queued', 1, 0, '{}', 'p', 't', 'd', 0)")  # fmt: skip
        db.execute("PRAGMA user_version = 1")
        db.commit()
    jobs, other = Store(path), Store(path)
    assert jobs.claim("w").id == "old"
    assert jobs.delete("old").state == "running"
    jobs.stop(jobs.get("old"))
    assert jobs.list_jobs() == other.list_jobs() == []
    copies = [place.name for place in tmp_path.iterdir() if place.name.startswith("jobs.sqlite.")]
    assert copies == ["jobs.sqlite.v1"]
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite.v1")) as db:
        assert db.execute("SELECT id, state FROM jobs").fetchall() == [("old", "queued")]
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    jobs.close()
    other.close()


def test_a_store_without_room_says_so_and_goes_on_once_there_is_some(jobs):
    job = jobs.submit(ORDER)
    pages = jobs._db.execute("PRAGMA page_count").fetchone()[0]
    jobs._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull, match="No room is left for the jobs"):
        for _ in range(1000):
            jobs.submit(Order({"title": "x" * 2000}, "p"))
    waiting = jobs.count()["queued"]
    assert jobs.check() and jobs.get(job.id).state == "queued", "what was there is there"
    jobs._db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    jobs.submit(ORDER)
    assert jobs.count() == {"queued": waiting + 1}


def test_a_store_that_another_process_holds_is_refused_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BUSY_MS", 50)
    path = tmp_path / "jobs.sqlite"
    jobs = Store(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process"):
            jobs.submit(ORDER)
        with pytest.raises(StoreError, match="locked"):
            Store(path)
        assert jobs.list_jobs() == []
    jobs.submit(ORDER)
    jobs.close()


def test_a_store_that_breaks_under_whoever_has_it_open_is_said(tmp_path):
    path = tmp_path / "jobs.sqlite"
    with closing(Store(path)) as jobs:
        for _ in range(200):
            jobs.submit(Order({"title": "x" * 2000}, "p"))
    jobs = Store(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    for ask in (jobs.list_jobs, lambda: jobs.submit(ORDER), lambda: jobs.claim("w"), jobs.list_events, jobs.expire):
        with pytest.raises(StoreError, match="cannot be read or written"):
            ask()
    jobs.close()


def test_a_change_that_breaks_off_changes_nothing(jobs):
    job = jobs.submit(ORDER)
    with pytest.raises(RuntimeError), jobs._change():
        jobs._end(job.id, "failed")
        raise RuntimeError
    assert jobs.get(job.id).state == "queued"
    assert jobs.check()


def test_one_server_to_a_folder(tmp_path):
    folder = Folder(tmp_path / "data").make()
    first = hold_folder(folder, "process 12 at http://127.0.0.1:8000")
    with first, pytest.raises(StoreError, match="process 12 at"), hold_folder(folder, "other"):
        pass
    with hold_folder(folder, "other"):
        pass


def test_pictures_are_kept_once_and_found_by_their_digest_alone(tmp_path):
    folder = Folder(tmp_path / "data").make()
    name = folder.keep_picture(b"pixels")
    assert folder.keep_picture(b"pixels") == name
    assert folder.find_picture(name).read_bytes() == b"pixels"
    for other in ("../jobs.sqlite", "", "a" * 64, f"{name}/..", name.upper()):
        with pytest.raises(PictureError):
            folder.find_picture(other)


def test_what_was_made_of_a_clip_is_kept_and_goes_with_it(tmp_path):
    folder = Folder(tmp_path / "data").make()
    clip, other = folder.place_output(".mp4"), folder.place_output(".mp4")
    still, picture = clip.with_suffix(".thumbnail.jpg"), folder.keep_picture(b"pixels")
    small = folder.pictures / f"{picture}.320.jpg"
    for place in (clip, other, still, small):
        place.write_bytes(b"x")
    assert folder.list_old([clip.name], [picture], old_s=-1) == [other]
    folder.remove_output(clip.name)
    assert list(folder.outputs.iterdir()) == [other]
    assert small.exists()


def test_words_find_jobs_whatever_their_accents_and_wildcards_are_letters(jobs):
    ids = [jobs.submit(Order({}, "p", title)).id for title in ("Évening at sea", "morning", "100 %")]
    assert [job.id for job in jobs.list_jobs(words=["SEA", "even"])] == ids[:1]
    assert [job.id for job in jobs.list_jobs(words=["%"])] == ids[2:]
    assert jobs.list_jobs(words=["_"], newest_first=False)[0].id == ids[0]  # every id holds one


def test_what_no_job_names_is_found_once_it_is_old(tmp_path):
    folder = Folder(tmp_path / "data").make()
    kept, lost = folder.place_output(".mp4"), folder.place_output(".mp4")
    for place in (kept, lost):
        place.write_bytes(b"x")
    assert folder.list_old([kept.name], []) == []
    assert folder.list_old([kept.name], [], old_s=-1) == [lost]


def test_after_a_full_disk_no_sign_of_life_is_missed_for_a_lease(jobs, monkeypatch):
    """A worker whose clip waits for room could not renew its lease either."""
    job = jobs.submit(ORDER)
    claimed = jobs.claim("w", lease_s=-1.0)
    with pytest.raises(StoreError), jobs._change():
        raise sqlite3.OperationalError("database is locked")
    assert jobs.expire() == []
    jobs.complete(claimed, OUTPUT)
    assert jobs.get(job.id).state == "completed"
    other = jobs.submit(ORDER)
    jobs.claim("w", lease_s=-1.0)
    monkeypatch.setattr(store, "read_lease_s", lambda: clock.read_lease_s() + 2 * store.LEASE_S)
    assert jobs.expire() == [other.id]


def test_a_store_of_another_kind_is_refused_before_a_byte_of_it_is_changed(tmp_path):
    path = tmp_path / "foreign.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="version 99"):
        Store(path)
    assert path.read_bytes() == before
