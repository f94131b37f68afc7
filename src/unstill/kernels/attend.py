"""Attention over time: at each pixel, every frame looks at every other.

    out[b, f, p] = softmax(q[b, f, p] · k[b, :, p] / sqrt(D)) v[b, :, p]        for each head

Queries, keys and values lie side by side in one tensor [B, F, P, 3C], as the product that made them left them: frames are
read with a stride, nothing is moved. A library would want frames next to one another, two copies of the whole.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.kernels.launch import has_triton, round_up, runs_on_triton

MOST_FRAMES = 64  # more do not fit beside one another in registers
PIXELS = 4  # one after another in a program


def attend_over_time(qkv_BFPC: Tensor, heads: int) -> Tensor:
    """Attend; return [B, F, P, C]."""
    width = qkv_BFPC.shape[-1] // 3 // heads
    fits = qkv_BFPC.shape[1] <= MOST_FRAMES and width >= 16 and width == round_up(width)
    if runs_on_triton(qkv_BFPC) and fits:
        return _attend_fast(qkv_BFPC, heads, width)
    return attend_plain(qkv_BFPC, heads)


def attend_plain(qkv_BFPC: Tensor, heads: int) -> Tensor:
    """Say what is computed."""
    clips, frames, pixels, _ = qkv_BFPC.shape
    parts = qkv_BFPC.reshape(clips, frames, pixels, 3, heads, -1).permute(3, 0, 2, 4, 1, 5).flatten(1, 2)
    out_NKFD = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
    return out_NKFD.reshape(clips, pixels, *out_NKFD.shape[1:]).permute(0, 3, 1, 2, 4).flatten(3)


def _attend_fast(qkv_BFPC: Tensor, heads: int, width: int) -> Tensor:
    clips, frames, pixels, triple = qkv_BFPC.shape
    out = torch.empty(clips, frames, pixels, triple // 3, dtype=qkv_BFPC.dtype, device=qkv_BFPC.device)
    _attend_kernel[(-(-pixels // PIXELS), heads, clips)](
        qkv_BFPC, out, frames, pixels, triple // 3, 1 / math.sqrt(width), FRAMES=max(16, round_up(frames)), WIDTH=width,
        PIXELS=PIXELS, num_warps=2,
    )  # fmt: skip
    return out


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _attend_kernel(
        qkv, out, frames, pixels, channels, scale, FRAMES: tl.constexpr, WIDTH: tl.constexpr, PIXELS: tl.constexpr
    ):
        head, clip = tl.program_id(1), tl.program_id(2).to(tl.int64)
        at_f, at_d = tl.arange(0, FRAMES), tl.arange(0, WIDTH)
        known = at_f < frames
        for step in range(PIXELS):
            pixel = tl.program_id(0) * PIXELS + step
            if pixel < pixels:
                row = (clip * frames + at_f) * pixels + pixel
                place = qkv + row[:, None] * 3 * channels + head * WIDTH + at_d[None, :]
                q = tl.load(place, mask=known[:, None], other=0.0)
                k = tl.load(place + channels, mask=known[:, None], other=0.0)
                v = tl.load(place + 2 * channels, mask=known[:, None], other=0.0)
                score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
                score = tl.where(known[None, :], score, float("-inf"))
                score = tl.exp(score - tl.max(score, axis=1)[:, None])
                share = score / tl.sum(score, axis=1)[:, None]
                seen = tl.dot(share.to(v.dtype), v, input_precision="ieee")
                to = out + row[:, None] * channels + head * WIDTH + at_d[None, :]
                tl.store(to, seen.to(out.dtype.element_ty), mask=known[:, None])
