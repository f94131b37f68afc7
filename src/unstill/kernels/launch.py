"""Whether Triton can be used for a tensor, and how much of the device a kernel may take. It does not know any kernel."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from triton.tools.tensor_descriptor import TensorDescriptor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
ROOMY = 200_000  # bytes of shared memory; data centre GPUs since Hopper have them, consumer ones half


class Blocks(NamedTuple):
    """The part of a product that one program computes at a time, and how it is run."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    each: int  # programs on a multiprocessor


@cache
def has_triton() -> bool:
    """Say whether Triton is installed; builds of PyTorch for NVIDIA GPUs bring it along, others do not."""
    return find_spec("triton") is not None


def runs_on_triton(x: Tensor) -> bool:
    """Say whether kernels run for this tensor; Triton's interpreter runs them on a CPU, for tests."""
    return has_triton() and (x.is_cuda or INTERPRETED) and x.element_size() <= 4


def multiplies_on_triton(x: Tensor, *sides: int) -> bool:
    """Say whether products run for halves with these sides of their operands: rows must begin at multiples of 16 bytes."""
    return runs_on_triton(x) and x.element_size() == 2 and not any(side % 8 for side in sides)


@cache
def is_roomy(device: torch.device) -> bool:
    """Say whether a program can hold large blocks."""
    if device.type != "cuda":
        return False
    return bool(getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 0) >= ROOMY)


@cache
def count_processors(device: torch.device) -> int:
    """Give the device's multiprocessors."""
    return int(torch.cuda.get_device_properties(device).multi_processor_count) if device.type == "cuda" else 2


def describe(x: Tensor, block: list[int]) -> TensorDescriptor:
    """Describe a tensor to the hardware that copies blocks of it; what a block has outside of it reads as zero."""
    from triton.tools.tensor_descriptor import TensorDescriptor

    return TensorDescriptor(x, list(x.shape), list(x.stride()), block)


def round_up(number: int) -> int:
    """Give the next power of two."""
    return 1 << (number - 1).bit_length()
