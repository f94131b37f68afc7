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

TILE_P, TILE_C = 128, 64  # positions and channels that a program normalises
TILE_M, ROWS_M = 1024, 32  # positions that one measures, and how many at a time


def group_norm(x_NPC: Tensor, norm: nn.GroupNorm, bias_C: Tensor | None = None, *, silu: bool = True) -> Tensor:
    """Normalise each of N, after adding the bias."""
    if not runs_on_triton(x_NPC):
        return group_norm_plain(x_NPC, norm, bias_C, silu=silu)
    moments = Moments(norm)
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
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        self.norm = norm
        self._parts: list[Tensor] = []
        self._found: Tensor | None = None

    def add(self, x_NRLC: Tensor, bias_C: Tensor | None = None) -> None:
        """Look at the next part."""
        measure = _measure_fast if runs_on_triton(x_NRLC) else _measure_plain
        self._parts.append(measure(x_NRLC, bias_C))

    def apply(self, x_NRLC: Tensor, bias_C: Tensor | None = None, *, silu: bool = True) -> Tensor:
        """Normalise a part; return it without gaps, [N, R * L, C]."""
        fast = runs_on_triton(x_NRLC)
        if self._found is None:
            parts = self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts, dim=2)
            self._found = (_join_fast if fast else _join_plain)(parts, self.norm)
        return (_apply_fast if fast else _apply_plain)(x_NRLC, self.norm, bias_C, self._found, silu)


def _measure_plain(x_NRLC: Tensor, bias_C: Tensor | None) -> Tensor:
    """Give count, mean, and summed squared distance from it, of every channel of every tile, [3, N, tiles, C]."""
    x_NPC = x_NRLC.flatten(1, 2).to(torch.promote_types(x_NRLC.dtype, torch.float32))
    x_NPC = x_NPC if bias_C is None else x_NPC + bias_C
    found = []
    for tile_NPC in torch.split(x_NPC, TILE_M, dim=1):
        mean = tile_NPC.mean(1)
        found.append(torch.stack([torch.full_like(mean, tile_NPC.shape[1]), mean, (tile_NPC - mean[:, None]).square().sum(1)]))
    return torch.stack(found, dim=2)


def _join_plain(parts: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Give mean, and one over the spread, of each group, [2, N, groups]."""
    count, means, squares = parts.reshape(*parts.shape[:3], norm.num_groups, -1)
    whole = count.sum((1, 3))
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


def _measure_fast(x_NRLC: Tensor, bias_C: Tensor | None) -> Tensor:
    many, runs, length, channels = x_NRLC.shape
    tiles = -(-runs * length // TILE_M)
    parts = torch.empty(3, many, tiles, channels, device=x_NRLC.device)
    _measure_kernel[(tiles, -(-channels // TILE_C), many)](
        x_NRLC, x_NRLC if bias_C is None else bias_C, parts[0], parts[1], parts[2], runs * length, length, channels,
        x_NRLC.stride(0), x_NRLC.stride(1), HAS_BIAS=bias_C is not None, TILE_P=TILE_M, ROWS=ROWS_M, TILE_C=TILE_C, num_warps=4,
    )  # fmt: skip
    return parts


def _join_fast(parts: Tensor, norm: nn.GroupNorm) -> Tensor:
    _, many, tiles, channels = parts.shape
    found = torch.empty(2, many, norm.num_groups, dtype=parts.dtype, device=parts.device)
    each = channels // norm.num_groups
    _join_kernel[(many, norm.num_groups)](parts[0], parts[1], parts[2], found[0], found[1], channels, tiles,
                                          norm.num_groups, norm.eps, EACH=each, BLOCK_C=round_up(each), BLOCK_T=64,
                                          num_warps=4)  # fmt: skip
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
        x, bias, counts, means, squares, positions, length, channels, stride, run_stride, HAS_BIAS: tl.constexpr, TILE_P: tl.constexpr, ROWS: tl.constexpr, TILE_C: tl.constexpr  # noqa: E501
    ):  # fmt: skip
        tile, number = tl.program_id(0), tl.program_id(2).to(tl.int64)
        first = tile * TILE_P
        at_c = tl.program_id(1) * TILE_C + tl.arange(0, TILE_C)
        known = at_c < channels
        # Sums of distances from the tile's first position: they cancel only where a tile is far from its own beginning.
        begin = number * stride + (first // length).to(tl.int64) * run_stride + (first % length).to(tl.int64) * channels
        origin = tl.load(x + begin + at_c, mask=known, other=0.0).to(tl.float32)
        sums, squared = tl.zeros((ROWS, TILE_C), dtype=tl.float32), tl.zeros((ROWS, TILE_C), dtype=tl.float32)
        for row in range(0, TILE_P, ROWS):
            at_p = first + row + tl.arange(0, ROWS)
            inside = (at_p < positions)[:, None] & known[None, :]
            start = number * stride + (at_p // length).to(tl.int64) * run_stride + (at_p % length).to(tl.int64) * channels
            value = tl.load(x + start[:, None] + at_c[None, :], mask=inside, other=0.0).to(tl.float32)
            away = tl.where(inside, value - origin[None, :], 0.0)
            sums += away
            squared += away * away
        count = tl.minimum(positions - first, TILE_P).to(tl.float32)
        off = tl.sum(sums, axis=0) / count
        mean = origin + off
        if HAS_BIAS:
            mean += tl.load(bias + at_c, mask=known, other=0.0).to(tl.float32)
        to = (number * tl.num_programs(0) + tile) * channels + at_c
        tl.store(counts + to, tl.zeros((TILE_C,), dtype=tl.float32) + count, mask=known)
        tl.store(means + to, mean, mask=known)
        tl.store(squares + to, tl.maximum(tl.sum(squared, axis=0) - count * off * off, 0.0), mask=known)

    @triton.jit
    def _join_kernel(
        counts, means, squares, mean_out, spread_out, channels, tiles, groups, eps, EACH: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_T: tl.constexpr  # noqa: E501
    ):  # fmt: skip
        number, group = tl.program_id(0).to(tl.int64), tl.program_id(1)
        at_c = tl.arange(0, BLOCK_C)
        start = number * tiles * channels + group * EACH
        sums, whole = tl.zeros([BLOCK_T, BLOCK_C], dtype=tl.float32), tl.zeros([BLOCK_T, BLOCK_C], dtype=tl.float32)
        for first in range(0, tiles, BLOCK_T):
            at_t = first + tl.arange(0, BLOCK_T)
            inside = (at_t < tiles)[:, None] & (at_c < EACH)[None, :]
            place = start + at_t[:, None] * channels + at_c[None, :]
            count = tl.load(counts + place, mask=inside, other=0.0)
            sums += tl.load(means + place, mask=inside, other=0.0) * count
            whole += count
        total = tl.sum(whole)
        mean = tl.sum(sums) / total
        sums = tl.zeros([BLOCK_T, BLOCK_C], dtype=tl.float32)
        for first in range(0, tiles, BLOCK_T):
            at_t = first + tl.arange(0, BLOCK_T)
            inside = (at_t < tiles)[:, None] & (at_c < EACH)[None, :]
            place = start + at_t[:, None] * channels + at_c[None, :]
            away = tl.load(means + place, mask=inside, other=0.0) - mean
            around = tl.load(counts + place, mask=inside, other=0.0) * away * away
            sums += tl.load(squares + place, mask=inside, other=0.0) + around
        tl.store(mean_out + number * groups + group, mean)
        tl.store(spread_out + number * groups + group, 1.0 / tl.sqrt(tl.sum(sums) / total + eps))

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
