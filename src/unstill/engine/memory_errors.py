"""Running out of memory, on any device, as one error that says what to try. It does not know what was running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from unstill.errors import MachineError

LESS_MEMORY = {  # what to try where memory ran out, on the lowest rung too
    "load": "close other programs on the device, or --memory tiny",
    "sample": "fewer --frames or a smaller --size, or close other programs on the device",
    "decode": "fewer --frames or a smaller --size, or close other programs on the device",
}
ELSEWHERE = "close other programs, or a smaller --size"
# CUDA has a class for it; the CPU's and Apple's allocators raise a plain RuntimeError with these words.
ALLOCATORS = ("DefaultCPUAllocator", "MPS backend out of memory", "not enough memory", "can't allocate memory")


@contextmanager
def explain_memory(stage: str) -> Iterator[None]:
    """Turn running out of memory into a MachineError; let every other error pass as it is."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not is_memory(error):
            raise
        told = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise MachineError(
            f"The device has too little memory to {stage}: {told}", hint=LESS_MEMORY.get(stage, ELSEWHERE)
        ) from error


@contextmanager
def annotate_memory(stage: str) -> Iterator[None]:
    """Say what to try, but leave the error as it is for scripts that catch PyTorch's own."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_memory(error) and stage in LESS_MEMORY:
            error.add_note(f"hint: {LESS_MEMORY[stage]}")
        raise


def is_memory(error: Exception) -> bool:
    """Say whether an error means that memory ran out."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in ALLOCATORS)
