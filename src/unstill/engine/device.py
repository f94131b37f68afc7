"""What every engine asks of its device. It does not know of models."""

from __future__ import annotations

import os
import sys

import torch


def wait(device: torch.device) -> None:
    """Return when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_bytes(device: torch.device) -> int | None:
    """Return the most device memory held since the last call; on a CPU the most this process ever held."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak
    if device.type == "cpu" and sys.platform != "win32":
        import resource  # Windows has none

        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return held if sys.platform == "darwin" else held * 1024  # Linux counts in KiB, macOS in bytes
    return None


def spare_gaps(device: torch.device) -> None:
    """Let PyTorch grow what it holds of the device's memory in place, so that little of it lies idle between blocks.

    A setting of the process; one that was made already is left alone.
    """
    names = ("_accelerator_setAllocatorSettings", "_cuda_cudaCachingAllocator_set_allocator_settings")  # new, and before 2.10
    settle = next((found for name in names if (found := getattr(torch._C, name, None))), None)
    made = os.environ.get("PYTORCH_CUDA_ALLOC_CONF") or os.environ.get("PYTORCH_ALLOC_CONF")
    if device.type == "cuda" and settle is not None and not made and sys.platform == "linux":
        settle("expandable_segments:True")
