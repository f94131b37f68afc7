"""Our client against `unstill serve`: a whole life, and what it survives."""

import threading

import pytest

from relay import Relay
from server import HARBOUR, LONG, SMALL, Server, http
from unstill.client import Client, Video
from unstill.errors import Cancelled, JobConflict, JobMissing, KeyRefused, PictureError, RequestError
from unstill.formats.frames import read_frames

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(forks, tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("serve"), forks=forks)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def client(server):
    with Client(server.url) as found:
        yield found


@pytest.fixture(scope="module")
def made(client) -> Video:
    """A finished clip."""
    return client.wait(client.create(HARBOUR, **SMALL).id)


def test_a_clip_is_called_as_its_picture_where_nothing_else_is_said(made):
    assert made.title == "harbour"


def test_a_picture_becomes_a_file_in_one_call(client, tmp_path):
    seen: list[Video] = []
    video = client.animate(HARBOUR, tmp_path / "clip.gif", seen.append, **SMALL, title="harbour")
    assert len(read_frames(tmp_path / "clip.gif")[0]) == 2
    assert (video.state, video.progress, video.seed, video.title) == ("completed", 100, 1, "harbour")
    assert (tmp_path / "clip.gif").stat().st_size == video.bytes
    assert [one.progress for one in seen] == sorted(one.progress for one in seen)
    assert {one.state for one in seen} <= {"queued", "running", "completed"}
    assert seen[-1] == video == client.get(video.id)


def test_bytes_and_open_files_are_taken(client):
    with HARBOUR.open("rb") as file:
        ids = [client.create(HARBOUR.read_bytes(), **SMALL).id, client.create(file, **SMALL).id]
    assert {client.get(id).answer["picture"] for id in ids} == {client.get(ids[0]).answer["picture"]}


def test_clips_are_listed_over_all_pages(client, made, monkeypatch):
    monkeypatch.setattr("unstill.client.PAGE", 2)
    ids = [client.create(HARBOUR, **SMALL).id for _ in range(4)]
    newest = [video.id for video in client.list()]
    assert newest[:4] == ids[::-1]
    assert [video.id for video in client.list(newest_first=False)] == newest[::-1]
    assert made.id in newest


def test_what_a_server_refuses_is_an_error_of_ours(client, made, tmp_path):
    with pytest.raises(RequestError) as caught:
        client.create(HARBOUR, motion=999, moton=1)
    assert len(caught.value.problems) == 2
    with pytest.raises(PictureError):
        client.create(b"no picture")
    with pytest.raises(JobMissing):
        client.get("../healthz")
    with pytest.raises(JobConflict):
        client.retry(made.id)
    running = client.create(HARBOUR, **LONG)
    with pytest.raises(JobConflict):
        client.download(running.id, tmp_path / "clip.mp4")
    client.cancel(running.id)
    assert list(tmp_path.iterdir()) == []


def test_cancelled_clips_are_errors_and_can_be_tried_again_and_deleted(client, tmp_path):
    def cancel(video: Video) -> None:
        client.cancel(video.id)
        ids.append(video.id)

    ids: list[str] = []
    with pytest.raises(Cancelled):
        client.animate(HARBOUR, tmp_path / "clip.mp4", cancel, **LONG)
    assert client.retry(ids[0]).state == "queued"
    client.cancel(ids[0])
    assert client.wait(ids[0]).state == "cancelled"
    assert client.delete(ids[0]) is True
    with pytest.raises(JobMissing):
        client.delete(ids[0])


def test_an_answer_that_is_lost_makes_no_second_job(server, client):
    cuts = iter([0, 40])
    with Relay(server.port, lambda line: next(cuts, None)) as relay, Client(relay.url) as far:
        video = far.create(HARBOUR, **SMALL, title="once")
        assert relay.seen == ["POST /v1/videos"] * 3
    assert [one.id for one in client.list() if one.title == "once"] == [video.id]


def test_a_download_that_breaks_off_goes_on_where_it_was(server, made, tmp_path):
    lines: list[str] = []

    def cut(line: str) -> int | None:
        lines.append(line)
        return 500 if len(lines) < 4 else None

    whole = http.get(f"{server.url}/v1/videos/{made.id}/content").content
    assert len(whole) > 1500
    with Relay(server.port, cut) as relay, Client(relay.url) as far:
        far.download(made.id, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == whole
    assert (len(lines), len(list(tmp_path.iterdir()))) == (4, 1)


def test_without_events_it_looks_now_and_then(server):
    with Relay(server.port, lambda line: 0 if "/events" in line else None) as relay, Client(relay.url) as far:
        assert far.wait(far.create(HARBOUR, **SMALL).id).state == "completed"
        assert any("/events" in line for line in relay.seen)


def test_a_server_that_is_killed_meanwhile_is_waited_for(forks, tmp_path):
    server = Server(tmp_path, key="secret", forks=forks)
    try:
        with Client(server.url, key="wrong") as stranger, pytest.raises(KeyRefused):
            next(stranger.list())
        with Client(server.url, key="secret", patience_s=240) as client:
            video = client.create(HARBOUR, **{**SMALL, "num_inference_steps": 40})
            started, seen = threading.Event(), []

            def watch(video: Video) -> None:
                seen.append(video)
                if video.state == "running":
                    started.set()

            waiter = threading.Thread(target=client.wait, args=(video.id, watch))
            waiter.start()
            assert started.wait(240)
            server.kill()
            server.start()
            waiter.join(480)
            assert seen[-1].state == "completed"
    finally:
        server.stop()
