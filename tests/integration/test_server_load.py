"""A server with many listeners, floods of posts, and clients that are slow: the rest of the table in docs/concepts/jobs.md."""

import io
import select
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from invariants import count_held, read_resident_bytes
from served import CLIP, Served, bring, check, listening, wait_until
from unstill.studio.server import listen

pytestmark = pytest.mark.slow


# ---- F13: listeners ---------------------------------------------------------------------------------------------


def test_a_listener_that_leaves_and_comes_back_misses_nothing(serve):
    server = serve()
    id = server.post().json()["id"]
    with listening(server, f"/v1/videos/{id}/events") as (heard, ids, _):
        wait_until(lambda: heard == ["queued"], "the first event")
    job = server.store.claim("w", lease_s=1000)
    server.store.fail(job, {"code": "x", "message": "y"})
    server.store.retry(id)
    server.store.complete(server.store.claim("w", lease_s=1000), CLIP)
    with listening(server, f"/v1/videos/{id}/events", after=ids[1]) as (heard, ids, thread):
        thread.join(240)
        assert heard == ["running", "failed", "queued", "running", "completed"], "to the end, though it had ended once before"
    (server.folder / "outputs" / CLIP.name).write_bytes(b"")
    server.store.delete(id)
    check(server)


def test_five_hundred_listeners_hear_the_end_and_leave_nothing_behind(serve):
    """All of one job; then they leave, and as many come again: no more files, threads or memory are held than before."""
    server = serve()
    id = server.post().json()["id"]
    held = []  # bytes and threads after each round; the first fills caches
    for round_ in range(3):
        lines = [open_line(server, f"GET /v1/videos/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(500)]
        for line in lines:
            read_to(line, b"event: queued\n")
        assert server.get(f"/v1/videos/{id}").status_code == 200, "who asks something else is answered"
        if round_ == 2:
            server.store.cancel(id)
            for line in lines:
                read_to(line, b"event: cancelled\n")
        for line in lines:
            line.close()
        wait_until(lambda: count_held(server.pid)[0] < 100, "the lines' closing")
        held.append((read_resident_bytes(server.pid), count_held(server.pid)[1]))
    assert held[2][0] <= 1.05 * held[1][0], "I6"
    assert held[2][1] <= held[1][1] + 1, "I6"
    check(server, id)


def open_line(server: Served, text: str) -> socket.socket:
    """Open a line to the server and say something."""
    line = socket.create_connection(("127.0.0.1", server.port), timeout=240)
    line.sendall(text.encode())
    return line


def read_to(line: socket.socket, end: bytes) -> bytes:
    """Read until something was said, or the line is closed."""
    said = b""
    while end not in said and (part := line.recv(65_536)):
        said += part
    assert end in said, said[-500:]
    return said


# ---- F14: all at once -------------------------------------------------------------------------------------------


def test_of_two_hundred_at_once_exactly_as_many_are_taken_as_may_wait(serve):
    server = serve("--queue", "100")
    answers: list[httpx2.Response] = []
    small = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(small, "JPEG")
    threads = [threading.Thread(target=lambda: answers.append(server.post(picture=small.getvalue()))) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 100}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
    ids = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    assert len(ids) == 100 and server.store.count() == {"queued": 100}
    check(server, *ids)


def test_a_disk_that_is_nearly_full_takes_no_jobs_and_says_so(serve):
    server = serve("--device", "cpu", "--keep-free", "1000000GB", has_workers=False)
    answer = server.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
    assert "are free on the server's disk" in answer.json()["error"]["message"]
    wait_until(lambda: "the disk is full" in server.get("/readyz").text, "its saying so")
    check(server)


# ---- F15: slow ones -----------------------------------------------------------------------------------------------

SHORT = {"unstill.studio.line.HEAD_S": 1.0, "unstill.studio.line.STALL_S": 1.0, "unstill.studio.guard.BODY_S": 2.0}
DRIPS = {
    "nothing at all": ("", ""),
    "headers": ("GET /v1/videos HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "x"),
    "a body": (
        "POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n",
        "{",
    ),
    "a body that nobody wants": ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", "x"),
}


@pytest.mark.parametrize("drip", DRIPS)
def test_who_sends_a_byte_now_and_then_is_let_go_at_the_deadline(serve, drip):
    server = serve(**SHORT)
    start, more = DRIPS[drip]
    line, said = open_line(server, start), b""
    line.settimeout(0.1)
    end = time.monotonic() + 240
    while time.monotonic() < end:
        try:
            line.sendall(more.encode())
            part = line.recv(4096)
        except TimeoutError:
            assert server.get("/healthz").status_code == 200, "others are answered meanwhile"
            continue
        except OSError:
            break
        said += part
        if not part:
            break
    else:
        raise AssertionError("it is still open")
    assert (b" 408 " in said) == (drip == "a body")
    check(server)


def test_small_answers_are_not_held_back():
    """What a listening socket is made with decides whether asyncio turns off Nagle's delay for the lines to it."""
    with listen("127.0.0.1", 0) as line, socket.create_connection(line.getsockname()):
        taken, _ = line.accept()
        with taken:
            assert (taken.type, taken.proto) == (socket.SOCK_STREAM, socket.IPPROTO_TCP)


def test_who_takes_nothing_of_a_download_is_let_go_at_the_deadline(serve):
    server = serve(**SHORT)
    id = bring(server, "completed")
    (server.folder / "outputs" / CLIP.name).write_bytes(b"\0" * 60 * 2**20)
    line = open_line(server, f"GET /v1/videos/{id}/content HTTP/1.1\r\nHost: localhost\r\n\r\n")
    wait_until(lambda: CLIP.name in list_open(server.pid), "its being sent")
    wait_until(lambda: CLIP.name not in list_open(server.pid), "its being let go")
    line.close()
    server.ask("DELETE", f"/v1/videos/{id}")
    check(server)


def list_open(pid: int) -> set[str]:
    """Name the files that a process has open."""
    names = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            names.add(link.readlink().name)
    return names


def test_headers_without_end_are_refused(serve):
    server = serve()
    line = open_line(server, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
    said = b""
    try:
        for _ in range(4000):
            line.sendall(b"X-More: " + b"x" * 90 + b"\r\n")
        said = line.recv(4096)
    except OSError:
        pass
    assert said == b"" or said.startswith(b"HTTP/1.1 400")
    assert server.get("/healthz").status_code == 200
    check(server)


def test_more_lines_than_may_be_are_closed_and_those_that_are_there_served(serve):
    server = serve(**{"unstill.studio.line.MOST_LINES": 20})
    assert server.get("/healthz").status_code == 200
    lines = [socket.create_connection(("127.0.0.1", server.port), timeout=240) for _ in range(40)]
    wait_until(lambda: sum(map(is_closed, lines)) >= 20, "the closing of those too many")
    assert server.get("/healthz").status_code == 200
    for line in lines:
        line.close()
    check(server)


def is_closed(line: socket.socket) -> bool:
    """Say whether the other end has let go of a line on which nothing was said."""
    if not select.select([line], [], [], 0)[0]:
        return False
    try:
        return line.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True
