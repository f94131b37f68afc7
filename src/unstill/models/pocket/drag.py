"""What an arrow takes along: the thing it begins on, found by the picture's own edges, and how it goes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unstill.models.pocket.grids import box, grow, lay_places, resize, smooth, solve_smooth

SEED = 0.02  # widths: what lies so close to an arrow's beginning surely is the thing
FARTHEST = 0.16  # widths: what lies farther surely is not
HELD = 0.004  # how strongly the rest is held back
OWN_COLOUR = 0.10  # colour difference from what surrounds the thing


@dataclass(frozen=True)
class Arrow:
    """Where a thing is, and how far it goes, in shares of the picture's width and height."""

    x: float
    y: float
    dx: float
    dy: float


def find_thing(picture_CHW: Tensor, arrow: Arrow) -> Tensor:
    """Return 1 for what an arrow begins on and 0 elsewhere, on a quarter of the picture's size.

    Values spread from the arrow's beginning over what looks unlike the surroundings (solved as a random walk, Grady 2006);
    of all outlines at a level of these values the one that runs along the hardest edges is taken.
    """
    rows, columns = (-(-side // 4) for side in picture_CHW.shape[-2:])
    aspect = picture_CHW.shape[-2] / picture_CHW.shape[-1]
    guide_CHW = resize(picture_CHW, rows, columns, "area")
    place_CHW = lay_places(rows, columns, aspect, torch.device("cpu"))
    start = torch.tensor([arrow.x - 0.5, (arrow.y - 0.5) * aspect])[:, None, None]
    far_HW = (place_CHW - start).norm(dim=0)
    unlike_HW = differ_from_sides(guide_CHW, far_HW)
    seed_HW, rest_HW = (far_HW < SEED).float(), (far_HW > FARTHEST).float()
    across, down = (
        (-(guide_CHW.diff(dim=axis).square().sum(0) / 0.02) - (unlike_HW.diff(dim=axis - 1) / 0.3).square()).exp() + 1e-4
        for axis in (2, 1)
    )
    weight_HW = 10 * seed_HW + 10 * rest_HW + HELD * (1 - unlike_HW)
    share_HW = solve_smooth(seed_HW, weight_HW, across, down, 200)
    return choose_outline(share_HW, guide_CHW, far_HW)


def differ_from_sides(guide_CHW: Tensor, far_HW: Tensor) -> Tensor:
    """Return how unlike its row's surroundings each pixel is, 0 to 1: what is left and right of a thing goes on behind it."""
    ring_HW = ((far_HW > 0.6 * FARTHEST) & (far_HW < 1.6 * FARTHEST)).float()
    share_H1 = ring_HW.sum(1, keepdim=True)
    mean_CH1 = (guide_CHW * ring_HW).sum(2, keepdim=True) / share_H1.clamp(min=1)
    spread_H1 = (((guide_CHW - mean_CH1).square() * ring_HW).sum(2, keepdim=True) / share_H1.clamp(min=1)).sum(0)
    off_HW = (guide_CHW - mean_CH1).square().sum(0)
    return (off_HW / (off_HW + 2 * spread_H1 + OWN_COLOUR**2)) * (share_H1 > 0)


def choose_outline(share_HW: Tensor, guide_CHW: Tensor, far_HW: Tensor) -> Tensor:
    """Return what is above the level whose outline crosses the hardest edges of the guide on average."""
    edge_HW = torch.zeros_like(share_HW)
    edge_HW[:, 1:] = guide_CHW.diff(dim=2).square().sum(0)
    edge_HW[1:] = torch.maximum(edge_HW[1:], guide_CHW.diff(dim=1).square().sum(0))
    edge_HW = grow(edge_HW.sqrt(), 1)
    best, most = (far_HW < SEED).float(), 0.0
    for level in (0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8):
        inside_HW = (share_HW > level).float()
        outline = (grow(inside_HW, 1) > inside_HW).float()
        length = float(outline.sum())
        if length < 8:
            continue
        hard = float((edge_HW * outline).sum()) / length * length**0.25
        if hard > most:
            best, most = inside_HW, hard
    return smooth(best[None], 1)[0].gt(0.5).float()


def soften(mask_HW: Tensor) -> Tensor:
    """Return a mask with soft edges."""
    return box(mask_HW[None], 1)[0]
