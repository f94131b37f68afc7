"""What the file of a store looks like, and how one of an earlier version becomes today's, with a copy of it kept beside.

A file that is newer, or no store at all, is refused as it is. It does not know what jobs are for.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from unstill.errors import DiskFull, StoreError, UnstillError

VERSION = 2
SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, place REAL NOT NULL,
    priority INTEGER NOT NULL, knobs TEXT NOT NULL, picture TEXT NOT NULL, title TEXT NOT NULL, key TEXT UNIQUE,
    digest TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, claim INTEGER NOT NULL DEFAULT 0, worker TEXT, boot TEXT,
    lease_until_s REAL, wants_cancel INTEGER NOT NULL DEFAULT 0, stage TEXT NOT NULL DEFAULT '',
    progress REAL NOT NULL DEFAULT 0, created_s REAL NOT NULL, started_s REAL, ended_s REAL, output TEXT, output_sha256 TEXT,
    output_bytes INTEGER, report TEXT, error TEXT, wants_delete INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, priority DESC, place);
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, at_s REAL NOT NULL, kind TEXT NOT NULL,
    data TEXT NOT NULL) STRICT;
CREATE INDEX events_by_job ON events (job, id);
"""
CHANGES: dict[int, Sequence[str]] = {  # what makes a file of this version one of the next
    1: ["ALTER TABLE jobs ADD COLUMN wants_delete INTEGER NOT NULL DEFAULT 0"],
}


def refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file of a version that nobody here knows, before anything in it is changed."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    is_new = version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not is_new and version != VERSION and version not in CHANGES:
        raise StoreError(f"{path} is of version {version}, and this unstill knows {VERSION}",
                         hint="use the unstill that made it, or give another folder")  # fmt: skip


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file, or bring an older one up to date; inside a transaction that writes."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return
    if version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in filter(str.strip, SCHEMA.split(";")):
            db.execute(statement)
    elif version in CHANGES:
        keep_copy(path, path.with_name(f"{path.name}.v{version}"))
        for number in range(version, VERSION):
            for statement in CHANGES[number]:
                db.execute(statement)
    else:
        refuse_foreign(db, path)
    db.execute(f"PRAGMA user_version = {VERSION}")


def keep_copy(path: Path, place: Path) -> None:
    """Copy a store as it is; nobody writes meanwhile, since the caller holds the only right to."""
    aside = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(aside)) as copy:
            source.backup(copy)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(place)
    finally:
        aside.unlink(missing_ok=True)


def explain(error: sqlite3.Error) -> UnstillError:
    """Say what a failure of SQLite means for whoever asked."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says where it happened
    if code == sqlite3.SQLITE_FULL:
        return DiskFull("No room is left for the jobs", hint="free some space; what waits goes on then")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError("The jobs are locked by another process", hint="try again")
    return StoreError(f"The jobs cannot be read or written: {error}", hint="look at the disk that they are on")
