"""Doubling a picture by nearest neighbours and a 3x3 convolution, as one 2x2 convolution of the small picture.

Each pixel of the doubled picture sees 2x2 different ones: rows i-1 and i if its own is even, i and i+1 if it is odd, columns
likewise. So one convolution gives all four kinds, side by side in the channels, at the corners between pixels:

    out[2i + a, 2j + b] = y[i + a, j + b, kind 2a + b] + bias

Four ninths of the work, and the doubled picture never exists. `weave` brings the four kinds to their places.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.kernels.launch import has_triton, round_up, runs_on_triton

PIXELS = 32  # that a program handles


def fold_doubling(weight_OC33: Tensor) -> Tensor:
    """Give the weights [4O, C, 2, 2] of the four kinds, in the dtype of what they are made from."""
    rows = torch.stack([
        torch.stack([weight_OC33[:, :, 0], weight_OC33[:, :, 1] + weight_OC33[:, :, 2]], dim=2),
        torch.stack([weight_OC33[:, :, 0] + weight_OC33[:, :, 1], weight_OC33[:, :, 2]], dim=2),
    ])  # fmt: skip
    kinds = torch.stack([
        torch.stack([rows[..., 0], rows[..., 1] + rows[..., 2]], dim=-1),
        torch.stack([rows[..., 0] + rows[..., 1], rows[..., 2]], dim=-1),
    ], dim=1)  # fmt: skip
    return kinds.flatten(0, 2)


def double(x_NHWC: Tensor, weight_4OC22: Tensor, bias_O: Tensor) -> Tensor:
    """Double and convolve; return [N, 2H, 2W, O]."""
    y_NCHW = F.conv2d(x_NHWC.permute(0, 3, 1, 2), weight_4OC22, padding=1)
    return weave(y_NCHW.permute(0, 2, 3, 1).contiguous(), bias_O)


def weave(y_NHWC: Tensor, bias_O: Tensor) -> Tensor:
    """Bring what was computed at corners, four kinds side by side, to its pixels."""
    return _weave_fast(y_NHWC, bias_O) if runs_on_triton(y_NHWC) else weave_plain(y_NHWC, bias_O)


def weave_plain(y_NHWC: Tensor, bias_O: Tensor) -> Tensor:
    """Say what is computed."""
    many, rows, columns = len(y_NHWC), y_NHWC.shape[1] - 1, y_NHWC.shape[2] - 1
    kinds = y_NHWC.view(*y_NHWC.shape[:3], 2, 2, -1)
    out = torch.empty(many, rows, 2, columns, 2, len(bias_O), dtype=y_NHWC.dtype, device=y_NHWC.device)
    for a in (0, 1):
        for b in (0, 1):
            out[:, :, a, :, b] = kinds[:, a : a + rows, b : b + columns, a, b] + bias_O
    return out.view(many, 2 * rows, 2 * columns, -1)


def _weave_fast(y_NHWC: Tensor, bias_O: Tensor) -> Tensor:
    many, rows, columns, width = len(y_NHWC), y_NHWC.shape[1] - 1, y_NHWC.shape[2] - 1, len(bias_O)
    out = torch.empty(many, 2 * rows, 2 * columns, width, dtype=y_NHWC.dtype, device=y_NHWC.device)
    _weave_kernel[(-(-2 * columns // PIXELS), 2 * rows, many)](
        y_NHWC, bias_O, out, rows, columns, width, PIXELS=PIXELS, BLOCK_C=round_up(width), num_warps=4
    )
    return out


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _weave_kernel(y, bias, out, rows, columns, width, PIXELS: tl.constexpr, BLOCK_C: tl.constexpr):
        row, number = tl.program_id(1), tl.program_id(2).to(tl.int64)
        at_p, at_c = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS), tl.arange(0, BLOCK_C)
        inside = (at_p < 2 * columns)[:, None] & (at_c < width)[None, :]
        a, b = row % 2, at_p % 2
        corner = (number * (rows + 1) + row // 2 + a) * (columns + 1) + at_p // 2 + b
        kind = (corner * 4 + 2 * a + b) * width
        value = tl.load(y + kind[:, None] + at_c[None, :], mask=inside).to(tl.float32)
        value += tl.load(bias + at_c, mask=at_c < width, other=0.0).to(tl.float32)[None, :]
        pixel = ((number * 2 * rows + row) * 2 * columns + at_p) * width
        tl.store(out + pixel[:, None] + at_c[None, :], value.to(out.dtype.element_ty), mask=inside)
