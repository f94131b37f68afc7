"""What an arrow takes along: the thing it begins on, told from its surroundings, and what lies behind it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unstill.models.pocket.fill import fill_behind
from unstill.models.pocket.grids import grow, lay_places, resize, shrink
from unstill.models.pocket.layers import RIM, Layer, unmix
from unstill.models.pocket.matte import trace_edge

REACHES = (0.08, 0.12, 0.16, 0.26, 0.4)  # widths: the sizes of things that are tried, the smallest first
SEED = 0.025  # widths around an arrow's beginning in which the thing is looked for
NOISE = 0.025  # colour difference that is always there
ROUNDS = 8  # by which a thing grows along its edge, a few cells each
UNLIKE, THIN = 0.55, 0.5  # from here on a pixel is unlike its surroundings, 0 to 1; and close to the thing


@dataclass(frozen=True)
class Arrow:
    """Where a thing is, and how far it goes, in shares of the picture's width and height."""

    x: float
    y: float
    dx: float
    dy: float


def cut_things(picture_CHW: Tensor, nearness_HW: Tensor, arrows: tuple[Arrow, ...]) -> tuple[Tensor, list[Layer]]:
    """Return the picture without the things that arrows begin on, and these as layers."""
    rows, columns = picture_CHW.shape[-2:]
    rest_CHW, things = picture_CHW, []
    cells = (-(-rows // 8), -(-columns // 8))
    for arrow in arrows:
        inside_HW = find_thing(picture_CHW, arrow)
        alpha_HW = trace_edge(picture_CHW, inside_HW)
        reach_HW = resize(grow(inside_HW, 2)[None], (rows, columns))[0] > 0.5
        alpha_HW = alpha_HW * reach_HW
        covers_HW = grow((alpha_HW > 0.03).float(), 2 * RIM)
        rest_CHW = fill_behind(rest_CHW, 1 - covers_HW, sideways=True)
        near = float((nearness_HW * inside_HW).sum() / inside_HW.sum().clamp(min=1))
        flat_HW = torch.full(cells, near)
        things.append(unmix(Layer(picture_CHW, alpha_HW, flat_HW, flat_HW), Layer(rest_CHW, None, flat_HW, flat_HW)))
    return rest_CHW, things


def find_thing(picture_CHW: Tensor, arrow: Arrow) -> Tensor:
    """Return 1 for what an arrow begins on and 0 elsewhere, on a quarter of the picture's size.

    A thing is what hangs together and looks unlike what lies left and right of it. The smallest size is taken at which it
    has an end; where there is none, a disc.
    """
    rows, columns = (-(-side // 4) for side in picture_CHW.shape[-2:])
    aspect = picture_CHW.shape[-2] / picture_CHW.shape[-1]
    guide_CHW = resize(picture_CHW, (rows, columns), "area")
    start = torch.tensor([arrow.x - 0.5, (arrow.y - 0.5) * aspect])[:, None, None]
    off_CHW = lay_places((rows, columns), aspect, torch.device("cpu")) - start
    far_HW = off_CHW.norm(dim=0)
    for reach in REACHES:
        unlike_HW = differ_from_sides(guide_CHW, off_CHW, reach)
        at_start_HW = unlike_HW * (far_HW < SEED)
        if float(at_start_HW.max()) < UNLIKE:
            continue
        seed_HW = (at_start_HW > 0.8 * float(at_start_HW.max())).float()
        thing_HW = flood(seed_HW, (unlike_HW > UNLIKE).float() * (far_HW < reach))
        ends = float((thing_HW * (far_HW > 0.9 * reach)).sum()) < 0.03 * float(thing_HW.sum())
        if ends and float(thing_HW.sum()) > 25:
            thing_HW = complete(thing_HW, guide_CHW)
            thin_HW = (unlike_HW > THIN).float() * grow(thing_HW, 6) * (far_HW < reach)
            return shrink(grow(flood(thing_HW, torch.maximum(thing_HW, thin_HW)), 2), 2)
    disc_HW: Tensor = (far_HW < 2 * SEED).float()
    return disc_HW


def complete(thing_HW: Tensor, guide_CHW: Tensor) -> Tensor:
    """Let a thing grow and shrink along its edge by what its colours and those around it say."""
    for _ in range(ROUNDS):
        likely_HW = (trace_edge(guide_CHW, thing_HW) > 0.5).float()
        thing_HW = flood(thing_HW * likely_HW, likely_HW)
    return thing_HW


def differ_from_sides(guide_CHW: Tensor, off_CHW: Tensor, reach: float) -> Tensor:
    """Return how unlike what is left and right of it, in its row, each pixel is, 0 to 1."""
    unlike: list[Tensor] = []
    for side in (-1, 1):
        beside_HW = ((side * off_CHW[0] > reach) & (side * off_CHW[0] < 1.8 * reach)).float()
        share_H1 = beside_HW.sum(1, keepdim=True)
        mean_CH1 = (guide_CHW * beside_HW).sum(2, keepdim=True) / share_H1.clamp(min=1)
        spread_H1 = ((guide_CHW - mean_CH1).square().sum(0) * beside_HW).sum(1, keepdim=True) / share_H1.clamp(min=1)
        differs_HW = (guide_CHW - mean_CH1).square().sum(0)
        # A side that the picture ends before says nothing.
        unlike.append(torch.where(share_H1 > 1, differs_HW / (differs_HW + 2 * spread_H1 + NOISE), torch.ones(())))
    least_HW: Tensor = torch.minimum(unlike[0], unlike[1])
    return least_HW


def flood(seed_HW: Tensor, open_HW: Tensor) -> Tensor:
    """Return what of the open hangs together with the seed."""
    flooded_HW, size = seed_HW * open_HW, -1.0
    while float(flooded_HW.sum()) > size:
        size = float(flooded_HW.sum())
        for _ in range(4):
            flooded_HW = torch.maximum(flooded_HW, grow(flooded_HW, 1) * open_HW)
    return flooded_HW
