"""A job as clients of `/v1/videos` see it. Paths, workers and claims stay inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unstill.jobs.records import Event, Job
from unstill.jobs.states import CANCELLED, COMPLETED, FAILED, QUEUED, RUNNING

STATUS = {QUEUED: "queued", RUNNING: "in_progress", COMPLETED: "completed", FAILED: "failed", CANCELLED: "failed"}
CANCELLED_ERROR = {"code": "cancelled", "message": "It was cancelled"}
POLL_MS = 500
TYPES = {"mp4": "video/mp4", "webm": "video/webm", "gif": "image/gif", "webp": "image/webp", "apng": "image/apng"}


def show_video(job: Job, *, keep_s: float | None = None, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Give a job in the shape of a video object, with fields of our own beside those that every client knows."""
    report, knobs = job.report or {}, job.knobs
    frames, rate = report.get("frames") or knobs.get("frames"), read_rate(job)
    error = job.error or (CANCELLED_ERROR if job.state == CANCELLED else None)
    return {
        "id": job.id,
        "object": "video",
        "model": knobs.get("model", "auto"),
        "status": STATUS[job.state],
        "progress": 100 if job.state == COMPLETED else int(100 * job.progress),
        "created_at": int(job.created_s),
        "completed_at": int(job.ended_s) if job.state == COMPLETED and job.ended_s else None,
        "expires_at": int(job.ended_s + keep_s) if keep_s and job.ended_s else None,
        "seconds": f"{frames / rate:.2f}".rstrip("0").rstrip(".") if frames and rate else "",
        "size": str(report.get("size") or knobs.get("size") or ""),
        "error": {"code": str(error.get("code")), "message": str(error.get("message"))} if error else None,
        "state": job.state,
        "stage": job.stage,
        "title": job.title,
        "seed": knobs_of(job).get("seed"),
        "bytes": job.output_bytes,
        "moves": report.get("moves"),
        "warnings": [*warnings, *report.get("warnings", [])],
        "knobs": dict(knobs),
    }


def read_rate(job: Job) -> float:
    """Give the rate at which the clip's own frames play."""
    knobs = knobs_of(job)
    return float(knobs.get("play_fps") or knobs.get("fps") or 0)


def knobs_of(job: Job) -> dict[str, Any]:
    """Give the knobs as they were settled, once that is known."""
    settled = (job.report or {}).get("knobs")
    return dict(settled) if isinstance(settled, dict) else dict(job.knobs)


def show_event(event: Event) -> str:
    """Write an event as a server sends it."""
    import json

    data = json.dumps({"video": event.job, "kind": event.kind, "at": event.at_s, **event.data})
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
