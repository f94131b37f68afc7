"""Uploads become pictures that can be trusted: decoded in a short-lived process with limits, and encoded anew.

    python -m unstill.studio.pictures BYTES     forks for every socket that comes on standard input, with so much memory each

Whatever a file does to a decoder, it does it there. One process imports what decoders need, which takes longer than most
pictures do; it reads none itself, and every picture gets a fork of it. It does not know HTTP.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from unstill.errors import PictureError, StoreError, UnstillError

MOST_BYTES = 32 * 2**20
MOST_S = 10  # a 50-megapixel PNG takes 2 s
MOST_MEMORY = 2 * 2**30
TAKEN = ("JPEG", "PNG", "WebP", "AVIF")  # each decoder more is a way in more
GOOD, BAD, HEAD = b"+", b"-", 9  # an answer: a verdict, its length in eight bytes, a picture or what is wrong with it
DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,20};base64,", re.ASCII)


class Purifier:
    """The server's end of the process that forks; it is started when the first picture comes, and again if it died."""

    def __init__(self, most_memory: int = MOST_MEMORY) -> None:
        self.most_memory = most_memory  # of addresses, for one picture
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def purify(self, data: bytes) -> bytes:
        """Decode an upload elsewhere and give it as PNG: upright, in sRGB, nothing else in it."""
        if len(data) > MOST_BYTES:
            raise PictureError(
                f"The picture has {len(data)} bytes, and at most {MOST_BYTES} are taken", hint="send a smaller one"
            )
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._send(theirs)
            theirs.close()
            answer = exchange(ours, data)
        verdict, length, told = answer[:1], int.from_bytes(answer[1:HEAD]), answer[HEAD:]
        if len(answer) < HEAD or len(told) != length or verdict not in (GOOD, BAD):  # killed while it worked or spoke
            raise PictureError("The picture could not be decoded within its limits")
        if verdict == BAD:
            raise PictureError(**json.loads(told))
        return told

    def close(self) -> None:
        """Let the process go; pictures under way are ended."""
        with self._lock:
            if self._line is not None and self._process is not None:
                self._line.close()
                self._process.wait()
            self._line = self._process = None

    def _send(self, line: socket.socket) -> None:
        """Have a fork made that reads from this line."""
        with self._lock:
            for _ in range(2):
                control = self._line or self._start()
                try:
                    socket.send_fds(control, [b"."], [line.fileno()])
                    return
                except OSError:  # it is gone
                    control.close()
                    self._line = None
        raise StoreError("Pictures cannot be decoded: the process for it dies at once", hint="the server's log says why")

    def _start(self) -> socket.socket:
        """Start the process that forks; it leaves when this end of the line is closed, as it is when this process dies."""
        self._line, theirs = socket.socketpair()
        # One thread: a fork has no others, and each would take memory from the limit.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        with theirs:
            words = [sys.executable, "-m", __name__, str(self.most_memory)]
            self._process = subprocess.Popen(words, stdin=theirs.fileno(), env=environment)
        return self._line


def exchange(line: socket.socket, data: bytes) -> bytes:
    """Send a picture, and read what is said of it; a fork that was killed says nothing."""
    line.settimeout(2.0 * MOST_S)  # it has killed itself by then
    parts = []
    with suppress(OSError):
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        while part := line.recv(2**20):
            parts.append(part)
    return b"".join(parts)


def read_data_url(text: str) -> bytes:
    """Take the picture out of a data URL; other addresses are not fetched."""
    found = DATA_URL.match(text[:64])
    if found is None:
        raise PictureError("image_url must be a data URL of a picture: data:image/…;base64,…", hint="addresses are not fetched")
    try:
        return base64.b64decode(text[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise PictureError("image_url is no base64") from None


def main(most_memory: int) -> None:
    """Fork for every socket that comes."""
    import unstill.formats.picture  # noqa: F401 - here, so that forks have it

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, at whose end this ends
    line = socket.socket(fileno=os.dup(0))
    while True:
        message, handles, _, _ = socket.recv_fds(line, 1, 1)
        if not message:
            return
        if os.fork() == 0:
            line.close()  # only the process that forks may be heard to live
            os.close(0)
            work(handles[0], most_memory)
        os.close(handles[0])


def work(handle: int, most_memory: int) -> None:
    """Decode what comes, in a fork; nothing that it does or leaves can reach anybody."""
    import resource

    signal.alarm(MOST_S)  # nothing catches it
    resource.setrlimit(resource.RLIMIT_AS, (most_memory, most_memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with suppress(OSError), socket.socket(fileno=handle) as line:
            parts = []
            while part := line.recv(2**20):
                parts.append(part)
            verdict, told = decode_anew(b"".join(parts))
            line.sendall(verdict + len(told).to_bytes(HEAD - 1) + told)
    finally:
        os._exit(0)


def decode_anew(data: bytes) -> tuple[bytes, bytes]:
    """Decode a picture and encode it as PNG, or say why that cannot be done."""
    from PIL import Image

    from unstill.formats.picture import HEAD_BYTES, decode, recognise

    try:
        kind = recognise(data[:HEAD_BYTES])
        if kind not in TAKEN:
            raise PictureError(f"{kind} is not taken here", hint=f"send it as one of {', '.join(TAKEN)}")
        picture, out = decode(io.BytesIO(data), "#ffffff"), io.BytesIO()
        Image.fromarray(picture.pixels_HWC).save(out, "PNG", compress_level=1)
    except UnstillError as error:
        return BAD, json.dumps({"message": error.message, "hint": error.hint}).encode()
    except MemoryError:
        return BAD, json.dumps({"message": "The picture needs more memory than a picture may"}).encode()
    return GOOD, out.getvalue()


if __name__ == "__main__":
    main(int(sys.argv[1]))
