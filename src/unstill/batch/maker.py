"""One item: its picture is read, its clip made and published, and told what it became. The model stays loaded.

It does not know who asks.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unstill.artifacts import ModelFiles, Plan, Progress, Watch
from unstill.batch.ledger import stamp_picture
from unstill.batch.places import Place, read_picture
from unstill.errors import Cancelled, ModelError, UnstillError, WriteError
from unstill.jobs.files import hash_file
from unstill.values import show

OF_A_RECORD = ("key", "output", "sha256", "bytes", "seconds", "moves", "verdicts", "warnings", "knobs")


def ignore(progress: Progress) -> None:
    """Watch nothing."""


class Maker:
    """Makes items on one device."""

    def __init__(self, place: Place, device: str) -> None:
        from unstill.engine import Keep
        from unstill.memory.machine import look_at_machine

        self.place = place
        self.device = look_at_machine(device).device  # refused here where there is none such
        self._keep = Keep(self._load)
        self._meant = ""

    def describe(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """Say which model a request would run here, or why none."""
        from unstill.memory.machine import look_at_machine
        from unstill.plan import choose_model
        from unstill.request import Request

        try:
            files, _ = choose_model(Request.from_mapping(knobs), look_at_machine(self.device))
        except UnstillError as error:
            return {"error": error.to_dict()}
        return {"name": files.name, "family": files.family, "frames": files.frames, "identity": identify(files)}

    def make(self, order: Mapping[str, Any], watch: Watch = ignore) -> dict[str, Any]:
        """Make what is ordered; give its record, or why there is none. Only stopping is raised."""
        start = time.perf_counter()
        stamp = stamp_picture(order["picture"])  # before it is read: one that is changed meanwhile is another
        try:
            record = self._make(order, watch)
        except Cancelled:
            raise
        except UnstillError as error:
            return {"stamp": stamp, "error": error.to_dict(), "seconds": round(time.perf_counter() - start, 3)}
        except Exception as error:  # noqa: BLE001 - one item's trouble, whatever it is, must not take the others along
            told = {"code": "internal", "message": f"unstill itself failed: {type(error).__name__}: {str(error)[:200]}"}
            return {"stamp": stamp, "error": {**told, "retryable": True}, "seconds": round(time.perf_counter() - start, 3)}
        return {"stamp": stamp, "error": None, **record}

    def _make(self, order: Mapping[str, Any], watch: Watch) -> dict[str, Any]:
        from unstill.generate import generate
        from unstill.request import Request
        from unstill.runs import Runs

        start = time.perf_counter()
        data = read_picture(order["picture"])
        key = make_key(hashlib.sha256(data).hexdigest(), order["settings"])
        found = None if order["again"] else self.place.find(key, order["output"])
        if found is not None:
            return {**{name: found.get(name) for name in OF_A_RECORD}, "found": True}
        request = Request.from_mapping(order["knobs"]).replace(device=self.device)
        self._meant = order["model"]
        made = self.place.aside(Path(order["output"]).suffix)
        runs = None if self.place.runs is None else Runs(self.place.runs)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", UserWarning)
            clip = generate(request, data, made, watch=watch, load=self._keep, runs=runs)
        said = [*clip.report.warnings, *(str(one.message) for one in heard if issubclass(one.category, UserWarning))]
        record = {
            "key": key, "output": order["output"], "sha256": hash_file(made), "bytes": made.stat().st_size,
            "seconds": round(time.perf_counter() - start, 3), "moves": clip.report.moves,
            "verdicts": [verdict.name for verdict in clip.report.verdicts], "warnings": list(dict.fromkeys(said)),
            "knobs": clip.request.to_dict(),
        }  # fmt: skip
        self._refuse_replacing(order)
        self.place.publish(made, key, record)
        return {**record, "found": False}

    def _load(self, plan: Plan) -> Any:
        from unstill.engine import load_engine

        if self._meant and identify(plan.model) != self._meant:
            raise ModelError(f"{plan.model.name} has other weights here than on the machine that was asked first",
                             hint="pull the same files on every machine")  # fmt: skip
        return load_engine(plan)

    def _refuse_replacing(self, order: Mapping[str, Any]) -> None:
        root = getattr(self.place, "root", None)
        if root is None:
            return
        place, picture = root / order["output"], Path(order["picture"])
        if place.exists() and picture.exists() and place.samefile(picture):
            raise WriteError(f"{show(order['output'])} would replace the picture itself", hint="-o another folder, or --name")


def identify(files: ModelFiles) -> str:
    """Give a digest of which weights a model is."""
    told = [files.name, files.revision, sorted(files.sha256.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def make_key(picture_sha256: str, settings: str) -> str:
    """Give what a clip is known by: its picture and all that shapes it."""
    return hashlib.sha256(f"{picture_sha256} {settings}".encode()).hexdigest()
