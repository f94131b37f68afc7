"""What must hold after every fault, whatever it was: I1 to I7. It knows no faults."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unstill.formats.frames import read_frames
from unstill.jobs.files import Folder, hash_file
from unstill.jobs.states import COMPLETED, FINAL, QUEUED, RUNNING, STATES
from unstill.jobs.store import Store


def check_invariants(folder: Folder, store: Store, accepted: Iterable[str] = (), server: Any = None) -> None:
    """Check all of them; `accepted` are the jobs that somebody was told of, and that nobody deleted."""
    jobs = {job.id: job for job in store.list_jobs(limit=2**31)}
    assert set(accepted) <= set(jobs), "I1: a job that was accepted is lost"
    for job in jobs.values():
        check_state(store, job)
    done = [job for job in jobs.values() if job.state == COMPLETED]
    for job in done:
        check_clip(folder, job)
    assert len({job.output for job in done}) == len(done), "I2: two jobs have one clip"
    check_files(folder, store, jobs.values())
    assert store.check(), "I4: the store is not whole"
    if server is not None:
        check_answers(server, folder)


def check_state(store: Store, job: Any) -> None:
    """I1: a job is in exactly one state, and what was told of it says the same."""
    assert job.state in STATES, f"I1: {job.state}"
    kinds = [event.kind for event in store.list_events(job=job.id, limit=10_000)]
    states = [kind for kind in kinds if kind in STATES]
    assert states[-1] == job.state, f"I1: {job.id} is {job.state}, and what was told is {kinds}"
    assert (job.ended_s is not None) == (job.state in FINAL)
    for before, after in itertools.pairwise(states):
        assert before not in FINAL or after == QUEUED, f"I1: ended twice: {kinds}"
    assert states.count(COMPLETED) <= 1, f"I2: published twice: {kinds}"
    assert (job.worker is not None) == (job.state == RUNNING)


def check_clip(folder: Folder, job: Any) -> None:
    """I2: its file is there, as it was hashed, and decodes to as many frames as were promised."""
    place = folder.outputs / job.output
    assert (hash_file(place), place.stat().st_size) == (job.output_sha256, job.output_bytes), f"I2: {job.id}"
    assert len(read_frames(place)[0]) == job.knobs["frames"], f"I2: {job.id}"


def check_files(folder: Folder, store: Store, jobs: Iterable[Any]) -> None:
    """I3: what no job names is known to be old once it is, and what a job names never is."""
    assert folder.list_old(*store.list_names()) == [], "I3: older than the sweep"
    loose = {place.name for place in folder.list_old(*store.list_names(), old_s=-1)}
    assert loose.isdisjoint({job.output for job in jobs} | {job.picture for job in jobs}), "I3: a clip would be swept"


def check_answers(server: Any, folder: Folder) -> None:
    """I5: no answer was an error of ours, or named a place of this machine; I7: what /readyz says is so."""
    for status, text in server.answers:
        assert status < 500 or status in (503, 507), f"I5: {status} {text[:300]}"
        assert str(folder.root) not in text and "Traceback" not in text, f"I5: {text[:300]}"
    assert "Traceback" not in server.read_log(), f"I5: {server.read_log()[-3000:]}"
    if server.has_workers is not None:
        assert server.get("/readyz").status_code == (200 if server.has_workers else 503), "I7"


def count_held(pid: int) -> tuple[int, int]:
    """I6: count open files and threads of a process; what is leaked grows."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), len(list(Path(f"/proc/{pid}/task").iterdir()))


def read_resident_bytes(pid: int) -> int:
    """I6: say how much memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
