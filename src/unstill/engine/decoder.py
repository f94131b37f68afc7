"""Decode a clip layer by layer, some frames at a time, with the result of decoding all frames at once.

Most layers look at one frame, so they run on a few frames at a time. Those over time look at one cell in all frames, but for
group norms, whose statistics are of the whole clip: they run on a few rows of all frames, in three passes, the first two for
the statistics. What is between two layers exists once, in the frames' own places or in host memory; the widest, at the
full size, exists for the frames at work only. It does not know what a plan, a device or a dtype is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.model.blocks import Blend, ResBlock, VideoResBlock, enlarge
from unstill.model.vae import Decoder, DecoderLevel

OnFrames = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bench:
    """How much is at work at once, where, and where the rest waits."""

    values: int  # of an activation
    device: torch.device
    home: torch.device

    def split(self, count: int, values: int) -> list[slice]:
        """Split so many things of so many values each into parts to work on."""
        step = max(1, self.values // values)
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def decode_by_layers(decoder: Decoder, z_FCHW: Tensor, bench: Bench) -> Tensor:
    """Decode unscaled latents of one clip into pixels [F, 3, H, W], at home."""
    frames_CHW = list(z_FCHW.to(bench.home).unbind())
    waiting: list[OnFrames] = []  # layers on one frame, to be run together with the next residual block
    for layer in list_layers(decoder):
        if isinstance(layer, VideoResBlock):
            run_on_frames(frames_CHW, [*waiting, layer.spatial_res_block], bench)
            run_over_time(frames_CHW, layer.temporal_res_block, layer.time_mixer, bench)
            waiting = []
        else:
            waiting.append(layer)
    run_on_frames(frames_CHW, waiting, bench)
    x_CFHW = torch.stack(frames_CHW, dim=1)
    colours, frames, rows, columns = x_CFHW.shape
    for at in bench.split(rows, colours * frames * columns):
        x_CFHW[:, :, at] = decoder.time_conv_out(x_CFHW[None, :, :, at].to(bench.device))[0].to(bench.home)
    return x_CFHW.transpose(0, 1)


def list_layers(decoder: Decoder) -> Iterator[OnFrames]:
    """List what the decoder does, in order, up to its last layer over time."""
    yield decoder.conv_in
    middle = decoder.mid_block
    yield middle.resnets[0]
    for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=False):
        yield from (attention, resnet)
    for level in decoder.up_blocks:
        assert isinstance(level, DecoderLevel)
        yield from level.resnets
        for resample in level.upsamplers:
            yield Enlarging(resample)
    yield decoder.conv_norm_out
    yield F.silu
    yield decoder.conv_out


@dataclass(frozen=True, eq=False)
class Enlarging:
    """Double the size, then the convolution."""

    resample: nn.Module

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = self.resample(enlarge(x_NCHW, 2 * x_NCHW.shape[-2], 2 * x_NCHW.shape[-1]))
        return out


def run_on_frames(frames_CHW: list[Tensor], layers: list[OnFrames], bench: Bench) -> None:
    """Run layers that look at one frame; each result takes the place of its frame, which is freed."""
    grown = 4 ** sum(isinstance(layer, Enlarging) for layer in layers)
    for part in bench.split(len(frames_CHW), frames_CHW[0].numel() * grown):
        x_NCHW = torch.stack(frames_CHW[part]).to(bench.device)
        for layer in layers:
            x_NCHW = layer(x_NCHW)
        # Copies, so that a frame can be freed alone.
        frames_CHW[part] = [x_CHW.to(bench.home, copy=True) for x_CHW in x_NCHW]


def run_over_time(frames_CHW: list[Tensor], block: ResBlock, mixer: Blend, bench: Bench) -> None:
    """Run a residual block over time in place, band by band."""
    width, rows, columns = frames_CHW[0].shape
    bands = bench.split(rows, width * len(frames_CHW) * columns)

    def load(at: slice) -> Tensor:
        return torch.stack([frame[:, at] for frame in frames_CHW], dim=1).to(bench.device)[None]

    first = Statistics(block.norm1)
    for at in bands:
        first.add(load(at))
    apply_first = first.finish()
    second = Statistics(block.norm2)
    for at in bands:
        second.add(block.conv1(F.silu(apply_first(load(at)))))
    apply_second = second.finish()
    for at in bands:
        x_BCFHW = load(at)
        h = block.conv1(F.silu(apply_first(x_BCFHW)))
        h = block.conv2(F.silu(apply_second(h)))
        for frame_CHW, out_CHW in zip(frames_CHW, mixer(x_BCFHW, x_BCFHW + h)[0].unbind(1), strict=True):
            frame_CHW[:, at] = out_CHW.to(bench.home)


class Statistics:
    """Mean and variance of the groups of a norm, joined from parts."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        self.norm = norm
        self.count, self.sums, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x_BCFHW: Tensor) -> None:
        """Look at a part: every frame of it on its own, so that sums stay short."""
        groups = x_BCFHW[0].transpose(0, 1).reshape(x_BCFHW.shape[2], self.norm.num_groups, -1)
        exact = groups.double() if groups.dtype == torch.float64 else groups.float()
        variance, mean = (part.double() if part.device.type != "mps" else part for part in
                          torch.var_mean(exact, dim=-1, correction=0))  # fmt: skip
        count = groups.shape[-1]
        self.count += count * len(groups)
        self.sums = self.sums.to(mean) + count * mean.sum(0)
        self.squares = self.squares.to(mean) + count * (variance + mean**2).sum(0)

    def finish(self) -> OnFrames:
        """Give the norm, as a scale and a shift of every channel."""
        mean, norm = self.sums / self.count, self.norm
        spread = (self.squares / self.count - mean**2 + norm.eps).rsqrt()
        each = norm.num_channels // norm.num_groups
        scale = norm.weight * spread.repeat_interleave(each)
        shift = norm.bias - mean.repeat_interleave(each) * scale
        # In float32 for halves too, as group norms are; rounded once.
        wide = torch.promote_types(norm.weight.dtype, torch.float32)
        scale, shift = (part.to(wide)[:, None, None, None] for part in (scale, shift))
        return lambda x: torch.addcmul(shift, x.to(wide), scale).to(x.dtype)
