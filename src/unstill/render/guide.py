"""The coarse field, smoothed but for its edges, then brought to the picture's pixels so that its edges are the picture's.

It does not know what moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.render.around import average, highest
from unstill.render.motion import Motion

COLOUR_ALIKE = 0.07  # of colours in 0–1
BREAK = 0.003  # of the picture's width: what parts by less is stretched
SAME = 0.15  # of nearness: what differs by less is one thing
BLUR = 0.7  # cells
CALM = 6  # cells to each side that move with one another
STIFF = 0.1  # cells squared: how far from a constant a plane may lean where few cells tell of it
FIRST = 20.0  # how much more the nearer counts for the near sheet, as a power of e
DEEPER = 0.12  # of nearness, whose spread is about one: what parts at the same distance is stretched too
FINE = 40_000  # pixels; from here on the cells are so small that the nearest ones are enough
REACH = 2  # cells to each side that are averaged


@dataclass(frozen=True, eq=False)
class Guided:
    """The field at half the picture's size, with its edges along the picture's."""

    velocity_KCHW: Tensor
    order_HW: Tensor  # 0 is the farthest, 1 the nearest
    size: tuple[int, int]  # rows and columns of the picture

    def at_pixels(self, half_CHW: Tensor, step: float) -> Tensor:
        """Give every pixel of the picture a value between those around it, or at steps of more than `step` the nearest one."""
        nearest = F.interpolate(half_CHW[None], size=self.size, mode="nearest")[0]
        between = F.interpolate(half_CHW[None], size=self.size, mode="bilinear", align_corners=False)[0]
        return torch.where((nearest - between).abs().amax(0) < step, between, nearest)


def guide(picture_CHW: Tensor, motion: Motion, frames: int) -> Guided:
    """Bring the field to the picture: smoothly where it is smooth, and along the picture's edges where it breaks."""
    rows, columns = picture_CHW.shape[-2:]
    half = ((rows + 1) // 2, (columns + 1) // 2)
    keys = motion.velocity_KCHW.shape[0]
    field = calm(torch.cat([motion.velocity_KCHW.flatten(0, 1), motion.order_HW[None]])[None])
    near, far = _lay_sheet(field, 1), _lay_sheet(field, -1)
    deep = near[:, -1:] - far[:, -1:]
    share, told = ((field[:, -1:] - far[:, -1:]) / deep.clamp(min=1e-6)).clamp(0, 1), (deep / DEEPER).clamp(0, 1)
    likely = _enlarge(picture_CHW[None], torch.cat([share * told, told], dim=1), half)  # flat surroundings tell nothing
    is_near = _settle(_keep_inside(likely[:, :1] / likely[:, 1:].clamp(min=1e-6), share, told == 1))
    breaks = (_find_steps(field[:, -3:-1] * (frames - 1)) > BREAK) & (_find_steps(field[:, -1:]) > DEEPER)
    is_edge = F.interpolate(highest(breaks.float(), 1), size=half, mode="bilinear", align_corners=False) > 0
    far, near, between = (
        F.interpolate(part[:, -1:], size=half, mode="bicubic", align_corners=False) for part in (far, near, field)
    )
    order = torch.where(is_edge, torch.where(is_near > 0, near, far), between)
    field = _gather(field, order)
    order = field[0, -1]
    order = (order - order.amin()) / (order.amax() - order.amin()).clamp(min=1e-6)
    return Guided(field[0, :-1].reshape(keys, 2, *half), order, (rows, columns))


def calm(field_BCHW: Tensor) -> Tensor:
    """Let cells at the same distance move alike: what is one thing moves as one, and the network's noise goes."""
    order = field_BCHW[:, -1:]
    for _ in range(2):
        order = torch.stack(_shifts(order, REACH)).median(dim=0).values  # stripes of a thing are not at several distances
    return _fit_planes(torch.cat([field_BCHW[:, :-1], order], dim=1))


def _fit_planes(field_BCHW: Tensor) -> Tensor:
    """Fit a plane to every cell and those around it at its distance: what turns or comes closer as one thing stays as it is."""
    rows, columns = field_BCHW.shape[-2:]
    moments = torch.zeros(6, rows, columns, device=field_BCHW.device)
    sums = torch.zeros(3, *field_BCHW.shape[1:], device=field_BCHW.device)
    exists = F.pad(torch.ones_like(field_BCHW[0, 0]), (CALM,) * 4)
    offsets = [(down, right) for down in range(-CALM, CALM + 1) for right in range(-CALM, CALM + 1)]
    for (down, right), part in zip(offsets, _shifts(field_BCHW, CALM), strict=True):
        near = (-(part[0, -1] - field_BCHW[0, -1]).square() / (2 * SAME**2)).exp()
        here = exists[CALM + down : CALM + down + rows, CALM + right : CALM + right + columns]
        weight = here * near * math.exp(-(down**2 + right**2) / (0.5 * CALM**2))
        at = torch.tensor([1.0, right, down], device=weight.device)
        moments += weight * torch.stack([a * b for k, a in enumerate(at) for b in at[k:]])[:, None, None]
        sums += at[:, None, None, None] * weight * part[0]
    one, x, y, xx, xy, yy = moments
    stiff = STIFF * one
    matrix = torch.stack([one, x, y, x, xx + stiff, xy, y, xy, yy + stiff], dim=-1).reshape(rows, columns, 3, 3)
    here = torch.linalg.solve(matrix, torch.tensor([1.0, 0.0, 0.0], device=one.device).expand(rows, columns, 3))
    return torch.einsum("hwk,kchw->chw", here, sums)[None]


def _gather(field_BCHW: Tensor, order_BCHW: Tensor) -> Tensor:
    """Give each pixel what the cells around it say that are as near as it is: what lies between two movements is neither."""
    size = order_BCHW.shape[-2:]
    rows, columns = (
        (torch.arange(fine, device=order_BCHW.device) + 0.5) * coarse / fine % 1 - 0.5
        for fine, coarse in zip(size, field_BCHW.shape[-2:], strict=True)
    )
    total, weight = torch.zeros(1, field_BCHW.shape[1], *size, device=order_BCHW.device), torch.zeros_like(order_BCHW)
    offsets = [(down, right) for down in range(-REACH, REACH + 1) for right in range(-REACH, REACH + 1)]
    for (down, right), part in zip(offsets, _shifts(field_BCHW, REACH), strict=True):
        far = (rows - down)[:, None] ** 2 + (columns - right)[None, :] ** 2
        part = F.interpolate(part, size=size, mode="nearest")
        share = (-far / (2 * BLUR**2) - (part[:, -1:] - order_BCHW) ** 2 / (2 * SAME**2)).exp() + 1e-12
        total, weight = total + share * part, weight + share
    return total / weight


def _lay_sheet(field_BCHW: Tensor, sign: int) -> Tensor:
    """Continue what is near, or with -1 what is far, some cells past its edge."""
    order = field_BCHW[:, -1:]
    return _average(field_BCHW, lambda part: (sign * FIRST * (part - order).clamp(-3, 3)).exp(), REACH)


def _average(field_BCHW: Tensor, trust: Callable[[Tensor], Tensor], reach: int) -> Tensor:
    """Average cells with those around them, by distance and by the trust that their nearness deserves."""
    total, weight = torch.zeros_like(field_BCHW), torch.zeros_like(field_BCHW[:, :1])
    offsets = [(down, right) for down in range(-reach, reach + 1) for right in range(-reach, reach + 1)]
    for (down, right), part in zip(offsets, _shifts(field_BCHW, reach), strict=True):
        share = math.exp(-(down**2 + right**2) / (0.5 * reach**2)) * trust(part[:, -1:])
        total, weight = total + share * part, weight + share
    return total / weight


def _find_steps(x_BCHW: Tensor) -> Tensor:
    """Say how high a step every cell stands at; a slope is none, however steep."""
    steepest = torch.zeros_like(x_BCHW[:, :1])
    for axis in (-1, -2):
        change = F.pad(x_BCHW.diff(dim=axis), (1, 1, 0, 0) if axis == -1 else (0, 0, 1, 1))
        count = x_BCHW.shape[axis]
        before, after = change.narrow(axis, 0, count).abs(), change.narrow(axis, 1, count).abs()
        steepest = torch.maximum(
            steepest, (torch.maximum(before, after) - 2 * torch.minimum(before, after)).amax(1, keepdim=True)
        )
    return highest(steepest, 1)


def _enlarge(picture_BCHW: Tensor, field_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Double the field until it has that size, each time taking it from the neighbours of like colour."""
    rows, columns = field_BCHW.shape[-2:]
    coarse = F.interpolate(picture_BCHW, size=(rows, columns), mode="area")
    while (rows, columns) != size:
        rows, columns = min(2 * rows, size[0]), min(2 * columns, size[1])
        fine = F.interpolate(picture_BCHW, size=(rows, columns), mode="area")
        total = torch.zeros(1, field_BCHW.shape[1], rows, columns, device=field_BCHW.device)
        weight = torch.zeros_like(total[:, :1])
        reach = REACH if rows * columns < FINE else 1
        for colour, part in zip(_shifts(coarse, reach), _shifts(field_BCHW, reach), strict=True):
            colour = F.interpolate(colour, size=(rows, columns), mode="nearest")
            alike = (-(colour - fine).square().sum(1, keepdim=True) / (2 * COLOUR_ALIKE**2)).exp() + 1e-4
            total += alike * F.interpolate(part, size=(rows, columns), mode="nearest")
            weight += alike
        coarse, field_BCHW = fine, total / weight
    return field_BCHW


def _keep_inside(fine_BCHW: Tensor, share_BCHW: Tensor, told_BCHW: Tensor) -> Tensor:
    """Let colours decide at the rim of a thing only: a window in a tower is not the sky, whatever its colour."""
    is_far, is_near = told_BCHW & (share_BCHW <= 0.5), told_BCHW & (share_BCHW > 0.5)
    inside, outside = (
        F.interpolate(1 - highest(part.float(), 1), size=fine_BCHW.shape[-2:], mode="nearest") for part in (is_far, is_near)
    )
    return torch.maximum(fine_BCHW * (1 - outside), inside)


def _settle(share_BCHW: Tensor) -> Tensor:
    """Decide which pixels are of the near sheet: as most around them are, and with the rim, whose colours are mixed."""
    most = average((share_BCHW > 0.5).float(), 2) > 0.5
    return highest(most.float(), 1)


def _shifts(x_BCHW: Tensor, reach: int) -> list[Tensor]:
    """Give the field as seen from every neighbour, edges repeated."""
    rows, columns = x_BCHW.shape[-2:]
    padded = F.pad(x_BCHW, (reach,) * 4, mode="replicate")
    steps = range(2 * reach + 1)
    return [padded[..., down : down + rows, right : right + columns] for down in steps for right in steps]
