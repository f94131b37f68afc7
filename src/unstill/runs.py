"""A run that broke off can go on: the latents of its last step lie in a folder until the clip is written.

    <root>/<what shapes the clip>-<seed>/run.json            what was asked, and of which picture
    <root>/<what shapes the clip>-<seed>/step.safetensors    latents after so many steps

Noise comes from the seed and the picture is encoded anew, so latents and the number of steps are all that is needed. What
only decides where and how the networks run is not part of the name: a run may go on with less memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from unstill.artifacts import Latents, Plan, PreparedImage, Step
from unstill.disk import hold, write_whole
from unstill.request import KNOBS, Request

SHAPING = ("motion", "sampling", "picture")  # groups of knobs that the latents depend on; and the dtype
KEEP_EVERY_S = 10.0
KEEP_DAYS = 7
VARIABLE = "UNSTILL_RUNS"


@dataclass(frozen=True)
class Kept:
    """A run that broke off."""

    folder: Path
    seed: int
    picture: str | None  # where it was read from, if it was a file
    out: str | None
    knobs: dict[str, Any]
    done: int
    steps: int
    kept_at: float  # seconds since 1970

    def remove(self) -> None:
        """Forget it, unless another process is at it."""
        lock = hold(self.folder)
        if lock is not None:
            Run(self.folder, lock, 0).finish()


class Run:
    """The folder of the run that is under way; other processes keep away from it."""

    def __init__(self, folder: Path, lock: IO[str] | None, every_s: float) -> None:
        self.folder, self._lock, self._every_s = folder, lock, every_s
        self._kept_at = time.monotonic()
        self.step = read_step(folder)
        self.trouble: str | None = None  # why the last step is not kept

    def offer(self, step: Step) -> bool:
        """Keep a step if the last one was kept some time ago, or if it ends the sampling; say whether it was."""
        is_due = step.number == step.total or time.monotonic() - self._kept_at >= self._every_s
        if is_due:
            self.keep(step)
        return is_due

    def keep(self, step: Step) -> None:
        """Write a step aside, then put it in the place of the one before."""
        told = {"number": str(step.number), "total": str(step.total), "sigma": repr(step.sigma)}
        data = save({"latents": step.latents.values_BFCHW.cpu().contiguous()}, told)
        self._kept_at = time.monotonic()
        try:
            write_whole(self.folder / "step.safetensors", data)
            self.trouble = None
        except OSError as error:  # a full disk must not end a run that has what it needs in memory
            self.trouble = f"step {step.number} could not be kept: {error.strerror or error}"

    def finish(self) -> None:
        """The clip is where it belongs: nothing more is needed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.leave()

    def leave(self) -> None:
        """Let others have the folder; an empty one is removed."""
        if not (self.folder / "step.safetensors").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            with suppress(OSError):
                Path(self._lock.name).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


class Runs:
    """The runs that are kept on this machine."""

    def __init__(self, root: Path | None = None, every_s: float = KEEP_EVERY_S) -> None:
        self.root, self.every_s = root or find_root(), every_s

    def __iter__(self) -> Iterator[Kept]:
        """Give the runs that broke off, the last one first."""
        found = [kept for folder in self.root.glob("*-*") if folder.is_dir() and (kept := read_kept(folder)) is not None]
        return iter(sorted(found, key=lambda kept: -kept.kept_at))

    def open(self, plan: Plan, image: PreparedImage, request: Request, told: dict[str, str | None]) -> tuple[Plan, Run | None]:
        """Find the run that this one goes on, or begin one; nothing where another process is at the same.

        Where no seed was asked for, the seed is that of the run that broke off. `told` are picture and out.
        """
        try:
            self._sweep()
            key, seeds = describe_clip(plan, image), [plan.seed]
            if request.seed is None:
                seeds = [kept.seed for kept in self if kept.folder.name.startswith(f"{key}-")] + seeds
            for seed in dict.fromkeys(seeds):
                run = self._take(self.root / f"{key}-{seed}")
                if run is not None:
                    knobs = {**request.to_dict(), "seed": seed}
                    record = {"knobs": knobs, "seed": seed, "steps": plan.steps, **told}
                    write_whole(run.folder / "run.json", json.dumps(record, indent=1).encode())
                    return _with_run(plan, seed, run), run
        except OSError as error:
            return replace(
                plan, notes=(*plan.notes, f"this run cannot be kept in {self.root}: {error.strerror or error}")
            ), None
        return plan, None

    def _take(self, folder: Path) -> Run | None:
        folder.mkdir(parents=True, exist_ok=True)
        lock = hold(folder)
        if lock is None:
            return None
        folder.mkdir(exist_ok=True)  # whoever had it may have finished meanwhile
        return Run(folder, lock, self.every_s)

    def _sweep(self) -> None:
        """Remove what broke off long ago."""
        for kept in self:
            if time.time() - kept.kept_at > KEEP_DAYS * 86_400:
                kept.remove()


def _with_run(plan: Plan, seed: int, run: Run) -> Plan:
    """Give the plan the run's seed, and say where it goes on."""
    plan = replace(plan, request=plan.request.replace(seed=seed))
    if run.step is None:
        return plan
    note = f"going on after step {run.step.number} of {run.step.total}, which an earlier run kept; seed {seed}"
    return replace(plan, notes=(*plan.notes, note))


def describe_clip(plan: Plan, image: PreparedImage) -> str:
    """Name what shapes the latents, but for the seed."""
    settled = plan.request.to_dict()
    knobs = {name: settled.get(name) for name, knob in KNOBS.items() if knob.group in SHAPING and name != "seed"}
    model = [plan.model.name, plan.model.revision, sorted(plan.model.sha256.items())]
    text = json.dumps([image.sha256, model, plan.dtype, str(plan.size), knobs], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_root() -> Path:
    """Give the place for kept runs: the one that is named, else the system's for caches."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("unstill", appauthor=False) / "runs"


def read_kept(folder: Path) -> Kept | None:
    """Read what is known of a run, if it has a step to go on from."""
    step = folder / "step.safetensors"
    try:
        told = json.loads((folder / "run.json").read_bytes())
        with safe_open(step, "pt") as file:
            done = int(file.metadata()["number"])
        return Kept(
            folder, told["seed"], told["picture"], told["out"], told["knobs"], done, told["steps"], step.stat().st_mtime
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def read_step(folder: Path) -> Step | None:
    """Read the step that was kept; what cannot be read was not kept."""
    try:
        with safe_open(folder / "step.safetensors", "pt") as file:
            told, values = file.metadata(), file.get_tensor("latents")
    except (OSError, SafetensorError):
        return None
    if not bool(values.isfinite().all()):
        return None
    return Step(int(told["number"]), int(told["total"]), float(told["sigma"]), Latents(values), values)
