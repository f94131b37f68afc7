"""Where jobs are: one SQLite file, changed in short transactions, each of them one move of the table in `states`.

Whoever runs a job holds a claim with a number that rises by every claim of it: a worker that was given up can change nothing
any more, however late it comes. It does not know what a job makes, nor who asks.
"""

from __future__ import annotations

import json
import math
import secrets
import sqlite3
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unstill.errors import JobConflict, JobMissing, LostClaim, QueueFull, StoreError
from unstill.jobs.clock import read_boot, read_lease_s, read_time_s
from unstill.jobs.records import FIELDS, Event, Job, Order, Output, read_job, to_plain
from unstill.jobs.schema import explain, prepare, refuse_foreign
from unstill.jobs.states import CANCELLED, COMPLETED, FAILED, FINAL, QUEUED, RUNNING, list_origins

BUSY_MS = 10_000  # a writer waits for another so long
MOST_ATTEMPTS = 3
LEASE_S = 30.0
DELETED = "deleted"  # the last event of a job that is no more


class Store:
    """The jobs of one folder; safe to use from several threads, and from several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._unwritten_s = -math.inf  # when something could not be written last
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.create_function("plain", 1, strip_marks, deterministic=True)
            self._prepare()
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"{path} cannot be opened: {error}", hint="another process is busy with it, or the disk is full"
            ) from None
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{path} cannot be read as a store of jobs: {error}", hint="move it away, or give another folder"
            ) from None

    def _prepare(self) -> None:
        refuse_foreign(self._db, self.path)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {BUSY_MS}", "foreign_keys = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        with self._change():
            prepare(self._db, self.path)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Do all of it or nothing; one writer at a time."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:  # on a full disk SQLite has rolled back by itself
                    with suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    self._unwritten_s = read_lease_s()
                    raise explain(error) from error
                raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Read with a right explanation of what goes wrong."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise explain(error) from error

    def _note(self, job: str, kind: str, data: Mapping[str, Any] | None = None) -> None:
        self._db.execute("INSERT INTO events (job, at_s, kind, data) VALUES (?, ?, ?, ?)",
                         (job, read_time_s(), kind, json.dumps(data or {})))  # fmt: skip

    # What those do who ask for clips.

    def submit(self, order: Order, cap: int | None = None) -> Job:
        """Take a job on; the same key gives the job that it gave before. More than `cap` that wait are refused."""
        with self._change():
            if order.key is not None:
                found = self._db.execute("SELECT id, digest FROM jobs WHERE key = ?", (order.key,)).fetchone()
                if found is not None and found["digest"] != order.digest:
                    raise JobConflict("The same Idempotency-Key came with another request", hint="use a new key for a new one")
                if found is not None:
                    return self.get(found["id"])
            waiting = self._db.execute("SELECT count(*) FROM jobs WHERE state = ?", (QUEUED,)).fetchone()[0]
            if cap is not None and waiting >= cap:
                raise QueueFull(f"{waiting} jobs wait already, and no more than {cap} may", hint="try again later")
            id = f"video_{secrets.token_hex(12)}"
            self._db.execute(
                "INSERT INTO jobs (id, state, place, priority, knobs, picture, title, key, digest, created_s) VALUES "
                "(?, ?, (SELECT coalesce(max(place), 0) + 1 FROM jobs), ?, ?, ?, ?, ?, ?, ?)",
                (id, QUEUED, order.priority, json.dumps(dict(order.knobs)), order.picture, order.title, order.key, order.digest,
                 read_time_s()),
            )  # fmt: skip
            self._note(id, QUEUED)
            return self.get(id)

    def get(self, id: str) -> Job:
        """Give a job."""
        with self._reading():
            row = self._db.execute(f"SELECT {', '.join(FIELDS)} FROM jobs WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise JobMissing(f"There is no job {id!r}")
        return read_job(row)

    def list_jobs(
        self,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = True,
        states: Sequence[str] = (),
        words: Sequence[str] = (),
    ) -> list[Job]:
        """List jobs in the order in which they came, from the one after `after` on; with words, those that hold all of them."""
        where, values = ["1"], list[Any]()
        if after is not None:
            where.append(f"number {'<' if newest_first else '>'} ?")
            values.append(self.get(after).number)
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        told = "plain(title || ' ' || id || ' ' || coalesce(report ->> '$.knobs.model' || ' ' || (report ->> '$.moves'), ''))"
        for word in words:
            where.append(f"instr({told}, plain(?))")  # knows no wildcards
            values.append(word)
        order = "DESC" if newest_first else "ASC"
        query = f"SELECT {', '.join(FIELDS)} FROM jobs WHERE {' AND '.join(where)} ORDER BY number {order} LIMIT ?"
        with self._reading():
            return [read_job(row) for row in self._db.execute(query, (*values, limit))]

    def list_queue(self) -> list[str]:
        """List the jobs that wait, the next one first."""
        with self._reading():
            rows = self._db.execute("SELECT id FROM jobs WHERE state = ? ORDER BY priority DESC, place", (QUEUED,))
            return [row["id"] for row in rows]

    def count(self) -> dict[str, int]:
        """Count jobs by state."""
        with self._reading():
            return dict(self._db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())

    def cancel(self, id: str) -> Job:
        """Cancel a job that waits at once, and one that runs with its worker's next heartbeat; an ended one stays as it is."""
        with self._change():
            job = self.get(id)
            if job.state == QUEUED:
                self._end(id, CANCELLED)
            elif job.state == RUNNING and not job.wants_cancel:
                self._db.execute("UPDATE jobs SET wants_cancel = 1 WHERE id = ?", (id,))
                self._note(id, "cancelling")
            return self.get(id)

    def retry(self, id: str) -> Job:
        """Let a job that failed or was cancelled wait again."""
        with self._change():
            job = self.get(id)
            if job.state not in list_origins(QUEUED) or job.state == RUNNING:
                raise JobConflict(f"The job is {job.state}", hint="only a failed or cancelled one can be tried again")
            self._db.execute(
                "UPDATE jobs SET state = ?, attempts = 0, wants_cancel = 0, error = NULL, ended_s = NULL, progress = 0, "
                "place = (SELECT max(place) + 1 FROM jobs) WHERE id = ?",
                (QUEUED, id),
            )
            self._note(id, QUEUED)
            return self.get(id)

    def move(self, id: str, before: str | None) -> None:
        """Let a job that waits come before another one, or last."""
        with self._change():
            waiting = self._db.execute("SELECT id, place FROM jobs WHERE state = ? AND id != ? ORDER BY priority DESC, place",
                                       (QUEUED, id)).fetchall()  # fmt: skip
            job = self.get(id)
            at = next((number for number, row in enumerate(waiting) if row["id"] == before), len(waiting))
            if job.state != QUEUED or (before is not None and at == len(waiting)):
                raise JobConflict("Only a job that waits can be moved, and only before one that waits")
            last = waiting[-1]["place"] + 1 if waiting else 0.0
            below = waiting[at]["place"] if at < len(waiting) else last + 1
            above = waiting[at - 1]["place"] if at else below - 2
            # Of another priority the one above may have a later place: it comes first all the same.
            place = (above + below) / 2 if above < below else below - 1
            if not (above < place < below or above >= below):  # halves of halves have no number between them any more
                for number, row in enumerate(waiting):
                    self._db.execute("UPDATE jobs SET place = ? WHERE id = ?", (number + last, row["id"]))
                place = at + last - 0.5
            priority = next((self.get(row["id"]).priority for row in waiting if row["id"] == before), job.priority)
            self._db.execute("UPDATE jobs SET place = ?, priority = ? WHERE id = ?", (place, priority, id))
            self._note(id, "moved")

    def delete(self, id: str) -> Job:
        """Forget a job: at once, or where it runs as soon as it has ended, however it ends and whoever is still there then.

        What it was is given, so that its files can go; where it still runs, they are not yet there to go.
        """
        with self._change():
            job = self.get(id)
            if job.state != RUNNING:
                self._forget(id)
                return job
            if not job.wants_cancel:
                self._note(id, "cancelling")
            self._db.execute("UPDATE jobs SET wants_cancel = 1, wants_delete = 1 WHERE id = ?", (id,))
            return self.get(id)

    # What is forgotten in time.

    def forget_outlived(self, before_s: float, most_bytes: int | None = None) -> list[str]:
        """Forget jobs that ended before a time, and the oldest clips past so many bytes, but never the newest of all.

        The names of their clips are given, so that these can go.
        """
        query = f"""SELECT id, output FROM (SELECT *, row_number() OVER newest AS age, sum(output_bytes) OVER newest AS bytes
            FROM jobs WHERE state IN ({", ".join("?" * len(FINAL))}) WINDOW newest AS (ORDER BY ended_s DESC, number DESC))
            WHERE ended_s < ? OR (output IS NOT NULL AND bytes > ? AND age > 1)"""
        with self._change():
            rows = self._db.execute(query, (*FINAL, before_s, most_bytes or 2**62)).fetchall()
            for row in rows:
                self._forget(row["id"])
        return [row["output"] for row in rows if row["output"] is not None]

    def list_names(self) -> tuple[list[str], list[str]]:
        """List the clips and the pictures that jobs name."""
        with self._reading():
            outputs = [row[0] for row in self._db.execute("SELECT output FROM jobs WHERE output IS NOT NULL")]
            return outputs, [row[0] for row in self._db.execute("SELECT DISTINCT picture FROM jobs")]

    def forget_events(self, before_s: float) -> None:
        """Forget what happened before a time to jobs that are no more."""
        with self._change():
            self._db.execute("DELETE FROM events WHERE at_s < ? AND job NOT IN (SELECT id FROM jobs)", (before_s,))

    # What workers do.

    def claim(self, worker: str, lease_s: float = LEASE_S) -> Job | None:
        """Take the next job that waits, for as long as heartbeats come."""
        with self._change():
            row = self._db.execute(
                "UPDATE jobs SET state = ?, worker = ?, boot = ?, lease_until_s = ?, attempts = attempts + 1, "
                "claim = claim + 1, wants_cancel = 0, started_s = coalesce(started_s, ?) WHERE id = "
                "(SELECT id FROM jobs WHERE state = ? ORDER BY priority DESC, place LIMIT 1) RETURNING id",
                (RUNNING, worker, read_boot(), read_lease_s() + lease_s, read_time_s(), QUEUED),
            ).fetchone()
            if row is None:
                return None
            self._note(row["id"], RUNNING)
            return self.get(row["id"])

    def beat(
        self, job: Job, stage: str = "", progress: float | None = None, lease_s: float = LEASE_S, preview: int = 0
    ) -> bool:
        """Say that the job is being worked on and what there is to see of it, and hear whether it is to go on."""
        with self._change():
            self._hold(job)
            self._db.execute("UPDATE jobs SET lease_until_s = ?, stage = ?, progress = coalesce(?, progress) WHERE id = ?",
                             (read_lease_s() + lease_s, stage or job.stage, progress, job.id))  # fmt: skip
            if progress is not None:
                self._note(job.id, "progress", {"stage": stage, "progress": round(progress, 4), "preview": preview or None})
            return not self.get(job.id).wants_cancel

    def complete(self, job: Job, output: Output) -> bool:
        """Publish the clip: from here on the job is done, whatever happens. Say whether anybody still wants it."""
        with self._change():
            self._hold(job)
            self._db.execute(
                "UPDATE jobs SET output = ?, output_sha256 = ?, output_bytes = ?, report = ?, progress = 1 WHERE id = ?",
                (output.name, output.sha256, output.size_bytes, json.dumps(to_plain(output.report), allow_nan=False), job.id),
            )
            return self._end(job.id, COMPLETED)

    def fail(self, job: Job, error: Mapping[str, Any]) -> None:
        """End a job that cannot be made; one that may be retried waits again, until it was tried too often."""
        with self._change():
            self._hold(job)
            if error.get("retryable") and job.attempts < MOST_ATTEMPTS:
                self._return(job.id)
            else:
                self._end(job.id, FAILED, error)

    def stop(self, job: Job) -> None:
        """End a job that its worker was told to cancel."""
        with self._change():
            self._hold(job)
            self._end(job.id, CANCELLED)

    def release(self, job: Job) -> None:
        """Give a job back that its worker has no time to end; this is no attempt."""
        with self._change():
            self._hold(job)
            self._db.execute("UPDATE jobs SET attempts = attempts - 1 WHERE id = ?", (job.id,))
            self._return(job.id)

    def expire(self, is_gone: Callable[[str], bool] = lambda worker: False) -> list[str]:
        """Take jobs back whose workers no longer give a sign, or of whom it is known that they are gone.

        Where nothing could be written, on a full disk, no sign could be given either: for a lease after that none is missed.
        """
        could_tell = read_lease_s() - self._unwritten_s > LEASE_S
        with self._change():
            running = self._db.execute(
                "SELECT id, attempts, worker, wants_cancel, (lease_until_s < ? AND ?) OR boot != ? AS is_over FROM jobs "
                "WHERE state = ?",
                (read_lease_s(), could_tell, read_boot(), RUNNING),
            )
            rows = [row for row in running.fetchall() if row["is_over"] or is_gone(row["worker"])]
            for row in rows:
                if row["attempts"] >= MOST_ATTEMPTS and not row["wants_cancel"]:
                    message = f"its worker died or hung {row['attempts']} times"
                    self._end(row["id"], FAILED, {"code": "worker_lost", "message": message, "retryable": True})
                else:
                    self._return(row["id"])
            return [row["id"] for row in rows]

    def list_events(self, after: int = 0, job: str | None = None, limit: int = 500) -> list[Event]:
        """List what happened after an event, of one job or of all."""
        where, values = ("id > ? AND job = ?", (after, job)) if job is not None else ("id > ?", (after,))
        with self._reading():
            rows = self._db.execute(f"SELECT * FROM events WHERE {where} ORDER BY id LIMIT ?", (*values, limit)).fetchall()
        return [Event(row["id"], row["job"], row["at_s"], row["kind"], json.loads(row["data"])) for row in rows]

    def find_last_event(self) -> int:
        """Give the number of the last event, or 0."""
        with self._reading():
            return int(self._db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])

    def check(self) -> bool:
        """Say whether the file is whole."""
        with self._reading():
            return bool(self._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")

    def _hold(self, job: Job) -> None:
        """Refuse a worker whose claim is no longer the last one."""
        row = self._db.execute("SELECT claim, state FROM jobs WHERE id = ?", (job.id,)).fetchone()
        if row is None or row["state"] != RUNNING or row["claim"] != job.claim:
            raise LostClaim(f"The job {job.id} is no longer this worker's")

    def _return(self, id: str) -> None:
        """Let a job wait again, unless somebody wants it no more."""
        if self.get(id).wants_cancel:
            self._end(id, CANCELLED)
            return
        self._db.execute(
            "UPDATE jobs SET state = ?, worker = NULL, lease_until_s = NULL, stage = '' WHERE id = ?", (QUEUED, id)
        )
        self._note(id, QUEUED)

    def _end(self, id: str, state: str, error: Mapping[str, Any] | None = None) -> bool:
        """End a job; say whether it is still there, since somebody may have wished it away while it ran."""
        row = self._db.execute(
            "UPDATE jobs SET state = ?, ended_s = ?, worker = NULL, lease_until_s = NULL, stage = '', error = ? WHERE id = ? "
            "RETURNING wants_delete",
            (state, read_time_s(), json.dumps(dict(error)) if error else None, id),
        ).fetchone()
        self._db.execute("DELETE FROM events WHERE job = ? AND kind = 'progress'", (id,))  # nobody needs them again
        self._note(id, state, error)
        if row["wants_delete"]:
            self._forget(id)
        return not row["wants_delete"]

    def _forget(self, id: str) -> None:
        self._db.execute("DELETE FROM jobs WHERE id = ?", (id,))
        self._db.execute("DELETE FROM events WHERE job = ?", (id,))
        self._note(id, DELETED)


def strip_marks(text: str) -> str:
    """Make a text comparable: small letters without accents, so that evening finds Évening."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))
