"""The UNet's blocks in their order, folded, with channels last throughout. It does not know noise levels or guidance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.engine.fold import (
    FoldedDoubling,
    FoldedFeedForward,
    FoldedLayer,
    FoldedTold,
    FoldedTransformer,
    FoldedVideoRes,
    Halving,
    convolve,
    lay_last,
    linear_wide,
    normalise,
    widen,
)
from unstill.model.blocks import VideoResBlock, make_waves
from unstill.model.unet import Block, DownBlock, UNet, UpBlock

Biases = tuple[Tensor, Tensor]


class FoldedBlock(nn.Module):
    """Residual blocks, each with its transformer, and what resamples after them."""

    def __init__(self, block: Block, resamplers: nn.ModuleList, steps: StepTable) -> None:
        super().__init__()
        self.slots = [steps.add(resnet) for resnet in block.resnets]  # type: ignore[arg-type]
        self.resnets = nn.ModuleList(FoldedVideoRes(resnet) for resnet in block.resnets)  # type: ignore[arg-type]
        self.attentions = nn.ModuleList(FoldedTransformer(one) for one in block.attentions)  # type: ignore[arg-type]
        self.resamplers = resamplers

    def run(self, layer: int, given: list[Tensor], told: FoldedTold) -> Tensor:
        """Run one residual block and its transformer on what is given, which is taken out of the list to be freed."""
        x_NHWC: Tensor = self.resnets[layer](given, told.frames, told.biases[self.slots[layer]])
        if layer < len(self.attentions):
            x_NHWC = self.attentions[layer](x_NHWC, told)
        return x_NHWC


def fold_downsamplers(block: DownBlock) -> nn.ModuleList:
    """Lay out what halves a level's size after it."""
    return nn.ModuleList(Halving(one) for one in block.downsamplers)  # type: ignore[arg-type]


def fold_upsamplers(block: UpBlock) -> nn.ModuleList:
    """Fold what doubles a level's size after it."""
    return nn.ModuleList(FoldedDoubling(one) for one in block.upsamplers)  # type: ignore[arg-type]


class StepTable:
    """What the noise level and the clip's numbers add to each residual block: a bias of its first convolutions.

    The layers that make it stay on the CPU; a step's biases are one row, made once and kept.
    """

    def __init__(self, unet: UNet) -> None:
        self.config, self.dtype = unet.config, unet.conv_in.weight.dtype
        self.embeddings = (unet.time_embedding, unet.add_embedding)
        self.projections: list[tuple[nn.Linear, Tensor]] = []  # of each block's two halves, and the biases they add to
        self._rows: dict[float, list[Biases]] = {}

    def add(self, block: VideoResBlock) -> int:
        """Note a block; return its number."""
        for one in (block.spatial_res_block, block.temporal_res_block):
            assert one.time_emb_proj is not None
            self.projections.append((one.time_emb_proj, widen(one.conv1.bias)))
        return len(self.projections) // 2 - 1

    def find(self, time: float, ids_BI: Tensor, like: Tensor) -> list[Biases]:
        """Give the biases of every block at a noise level."""
        if time not in self._rows:
            ids_BI = ids_BI.cpu()
            if bool(ids_BI.ne(ids_BI[:1]).any()):
                raise ValueError(f"all clips of a call must be told the same numbers, not {ids_BI.tolist()}")
            self._rows[time] = self._make(time, ids_BI[:1], like)
        return self._rows[time]

    def forget(self) -> None:
        """Another clip has other numbers."""
        self._rows.clear()

    def _make(self, time: float, ids_1I: Tensor, like: Tensor) -> list[Biases]:
        waves = make_waves(torch.tensor([time]), self.config.block_out_channels[0])
        told = make_waves(ids_1I.flatten(), self.config.addition_time_embed_dim).reshape(1, -1)
        by_time, by_clip = (  # waves are rounded to the dtype in the reference too
            linear_wide(embed.linear_2, F.silu(linear_wide(embed.linear_1, given.to(self.dtype))))
            for embed, given in zip(self.embeddings, (waves, told), strict=True)
        )
        lever = F.silu(by_time + by_clip)
        parts = [(linear_wide(layer, lever) + bias)[0] for layer, bias in self.projections]
        whole = torch.cat(parts).to(like.device, like.dtype)  # one copy to the device
        split = torch.split(whole, [len(part) for part in parts])
        return list(zip(split[0::2], split[1::2], strict=True))


class FastUNet(nn.Module):
    """Estimate the velocity of a noisy clip, as `UNet` does."""

    def __init__(self, unet: UNet) -> None:
        """Fold the reference's weights, which are on the CPU and lose what is not needed."""
        super().__init__()
        self.table = StepTable(unet)
        self.conv_in, self.conv_norm_out, self.conv_out = unet.conv_in, unet.conv_norm_out, unet.conv_out
        self.downward = [FoldedBlock(block, fold_downsamplers(block), self.table) for block in unet.down_blocks]  # type: ignore[arg-type]
        self.middle = FoldedBlock(unet.mid_block, nn.ModuleList(), self.table)
        self.upward = [FoldedBlock(block, fold_upsamplers(block), self.table) for block in unet.up_blocks]  # type: ignore[arg-type]
        self.blocks = nn.ModuleList([*self.downward, *self.upward])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                lay_last(module)
        self.splits = False
        self._told: tuple[Tensor, Tensor] | None = None

    def take_turns(self, *, splits: bool, parts: int = 1) -> None:
        """Run one branch of guidance after the other, and the rows of feed-forwards in so many parts."""
        self.splits = splits
        for module in self.modules():
            if isinstance(module, FoldedFeedForward):
                module.parts = parts

    def list_units(self) -> list[nn.Module]:
        """List what holds the weights, in the order in which it runs."""
        units: list[nn.Module] = []
        for block in (*self.downward, self.middle, *self.upward):
            for layer, resnet in enumerate(block.resnets):
                units += [resnet, *block.attentions[layer : layer + 1]]
            units += block.resamplers
        return units

    def _bind(self, context_BND: Tensor, added_ids_BI: Tensor) -> None:
        """Forget tables of another clip; both tensors are kept, so that no other can take their place unseen."""
        if context_BND.shape[1] != 1:
            raise ValueError(f"cross-attention is folded for one key, not {context_BND.shape[1]}")
        if self._told is not None and self._told[0] is context_BND and self._told[1] is added_ids_BI:
            return
        self._told = (context_BND, added_ids_BI)
        self.table.forget()
        for module in self.modules():
            if isinstance(module, FoldedLayer):
                module.forget()

    def forward(self, x_BFCHW: Tensor, timestep: Tensor, context_BND: Tensor, added_ids_BI: Tensor) -> Tensor:
        """Take latents of clip and picture, 0.25·ln sigma on the CPU, CLIP's embedding, and [fps − 1, motion, noise]."""
        clips, frames = x_BFCHW.shape[:2]
        self._bind(context_BND, added_ids_BI)
        biases = self.table.find(float(timestep), added_ids_BI, x_BFCHW)
        turns = [slice(clip, clip + 1) for clip in range(clips)] if self.splits else [slice(0, clips)]
        made = [self._run(x_BFCHW[at], FoldedTold(biases, context_BND, frames, at)) for at in turns]
        return made[0] if len(made) == 1 else torch.cat(made)

    def _run(self, x_BFCHW: Tensor, told: FoldedTold) -> Tensor:
        x_NHWC = x_BFCHW.flatten(0, 1).permute(0, 2, 3, 1).contiguous()
        x_NHWC = convolve(x_NHWC, self.conv_in.weight, (1, 1), self.conv_in.bias)
        kept = [x_NHWC]
        for block in self.downward:
            for layer in range(len(block.resnets)):
                kept.append(block.run(layer, [kept[-1]], told))
            for resample in block.resamplers:
                kept.append(resample(kept[-1]))
        x_NHWC = self.middle.run(1, [self.middle.run(0, [kept[-1]], told)], told)
        for block in self.upward:
            for layer in range(len(block.resnets)):
                x_NHWC = torch.cat([x_NHWC, kept.pop()], dim=-1)
                given = [x_NHWC]
                del x_NHWC  # the block is the only one that holds it, and lets go of it
                x_NHWC = block.run(layer, given, told)
            for resample in block.resamplers:
                x_NHWC = resample(x_NHWC, *kept[-1].shape[1:3])
        x_NHWC = convolve(normalise(x_NHWC, self.conv_norm_out), self.conv_out.weight, (1, 1), self.conv_out.bias)
        return x_NHWC.permute(0, 3, 1, 2).reshape(len(x_BFCHW), told.frames, -1, *x_NHWC.shape[1:3])
