"""What of a picture moves by itself: the network's shares held against the picture, since nothing may flow that is a rock.

Shares are refined at the picture's edges, as nearness is. What flows in front has to look like it: its texture runs one way,
as waves and falls do and rocks do not. What sways has to be rough, as leaves and grass are and walls are not.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.models.pocket.field import SceneField, normalise
from unstill.models.pocket.grids import grow, resize, shrink, smooth, solve_smooth
from unstill.models.pocket.nearness import measure_conductance

SMOOTHING = 3.0  # conductance within a surface, for cells of a quarter of the picture
BELIEVED, CERTAIN = 0.5, 0.7  # refined shares from which on something moves, and moves fully
FAR, CLOUDS = 0.2, (0.35, 0.55)  # nearness below which clouds flow, whatever their texture, and shares as above
RUNS, RUNS_FULLY = 0.35, 0.5  # how much texture has to run one way
ROUGH, ROUGH_FULLY = 0.012, 0.025  # standard deviation of colours within a cell
STREAM, AGREES = (
    2,
    (0.35, 0.6),
)  # cells over which velocities have to agree, and what their mean has to keep of their length
AROUND = 7  # cells over which texture is looked at
SMALLEST = 4  # cells: the reach of what is dropped for being small
LEAST_AREA = 0.01  # of the picture
RIM = 2  # cells at the edge of what moves that stay; motion grows from there on


def settle_motion(field: SceneField, picture_CHW: Tensor, nearness_HW: Tensor) -> SceneField:
    """Return the field with shares and motion of only what surely moves, on the grid of the refined nearness."""
    size = nearness_HW.shape
    shares = torch.stack([field.flows_HW, field.sways_HW])
    if float(shares.max()) < BELIEVED:
        nothing_HW, nowhere_CHW = torch.zeros_like(nearness_HW), nearness_HW.new_zeros(2, *size)
        return SceneField(nearness_HW, nothing_HW, nothing_HW, nowhere_CHW, nowhere_CHW)
    small_CHW = resize(picture_CHW, size, "area")
    across_HW, down_HW = measure_conductance(small_CHW)
    shares = solve_smooth(resize(shares, size), torch.ones_like(nearness_HW), SMOOTHING * across_HW, SMOOTHING * down_HW, 40)
    believed = rise(shares, BELIEVED, CERTAIN)
    runs_HW, rough_HW = look_at_texture(picture_CHW, size, believed[0])
    flow_CHW, agree_HW = find_streams(field.flow_CHW)
    clouds_HW = rise(shares[0], *CLOUDS) * rise(FAR - nearness_HW, 0, FAR / 2)
    flows_HW = torch.maximum(believed[0] * rise(runs_HW, RUNS, RUNS_FULLY), clouds_HW) * resize(agree_HW[None], size)[0]
    sways_HW = believed[1] * rise(rough_HW, ROUGH, ROUGH_FULLY)
    flows_HW, sways_HW = (drop_small(share_HW) for share_HW in (flows_HW, sways_HW))
    return replace(
        field,
        nearness_HW=nearness_HW,
        flows_HW=flows_HW,
        sways_HW=sways_HW,
        flow_CHW=normalise(resize(flow_CHW, size), flows_HW),
        sway_CHW=normalise(resize(field.sway_CHW, size), sways_HW),
    )


def find_streams(flow_CHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return velocities that agree with those around them, and how surely, 0 to 1; a guess differs from cell to cell."""
    steady_CHW = smooth(flow_CHW, STREAM)
    length_HW = smooth(flow_CHW.norm(dim=0)[None], STREAM)[0]
    return steady_CHW, rise(steady_CHW.norm(dim=0) / length_HW.clamp(min=1e-6), *AGREES)


def rise(value: Tensor, low: float, high: float) -> Tensor:
    """Return 0 below a value, 1 above another, and a straight line between."""
    return ((value - low) / (high - low)).clamp(0, 1)


def look_at_texture(picture_CHW: Tensor, size: torch.Size, where_HW: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much texture runs the way in which it does on average where something may flow, −1 to 1, and its roughness."""
    half_CHW = resize(picture_CHW, (2 * size[0], 2 * size[1]), "area")
    across, down = half_CHW.diff(dim=2)[:, :-1], half_CHW.diff(dim=1)[:, :, :-1]
    tensor = torch.stack([across.square().sum(0) - down.square().sum(0), 2 * (across * down).sum(0)])
    power_HW = across.square().sum(0) + down.square().sum(0) + 1e-4
    # By the root of the power, so that one hard edge does not decide.
    parts = torch.cat([tensor / power_HW.sqrt(), power_HW.sqrt()[None]])
    parts = smooth(resize(F.pad(parts[None], (0, 1, 0, 1), mode="replicate")[0], size, "area"), AROUND)
    way_2 = (parts[:2] * where_HW).sum((1, 2))
    way_2 = way_2 / way_2.norm().clamp(min=1e-9)
    square_HW = resize(half_CHW.square(), size, "area").sum(0) - resize(half_CHW, size, "area").square().sum(0)
    rough_HW = smooth(square_HW.clamp(min=0).sqrt()[None], AROUND // 2)[0]
    return (way_2[:, None, None] * parts[:2]).sum(0) / parts[2], rough_HW


def drop_small(share_HW: Tensor) -> Tensor:
    """Return a share without what is small or thin, easing in from its edge."""
    solid_HW = (share_HW > 0.5).float()
    solid_HW = solid_HW * grow(shrink(solid_HW, SMALLEST), SMALLEST + 2)
    if float(solid_HW.mean()) < LEAST_AREA:
        return torch.zeros_like(share_HW)
    return share_HW * smooth(shrink(solid_HW, RIM + 2)[None], 2)[0]
