"""Run a request from the command line: where the clip goes, what may not be meant, and who watches.

It does not know how the request was put together, nor how the result is told.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import unstill
from unstill.artifacts import Progress
from unstill.cli import output
from unstill.cli.telling import Manner, tell, tell_before, tell_plan
from unstill.errors import RequestError, WriteError
from unstill.request import Request
from unstill.values import show

if TYPE_CHECKING:
    from unstill.artifacts import Clip, Plan
    from unstill.engine import Engine

STREAM = "-"  # as a file name: standard input or output
ASIDE = ".unstill-"  # how the name of the folder begins where a clip is written before it gets its name
TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}  # how a system says that a name is taken


@dataclass(frozen=True)
class Target:
    """Where the clip goes: where `out` says, else by the picture's name, of the request's format or else of `kind`."""

    picture: str
    out: str | None = None
    kind: str = "mp4"

    def choose(self, request: Request) -> Path:
        """Name the clip; a name that is not given is one that is free, in the current folder."""
        if self.out is not None:
            return Path(self.out)
        kind = self._choose_kind(request)
        stem = "clip" if self.picture == STREAM else Path(self.picture).stem
        suffix = "-frames" if kind == "png" else f".{kind}"
        path, number = Path(f"{stem}{suffix}"), 1
        while os.path.lexists(path):
            number += 1
            path = Path(f"{stem}-{number}{suffix}")
        return path

    def complete(self, request: Request) -> Request:
        """Add the format where a name of our own does not tell it: `harbour.v2-frames` has a suffix, and of no format."""
        tells = self.out is not None or self._choose_kind(request) != "png"  # the others end in their own suffix
        return request if tells else request.replace(format="png")

    def _choose_kind(self, request: Request) -> str:
        if request.format != "auto":
            return request.format
        return "webm" if request.codec == "vp9" and self.kind == "mp4" else self.kind


def run(request: Request, target: Target, manner: Manner, *, before: tuple[str, ...] = ()) -> Clip | None:
    """Animate the picture, or with `manner.dry_run` say what would be done; `before` are warnings that are known already."""
    refuse_confusion(request, target, manner)
    request = target.complete(request)
    if manner.warns:
        output.warn(*before)
    if manner.dry_run:
        from unstill.generate import foresee

        out = check_place(target, request)
        image, plan = foresee(request, target.picture)
        tell_plan(image, plan, str(out), manner, is_drawn=request.seed is None, before=before)
        return None
    started = time.perf_counter()
    with hear(manner.debug) as heard:
        clip, told = make(request, target, manner)
    clip = replace(clip, report=replace(clip.report, warnings=(*before, *clip.report.warnings, *dict.fromkeys(heard))))
    tell(clip, manner, time.perf_counter() - started, told=(*before, *told))
    return clip


@contextmanager
def hear(debug: bool) -> Iterator[list[str]]:
    """Collect what this package says through Python's warnings; of others they are shown with --debug only."""
    heard: list[str] = []
    show_others = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], filename: str, *place: Any, **more: Any) -> None:
        if Path(filename).is_relative_to(Path(unstill.__file__).parent):
            heard.append(str(message))
        elif debug:
            show_others(message, category, filename, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = note
        yield heard


def refuse_confusion(request: Request, target: Target, manner: Manner) -> None:
    """Refuse what cannot be meant, before any work."""
    picture, out = target.picture, target.out
    if picture == STREAM and sys.stdin.isatty():
        raise RequestError("PICTURE - is standard input, which is the keyboard here", hint="cat photo.jpg | unstill animate -")
    if out == STREAM and request.format in ("auto", "png"):
        raise RequestError("-o - needs a format that is one file", hint="--format mp4")
    if out == STREAM and manner.as_json:
        raise RequestError("-o - and --json both want standard output", hint="-o clip.mp4")
    if out == STREAM and request.takes > 1:
        raise RequestError("-o - is one clip, and takes makes several", hint="-o clip.mp4 names the others clip-2.mp4 …")
    if out == STREAM and sys.stdout.isatty():
        raise RequestError("-o - is standard output, which is the screen here", hint="-o clip.mp4")


def check_place(target: Target, request: Request) -> Path:
    """Refuse a place where the clip cannot go, as a run does before it starts; return its name."""
    from unstill.generate import refuse_replacing
    from unstill.write import check_target

    path = target.choose(request)
    if target.out == STREAM:
        check_target(Path(tempfile.gettempdir()) / f"clip.{request.format}", request)  # it is written aside first
    else:
        check_target(path, request)
        refuse_replacing(path, target.picture)
    return path


def make(request: Request, target: Target, manner: Manner) -> tuple[Clip, list[str]]:
    """Animate, put the clip where it belongs, and return it with the warnings that were said."""
    from unstill.cli.progress import Display, Stop

    display, told = Display(is_shown=not manner.quiet), list[str]()
    stop = Stop(is_line_shown=display.is_shown)

    def load(plan: Plan) -> Engine:
        # The moment when the plan is known and nothing has been run yet.
        if manner.warns:
            told.extend(plan.warnings)
            display.interrupt(lambda: tell_before(plan))
        stop.arm()
        return load_engine(plan)

    def watch(progress: Progress) -> None:
        stop.check(progress)
        display(progress)

    def animate(path: Path | None) -> Clip:
        return generate(request, target.picture, path, watch=watch, load=load, runs=Runs())

    with stop, display:
        from unstill.generate import generate
        from unstill.models import load_engine  # torch comes with them, 1 to 3 s: the line is there by then
        from unstill.runs import Runs

        if target.out == STREAM:
            clip = _stream(animate, request)
        elif target.out is not None:
            clip = animate(target.choose(request))
        else:
            clip = _name_late(animate, watch, target, request)
    return clip, told


def _stream(animate: Callable[[Path], Clip], request: Request) -> Clip:
    """Write the clip to standard output, once it is whole."""
    with tempfile.TemporaryDirectory(prefix="unstill-") as folder:
        path = Path(folder) / f"clip.{request.format}"
        clip = animate(path)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return replace(clip, path=None)


def _name_late(animate: Callable[[None], Clip], watch: Callable[[Progress], None], target: Target, request: Request) -> Clip:
    """Write the clip by a free name, chosen last: by then another run may have taken the one that was free at the start."""
    wished = check_place(target, request)
    clip = animate(None)
    watch(Progress("write", 0, 1))
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix=ASIDE, dir=wished.parent) as folder:
            path = claim(clip.save(Path(folder) / wished.name), target, request)
            others = [replace(one, path=claim(one.save(Path(folder) / wished.name), target, request)) for one in clip.others]
    except OSError as error:
        raise WriteError(f"{show(wished.name)} cannot be written: {error.strerror or error}") from None
    seconds = {**clip.report.stages_s, "write": round(time.perf_counter() - started, 3)}
    return replace(clip, path=path, others=tuple(others), report=replace(clip.report, stages_s=seconds))


def claim(made: Path, target: Target, request: Request) -> Path:
    """Give what was made a name that is free at this very moment, so that nothing of another run is replaced."""
    is_folder = made.is_dir()
    while True:
        path = target.choose(request)
        try:
            if is_folder:
                made.rename(path)  # refuses a file, and a folder that holds anything
            else:
                path.hardlink_to(made)  # refuses any name that is there, which renaming a file does not
        except OSError as error:
            if error.errno in TAKEN:
                continue
            if is_folder:
                raise
            made.replace(path)  # on file systems without links the moment stays, and it is a short one
        return path
