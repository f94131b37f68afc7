"""The spatio-temporal UNet: noisy latents of a clip in, velocity out.

Operation for operation that of diffusers 0.42, group-norm constants included: they differ from block to block
there, and the weights were published for it. It does not know of noise levels, guidance or steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.model.blocks import (
    FeedForward,
    Resample,
    TimestepEmbedding,
    VideoResBlock,
    VideoTransformer,
    enlarge,
    make_waves,
    split_frames,
)
from unstill.model.config import GROUPS, UNetConfig

# diffusers passes resnet_eps=1e-5 to a factory that drops it, so each kind of block has its own default.
EPS_DOWN_ATTENTION, EPS_DOWN, EPS_MID, EPS_UP, EPS_OUT = 1e-6, 1e-5, 1e-5, 1e-6, 1e-5


@dataclass(frozen=True, eq=False)
class Told:
    """What every block is told besides its input."""

    time_ND: Tensor
    context_BND: Tensor
    frames: int


class Block(nn.Module):
    """Residual blocks, each followed by a transformer where the level has attention."""

    def __init__(self, pairs: list[tuple[int, int]], level: int, config: UNetConfig, eps: float, *, attention: bool) -> None:
        """Take the channels in and out of each residual block."""
        super().__init__()
        time_width = 4 * config.block_out_channels[0]
        self.resnets = nn.ModuleList(VideoResBlock(inside, outside, time_width, eps) for inside, outside in pairs)
        heads, context, layers = config.num_attention_heads, config.cross_attention_dim, config.transformer_layers_per_block
        transformers = len(pairs) if attention else 0
        self.attentions = nn.ModuleList(
            VideoTransformer(outside, heads[level], context, layers) for _, outside in pairs[:transformers]
        )

    def run(self, layer: int, x_NCHW: Tensor, told: Told) -> Tensor:
        """Run one residual block and its transformer."""
        x_NCHW = self.resnets[layer](x_NCHW, told.time_ND, told.frames)
        if layer < len(self.attentions):
            x_NCHW = self.attentions[layer](x_NCHW, told.context_BND, told.frames)
        return x_NCHW


class DownBlock(Block):
    """One level down; every result is kept for the way up."""

    def __init__(self, inside: int, level: int, config: UNetConfig) -> None:
        outside, attention = config.block_out_channels[level], config.down_attention[level]
        pairs = [(inside, outside)] + [(outside, outside)] * (config.layers_per_block - 1)
        super().__init__(pairs, level, config, EPS_DOWN_ATTENTION if attention else EPS_DOWN, attention=attention)
        last = level == len(config.block_out_channels) - 1
        self.downsamplers = nn.ModuleList([] if last else [Resample(outside, stride=2)])

    def forward(self, x_NCHW: Tensor, told: Told) -> list[Tensor]:
        kept = []
        for layer in range(len(self.resnets)):
            x_NCHW = self.run(layer, x_NCHW, told)
            kept.append(x_NCHW)
        for resample in self.downsamplers:
            kept.append(resample(x_NCHW))
        return kept


class MidBlock(Block):
    """The level where everything sees everything."""

    def __init__(self, config: UNetConfig) -> None:
        width = config.block_out_channels[-1]
        super().__init__([(width, width)], len(config.block_out_channels) - 1, config, EPS_MID, attention=True)
        self.resnets.append(VideoResBlock(width, width, 4 * config.block_out_channels[0], EPS_MID))

    def forward(self, x_NCHW: Tensor, told: Told) -> Tensor:
        return self.run(1, self.run(0, x_NCHW, told), told)


class UpBlock(Block):
    """One level up; each layer also sees what was kept on the way down."""

    def __init__(self, inside: int, skips: list[int], number: int, config: UNetConfig) -> None:
        level = len(config.block_out_channels) - 1 - number
        outside = config.block_out_channels[level]
        incoming = [inside] + [outside] * (len(skips) - 1)
        pairs = [(width + skip, outside) for width, skip in zip(incoming, skips, strict=True)]
        super().__init__(pairs, level, config, EPS_UP, attention=config.up_attention[number])
        self.upsamplers = nn.ModuleList([Resample(outside, stride=1)] if level else [])

    def forward(self, x_NCHW: Tensor, kept: list[Tensor], told: Told) -> Tensor:
        for layer in range(len(self.resnets)):
            x_NCHW = self.run(layer, torch.cat([x_NCHW, kept.pop()], dim=1), told)
        for resample in self.upsamplers:
            # To the size of what waits there, which is not twice ours where a side was odd.
            x_NCHW = resample(enlarge(x_NCHW, *kept[-1].shape[-2:]))
        return x_NCHW


class UNet(nn.Module):
    """Estimate the velocity of a noisy clip."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, told_width = config.block_out_channels, config.addition_time_embed_dim
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], 4 * widths[0], 4 * widths[0])
        self.add_embedding = TimestepEmbedding(3 * told_width, 4 * widths[0], 4 * widths[0])
        inside = (widths[0], *widths[:-1])
        self.down_blocks = nn.ModuleList(DownBlock(inside[level], level, config) for level in range(len(widths)))
        self.mid_block = MidBlock(config)
        skips = list_skips(config)
        self.up_blocks = nn.ModuleList()
        for number in range(len(widths)):
            taken = [skips.pop() for _ in range(config.layers_per_block + 1)]
            self.up_blocks.append(UpBlock(widths[-max(number, 1)], taken, number, config))
        self.conv_norm_out = nn.GroupNorm(GROUPS, widths[0], EPS_OUT)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def set_forward_chunk(self, frames: int | None) -> None:
        """Run feed-forward layers on so many frames at once; None is all of them."""
        for module in self.modules():
            if isinstance(module, FeedForward):
                module.chunk = frames

    def list_units(self) -> list[nn.Module]:
        """List what holds most of the weights, in the order in which it runs."""
        units: list[nn.Module] = []
        for block in (*self.down_blocks, self.mid_block, *self.up_blocks):
            for layer, resnet in enumerate(block.resnets):
                units += [resnet, *block.attentions[layer : layer + 1]]
            units += [one for name in ("downsamplers", "upsamplers") for one in getattr(block, name, [])]
        return units

    def forward(self, x_BFCHW: Tensor, timestep: Tensor, context_BND: Tensor, added_ids_BI: Tensor) -> Tensor:
        """Take latents of clip and picture, 0.25·ln sigma, CLIP's embedding, and [fps − 1, motion, noise]."""
        clips, frames = x_BFCHW.shape[:2]
        time_BD = self.embed_time(timestep.to(x_BFCHW.device).expand(clips), added_ids_BI, x_BFCHW.dtype)
        told = Told(time_BD.repeat_interleave(frames, dim=0), context_BND, frames)
        x_NCHW = self.conv_in(x_BFCHW.flatten(0, 1))
        kept = [x_NCHW]
        for block in self.down_blocks:
            kept += block(kept[-1], told)
        x_NCHW = self.mid_block(kept[-1], told)
        for block in self.up_blocks:
            x_NCHW = block(x_NCHW, kept, told)
        return split_frames(self.conv_out(F.silu(self.conv_norm_out(x_NCHW))), frames)

    def embed_time(self, timestep_B: Tensor, added_ids_BI: Tensor, dtype: torch.dtype) -> Tensor:
        """Write the noise level and the numbers that the network is told as one vector."""
        time_BD: Tensor = self.time_embedding(make_waves(timestep_B, self.config.block_out_channels[0]).to(dtype))
        told = make_waves(added_ids_BI.flatten(), self.config.addition_time_embed_dim)
        told_BD: Tensor = self.add_embedding(told.reshape(len(added_ids_BI), -1).to(dtype))
        return time_BD + told_BD


def list_skips(config: UNetConfig) -> list[int]:
    """List the channels of everything kept on the way down."""
    skips = [config.block_out_channels[0]]
    for level, width in enumerate(config.block_out_channels):
        last = level == len(config.block_out_channels) - 1
        skips += [width] * (config.layers_per_block + (0 if last else 1))
    return skips
