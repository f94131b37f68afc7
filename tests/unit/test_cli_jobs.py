"""cli/jobs.py: what a server was asked for, from its folder: listed, followed, cancelled, tried again."""

import json
import threading
import time
from dataclasses import replace
from datetime import datetime

import pytest

from unstill.cli import main
from unstill.cli.jobs import lay_out, measure_took
from unstill.jobs.records import Order, Output
from unstill.jobs.store import Store


def run(folder, *words, capsys) -> str:
    assert main(["jobs", "--data", str(folder.root), *words]) == 0
    return capsys.readouterr().out


def test_jobs_are_listed_a_line_each_with_the_whole_path_of_the_clip(folder, store, capsys):
    ids = [store.submit(Order({}, "p", title)).id for title in ("a\tboat", "a house")]
    store.complete(store.claim("w"), Output("0123456789abcdef0123456789abcdef.mp4", "", 1, {}))
    lines = [line.split("\t") for line in run(folder, capsys=capsys).splitlines()]
    assert [line[:5] for line in lines] == [
        [ids[1], "queued", "", "a house", ""],
        [ids[0], "completed", "", "a boat", str(folder.outputs / "0123456789abcdef0123456789abcdef.mp4")],
    ]
    asked, took = zip(*(line[5:] for line in lines), strict=True)
    kept = {job.id: job for job in store.list_jobs()}
    for id, moment in zip(ids[::-1], asked, strict=True):
        assert datetime.fromisoformat(moment).timestamp() == int(kept[id].created_s)
    assert took[0] == "", "what has not ended took nothing yet"
    assert float(took[1]) == pytest.approx(kept[ids[0]].ended_s - kept[ids[0]].started_s, abs=0.001)
    assert [job["id"] for job in json.loads(run(folder, "--json", capsys=capsys))["jobs"]] == ids[::-1]


def test_people_see_how_long_ago_a_job_was_asked_for_and_what_it_took(folder, store):
    waiting, made = (
        replace(store.get(store.submit(Order({}, "p", "a boat")).id), created_s=time.time() - 125) for _ in range(2)
    )
    made = replace(made, state="completed", started_s=made.created_s, ended_s=made.created_s + 7.1)
    assert (measure_took(waiting), measure_took(made)) == (None, pytest.approx(7.1))
    assert list(lay_out(waiting, folder)) == [f"{waiting.id}  queued  asked 2 min ago  a boat"]
    made = replace(made, output="0.mp4")
    assert list(lay_out(made, folder)) == [
        f"{made.id}  completed  asked 2 min ago  took 7.1 s  a boat", f"    {folder.outputs / '0.mp4'}"
    ]  # fmt: skip


@pytest.mark.slow
def test_a_job_is_followed_to_its_end(folder, store, capsys):
    id = store.submit(Order({}, "p")).id

    def work() -> None:
        own = Store(folder.store)
        job = own.claim("w")
        own.beat(job, "sample", 0.5)
        time.sleep(1)  # so that it is seen on its way; what is said of progress goes with the end
        own.complete(job, Output("clip.mp4", "", 1, {}))
        own.close()

    worker = threading.Thread(target=work)
    worker.start()
    said = run(folder, "--follow", id, capsys=capsys).splitlines()
    worker.join()
    assert (said[0], said[-2], said[-1]) == ("queued", "completed", str(folder.outputs / "clip.mp4"))


def test_a_job_that_failed_is_an_error_to_who_follows_it(folder, store, capsys):
    id = store.submit(Order({}, "p")).id
    store.fail(store.claim("w"), {"code": "bad_picture", "message": "it is none", "retryable": False})
    assert main(["jobs", "--data", str(folder.root), "--follow", id]) == 3
    assert "error: it is none" in capsys.readouterr().err
    kinds = [json.loads(line)["kind"] for line in run_failing(folder, id, capsys)]
    assert kinds == ["queued", "running", "failed"]


def run_failing(folder, id, capsys) -> list[str]:
    main(["jobs", "--data", str(folder.root), "--follow", id, "--json"])
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith('{"kind"')]


def test_a_job_is_cancelled_and_tried_again(folder, store, capsys):
    id = store.submit(Order({}, "p")).id
    assert "cancelled" in run(folder, "--cancel", id, capsys=capsys)
    assert "queued" in run(folder, "--retry", id, capsys=capsys)
    assert run(folder, "--cancel", id, "--follow", id, capsys=capsys).splitlines()[-1] == "cancelled"


def test_what_is_not_there_is_said(folder, store, tmp_path, capsys):
    assert main(["jobs", "--data", str(folder.root), "--follow", "video_0"]) == 10
    assert main(["jobs", "--data", str(tmp_path / "none")]) == 12
    assert "unstill serve" in capsys.readouterr().err
