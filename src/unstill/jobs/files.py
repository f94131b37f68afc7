"""The folder of a server: its jobs, the pictures that came in, the clips that go out, and the runs that can go on.

    jobs.sqlite        the store             pictures/<sha256>     as they came, by their content, and made small
    outputs/<token>.mp4, and stills of it    runs/                 steps of runs under way
    server.lock        who serves this folder                      previews/<job>.webp   what the last step shows

It does not know what a job is.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from unstill.disk import FULL
from unstill.errors import DiskFull, PictureError, StoreError

ASIDE = ".part-"  # how the names of files begin that are not whole yet
OLD_S = 3600.0  # a file that has not been whole for so long never will be
WAITS = 24  # times as long, a day, a picture may wait for somebody to decide what is made of it
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Folder:
    """Where a server keeps everything."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "jobs.sqlite"

    @property
    def pictures(self) -> Path:
        return self.root / "pictures"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def previews(self) -> Path:
        return self.root / "previews"

    def place_preview(self, job: str) -> Path:
        """Say where the preview of a job is, if there is one."""
        return self.previews / f"{job}.webp"

    def make(self) -> Folder:
        """Make what is missing, for this user alone."""
        try:
            for folder in (self.root, self.pictures, self.outputs, self.runs, self.previews):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(self.root, os.W_OK):
                raise PermissionError(13, "it cannot be written to")
        except OSError as error:
            raise StoreError(f"{self.root} cannot hold jobs: {error.strerror or error}", hint="--data another folder") from None
        return self

    def keep_picture(self, data: bytes) -> str:
        """Keep a picture by its content; give the name."""
        name = hashlib.sha256(data).hexdigest()
        place = self.pictures / name
        if place.exists():
            os.utime(place)  # an old one that no job names any more must not be swept before this job names it
        else:
            self.publish(place, data)
        return name

    def publish(self, place: Path, data: bytes) -> None:
        """Write a file whole or not at all."""
        aside = place.with_name(f"{ASIDE}{secrets.token_hex(8)}")
        try:
            write_through(aside, data)
            with explained():
                aside.replace(place)
                flush_folder(place.parent)
        finally:
            aside.unlink(missing_ok=True)

    def find_picture(self, name: str) -> Path:
        """Give the place of a kept picture; names are digests, so that none of them leads elsewhere."""
        if not DIGEST.fullmatch(name) or not (self.pictures / name).exists():
            raise PictureError(f"There is no picture {name[:12]!r} here, or no more", hint="send it again")
        return self.pictures / name

    def place_output(self, suffix: str) -> Path:
        """Give a new place for a clip; nobody can guess it, and no two claims share it."""
        return self.outputs / f"{secrets.token_hex(16)}{suffix}"

    def list_outputs(self, name: str) -> list[Path]:
        """List a clip and all that was made of it: stills, and other formats."""
        return sorted(self.outputs.glob(f"{first_word(name)}.*"))

    def remove_output(self, name: str) -> None:
        """Remove a clip and all that was made of it."""
        for place in self.list_outputs(name):
            place.unlink(missing_ok=True)

    def count_free_bytes(self) -> int:
        """Say how much room is left on the disk."""
        return shutil.disk_usage(self.root).free

    def list_old(self, outputs: Iterable[str], pictures: Iterable[str], old_s: float = OLD_S) -> list[Path]:
        """List files that no job names and that nothing has changed for long; what lies beside a clip is named with it."""
        known = {first_word(name) for name in (*outputs, *pictures)}
        old = []
        for folder, kept_s in ((self.outputs, old_s), (self.pictures, old_s * WAITS), (self.previews, old_s)):
            for place in folder.iterdir():
                with suppress(FileNotFoundError):
                    if first_word(place.name) not in known and time.time() - place.stat().st_mtime > kept_s:
                        old.append(place)
        return old


def first_word(name: str) -> str:
    """Give what the names of a clip or picture and of all that was made of it begin with."""
    return name.partition(".")[0]


@contextmanager
def hold_folder(folder: Folder, told: str) -> Iterator[None]:
    """Serve a folder alone: a second server is refused, and told who the first is."""
    path = folder.root / "server.lock"
    import fcntl  # not on Windows, where the rest of this module is used all the same

    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        who = file.read().strip()
        raise StoreError(f"{folder.root} is served already: {who}", hint="use that server, or --data another folder") from None
    file.truncate(0)
    file.write(told)
    file.flush()
    try:
        yield
    finally:
        file.truncate(0)
        file.close()


@contextmanager
def explained() -> Iterator[None]:
    """Say what a failure of the disk means for whoever asked."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            hint = "free some space; what waits goes on then"
            raise DiskFull("No room is left on the disk that holds the jobs", hint=hint) from None
        hint = "look at the disk that holds the jobs"
        raise StoreError(f"A file cannot be kept: {error.strerror or error}", hint=hint) from None


def write_through(path: Path, data: bytes) -> None:
    """Write a new file, down to the disk."""
    with explained(), path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make names survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_file(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
