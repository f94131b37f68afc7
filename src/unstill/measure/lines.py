"""Straight lines of a picture, and whether they are straight in another frame.

A line bends where its edge has left the best straight line but goes on beside it. It does not know clips or verdicts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.measure.flow import GREY, blur
from unstill.measure.windows import slopes

CELL = 16  # px: one line is looked for in each square of these sides, where its edge is strongest
EDGE = 5 * GREY  # of change a pixel: weaker edges are not followed
HALVES = (8, 20, 128)  # px to both sides in which an edge is followed, further each time
BESIDE = 3  # px beside a line where its edge is looked for
HOLDS = 0.35  # of the edge in the middle is what must be left along the line
STRAIGHT = 0.8  # px that an edge may lie off its line in the first frame
SHORTEST = 40  # px: shorter lines tell little of bending
GAP, SUPPORT = 28, 0.65  # px to both sides within which this share of a line must have its edge
SOLVES = 8  # steps that find where a point of the first frame has gone
MOST = 48  # lines, the longest ones
ASIDE, TURNED = 3.0, 0.99  # px beside a longer line, and cosine to it, within which another one is a part of it
SAMPLES = 64  # along a line
ROOM, TILT = 12, 8  # px to both sides in which its edge is followed; in which the ends of the best straight line lie
EDGE_LEFT = 0.35  # of a line's edge must be left where it counts
WHOLE, STRAIGHT_SHARE = 0.85, 0.93  # of a line must still have its edge; of a line in the first frame must be straight
OFF = 2  # px from the best straight line are off it
PULL = 0.02  # of a sample: an edge that goes on as it went is preferred


@dataclass(frozen=True, eq=False)
class StraightLines:
    """StraightLines of one picture, each sampled at every pixel of its length."""

    points_LN2: Tensor
    holds_LN: Tensor  # which of the samples are on the line
    normal_L2: Tensor
    edge_L: Tensor  # how strong the edge is, on average

    def take(self, which: Tensor) -> StraightLines:
        """Return some of the lines."""
        return StraightLines(self.points_LN2[which], self.holds_LN[which], self.normal_L2[which], self.edge_L[which])


@dataclass(frozen=True, eq=False)
class Bends:
    """How many px of each line lie off the best straight line in a late frame, and where the line is."""

    off_L: Tensor
    box_L4: Tensor  # left, top, right, bottom, px


def find_lines(colour_CHW: Tensor) -> StraightLines:
    """Find straight edges, at most one from each cell, each once."""
    tensor_3HW = measure_tensor(colour_CHW)
    strength_HW = (tensor_3HW[0] + tensor_3HW[2]).sqrt()
    best, index = F.max_pool2d(strength_HW[None, None], CELL, return_indices=True)
    chosen = index.flatten()[best.flatten() > EDGE]
    columns = colour_CHW.shape[2]
    at_L2 = torch.stack([chosen % columns, chosen // columns], 1).float()
    normal_L2 = _orient(tensor_3HW, chosen)
    for half in HALVES:
        at_L2, normal_L2, lines = _follow(tensor_3HW, at_L2, normal_L2, half)
    lines = lines.take(lines.holds_LN.sum(1) >= SHORTEST)
    lines = lines.take(_choose(lines))
    if not len(lines.edge_L):
        return lines
    course = _unroll(lines, tensor_3HW, torch.zeros_like(tensor_3HW[:2]))
    return lines.take(course.is_seen_L & (_find_straight(course)[1] > STRAIGHT_SHARE))


def _choose(lines: StraightLines) -> Tensor:
    """Choose the longest lines, none of which is a part of another."""
    length_L = lines.holds_LN.sum(1)
    order = length_L.argsort(descending=True, stable=True)
    weight = lines.holds_LN[..., None].float()
    middle_L2 = (lines.points_LN2 * weight).sum(1) / weight.sum(1).clamp(min=1)
    away_LL2 = middle_L2[None] - middle_L2[:, None]
    aside = (away_LL2 * lines.normal_L2[:, None]).sum(2).abs() < ASIDE
    is_part = aside & ((lines.normal_L2 @ lines.normal_L2.T).abs() > TURNED) & (away_LL2.norm(dim=2) < length_L[:, None] / 2)
    kept: list[int] = []
    for at in order.tolist():
        if len(kept) < MOST and not bool(is_part[kept, at].any()):
            kept.append(at)
    return torch.tensor(kept, dtype=torch.long, device=length_L.device)


def measure_tensor(colour_CHW: Tensor) -> Tensor:
    """Return squares and product of slopes, summed over channels: xx, xy, yy, [3, H, W]; 0 at the border."""
    x, y = slopes(blur(colour_CHW[None], 1)[0])
    tensor = torch.stack([(x * x).sum(0), (x * y).sum(0), (y * y).sum(0)])
    inner = torch.zeros_like(tensor)
    inner[:, 2:-2, 2:-2] = tensor[:, 2:-2, 2:-2]
    return inner


def _orient(tensor_3HW: Tensor, chosen: Tensor) -> Tensor:
    """Return the direction across the edge at pixels, from all slopes around it, [L, 2]."""
    xx, xy, yy = (part.flatten()[chosen] for part in blur(tensor_3HW[None], 1, 2)[0])
    angle = torch.atan2(2 * xy, xx - yy) / 2
    return torch.stack([angle.cos(), angle.sin()], 1)


def _follow(tensor_3HW: Tensor, at_L2: Tensor, normal_L2: Tensor, half: int) -> tuple[Tensor, Tensor, StraightLines]:
    """Follow edges to both sides, and lay lines through them anew."""
    along = torch.arange(-half, half + 1.0, device=at_L2.device)
    way_L2 = torch.stack([-normal_L2[:, 1], normal_L2[:, 0]], 1)
    points = at_L2[:, None] + along[:, None] * way_L2[:, None]
    off_LN, edge_LN = find_edge(tensor_3HW, points, normal_L2)
    holds = edge_LN > HOLDS * edge_LN[:, half : half + 1]
    weight = holds.float() / (1 + off_LN.square())
    shift, turn = _fit(along.expand_as(off_LN), off_LN, weight)
    near = holds & ((off_LN - shift - turn * along).abs() < STRAIGHT)
    near = F.avg_pool1d(near[:, None].float(), 2 * GAP + 1, 1, GAP, count_include_pad=False)[:, 0] > SUPPORT
    reach = [near[:, : half + 1].flip(1).long().cumprod(1).flip(1), near[:, half + 1 :].long().cumprod(1)]
    at_L2 = at_L2 + shift * normal_L2
    turned = F.normalize(way_L2 + turn * normal_L2, dim=1)
    normal_L2 = torch.stack([turned[:, 1], -turned[:, 0]], 1)
    holds = torch.cat(reach, 1) > 0
    mean_L = (edge_LN * holds).sum(1) / holds.sum(1).clamp(min=1)
    return at_L2, normal_L2, StraightLines(at_L2[:, None] + along[:, None] * turned[:, None], holds, normal_L2, mean_L)


def find_edge(tensor_3HW: Tensor, points_LN2: Tensor, normal_L2: Tensor) -> tuple[Tensor, Tensor]:
    """Find how far beside each point the edge across the normal is, and how strong it is there, [L, N] both."""
    beside = torch.arange(-BESIDE, BESIDE + 1.0, device=points_LN2.device)
    edge = measure_across(tensor_3HW, points_LN2[:, :, None] + beside[:, None] * normal_L2[:, None, None], normal_L2)
    weight = edge**4
    return (weight * beside).sum(2) / weight.sum(2).clamp(min=1e-12), edge.amax(2)


def measure_across(tensor_3HW: Tensor, places_LNB2: Tensor, normal_L2: Tensor) -> Tensor:
    """Measure how steep places are across their line, [L, N, B]."""
    xx, xy, yy = (sample(part, places_LNB2) for part in tensor_3HW)
    x, y = (part[:, None, None] for part in normal_L2.unbind(1))
    steep: Tensor = (xx * x * x + 2 * xy * x * y + yy * y * y).clamp(min=0).sqrt()
    return steep


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


@dataclass(frozen=True, eq=False)
class Course:
    """What lies along lines and to both sides of where they should be straight, in another frame."""

    ridge_LNB: Tensor  # 1 where an edge like the line's is, within a pixel
    points_LN2: Tensor  # where the line would be
    length_L: Tensor
    is_seen_L: Tensor  # long enough in the frame


def measure_bends(lines: StraightLines, late_CHW: Tensor, way_2HW: Tensor) -> Bends:
    """Measure how much of each line is off the straight in a late frame; ways lead from its pixels to where they were."""
    course = _unroll(lines, measure_tensor(late_CHW), way_2HW)
    straight_LN, _ = _find_straight(course)
    path_LN = _find_path(course.ridge_LNB)
    on_path, on_straight = (course.ridge_LNB.gather(2, at_LN[..., None])[..., 0] for at_LN in (path_LN, straight_LN))
    is_off_LN = (on_path > 0) & (on_straight == 0) & ((path_LN - straight_LN).abs() >= OFF)
    off_L = is_off_LN.float().mean(1) * course.length_L
    counts_L = course.is_seen_L & (on_path.mean(1) > WHOLE)
    box_L4 = torch.cat([course.points_LN2.amin(1), course.points_LN2.amax(1)], 1)
    return Bends(torch.where(counts_L, off_L, 0.0), box_L4)


def _unroll(lines: StraightLines, tensor_3HW: Tensor, way_2HW: Tensor) -> Course:
    """Follow lines to where their points have gone, and look for their edges beside the straight line through these."""
    points = lines.points_LN2
    gone = points.clone()
    for _ in range(SOLVES):  # where a point is now: the place whose way leads to it
        gone = points - torch.stack([sample(part, gone) for part in way_2HW], -1)
    rows, columns = tensor_3HW.shape[-2:]
    inside = (gone > 2).all(2) & (gone[..., 0] < columns - 3) & (gone[..., 1] < rows - 3)
    weight = (lines.holds_LN & inside).float()
    normal, middle = _lay_line(gone, weight, lines.normal_L2)
    tangent = torch.stack([-normal[:, 1], normal[:, 0]], 1)
    along = ((gone - middle[:, None]) * tangent[:, None]).sum(2)
    start, end = (torch.where(weight > 0, along, 0.0).amin(1), torch.where(weight > 0, along, 0.0).amax(1))
    share = torch.linspace(0, 1, SAMPLES, device=points.device)
    base = middle[:, None] + (start[:, None] + (end - start)[:, None] * share)[..., None] * tangent[:, None]
    beside = torch.arange(-ROOM, ROOM + 1.0, device=points.device)
    places = base[:, :, None] + beside[:, None] * normal[:, None, None]
    edge = measure_across(tensor_3HW, places, normal)
    peak = (edge > EDGE_LEFT * lines.edge_L[:, None, None]) & (edge >= F.max_pool2d(edge[:, None], (1, 3), 1, (0, 1))[:, 0])
    ridge = F.max_pool2d(peak[:, None].float(), (1, 3), 1, (0, 1))[:, 0]
    return Course(ridge, base, end - start, (weight.sum(1) >= SHORTEST) & (end - start >= SHORTEST))


def _find_straight(course: Course) -> tuple[Tensor, Tensor]:
    """Find the straight line that lies on most of the edge: which place beside each sample, and on which share."""
    share = torch.linspace(0, 1, SAMPLES, device=course.length_L.device)
    ends = torch.arange(ROOM - TILT, ROOM + TILT + 1.0, device=share.device)
    each_EN = (ends[:, None, None] + (ends[None, :, None] - ends[:, None, None]) * share).round().long().flatten(0, 1)
    number_EN = each_EN + torch.arange(SAMPLES, device=share.device) * (2 * ROOM + 1)
    share_LE = course.ridge_LNB.flatten(1)[:, number_EN].mean(2)
    best_L, index_L = share_LE.max(1)
    return each_EN[index_L], best_L


def _find_path(ridge_LNB: Tensor) -> Tensor:
    """Find the path from end to end that lies on most of the edge, and moves aside by a place a sample at most."""
    steps: list[Tensor] = []
    total = ridge_LNB[:, 0]
    for here in ridge_LNB[:, 1:].unbind(1):
        padded = F.pad(total, (1, 1), value=-math.inf)
        best, step = torch.stack([padded[:, :-2], padded[:, 1:-1] + PULL, padded[:, 2:]]).max(0)
        total, steps = best + here, [*steps, step - 1]
    at = total.argmax(1)
    path = [at]
    for step in reversed(steps):
        at = at + step.gather(1, at[:, None])[:, 0]
        path.append(at)
    return torch.stack(path[::-1], 1)


def _lay_line(points_LN2: Tensor, weight_LN: Tensor, facing_L2: Tensor) -> tuple[Tensor, Tensor]:
    """Lay a line along the main axis of points: its normal, on the side of another one, and its middle."""
    total = weight_LN.sum(1, keepdim=True).clamp(min=1.0)
    middle = (weight_LN[..., None] * points_LN2).sum(1) / total
    x, y = ((points_LN2 - middle[:, None]) * weight_LN[..., None]).unbind(2)
    angle = torch.atan2(2 * (x * y).sum(1), x.square().sum(1) - y.square().sum(1)) / 2
    normal = torch.stack([-angle.sin(), angle.cos()], 1)
    return normal * torch.where((normal * facing_L2).sum(1, keepdim=True) < 0, -1.0, 1.0), middle
