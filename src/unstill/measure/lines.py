"""Straight lines of a picture, and how far they are from straight in another frame.

It does not know clips or verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.measure.flow import GREY, blur

CELL = 16  # px: one line is looked for in each square of these sides, where its edge is strongest
EDGE = 3 * GREY  # of change a pixel: weaker edges are not followed
HALVES = (8, 20, 64)  # px to both sides in which an edge is followed, further each time
BESIDE = 3  # px beside a line where its edge is looked for
HOLDS = 0.35  # of the edge in the middle is what must be left along the line
STRAIGHT = 0.8  # px that an edge may lie off its line in the first frame
SHORTEST = 40  # px: shorter lines tell little of bending
SOLVES = 8  # steps that find where a point of the first frame has gone
SEEN = 0.8  # of a line must still have its edge where it has gone
SMOOTH = 7  # px along a line that are averaged


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines of one picture, each sampled at every pixel of its length."""

    points_LN2: Tensor
    holds_LN: Tensor  # which of the samples are on the line
    normal_L2: Tensor


@dataclass(frozen=True, eq=False)
class Bends:
    """How far each line is from straight in a late frame, in px, and where it is."""

    off_L: Tensor
    box_L4: Tensor  # left, top, right, bottom, px


def find_lines(light_HW: Tensor) -> Lines:
    """Find straight edges, at most one from each cell."""
    slope_2HW = _slope(light_HW)
    strength_HW = torch.hypot(*slope_2HW)
    best, index = F.max_pool2d(strength_HW[None, None], CELL, return_indices=True)
    chosen = index.flatten()[best.flatten() > EDGE]
    columns = light_HW.shape[1]
    at_L2 = torch.stack([chosen % columns, chosen // columns], 1).float()
    normal_L2 = _orient(slope_2HW, chosen)
    for half in HALVES:
        at_L2, normal_L2, lines = _follow(slope_2HW, at_L2, normal_L2, half)
    kept = lines.holds_LN.sum(1) >= SHORTEST
    return Lines(lines.points_LN2[kept], lines.holds_LN[kept], lines.normal_L2[kept])


def _slope(light_HW: Tensor) -> Tensor:
    soft = blur(light_HW[None, None], 1)
    slope = torch.zeros(2, *light_HW.shape, device=light_HW.device)
    slope[0, :, 1:-1] = (soft[0, 0, :, 2:] - soft[0, 0, :, :-2]) / 2
    slope[1, 1:-1] = (soft[0, 0, 2:] - soft[0, 0, :-2]) / 2
    return slope


def _orient(slope_2HW: Tensor, chosen: Tensor) -> Tensor:
    """Give the direction across the edge at pixels, from all slopes around it, [L, 2]."""
    x, y = slope_2HW
    xx, xy, yy = (part.flatten()[chosen] for part in blur(torch.stack([x * x, x * y, y * y])[None], 1, 2)[0])
    angle = torch.atan2(2 * xy, xx - yy) / 2
    normal = torch.stack([angle.cos(), angle.sin()], 1)
    own = torch.stack([x.flatten()[chosen], y.flatten()[chosen]], 1)
    return normal * (normal * own).sum(1, keepdim=True).sign()


def _follow(slope_2HW: Tensor, at_L2: Tensor, normal_L2: Tensor, half: int) -> tuple[Tensor, Tensor, Lines]:
    """Follow edges to both sides, and lay lines through them anew."""
    along = torch.arange(-half, half + 1.0, device=at_L2.device)
    way_L2 = torch.stack([-normal_L2[:, 1], normal_L2[:, 0]], 1)
    points = at_L2[:, None] + along[:, None] * way_L2[:, None]
    off_LN, edge_LN = find_edge(slope_2HW, points, normal_L2)
    holds = edge_LN > HOLDS * edge_LN[:, half : half + 1]
    weight = holds.float() / (1 + off_LN.square())
    shift, turn = _fit(along.expand_as(off_LN), off_LN, weight)
    near = holds & ((off_LN - shift - turn * along).abs() < STRAIGHT)
    reach = [near[:, : half + 1].flip(1).long().cumprod(1).flip(1), near[:, half + 1 :].long().cumprod(1)]
    at_L2 = at_L2 + shift * normal_L2
    turned = F.normalize(way_L2 + turn * normal_L2, dim=1)
    normal_L2 = torch.stack([turned[:, 1], -turned[:, 0]], 1)
    lines = Lines(at_L2[:, None] + along[:, None] * turned[:, None], torch.cat(reach, 1) > 0, normal_L2)
    return at_L2, normal_L2, lines


def find_edge(slope_2HW: Tensor, points_LN2: Tensor, normal_L2: Tensor) -> tuple[Tensor, Tensor]:
    """Find how far beside each point the edge across the normal is, and how strong it is there, [L, N] both."""
    beside = torch.arange(-BESIDE, BESIDE + 1.0, device=points_LN2.device)
    places = points_LN2[:, :, None] + beside[:, None] * normal_L2[:, None, None]
    x, y = (sample(part, places) for part in slope_2HW)
    edge = (x * normal_L2[:, 0, None, None] + y * normal_L2[:, 1, None, None]).clamp(min=0)
    weight = edge**4
    return (weight * beside).sum(2) / weight.sum(2).clamp(min=1e-12), edge.amax(2)


def sample(x_HW: Tensor, places: Tensor) -> Tensor:
    """Read x between pixels at any number of places, the last axis is right and down."""
    rows, columns = x_HW.shape
    size = torch.tensor([columns, rows], device=places.device)
    grid = ((places + 0.5) * 2 / size - 1).reshape(1, 1, -1, 2)
    read = F.grid_sample(x_HW[None, None], grid, padding_mode="border", align_corners=False)
    return read.reshape(places.shape[:-1])


def _fit(along: Tensor, off: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Lay a line through what is off, by weighted least squares: where it crosses the middle, and its slope, [L, 1] both."""
    total = weight.sum(1, keepdim=True).clamp(min=1e-6)
    middle, mean = (weight * along).sum(1, keepdim=True) / total, (weight * off).sum(1, keepdim=True) / total
    spread = (weight * (along - middle) ** 2).sum(1, keepdim=True).clamp(min=1e-6)
    slope = (weight * (along - middle) * (off - mean)).sum(1, keepdim=True) / spread
    return mean - slope * middle, slope


def measure_bends(lines: Lines, late_HW: Tensor, ways: Sequence[Tensor]) -> Bends:
    """Measure how straight lines are in a late frame.

    Ways lead from its pixels to where they may have been; a line that is straight by one of them is straight.
    """
    slope_2HW = _slope(late_HW)
    found = [_measure_bend(lines, slope_2HW, way_2HW) for way_2HW in ways]
    best = torch.stack([bends.off_L for bends in found]).argmin(0)
    off_L = torch.stack([bends.off_L for bends in found]).amin(0)
    box_L4 = torch.stack([bends.box_L4 for bends in found])[best, torch.arange(len(best), device=best.device)]
    return Bends(torch.where(off_L < math.inf, off_L, 0.0), box_L4)


def _measure_bend(lines: Lines, slope_2HW: Tensor, way_2HW: Tensor) -> Bends:
    """Find the edges of lines where a way says they are now; infinity where they are not there."""
    points = lines.points_LN2
    gone = points.clone()
    for _ in range(SOLVES):  # where a point is now: the place whose way leads to it
        gone = points - torch.stack([sample(part, gone) for part in way_2HW], -1)
    rows, columns = slope_2HW.shape[-2:]
    inside = (gone > 2).all(2) & (gone[..., 0] < columns - 3) & (gone[..., 1] < rows - 3)
    weight = (lines.holds_LN & inside).float()
    normal = _cross(gone, weight, lines.normal_L2)[0]
    beside, edge = find_edge(slope_2HW, gone, normal)
    there = weight * (edge > EDGE / 2)
    gone = gone + beside[..., None] * normal[:, None]
    _, off = _cross(gone, there, normal)
    smooth = _average(off * there) / _average(there).clamp(min=1e-6)
    counts = (_average(there) > 0.7) * there
    bent = (smooth.abs() * counts).amax(1)
    length = weight.sum(1)
    is_seen = (there.sum(1) > SEEN * length) & (length >= SHORTEST)
    low = torch.where(weight[..., None] > 0, gone, math.inf).amin(1)
    high = torch.where(weight[..., None] > 0, gone, -math.inf).amax(1)
    return Bends(torch.where(is_seen, bent, math.inf), torch.cat([low, high], 1))


def _cross(points_LN2: Tensor, weight_LN: Tensor, facing_L2: Tensor) -> tuple[Tensor, Tensor]:
    """Lay a line along the main axis of points: its normal, on the side of another one, and how far each point is off it."""
    total = weight_LN.sum(1, keepdim=True).clamp(min=1.0)
    away = points_LN2 - (weight_LN[..., None] * points_LN2).sum(1, keepdim=True) / total[..., None]
    x, y = (away * weight_LN[..., None]).unbind(2)
    angle = torch.atan2(2 * (x * y).sum(1), x.square().sum(1) - y.square().sum(1)) / 2
    normal = torch.stack([-angle.sin(), angle.cos()], 1)
    normal = normal * torch.where((normal * facing_L2).sum(1, keepdim=True) < 0, -1.0, 1.0)
    return normal, (away * normal[:, None]).sum(2)


def _average(x_LN: Tensor) -> Tensor:
    return F.avg_pool1d(x_LN[:, None], SMOOTH, 1, SMOOTH // 2)[:, 0]
