"""What runs on a Ray cluster for a server: it makes one job's clip after the other, and says meanwhile how far it is.

Picture and clip come and go as bytes, so that nothing but the models need be on its machine. Steps are kept there too, for the
next actor of that machine to go on from. It does not know jobs beyond the one that it makes, nor who asks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unstill.artifacts import Progress
from unstill.errors import Cancelled, UnstillError
from unstill.jobs.files import explained
from unstill.jobs.making import name_suffix, read_request, tell_report
from unstill.jobs.processors import choose_waiting
from unstill.jobs.worker import KEEP_EVERY_S

if TYPE_CHECKING:
    from unstill.models import Keep

RUNS = "jobs"  # beside the runs of the command line, which are somebody's own


class JobActor:
    """Makes clips on one device. While `make` runs, `tell` and `leave` are heard from a thread of their own."""

    def __init__(self, device: str) -> None:
        """Import all that is needed, so that whoever is ready answers at once."""
        os.environ.update(choose_waiting())
        import unstill.generate  # noqa: F401 - torch, which holds every thread up while it is imported

        self._device = device
        self._keep: Keep | None = None  # the model stays loaded from job to job
        self._name = self._left = ""
        self._at = Progress("prepare", 0, 1)
        self._preview, self._wants_preview = (0, b""), True

    def make(self, name: str, knobs: Mapping[str, Any], picture: bytes) -> dict[str, Any]:
        """Make a clip; what is left because somebody said so, or cannot be made, is told as that."""
        self._at, self._preview, self._wants_preview = Progress("prepare", 0, 1), (0, b""), True
        self._name = name
        try:
            self._watch(self._at)
            return {"kind": "made", **self._make(knobs, picture)}
        except Cancelled:
            return {"kind": "left"}
        except UnstillError as error:
            return {"kind": "failed", "error": error.to_dict()}
        finally:
            self._name = ""

    def _make(self, knobs: Mapping[str, Any], picture: bytes) -> dict[str, Any]:
        from unstill.generate import generate
        from unstill.models import Keep
        from unstill.runs import Runs, find_root

        request = read_request(knobs, self._device)
        suffix = name_suffix(request)
        self._keep = self._keep or Keep()
        runs = Runs(find_root() / RUNS, every_s=KEEP_EVERY_S)
        with explained():
            aside = TemporaryDirectory(prefix="unstill-")
        with aside as folder:
            place = Path(folder) / f"clip{suffix}"
            clip = generate(request, picture, place, watch=self._watch, load=self._keep, runs=runs)
            return {"clip": place.read_bytes(), "suffix": suffix, "last": clip.frames[-1].copy(), "report": tell_report(clip)}

    def tell(self, seen: tuple[str, int]) -> dict[str, Any]:
        """Say how far it is, with a preview if there is one newer than was seen; the next step then makes another."""
        name, at, (number, picture) = self._name, self._at, self._preview
        is_new = number and (name, number) != seen
        self._wants_preview = True
        shown = {"number": number, "picture": picture} if is_new else None
        return {"name": name, "stage": at.stage, "done": at.done, "total": at.total, "of": at.of, "preview": shown}

    def leave(self, name: str) -> None:
        """End what has that name after the current step, or before the first if it has not begun."""
        self._left = name

    def _watch(self, progress: Progress) -> None:
        self._at = Progress(progress.stage, progress.done, progress.total, of=progress.of)
        if self._wants_preview and (progress.step is not None or progress.frame is not None):
            from unstill.jobs.stills import draw_progress

            self._wants_preview = False
            self._preview = draw_progress(progress)
        if self._left == self._name:
            raise Cancelled("Stopped")
