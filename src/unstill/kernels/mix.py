"""A weighted sum of two streams and of a table that has one row for each frame, clip or the whole.

    out = a * x + y + table[(row // period) % len(table)]

Reads both once and writes once, whatever is added; PyTorch alone needs a pass for each sign.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unstill.kernels.launch import has_triton, round_up, runs_on_triton

ELEMENTS = 4096  # that a program handles


def mix(x_MD: Tensor, y_MD: Tensor, table_TD: Tensor, period: int, a: float = 1.0, out: Tensor | None = None) -> Tensor:
    """Add y and the table to a times x; `out` may be x or y."""
    if runs_on_triton(x_MD):
        return _mix_fast(x_MD, y_MD, table_TD, period, a, out)
    made = mix_plain(x_MD, y_MD, table_TD, period, a)
    return made if out is None else out.copy_(made)


def mix_plain(x_MD: Tensor, y_MD: Tensor, table_TD: Tensor, period: int, a: float) -> Tensor:
    """Say what is computed."""
    return a * x_MD + y_MD + spread(table_TD, len(x_MD), period)


def spread(table_TD: Tensor, rows: int, period: int) -> Tensor:
    """Give every row its row of the table."""
    if len(table_TD) == 1:
        return table_TD
    return table_TD[torch.arange(rows, device=table_TD.device) // period % len(table_TD)]


def _mix_fast(x_MD: Tensor, y_MD: Tensor, table_TD: Tensor, period: int, a: float, out: Tensor | None) -> Tensor:
    out = torch.empty_like(x_MD) if out is None else out
    rows, width = x_MD.shape
    block_d = min(256, round_up(width))
    block_m = ELEMENTS // block_d
    grid = (-(-rows // block_m), -(-width // block_d))
    _mix_kernel[grid](x_MD, y_MD, table_TD, out, rows, width, period, len(table_TD), a, BLOCK_M=block_m, BLOCK_D=block_d,
                      num_warps=4)  # fmt: skip
    return out


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _mix_kernel(x, y, table, out, rows, width, period, many, a, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr):
        row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
        at = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
        inside = (row < rows)[:, None] & (at < width)[None, :]
        place = row[:, None] * width + at[None, :]
        left = tl.load(x + place, mask=inside).to(tl.float32)
        right = tl.load(y + place, mask=inside).to(tl.float32)
        shift = tl.load(table + ((row // period) % many)[:, None] * width + at[None, :], mask=inside).to(tl.float32)
        tl.store(out + place, (a * left + right + shift).to(out.dtype.element_ty), mask=inside)
