"""Files that are whole or not there, and folders that one process has at a time. It does not know what is in them."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # how a system says that no room is left


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens meanwhile."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def hold(folder: Path) -> IO[str] | None:
    """Take the folder for this process, until it ends however it ends; nothing where another one has it."""
    path = folder.with_suffix(".lock")
    while True:
        file = path.open("w")
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: nobody is kept away
            return file
        except BlockingIOError:
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # the file that was locked has been removed: another one has its name
