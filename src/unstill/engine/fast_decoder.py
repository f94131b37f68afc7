"""The decoder, folded, with channels last, some frames at a time: the result of all frames at once, in one buffer.

Layers on pixels run on a few frames, layers on frames on a few rows of all frames. Every activation of the whole clip lies at
the end of one buffer of the largest one's size: what a layer writes, from the front, has not more bytes than what it has
read leaves free, so nothing is ever held twice. It does not know what a plan is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.engine.fold import FoldedRes, FoldedVideoRes, convolve, get_last, lay_last, normalise
from unstill.kernels.mix import add_to_runs
from unstill.kernels.norm import TILE_P, Moments
from unstill.model.blocks import Resample, enlarge
from unstill.model.vae import Decoder, DecoderLevel, PixelAttention

Shape = tuple[int, int, int]  # rows, columns, channels


class Convolution(nn.Module):
    """A convolution over pixels, with what comes before it."""

    def __init__(self, conv: nn.Conv2d, *, norm: nn.GroupNorm | None = None, doubled: bool = False) -> None:
        super().__init__()
        self.conv, self.norm, self.doubled = conv, norm, doubled
        lay_last(conv)

    def grow(self, shape: Shape) -> Shape:
        """Say what becomes of the shape."""
        times = 2 if self.doubled else 1
        return shape[0] * times, shape[1] * times, self.conv.out_channels

    def forward(self, x_NHWC: Tensor) -> Tensor:
        if self.norm is not None:
            x_NHWC = normalise(x_NHWC, self.norm)
        if self.doubled:
            x_NHWC = enlarge(x_NHWC.permute(0, 3, 1, 2), 2 * x_NHWC.shape[1], 2 * x_NHWC.shape[2]).permute(0, 2, 3, 1)
        return convolve(x_NHWC, self.conv.weight, (1, 1), self.conv.bias)


class FoldedPixelAttention(nn.Module):
    """Attention of every cell of a frame to every other, on top of its input."""

    qkv_weight: Tensor
    qkv_bias: Tensor

    def __init__(self, block: PixelAttention) -> None:
        super().__init__()
        self.norm, self.to_out = block.group_norm, get_last(block)
        for name in ("weight", "bias"):
            parts = [getattr(part, name).detach() for part in (block.to_q, block.to_k, block.to_v)]
            self.register_buffer(f"qkv_{name}", torch.cat(parts))

    def grow(self, shape: Shape) -> Shape:
        """Say what becomes of the shape."""
        return shape

    def forward(self, x_NHWC: Tensor) -> Tensor:
        tokens = normalise(x_NHWC, self.norm, silu=False).flatten(1, 2)
        q, k, v = F.linear(tokens, self.qkv_weight, self.qkv_bias)[:, None].chunk(3, dim=-1)
        seen = F.scaled_dot_product_attention(q, k, v)[:, 0]
        return F.linear(seen, self.to_out.weight, self.to_out.bias).view(x_NHWC.shape).add_(x_NHWC)


class OverPixels(nn.Module):
    """The first half of a video block."""

    def __init__(self, block: FoldedRes) -> None:
        super().__init__()
        self.block = block

    def grow(self, shape: Shape) -> Shape:
        """Say what becomes of the shape."""
        return shape[0], shape[1], self.block.conv2.shape[0]

    def forward(self, x_NHWC: Tensor) -> Tensor:
        out: Tensor = self.block(x_NHWC)
        return out


PixelLayer = Convolution | FoldedPixelAttention | OverPixels


class FastDecoder(nn.Module):
    """Decode clips of any length in little memory."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        passes: list[tuple[list[PixelLayer], FoldedRes]] = []  # layers on pixels, then one on frames
        waiting: list[PixelLayer] = [Convolution(decoder.conv_in)]

        def add(block: nn.Module) -> None:
            folded = FoldedVideoRes(block)  # type: ignore[arg-type]
            passes.append(([*waiting, OverPixels(folded.over_pixels)], folded.over_frames))
            waiting.clear()

        middle = decoder.mid_block
        add(middle.resnets[0])
        for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=False):
            waiting.append(FoldedPixelAttention(attention))  # type: ignore[arg-type]
            add(resnet)
        for level in decoder.up_blocks:
            assert isinstance(level, DecoderLevel)
            for resnet in level.resnets:
                add(resnet)
            for resample in level.upsamplers:
                assert isinstance(resample, Resample)
                waiting.append(Convolution(resample.conv, doubled=True))
        self.passes, self.out = passes, [*waiting, Convolution(decoder.conv_out, norm=decoder.conv_norm_out)]
        self.layers = nn.ModuleList([*(layer for layers, block in passes for layer in (*layers, block)), *self.out])
        self.time_conv_out = decoder.time_conv_out

    def forward(self, z_FCHW: Tensor, values: int) -> Tensor:
        """Decode unscaled latents into pixels [F, 3, H, W], so many values of an activation at a time."""
        z_FHWC = z_FCHW.permute(0, 2, 3, 1).contiguous()
        buffer = torch.empty(len(z_FHWC) * self.find_largest(*z_FHWC.shape[1:]), dtype=z_FHWC.dtype, device=z_FHWC.device)
        x_FHWC = z_FHWC
        for layers, block in self.passes:
            x_FHWC = run_on_frames(layers, x_FHWC, buffer, values)
            run_over_time(block, x_FHWC.flatten(1, 2), values)
        pixels_FHWC = run_on_frames(self.out, x_FHWC, None, values)
        pixels_BCFHW = pixels_FHWC.permute(3, 0, 1, 2)[None].contiguous()
        out_CFHW: Tensor = self.time_conv_out(pixels_BCFHW)[0]
        return out_CFHW.transpose(0, 1)

    def find_largest(self, rows: int, columns: int, channels: int) -> int:
        """Give the values of one frame of the largest activation that is kept."""
        shape, largest = (rows, columns, channels), 0
        for layers, _ in self.passes:
            for layer in layers:
                shape = layer.grow(shape)
            largest = max(largest, shape[0] * shape[1] * shape[2])
        return largest


def run_on_frames(layers: list[PixelLayer], x_FHWC: Tensor, buffer: Tensor | None, values: int) -> Tensor:
    """Run layers that look at one frame, into the end of the buffer, where what they read may lie."""
    frames, rows, columns, channels = x_FHWC.shape
    shape, most = (rows, columns, channels), 0
    for layer in layers:
        shape = layer.grow(shape)
        most = max(most, shape[0] * shape[1] * shape[2])
    size = frames * shape[0] * shape[1] * shape[2]
    out = x_FHWC.new_empty(size) if buffer is None else buffer[len(buffer) - size :]
    out_FHWC = out.view(frames, *shape)
    step = max(1, values // most)
    for start in range(0, frames, step):
        part = x_FHWC[start : start + step]
        for layer in layers:
            part = layer(part)
        out_FHWC[start : start + step] = part
    return out_FHWC


def run_over_time(block: FoldedRes, x_FPC: Tensor, values: int) -> None:
    """Run a residual block over frames in place, band by band; the second norm's statistics are those of all bands."""
    frames, pixels, width = x_FPC.shape
    step = max(1, values // (frames * width * TILE_P)) * TILE_P
    bands = [x_FPC[:, start : start + step] for start in range(0, pixels, step)]
    first = Moments(block.norm1, 1, frames * pixels, x_FPC)
    first.add(x_FPC[None])
    second = Moments(block.norm2, 1, frames * pixels, x_FPC)

    def begin(band_FPC: Tensor) -> Tensor:
        h = first.apply(band_FPC[None]).view(1, *band_FPC.shape)
        return convolve(h, block.conv1, (1, 0))

    kept = begin(bands[0]) if len(bands) == 1 else None
    for band in bands:
        second.add(begin(band) if kept is None else kept, block.bias1)
    for band in bands:
        h = second.apply(begin(band) if kept is None else kept, block.bias1).view(1, *band.shape)
        add_to_runs(band, convolve(h, block.conv2, (1, 0)).view(-1, width), block.bias2)
