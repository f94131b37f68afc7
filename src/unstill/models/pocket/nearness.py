"""Nearness at the picture's own edges: a coarse estimate is made to jump only where the picture does."""

from __future__ import annotations

import torch
from torch import Tensor

from unstill.models.pocket.grids import box, grow, resize, shrink, solve_smooth

SMOOTHING = 24.0  # conductance within a surface, for cells of a quarter of the picture
EDGE = 0.03  # colour difference of neighbours that counts as an edge where the picture is smooth
GRAIN = 1.0  # times the usual difference around: grain and texture make no edges
LEAK = 2e-3  # conductance left across the hardest edge
UNSURE = 0.16  # difference among neighbouring cells from which on those in between are not believed
LEAST_TRUST = 0.1
EVEN = 0.3  # an even slope changes across three cells by a quarter of what it changes across nine
LEAST_STEP = 0.06
STEPS = (0.12, 0.06, 0.03, 0.02)  # difference of neighbours that counts as a jump, narrowed round by round


def refine_nearness(nearness_hw: Tensor, picture_CHW: Tensor) -> Tensor:
    """Return nearness from 0 to 1 on a quarter of the picture's size, smooth within surfaces.

    Weighted least squares (Farbman et al. 2008) with the picture as guide. Coarse cells across a jump are mixtures and
    count little, so that the jump settles on the nearest edge of the picture.
    """
    rows, columns = (-(-side // 4) for side in picture_CHW.shape[-2:])
    low, high = torch.quantile(nearness_hw.float(), torch.tensor([0.02, 0.98], device=nearness_hw.device))
    coarse_HW = ((nearness_hw - low) / (high - low).clamp(min=1e-6)).clamp(-0.1, 1.1)
    data_HW = resize(coarse_HW[None], (rows, columns))[0]
    weight_HW = resize(trust_cells(coarse_HW)[None], (rows, columns))[0]
    across, down = measure_conductance(resize(picture_CHW, (rows, columns), "area"))
    # Edges of the picture count only where the estimate is steep: windows in a wall are no steps.
    even_HW = 1 - resize(find_steep(coarse_HW)[None], (rows, columns))[0]
    across, down = torch.maximum(across, even_HW[:, 1:]), torch.maximum(down, even_HW[1:])
    refined_HW = solve_smooth(data_HW, weight_HW, SMOOTHING * across, SMOOTHING * down, 60)
    for step in STEPS:
        across_HW, down_HW = (
            SMOOTHING * free * let_jump(refined_HW.diff(dim=axis), free, step) for free, axis in ((across, 1), (down, 0))
        )
        refined_HW = solve_smooth(data_HW, weight_HW, across_HW, down_HW, 60)
    return refined_HW.clamp(0, 1)


def find_steep(nearness_HW: Tensor) -> Tensor:
    """Return where a coarse estimate changes abruptly, 0 to 1: by much, and by far more than an even slope would."""
    step_HW = grow(nearness_HW, 1) - shrink(nearness_HW, 1)
    wide_HW = grow(nearness_HW, 4) - shrink(nearness_HW, 4)
    share_HW = step_HW / wide_HW.clamp(min=1e-6)
    return ((share_HW - EVEN) / EVEN).clamp(0, 1) * ((step_HW - LEAST_STEP) / LEAST_STEP).clamp(0, 1)


def let_jump(difference_HW: Tensor, free_HW: Tensor, step: float) -> Tensor:
    """Return how much smoothness counts between neighbours: less where they already differ and the picture has an edge."""
    scale = step * (0.5 + 4 * free_HW)
    return 1 / (1 + (difference_HW / scale) ** 2)


def trust_cells(nearness_HW: Tensor) -> Tensor:
    """Return how much each coarse cell counts, LEAST_TRUST to 1: little where it lies between its neighbours at a jump."""
    low_HW, high_HW = shrink(nearness_HW, 1), grow(nearness_HW, 1)
    step_HW = high_HW - low_HW
    place_HW = (nearness_HW - low_HW) / step_HW.clamp(min=1e-6)
    mixed_HW = (4 * place_HW * (1 - place_HW)) * (step_HW / UNSURE) ** 4
    return (1 / (1 + mixed_HW)).clamp(min=LEAST_TRUST)


def measure_conductance(guide_CHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return how freely values pass between neighbours across and down, LEAK to 1; edges of the guide block them."""
    out = []
    for axis in (2, 1):
        step_HW = guide_CHW.diff(dim=axis).square().sum(0)
        usual_HW = box(step_HW[None], 6)[0]
        out.append((-step_HW / (2 * (EDGE**2 + GRAIN**2 * usual_HW))).exp() + LEAK)
    return out[0], out[1]
