"""The decoder, folded, with channels last, some frames at a time: the result of all frames at once, in one buffer.

Layers on pixels run on a few frames, layers on frames on a few rows of all frames. Every activation of the whole clip lies at
the end of one buffer of the largest one's size: what a layer writes, from the front, has not more bytes than what it has
read leaves free, so nothing is ever held twice. It does not know what a plan is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.engine.fold import FoldedDoubling, FoldedRes, FoldedVideoRes, convolve, get_last, lay_last, normalise
from unstill.kernels.attend_wide import attend_wide
from unstill.kernels.norm import Moments
from unstill.kernels.over_time import add_convolved, convolve_over_time
from unstill.model.blocks import Resample
from unstill.model.vae import Decoder, DecoderLevel, PixelAttention

Shape = tuple[int, int, int]  # rows, columns, channels


BAND = 128  # pixels that bands of a layer over time are made of


class Convolution(nn.Module):
    """A convolution over pixels, with what comes before it."""

    def __init__(self, conv: nn.Conv2d, norm: nn.GroupNorm | None = None) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm
        lay_last(conv)

    def grow(self, shape: Shape) -> Shape:
        """Say what becomes of the shape."""
        return *shape[:2], self.conv.out_channels

    def count(self, shape: Shape) -> int:
        """Give the values of its largest activation for one frame."""
        return shape[0] * shape[1] * max(shape[2], self.conv.out_channels)

    def forward(self, x_NHWC: Tensor) -> Tensor:
        if self.norm is not None:
            x_NHWC = normalise(x_NHWC, self.norm)
        return convolve(x_NHWC, self.conv.weight, (1, 1), self.conv.bias)


class Doubling(FoldedDoubling):
    """Doubles rows and columns."""

    def grow(self, shape: Shape) -> Shape:
        """Say what becomes of the shape."""
        return 2 * shape[0], 2 * shape[1], len(self.bias)

    def count(self, shape: Shape) -> int:
        """Give the values of its largest activation for one frame."""
        return 4 * shape[0] * shape[1] * len(self.bias)

    def forward(self, x_NHWC: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x_NHWC, 2 * x_NHWC.shape[1], 2 * x_NHWC.shape[2])


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

    def count(self, shape: Shape) -> int:
        """Give the values of its largest activation for one frame."""
        return 3 * shape[0] * shape[1] * shape[2]

    def forward(self, x_NHWC: Tensor) -> Tensor:
        tokens = normalise(x_NHWC, self.norm, silu=False).flatten(1, 2)
        seen = attend_wide(*F.linear(tokens, self.qkv_weight, self.qkv_bias).chunk(3, dim=-1))
        return F.linear(seen, self.to_out.weight, self.to_out.bias).view(x_NHWC.shape).add_(x_NHWC)


class OverPixels(nn.Module):
    """The first half of a video block."""

    def __init__(self, block: FoldedRes) -> None:
        super().__init__()
        self.block = block

    def grow(self, shape: Shape) -> Shape:
        """Say what becomes of the shape."""
        return *shape[:2], len(self.block.conv2)

    def count(self, shape: Shape) -> int:
        """Give the values of its largest activation for one frame."""
        return shape[0] * shape[1] * max(shape[2], len(self.block.conv2))

    def forward(self, x_NHWC: Tensor, out_NHWC: Tensor | None = None) -> Tensor:
        made: Tensor = self.block(x_NHWC, None, out_NHWC)
        return made


PixelLayer = Convolution | Doubling | FoldedPixelAttention | OverPixels


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
                waiting.append(Doubling(resample))
        self.passes, self.out = passes, [*waiting, Convolution(decoder.conv_out, decoder.conv_norm_out)]
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
        return self.finish(run_on_frames(self.out, x_FHWC, None, values))

    def finish(self, pixels_FHWC: Tensor) -> Tensor:
        """Run the last layer, over time."""
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
    shape: Shape = x_FHWC.shape[1:]  # type: ignore[assignment]
    most = 0
    for layer in layers:
        most, shape = max(most, layer.count(shape)), layer.grow(shape)
    frames = len(x_FHWC)
    size = frames * shape[0] * shape[1] * shape[2]
    out = x_FHWC.new_empty(size) if buffer is None else buffer[len(buffer) - size :]
    out_FHWC = out.view(frames, *shape)
    step = max(1, values // most)
    *before, last = layers
    for start in range(0, frames, step):
        part, to = x_FHWC[start : start + step], out_FHWC[start : start + step]
        for layer in before:
            part = layer(part)
        if isinstance(last, OverPixels):
            last(part, to)
        else:
            to.copy_(last(part))
    return out_FHWC


def run_over_time(block: FoldedRes, x_FPC: Tensor, values: int) -> None:
    """Run a residual block over frames in place, band by band; the second norm's statistics are those of all bands."""
    frames, pixels, width = x_FPC.shape
    step = max(1, values // (frames * width * BAND)) * BAND
    bands = [x_FPC[:, start : start + step] for start in range(0, pixels, step)]
    half = HalfOverTime(block)
    half.first.add(x_FPC[None])
    kept = half.begin(bands[0]) if len(bands) == 1 else None
    for band in bands:
        half.look(band, kept)
    for band in bands:
        half.add(band, kept)


class HalfOverTime:
    """The second half of a video block, in three passes over the clip, of which the first two are for its statistics."""

    def __init__(self, block: FoldedRes) -> None:
        self.block = block
        self.first, self.second = Moments(block.norm1), Moments(block.norm2)

    def begin(self, x_FPC: Tensor) -> Tensor:
        """Take the first convolution."""
        return convolve_over_time(self.first.apply(x_FPC[None]).view(1, *x_FPC.shape), self.block.conv1)

    def look(self, x_FPC: Tensor, begun: Tensor | None = None) -> None:
        """Look at what the second norm will be of."""
        self.second.add(self.begin(x_FPC) if begun is None else begun, self.block.bias1)

    def add(self, x_FPC: Tensor, begun: Tensor | None = None) -> None:
        """Add the block's result to its input."""
        h = self.begin(x_FPC) if begun is None else begun
        h = self.second.apply(h, self.block.bias1).view(1, *x_FPC.shape)
        add_convolved(x_FPC[None], h, self.block.conv2, self.block.bias2)
