"""Convolution over three frames at each pixel, and what comes after it.

    y[b, f, p] = sum over t of  x[b, f + t - 1, p] @ weight[:, :, t].T        frames outside of the clip are zero
    or, onto a stream in place:    stream[b, f, p] += y[b, f, p] + bias

Frames are read where they lie: a block of pixels is loaded from three frames, one product each. cuDNN's choice for wide
pictures with few channels reaches a tenth of what the GPU can do, and the sum with the stream would be a pass of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.kernels.launch import (
    INTERPRETED,
    Blocks,
    count_processors,
    describe,
    has_triton,
    is_roomy,
    multiplies_on_triton,
)

NARROW, TALL, WIDE = Blocks(128, 128, 64, 4, 3, 2), Blocks(256, 128, 64, 8, 3, 1), Blocks(128, 256, 64, 8, 3, 1)  # on an H200
SMALL = Blocks(128, 128, 32, 4, 3, 2)  # fits everywhere
FEW = 1024  # pixels of a frame: below, blocks are half empty and cuDNN is faster


def convolve_over_time(x_BFPC: Tensor, weight_OC31: Tensor) -> Tensor:
    """Convolve; weights are laid channels last."""
    if not _fits(x_BFPC, weight_OC31):
        return convolve_plain(x_BFPC, weight_OC31)
    out_BFPO = torch.empty(*x_BFPC.shape[:3], len(weight_OC31), dtype=x_BFPC.dtype, device=x_BFPC.device)
    return _convolve_fast(x_BFPC, weight_OC31, out_BFPO, None)


def add_convolved(stream_BFPO: Tensor, x_BFPC: Tensor, weight_OC31: Tensor, bias_O: Tensor) -> Tensor:
    """Add the convolution and a bias to the stream, whose frames may lie apart, in place."""
    if not _fits(x_BFPC, weight_OC31):
        return stream_BFPO.add_(convolve_plain(x_BFPC, weight_OC31).add_(bias_O))
    return _convolve_fast(x_BFPC, weight_OC31, stream_BFPO, bias_O)


def convolve_plain(x_BFPC: Tensor, weight_OC31: Tensor) -> Tensor:
    """Say what is computed."""
    return F.conv2d(x_BFPC.permute(0, 3, 1, 2), weight_OC31, padding=(1, 0)).permute(0, 2, 3, 1).contiguous()


def _fits(x_BFPC: Tensor, weight_OC31: Tensor) -> bool:
    fits = multiplies_on_triton(x_BFPC, *weight_OC31.shape[:2]) and x_BFPC.is_contiguous()
    return fits and (x_BFPC.shape[2] >= FEW or INTERPRETED)


def _choose_blocks(device: torch.device, columns: int) -> Blocks:
    if not is_roomy(device):
        return SMALL
    return WIDE if columns % 256 == 0 else NARROW if columns <= 128 else TALL


def _convolve_fast(x_BFPC: Tensor, weight_OC31: Tensor, out_BFPO: Tensor, bias_O: Tensor | None) -> Tensor:
    clips, frames, pixels, depth = x_BFPC.shape
    columns = len(weight_OC31)
    flat_OK = weight_OC31.permute(0, 2, 3, 1).reshape(columns, 3 * depth)  # a view
    blocks = _choose_blocks(x_BFPC.device, columns)
    _convolve_kernel[(count_processors(x_BFPC.device) * blocks.each,)](
        describe(x_BFPC, [1, 1, blocks.rows, blocks.depth]), describe(flat_OK, [blocks.columns, blocks.depth]),
        out_BFPO if bias_O is None else bias_O, out_BFPO, clips, frames, pixels, columns, depth,
        out_BFPO.stride(0), out_BFPO.stride(1), ADDS=bias_O is not None,
        BLOCK_M=blocks.rows, BLOCK_N=blocks.columns, BLOCK_K=blocks.depth, num_warps=blocks.warps, num_stages=blocks.stages,
    )  # fmt: skip
    return out_BFPO


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _convolve_kernel(
        x, weight, bias, out, clips, frames, pixels, columns, depth, stride, frame_stride, ADDS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr  # noqa: E501
    ):  # fmt: skip
        across, along = tl.cdiv(columns, BLOCK_N), tl.cdiv(pixels, BLOCK_M)
        parts = tl.cdiv(depth, BLOCK_K)
        for block in tl.range(tl.program_id(0), across * along * frames * clips, tl.num_programs(0), flatten=True):
            column, rest = (block % across) * BLOCK_N, block // across
            pixel, number = (rest % along) * BLOCK_M, rest // along
            clip, frame = number // frames, number % frames
            acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
            for part in range(3 * parts):
                tap, k = part // parts, (part % parts) * BLOCK_K
                here = tl.reshape(x.load([clip, frame + tap - 1, pixel, k]), (BLOCK_M, BLOCK_K))
                acc = tl.dot(here, weight.load([column, tap * depth + k]).T, acc)
            at_p, at_c = pixel + tl.arange(0, BLOCK_M), column + tl.arange(0, BLOCK_N)
            inside = (at_p < pixels)[:, None] & (at_c < columns)[None, :]
            start = out + clip.to(tl.int64) * stride + frame.to(tl.int64) * frame_stride
            place = start + at_p.to(tl.int64)[:, None] * columns + at_c[None, :]
            if ADDS:
                acc += tl.load(bias + at_c, mask=at_c < columns, other=0.0).to(tl.float32)[None, :]
                acc += tl.load(place, mask=inside, other=0.0).to(tl.float32)
            tl.store(place, acc.to(out.dtype.element_ty), mask=inside)
