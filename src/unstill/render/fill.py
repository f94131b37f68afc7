"""What is not known, from what is known around it, and what lies behind near things.

It does not know of time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.render.around import highest, lowest

FAR_FIRST = 8.0  # how much more the farthest counts than the nearest, as a power of e
JUMP = 0.06  # of the whole depth: a step, which a receding ground does not make within RIM
RIM = 3  # pixels of a quarter-size picture
DEPTH = 26  # pixels of a quarter-size picture: how far behind a near thing can be seen, 100 of the picture's


def fill_from_afar(values_CHW: Tensor, known_HW: Tensor, order_HW: Tensor) -> Tensor:
    """Fill what is not known from around it, level by level; what is far counts more than what is near."""
    known = known_HW[None, None]
    weight = known * (-FAR_FIRST * order_HW).exp()
    levels = [torch.cat([values_CHW[None] * weight, weight, known], dim=1)]
    while min(levels[-1].shape[-2:]) > 1:
        levels.append(F.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False))
    total = levels[-1][:, :-1]  # values times weights, and the weights: averaged apart, so that what is far stays far
    for level in reversed(levels[:-1]):
        above = F.interpolate(total, size=level.shape[-2:], mode="bilinear", align_corners=False)
        total = level[:, :-1] + (1 - (4 * level[:, -1:]).clamp(max=1)) * above
    return total[0, :-1] / total[0, -1].clamp(min=1e-30)


def look_behind(picture_CHW: Tensor, order_HW: Tensor) -> Tensor:
    """Take near things out of the picture, as far inward from their edges as they may uncover."""
    quarter = (-(-order_HW.shape[0] // 4), -(-order_HW.shape[1] // 4))
    order = F.interpolate(order_HW[None, None], size=quarter, mode="area")
    near = find_near(order)
    taken = F.interpolate(highest(near.float(), 1), size=order_HW.shape, mode="nearest")[0, 0]
    filled = fill_from_afar(picture_CHW, 1 - taken, order_HW)
    return torch.where(taken > 0, filled, picture_CHW)


def find_near(order_BCHW: Tensor) -> Tensor:
    """Say what lies before something else: the rims of steps in depth, grown inward while they stay before it."""
    behind = lowest(order_BCHW, RIM)
    is_near = order_BCHW - behind > JUMP
    behind = torch.where(is_near, behind, torch.inf)
    for _ in range(DEPTH):
        offered = lowest(behind, 1)
        is_near = is_near | (order_BCHW - offered > JUMP)
        behind = torch.where(is_near, torch.minimum(behind, offered), torch.inf)
    return is_near
