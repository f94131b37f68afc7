"""`unstill serve` with plain HTTP."""

import base64
import json
import os
import socket
import subprocess
import sys

import pytest

from server import HARBOUR, LONG, SMALL, Server, http, post, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(forks, tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("serve"), "--queue", "50", forks=forks)
    yield found
    assert found.stop() == 0


def test_a_clip_is_made_by_processes_that_are_nobodys_forks(tmp_path):
    """All other tests of servers fork what takes seconds to start."""
    server = Server(tmp_path)
    try:
        assert wait_for(server, post(server, num_inference_steps=1).json()["id"])["status"] == "completed"
    finally:
        assert server.stop() == 0


def test_json_is_taken_too(server):
    url = "data:image/jpeg;base64," + base64.b64encode(HARBOUR.read_bytes()).decode()
    answer = http.post(f"{server.url}/v1/videos", json={**SMALL, "input_reference": {"image_url": url}})
    assert answer.status_code == 200
    assert answer.headers["openai-poll-after-ms"] == "500"
    assert wait_for(server, answer.json()["id"])["status"] == "completed"


def test_the_same_key_is_the_same_job(server):
    headers = {"Idempotency-Key": "once"}
    first, again, other = post(server, headers), post(server, headers), post(server, headers, seed=99)
    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


def test_all_problems_are_said_at_once_and_nothing_is_queued(server):
    before = len(http.get(f"{server.url}/v1/videos?limit=100").json()["data"])
    answer = post(server, motion_bucket_id=999, num_inference_steps=0, device="cuda", model="/etc/passwd", takes=3)
    problems = answer.json()["error"]["problems"]
    assert answer.status_code == 422
    assert [any(word in problem for problem in problems) for word in ("motion", "steps", "device", "model", "takes")] == [
        True
    ] * 5
    assert "/etc" not in answer.text
    assert len(http.get(f"{server.url}/v1/videos?limit=100").json()["data"]) == before


@pytest.mark.parametrize(
    ("name", "data"),
    [("empty", b""), ("page", b"<html>"), ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), ("zip", b"PK\x03\x04" * 20),
     ("cut", HARBOUR.read_bytes()[:900]), ("noise", bytes(range(256)) * 40)],
)  # fmt: skip
def test_what_is_no_picture_is_refused(server, name, data):
    answer = post(server, files={"input_reference": ("../../x.png", data, "image/png")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_picture")


def test_a_cut_body_a_bad_form_and_bad_json_are_no_errors_of_ours(server):
    url = f"{server.url}/v1/videos"
    for body, kind in (
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b"[" * 10_000, "application/json"),
        (b"{}", "application/json"),
        (b"--x", "multipart/form-data; boundary=x"),
        (b"a=1", "multipart/form-data"),
        (b"a=b", "application/x-www-form-urlencoded"),
    ):
        answer = http.post(url, content=body, headers={"content-type": kind})
        assert 400 <= answer.status_code < 500, (body[:20], answer.text)
        assert answer.json()["error"]["message"]


def test_a_body_that_is_too_large_is_refused_unread(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as line:
        line.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2147483648\r\n\r\n{")
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_running_clip_can_be_cancelled(server):
    id = post(server, **LONG).json()["id"]
    wait_for(server, id, "running")
    assert http.post(f"{server.url}/v1/videos/{id}/cancel").status_code == 200
    video = wait_for(server, id, most_s=240)
    assert (video["state"], video["status"], video["error"]["code"]) == ("cancelled", "failed", "cancelled")
    assert http.get(f"{server.url}/v1/videos/{id}/content").status_code == 409


def test_events_tell_a_whole_life_and_can_be_replayed(server):
    id = post(server).json()["id"]
    with http.stream("GET", f"{server.url}/v1/videos/{id}/events") as answer:
        text = "".join(answer.iter_text())
    kinds = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert kinds[:2] == ["queued", "running"]
    assert kinds[-1] == "completed"
    ids = [int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id: ")]
    with http.stream(
        "GET", f"{server.url}/v1/videos/{id}/events", headers={"Last-Event-ID": str(ids[1])}, timeout=60
    ) as answer:
        replayed = "".join(answer.iter_text())
    assert [json.loads(line.removeprefix("data: "))["kind"] for line in replayed.splitlines() if line.startswith("data: ")] == [
        "completed"
    ]


def test_strangers_pages_and_names_are_refused(server):
    url = f"{server.url}/v1/videos"
    assert http.get(url, headers={"Host": "evil.example"}).status_code == 421
    assert http.get(url, headers={"Origin": "http://evil.example"}).status_code == 403
    assert http.get(url, headers={"Origin": "null"}).status_code == 403
    assert http.get(url, headers={"Origin": server.url}).status_code == 200
    assert http.get(url).headers["x-content-type-options"] == "nosniff"


def test_another_address_needs_a_key(tmp_path):
    words = [sys.executable, "-m", "unstill", "serve", "--host", "0.0.0.0", "--data", str(tmp_path)]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=120, env={k: v for k, v in os.environ.items() if k != "UNSTILL_KEY"}
    )
    assert done.returncode == 2
    assert "UNSTILL_KEY" in done.stderr


def test_what_an_operator_looks_at(server):
    assert http.get(f"{server.url}/healthz").text == "ok\n"
    assert 'unstill_jobs{state="completed"}' in http.get(f"{server.url}/metrics").text
    described = http.get(f"{server.url}/openapi.json").json()
    assert {"/v1/videos", "/v1/videos/{id}", "/v1/videos/{id}/content", "/v1/videos/{id}/cancel"} <= set(described["paths"])
    assert http.get(f"{server.url}/nothing").json()["error"]["code"] == "not_found"


@pytest.mark.thorough("two servers and three workers that import torch; test_clients.py does it with forks")
def test_a_server_that_is_killed_goes_on_with_its_jobs(tmp_path):
    """kill -9 of the server in the middle of a clip: its worker finds itself alone, and the same folder served again makes it."""
    server = Server(tmp_path)
    id = post(server, num_inference_steps=30, size="256x256").json()["id"]
    waiting = post(server).json()["id"]
    wait_for(server, id, "running")
    server.kill()
    server.start()
    try:
        assert wait_for(server, waiting)["status"] == "completed"
        assert wait_for(server, id)["status"] == "completed"
    finally:
        server.stop()
