"""Whether Triton can be used for a tensor. It does not know any kernel."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

from torch import Tensor


@cache
def has_triton() -> bool:
    """Say whether Triton is installed; builds of PyTorch for NVIDIA GPUs bring it along, others do not."""
    return find_spec("triton") is not None


def runs_on_triton(x: Tensor) -> bool:
    """Say whether kernels run for this tensor; Triton's interpreter runs them on a CPU, for tests."""
    return has_triton() and (x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1") and x.element_size() <= 4


def round_up(number: int) -> int:
    """Give the next power of two."""
    return 1 << (number - 1).bit_length()
