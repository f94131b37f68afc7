"""Weights of the UNet, folded: what is constant over pixels or steps is worked out once, the rest is laid out for speed.

Cross-attention has one key, so it adds one vector to every pixel; positions of frames and the time embedding depend on the
frame's and the step's number alone; blends and biases go into the weights and tables around them. What becomes a table stays
on the CPU. Every fold is an identity, held in float64 by the tests. It does not know in which order blocks run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.kernels.add_norm import add_norm
from unstill.kernels.attend import attend_over_time
from unstill.kernels.gate import interleave, multiply_and_gate
from unstill.kernels.mix import mix
from unstill.kernels.norm import group_norm
from unstill.kernels.over_time import add_convolved, convolve_over_time
from unstill.kernels.weave import double, fold_doubling
from unstill.model.blocks import (
    Attention,
    FeedForward,
    Resample,
    ResBlock,
    TemporalTransformerBlock,
    TransformerBlock,
    VideoResBlock,
    VideoTransformer,
    enlarge,
    make_waves,
)


def widen(x: Tensor | None) -> Tensor:
    """Give at least float32: tables are rounded once, at the end."""
    assert x is not None
    return x.detach().to(torch.promote_types(x.dtype, torch.float32))


def linear_wide(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a linear layer in float32 or better."""
    assert isinstance(layer, nn.Linear)
    dtype = torch.promote_types(widen(x).dtype, layer.weight.dtype)
    bias = None if layer.bias is None else layer.bias.detach().to(dtype)
    return F.linear(x.detach().to(dtype), layer.weight.detach().to(dtype), bias)


class FoldedTable:
    """A constant that is worked out on the CPU when first asked for, and kept in the dtype and on the device of who asks."""

    def __init__(self) -> None:
        self._key: object = None
        self._made: Tensor | None = None

    def get(self, number: int, make: Callable[[], Tensor], like: Tensor) -> Tensor:
        """Give the table for the number; the last one is kept."""
        key = (number, like.device, like.dtype)
        if self._made is None or self._key != key:
            self._made, self._key = make().to(like.device, like.dtype), key
        return self._made

    def forget(self) -> None:
        """Work it out anew next time."""
        self._made = None


@dataclass(frozen=True, eq=False)
class FoldedTold:
    """What every block is told besides its input."""

    biases: list[tuple[Tensor, Tensor]]  # of every residual block at this step
    context_BND: Tensor  # of all clips of a call
    frames: int
    clips: slice  # which of them run now


class FoldedRes(nn.Module):
    """A residual block over pixels, channels last, or over frames, with the blend folded in."""

    conv1: Tensor
    conv2: Tensor
    bias1: Tensor
    bias2: Tensor
    shortcut: Tensor | None

    def __init__(self, block: ResBlock, amount: Tensor | None = None) -> None:
        """Take the share of what a block over frames adds."""
        super().__init__()
        self.over_time = amount is not None
        one, two = (widen(conv.weight) for conv in (block.conv1, block.conv2))
        last = widen(block.conv2.bias)
        if amount is not None:
            one, two, last = one[..., 0], two[..., 0] * amount, last * amount  # three frames by one pixel
        if block.conv_shortcut is not None:
            last = last + widen(block.conv_shortcut.bias)
        kept = block.conv1.weight.dtype
        self.norm1, self.norm2 = block.norm1, block.norm2
        for name, weight in (("conv1", one), ("conv2", two)):
            self.register_buffer(name, weight.to(kept).contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias1", widen(block.conv1.bias).to(kept))
        self.register_buffer("bias2", last.to(kept))
        short = None if block.conv_shortcut is None else block.conv_shortcut.weight.detach()[:, :, 0, 0]
        self.register_buffer("shortcut", short)

    def forward(self, x_NHWC: Tensor, bias_C: Tensor | None = None, out_NHWC: Tensor | None = None) -> Tensor:
        """Take frames [N, H, W, C]; or clips [B, F, P, C], which are changed in place.

        The bias is the first convolution's with the step's. What is written to may be what frames are read from.
        """
        bias_C = self.bias1 if bias_C is None else bias_C
        # One step a line: what a step has read is freed before the next.
        h = normalise(x_NHWC, self.norm1)
        if self.over_time:
            h = convolve_over_time(h, self.conv1)
            h = normalise(h, self.norm2, bias_C)
            return add_convolved(x_NHWC, h, self.conv2, self.bias2)
        h = convolve(h, self.conv1, (1, 1))
        h = normalise(h, self.norm2, bias_C)
        h = convolve(h, self.conv2, (1, 1))
        x_NHWC = x_NHWC if self.shortcut is None else F.linear(x_NHWC, self.shortcut)
        flat = h.view(-1, h.shape[-1])
        out = flat if out_NHWC is None else out_NHWC.view(flat.shape)
        return mix(x_NHWC.reshape(flat.shape), flat, self.bias2[None], len(flat), out=out).view(h.shape)


def normalise(x_NHWC: Tensor, norm: nn.GroupNorm, bias_C: Tensor | None = None, *, silu: bool = True) -> Tensor:
    """Normalise each of N over its other axes, channels in groups."""
    return group_norm(x_NHWC.flatten(1, 2), norm, bias_C, silu=silu).view(x_NHWC.shape)


def lay_last(conv: nn.Conv2d) -> None:
    """Lay a convolution's weights as channels-last activations want them."""
    conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)


def convolve(x_NHWC: Tensor, weight: Tensor, padding: tuple[int, int], bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """Convolve channels-last activations without moving them."""
    out_NCHW = F.conv2d(x_NHWC.permute(0, 3, 1, 2), weight, bias, stride, padding)
    return out_NCHW.permute(0, 2, 3, 1).contiguous()


class Halving(nn.Module):
    """A convolution at every second pixel."""

    def __init__(self, resample: Resample) -> None:
        super().__init__()
        self.conv = resample.conv
        lay_last(self.conv)

    def forward(self, x_NHWC: Tensor) -> Tensor:
        return convolve(x_NHWC, self.conv.weight, (1, 1), self.conv.bias, 2)


class FoldedDoubling(nn.Module):
    """Doubles a picture and convolves it, on the small one."""

    weight: Tensor
    bias: Tensor

    def __init__(self, resample: Resample) -> None:
        super().__init__()
        conv = resample.conv
        kinds = fold_doubling(widen(conv.weight)).to(conv.weight.dtype)
        self.register_buffer("weight", kinds.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", widen(conv.bias).to(conv.weight.dtype))
        self.whole = [conv.weight.detach()]  # in a list, so that it stays on the CPU: for odd sizes only

    def forward(self, x_NHWC: Tensor, rows: int, columns: int) -> Tensor:
        if (rows, columns) == (2 * x_NHWC.shape[1], 2 * x_NHWC.shape[2]):
            return double(x_NHWC, self.weight, self.bias)
        large_NCHW = enlarge(x_NHWC.permute(0, 3, 1, 2), rows, columns)
        weight = self.whole[0].to(x_NHWC.device, x_NHWC.dtype).contiguous(memory_format=torch.channels_last)
        return convolve(large_NCHW.permute(0, 2, 3, 1), weight, (1, 1), self.bias)


class FoldedVideoRes(nn.Module):
    """A residual block over pixels, then one over frames."""

    def __init__(self, block: VideoResBlock) -> None:
        super().__init__()
        share = widen(block.time_mixer.mix_factor).sigmoid()
        self.over_pixels = FoldedRes(block.spatial_res_block)
        self.over_frames = FoldedRes(block.temporal_res_block, share if block.time_mixer.swapped else 1 - share)

    def forward(self, given: list[Tensor], frames: int, biases: tuple[Tensor, Tensor]) -> Tensor:
        """Take frames [N, H, W, C] out of the list, so that they can be freed before the half over frames."""
        one, two = biases
        x_NHWC = self.over_pixels(given.pop(), one)
        x_BFPC = x_NHWC.view(-1, frames, x_NHWC.shape[1] * x_NHWC.shape[2], x_NHWC.shape[3])
        out_BFPC: Tensor = self.over_frames(x_BFPC, two)
        return out_BFPC.view(x_NHWC.shape)


class FoldedFeedForward(nn.Module):
    """Widen, gate, narrow; the last bias is left to a table."""

    weight1: Tensor
    bias1: Tensor
    weight2: Tensor
    parts = 1  # that rows are taken in: what is gated, four times the rest, is held for one at a time

    def __init__(self, block: FeedForward, amount: Tensor | None = None) -> None:
        super().__init__()
        proj, out = block.net[0].proj, block.net[2]
        assert isinstance(proj, nn.Linear) and isinstance(out, nn.Linear)
        narrow = out.weight.detach() if amount is None else (widen(out.weight) * amount).to(out.weight.dtype)
        wide, bias = (interleave(*value.detach().chunk(2)) for value in (proj.weight, proj.bias))
        for name, value in (("weight1", wide), ("bias1", bias), ("weight2", narrow)):
            self.register_buffer(name, value.detach())

    def forward(self, x_MD: Tensor, stream_MD: Tensor, keep: float = 1.0, *, inplace: bool = True) -> Tensor:
        """Add the result to so much of the stream, some rows at a time."""
        out_MD = stream_MD if inplace else torch.empty_like(stream_MD)
        step = -(-len(x_MD) // self.parts)
        for start in range(0, len(x_MD), step):
            at = slice(start, start + step)
            gated = multiply_and_gate(x_MD[at], self.weight1, self.bias1)
            torch.addmm(stream_MD[at], gated, self.weight2.t(), beta=keep, out=out_MD[at])
        return out_MD


class FoldedAttention(nn.Module):
    """Queries, keys and values from one product; the output's bias is left to a table."""

    to_qkv: Tensor
    to_out: Tensor

    def __init__(self, block: TransformerBlock) -> None:
        super().__init__()
        own = block.attn1
        self.heads = own.heads
        self.register_buffer("to_qkv", torch.cat([part.weight.detach() for part in (own.to_q, own.to_k, own.to_v)]))
        self.register_buffer("to_out", get_last(own).weight.detach())

    def over_pixels(self, qkv_MD: Tensor, stream_MD: Tensor, pixels: int) -> Tensor:
        """Let the pixels of each frame look at one another."""
        q, k, v = qkv_MD.view(-1, pixels, 3, self.heads, stream_MD.shape[1] // self.heads).permute(2, 0, 3, 1, 4)
        seen = attend(q, k, v).transpose(1, 2).reshape(stream_MD.shape)
        return stream_MD.addmm_(seen, self.to_out.t())

    def over_frames(self, qkv_MD: Tensor, stream_MD: Tensor, frames: int, pixels: int) -> Tensor:
        """Let each pixel look at itself in the other frames."""
        qkv_BFPC = qkv_MD.view(-1, frames, pixels, qkv_MD.shape[1])
        return stream_MD.addmm_(attend_over_time(qkv_BFPC, self.heads).view(stream_MD.shape), self.to_out.t())

    def project(self, x_MD: Tensor) -> Tensor:
        """Give queries, keys and values; made apart, so that what they are made of need not stay."""
        return F.linear(x_MD, self.to_qkv)


def attend(q_NKPD: Tensor, k_NKPD: Tensor, v_NKPD: Tensor) -> Tensor:
    """Attend with the backend that is fastest for long rows of 64 channels on recent GPUs, where it can run."""
    if not q_NKPD.is_cuda or q_NKPD.element_size() != 2 or torch.cuda.get_device_capability(q_NKPD.device) < (9, 0):
        return F.scaled_dot_product_attention(q_NKPD, k_NKPD, v_NKPD)
    from torch.nn.attention import SDPBackend, sdpa_kernel

    order = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(order, set_priority=True):
        return F.scaled_dot_product_attention(q_NKPD, k_NKPD, v_NKPD)


class FoldedLayer(nn.Module):
    """One transformer block over pixels, one over frames, and their blend."""

    bias_in: Tensor

    def __init__(self, block: TransformerBlock, temporal: TemporalTransformerBlock, share: Tensor) -> None:
        super().__init__()
        self.share = float(share)
        self.norm1, self.norm3 = block.norm1, block.norm3
        self.attention, self.think = FoldedAttention(block), FoldedFeedForward(block.ff)
        self.norm_in, self.norm1_time, self.norm3_time = temporal.norm_in, temporal.norm1, temporal.norm3
        self.think_in = FoldedFeedForward(temporal.ff_in)
        self.attention_time = FoldedAttention(temporal)
        self.think_time = FoldedFeedForward(temporal.ff, 1 - share)
        self.register_buffer("bias_in", bias_of(temporal.ff_in)[None])
        self.crosses = [  # in a list, so that they stay on the CPU
            (widen(get_last(one.attn1).bias), one.attn2.to_v, get_last(one.attn2)) for one in (block, temporal)
        ]
        self.ends = (widen(bias_of(block.ff)), widen(bias_of(temporal.ff)) * (1 - share))
        self.seen, self.placed = (FoldedTable(), FoldedTable()), (FoldedTable(), FoldedTable())

    def look(self, number: int, told: FoldedTold, like: Tensor) -> Tensor:
        """Give what cross-attention adds to every pixel, with the bias of the self-attention before it, [B, D]."""
        bias, to_v, to_out = self.crosses[number]
        context_BND = told.context_BND
        seen_BD = self.seen[number].get(
            len(context_BND), lambda: linear_wide(to_out, linear_wide(to_v, context_BND[:, 0].cpu())) + bias, like
        )
        return seen_BD[told.clips]

    def forget(self) -> None:
        """Another clip has another context."""
        for table in self.seen:
            table.forget()

    def forward(self, x_MD: Tensor, told: FoldedTold, when_FD: Tensor, pixels: int) -> Tensor:
        share, frames, clip = self.share, told.frames, told.frames * pixels
        norm = self.norm1
        h = self.attention.project(F.layer_norm(x_MD, x_MD.shape[1:], norm.weight, norm.bias, norm.eps))
        x_MD = self.attention.over_pixels(h, x_MD, pixels)
        del h  # here and below: freed before the next is made
        h = add_norm(x_MD, self.look(0, told, x_MD), clip, self.norm3)
        x_MD = self.think(h, x_MD)
        del h
        begin = self.placed[0].get(frames, lambda: self.ends[0] + when_FD, x_MD)
        h = add_norm(x_MD, begin, pixels, self.norm_in)
        t_MD = self.think_in(h, x_MD, inplace=False)
        del h
        h = self.attention_time.project(add_norm(t_MD, self.bias_in, clip, self.norm1_time))
        t_MD = self.attention_time.over_frames(h, t_MD, frames, pixels)
        del h
        h = add_norm(t_MD, self.look(1, told, x_MD), clip, self.norm3_time)
        t_MD = self.think_time(h, t_MD, 1 - share)
        del h
        # The frame's position was added for the branch over time alone.
        end = self.placed[1].get(frames, lambda: self.ends[1] - share * when_FD, x_MD)
        return mix(x_MD, t_MD, end, pixels, share, out=t_MD)


def get_last(block: Attention) -> nn.Linear:
    """Give the layer that an attention ends with."""
    last = block.to_out[0]
    assert isinstance(last, nn.Linear)
    return last


def bias_of(block: FeedForward) -> Tensor:
    """Give the bias of a feed-forward's last layer."""
    last = block.net[2]
    assert isinstance(last, nn.Linear)
    return last.bias.detach()


class FoldedTransformer(nn.Module):
    """Layers between two projections, on top of their input."""

    def __init__(self, block: VideoTransformer) -> None:
        super().__init__()
        self.norm, self.proj_in, self.proj_out = block.norm, block.proj_in, block.proj_out
        share = widen(block.time_mixer.mix_factor).sigmoid()
        pairs = zip(block.transformer_blocks, block.temporal_transformer_blocks, strict=True)
        self.layers = nn.ModuleList(FoldedLayer(one, two, share) for one, two in pairs)  # type: ignore[arg-type]
        self.numbering = [block.time_pos_embed]  # in a list, so that it stays on the CPU
        self.when: dict[int, Tensor] = {}

    def place(self, frames: int) -> Tensor:
        """Give what each frame's number adds, [F, D], on the CPU."""
        if frames not in self.when:
            embed = self.numbering[0]
            waves = make_waves(torch.arange(frames), self.proj_in.in_features)
            self.when[frames] = linear_wide(
                embed.linear_2, F.silu(linear_wide(embed.linear_1, waves.to(embed.linear_1.weight)))
            )
        return self.when[frames]

    def forward(self, x_NHWC: Tensor, told: FoldedTold) -> Tensor:
        pixels = x_NHWC.shape[1] * x_NHWC.shape[2]
        x_MD = F.linear(normalise(x_NHWC, self.norm, silu=False).flatten(0, 2), self.proj_in.weight, self.proj_in.bias)
        for layer in self.layers:
            x_MD = layer(x_MD, told, self.place(told.frames), pixels)
        return F.linear(x_MD, self.proj_out.weight, self.proj_out.bias).view(x_NHWC.shape).add_(x_NHWC)
