"""Uploads are decoded in a fork: what comes back is a picture or a reason, whatever happens to the fork."""

import io
import os
import signal
import subprocess
import time

import pytest
from PIL import Image

from pictures import encode, smooth
from unstill.errors import PictureError
from unstill.studio import pictures
from unstill.studio.pictures import Purifier


@pytest.fixture(scope="module")
def purifier():
    found = Purifier()
    yield found
    found.close()


def list_forks(purifier: Purifier) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(purifier._process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def test_a_picture_comes_back_encoded_anew(purifier):
    sent = encode(smooth(), "JPEG", quality=95, comment=b"secret")
    got = purifier.purify(sent)
    with Image.open(io.BytesIO(got)) as image:
        assert (image.format, image.size) == ("PNG", (160, 120))
    assert b"secret" not in got
    assert purifier.purify(sent) == got
    with pytest.raises(PictureError, match="no picture"):
        purifier.purify(b"nothing")
    with pytest.raises(PictureError, match="empty"):
        purifier.purify(b"")


def test_a_process_that_was_killed_is_started_again(purifier):
    sent = encode(smooth(), "PNG")
    got = purifier.purify(sent)
    purifier._process.kill()
    purifier._process.wait()
    assert purifier.purify(sent) == got


def test_a_fork_that_is_killed_takes_nobody_along(purifier):
    """It is stopped while it waits for the rest of an upload, which never comes."""
    purifier.purify(encode(smooth(), "PNG"))
    ours, theirs = pictures.socket.socketpair()
    with ours, theirs:
        purifier._send(theirs)
        theirs.close()
        end = time.monotonic() + 60
        while not (forks := list_forks(purifier)) and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(forks[0], signal.SIGKILL)
        assert pictures.exchange(ours, b"rest") == b""
    assert purifier.purify(encode(smooth(), "PNG"))


@pytest.mark.slow
def test_a_picture_that_needs_more_memory_than_it_may_is_refused_and_the_next_is_taken():
    small = Purifier(most_memory=400 * 2**20)
    try:
        with pytest.raises(PictureError, match=r"memory|allocate"):
            small.purify(encode(Image.new("RGB", (7000, 7000)), "PNG", compress_level=1))
        assert small.purify(encode(smooth(), "PNG"))
    finally:
        small.close()


def test_an_answer_that_breaks_off_is_no_picture(purifier, monkeypatch):
    for answer in (b"", b"+", b"+" + (5).to_bytes(8) + b"PNG", b"?" + (0).to_bytes(8)):
        monkeypatch.setattr(pictures, "exchange", lambda line, data, answer=answer: answer)
        with pytest.raises(PictureError, match="within its limits"):
            purifier.purify(b"picture")


def test_it_leaves_with_the_server_and_comes_back_for_another(purifier):
    purifier.purify(encode(smooth(), "PNG"))
    process = purifier._process
    purifier.close()
    assert process.returncode == 0
    assert purifier.purify(encode(smooth(), "PNG"))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP"])
def test_formats_that_no_camera_or_browser_needs_are_refused_with_what_is_taken(purifier, kind):
    out = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(out, kind)
    with pytest.raises(PictureError, match=kind) as caught:
        purifier.purify(out.getvalue())
    assert "JPEG, PNG, WebP, AVIF" in str(caught.value.hint)
