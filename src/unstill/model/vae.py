"""The VAE: pixels to latents frame by frame, latents to pixels with an eye on the neighbouring frames.

Operation for operation that of diffusers 0.42. It does not know how many frames are decoded at a time, though
the frames it is given at once do see each other.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from unstill.model.blocks import Attention, Resample, ResBlock, TokenLinear, VideoResBlock, enlarge, split_frames
from unstill.model.config import GROUPS, VAEConfig

EPS, EPS_OVER_TIME = 1e-6, 1e-5


class PixelAttention(Attention):
    """Attention of every cell to every other, with one head, on top of its input."""

    def __init__(self, width: int) -> None:
        super().__init__(width, heads=1)
        self.to_q, self.to_k, self.to_v = (TokenLinear(width, width) for _ in range(3))
        self.group_norm = nn.GroupNorm(GROUPS, width, EPS)

    def forward(self, x_NCHW: Tensor, context_BND: Tensor | None = None) -> Tensor:
        tokens_BND = self.group_norm(x_NCHW.flatten(2)).transpose(1, 2)
        out_BND = super().forward(tokens_BND, context_BND)
        return out_BND.transpose(1, 2).reshape(x_NCHW.shape) + x_NCHW


class EncoderLevel(nn.Module):
    """Residual blocks, and half the size except at the last level."""

    def __init__(self, inside: int, outside: int, layers: int, *, last: bool) -> None:
        super().__init__()
        widths = [inside] + [outside] * (layers - 1)
        self.resnets = nn.ModuleList(ResBlock(width, outside, None, EPS) for width in widths)
        self.downsamplers = nn.ModuleList([] if last else [Resample(outside, stride=2, padding=0)])

    def forward(self, x_NCHW: Tensor) -> Tensor:
        for resnet in self.resnets:
            x_NCHW = resnet(x_NCHW)
        for resample in self.downsamplers:
            x_NCHW = resample(F.pad(x_NCHW, (0, 1, 0, 1)))  # on the right and below only, as it was trained
        return x_NCHW


class EncoderMiddle(nn.Module):
    """Two residual blocks around attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(width, width, None, EPS) for _ in range(2))
        self.attentions = nn.ModuleList([PixelAttention(width)])

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x_NCHW)))
        return out


class Encoder(nn.Module):
    """Pixels to the mean and the log variance of latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.block_out_channels
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            EncoderLevel(widths[max(level - 1, 0)], width, config.layers_per_block, last=level == len(widths) - 1)
            for level, width in enumerate(widths)
        )
        self.mid_block = EncoderMiddle(widths[-1])
        self.conv_norm_out = nn.GroupNorm(GROUPS, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x_NCHW = self.conv_in(x_NCHW)
        for level in self.down_blocks:
            x_NCHW = level(x_NCHW)
        moments: Tensor = self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x_NCHW))))
        return moments


def make_video_block(inside: int, outside: int) -> VideoResBlock:
    """Make a residual block of the decoder, which is not told a noise level."""
    return VideoResBlock(inside, outside, None, EPS, temporal_eps=EPS_OVER_TIME, swapped=True)


class DecoderMiddle(nn.Module):
    """Residual blocks, with attention after the first."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(make_video_block(width, width) for _ in range(layers))
        self.attentions = nn.ModuleList([PixelAttention(width)])

    def forward(self, x_NCHW: Tensor, frames: int) -> Tensor:
        x_NCHW = self.resnets[0](x_NCHW, None, frames)
        # diffusers pairs attentions with the further blocks: there is one, so a third block would never run.
        for attention, resnet in zip(self.attentions, self.resnets[1:], strict=False):
            x_NCHW = resnet(attention(x_NCHW), None, frames)
        return x_NCHW


class DecoderLevel(nn.Module):
    """Residual blocks, and twice the size except at the last level."""

    def __init__(self, inside: int, outside: int, layers: int, *, last: bool) -> None:
        super().__init__()
        widths = [inside] + [outside] * (layers - 1)
        self.resnets = nn.ModuleList(make_video_block(width, outside) for width in widths)
        self.upsamplers = nn.ModuleList([] if last else [Resample(outside, stride=1)])

    def forward(self, x_NCHW: Tensor, frames: int) -> Tensor:
        for resnet in self.resnets:
            x_NCHW = resnet(x_NCHW, None, frames)
        for resample in self.upsamplers:
            x_NCHW = resample(enlarge(x_NCHW, 2 * x_NCHW.shape[-2], 2 * x_NCHW.shape[-1]))
        return x_NCHW


class Decoder(nn.Module):
    """Latents of neighbouring frames to pixels."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.block_out_channels[::-1]
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = DecoderMiddle(widths[0], config.layers_per_block)
        self.up_blocks = nn.ModuleList(
            DecoderLevel(widths[max(level - 1, 0)], width, config.layers_per_block + 1, last=level == len(widths) - 1)
            for level, width in enumerate(widths)
        )
        self.conv_norm_out = nn.GroupNorm(GROUPS, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.out_channels, 3, padding=1)
        self.time_conv_out = nn.Conv3d(config.out_channels, config.out_channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, z_NCHW: Tensor, frames: int) -> Tensor:
        x_NCHW = self.mid_block(self.conv_in(z_NCHW), frames)
        for level in self.up_blocks:
            x_NCHW = level(x_NCHW, frames)
        x_NCHW = self.conv_norm_out(x_NCHW)
        x_NCHW = F.silu(x_NCHW)
        x_NCHW = self.conv_out(x_NCHW)
        x_BCFHW = self.time_conv_out(split_frames(x_NCHW, frames).transpose(1, 2))
        out: Tensor = x_BCFHW.transpose(1, 2).flatten(0, 1)
        return out


class VAE(nn.Module):
    """Encode pictures, decode clips."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.scaling_factor, self.force_upcast = config.scaling_factor, config.force_upcast
        self.latent_channels = config.latent_channels
        self.downscale = 2 ** (len(config.block_out_channels) - 1)
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.decoder = Decoder(config)

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """Return the most likely latents of pixels in [−1, 1], not scaled."""
        moments_BCHW: Tensor = self.quant_conv(self.encoder(x_BCHW))
        return moments_BCHW.chunk(2, dim=1)[0]

    def decode(self, z_NCHW: Tensor, frames: int) -> Tensor:
        """Decode unscaled latents of whole clips, so many frames each, into pixels in about [−1, 1]."""
        pixels_NCHW: Tensor = self.decoder(z_NCHW, frames)
        return pixels_NCHW
