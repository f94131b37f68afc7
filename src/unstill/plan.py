"""Request, image, model and machine become a Plan: every number resolved, every risk said.

It does not run anything.
"""

from __future__ import annotations

import math
import secrets

from unstill.advice import advise
from unstill.artifacts import ModelFiles, Plan, PreparedImage, Rung
from unstill.catalog.find import find_model
from unstill.catalog.layout import Variant
from unstill.errors import MachineError, ModelError, RequestError
from unstill.kernels.gate import try_kernel
from unstill.measure.picture import Looks, look
from unstill.measure.risks import list_risks
from unstill.memory.machine import Machine
from unstill.memory.need import BYTES, Work, count_branches
from unstill.memory.rungs import ASIDE_BYTES, MOST_SMALL_TOGETHER, count_together, find_place, fits, list_rungs, suggest
from unstill.model.weights import read_header
from unstill.models.pocket.advice import advise_pocket, settle_camera
from unstill.request import BUNDLED, DEFAULTS, Request, settle
from unstill.values import Size

PREFERRED = "svd-xt"
PREFERRED_BYTES = 3_500_000_000  # 25 frames of 1024x576 in the smallest way, and what a desktop takes
AT_ONCE_PX = 1024 * 576  # decoded at once: about 1.5 GB beside the clip in half precision
WHOLE_PX = 2 * AT_ONCE_PX  # clips up to here are decoded whole, bit for bit as diffusers does: 2.5 GB in half precision


def choose_model(request: Request, machine: Machine) -> tuple[ModelFiles, tuple[str, ...]]:
    """Find the model that is asked for; with auto svd-xt where it is here and fits, else the bundled one, and why."""
    dtype = machine.dtypes[0] if request.dtype == "auto" else request.dtype
    prefer: Variant = "fp32" if dtype == "fp32" else "fp16"
    if request.model != "auto":
        return find_model(request.model, prefer=prefer), ()
    if any(getattr(request, name) != DEFAULTS[name] for name in ("camera", "scene", "move")) or request.loop == "seamless":
        return find_model(BUNDLED), (f"model {BUNDLED}: the others cannot be told how camera and scene move",)
    try:
        files = find_model(PREFERRED, prefer=prefer)
    except ModelError:
        how = f"`unstill pull {PREFERRED}` fetches {PREFERRED}, which needs a GPU"
        return find_model(BUNDLED), (f"model {BUNDLED}: it moves the picture's own pixels; {how}",)
    if machine.device == "cpu":
        why = f"{PREFERRED} is here but would take hours on a CPU"
        return find_model(BUNDLED), (f"model {BUNDLED}: {why}; --model {PREFERRED} takes it all the same",)
    if machine.total_bytes is not None and machine.total_bytes < PREFERRED_BYTES:
        why = f"{PREFERRED} needs a GPU with {PREFERRED_BYTES / 1e9:.1f} GB"
        return find_model(BUNDLED), (f"model {BUNDLED}: {why}; --model {PREFERRED} takes it all the same",)
    return files, ()


def make_plan(request: Request, image: PreparedImage, files: ModelFiles, machine: Machine, notes: tuple[str, ...] = ()) -> Plan:
    """Resolve everything the request leaves open."""
    is_bundled = files.layout == "bundled"
    refuse_foreign(request, files)
    looks, asked = look(image.source_HWC) if request.look else None, request
    if is_bundled and request.camera == "auto":
        request, because = settle_camera(image, request, looks)
        notes = (*notes, f"camera {request.camera}: {because}")
    settled = settle(request, files.family, files.frames)
    auto = "fp32" if is_bundled else machine.dtypes[0]
    dtype = auto if settled.dtype == "auto" else settled.dtype
    if dtype not in machine.dtypes:
        raise MachineError(f"{machine.name} cannot run {dtype}", hint=f"--dtype {machine.dtypes[0]}")
    engine, why = choose_engine(settled, files, machine)
    seed = secrets.randbelow(2**32) if settled.seed is None else settled.seed
    settled = settled.replace(seed=seed, device=machine.device, dtype=dtype, size=request.size or image.size)
    first = Rung("fast", choose_chunk(settled, image.size), swaps=settled.offload and machine.is_apart,
                 forward_chunk=settled.forward_chunk)  # fmt: skip
    rungs, said, place, budget = [first], _warn(settled, files, machine, image, looks, asked=asked), 0, None
    together = MOST_SMALL_TOGETHER if machine.is_apart else 1
    if not is_bundled:
        assert settled.frames is not None
        branches, upcasts = count_branches(settled), dtype == "fp16"
        work = Work(image.size, settled.frames, branches, BYTES[dtype], engine, machine.is_apart, upcasts=upcasts)
        budget = find_budget(settled, machine)
        rungs = list_rungs(files, work, first, budget, is_apart=machine.is_apart, host_bytes=machine.host_bytes)
        place = choose_rung(rungs, settled, budget)
        said += warn_of_memory(rungs[place], files, work, budget, machine)
        together = count_together(files, work, rungs[place], budget)
    return Plan(
        request=settled,
        model=files,
        size=image.size,
        clip_size=image.content.size,
        device=machine.device,
        dtype=dtype,
        engine=engine,
        weights_bytes=count_weights(files) * BYTES[dtype],
        rung=rungs[place],
        lower=tuple(rungs[place + 1 :]),
        higher=tuple(rungs[:place]),
        budget_bytes=budget,
        together=together,
        warnings=tuple(said),
        notes=notes + why,
    )


def find_budget(settled: Request, machine: Machine) -> int | None:
    """Give the device memory that may be used."""
    known = [bytes_ for bytes_ in (settled.max_memory, machine.free_bytes) if bytes_ is not None]
    return min(known, default=None)


def choose_rung(rungs: list[Rung], settled: Request, budget_bytes: int | None) -> int:
    """Give the place of the rung that is asked for; with auto of the fastest that fits, else of the smallest."""
    if settled.memory == "auto":
        fitting = [budget_bytes is None or fits(rung, budget_bytes) for rung in rungs]
        return fitting.index(True) if any(fitting) else len(rungs) - 1
    return find_place(rungs, settled.memory, settled.max_memory)  # who asks for tiny alone wants the smallest


def warn_of_memory(rung: Rung, files: ModelFiles, work: Work, budget_bytes: int | None, machine: Machine) -> list[str]:
    """Say that the clip does not fit, and what would."""
    said = ["weights wait on disk, as host memory is short: every step is as slow as the disk"] if rung.on_disk else []
    if budget_bytes is None or rung.peak_bytes is None or fits(rung, budget_bytes):
        return said
    need, have = (f"{count / 1e9:.1f} GB" for count in (rung.peak_bytes + ASIDE_BYTES, budget_bytes))
    what = f"memory {rung.name} needs {need}, and {have} may be used on {machine.name}"
    return [*said, f"{what}: {suggest(files, work, rung, budget_bytes, is_apart=machine.is_apart)}"]


def choose_engine(settled: Request, files: ModelFiles, machine: Machine) -> tuple[str, tuple[str, ...]]:
    """Choose how the networks are run, and say why it is not the fast way where one might expect it."""
    if files.layout == "bundled":
        if settled.engine != "auto":
            raise RequestError(f"{files.name} has one engine, its own", hint="leave engine unset")
        return "motion", ()
    if settled.engine == "reference":
        return "reference", ()
    obstacle = find_obstacle(settled, machine)
    if obstacle is None:
        return "fast", ()
    if settled.engine == "auto":
        return "reference", (f"engine reference: {obstacle}",) if machine.device.startswith("cuda") else ()
    if machine.device == "cpu" and settled.forward_chunk is None:
        return "fast", ("engine fast on a CPU: the same frames, but its kernels are for NVIDIA GPUs",)
    raise MachineError(f"The fast engine cannot run: {obstacle}", hint="--engine reference makes the same frames")


def find_obstacle(settled: Request, machine: Machine) -> str | None:
    """Say what the fast engine lacks here, if anything."""
    if settled.forward_chunk is not None:
        return "forward-chunk is for the reference engine"
    if not machine.device.startswith("cuda"):
        return "its kernels are for NVIDIA GPUs"
    if "bf16" not in machine.dtypes:
        return f"{machine.name} is older than what its kernels were written for"
    return try_kernel(machine.device)


def choose_chunk(settled: Request, size: Size) -> int:
    """Say how many frames are decoded at once: those asked for, else all of a small clip and few of a large one."""
    assert settled.frames is not None
    if settled.decode_chunk is not None:
        return min(settled.decode_chunk, settled.frames)
    if settled.frames * size.area_px <= WHOLE_PX:
        return settled.frames
    return min(settled.frames, max(1, AT_ONCE_PX // size.area_px))


def refuse_foreign(request: Request, files: ModelFiles) -> None:
    """Refuse what the model cannot be told."""
    if files.layout == "bundled":
        if request.dtype not in ("auto", "fp32"):
            raise RequestError(f"{files.name} runs in fp32: it is small", hint="leave dtype unset")
        if request.steps_schedule != "karras":
            raise RequestError(f"The levels of {request.steps_schedule} were made for SVD, not for {files.name}",
                               hint="leave steps-schedule unset")  # fmt: skip
        return
    problems = [
        f"{files.name} has no {name}" for name in ("camera", "scene", "move") if getattr(request, name) != DEFAULTS[name]
    ]
    problems += [f"{files.name} has no seamless loop"] if request.loop == "seamless" else []
    if problems:
        raise RequestError(problems, hint=f"--model {BUNDLED} has: it comes with unstill")


def count_weights(files: ModelFiles) -> int:
    """Count the parameters in the files, from their headers."""
    paths = [path for part in files.weights.values() for path in part]
    return sum(math.prod(shape) for path in paths for _, shape in read_header(path).values())


def foresee_risks(image: PreparedImage, looks: Looks, *, invents: bool) -> list[str]:
    """Return what to expect of what the clip will show of the picture."""
    source = Size(image.source_HWC.shape[1], image.source_HWC.shape[0])
    kept = source.area_px / image.original.area_px
    box = image.content
    enlarged = math.sqrt(box.width * box.height / source.area_px)
    return list_risks(looks, kept, enlarged, invents=invents)


def _warn(
    settled: Request, files: ModelFiles, machine: Machine, image: PreparedImage, looks: Looks | None, *, asked: Request
) -> list[str]:
    """Return what to expect of these settings on this machine."""
    bundled, as_asked = files.layout == "bundled", settled.replace(size=asked.size)
    said = advise_pocket(as_asked) if bundled else advise(as_asked, files.frames)
    said += [] if looks is None else foresee_risks(image, looks, invents=not bundled)
    if bundled:
        return said
    if machine.device == "cpu" and settled.dtype == "fp16":
        said.append("fp16 on a CPU is slower than fp32 and no more exact")
    return said
