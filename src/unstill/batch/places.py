"""Where clips go, and how each gets there exactly once: a folder of this machine, or any address that fsspec knows.

    clips/one.mp4                          clips, by their names
    clips/.unstill/records/3f/3f09….json   what each is, by its key: a digest of picture, settings, weights and version
    clips/.unstill/aside/                  clips that are not whole yet
    clips/.unstill/runs/                   steps of clips under way

A record is written before its clip gets its name, and counts only while the clip of that name is the one it tells of. So
a worker may be killed anywhere: either the clip is there and its record with it, or it is made again. It does not know how.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from unstill.batch.sources import is_url
from unstill.disk import FULL, hold, write_whole
from unstill.errors import BatchError, DiskFull, PictureError, WriteError
from unstill.jobs.files import flush_folder, hash_file, write_through
from unstill.values import show

OWN = ".unstill"
OLD_S = 3600.0  # a clip that has not been whole for so long never will be
KEY = re.compile(r"[0-9a-f]{64}")
MOST_BYTES = 200_000_000  # of a picture, as everywhere
WHOLE_AT_ONCE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"}  # a file is there whole or not at all

Entry = Mapping[str, Any]  # with `output`, `sha256`, `bytes`


class Place(Protocol):
    """Where clips go."""

    runs: Path | None  # where steps are kept, if they can be

    def find(self, key: str, output: str) -> Entry | None:
        """Give the record of a clip that was made, and see to it that the clip is there by this name."""

    def aside(self, suffix: str) -> Path:
        """Give a new place of this machine to write a clip to."""

    def publish(self, made: Path, key: str, record: Entry) -> None:
        """Let a clip have its name, and its record."""


def open_place(where: str) -> Place:
    """Open a folder, or an address."""
    return (
        ClipStore(where)
        if is_url(where) and not where.startswith("file://")
        else ClipFolder(Path(where.removeprefix("file://")))
    )


class ClipFolder:
    """A folder of this machine, or one that several machines share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs: Path | None = root / OWN / "runs"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other batches away, and sweep what earlier ones left."""
        try:
            self._aside.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{show(str(self.root))} cannot hold clips: {error.strerror or error}") from None
        lock = hold(self.root / OWN / "batch")
        if lock is None:
            raise BatchError(f"Another batch writes to {show(str(self.root))}", hint="wait for it, or -o another folder")
        try:
            self._sweep()
            yield
        finally:
            lock.close()

    def find(self, key: str, output: str) -> Entry | None:
        """Give the record of a clip that was made; one that has another name is copied."""
        record = read_record(self._record(key))
        if record is None:
            return None
        if self._is_it(self.root / output, record):
            return {**record, "output": output}
        other = self.root / str(record["output"])
        if not self._is_it(other, record):
            return None
        made = self.aside(other.suffix)
        with _explained(output):
            write_through(made, other.read_bytes())
        self._name(made, output)
        return {**record, "output": output}

    def aside(self, suffix: str) -> Path:
        """Give a new place beside the clips, so that renaming is all that is left."""
        self._aside.mkdir(parents=True, exist_ok=True)
        return self._aside / f"{secrets.token_hex(12)}{suffix}"

    def publish(self, made: Path, key: str, record: Entry) -> None:
        """Write the record, then rename the clip."""
        place = self._record(key)
        with _explained(str(record["output"])):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, json.dumps(record).encode())
        self._name(made, str(record["output"]))

    def _name(self, made: Path, output: str) -> None:
        with _explained(output):
            place = self.root / output
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.parent.resolve().is_relative_to(self.root.resolve()):
                raise WriteError(f"{show(output)} leads out of the folder by a link")
            made.replace(place)
            flush_folder(place.parent)

    def _is_it(self, place: Path, record: Entry) -> bool:
        try:
            return place.stat().st_size == int(record["bytes"]) and hash_file(place) == str(record["sha256"])
        except OSError:
            return False

    def _record(self, key: str) -> Path:
        assert KEY.fullmatch(key)
        return self.root / OWN / "records" / key[:2] / f"{key}.json"

    @property
    def _aside(self) -> Path:
        return self.root / OWN / "aside"

    def _sweep(self) -> None:
        for left in self._aside.iterdir():
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > OLD_S:
                    left.unlink()


class ClipStore:
    """An address that fsspec knows: s3://…, gs://…, and others whose packages are installed."""

    def __init__(self, url: str) -> None:
        self._files, root = open_url(url)
        self._root = root.rstrip("/")
        protocol = self._files.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_whole_at_once = bool(names & WHOLE_AT_ONCE)
        self._local = tempfile.TemporaryDirectory(prefix="unstill-")  # removed with the process
        self.runs: Path | None = None

    def find(self, key: str, output: str) -> Entry | None:
        """Give the record of a clip that was made, if a file of that size is there; one that has another name is copied."""
        try:
            record = json.loads(self._files.cat_file(self._record(key)))
            for name in dict.fromkeys((output, str(record["output"]))):
                if self._weigh(name) == record["bytes"]:
                    if name != output:
                        self._files.copy(self._at(name), self._at(output))
                    return {**record, "output": output}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def aside(self, suffix: str) -> Path:
        """Give a new place of this machine; it is sent on from there."""
        return Path(self._local.name) / f"{secrets.token_hex(12)}{suffix}"

    def publish(self, made: Path, key: str, record: Entry) -> None:
        """Send the record, then the clip, under its name once it is whole."""
        output = str(record["output"])
        with _explained(output):
            self._send(json.dumps(record).encode(), self._record(key))
            self._send(made.read_bytes(), self._at(output))
        made.unlink(missing_ok=True)

    def _send(self, data: bytes, place: str) -> None:
        self._files.makedirs(str(PurePosixPath(place).parent), exist_ok=True)
        if self._is_whole_at_once:
            self._files.pipe_file(place, data)
            return
        aside = f"{self._root}/{OWN}/aside/{secrets.token_hex(12)}"
        self._files.makedirs(f"{self._root}/{OWN}/aside", exist_ok=True)
        self._files.pipe_file(aside, data)
        self._files.mv(aside, place)

    def _weigh(self, output: str) -> int:
        try:
            return int(self._files.info(self._at(output))["size"])
        except (OSError, KeyError, TypeError):
            return -1

    def _at(self, output: str) -> str:
        return f"{self._root}/{output}"

    def _record(self, key: str) -> str:
        assert KEY.fullmatch(key)
        return f"{self._root}/{OWN}/records/{key[:2]}/{key}.json"


def open_url(url: str) -> tuple[Any, str]:
    """Open what an address leads to: a file system, and a path in it."""
    from fsspec.core import url_to_fs

    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError, OSError) as error:
        raise WriteError(f"{show(url)} cannot be opened: {error}", hint="s3:// needs `pip install s3fs`, gs:// gcsfs") from None
    return files, str(path)


def read_picture(picture: str) -> bytes:
    """Read the bytes of a picture."""
    if is_url(picture):
        return _fetch(picture)
    with open_picture(picture) as file:
        return file.read(MOST_BYTES)


def open_picture(picture: str) -> BufferedReader:
    """Open a picture of this machine; what is no plain file is refused before it can block."""
    try:
        descriptor = os.open(picture, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise PictureError(f"The file {show(picture)} cannot be opened: {why}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
        os.close(descriptor)
        raise PictureError(f"{show(picture)} is no plain file of at most {MOST_BYTES} bytes")
    return os.fdopen(descriptor, "rb")


def _fetch(url: str) -> bytes:
    try:
        files, path = open_url(url)
        size = files.info(path).get("size")
        if size is not None and size > MOST_BYTES:
            raise PictureError(f"The file has {size} bytes, and {MOST_BYTES} may be read")
        data = files.cat_file(path)
    except FileNotFoundError:
        raise PictureError(f"There is no file {show(url)}") from None
    except (OSError, WriteError) as error:
        raise PictureError(f"{show(url)} cannot be read: {error}") from None
    return bytes(data)


def read_record(place: Path) -> Entry | None:
    """Read a record; what cannot be read was not written."""
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
    is_whole = isinstance(found, dict) and {"output", "sha256", "bytes"} <= found.keys()
    return found if is_whole else None


@contextmanager
def _explained(output: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(f"No room is left for {show(output)}", hint="free some space: the same command goes on") from None
        if error.errno == errno.EISDIR:
            raise WriteError(f"{show(output)} is a folder") from None
        raise WriteError(f"{show(output)} cannot be written: {error.strerror or error}") from None
