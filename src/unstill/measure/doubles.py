"""Things that are in a frame twice.

A double is seen in two ways: two places of a frame come from one place of the first frame, or what has appeared out of nothing
looks like something that is elsewhere in the same frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.measure.flow import GREY

CELL = 3  # px of the first frame that count as one place
STRIDE = 2
APART = 18  # px between two places, at least
BETWEEN = 6  # px from their source: what lies halfway comes from elsewhere, or it is one surface that is stretched
SAME = 0.5  # of what is unexplained: both places must look like their source
VARIED = 6 * GREY  # standard deviation of what is compared; plain places look like each other
HALF_MOST, HALF_LEAST = 14, 5  # px on half the size: half the side of what is searched for
ALIKE = 0.85  # correlation
PEAK = 0.6  # of the most unexplained value: what hangs together there is the thing


def find_shared(way_2HW: Tensor, explained_HW: Tensor) -> Tensor:
    """Mark places that come from where another place, far from them, comes from as well, [H/2, W/2]."""
    way = way_2HW[:, ::STRIDE, ::STRIDE]
    counts = explained_HW[::STRIDE, ::STRIDE]
    _, rows, columns = way.shape
    x, y = (torch.arange(side, device=way.device) * STRIDE for side in (columns, rows))
    place = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)])
    source = place + way
    wide = columns * STRIDE // CELL + 1
    cell = (source[1] / CELL).floor().clamp(min=0) * wide + (source[0] / CELL).floor().clamp(0, wide - 1)
    cell = cell.long().clamp(max=wide * (rows * STRIDE // CELL + 1) - 1).flatten()
    index = torch.arange(rows * columns, device=way.device)[counts.flatten()]
    shared = torch.zeros(rows * columns, dtype=torch.bool, device=way.device)
    flat_place, flat_source = place.flatten(1), source.flatten(1)
    for order in (index, index.flip(0)):
        owner = torch.full((int(cell.max()) + 1,), -1, device=way.device)
        owner[cell[order]] = order
        other = owner[cell[index]]
        far = (flat_place[:, index] - flat_place[:, other]).square().sum(0) > APART**2
        middle = ((flat_place[:, index] + flat_place[:, other]) // (2 * STRIDE)).long()
        between = flat_source[:, middle[1] * columns + middle[0]]
        shared[index[far & ((between - flat_source[:, index]).square().sum(0) > BETWEEN**2)]] = True
    return shared.view(rows, columns)


def find_copy(late_CHW: Tensor, thing_HW: Tensor) -> float:
    """Find how much like something else in the frame a marked thing is: correlation, 0 for plain things."""
    small = F.avg_pool2d(late_CHW[None], 2)[0]
    inside = F.avg_pool2d(thing_HW[None, None].float(), 2)[0, 0] > 0.5
    if not bool(inside.any()):
        return 0.0
    down, right = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    middle = [(int(side[0]) + int(side[-1])) // 2 for side in (down, right)]
    half = [min(HALF_MOST, max(HALF_LEAST, (int(side[-1]) - int(side[0])) // 2)) for side in (down, right)]
    padded, mask = F.pad(small, (HALF_MOST,) * 4), F.pad(inside.float(), (HALF_MOST,) * 4)
    rows, columns = (slice(at + HALF_MOST - far, at + HALF_MOST + far + 1) for at, far in zip(middle, half, strict=True))
    thing, weight = padded[:, rows, columns], mask[rows, columns]
    total = weight.sum()
    if float(total) < HALF_LEAST**2:
        return 0.0
    centred = (thing - (thing * weight).sum((1, 2), keepdim=True) / total) * weight
    own = centred.square().sum()
    if float((own / total / 3).sqrt()) < VARIED:
        return 0.0
    size = (half[0], half[1])
    product = F.conv2d(small[None], centred[None], padding=size)[0, 0]
    each = weight[None, None].expand(3, 1, -1, -1)
    mean = F.conv2d(small[None], each, padding=size, groups=3)[0]
    square = F.conv2d(small[None].square(), each, padding=size, groups=3)[0]
    spread = (square - mean.square() / total).sum(0).clamp(min=1e-6)
    alike = product / (spread * own).sqrt()
    near = [slice(max(0, at - far), at + far + 1) for at, far in zip(middle, half, strict=True)]
    alike[near[0], near[1]] = 0.0
    alike[: size[0]] = alike[-size[0] :] = 0.0
    alike[:, : size[1]] = alike[:, -size[1] :] = 0.0
    return float(alike.max())
