"""Request, image, model and machine become a Plan: every number resolved, every risk said.

It does not run anything.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from pathlib import Path

import torch

from unstill.advice import advise
from unstill.artifacts import ModelFiles, Plan, PreparedImage
from unstill.catalog.find import find_model
from unstill.catalog.layout import Variant
from unstill.errors import MachineError, ModelError, RequestError
from unstill.kernels.gate import try_kernel
from unstill.model.weights import read_header
from unstill.request import BUNDLED, DEFAULTS, Request, settle
from unstill.values import Size

PREFERRED = "svd-xt"
PREFERRED_BYTES = 15_000_000_000  # a step at 25 frames of 1024x576 peaks at 10.8 GB beside 1.5 GB of the other parts
AT_ONCE_PX = 1024 * 576  # decoded at once: about 1.5 GB beside the clip in half precision
DECODED = 128  # channels of the decoder's widest activation, that of a frame's full size
BESIDE_BYTES = 2_000_000_000  # what is at work beside it; 1.2 GB measured on one H200
WHOLE_PX = 2 * AT_ONCE_PX  # clips up to here are decoded whole, bit for bit as diffusers does: 2.5 GB in half precision
BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}


@dataclass(frozen=True)
class Machine:
    """The device that would run, and what it has."""

    device: str
    name: str
    total_bytes: int | None
    free_bytes: int | None
    dtypes: tuple[str, ...]  # what it can run, the best first


def look_at_machine(device: str = "auto") -> Machine:
    """Find the device: the one asked for, or the best there is."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device.startswith("cuda"):
        return _look_at_cuda(device)
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise MachineError("No Apple GPU can be used here", hint="--device auto takes the best device there is")
        total = torch.mps.recommended_max_memory()
        return Machine("mps", "Apple GPU", total, total - torch.mps.driver_allocated_memory(), ("fp16", "fp32"))
    return Machine("cpu", "CPU", *_host_memory(), ("fp32", "bf16", "fp16"))


def _look_at_cuda(device: str) -> Machine:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        found = "no CUDA GPU can be used here" if count == 0 else f"there are {count} GPUs, numbered from 0"
        raise MachineError(
            f"No device {device}: {found}", hint="`unstill doctor` says why; --device auto takes the best there is"
        )
    free, total = torch.cuda.mem_get_info(index)
    dtypes = ("fp16", "bf16", "fp32") if torch.cuda.get_device_capability(index) >= (8, 0) else ("fp16", "fp32")
    return Machine(f"cuda:{index}", torch.cuda.get_device_name(index), total, free, dtypes)


def _host_memory() -> tuple[int | None, int | None]:
    """Return total and available host memory, where the system tells."""
    try:
        with Path("/proc/meminfo").open() as lines:
            kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    except OSError:
        return None, None  # not Linux
    return kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024


def choose_model(request: Request, machine: Machine) -> tuple[ModelFiles, tuple[str, ...]]:
    """Find the model that is asked for; with auto svd-xt where it is here and fits, else the bundled one, and why."""
    dtype = machine.dtypes[0] if request.dtype == "auto" else request.dtype
    prefer: Variant = "fp32" if dtype == "fp32" else "fp16"
    if request.model != "auto":
        return find_model(request.model, prefer=prefer), ()
    if request.camera != "auto" or request.move is not None:
        return find_model(BUNDLED), (f"model {BUNDLED}: it can be told how the camera moves",)
    try:
        files = find_model(PREFERRED, prefer=prefer)
    except ModelError:
        how = f"`unstill pull {PREFERRED}` fetches {PREFERRED}, which needs a GPU"
        return find_model(BUNDLED), (f"model {BUNDLED}: it moves the picture's own pixels; {how}",)
    if machine.device == "cpu":
        why = f"{PREFERRED} is here but would take hours on a CPU"
        return find_model(BUNDLED), (f"model {BUNDLED}: {why}; --model {PREFERRED} takes it all the same",)
    if machine.total_bytes is not None and machine.total_bytes < PREFERRED_BYTES:
        lean = f"--model {PREFERRED} --offload"
        return find_model(BUNDLED), (f"model {BUNDLED}: {PREFERRED} needs 13 GB at once; {lean} needs 11 GB",)
    return files, ()


def make_plan(request: Request, image: PreparedImage, files: ModelFiles, machine: Machine, notes: tuple[str, ...] = ()) -> Plan:
    """Resolve everything the request leaves open."""
    settled = settle(request, files.family, files.frames)
    is_bundled = files.layout == "bundled"
    refuse_foreign(request, files)
    auto = "fp32" if is_bundled else machine.dtypes[0]
    dtype = auto if settled.dtype == "auto" else settled.dtype
    if dtype not in machine.dtypes:
        raise MachineError(f"{machine.name} cannot run {dtype}", hint=f"--dtype {machine.dtypes[0]}")
    parks = is_short(settled, image.size, machine, BYTES[dtype])
    engine, why = choose_engine(settled, files, machine, parks=parks)
    seed = secrets.randbelow(2**32) if settled.seed is None else settled.seed
    settled = settled.replace(seed=seed, device=machine.device, dtype=dtype, size=request.size or image.size)
    return Plan(
        request=settled,
        model=files,
        size=image.size,
        clip_size=image.content.size,
        device=machine.device,
        dtype=dtype,
        engine=engine,
        weights_bytes=count_weights(files) * BYTES[dtype],
        decode_chunk=choose_chunk(settled, image.size),
        parks=parks,
        warnings=tuple(_warn(settled, files, machine, asked=request)),
        notes=notes + why,
    )


def is_short(settled: Request, size: Size, machine: Machine, bytes_each: int) -> bool:
    """Say whether a clip's activations must wait in host memory while it is decoded: slow, so for the smallest GPUs alone."""
    if not (machine.device.startswith("cuda") and settled.offload and settled.frames and machine.total_bytes):
        return False
    return settled.frames * size.area_px * DECODED * bytes_each + BESIDE_BYTES > machine.total_bytes


def choose_engine(settled: Request, files: ModelFiles, machine: Machine, *, parks: bool = False) -> tuple[str, tuple[str, ...]]:
    """Choose how the networks are run, and say why it is not the fast way where one might expect it."""
    if files.layout == "bundled":
        if settled.engine != "auto":
            raise RequestError(f"{files.name} has one engine, its own", hint="leave engine unset")
        return "motion", ()
    if settled.engine == "reference":
        return "reference", ()
    obstacle = find_obstacle(settled, machine, parks=parks)
    if obstacle is None:
        return "fast", ()
    if settled.engine == "auto":
        return "reference", (f"engine reference: {obstacle}",) if machine.device.startswith("cuda") else ()
    if machine.device == "cpu" and settled.forward_chunk is None:
        return "fast", ("engine fast on a CPU: the same frames, but its kernels are for NVIDIA GPUs",)
    raise MachineError(f"The fast engine cannot run: {obstacle}", hint="--engine reference makes the same frames")


def find_obstacle(settled: Request, machine: Machine, *, parks: bool) -> str | None:
    """Say what the fast engine lacks here, if anything."""
    if parks:
        return f"what is decoded must wait in host memory on {machine.name}"
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
    foreign = [name for name in ("camera", "move") if getattr(request, name) != DEFAULTS[name]]
    if foreign:
        problems = [f"{name} is not something that {files.name} can be told" for name in foreign]
        raise RequestError(problems, hint=f"--model {BUNDLED} can: it comes with unstill")


def count_weights(files: ModelFiles) -> int:
    """Count the parameters in the files, from their headers."""
    paths = [path for part in files.weights.values() for path in part]
    return sum(math.prod(shape) for path in paths for _, shape in read_header(path).values())


def _warn(settled: Request, files: ModelFiles, machine: Machine, *, asked: Request) -> list[str]:
    """Say what to expect of these settings on this machine."""
    said = advise(settled.replace(size=asked.size), files.family, files.frames)
    if files.layout == "bundled":
        return said
    if machine.device == "cpu" and settled.dtype == "fp16":
        said.append("fp16 on a CPU is slower than fp32 and no more exact")
    return said
