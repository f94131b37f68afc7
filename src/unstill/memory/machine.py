"""The device that would run, and what it has. It does not know what a clip needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from unstill.errors import MachineError


@dataclass(frozen=True)
class Machine:
    """The device that would run, and what it has."""

    device: str
    name: str
    total_bytes: int | None
    free_bytes: int | None
    dtypes: tuple[str, ...]  # what it can run, the best first
    host_bytes: int | None = None  # memory of the host that is free

    @property
    def is_apart(self) -> bool:
        """Say whether the device has memory of its own, so that something can wait in the host's."""
        return self.device.startswith("cuda")


def look_at_machine(device: str = "auto") -> Machine:
    """Find the device: the one asked for, or the best there is."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    total, free = _host_memory()
    if device.startswith("cuda"):
        return _look_at_cuda(device, free)
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise MachineError("No Apple GPU can be used here", hint="--device auto takes the best device there is")
        total = torch.mps.recommended_max_memory()
        return Machine("mps", "Apple GPU", total, total - torch.mps.driver_allocated_memory(), ("fp16", "fp32"), free)
    return Machine("cpu", "CPU", total, free, ("fp32", "bf16", "fp16"), free)


def _look_at_cuda(device: str, host_bytes: int | None) -> Machine:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        found = "no CUDA GPU can be used here" if count == 0 else f"there are {count} GPUs, numbered from 0"
        raise MachineError(
            f"No device {device}: {found}", hint="`unstill doctor` says why; --device auto takes the best there is"
        )
    free, total = torch.cuda.mem_get_info(index)
    free += torch.cuda.memory_reserved(index)  # what this process holds already, a kept model included, is its own to use
    share = getattr(torch.cuda, "get_per_process_memory_fraction", None)  # not in every torch
    free = min(free, int(share(index) * total)) if share else free
    dtypes = ("fp16", "bf16", "fp32") if torch.cuda.get_device_capability(index) >= (8, 0) else ("fp16", "fp32")
    return Machine(f"cuda:{index}", torch.cuda.get_device_name(index), total, free, dtypes, host_bytes)


def _host_memory() -> tuple[int | None, int | None]:
    """Return total and available host memory, where the system tells."""
    try:
        with Path("/proc/meminfo").open() as lines:
            kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    except OSError:
        return None, None  # not Linux
    return kib["MemTotal"] * 1024, min(kib["MemAvailable"] * 1024, *_left_of_group())


def _left_of_group() -> list[int]:
    """Return what is left of the memory that a container is allowed, if it is one."""
    folder = Path("/sys/fs/cgroup")
    try:
        allowed, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return [1 << 62]
    return [max(0, int(allowed) - int(used))] if allowed.isdigit() else [1 << 62]
