"""The part of the picture that every frame can show: a clip must not look past the picture's edge.

It does not know colours.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.artifacts import View
from unstill.render.fill import fill_from_afar
from unstill.render.guide import Guided
from unstill.render.motion import displace
from unstill.render.splat import Points, throw

PAST = 0.008  # of a side that a frame may look past the edge: stretched that little, nobody sees it
CLOSEST = 1.35  # the most that a view enlarges; beyond, what lies past the edge is made up
MOST_AMENDED = 2.0  # the field is brought to the speed asked for by this factor at most
LOOKS = 8  # moments at which the edges are looked at


def pace(guided: Guided, frames: int, speed: float) -> tuple[Guided, View]:
    """Bring what is seen to a speed, in picture widths a frame, and choose the view; a view enlarges motion too."""
    velocity_KCHW = guided.velocity_KCHW
    amended = speed / max(measure_seen_speed(velocity_KCHW), 1e-9)
    paced = replace(guided, velocity_KCHW=velocity_KCHW * min(max(amended, 1 / MOST_AMENDED), MOST_AMENDED))
    view = choose_view(paced, frames)
    closer = view.scale - 1
    if closer == 0:
        return paced, view
    # It grows with the motion: solve motion · (1 + closer · motion) = 1.
    paced = replace(paced, velocity_KCHW=paced.velocity_KCHW * ((1 + 4 * closer) ** 0.5 - 1) / (2 * closer))
    return paced, choose_view(paced, frames)


def measure_seen_speed(velocity_KCHW: Tensor) -> float:
    """Give the mean speed from moment to moment, in widths a frame; each place counts by its own speed squared."""
    number = torch.arange(1, len(velocity_KCHW) + 1, device=velocity_KCHW.device)[:, None, None, None]
    place_KCHW = velocity_KCHW * number
    step_KHW = torch.cat([place_KCHW[:1], place_KCHW.diff(dim=0)]).square().sum(1).sqrt()
    return float((step_KHW**3).mean() / (step_KHW**2).mean().clamp(min=1e-20))


def choose_view(guided: Guided, frames: int) -> View:
    """Choose the largest part that no frame looks past, the most central of those."""
    quarter = tuple(-(-side // 2) for side in guided.order_HW.shape)
    velocity = F.interpolate(guided.velocity_KCHW, size=quarter, mode="area")
    order = F.interpolate(guided.order_HW[None, None], size=quarter, mode="area")[0, 0]
    points, past = Points(order), torch.zeros_like(order, dtype=torch.bool)
    for look in range(1, LOOKS + 1):
        past |= _find_past(velocity, points, order, look * (frames - 1) / LOOKS, frames)
    return _fit(past)


def _find_past(velocity_KCHW: Tensor, points: Points, order_HW: Tensor, frame: float, frames: int) -> Tensor:
    """Say which pixels of a frame would show what lies past the picture's edge."""
    rows, columns = order_HW.shape
    moved = displace(velocity_KCHW, frame, frames) * columns
    source = throw(points, moved, (0.0, 0.0, 1.0), (rows, columns))
    here = torch.stack(torch.meshgrid(*(torch.arange(n, device=moved.device).float() for n in (rows, columns)), indexing="ij"))
    here = here.flip(0)
    known = (source.covered_HW == 1).float()
    place = here - fill_from_afar(here - source.place_CHW, known, order_HW)
    far_x = torch.maximum(-place[0], place[0] - (columns - 1)) > PAST * columns
    far_y = torch.maximum(-place[1], place[1] - (rows - 1)) > PAST * rows
    empty = source.covered_HW < 0.5
    # What has left an edge uncovers what the picture does not hold, not what lies behind it.
    return far_x | far_y | _run_inward(empty) | _run_inward(empty.T).T


def _run_inward(empty_HW: Tensor) -> Tensor:
    """Say which places are empty from the left or right edge on, where these are more than may look past it."""

    def run(view_HW: Tensor) -> Tensor:
        from_left = view_HW.long().cumprod(1)
        return (from_left * (from_left.sum(1, keepdim=True) > PAST * view_HW.shape[1])).bool()

    return run(empty_HW) | run(empty_HW.flip(1)).flip(1)


def _fit(past_HW: Tensor) -> View:
    """Find the largest window of the picture's shape with nothing past the edge in it."""
    rows, columns = past_HW.shape
    sums = F.pad(past_HW.float().cumsum(0).cumsum(1), (1, 0, 1, 0))
    best = View()
    for percent in range(100, round(100 * CLOSEST) + 1):
        high, wide = round(rows * 100 / percent), round(columns * 100 / percent)
        counts = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
        y = torch.arange(counts.shape[0], device=counts.device)[:, None] - (rows - high) / 2
        x = torch.arange(counts.shape[1], device=counts.device)[None, :] - (columns - wide) / 2
        # First the count, then how far from the middle; a fraction of one pixel decides nothing.
        number = int((counts.round() * 1e6 + (x**2 + y**2)).argmin())
        top, left = divmod(number, counts.shape[1])
        best = View(left / columns, top / rows, percent / 100)
        if counts[top, left] < 0.5:
            break
    return best if best.scale > 1 else View()
