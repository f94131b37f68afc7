"""Attention with one head of many channels, as the decoder has it: 512, for which libraries have no fast kernel.

    out = softmax(q @ k.T / sqrt(D)) @ v

Scores are kept in float32 between two products of the vendor's library, a part of the rows at a time. That moves more bytes
than fused attention would, and takes a third of the time of what PyTorch has for such heads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.kernels.launch import has_triton, round_up, runs_on_triton

MOST_SCORES = 1 << 25  # at once: 128 MiB
WIDEST = 1 << 15  # keys that a program can hold
WIDENS = "dtype" in torch.ops.aten.mm.overloads()  # type: ignore[no-untyped-call] # products of halves in float32, from 2.8 on


def attend_wide(q_NPD: Tensor, k_NPD: Tensor, v_NPD: Tensor) -> Tensor:
    """Attend, each of N to itself."""
    half = q_NPD.is_cuda and q_NPD.element_size() == 2
    if half and runs_on_triton(q_NPD) and k_NPD.shape[1] <= WIDEST and WIDENS:
        return _attend_fast(q_NPD, k_NPD, v_NPD)
    return F.scaled_dot_product_attention(q_NPD[:, None], k_NPD[:, None], v_NPD[:, None])[:, 0]


def _attend_fast(q_NPD: Tensor, k_NPD: Tensor, v_NPD: Tensor) -> Tensor:
    out_NPD = torch.empty_like(q_NPD, memory_format=torch.contiguous_format)
    step = max(1, MOST_SCORES // k_NPD.shape[1])
    for q_PD, k_PD, v_PD, out_PD in zip(q_NPD, k_NPD, v_NPD, out_NPD, strict=True):
        for start in range(0, len(q_PD), step):
            rows = slice(start, start + step)
            scores = torch.mm(q_PD[rows], k_PD.t(), out_dtype=torch.float32)
            torch.mm(softmax(scores, 1 / math.sqrt(q_PD.shape[1]), q_PD.dtype), v_PD, out=out_PD[rows])
            del scores
    return out_NPD


def softmax(scores_PK: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Give every row's shares, in another dtype."""
    if not runs_on_triton(scores_PK):
        return softmax_plain(scores_PK, scale).to(dtype)
    out_PK = torch.empty(scores_PK.shape, dtype=dtype, device=scores_PK.device)
    _softmax_kernel[(len(scores_PK),)](scores_PK, out_PK, scores_PK.shape[1], scale, BLOCK=round_up(scores_PK.shape[1]),
                                       num_warps=16)  # fmt: skip
    return out_PK


def softmax_plain(scores_PK: Tensor, scale: float) -> Tensor:
    """Say what is computed."""
    return (scores_PK * scale).softmax(dim=-1)


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _softmax_kernel(scores, out, width, scale, BLOCK: tl.constexpr):
        row, at = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
        score = tl.load(scores + row * width + at, mask=at < width, other=float("-inf")) * scale
        share = tl.exp(score - tl.max(score, axis=0))
        share = share / tl.sum(share, axis=0)
        tl.store(out + row * width + at, share.to(out.dtype.element_ty), mask=at < width)
