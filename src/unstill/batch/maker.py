"""Items: their pictures are read, their clips made and published, and told what they became. The model stays loaded.

It does not know who asks.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstill.artifacts import Clip, ModelFiles, Plan, Progress, Watch
from unstill.batch.ledger import stamp_picture
from unstill.batch.places import Place, read_picture
from unstill.errors import Cancelled, ModelError, UnstillError, WriteError
from unstill.jobs.files import hash_file
from unstill.values import show

if TYPE_CHECKING:
    from unstill.generate import Making
    from unstill.request import Request

USUAL = (1024, 576)  # pixels of a picture that stands for those to come
OF_A_RECORD = ("key", "output", "sha256", "bytes", "seconds", "together", "moves", "verdicts", "warnings", "knobs")


def ignore(progress: Progress) -> None:
    """Watch nothing."""


class Maker:
    """Makes items on one device."""

    def __init__(self, place: Place, device: str) -> None:
        from unstill.memory.machine import look_at_machine
        from unstill.models import Keep

        self.place = place
        self.device = look_at_machine(device).device  # refused here where there is none such
        self.keep = Keep(self._load)
        self.meant = ""  # the weights that are to be loaded

    def describe(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """Say which model a request would run here and how many clips share a pass of it, or why none."""
        from unstill.request import Request

        return describe_model(Request.from_mapping(knobs), self.device)

    def make(self, orders: Sequence[Mapping[str, Any]], watch: Watch = ignore) -> Iterator[tuple[int, dict[str, Any]]]:
        """Make what is ordered, several clips in one pass where their plans allow it.

        Give the number of each with its record, or with why there is none, as it ends. Only stopping is raised.
        """
        made, keys = [Piece(self, order, watch) for order in orders], set[str]()
        try:
            for one in made:
                one.begin(keys)
            self._share([one for one in made if one.outcome is None])
            for one in made:
                if one.outcome is None:
                    one.end()
                yield one.number, one.tell()
        finally:
            for one in made:
                one.leave()

    def _share(self, made: Sequence[Piece]) -> None:
        """Sample together what can be."""
        from unstill.together import gather, share

        by_making = {one.making: one for one in made if one.making is not None}
        for group in gather(by_making):
            start = time.perf_counter()
            several = [by_making[making] for making in group]
            self.meant = several[0].order["model"]
            try:
                share(group, self.keep)
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001 - told of each, as if it had been alone
                for one in several:
                    one.fail(error)
            for one in several:
                one.took_s += (time.perf_counter() - start) / len(group)

    def _load(self, plan: Plan) -> Any:
        from unstill.models import load_engine

        if self.meant and identify(plan.model) != self.meant:
            raise ModelError(f"{plan.model.name} has other weights here than on the machine that was asked first",
                             hint="pull the same files on every machine")  # fmt: skip
        return load_engine(plan)


class Piece:
    """One item while it is made."""

    def __init__(self, maker: Maker, order: Mapping[str, Any], watch: Watch) -> None:
        self.maker, self.order, self.watch, self.number = maker, order, watch, int(order["number"])
        self.outcome: dict[str, Any] | None = None
        self.making: Making | None = None
        self.took_s, self._since, self._is_twin = 0.0, 0.0, False
        self._key, self._heard = "", list[str]()

    def begin(self, keys: set[str]) -> None:
        """Read the picture and plan the clip, unless it is there already, or will be: `keys` are those of others."""
        self.stamp = stamp_picture(self.order["picture"])  # before it is read: one that is changed meanwhile is another
        with self._attempt():
            self._begin(keys)

    def end(self) -> None:
        """Make what is left to make, and publish it."""
        with self._attempt():
            if self._is_twin:
                self._begin(set())  # by now it is there, unless that failed
            if self.outcome is None:
                self._end()

    def fail(self, error: Exception) -> None:
        """Note why there is no clip."""
        if isinstance(error, UnstillError):
            self.outcome = {"error": error.to_dict()}
            return
        told = {"code": "internal", "message": f"unstill itself failed: {type(error).__name__}: {str(error)[:200]}"}
        self.outcome = {"error": {**told, "retryable": True}}

    def tell(self) -> dict[str, Any]:
        """Say what came of it."""
        assert self.outcome is not None
        return {"stamp": self.stamp, "error": None, "seconds": round(self.took_s, 3), **self.outcome}

    def leave(self) -> None:
        """Let go of what was begun and not made."""
        if self.making is not None:
            self.making.leave()

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        self._since = time.perf_counter()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", UserWarning)
            try:
                yield
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001 - one item's trouble, whatever it is, must not take the others along
                self.fail(error)
        self._heard += [str(one.message) for one in heard if issubclass(one.category, UserWarning)]
        self.took_s += time.perf_counter() - self._since

    def _begin(self, keys: set[str]) -> None:
        from unstill.generate import Making
        from unstill.request import Request
        from unstill.runs import Runs
        from unstill.takes import is_asked
        from unstill.write import check_target

        order, place = self.order, self.maker.place
        data = read_picture(order["picture"])
        self._key = make_key(hashlib.sha256(data).hexdigest(), order["settings"])
        found = None if order["again"] else place.find(self._key, order["output"])
        if found is not None:
            self.outcome = {**{name: found.get(name) for name in OF_A_RECORD}, "found": True}
            return
        self._is_twin = self._key in keys and not order["again"]
        if self._is_twin:
            return
        keys.add(self._key)
        request = Request.from_mapping(order["knobs"]).replace(device=self.maker.device)
        made = place.aside(Path(order["output"]).suffix)
        runs = None if place.runs is None else Runs(place.runs)
        if is_asked(request):
            self._search = (request, data, made, runs)  # it may take several clips, one after the other
            return
        check_target(made, request)
        self.making = Making(request, data, made, watch=self.watch, runs=runs)

    def _end(self) -> None:
        from unstill.generate import generate

        self.maker.meant = self.order["model"]
        making, self.making = self.making, None  # whichever way it ends, it lets go of its run: then others may have that
        if making is None:
            request, data, made, runs = self._search
            clip = generate(request, data, made, watch=self.watch, load=self.maker.keep, runs=runs)
        else:
            clip = making.make(self.maker.keep)
        assert clip.path is not None
        self._publish(clip, clip.path)

    def _publish(self, clip: Clip, made: Path) -> None:
        said = dict.fromkeys([*clip.report.warnings, *self._heard])
        took_s = self.took_s + time.perf_counter() - self._since
        record = {
            "key": self._key, "output": self.order["output"], "sha256": hash_file(made), "bytes": made.stat().st_size,
            "seconds": round(took_s, 3), "together": clip.report.together, "moves": clip.report.moves,
            "verdicts": [verdict.name for verdict in clip.report.verdicts], "warnings": list(said),
            "knobs": clip.request.to_dict(),
        }  # fmt: skip
        self._refuse_replacing()
        self.maker.place.publish(made, self._key, record)
        self.outcome = {**record, "found": False}

    def _refuse_replacing(self) -> None:
        root = getattr(self.maker.place, "root", None)
        if root is None:
            return
        place, picture = root / self.order["output"], Path(self.order["picture"])
        if place.exists() and picture.exists() and place.samefile(picture):
            raise WriteError(
                f"{show(self.order['output'])} would replace the picture itself", hint="-o another folder, or --name"
            )


def describe_model(request: Request, device: str) -> dict[str, Any]:
    """Say which model a request would run on a device and how many clips share a pass of it, or why none."""
    from PIL import Image

    from unstill.generate import foresee
    from unstill.takes import is_asked

    request = request.replace(device=device, look=False)
    try:
        plan = foresee(request, Image.new("RGB", USUAL))[1]
    except UnstillError as error:
        return {"error": error.to_dict()}
    files, together = plan.model, 1 if is_asked(request) else plan.together
    told = {"name": files.name, "family": files.family, "frames": files.frames, "identity": identify(files)}
    return {**told, "together": together}


def identify(files: ModelFiles) -> str:
    """Give a digest of which weights a model is."""
    told = [files.name, files.revision, sorted(files.sha256.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def make_key(picture_sha256: str, settings: str) -> str:
    """Give what a clip is known by: its picture and all that shapes it."""
    return hashlib.sha256(f"{picture_sha256} {settings}".encode()).hexdigest()
