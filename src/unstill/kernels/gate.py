"""GEGLU, product and gate in one: half of the columns, times the GELU of the other half (Shazeer 2020).

    y = x @ weight.T + bias,    out = y[:, 0::2] * gelu(y[:, 1::2])

Values and levers lie side by side (`interleave`), so that a block of the product holds both and only their result is written:
D numbers a row in place of 2D, which then would be read again.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.kernels.launch import Blocks, count_processors, describe, has_triton, is_roomy, multiplies_on_triton

SHORT, LONG = Blocks(128, 256, 64, 8, 3, 1), Blocks(128, 256, 64, 8, 4, 1)  # measured on an H200, by the depth of the product
SMALL = Blocks(128, 128, 32, 4, 3, 2)  # fits everywhere
LONG_DEPTH = 512


def interleave(first: Tensor, second: Tensor) -> Tensor:
    """Lay rows side by side: one of the first, one of the second, and so on."""
    return torch.stack([first, second], dim=1).flatten(0, 1).contiguous()


def multiply_and_gate(x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor) -> Tensor:
    """Multiply by interleaved weights and gate; return [M, N / 2]."""
    if multiplies_on_triton(x_MK, x_MK.shape[1], len(weight_NK) // 2):
        return _gate_fast(x_MK, weight_NK, bias_N)
    return gate_plain(x_MK, weight_NK, bias_N)


def gate_plain(x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor) -> Tensor:
    """Say what is computed."""
    y_MN = F.linear(x_MK, weight_NK, bias_N)
    value_MD, lever_MD = y_MN.view(len(y_MN), -1, 2).unbind(2)
    return F.gelu(lever_MD.contiguous()).mul_(value_MD)  # in one piece: strided, it takes ten times as long on a CPU


def _gate_fast(x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor) -> Tensor:
    (rows, depth), columns = x_MK.shape, len(weight_NK)
    out_MD = torch.empty(rows, columns // 2, dtype=x_MK.dtype, device=x_MK.device)
    blocks = (SHORT if depth < LONG_DEPTH else LONG) if is_roomy(x_MK.device) else SMALL
    _gate_kernel[(count_processors(x_MK.device) * blocks.each,)](
        describe(x_MK, [blocks.rows, blocks.depth]), describe(weight_NK, [blocks.columns, blocks.depth]), bias_N,
        describe(out_MD, [blocks.rows, blocks.columns // 2]), rows, columns, depth,
        BLOCK_M=blocks.rows, BLOCK_N=blocks.columns, BLOCK_K=blocks.depth, num_warps=blocks.warps, num_stages=blocks.stages,
    )  # fmt: skip
    return out_MD


def try_kernel(device: str) -> str | None:
    """Say what keeps Triton from running a kernel on a device, if anything; the first time takes some seconds."""
    if not has_triton():
        return "Triton is not installed"
    try:
        with torch.cuda.device(device) if device.startswith("cuda") else nullcontext():  # kernels run on the current one
            x, weight = (torch.linspace(-1, 1, many * 32, device=device).view(many, 32).half() for many in (64, 32))
            made = multiply_and_gate(x, weight, weight[:, 0].contiguous())
    except Exception as found:  # noqa: BLE001 — no compiler, a driver too old: it is said, and the reference runs
        return f"Triton cannot run a kernel here: {(str(found).strip() or type(found).__name__).splitlines()[0][:200]}"
    formula = gate_plain(x.float(), weight.float(), weight[:, 0].float())
    return None if torch.allclose(made.float(), formula, rtol=1e-2, atol=1e-2) else "Triton's kernels give wrong numbers here"


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _gate_kernel(
        x, weight, bias, out, rows, columns, depth, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr
    ):
        across = tl.cdiv(columns, BLOCK_N)
        blocks = across * tl.cdiv(rows, BLOCK_M)
        # A program takes block after block, and loads for the next while it writes the last: `flatten`.
        for block in tl.range(tl.program_id(0), blocks, tl.num_programs(0), flatten=True):
            row, column = (block // across) * BLOCK_M, (block % across) * BLOCK_N
            acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
            for k in range(0, depth, BLOCK_K):
                acc = tl.dot(x.load([row, k]), weight.load([column, k]).T, acc)
            at = column + tl.arange(0, BLOCK_N)
            acc += tl.load(bias + at, mask=at < columns, other=0.0).to(tl.float32)[None, :]
            value, lever = tl.split(tl.reshape(acc, (BLOCK_M, BLOCK_N // 2, 2)))
            gated = value * lever * 0.5 * (1.0 + tl.math.erf(lever * 0.7071067811865476))
            out.store([row, column // 2], gated.to(out.dtype))
