"""The whole product: six verbs in order.

    picture ─▶ prepare ─▶ plan ─▶ sample ─▶ decode ─▶ check ─▶ write ─▶ file

The command line, Python, HTTP and batch build a Request and call this.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import unstill
from unstill.artifacts import Clip, Draw, Frames, Latents, Plan, PreparedImage, Progress, Report, Step, Watch
from unstill.check import check
from unstill.decode import decode
from unstill.engine import Engine, Load
from unstill.engine.memory_errors import explain_memory
from unstill.errors import Cancelled, ResultError, WriteError
from unstill.finish import count_frames
from unstill.ladder import Ladder
from unstill.memory.machine import look_at_machine
from unstill.models import Keep, load_engine
from unstill.plan import choose_model, make_plan
from unstill.prepare import Source, prepare
from unstill.request import Request
from unstill.runs import Run, Runs
from unstill.sample import sample
from unstill.takes import choose, is_asked, refuse_confusion
from unstill.write import check_target, write


def ignore(progress: Progress) -> None:
    """Watch nothing."""


def animate(
    picture: Source,
    *,
    out: str | Path | None = None,
    watch: Watch = ignore,
    load: Load = load_engine,
    runs: Runs | None = None,
    **knobs: Any,
) -> Clip:
    """Animate one picture; every knob of `unstill animate --help` is a keyword here."""
    request = Request.from_mapping(knobs)
    return generate(request, picture, None if out is None else Path(out), watch=watch, load=load, runs=runs)


def generate(
    request: Request,
    picture: Source,
    out: Path | None = None,
    *,
    watch: Watch = ignore,
    load: Load = load_engine,
    runs: Runs | None = None,
) -> Clip:
    """Make the clip that the request describes, and write it if `out` says where; `runs` keep steps to go on from.

    Where several clips are asked for, the best is given; those that were not chosen are written beside it.
    """
    if out is not None:
        check_target(out, request)  # a clip that has nowhere to go is not worth an hour
        refuse_replacing(out, picture)
    if not is_asked(request):
        return generate_one(request, picture, out, watch=watch, load=load, runs=runs)
    names = [] if out is None else name_takes(out, request)
    plan, keep = foresee(request, picture)[1], Keep(load)
    keep(plan)  # what is said of a plan when it is loaded is said of the clip's, and not of a draft's

    def make(one: Request, name: str) -> Clip:
        return generate_one(one, picture, watch=lambda progress: watch(replace(progress, of=name)), load=keep)

    clip = choose(request, plan, make)
    if not names:
        return clip
    clock = Clock(watch)
    with clock.stage("write"):
        saved = [replace(one, path=one.save(name)) for one, name in zip((clip, *clip.others), names, strict=False)]
    report = replace(saved[0].report, stages_s={**saved[0].report.stages_s, **clock.stages_s})
    return replace(saved[0], report=report, others=tuple(saved[1:]))


def name_takes(out: Path, request: Request) -> list[Path]:
    """Name the takes: the best as asked, the others by numbers that are free, each checked before any work."""
    names, number = [out], 1
    while len(names) < request.takes:
        number += 1
        name = out.with_stem(f"{out.stem}-{number}")
        if not os.path.lexists(name):
            check_target(name, request)
            names.append(name)
    return names


def generate_one(
    request: Request,
    picture: Source,
    out: Path | None = None,
    *,
    watch: Watch = ignore,
    load: Load = load_engine,
    runs: Runs | None = None,
) -> Clip:
    """Make one clip: the six verbs."""
    return Making(request, picture, out, watch=watch, runs=runs).make(load)


class Making:
    """One clip in the making. To begin with its picture is read and its plan is made; `make` does the rest."""

    def __init__(
        self, request: Request, picture: Source, out: Path | None = None, *, watch: Watch = ignore, runs: Runs | None = None
    ) -> None:
        self.out, self.clock, self.said = out, Clock(watch), list[str]()
        with self.clock.stage("prepare"):
            self.image, self.plan = foresee(request, picture)
            self.run: Run | None = None
            if runs is not None:
                self.plan, self.run = runs.open(self.plan, self.image, request, tell_source(picture, out))
        self.sampling = Sampling(self.image, watch, self.run)

    def make(self, load: Load = load_engine) -> Clip:
        """Sample what is not sampled yet, decode, check, and write the clip if it is known where."""
        try:
            return self._make(load)
        except BaseException:
            self.leave()
            raise

    def _make(self, load: Load) -> Clip:
        clock = self.clock
        with clock.stage("load"):
            ladder = Ladder(self.plan, load)
        engine = ladder.engine
        try:
            with clock.stage("sample"):
                latents = ladder.run("sample", lambda plan: self.sampling.go_on(plan, engine))
            held = {"sample": engine.peak_bytes()}
            pixels, report, draw = finish(ladder, self.image, latents, clock)
            held["decode"] = engine.peak_bytes()
        finally:
            ladder.restore()
        known = {stage: count for stage, count in held.items() if count is not None}
        report = replace(report, stages_s=clock.stages_s, stages_bytes=known, peak_bytes=max(known.values(), default=None),
                         memory=ladder.plan.rung.name, warnings=(*report.warnings, *self.said),
                         together=self.sampling.together)  # fmt: skip
        writer = write if self.run is None else partial(write_and_forget, self.run)
        clip = Clip(pixels, report, write_recipe(self.plan, self.image), self.plan.request, writer, draw=draw)
        if self.out is None:
            return clip
        with clock.stage("write"):
            return replace(clip, path=clip.save(self.out))

    def leave(self) -> None:
        """Let others have the run, with the steps that were kept."""
        if self.run is not None:
            self.run.leave()


def finish(ladder: Ladder, image: PreparedImage, latents: Latents, clock: Clock) -> tuple[Any, Report, Draw | None]:
    """Decode, check and round to 8 bits; what half precision has broken is decoded once more in float32."""
    engine, repairs = ladder.engine, list(latents.repairs)

    def decode_all(plan: Plan) -> Frames:
        return decode(plan, image, latents, engine, clock.watch)

    def decode_wide(plan: Plan) -> Frames:
        with engine.widened():  # inside, so that a step down finds every tensor as it was
            return decode_all(plan)

    with clock.stage("decode"):
        frames = ladder.run("decode", decode_all)
    with clock.stage("check"):
        try:
            report = check(ladder.plan, image, frames)
        except ResultError as error:
            if ladder.plan.dtype == "fp32":
                raise
            frames = ladder.run("decode", decode_wide)
            report = check(ladder.plan, image, frames)
            repairs.append(f"{error.message} in {ladder.plan.dtype}: decoded once more in float32")
        pixels = to_bytes(frames)
    return pixels, replace(report, warnings=(*report.warnings, *repairs, *ladder.said)), frames.draw


def tell_source(picture: Source, out: Path | None) -> dict[str, str | None]:
    """Say where a run's picture is and where its clip goes, as far as that can be said."""
    where = str(Path(picture).resolve()) if isinstance(picture, (str, Path)) and Path(picture).exists() else None
    return {"picture": where, "out": None if out is None else str(out.resolve())}


def write_and_forget(run: Run, clip: Clip, path: Path, request: Request) -> Path:
    """Write, and only then let go of the steps that were kept."""
    path = write(clip, path, request)
    run.finish()
    return path


def refuse_replacing(out: Path, picture: Source) -> None:
    """Refuse to write the clip over the picture that it is made from."""
    if isinstance(picture, (str, Path)) and out.exists() and Path(picture).exists() and out.samefile(picture):
        raise WriteError("The clip would replace the picture itself", hint="give it another name")


def foresee(request: Request, picture: Source) -> tuple[PreparedImage, Plan]:
    """Read the picture and plan the run, without running anything."""
    refuse_confusion(request)
    machine = look_at_machine(request.device)
    files, notes = choose_model(request, machine)
    image = prepare(picture, request)
    plan = make_plan(request, image, files, machine, notes)
    count_frames(plan.frames, plan.request)  # a file that cannot be is not worth an hour either
    return image, plan


class Sampling:
    """The steps of one clip: they go on from the last one that was done, in this run or one that broke off."""

    def __init__(self, image: PreparedImage, watch: Watch = ignore, run: Run | None = None) -> None:
        self.image, self.watch, self.run = image, watch, run
        self.last = None if run is None else run.step
        self.together = 1  # clips that shared a pass of the network
        self._is_kept = True

    def go_on(self, plan: Plan, engine: Engine) -> Latents:
        """Sample to the end, telling the watcher of each step; what breaks off is kept."""
        with self.keeping():
            steps = iter(()) if self.is_over else sample(plan, self.image, engine, resume=self.last)
            for step in steps:
                self.note(step)
                self.tell()
        assert self.last is not None
        engine.wait()  # steps are queued on a GPU: without this their time would count as decoding
        return self.last.latents

    @property
    def is_over(self) -> bool:
        """Say whether all steps are done."""
        return self.last is not None and self.last.number == self.last.total

    def note(self, step: Step) -> None:
        """Take in that a step is done."""
        self.last, self._is_kept = step, self.run is not None and self.run.offer(step)

    def tell(self) -> None:
        """Tell the watcher of the last step; it may stop the clip."""
        assert self.last is not None
        self.watch(Progress("sample", self.last.number, self.last.total, self.last))

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep the last step where sampling breaks off."""
        try:
            yield
        except BaseException as error:
            self._keep(error)
            raise

    def _keep(self, error: BaseException) -> None:
        if self.run is None or self.last is None:
            return
        if not self._is_kept:
            self.run.keep(self.last)
            self._is_kept = True
        if isinstance(error, Cancelled):
            error.hint = self.run.trouble or f"the same command goes on after step {self.last.number}"


def to_bytes(frames: Frames) -> Any:
    """Round frames to 8 bits, [F, H, W, 3]."""
    return (frames.values_FCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def write_recipe(plan: Plan, image: PreparedImage) -> dict[str, Any]:
    """Say how the clip was made, so that it can be made again; never a path."""
    knobs = plan.request.replace(model=plan.model.name).to_dict()
    model = {"name": plan.model.name, "revision": plan.model.revision, "sha256": dict(plan.model.sha256)}
    return {
        "unstill": unstill.__version__,
        "knobs": knobs,
        "model": model,
        "picture_sha256": image.sha256,
        "engine": plan.engine,
        "torch": torch.__version__,
    }


class Clock:
    """Time the stages and announce them."""

    def __init__(self, watch: Watch) -> None:
        self.stages_s: dict[str, float] = {}
        self.watch = watch

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage, run it, and note its seconds."""
        self.watch(Progress(name, 0, 1))
        start = time.perf_counter()
        with explain_memory(name):
            yield
        self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Note seconds of a stage, which may come in parts."""
        self.stages_s[name] = round(self.stages_s.get(name, 0.0) + seconds, 3)
