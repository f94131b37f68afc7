"""What every engine asks of its device. It does not know of models."""

from __future__ import annotations

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
