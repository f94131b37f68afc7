"""Group norm of channels-last activations, with what comes before and after it: a bias, and SiLU.

    y = (x + bias - mean[group]) / sqrt(var[group] + eps) * weight + b,    then y * sigmoid(y) if asked

One clip's statistics are over all its positions P, be they pixels of a frame or of all frames. PyTorch's kernel wants
channels first and starts one block a group; here positions are split over programs, each gives mean and squared
distances of its tile by channel, which are then joined without cancellation (Chan, Golub and LeVeque 1979).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.kernels.launch import has_triton, round_up, runs_on_triton

TILE_P, TILE_C = 128, 64  # positions and channels that a program handles


def group_norm(x_NPC: Tensor, norm: nn.GroupNorm, bias_C: Tensor | None = None, *, silu: bool = True) -> Tensor:
    """Normalise each of N, after adding the bias."""
    if not runs_on_triton(x_NPC):
        return group_norm_plain(x_NPC, norm, bias_C, silu=silu)
    moments = Moments(norm, len(x_NPC), x_NPC.shape[1], x_NPC)
    moments.add(x_NPC[:, None], bias_C)
    return moments.apply(x_NPC[:, None], bias_C, silu=silu)


def group_norm_plain(x_NPC: Tensor, norm: nn.GroupNorm, bias_C: Tensor | None = None, *, silu: bool = True) -> Tensor:
    """Say what is computed."""
    x_NPC = x_NPC if bias_C is None else x_NPC + bias_C
    y_NPC = F.group_norm(x_NPC.transpose(1, 2), norm.num_groups, norm.weight, norm.bias, norm.eps).transpose(1, 2)
    return F.silu(y_NPC) if silu else y_NPC


class Moments:
    """Mean and spread of the groups, gathered from parts of the positions, then used on parts.

    Parts are [N, R, L, C]: R runs of L positions that lie next to one another, as a band of rows does in every frame.
    All parts but the last must hold a multiple of TILE_P positions.
    """

    def __init__(self, norm: nn.GroupNorm, many: int, positions: int, like: Tensor) -> None:
        self.norm, self.many, self.positions, self.done = norm, many, positions, 0
        wide = torch.promote_types(like.dtype, torch.float32)
        shape = (2, many, -(-positions // TILE_P), norm.num_channels)
        self.parts = torch.empty(shape, dtype=wide, device=like.device)
        self.found: Tensor | None = None

    def add(self, x_NRLC: Tensor, bias_C: Tensor | None = None) -> None:
        """Look at the next part."""
        measure = _measure_fast if runs_on_triton(x_NRLC) else _measure_plain
        measure(x_NRLC, bias_C, self.parts, self.done // TILE_P)
        self.done += x_NRLC.shape[1] * x_NRLC.shape[2]

    def apply(self, x_NRLC: Tensor, bias_C: Tensor | None = None, *, silu: bool = True) -> Tensor:
        """Normalise a part; return it without gaps, [N, R * L, C]."""
        if self.found is None:
            join = _join_fast if runs_on_triton(x_NRLC) else _join_plain
            self.found = join(self.parts, self.norm, self.positions)
        run = _apply_fast if runs_on_triton(x_NRLC) else _apply_plain
        return run(x_NRLC, self.norm, bias_C, self.found, silu)


def _measure_plain(x_NRLC: Tensor, bias_C: Tensor | None, parts: Tensor, first: int) -> None:
    """Write mean, and summed squared distance from it, of every channel of every tile."""
    x_NPC = x_NRLC.flatten(1, 2).to(parts.dtype)
    x_NPC = x_NPC if bias_C is None else x_NPC + bias_C
    whole = x_NPC.shape[1] // TILE_P
    tiles = [x_NPC[:, : whole * TILE_P].reshape(len(x_NPC), whole, TILE_P, x_NPC.shape[2]), x_NPC[:, None, whole * TILE_P :]]
    for tile_NTPC, start in zip(tiles, (first, first + whole), strict=True):
        if tile_NTPC.numel():
            mean, here = tile_NTPC.mean(2), slice(start, start + tile_NTPC.shape[1])
            parts[0, :, here], parts[1, :, here] = mean, (tile_NTPC - mean[:, :, None]).square().sum(2)


def _join_plain(parts: Tensor, norm: nn.GroupNorm, positions: int) -> Tensor:
    """Give mean, and one over the spread, of each group, [2, N, groups]."""
    count = (positions - TILE_P * torch.arange(parts.shape[2], device=parts.device)).clamp(max=TILE_P)[:, None, None]
    means, squares = parts.reshape(*parts.shape[:3], norm.num_groups, -1)
    whole = positions * means.shape[-1]
    mean = (means * count).sum((1, 3)) / whole
    away = means - mean[:, None, :, None]
    variance = (squares + count * away.square()).sum((1, 3)) / whole
    return torch.stack([mean, (variance + norm.eps).rsqrt()])


def _apply_plain(x_NRLC: Tensor, norm: nn.GroupNorm, bias_C: Tensor | None, found: Tensor, silu: bool) -> Tensor:
    each = norm.num_channels // norm.num_groups
    mean, spread = found.repeat_interleave(each, dim=2)[:, :, None]
    x_NPC = x_NRLC.flatten(1, 2).to(found.dtype)
    x_NPC = x_NPC if bias_C is None else x_NPC + bias_C
    y_NPC = (x_NPC - mean) * spread * norm.weight + norm.bias
    return (F.silu(y_NPC) if silu else y_NPC).to(x_NRLC.dtype)


def _measure_fast(x_NRLC: Tensor, bias_C: Tensor | None, parts: Tensor, first: int) -> None:
    many, runs, length, channels = x_NRLC.shape
    grid = (-(-runs * length // TILE_P), -(-channels // TILE_C), many)
    _measure_kernel[grid](x_NRLC, x_NRLC if bias_C is None else bias_C, parts[0], parts[1], runs * length, length, channels,
                          first, parts.shape[2], x_NRLC.stride(0), x_NRLC.stride(1), HAS_BIAS=bias_C is not None,
                          TILE_P=TILE_P, TILE_C=TILE_C, num_warps=4)  # fmt: skip


def _join_fast(parts: Tensor, norm: nn.GroupNorm, positions: int) -> Tensor:
    _, many, tiles, channels = parts.shape
    found = torch.empty(2, many, norm.num_groups, dtype=parts.dtype, device=parts.device)
    each = channels // norm.num_groups
    _join_kernel[(many, norm.num_groups)](parts[0], parts[1], found[0], found[1], positions, channels, tiles,
                                          norm.num_groups, norm.eps, EACH=each, BLOCK_C=round_up(each), TILE_P=TILE_P,
                                          BLOCK_T=64, num_warps=4)  # fmt: skip
    return found


def _apply_fast(x_NRLC: Tensor, norm: nn.GroupNorm, bias_C: Tensor | None, found: Tensor, silu: bool) -> Tensor:
    many, runs, length, channels = x_NRLC.shape
    out = torch.empty(many, runs * length, channels, dtype=x_NRLC.dtype, device=x_NRLC.device)
    grid = (-(-runs * length // TILE_P), -(-channels // TILE_C), many)
    _apply_kernel[grid](x_NRLC, x_NRLC if bias_C is None else bias_C, found[0], found[1], norm.weight, norm.bias, out,
                        runs * length, length, channels, norm.num_groups, x_NRLC.stride(0), x_NRLC.stride(1),
                        EACH=channels // norm.num_groups, HAS_BIAS=bias_C is not None, SILU=silu, TILE_P=TILE_P,
                        TILE_C=TILE_C, num_warps=8)  # fmt: skip
    return out


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def _measure_kernel(
        x, bias, means, squares, positions, length, channels, first, tiles, stride, run_stride, HAS_BIAS: tl.constexpr, TILE_P: tl.constexpr, TILE_C: tl.constexpr  # noqa: E501
    ):  # fmt: skip
        tile, number = tl.program_id(0), tl.program_id(2).to(tl.int64)
        at_p = tile * TILE_P + tl.arange(0, TILE_P)
        at_c = tl.program_id(1) * TILE_C + tl.arange(0, TILE_C)
        inside = (at_p < positions)[:, None] & (at_c < channels)[None, :]
        start = number * stride + (at_p // length).to(tl.int64) * run_stride + (at_p % length).to(tl.int64) * channels
        value = tl.load(x + start[:, None] + at_c[None, :], mask=inside, other=0.0).to(tl.float32)
        if HAS_BIAS:
            value += tl.load(bias + at_c, mask=at_c < channels, other=0.0).to(tl.float32)[None, :]
        value = tl.where(inside, value, 0.0)
        count = tl.minimum(positions - tile * TILE_P, TILE_P)
        mean = tl.sum(value, axis=0) / count
        away = tl.where(inside, value - mean[None, :], 0.0)
        to = (number * tiles + first + tile) * channels + at_c
        tl.store(means + to, mean, mask=at_c < channels)
        tl.store(squares + to, tl.sum(away * away, axis=0), mask=at_c < channels)

    @triton.jit
    def _join_kernel(
        means, squares, mean_out, spread_out, positions, channels, tiles, groups, eps, EACH: tl.constexpr, BLOCK_C: tl.constexpr, TILE_P: tl.constexpr, BLOCK_T: tl.constexpr  # noqa: E501
    ):  # fmt: skip
        number, group = tl.program_id(0).to(tl.int64), tl.program_id(1)
        at_c = tl.arange(0, BLOCK_C)
        start = number * tiles * channels + group * EACH
        sums = tl.zeros([BLOCK_T, BLOCK_C], dtype=tl.float32)
        for first in range(0, tiles, BLOCK_T):
            at_t = first + tl.arange(0, BLOCK_T)
            inside = (at_t < tiles)[:, None] & (at_c < EACH)[None, :]
            count = tl.minimum(positions - at_t * TILE_P, TILE_P).to(tl.float32)[:, None]
            sums += tl.load(means + start + at_t[:, None] * channels + at_c[None, :], mask=inside, other=0.0) * count
        whole = positions * EACH
        mean = tl.sum(sums) / whole
        sums = tl.zeros([BLOCK_T, BLOCK_C], dtype=tl.float32)
        for first in range(0, tiles, BLOCK_T):
            at_t = first + tl.arange(0, BLOCK_T)
            inside = (at_t < tiles)[:, None] & (at_c < EACH)[None, :]
            count = tl.minimum(positions - at_t * TILE_P, TILE_P).to(tl.float32)[:, None]
            place = start + at_t[:, None] * channels + at_c[None, :]
            away = tl.load(means + place, mask=inside, other=0.0) - mean
            sums += tl.where(inside, tl.load(squares + place, mask=inside, other=0.0) + count * away * away, 0.0)
        variance = tl.sum(sums) / whole
        tl.store(mean_out + number * groups + group, mean)
        tl.store(spread_out + number * groups + group, 1.0 / tl.sqrt(variance + eps))

    @triton.jit
    def _apply_kernel(
        x, bias, mean_in, spread_in, weight, shift, out, positions, length, channels, groups, stride, run_stride, EACH: tl.constexpr, HAS_BIAS: tl.constexpr, SILU: tl.constexpr, TILE_P: tl.constexpr, TILE_C: tl.constexpr  # noqa: E501
    ):  # fmt: skip
        number = tl.program_id(2).to(tl.int64)
        at_p = tl.program_id(0) * TILE_P + tl.arange(0, TILE_P)
        at_c = tl.program_id(1) * TILE_C + tl.arange(0, TILE_C)
        known = at_c < channels
        inside = (at_p < positions)[:, None] & known[None, :]
        start = number * stride + (at_p // length).to(tl.int64) * run_stride + (at_p % length).to(tl.int64) * channels
        value = tl.load(x + start[:, None] + at_c[None, :], mask=inside, other=0.0).to(tl.float32)
        mean = tl.load(mean_in + number * groups + at_c // EACH, mask=known, other=0.0)
        spread = tl.load(spread_in + number * groups + at_c // EACH, mask=known, other=0.0)
        if HAS_BIAS:
            mean -= tl.load(bias + at_c, mask=known, other=0.0).to(tl.float32)
        scale = tl.load(weight + at_c, mask=known, other=0.0).to(tl.float32) * spread
        normed = (value - mean[None, :]) * scale[None, :] + tl.load(shift + at_c, mask=known, other=0.0).to(tl.float32)[None, :]
        if SILU:
            normed = normed / (1.0 + tl.exp(-normed))
        row = at_p.to(tl.int64)[:, None] * channels + at_c[None, :]
        tl.store(out + number * positions * channels + row, normed.to(out.dtype.element_ty), mask=inside)
