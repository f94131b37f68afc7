"""A stream is given a table's row, and is normalised for the next layer, in one pass.

    x' = x + table[(row // period) % len(table)]        written over x
    out = layer_norm(x')

What a constant adds, a bias, a cross-attention with one key, a frame's position, costs no pass of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.kernels.launch import has_triton, round_up, runs_on_triton
from unstill.kernels.mix import spread


def add_norm(x_MD: Tensor, table_TD: Tensor, period: int, norm: nn.LayerNorm) -> Tensor:
    """Add the table to x in place, and return its norm."""
    if runs_on_triton(x_MD):
        return _add_norm_fast(x_MD, table_TD, period, norm)
    return add_norm_plain(x_MD, table_TD, period, norm)


def add_norm_plain(x_MD: Tensor, table_TD: Tensor, period: int, norm: nn.LayerNorm) -> Tensor:
    """Say what is computed."""
    x_MD += spread(table_TD, len(x_MD), period)
    return F.layer_norm(x_MD, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _add_norm_fast(x_MD: Tensor, table_TD: Tensor, period: int, norm: nn.LayerNorm) -> Tensor:
    rows, width = x_MD.shape
    out = torch.empty_like(x_MD)
    block_d = round_up(width)
    block_m = max(1, 2048 // block_d)
    _add_norm_kernel[(-(-rows // block_m),)](
        x_MD, table_TD, norm.weight, norm.bias, out, rows, width, period, len(table_TD), norm.eps,
        BLOCK_M=block_m, BLOCK_D=block_d, num_warps=4,
    )  # fmt: skip
    return out


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _add_norm_kernel(
        x, table, weight, bias, out, rows, width, period, many, eps, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr
    ):
        row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
        at = tl.arange(0, BLOCK_D)
        inside = (row < rows)[:, None] & (at < width)[None, :]
        place = row[:, None] * width + at[None, :]
        shift = tl.load(table + ((row // period) % many)[:, None] * width + at[None, :], mask=inside, other=0.0)
        stream = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) + shift.to(tl.float32)
        rounded = stream.to(x.dtype.element_ty)
        tl.store(x + place, rounded, mask=inside)
        stream = rounded.to(tl.float32)  # the norm sees what the stream holds
        mean = tl.sum(stream, axis=1) / width
        away = tl.where(inside, stream - mean[:, None], 0.0)
        spread = 1.0 / tl.sqrt(tl.sum(away * away, axis=1) / width + eps)
        scale = tl.load(weight + at, mask=at < width, other=0.0).to(tl.float32)
        offset = tl.load(bias + at, mask=at < width, other=0.0).to(tl.float32)
        normed = away * spread[:, None] * scale[None, :] + offset[None, :]
        tl.store(out + place, normed.to(out.dtype.element_ty), mask=inside)
