"""A server that is killed, hurried, asked twice and lied to; the faults are those of the table in docs/concepts/jobs.md."""

import os
import signal
import sqlite3
import threading
from contextlib import closing

import httpx2
import pytest

from arms import Arm
from invariants import check_invariants
from served import CLIP, bring, check, listening, wait_until
from server import LONG
from unstill.jobs.files import Folder

pytestmark = pytest.mark.slow


# ---- F2, F3, F16: it is killed, asked to leave, hurried ---------------------------------------------------------


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_server_killed_on_either_side_of_accepting_gives_one_job_to_one_key(forks, serve, side):
    server = serve(arms=(Arm("unstill.jobs.store.Store.submit", side),))
    with pytest.raises(httpx2.TransportError):
        server.post(key="once")
    assert server.process.wait() == -signal.SIGKILL
    assert len(server.store.list_jobs()) == (1 if side == "after" else 0)
    server.start()
    first, again = server.post(key="once").json()["id"], server.post(key="once").json()["id"]
    assert [job.id for job in server.store.list_jobs()] == [first] == [again]
    check(server, first)


def test_asked_to_leave_twice_under_load_it_leaves_and_running_work_waits(serve):
    """With a worker of its own, a listener, and posts that come meanwhile."""
    server = serve("--device", "cpu", has_workers=True)
    wait_until(lambda: server.get("/readyz").status_code == 200, "its worker")
    id = server.post(**LONG).json()["id"]
    wait_until(lambda: server.store.get(id).stage == "sample", "sampling")
    check(server, id)
    answers: list[int] = []

    def flood() -> None:
        with httpx2.Client(base_url=server.http.base_url, timeout=240) as http:
            while True:
                try:
                    answers.append(http.get("/v1/videos").status_code)
                except httpx2.TransportError:
                    return

    flooding = threading.Thread(target=flood)
    with listening(server) as (heard, _, thread):
        flooding.start()
        wait_until(lambda: answers and "running" in heard, "load")
        assert server.stop(signal.SIGTERM, signal.SIGTERM) == 0
        thread.join(240)
        flooding.join(240)
        assert not thread.is_alive(), "the listener is let go"
    assert set(answers) == {200}
    job = server.store.get(id)
    assert (job.state, job.attempts, job.error) == ("queued", 0, None)
    check_invariants(Folder(server.folder), server.store, [id])
    assert "Traceback" not in server.read_log()


def test_the_first_ctrl_c_waits_for_the_step_and_the_second_for_nothing(forks, serve):
    """The worker is stopped, so that its step never ends; it loses no attempt by that."""
    server = serve("--device", "cpu")
    wait_until(lambda: server.get("/readyz").status_code == 200, "its worker")
    id = server.post(**LONG).json()["id"]
    wait_until(lambda: server.store.get(id).worker, "the claim")
    worker = int(server.store.get(id).worker.partition("@")[0])
    wait_until(lambda: server.store.get(id).stage == "sample", "sampling")
    os.kill(worker, signal.SIGSTOP)
    os.kill(server.pid, signal.SIGINT)
    wait_until(lambda: "Ctrl-C again leaves at once" in server.read_log(), "its saying so")
    os.kill(server.pid, signal.SIGINT)
    assert server.process.wait() == 130
    assert (server.store.get(id).state, server.store.get(id).attempts) in (("queued", 0), ("running", 1))
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert "Traceback" not in server.read_log()
    server.options = ()
    server.start()
    wait_until(lambda: server.store.get(id).state == "queued", "its being found")


# ---- F11: whose folder, and what is in it --------------------------------------------------------------------


def test_a_folder_that_is_served_or_cannot_be_written_is_refused(forks, serve):
    server = serve()
    for folder, said in (
        (server.folder, f"process {server.pid} at http://127.0.0.1:{server.port}"),
        ("/proc/none", "cannot hold jobs"),
    ):
        done = forks.run(["serve", "--port", "0", "--data", str(folder)])
        assert (done.returncode, done.stdout) == (12, "")
        assert said in done.stderr and "Traceback" not in done.stderr
    check(server)


def test_a_port_that_is_taken_is_said_before_anything_is_started(forks, serve, tmp_path):
    server = serve()
    done = forks.run(["serve", "--port", str(server.port), "--data", str(tmp_path / "other")])
    assert done.returncode == 2
    assert f"127.0.0.1:{server.port} cannot be listened on" in done.stderr


def test_a_store_that_breaks_or_is_locked_under_a_server_is_an_answer(serve):
    server = serve(**{"unstill.jobs.store.BUSY_MS": 200})
    id = server.post().json()["id"]
    with closing(sqlite3.connect(server.folder / "jobs.sqlite", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        answer = server.post()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store")
        assert "locked" in answer.json()["error"]["message"]
        assert server.get(f"/v1/videos/{id}").status_code == 200, "who only looks is not kept waiting"
        db.execute("ROLLBACK")
    assert server.post().status_code == 200
    check(server, id)


# ---- F12: cancelled and deleted in each state, twice ------------------------------------------------------------


def test_cancelling_and_deleting_twice_in_each_state_is_the_same_as_once(serve):
    server = serve()
    cancelled = {
        "queued": "cancelled",
        "running": "running",
        "completed": "completed",
        "failed": "failed",
        "cancelled": "cancelled",
    }
    for state, after in cancelled.items():
        id = bring(server, state)
        for _ in range(2):
            answer = server.ask("POST", f"/v1/videos/{id}/cancel")
            assert (answer.status_code, answer.json()["state"]) == (200, after)
        codes = [server.ask("DELETE", f"/v1/videos/{id}").status_code for _ in range(2)]
        assert codes == ([202, 202] if state == "running" else [200, 404])
        if state == "running":
            server.store.stop(server.store.get(id))
        assert server.get(f"/v1/videos/{id}").status_code == 404
    assert server.store.list_jobs() == []
    check(server)


def test_who_is_downloading_a_clip_gets_all_of_it_though_it_is_deleted_meanwhile(serve):
    server = serve()
    id, data = bring(server, "completed"), os.urandom(30 * 2**20)
    place = server.folder / "outputs" / CLIP.name
    place.write_bytes(data)
    with server.http.stream("GET", f"/v1/videos/{id}/content") as answer:
        parts = answer.iter_bytes()
        got = [next(parts)]
        assert server.ask("DELETE", f"/v1/videos/{id}").json()["deleted"]
        assert not place.exists()
        got += parts
    assert b"".join(got) == data
    assert server.get(f"/v1/videos/{id}/content").status_code == 404
    check(server)
