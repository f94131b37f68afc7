"""The client without a server: errors and events as they are read, pictures as they are sent, files written aside."""

import io
import os
import subprocess
import sys

import httpx2
import pytest

from unstill.client import Client, Video
from unstill.client.answers import read_answer, read_events
from unstill.client.transfer import MOST_BYTES, check_digest, name_picture, read_picture, write_aside
from unstill.errors import (
    JobConflict,
    KeyRefused,
    PictureError,
    QueueFull,
    RequestError,
    ServerError,
    ServerMissing,
    UnstillError,
    WriteError,
    list_codes,
    make_error,
)


def test_it_needs_nothing_heavy():
    code = "import sys, unstill.client; print(*{'torch', 'numpy', 'pydantic', 'fastapi', 'PIL', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("kind", list_codes().values(), ids=list_codes())
def test_every_error_comes_back_as_what_it_was(kind):
    sent = kind(["one", "two"], hint="so") if issubclass(kind, RequestError) else kind("what happened", hint="so")
    got = make_error(sent.to_dict())
    assert (type(got), got.message, got.hint) == (kind, sent.message, "so")
    assert getattr(got, "problems", None) == getattr(sent, "problems", None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(401, {"error": {"code": "bad_key", "message": "m"}}, KeyRefused), (413, {"error": {"code": "too_large", "message": "m"}}, PictureError),
     (429, {"error": {"code": "rate", "message": "m"}}, QueueFull), (409, {"error": {"message": "m"}}, JobConflict),
     (421, {"error": {"code": "bad_host", "message": "m"}}, ServerError), (502, {"detail": "m"}, ServerError), (200, None, ServerError),
     (503, [1], ServerError)],
)  # fmt: skip
def test_answers_that_are_not_ours_are_errors_by_their_status(status, body, kind):
    content = b"<html>" if body is None else None
    with pytest.raises(kind):
        read_answer(httpx2.Response(status, json=body, content=content, request=httpx2.Request("GET", "http://x")))


def test_events_are_read_with_comments_between_and_without_their_end():
    text = ': still here\n\nid: 3\nevent: running\ndata: {}\n\nid: 5\nevent: progress\ndata: {"progress": 0.5}\n\nid: 6\nevent: com'
    told = list(read_events(text.split("\n")))
    assert [(one.number, one.kind) for one in told] == [(3, "running"), (5, "progress")]
    assert Video("a").after(told[0].kind, told[0].data).after(told[1].kind, told[1].data) == Video("a", "running", progress=50)


def test_a_video_keeps_what_it_does_not_know():
    video = Video.from_answer({"id": "a", "object": "video", "state": "completed", "new": 1})
    assert (video.is_over, video.is_completed, video.answer["new"]) == (True, True, 1)


def test_pictures_are_paths_bytes_and_open_files(tmp_path):
    place = tmp_path / "a.png"
    place.write_bytes(b"picture")
    assert [read_picture(one) for one in (place, str(place), b"picture", io.BytesIO(b"picture"))] == [b"picture"] * 4


def test_pictures_are_sent_by_the_names_of_their_files(tmp_path):
    (tmp_path / "pier.png").write_bytes(b"x")
    with (tmp_path / "pier.png").open("rb") as file:
        assert {name_picture(one) for one in (tmp_path / "pier.png", str(tmp_path / "pier.png"), file)} == {"pier.png"}
    assert {name_picture(one) for one in (b"x", io.BytesIO(b"x"), ".")} == {"picture"}
    assert name_picture(b"\xff.png".decode(errors="surrogateescape")) == "?.png", "which can be sent"


def test_pipes_devices_folders_and_endless_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path, tmp_path / "pipe", "/dev/zero", tmp_path / "none", "\0", b"0" * (MOST_BYTES + 1)):
        with pytest.raises(PictureError):
            read_picture(source)


def test_a_file_is_whole_or_absent(tmp_path):
    place = tmp_path / "clip.mp4"
    place.write_bytes(b"old")
    with pytest.raises(ServerError), write_aside(place) as file:
        file.write(b"half")
        raise ServerError("it broke off")
    assert (place.read_bytes(), len(list(tmp_path.iterdir()))) == (b"old", 1)
    with pytest.raises(WriteError), write_aside(tmp_path / "none" / "clip.mp4"):
        pass
    with write_aside(place) as file:
        file.write(b"new")
    assert (place.read_bytes(), len(list(tmp_path.iterdir()))) == (b"new", 1)


def test_a_file_that_is_not_what_its_tag_says_is_refused(tmp_path):
    with (tmp_path / "a").open("xb+") as file:
        check_digest(file, '"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"')
        check_digest(file, '"another-kind-of-tag"')
        file.write(b"more")
        with pytest.raises(ServerError):
            check_digest(file, '"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"')


def test_a_server_that_is_not_there_is_given_up_after_the_patience():
    with Client("http://127.0.0.1:9", patience_s=0.3) as client, pytest.raises(ServerMissing) as caught:
        client.get("video_1")
    assert caught.value.retryable
    assert "127.0.0.1:9" in str(caught.value)


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1"])
def test_an_address_that_cannot_be_one_is_not_tried_again(url):
    with Client(url, patience_s=3600) as client, pytest.raises(ServerMissing):
        client.get("video_1")


def test_a_name_that_tells_no_format_is_refused_before_anything_is_asked(tmp_path):
    with Client("http://127.0.0.1:9", patience_s=0) as client, pytest.raises(RequestError, match="must end in"):
        client.animate(b"", tmp_path / "clip")
    assert issubclass(RequestError, UnstillError)
