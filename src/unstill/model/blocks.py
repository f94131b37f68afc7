"""What the UNet and the VAE are built of: residual blocks, attention and transformers, in space and over time.

The order of operations is that of diffusers 0.42, so that float32 results are equal bit for bit.
It does not know how blocks are stacked.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.model.config import GROUPS

LONGEST_WAVE = 10_000  # Vaswani et al. 2017, section 3.5


def make_waves(values_N: Tensor, width: int) -> Tensor:
    """Write numbers as cosines and sines of falling frequency, in float32, [N, width]."""
    half = width // 2
    exponent = -math.log(LONGEST_WAVE) * torch.arange(half, dtype=torch.float32, device=values_N.device) / half
    angles = values_N[:, None].float() * exponent.exp()
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def split_frames(x: Tensor, frames: int) -> Tensor:
    """View frames of all clips as clips of frames."""
    return x.reshape(-1, frames, *x.shape[1:])


def split_heads(x_BND: Tensor, heads: int) -> Tensor:
    """View vectors as one for each head, [B, K, N, D]."""
    return x_BND.reshape(*x_BND.shape[:2], heads, -1).transpose(1, 2)


class TokenLinear(nn.Linear):
    """A layer whose input may be a picture seen as tokens, that is transposed: then product first and bias after.

    So does PyTorch in diffusers, but only for weights that want gradients; else it takes a batch of small products,
    which sum in another order.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.is_contiguous():
            return super().forward(x)
        return F.linear(x.contiguous(), self.weight) + self.bias


class TimestepEmbedding(nn.Module):
    """Two layers on top of waves."""

    def __init__(self, inside: int, hidden: int, outside: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inside, hidden)
        self.linear_2 = nn.Linear(hidden, outside)

    def forward(self, waves_ND: Tensor) -> Tensor:
        embedding: Tensor = self.linear_2(F.silu(self.linear_1(waves_ND)))
        return embedding


class ResBlock(nn.Module):
    """Two convolutions, over the picture or over time; in between it is told the time embedding."""

    def __init__(self, inside: int, outside: int, time_width: int | None, eps: float, *, temporal: bool = False) -> None:
        super().__init__()
        over_time = partial(nn.Conv3d, kernel_size=(3, 1, 1), padding=(1, 0, 0))
        conv = over_time if temporal else partial(nn.Conv2d, kernel_size=3, padding=1)
        self.norm1 = nn.GroupNorm(GROUPS, inside, eps)
        self.conv1 = conv(inside, outside)
        self.time_emb_proj = None if time_width is None else nn.Linear(time_width, outside)
        self.norm2 = nn.GroupNorm(GROUPS, outside, eps)
        self.conv2 = conv(outside, outside)
        self.conv_shortcut = None if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Take [N, C, H, W] and [N, D], or over time [B, C, F, H, W] and [B, F, D]."""
        # One step a line: what a step has read is freed before the next, in the decoder 3.8 GB of 25 frames.
        h = self.norm1(x)
        h = F.silu(h)
        h = self.conv1(h)
        if self.time_emb_proj is not None and time is not None:
            shift = self.time_emb_proj(F.silu(time)).movedim(-1, 1)
            h = h + shift[..., None, None]
        h = self.norm2(h)
        h = F.silu(h)
        h = self.conv2(h)
        out: Tensor = (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h
        return out


class Blend(nn.Module):
    """Mix what was seen in space with what was seen over time, by one learned number."""

    def __init__(self, *, swapped: bool = False) -> None:
        super().__init__()
        self.mix_factor = nn.Parameter(torch.zeros(1))
        self.swapped = swapped  # the VAE's number is the share of time, the UNet's that of space

    def forward(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        share = self.mix_factor.sigmoid().to(spatial.dtype)
        if self.swapped:
            share = 1.0 - share
        return share * spatial + (1.0 - share) * temporal


class VideoResBlock(nn.Module):
    """A residual block over the picture, then one over time, blended."""

    def __init__(
        self,
        inside: int,
        outside: int,
        time_width: int | None,
        eps: float,
        *,
        temporal_eps: float | None = None,
        swapped: bool = False,
    ) -> None:
        super().__init__()
        self.spatial_res_block = ResBlock(inside, outside, time_width, eps)
        self.temporal_res_block = ResBlock(outside, outside, time_width, temporal_eps or eps, temporal=True)
        self.time_mixer = Blend(swapped=swapped)

    def forward(self, x_NCHW: Tensor, time_ND: Tensor | None, frames: int) -> Tensor:
        x_NCHW = self.spatial_res_block(x_NCHW, time_ND)
        x_BCFHW = split_frames(x_NCHW, frames).transpose(1, 2)
        time_BFD = None if time_ND is None else split_frames(time_ND, frames)
        out_BCFHW: Tensor = self.time_mixer(x_BCFHW, self.temporal_res_block(x_BCFHW, time_BFD))
        return out_BCFHW.transpose(1, 2).flatten(0, 1)


class Attention(nn.Module):
    """Attention of tokens to a context, or to one another."""

    def __init__(self, width: int, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width or width, width, bias=False)
        self.to_v = nn.Linear(context_width or width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x_BND: Tensor, context_BND: Tensor | None = None) -> Tensor:
        context_BND = x_BND if context_BND is None else context_BND
        q, k, v = self.to_q(x_BND), self.to_k(context_BND), self.to_v(context_BND)
        q_BKND, k_BKND, v_BKND = (split_heads(x, self.heads) for x in (q, k, v))
        out_BKND = F.scaled_dot_product_attention(q_BKND, k_BKND, v_BKND)
        out: Tensor = self.to_out[0](out_BKND.transpose(1, 2).flatten(2))
        return out


class GatedGELU(nn.Module):
    """A layer whose one half is gated by the other (GEGLU, Shazeer 2020)."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inside, 2 * outside)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        gated: Tensor = value * F.gelu(gate)
        return gated


class FeedForward(nn.Module):
    """Widen, gate, narrow. With `chunk` only so many frames at once, for less memory and the same result."""

    def __init__(self, width: int, frame_axis: int) -> None:
        super().__init__()
        self.chunk: int | None = None
        self.frame_axis = frame_axis
        # The published files count a dropout between the two.
        self.net = nn.ModuleList([GatedGELU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        if self.chunk is None:
            return self._run(x)
        parts = torch.split(x, self.chunk, dim=self.frame_axis)
        return torch.cat([self._run(part) for part in parts], dim=self.frame_axis)

    def _run(self, x: Tensor) -> Tensor:
        out: Tensor = self.net[2](self.net[0](x))
        return out


class TransformerBlock(nn.Module):
    """Look at one another, look at the picture, think."""

    def __init__(self, width: int, heads: int, context_width: int, *, frame_axis: int = 0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, heads, context_width)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width, frame_axis)

    def forward(self, x_BND: Tensor, context_BND: Tensor) -> Tensor:
        x_BND = self.attn1(self.norm1(x_BND)) + x_BND
        x_BND = self.attn2(self.norm2(x_BND), context_BND) + x_BND
        out_BND: Tensor = self.ff(self.norm3(x_BND)) + x_BND
        return out_BND


class TemporalTransformerBlock(TransformerBlock):
    """The same over time: each cell of the picture looks at itself in the other frames."""

    def __init__(self, width: int, heads: int, context_width: int) -> None:
        super().__init__(width, heads, context_width, frame_axis=1)
        self.norm_in = nn.LayerNorm(width)
        self.ff_in = FeedForward(width, frame_axis=1)

    def forward(self, x_NLD: Tensor, context_BND: Tensor, frames: int = 1) -> Tensor:
        cells = x_NLD.shape[1]
        x_NFD = split_frames(x_NLD, frames).transpose(1, 2).flatten(0, 1)
        x_NFD = self.ff_in(self.norm_in(x_NFD)) + x_NFD
        x_NFD = super().forward(x_NFD, context_BND)
        return split_frames(x_NFD, cells).transpose(1, 2).flatten(0, 1)


class VideoTransformer(nn.Module):
    """Transformer blocks over the picture, each followed by one over time, blended."""

    def __init__(self, width: int, heads: int, context_width: int, layers: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.proj_in = TokenLinear(width, width)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(width, heads, context_width) for _ in range(layers))
        self.temporal_transformer_blocks = nn.ModuleList(
            TemporalTransformerBlock(width, heads, context_width) for _ in range(layers)
        )
        self.time_pos_embed = TimestepEmbedding(width, 4 * width, width)
        self.time_mixer = Blend()
        self.proj_out = nn.Linear(width, width)

    def forward(self, x_NCHW: Tensor, context_BND: Tensor, frames: int) -> Tensor:
        clips, (width, rows, columns) = x_NCHW.shape[0] // frames, x_NCHW.shape[1:]
        per_frame = context_BND.repeat_interleave(frames, dim=0)
        per_cell = context_BND.repeat_interleave(rows * columns, dim=0)
        numbers = torch.arange(frames, device=x_NCHW.device).repeat(clips)
        when = self.time_pos_embed(make_waves(numbers, width).to(x_NCHW.dtype))[:, None]
        x_NLD = self.proj_in(self.norm(x_NCHW).permute(0, 2, 3, 1).flatten(1, 2))
        for block, temporal_block in zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True):
            x_NLD = block(x_NLD, per_frame)
            x_NLD = self.time_mixer(x_NLD, temporal_block(x_NLD + when, per_cell, frames))
        out_NHWC: Tensor = self.proj_out(x_NLD).reshape(-1, rows, columns, width)
        # Made contiguous as in diffusers: strides choose the kernels of what follows, and kernels differ in the last bit.
        return out_NHWC.permute(0, 3, 1, 2).contiguous() + x_NCHW


class Resample(nn.Module):
    """A 3 × 3 convolution that halves or, after enlarging, keeps the size."""

    def __init__(self, channels: int, *, stride: int, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=stride, padding=padding)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = self.conv(x_NCHW)
        return out


def enlarge(x_NCHW: Tensor, rows: int, columns: int) -> Tensor:
    """Repeat cells until there are so many rows and columns."""
    return F.interpolate(x_NCHW, size=(rows, columns), mode="nearest")
