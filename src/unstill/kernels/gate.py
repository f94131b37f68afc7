"""GEGLU: the first half of the channels, times the GELU of the second (Shazeer 2020).

    out = x[:, :D] * gelu(x[:, D:])

Reads 2D numbers a row and writes D, once. PyTorch alone needs two passes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.kernels.launch import has_triton, round_up, runs_on_triton

WIDEST = 1024  # columns that a program handles


def gate(x_MD: Tensor) -> Tensor:
    """Gate one half by the other."""
    return _gate_fast(x_MD) if runs_on_triton(x_MD) else gate_plain(x_MD)


def gate_plain(x_MD: Tensor) -> Tensor:
    """Say what is computed."""
    value, lever = x_MD.chunk(2, dim=-1)
    return value * F.gelu(lever)


def _gate_fast(x_MD: Tensor) -> Tensor:
    rows, width = x_MD.shape[0], x_MD.shape[1] // 2
    out = torch.empty(rows, width, dtype=x_MD.dtype, device=x_MD.device)
    block = min(WIDEST, round_up(width))
    _gate_kernel[(rows, -(-width // block))](x_MD, out, width, BLOCK=block, num_warps=4)
    return out


def try_kernel(device: str) -> str | None:
    """Say what keeps Triton from running a kernel on a device, if anything; the first time takes a second or two."""
    if not has_triton():
        return "Triton is not installed"
    try:
        x_MD = torch.linspace(-3, 3, 64, device=device).view(2, 32)
        made = gate(x_MD)
    except Exception as found:  # noqa: BLE001 — no compiler, a driver too old: it is said, and the reference runs
        return f"Triton cannot run a kernel here: {(str(found).strip() or type(found).__name__).splitlines()[0][:200]}"
    return None if torch.allclose(made, gate_plain(x_MD), atol=1e-4) else "Triton's kernels give wrong numbers here"


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _gate_kernel(x, out, width, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        inside = at < width
        value = tl.load(x + row * 2 * width + at, mask=inside).to(tl.float32)
        lever = tl.load(x + row * 2 * width + width + at, mask=inside).to(tl.float32)
        gated = value * lever * 0.5 * (1.0 + tl.math.erf(lever * 0.7071067811865476))
        tl.store(out + row * width + at, gated.to(out.dtype.element_ty), mask=inside)
