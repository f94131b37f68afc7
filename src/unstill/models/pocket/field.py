"""What the bundled model knows about a picture: how near each cell is, what flows, what sways, and how.

A field has seven channels on a coarse grid. Nearness and the two shares are the network's mean answer, read off its
first step; how things flow and sway is sampled, so that seeds differ. This module does not know networks or frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

NEARNESS, FLOWS, FLOW, SWAYS, SWAY = 0, 1, slice(3, 5), 2, slice(5, 7)  # channels
CHANNELS = 7
PATCH = 2  # cells of a side that the UNet takes as one
CELL_PX = 4  # pixels of a side of the small picture that make a cell
AREA = 18 * 32  # patches of a field, whatever its shape
FEWEST_ROWS = 4
AREA_PX = 1024 * 576  # speeds are meant at this size; clips of other sizes count as enlarged to this area
LEAST_SHARE = 1e-3  # of the picture: below, nothing flows or sways whose speed could be normalised


@dataclass(frozen=True, eq=False)
class SceneField:
    """A field as the renderer reads it; H, W are cells."""

    nearness_HW: Tensor  # inverse distance, about mean 0 and spread 1
    flows_HW: Tensor  # share of the cell's surface that flows
    sways_HW: Tensor  # share that sways
    flow_CHW: Tensor  # velocity to the right and down; mean speed 1 over what flows
    sway_CHW: Tensor  # amplitude to the right and down; mean 1 over what sways


def read_field(mean_CHW: Tensor, sampled_CHW: Tensor) -> SceneField:
    """Return the field of a mean answer and a sample, both unpacked to [7, H, W]."""
    flows_HW, sways_HW = (to_share(mean_CHW[channel]) for channel in (FLOWS, SWAYS))
    return SceneField(
        nearness_HW=mean_CHW[NEARNESS],
        flows_HW=flows_HW,
        sways_HW=sways_HW,
        flow_CHW=normalise(sampled_CHW[FLOW], flows_HW),
        sway_CHW=normalise(sampled_CHW[SWAY], sways_HW),
    )


def to_share(channel_HW: Tensor) -> Tensor:
    """Return the share 0 to 1 that a channel holds as −1 to 1."""
    share_HW: Tensor = ((channel_HW + 1) / 2).clamp(0, 1)
    return share_HW


def normalise(motion_CHW: Tensor, share_HW: Tensor) -> Tensor:
    """Scale vectors [..., 2, H, W] to mean length 1 over the surface that moves; zeros if none does."""
    weight = share_HW.mean((-2, -1))
    length = (motion_CHW.norm(dim=-3) * share_HW).mean((-2, -1)) / weight.clamp(min=LEAST_SHARE)
    scale: Tensor = (weight >= LEAST_SHARE) / length.clamp(min=1e-6)
    return motion_CHW * scale[..., None, None, None]


def pack(field_BKCHW: Tensor) -> Tensor:
    """Return patches of cells as channels."""
    return F.pixel_unshuffle(field_BKCHW, PATCH)


def unpack(latents_BKCHW: Tensor) -> Tensor:
    """Return channels as patches of cells."""
    return F.pixel_shuffle(latents_BKCHW, PATCH)


def choose_patches(height: float, width: float) -> tuple[int, int]:
    """Return the rows and columns of the field, in patches, that fit a picture's shape; 18 by 32 for 16:9."""
    rows = max(FEWEST_ROWS, round((AREA * height / width) ** 0.5))
    return rows, max(FEWEST_ROWS, round(AREA / rows))


def px_per_width(height: int, width: int) -> float:
    """Return the width in px of a clip enlarged or shrunk to the area that speeds are meant at."""
    return math.sqrt(AREA_PX * width / height)
