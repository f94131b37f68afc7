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

from unstill.render.motion import Motion

COLOUR_ALIKE = 0.07  # of colours in 0–1
BREAK = 0.003  # of the picture's width: what parts by less is stretched
SAME = 0.5  # of nearness: what differs by less is one thing
CALM = 4  # cells to each side that move with one another
FIRST = 6.0  # how much more the nearer counts for the near sheet, as a power of e
DEEPER = 0.5  # of nearness, whose spread is about one: what parts at the same distance is stretched too
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
    is_near = (field[:, -1:] - far[:, -1:]) / (near[:, -1:] - far[:, -1:]).clamp(min=DEEPER)
    is_near = _settle(_enlarge(picture_CHW[None], is_near.clamp(0, 1), half))
    breaks = (_find_steps(field[:, -3:-1] * (frames - 1)) > BREAK) & (_find_steps(field[:, -1:]) > DEEPER)
    edge = F.max_pool2d(breaks.float(), 3, 1, 1)
    sheets = (F.interpolate(part, size=half, mode="bicubic", align_corners=False) for part in (far, near, field))
    far, near, field = sheets
    # Either the one or the other: what lies between two movements goes its own way and is seen as dots.
    is_edge = F.interpolate(edge, size=half, mode="bilinear", align_corners=False) > 0
    field = torch.where(is_edge, torch.where(is_near > 0, near, far), field)
    order = field[0, -1]
    order = (order - order.amin()) / (order.amax() - order.amin()).clamp(min=1e-6)
    return Guided(field[0, :-1].reshape(keys, 2, *half), order, (rows, columns))


def calm(field_BCHW: Tensor) -> Tensor:
    """Let cells at the same distance move alike: what is one thing moves as one, and the network's noise goes."""
    order = field_BCHW[:, -1:]
    for _ in range(2):
        order = torch.stack(_shifts(order, REACH)).median(dim=0).values  # stripes of a thing are not at several distances
    field = torch.cat([field_BCHW[:, :-1], order], dim=1)
    return _average(field, lambda part: (-(part - order).square() / (2 * SAME**2)).exp(), CALM)


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
    highest = torch.zeros_like(x_BCHW[:, :1])
    for axis in (-1, -2):
        change = F.pad(x_BCHW.diff(dim=axis), (1, 1, 0, 0) if axis == -1 else (0, 0, 1, 1))
        count = x_BCHW.shape[axis]
        before, after = change.narrow(axis, 0, count).abs(), change.narrow(axis, 1, count).abs()
        highest = torch.maximum(
            highest, (torch.maximum(before, after) - 2 * torch.minimum(before, after)).amax(1, keepdim=True)
        )
    return F.max_pool2d(highest, 3, 1, 1)


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


def _settle(share_BCHW: Tensor) -> Tensor:
    """Decide which pixels are of the near sheet: as most around them are, and with the rim, whose colours are mixed."""
    most = F.avg_pool2d((share_BCHW > 0.5).float(), 5, 1, 2, count_include_pad=False) > 0.5
    return F.max_pool2d(most.float(), 3, 1, 1)


def _shifts(x_BCHW: Tensor, reach: int) -> list[Tensor]:
    """Give the field as seen from every neighbour, edges repeated."""
    rows, columns = x_BCHW.shape[-2:]
    padded = F.pad(x_BCHW, (reach,) * 4, mode="replicate")
    steps = range(2 * reach + 1)
    return [padded[..., down : down + rows, right : right + columns] for down in steps for right in steps]
