"""What is said of a plan and of a finished clip, for people and as JSON.

It does not know how they come about.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstill.cli import output
from unstill.cli.output import show_bytes, show_seconds

if TYPE_CHECKING:
    from rich.table import Table

    from unstill.artifacts import Clip, Plan, PreparedImage, Rung, Try
    from unstill.request import Request

VERBS = {
    "start": "starting",
    "prepare": "reading",
    "load": "loading",
    "sample": "sampling",
    "decode": "decoding",
    "check": "checking",
    "write": "writing",
    "measure": "measuring",
    "search": "drafts and other takes",
}
WORTH_SAYING = 0.01  # of the whole time; a shorter stage is left out of the line that says where it went


@dataclass(frozen=True)
class Manner:
    """How a run is talked about."""

    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    dry_run: bool = False

    @property
    def warns(self) -> bool:
        return not (self.as_json or self.quiet)


def tell(clip: Clip, manner: Manner, took_s: float, *, told: Sequence[str]) -> None:
    """Say where the clip is, what it is, and where the time went; of its warnings those that were not told yet."""
    if manner.as_json:
        others = [other.path for other in clip.others]
        answer = {"path": clip.path, "others": others, "knobs": clip.request.to_dict(), "report": clip.report.to_dict()}
        answer["recipe"] = clip.recipe
        output.answer_json({**answer, "warnings": clip.report.warnings})
    elif clip.path is not None:
        output.answer(str(clip.path))
    if manner.warns:
        output.warn(*(warning for warning in clip.report.warnings if warning not in told))
        for one in clip.report.tried if len(clip.report.tried) > 1 else ():
            output.say(describe_try(one), style="dim")
        if clip.others:
            output.say(f"other takes, the better first: {', '.join(str(other.path) for other in clip.others)}", style="dim")
        if clip.report.moves:
            output.say(clip.report.moves)
        if sys.stderr.isatty():
            output.say(describe_clip(clip))
            output.say(describe_time(clip.report.stages_s, took_s), style="dim")
    if manner.debug:
        for line in describe_run(clip, took_s):
            output.say(line, style="dim")


def tell_before(plan: Plan) -> None:
    """Say what was decided, and what to expect, before anything runs."""
    for note in plan.notes:
        output.say(note, style="dim")
    output.warn(*plan.warnings)


def describe_clip(clip: Clip) -> str:
    """Say in one line what was written."""
    request = clip.request
    parts = [describe_length(clip.report.frames, request), str(clip.report.size)]
    parts += [show_bytes(measure(clip.path))] if clip.path is not None else []
    return ", ".join([*parts, f"seed {request.seed}"])


def describe_try(one: Try) -> str:
    """Say in one line what was tried, and what came of it."""
    faults = f", {', '.join(one.faults)}" if one.faults else ""
    return f"{one.kind}: motion {one.motion}, noise {one.noise:g}, seed {one.seed} gave {one.motion_px:.2f} px/frame{faults}"


def describe_length(frames: int, request: Request) -> str:
    """Say how long the file of a clip of so many frames is."""
    from unstill.finish import count_frames

    count, fps = count_frames(frames, request)
    return f"{count} frames, {count / fps:.1f} s at {fps:g} fps"


def measure(path: Path) -> int:
    """Count the bytes of a file, or of the files in a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def describe_time(stages_s: Any, took_s: float) -> str:
    """Say in one line where the time went, the longest first."""
    rest = {"start": took_s - sum(stages_s.values())}  # of it torch takes the most
    stages = sorted({**rest, **stages_s}.items(), key=lambda stage: -stage[1])
    least_s = max(0.05, WORTH_SAYING * took_s)
    parts = [f"{VERBS.get(name, name)} {show_seconds(s)}" for name, s in stages if s >= least_s]
    return f"{show_seconds(took_s)} in all: " + ", ".join(parts)


def describe_run(clip: Clip, took_s: float) -> list[str]:
    """Say line by line how the run went."""
    report = clip.report
    lines = [f"{name:<8} {s:9.3f} s  {s / took_s:4.0%}" for name, s in report.stages_s.items()]
    lines.append(f"{'all':<8} {took_s:9.3f} s")
    lines.append(f"device {report.device}, {report.dtype}, engine {report.engine}, peak memory {show_bytes(report.peak_bytes)}")
    if report.stages_bytes and report.device != "cpu":
        held = ", ".join(f"{name} {show_bytes(count)}" for name, count in report.stages_bytes.items())
        lines.append(f"memory {report.memory}, held while: {held}")
    lines.append(
        f"change between frames {report.mean_change:g} grey levels, first frame {report.fidelity_db:g} dB from the picture"
    )
    return lines


def tell_plan(
    image: PreparedImage, plan: Plan, out: str, manner: Manner, *, is_drawn: bool = False, before: Sequence[str] = ()
) -> None:
    """Say what a run would do; a seed that `is_drawn` would be another one then."""
    seed = "a seed drawn at random" if is_drawn else f"seed {plan.seed}"
    if manner.as_json:
        path = None if out == "-" else out
        answer = {"path": path, "plan": plan_to_dict(image, plan, is_drawn), "warnings": [*before, *plan.warnings]}
        output.answer_json(answer)
        return
    table = output.new_table("", "")
    for name, value in describe_plan(image, plan, out, seed):
        table.add_row(name, output.escape(value))
    output.print_parts(table)
    if plan.rung.peak_bytes is not None:
        output.print_parts("", list_ways(plan))
    if manner.warns:
        tell_before(plan)


def plan_to_dict(image: PreparedImage, plan: Plan, is_drawn: bool) -> dict[str, Any]:
    """Give a plan as JSON values, without the places of files."""
    from unstill.memory.pace import estimate_s

    model = {key: getattr(plan.model, key) for key in ("name", "family", "layout", "revision", "licence")}
    return {
        "picture": {"size": str(image.original), "sha256": image.sha256, "notes": image.notes},
        "model": {**model, "weights_bytes": plan.weights_bytes},
        "device": plan.device,
        "dtype": plan.dtype,
        "engine": plan.engine,
        "memory": {"taken": plan.rung.name, "budget_bytes": plan.budget_bytes, "ways": [asdict(rung) for rung in ways(plan)]},
        "about_s": estimate_s(plan) if plan.rung.peak_bytes is not None else None,
        "notes": plan.notes,
        "size": str(plan.size),
        "clip_size": str(plan.clip_size),
        "knobs": {name: value for name, value in plan.request.to_dict().items() if not (is_drawn and name == "seed")},
    }


def ways(plan: Plan) -> list[Rung]:
    """List every way to hold the model in memory, the fastest first."""
    return [*plan.higher, plan.rung, *plan.lower]


def list_ways(plan: Plan) -> Table:
    """Show what every way would need, stage by stage, and which one is taken."""
    from unstill.memory.rungs import describe, fits

    stages = list(plan.rung.stages)
    table = output.new_table("memory", "needs", *stages, "how", "")
    for rung in ways(plan):
        enough = plan.budget_bytes is None or fits(rung, plan.budget_bytes)
        mark = "taken" if rung is plan.rung else "" if enough else "does not fit"
        counts = [show_bytes(rung.stages[stage]) for stage in stages]
        table.add_row(rung.name, show_bytes(rung.peak_bytes), *counts, describe(rung, plan.frames), mark)
    return table


def describe_memory(plan: Plan) -> str:
    """Say which way is taken, and what it needs of what there is."""
    of = "" if plan.budget_bytes is None else f" of {show_bytes(plan.budget_bytes)}"
    return f"{plan.rung.name}, {show_bytes(plan.rung.peak_bytes)}{of}"


def describe_wait(plan: Plan) -> str:
    """Say about how long it takes."""
    from unstill.memory.pace import estimate_s

    return f"about {show_about(estimate_s(plan))}, and some seconds for loading"


def show_about(seconds: float) -> str:
    """Write a time that is not known better than by its first figures."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe_chunk(plan: Plan) -> str:
    """Say how many frames are made at once."""
    if plan.engine == "motion":
        return "one frame at a time"
    if plan.decode_chunk >= plan.frames:
        return "all frames at once"
    many = "1 frame" if plan.decode_chunk == 1 else f"{plan.decode_chunk} frames"
    return f"layer by layer, {many} at a time" + (f", {plan.rung.parked} wait in host memory" if plan.rung.parked else "")


def describe_told(request: Request) -> str:
    """Say what the camera and the points of the picture are told, if anything."""
    camera = f", camera {request.camera}" if request.camera != "auto" else ""
    return camera + (f", move {request.move}" if request.move is not None else "")


def describe_levels(request: Request) -> str:
    """Say which noise levels the steps have, if not the model's own."""
    return f" of {request.steps_schedule}" if request.steps_schedule != "karras" else ""


def describe_plan(image: PreparedImage, plan: Plan, out: str, seed: str) -> list[tuple[str, str]]:
    """Say row by row what a run would do."""
    from unstill.takes import describe_search, is_asked

    r = plan.request
    size = str(plan.clip_size) if plan.size == plan.clip_size else f"{plan.clip_size}, worked on at {plan.size}"
    revision = f", revision {plan.model.revision[:12]}" if plan.model.revision else ""
    return [
        ("picture", "; ".join([str(image.original), *image.notes])),
        ("model", f"{plan.model.name}, {show_bytes(plan.weights_bytes)} of weights in {plan.dtype}{revision}"),
        ("clip", f"{size}, {describe_length(plan.frames, r)}"),
        ("motion", f"motion {r.motion}, noise {r.noise:g}, fps {r.fps}{describe_told(r)}, {seed}"),
        *([("search", describe_search(r, plan))] if is_asked(r) else []),
        ("sampling", f"{plan.steps} steps{describe_levels(r)}, guidance {r.guidance}, {r.guidance_shape}"),
        ("decoding", describe_chunk(plan)),
        ("runs on", f"{plan.device}, engine {plan.engine}" + (", offloaded" if r.offload else "")),
        *([] if plan.rung.peak_bytes is None else [("memory", describe_memory(plan)), ("takes", describe_wait(plan))]),
        ("file", "standard output" if out == "-" else out),
    ]
