"""One file, from the hub to the cache: resumed where it broke off, published only after its digest was checked.

huggingface_hub writes each attempt to a file of its own name and deletes it on failure, so an interrupted download
of 3 GB begins again (its issue 4196). Here the part that arrived stays as DIGEST.incomplete, the name that its cache
tools know. A second writer that a file system's broken locks let in spoils the digest, never the cache.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from unstill.catalog.hub import Hub, Patience, RemoteFile, explained, open_file
from unstill.disk import FULL
from unstill.errors import DiskFull, WeightsError, WriteError

BLOCK_BYTES = 1 << 20
FileWatch = Callable[[str, int], None]  # stage (verify | fetch), bytes of the file so far


@dataclass(frozen=True)
class Origin:
    """A repository at one commit, and the hub that serves it."""

    hub: Hub
    repository: str
    commit: str


class Hashes:
    """The digests of a file while its bytes go by."""

    def __init__(self, remote: RemoteFile) -> None:
        self._remote = remote
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % remote.size_bytes, usedforsecurity=False)  # how git names a file

    def update(self, block: bytes) -> None:
        """Take in the next bytes."""
        self._sha256.update(block)
        if not self._remote.has_sha256:
            self._git.update(block)

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes so far."""
        return self._sha256.hexdigest()

    @property
    def digest(self) -> str:
        """The digest that the hub states for this file."""
        return self.sha256 if self._remote.has_sha256 else self._git.hexdigest()


class Intake:
    """The part of a file that has arrived, and its hashes."""

    def __init__(self, file: BinaryIO, remote: RemoteFile) -> None:
        self._file, self._remote = file, remote
        self.have_bytes, self.hashes = 0, Hashes(remote)

    @property
    def is_whole(self) -> bool:
        """Whether all of the file has arrived."""
        return self.have_bytes >= self._remote.size_bytes

    def take_up(self, told: FileWatch) -> None:
        """Hash what an earlier attempt left."""
        self._file.seek(0)
        # No further than the file can be: what lies there may be anything, even without an end.
        while self.have_bytes <= self._remote.size_bytes and (block := self._file.read(BLOCK_BYTES)):
            self._count(block)
            told("verify", self.have_bytes)
        if self.have_bytes > self._remote.size_bytes:
            self.start_over()

    def start_over(self) -> None:
        """Forget what has arrived."""
        self._file.truncate(0)
        self.have_bytes, self.hashes = 0, Hashes(self._remote)

    def add(self, block: bytes) -> None:
        """Keep the next bytes."""
        self._file.write(block)
        self._count(block)

    def _count(self, block: bytes) -> None:
        self.hashes.update(block)
        self.have_bytes += len(block)


def fetch_file(origin: Origin, remote: RemoteFile, blob: Path, told: FileWatch) -> str:
    """Fetch a file into its blob, going on from what an earlier attempt left, and return its sha256."""
    partial = blob.with_name(f"{blob.name}.incomplete")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("a+b") as file:
        intake = Intake(file, remote)
        intake.take_up(told)
        _fill(intake, origin, remote, told)
        file.flush()
        os.fsync(file.fileno())
    if intake.hashes.digest != remote.digest:
        partial.unlink()
        text = f"{remote.path} is not what the hub states: its digest is {intake.hashes.digest}, not {remote.digest}"
        raise WeightsError(f"{text}; it was thrown away", hint="pull again; if it stays so, HF_ENDPOINT names a broken mirror")
    partial.replace(blob)
    return intake.hashes.sha256


def _fill(intake: Intake, origin: Origin, remote: RemoteFile, told: FileWatch) -> None:
    patience = Patience(origin.hub)
    with explained(origin.hub, origin.repository):
        while not intake.is_whole:
            with patience.attempt():
                _receive(intake, origin, remote, told, patience)


def _receive(intake: Intake, origin: Origin, remote: RemoteFile, told: FileWatch, patience: Patience) -> None:
    patience.note(intake.have_bytes)
    with open_file(origin.hub, origin.repository, origin.commit, remote, intake.have_bytes) as answer:
        if answer.is_from_start:
            intake.start_over()
        for block in answer.blocks:
            intake.add(block)
            patience.note(intake.have_bytes)
            told("fetch", intake.have_bytes)


def hash_file(path: Path, remote: RemoteFile, told: FileWatch) -> Hashes:
    """Hash a file that is here."""
    with path.open("rb") as file:
        intake = Intake(file, remote)
        intake.take_up(told)
    return intake.hashes


@contextmanager
def storing() -> Iterator[None]:
    """Turn what the disk of the cache refuses into our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            hint = "free some room, or let HF_HOME name a larger disk; what has arrived is kept"
            raise DiskFull("no room is left on the disk of the Hugging Face cache", hint=hint) from error
        text = f"the Hugging Face cache cannot be written: {error.strerror or error}"
        raise WriteError(text, hint="HF_HOME or HF_HUB_CACHE can name another place") from error
