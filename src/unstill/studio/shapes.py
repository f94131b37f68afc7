"""A job as clients of `/v1/videos` see it. Paths, workers and claims stay inside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unstill.jobs.records import Event, Job
from unstill.jobs.states import CANCELLED, COMPLETED, FAILED, QUEUED, RUNNING

if TYPE_CHECKING:
    from unstill.jobs.files import Folder
    from unstill.studio.service import Service

STATUS = {QUEUED: "queued", RUNNING: "in_progress", COMPLETED: "completed", FAILED: "failed", CANCELLED: "failed"}
CANCELLED_ERROR = {"code": "cancelled", "message": "It was cancelled"}
POLL_MS = 500
TYPES = {"mp4": "video/mp4", "webm": "video/webm", "gif": "image/gif", "webp": "image/webp", "apng": "image/apng"}
TYPES |= {"jpg": "image/jpeg"}


def show_video(job: Job, service: Service, waiting: Sequence[str] = (), warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Give a job in the shape of a video object, with fields of our own beside those that every client knows."""
    report, knobs, keep_s = job.report or {}, knobs_of(job), service.keep_s
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
        "seconds": tell_seconds(report.get("file_frames") or knobs.get("frames"), read_rate(job)),
        "size": str(report.get("size") or knobs.get("size") or ""),
        "error": {"code": str(error.get("code")), "message": str(error.get("message"))} if error else None,
        "state": job.state,
        "stage": job.stage,
        "title": job.title,
        "picture": job.picture,
        "place": waiting.index(job.id) + 1 if job.id in waiting else None,
        "attempts": job.attempts,
        "cancelling": job.wants_cancel and job.state == RUNNING,
        "started_at": int(job.started_s) if job.started_s else None,
        "preview": read_preview(job, service.folder),
        "seed": knobs.get("seed"),
        "frames": report.get("file_frames"),
        "fps": read_rate(job) or None,
        "bytes": job.output_bytes,
        "suffix": job.output.partition(".")[2] if job.output else None,
        "spritesheet": report.get("spritesheet"),
        "moves": report.get("moves"),
        "warnings": [*warnings, *report.get("warnings", [])],
        "knobs": dict(job.knobs),
        "settled": dict(report["knobs"]) if isinstance(report.get("knobs"), dict) else None,
    }


def tell_seconds(frames: int | None, rate: float) -> str:
    """Write how long a file plays, as far as that is known."""
    return f"{frames / rate:.2f}".rstrip("0").rstrip(".") if frames and rate else ""


def read_preview(job: Job, folder: Folder) -> int | None:
    """Give a number that rises with every preview of a running clip."""
    if job.state != RUNNING:
        return None
    try:
        return folder.place_preview(job.id).stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return None


def read_rate(job: Job) -> float:
    """Give the rate of the file's frames."""
    knobs = knobs_of(job)
    rate = float(knobs.get("play_fps") or knobs.get("fps") or 0)
    return float(knobs.get("smooth") or rate * float(knobs.get("speed") or 1))


def knobs_of(job: Job) -> dict[str, Any]:
    """Give the knobs as they were settled, once that is known."""
    settled = (job.report or {}).get("knobs")
    return dict(settled) if isinstance(settled, dict) else dict(job.knobs)


def show_event(event: Event) -> str:
    """Write an event as a server sends it."""
    data = json.dumps({"video": event.job, "kind": event.kind, "at": event.at_s, **event.data})
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
