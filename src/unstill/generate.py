"""The whole product: six verbs in order.

    picture ─▶ prepare ─▶ plan ─▶ sample ─▶ decode ─▶ check ─▶ write ─▶ file

The command line, Python, HTTP and batch build a Request and call this.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import unstill
from unstill.artifacts import Clip, Frames, Latents, Plan, PreparedImage, Progress, Watch
from unstill.check import check
from unstill.decode import decode
from unstill.engine import Engine, Load, load_engine
from unstill.engine.memory_errors import explain_memory
from unstill.errors import WriteError
from unstill.plan import choose_model, look_at_machine, make_plan
from unstill.prepare import Source, prepare
from unstill.request import Request
from unstill.sample import sample
from unstill.write import check_target, write


def ignore(progress: Progress) -> None:
    """Watch nothing."""


def animate(
    picture: Source, *, out: str | Path | None = None, watch: Watch = ignore, load: Load = load_engine, **knobs: Any
) -> Clip:
    """Animate one picture; every knob of `unstill animate --help` is a keyword here."""
    return generate(Request.from_mapping(knobs), picture, None if out is None else Path(out), watch=watch, load=load)


def generate(
    request: Request, picture: Source, out: Path | None = None, *, watch: Watch = ignore, load: Load = load_engine
) -> Clip:
    """Make the clip that the request describes, and write it if `out` says where."""
    if out is not None:
        check_target(out, request)  # a clip that has nowhere to go is not worth an hour
        refuse_replacing(out, picture)
    clock = Clock(watch)
    with clock.stage("prepare"):
        image, plan = foresee(request, picture)
    with clock.stage("load"):
        engine = load(plan)
    with clock.stage("sample"):
        latents = run_steps(plan, image, engine, watch)
    with clock.stage("decode"):
        frames = decode(plan, image, latents, engine, watch)
    with clock.stage("check"):
        report = check(plan, image, frames)
    report = replace(report, stages_s=clock.stages_s, peak_bytes=engine.peak_bytes())
    clip = Clip(to_bytes(frames), report, write_recipe(plan, image), plan.request, write)
    if out is None:
        return clip
    with clock.stage("write"):
        return replace(clip, path=clip.save(out))


def refuse_replacing(out: Path, picture: Source) -> None:
    """Refuse to write the clip over the picture that it is made from."""
    if isinstance(picture, (str, Path)) and out.exists() and Path(picture).exists() and out.samefile(picture):
        raise WriteError("The clip would replace the picture itself", hint="give it another name")


def foresee(request: Request, picture: Source) -> tuple[PreparedImage, Plan]:
    """Read the picture and plan the run, without running anything."""
    machine = look_at_machine(request.device)
    files, notes = choose_model(request, machine)
    image = prepare(picture, request)
    return image, make_plan(request, image, files, machine, notes)


def run_steps(plan: Plan, image: PreparedImage, engine: Engine, watch: Watch) -> Latents:
    """Sample to the end, telling the watcher of each step."""
    latents = None
    for step in sample(plan, image, engine):
        watch(Progress("sample", step.number, step.total, step))
        latents = step.latents
    assert latents is not None
    engine.wait()  # steps are queued on a GPU: without this their time would count as decoding
    return latents


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
        self._watch = watch

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage, run it, and note its seconds."""
        self._watch(Progress(name, 0, 1))
        start = time.perf_counter()
        with explain_memory(name):
            yield
        self.stages_s[name] = round(time.perf_counter() - start, 3)
