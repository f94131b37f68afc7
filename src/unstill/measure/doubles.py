"""Things that are in a frame twice.

Small patches that neither the camera's movement nor the flow explains are searched for elsewhere in the same frame. A thing
that is there twice has many patches that are found again, all at the same distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.measure.flow import GREY, to_light
from unstill.measure.windows import average, slopes

PATCH = 7  # px on half the size: side of a patch
MOST = 64  # patches that are searched for
STRIDE = 2  # px between them
UNLIKE, ALIKE = 0.7, 0.85  # correlation: below, a patch is not the one it should be; above, it is the same as another
NEAR = 1  # px that a patch may lie off where it should be
CORNER = 1.5 * GREY  # slope in the flatter direction: edges and plain places are alike everywhere
APART = 9  # px between two copies, at least
SOURCE = 3  # px: two places that come from as near each other show the same thing
FEWEST = 3


@dataclass(frozen=True, eq=False)
class Double:
    """How many patches are found again at one distance, and where they are: left, top, right, bottom, shares of the sides."""

    patches: int
    box: tuple[float, float, float, float]


def find_double(late_CHW: Tensor, explained: tuple[Tensor, Tensor], way_2HW: Tensor, known_HW: Tensor) -> Double | None:
    """Find the thing that is there twice most plainly.

    `explained` is what the frame would be if the camera alone moved, and what it is if everything goes its way, [C, H, W].
    """
    late, camera, flowed = (F.avg_pool2d(part[None], 2)[0] for part in (late_CHW, *explained))
    source_2HW = _lay(late) + F.avg_pool2d(way_2HW[None], 2)[0] / 2
    corner_HW = _measure_corners(late)
    off_HW = 1 - correlate_near(late, camera)
    known = F.avg_pool2d(known_HW[None, None].float(), 2)[0, 0] > 0.99
    odd_HW = corner_HW * off_HW * (known & (off_HW > 1 - UNLIKE) & (corner_HW > CORNER))
    at = _choose(odd_HW)
    if len(at) < FEWEST:
        return None
    which, found = _search(late, at)
    origin = at[which]
    is_same = (_pick(source_2HW, origin) - _pick(source_2HW, found)).norm(dim=0) < SOURCE
    is_new = correlate_near(late, flowed)[origin[:, 0], origin[:, 1]] < UNLIKE
    counts = ((found - origin).float().norm(dim=1) > APART) & (is_same | is_new)
    return _vote(origin[counts], (found - origin)[counts], (late.shape[-2], late.shape[-1]))


def _lay(x_CHW: Tensor) -> Tensor:
    rows, columns = x_CHW.shape[-2:]
    across, down = (torch.arange(side, device=x_CHW.device, dtype=x_CHW.dtype) for side in (columns, rows))
    return torch.stack([across.expand(rows, -1), down[:, None].expand(-1, columns)])


def _pick(x_CHW: Tensor, at_N2: Tensor) -> Tensor:
    return x_CHW[:, at_N2[:, 0], at_N2[:, 1]]


def _measure_corners(x_CHW: Tensor) -> Tensor:
    """Measure the slope in the flatter direction around each pixel."""
    x, y = slopes(to_light(x_CHW[None]))
    xx, xy, yy = average(torch.stack([x * x, x * y, y * y], 1), PATCH)[0]
    least: Tensor = (xx + yy) / 2 - ((xx - yy).square() / 4 + xy.square()).sqrt()
    return least.clamp(min=0).sqrt()


def correlate_near(one_CHW: Tensor, two_CHW: Tensor) -> Tensor:
    """Correlate patches around each pixel of two pictures; the best of all places within NEAR counts, [H, W]."""
    one, two = to_light(one_CHW[None]), to_light(two_CHW[None])
    best = torch.zeros_like(one)
    mean, mean_two = average(torch.stack([one, two], 1), PATCH)[0]
    square, square_two = average(torch.stack([one * one, two * two], 1), PATCH)[0]
    spread, spread_two = square - mean.square(), square_two - mean_two.square()
    for down in range(-NEAR, NEAR + 1):
        for across in range(-NEAR, NEAR + 1):
            moved = [x.roll((down, across), (-2, -1)) for x in (two[0], mean_two, spread_two)]
            product = average(one * moved[0], PATCH) - mean * moved[1]
            best = torch.maximum(best, product / (spread * moved[2]).clamp(min=1e-9).sqrt())
    return best[0]


def _choose(odd_HW: Tensor) -> Tensor:
    """Choose patches that are most out of place, row and column each, [N, 2]."""
    side, inner = PATCH // 2 + 1, torch.zeros_like(odd_HW)
    inner[side:-side:STRIDE, side:-side:STRIDE] = 1
    value, index = (odd_HW * inner).flatten().topk(min(MOST, odd_HW.numel()))
    index = index[value > 0]
    return torch.stack([index // odd_HW.shape[1], index % odd_HW.shape[1]], 1)


def _search(late_CHW: Tensor, at_N2: Tensor) -> tuple[Tensor, Tensor]:
    """Search for patches in the whole frame: which was found, and where, row and column each."""
    reach = PATCH // 2
    patches = torch.stack([late_CHW[:, y - reach : y + reach + 1, x - reach : x + reach + 1] for y, x in at_N2.tolist()])
    centred = patches - patches.mean((2, 3), keepdim=True)
    product = F.conv2d(late_CHW[None], F.normalize(centred.flatten(1), dim=1).view_as(centred), padding=reach)[0]
    mean, square = average(late_CHW[None], PATCH)[0], average(late_CHW[None].square(), PATCH)[0]
    alike = product / (PATCH**2 * (square - mean.square())).sum(0).clamp(min=1e-6).sqrt()
    peaks = (alike > ALIKE) & (alike == F.max_pool2d(alike[None], 3, 1, 1)[0])
    inner = torch.zeros_like(peaks)
    inner[:, reach:-reach, reach:-reach] = True
    found = (peaks & inner).nonzero()
    return found[:, 0], found[:, 1:]


def _vote(at_N2: Tensor, off_N2: Tensor, size: tuple[int, int]) -> Double | None:
    """Count which distance most patches agree on, to a pixel."""
    if not len(at_N2):
        return None
    rows, columns = size
    votes = torch.zeros(2 * rows + 1, 2 * columns + 1, device=at_N2.device)
    place = off_N2 + torch.tensor(size, device=at_N2.device)
    votes.index_put_((place[:, 0], place[:, 1]), votes.new_ones(len(place)), accumulate=True)
    row, column = divmod(int((9 * F.avg_pool2d(votes[None, None], 3, 1, 1)).argmax()), 2 * columns + 1)
    agrees = (place - torch.tensor([row, column], device=place.device)).abs().amax(1) <= 1
    chosen = at_N2[agrees]
    low, high = (chosen.amin(0) - PATCH // 2).tolist(), (chosen.amax(0) + PATCH // 2 + 1).tolist()
    box = (low[1] / columns, low[0] / rows, high[1] / columns, high[0] / rows)
    return Double(int(agrees.sum()), box)
