"""Bytes on their way: pictures that are sent, clips that are fetched, and patience with a connection that breaks.

It does not know what jobs are.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import BinaryIO

import httpx2

from unstill.client.answers import read_answer
from unstill.disk import FULL
from unstill.errors import DiskFull, PictureError, ServerError, ServerMissing, WriteError

PictureSource = str | os.PathLike[str] | bytes | BinaryIO
MOST_BYTES = 32 * 2**20  # what servers take
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # between two tries
HOPELESS = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)  # an address or a key that cannot be one
DIGEST = re.compile(r'"([0-9a-f]{64})"')


class Tries:
    """How long a server may be away before it is given up."""

    def __init__(self, url: str, most_s: float) -> None:
        self.url, self.most_s = url, most_s
        self.renew()

    def renew(self) -> None:
        """Begin anew: the server was there."""
        self._end, self._pause_s = time.monotonic() + self.most_s, FIRST_PAUSE_S

    def pause(self, error: httpx2.TransportError) -> None:
        """Wait before the next try, each time longer, or raise what there is to say."""
        if isinstance(error, HOPELESS) or time.monotonic() + self._pause_s > self._end:
            why = str(error) or type(error).__name__
            raise ServerMissing(
                f"The server at {self.url} cannot be reached: {why}", hint="unstill serve starts one"
            ) from error
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def read_picture(source: PictureSource) -> bytes:
    """Give the bytes of a picture: a path, an open file, or bytes already."""
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, (str, os.PathLike)):
        data = read_file(Path(source))
    else:
        data = source.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise PictureError(f"The picture has more than {MOST_BYTES} bytes, the most that are taken", hint="send a smaller one")
    return data


def name_picture(source: PictureSource) -> str:
    """Say what a picture's file is called, of which a server makes a title; `picture` where it has no name."""
    path = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    if not isinstance(path, (str, os.PathLike)):
        return "picture"
    return Path(path).name.encode("utf-8", "replace").decode() or "picture"


def read_file(path: Path) -> bytes:
    """Read a file, as far as it may be sent; pipes, devices and folders are none."""
    try:
        if path.exists() and not path.is_file():
            raise PictureError(f"{path} is not a file")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PictureError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


@contextmanager
def write_aside(target: Path) -> Iterator[BufferedRandom]:
    """Give a file that becomes the target once all went well, and is gone otherwise."""
    aside = target.with_name(f".unstill-{secrets.token_hex(8)}")
    try:
        try:
            with aside.open("xb+") as file:
                yield file
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        kind = DiskFull if error.errno in FULL else WriteError
        raise kind(f"{target} cannot be written: {error.strerror or error}") from error


def fetch(http: httpx2.Client, asked: httpx2.Request, file: BufferedRandom, tries: Tries) -> None:
    """Fetch a file, going on where the connection broke off; one that changed meanwhile is begun anew."""
    tag = ""
    while True:
        start = file.seek(0, os.SEEK_END)
        try:
            if start and tag:
                asked.headers |= {"Range": f"bytes={start}-", "If-Range": tag}
            with closing(http.send(asked, stream=True)) as answer:
                if answer.status_code not in (200, 206):
                    answer.read()
                    read_answer(answer)
                tag = answer.headers.get("etag", "")
                keep(answer, file)
            break
        except httpx2.TransportError as error:
            if file.seek(0, os.SEEK_END) > start:
                tries.renew()
            tries.pause(error)
    check_digest(file, tag)


def keep(answer: httpx2.Response, file: BufferedRandom) -> None:
    """Write what comes behind what is there, or from the beginning if all of it comes."""
    if answer.status_code == 200:
        file.seek(0)
        file.truncate()
    for part in answer.iter_bytes():
        file.write(part)


def check_digest(file: BufferedRandom, tag: str) -> None:
    """Hold a file against its hash, where its tag is one."""
    named = DIGEST.fullmatch(tag)
    file.seek(0)
    if named is not None and hashlib.file_digest(file, "sha256").hexdigest() != named[1]:
        raise ServerError("What came is not the file that the server keeps", hint="try again; a proxy may have changed it")
