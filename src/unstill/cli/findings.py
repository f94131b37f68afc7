"""What `unstill doctor` looks at: programs, attention, devices, codecs, models, disk, settings, what would run.

Every look returns findings; none of them prints, changes anything, or needs the network.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import unstill
from unstill.cli import config, output
from unstill.cli.output import show_bytes
from unstill.errors import UnstillError

if TYPE_CHECKING:
    from unstill.catalog.inventory import ModelStatus
    from unstill.memory.machine import Machine

OK, NOTE, PROBLEM = "ok", "note", "problem"
DRIVER = Path("/proc/driver/nvidia/version")  # there when the NVIDIA driver is loaded, on Linux
ROOM_BYTES = 5_000_000_000  # a model in fp16 has 4.51 GB
ENCODERS = {  # what each is for, and how bad it is when it is missing
    "libx264": ("H.264 in mp4", PROBLEM),
    "libvpx-vp9": ("VP9 in webm", NOTE),
    "libsvtav1": ("AV1 in webm and mp4", NOTE),
    "gif": ("GIF", NOTE),
}
VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    state: str  # ok | note | problem
    what: str
    remedy: str | None = None


def look_everywhere() -> Iterator[Finding]:
    """Look at all there is, in the order in which things depend on each other."""
    yield from look_at_programs()
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that torch is linked against is missing
        yield Finding("programs", PROBLEM, f"torch cannot be imported: {error}", "pip install --force-reinstall torch")
        return
    from unstill.memory.machine import look_at_machine

    yield from look_at_torch(torch)
    machine = look_at_machine()
    yield from look_at_attention(torch, machine)
    yield from look_at_devices(torch, machine)
    yield from look_at_codecs(torch.cuda.is_available())
    yield from look_at_settings()
    yield from look_at_models(machine)


def look_at_programs() -> Iterator[Finding]:
    """Say which Python and which unstill this is."""
    yield Finding("programs", OK, f"unstill {unstill.__version__}")
    yield look_at_faces()
    yield Finding("programs", OK, f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")


def look_at_faces() -> Finding:
    """Say whether faces can be looked for in pictures."""
    from unstill.measure.faces import INSTALL, can_look

    if can_look():
        return Finding("programs", OK, "OpenCV: faces are looked for in pictures")
    return Finding("programs", NOTE, "OpenCV 4 is not here, so nothing is said of faces in pictures", INSTALL)


def look_at_torch(torch: Any) -> Iterator[Finding]:
    """Say which torch this is, and whether it was built for the GPU that is there."""
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm" if torch.version.hip else "no CUDA"
    yield Finding("programs", OK, f"torch {torch.__version__}, built with {built}")
    if not DRIVER.exists() or torch.cuda.is_available():
        return
    if torch.version.cuda is None:
        remedy = "pip install --force-reinstall torch takes the CUDA build, unless an index of CPU builds is set"
        yield Finding("programs", PROBLEM, "There is an NVIDIA driver, but torch was built without CUDA", remedy)
    else:
        remedy = f"`nvidia-smi` must work and show CUDA {torch.version.cuda} or newer; update the driver"
        yield Finding("programs", PROBLEM, "There is an NVIDIA driver, but torch cannot use it", remedy)


def look_at_attention(torch: Any, machine: Machine) -> Iterator[Finding]:
    """Say which kernels compute attention here, by letting each of them try."""
    remedy = "pip install --upgrade 'torch>=2.7'"
    if not hasattr(torch.nn.functional, "scaled_dot_product_attention"):
        what = f"torch {torch.__version__} has no scaled_dot_product_attention: attention then asks for tens of gigabytes"
        yield Finding("attention", PROBLEM, what, remedy)
        return
    try:
        kernels: Any = importlib.import_module("torch.nn.attention")
    except ModuleNotFoundError:  # torch 2.0 to 2.2
        what = f"torch {torch.__version__} has no torch.nn.attention: it is older than what unstill is made for"
        yield Finding("attention", PROBLEM, what, remedy)
        return
    names = {"flash": "FLASH_ATTENTION", "memory-efficient": "EFFICIENT_ATTENTION", "cuDNN": "CUDNN_ATTENTION", "plain": "MATH"}
    works = {name: _try_attention(torch, machine, kernels, backend) for name, backend in names.items()}
    there = ", ".join(name for name, does in works.items() if does) or "none"
    lacking = ", ".join(name for name, does in works.items() if not does)
    what = f"scaled_dot_product_attention on {machine.device} in {machine.dtypes[0]}: {there}"
    if any(does for name, does in works.items() if name != "plain"):
        yield Finding("attention", OK, what + (f" (not {lacking})" if lacking else ""))
    else:
        remedy = "a newer torch or GPU has kernels that need less; --size 768x448 needs less memory too"
        yield Finding("attention", NOTE, f"{what} only: it needs much more memory", remedy)


def _try_attention(torch: Any, machine: Machine, kernels: Any, name: str) -> bool:
    backend = getattr(kernels.SDPBackend, name, None)
    if backend is None:  # cuDNN's came with torch 2.5
        return False
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[machine.dtypes[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch explains each refusal in five of them
        try:
            x_BKND = torch.ones((1, 2, 64, 64), dtype=dtype, device=machine.device)
            with kernels.sdpa_kernel(backend):
                torch.nn.functional.scaled_dot_product_attention(x_BKND, x_BKND, x_BKND)
        except RuntimeError:
            return False
    return True


def look_at_devices(torch: Any, machine: Machine) -> Iterator[Finding]:
    """Say what can compute, and what memory it has."""
    from unstill.memory.machine import look_at_machine

    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        gpu, capability = look_at_machine(f"cuda:{index}"), ".".join(map(str, torch.cuda.get_device_capability(index)))
        yield Finding("devices", OK, f"{gpu.device}: {gpu.name}, {_describe_memory(gpu)}, compute capability {capability}")
    if torch.backends.mps.is_available():
        yield Finding("devices", OK, f"mps: {_describe_memory(look_at_machine('mps'))}")
    host = look_at_machine("cpu")
    yield Finding("devices", OK, f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} used, {_describe_memory(host)}")
    if machine.device == "cpu":
        remedy = "--preset draft --size 320x192 gives a first look; a clip of full size takes a GPU"
        yield Finding("devices", NOTE, "No GPU can be used here, so clips take very long", remedy)


def _describe_memory(machine: Machine) -> str:
    return f"{show_bytes(machine.free_bytes)} of {show_bytes(machine.total_bytes)} free"


def look_at_codecs(has_cuda: bool) -> Iterator[Finding]:
    """Say which files can be written, by asking the encoders; a GPU's by encoding a frame."""
    for encoder, (use, state) in ENCODERS.items():
        if has_encoder(encoder):
            yield Finding("codecs", OK, f"{encoder}: {use}")
        else:
            yield Finding("codecs", state, f"{encoder} is missing, so no {use}", "pip install --force-reinstall av")
    if has_cuda and encodes("h264_nvenc"):
        yield Finding("codecs", OK, "h264_nvenc: the GPU can encode; clips are encoded on the CPU all the same, in a second")


def has_encoder(name: str) -> bool:
    """Say whether the FFmpeg that came with PyAV has an encoder."""
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    try:
        return bool(Codec(name, "w").is_encoder)
    except UnknownCodecError:
        return False


def encodes(name: str) -> bool:
    """Say whether an encoder works on this machine, by a frame: NVENC is listed everywhere and is in few GPUs."""
    import io

    import av

    try:
        with av.open(io.BytesIO(), "w", format="mp4") as file:
            stream = file.add_stream(name, rate=25)
            if not isinstance(stream, av.VideoStream):
                return False
            stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
            file.mux(stream.encode(av.VideoFrame(256, 256, "yuv420p")))
            file.mux(stream.encode())
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def look_at_settings() -> Iterator[Finding]:
    """Say which variables steer the hub, and whether there is a token; never the token itself."""
    from huggingface_hub import get_token

    for name in VARIABLES:
        if value := os.environ.get(name):
            is_offline = name == "HF_HUB_OFFLINE" and value.strip().lower() in ("1", "true", "yes", "on")
            remedy = "unset HF_HUB_OFFLINE before `unstill pull`" if is_offline else None
            shown = re.sub(r"//[^/@]*@", "//…@", value)  # an address may hold a password
            yield Finding("settings", NOTE if is_offline else OK, f"{name}={shown}", remedy)
    where = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "a token of `hf auth login`" if get_token() else None
    yield Finding("settings", OK, f"{where} is set" if where else "HF_TOKEN is not set (only gated models need it)")
    try:
        knobs = config.read_config()
    except UnstillError as error:
        yield Finding("settings", PROBLEM, error.message, error.hint or "correct the file")
    else:
        yield Finding("settings", OK, f"{output.shorten(config.find_config())} sets {', '.join(knobs) or 'nothing'}")


def look_at_models(machine: Machine) -> Iterator[Finding]:
    """Say where models are kept, and of each known one whether it is here and would run."""
    from unstill.catalog.cache import default_cache
    from unstill.catalog.inventory import list_models
    from unstill.catalog.pull import measure_free

    cache, free_bytes = default_cache(), measure_free(default_cache())
    rows = list_models()
    has_room = free_bytes > ROOM_BYTES or any(row.state == "complete" for row in rows)
    remedy = None if has_room else f"a model takes {show_bytes(ROOM_BYTES)}; HF_HOME can name a larger disk"
    yield Finding("models", OK if has_room else NOTE, f"{output.shorten(cache)}, {show_bytes(free_bytes)} free", remedy)
    for row in rows:
        yield judge_model(row, machine)


def judge_model(row: ModelStatus, machine: Machine) -> Finding:
    """Say whether one model would run here, and with what."""
    dtype = machine.dtypes[0]
    how = f"on {machine.device} in {dtype}"
    if row.state != "complete":
        state = "only in part" if row.state == "partial" else "not"
        return Finding("models", NOTE, f"{row.name} is {state} here; it would run {how}", f"unstill pull {row.name}")
    weights_bytes = row.known.expected_bytes("fp32" if dtype == "fp32" else "fp16") if row.known else row.here_bytes
    needed = f"{show_bytes(weights_bytes)} of weights"
    if machine.free_bytes is not None and weights_bytes > machine.free_bytes:
        what = f"{row.name} is here, but its {needed} do not fit {how} at once: {show_bytes(machine.free_bytes)} are free"
        return Finding("models", NOTE, what, "parts of it take turns then; `--dry-run` shows what every way needs")
    return Finding("models", OK, f"{row.name} is here and runs {how}: {needed}")
