"""Pictures, fields and bodies that lie, through HTTP: each is taken for what it is or refused with a code that stays, never a 500.

How long each takes is measured by bench/hostile.py.
"""

import io
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hostile import TRUE, make_liars, make_oddities, make_strangers
from pictures import encode, smooth
from server import HARBOUR, Server, http
from unstill.request import ALIASES, KNOBS

pytestmark = pytest.mark.slow
NOT_TAKEN = {".gif", ".tif", ".bmp"}
NUMBERS = ["NaN", "inf", "-inf", "1e308", "-1", "9" * 5000, "0x10", "٣", " ", "\0", "[]", "{}", "x" * 5000, "../../etc/passwd"]
VALUES = [float("nan"), float("inf"), 1e308, -1, 10**400, True, [], {}, [[]], {"a": {}}, "\ud800", "x" * 5000, None]
NAMES = sorted({*KNOBS, *ALIASES, "seconds", "priority", "title", "prompt"})


@pytest.fixture(scope="module")
def server(forks, tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("serve"), "--queue", "1", forks=forks)
    yield found
    found.stop()


def read_code(answer) -> str:
    """Give the code of a refusal; anything that tells of a fault of ours fails."""
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert "Traceback" not in answer.text
    assert "/site-packages/" not in answer.text
    error = answer.json()["error"]
    assert error["message"]
    return error["code"]


def keep(server: Server, data: bytes, name: str = "picture.png"):
    return http.post(f"{server.url}/v1/pictures", files={"picture": (name, data, "image/png")})


@pytest.mark.parametrize("make", [make_strangers, make_liars])
def test_what_is_no_picture_is_refused_as_one(server, make):
    codes = {name: read_code(keep(server, data)) for name, data in make().items()}
    assert {name: code for name, code in codes.items() if code != "bad_picture"} == {}


def test_pictures_of_rare_kinds_are_taken_and_are_right(server):
    made = make_oddities()
    kept = {name: keep(server, data) for name, data in made.items()}
    refused = {name: kept.pop(name) for name in list(kept) if Path(name).suffix in NOT_TAKEN}
    assert {
        name for name, answer in refused.items() if "is not taken here" not in answer.text or answer.status_code != 422
    } == set()
    assert {name: answer.text for name, answer in kept.items() if answer.status_code != 200} == {}
    pixels = {}
    for name, answer in kept.items():
        data = http.get(f"{server.url}/v1/pictures/{answer.json()['id']}").content
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            pixels[name.removeprefix(TRUE)] = np.asarray(image).astype(int)
    for turn in range(1, 9):
        picture = pixels[f"turned-{turn}.jpg"]
        assert picture.shape == ((64, 128, 3) if turn < 5 else (128, 64, 3))
        height, width = picture.shape[:2]
        at = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[turn]
        quarter = picture[height // 4 + at[0] * height // 2, width // 4 + at[1] * width // 2]
        assert np.abs(quarter - (255, 0, 0)).max() < 8, turn
    assert np.abs(pixels["colour16.png"][0, :, 0] - np.arange(64) * 1040 / 257).max() <= 1
    assert np.abs(pixels["rgba.png"] - np.asarray(smooth()).astype(int)).max() == 0


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\x",
        "/etc/passwd",
        "a\0b",
        "x" * 4096,
        "\u202egnp.exe",
        "con",
        "%2e%2e%2f",
        '"; rm -rf /; "',
    ],
)
def test_names_of_files_mean_nothing(server, name):
    answer = keep(server, encode(smooth(), "PNG"), name)
    assert answer.status_code == 200, answer.text
    before = answer.json()["id"]
    assert keep(server, encode(smooth(), "PNG")).json()["id"] == before


@pytest.mark.parametrize("url", ["data:image/svg+xml;base64,PHN2Zy8+", "data:text/html;base64,PGh0bWw+", "data:image/png,abc", "data:image/png;base64,####",
                                 "http://169.254.169.254/latest", "file:///etc/passwd", "/etc/passwd", "data:;base64,", "data:image/png;base64,", 5, ["x"]])  # fmt: skip
def test_urls_that_are_no_data_are_refused(server, url):
    answer = http.post(f"{server.url}/v1/videos", json={"input_reference": {"image_url": url}})
    assert read_code(answer) == "bad_picture"
    assert "passwd" not in answer.text


@pytest.mark.parametrize("name", ["..", "../jobs.sqlite", "0" * 63, "0" * 64, "A" * 64, "\0", "x" * 5000, 5, None, {}, []])
def test_names_of_kept_pictures_are_digests(server, name):
    answer = http.post(f"{server.url}/v1/videos", json={"input_reference": {"file_id": name}})
    assert read_code(answer) in ("bad_picture", "bad_request")


def test_fields_of_forms_that_lie_are_named_and_no_job_comes_of_them(server):
    picture = {"input_reference": HARBOUR.read_bytes()}
    for value in NUMBERS:
        answer = http.post(f"{server.url}/v1/videos", data=dict.fromkeys(NAMES, value), files=picture)
        assert read_code(answer) == "bad_request"
        assert len(answer.json()["error"]["problems"]) > 20
        assert len(answer.text) < 20_000
    assert http.get(f"{server.url}/v1/videos").json()["data"] == []


def test_fields_of_json_that_lie_are_named(server):
    kept = keep(server, HARBOUR.read_bytes()).json()["id"]
    for value in VALUES[:-1]:
        body = json.dumps({**dict.fromkeys(NAMES, value), "input_reference": {"file_id": kept}}).encode()
        for route in ("/v1/videos", "/v1/plan"):
            answer = http.post(server.url + route, content=body, headers={"content-type": "application/json"})
            assert read_code(answer) in ("bad_request", "bad_picture"), value
    for name in NAMES:
        for value in (1e308, [[]], "\ud800"):
            body = json.dumps({name: value, "input_reference": {"file_id": kept}, "motion": 999}).encode()
            assert (
                read_code(http.post(f"{server.url}/v1/videos", content=body, headers={"content-type": "application/json"}))
                == "bad_request"
            )


def test_sizes_that_are_no_multiples_are_taken(server):
    kept = keep(server, HARBOUR.read_bytes()).json()["id"]
    answer = http.post(f"{server.url}/v1/plan", json={"picture": kept, "size": "101x67", "model": "pocket"})
    assert (answer.status_code, answer.json()["clip_size"]) == (200, "101x67")


@pytest.mark.parametrize(
    "route", ["/v1/videos", "/v1/pictures", "/v1/plan", "/v1/session", "/v1/videos/sync", "/v1/videos/video_x/move"]
)
def test_bodies_that_are_none_are_refused(server, route):
    deep = [
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"motion":' + b"[" * 900 + b"]" * 900 + b"}",
    ]
    for body in (
        b"",
        b"{",
        b"[1]",
        b"null",
        b"\xff\xfe",
        b"\0",
        b'{"key":"\\ud800","before":"\\ud800","last_frame_of":"\\ud800"}',
        *deep,
    ):
        answer = http.post(server.url + route, content=body, headers={"content-type": "application/json"})
        if route == "/v1/session" and answer.status_code == 204:  # no key is needed here, so that any will do
            continue
        assert read_code(answer) in ("bad_request", "bad_picture", "no_such_job", "conflict"), body[:40]
    many = {f"field{number}": "x" for number in range(1001)}
    for kind in (
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "text/plain",
        "",
    ):
        assert (
            400 <= http.post(server.url + route, content=b"--x\r\n" * 1000, headers={"content-type": kind}).status_code < 500
            or route == "/v1/session"
        )
    if route in ("/v1/videos", "/v1/pictures", "/v1/videos/sync"):
        read_code(http.post(server.url + route, data=many, files={"input_reference": b"x"}))
        read_code(http.post(server.url + route, data=many))


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=9" + "9" * 5000,
        "limit=NaN",
        "limit=²",
        "order=up",
        "after=%ff",
        "after=../x",
        "state=none",
        "limit=%00",
    ],
)
def test_queries_that_lie_are_refused(server, query):
    read_code(http.get(f"{server.url}/v1/videos?{query}"))


def test_heads_that_lie_are_refused(server):
    for head in (b"Host: x\r\nHost: y", b"Host: localhost\r\nContent-Length: -1", b"Host: localhost\r\nContent-Length: 1e3",
                 b"Host: localhost\r\nX: " + b"y" * 70_000, b"Host: localhost\r\nLast-Event-ID: " + b"9" * 400, b""):  # fmt: skip
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as line:
            line.sendall(b"GET /v1/videos HTTP/1.1\r\n" + head + b"\r\nConnection: close\r\n\r\n")
            said = b""
            while part := line.recv(65_536):
                said += part
        assert b"HTTP/1.1 5" not in said[:12]
