"""Mattes: how opaque a thing is by pixel, given roughly where it is. Its edge settles on the picture's."""

from __future__ import annotations

import torch
from torch import Tensor

from unstill.models.pocket.grids import box, grow, pull_push, resize, shrink, smooth, solve_smooth
from unstill.models.pocket.nearness import measure_conductance

COLOURS = 5  # cells of a quarter of the picture over which colours on either side of an edge are looked at
INWARD, OUTWARD = 2, 3  # such cells on either side of an edge within which the picture decides
NOISE = 1e-3  # variance of colours that is always there
SMOOTHING = 6.0  # conductance between neighbours of half the picture
SURE, BELIEVED, ROUGH = 4.0, 0.12, 0.01  # weights of what is surely a side, of what colours say, of the rough mask
STEEPER = 2.2  # so that what is of one side only is so wholly
GUIDED, LEAST_CONTRAST = 2, 2e-3  # reach and regularisation with which the matte takes on the picture's detail


def trace_edge(picture_CHW: Tensor, inside_HW: Tensor) -> Tensor:
    """Return the matte of a thing whose mask is on a quarter of the picture's size.

    A random walker on half of the size (Grady 2006): what is well inside and well outside is sure, in between the matte is as
    smooth as the picture, and crosses over where the picture has an edge. So it has no specks. A guided filter (He et al.
    2013) gives it the picture's detail.
    """
    rows, columns = picture_CHW.shape[-2:]
    half = (-(-rows // 2), -(-columns // 2))
    guide_CHW = resize(picture_CHW, half, "area")
    inner_HW, outer_HW = shrink(inside_HW, INWARD), 1 - grow(inside_HW, OUTWARD)
    thin_HW = inside_HW * (1 - grow(inner_HW, INWARD + 1))
    front, back = describe_colours(guide_CHW, torch.maximum(inner_HW, thin_HW)), describe_colours(guide_CHW, outer_HW)
    maps = resize(torch.cat([front, back, inside_HW[None], (inner_HW + outer_HW)[None]]), half)
    likely_HW = compare_colours(guide_CHW, maps[:4], maps[4:8])
    rough_HW, sure_HW = maps[8], (maps[9] > 0.99).float()
    believed_HW = BELIEVED * (2 * likely_HW - 1).abs()
    weight_HW = SURE * sure_HW + (1 - sure_HW) * (believed_HW + ROUGH)
    told_HW = (believed_HW * likely_HW + ROUGH * rough_HW) / (believed_HW + ROUGH)
    data_HW = torch.where(sure_HW > 0, (rough_HW > 0.5).float(), told_HW)
    across_HW, down_HW = measure_conductance(guide_CHW)
    walked_HW = solve_smooth(data_HW, weight_HW, SMOOTHING * across_HW, SMOOTHING * down_HW, 40)
    matte_HW = ((walked_HW - 0.5) * STEEPER + 0.5).clamp(0, 1)
    return take_detail(picture_CHW, guide_CHW, matte_HW)


def compare_colours(picture_CHW: Tensor, front_CHW: Tensor, back_CHW: Tensor) -> Tensor:
    """Return how likely each pixel is of the front, 0 to 1, by Gaussians of the colours on either side."""
    odds = (picture_CHW - back_CHW[:3]).square().sum(0) / back_CHW[3] - (picture_CHW - front_CHW[:3]).square().sum(
        0
    ) / front_CHW[3]
    return (0.5 * odds + 1.5 * (back_CHW[3] / front_CHW[3]).log()).clamp(-8, 8).sigmoid()


def describe_colours(picture_CHW: Tensor, known_HW: Tensor) -> Tensor:
    """Return mean colour and variance around each cell, of what is known, [4, H, W]."""
    small_CHW = resize(picture_CHW, known_HW.shape, "area")
    share_HW = smooth(known_HW[None], COLOURS).clamp(min=1e-4)
    mean_CHW = smooth(small_CHW * known_HW, COLOURS) / share_HW
    square_CHW = smooth(small_CHW.square() * known_HW, COLOURS) / share_HW
    spread_HW = (square_CHW - mean_CHW.square()).mean(0, keepdim=True).clamp(min=0) + NOISE
    found_CHW = pull_push(torch.cat([mean_CHW, spread_HW]), (share_HW[0] > 0.02).float())
    return torch.cat([found_CHW[:3], found_CHW[3:].clamp(min=NOISE)])


def take_detail(picture_CHW: Tensor, guide_CHW: Tensor, matte_HW: Tensor) -> Tensor:
    """Enlarge a matte along the edges of the picture: by what is linear in its grey near each pixel."""
    grey_HW, large_HW = guide_CHW.mean(0), picture_CHW.mean(0)
    means = box(torch.stack([grey_HW, matte_HW, grey_HW * matte_HW, grey_HW.square()]), GUIDED)
    slope_HW = (means[2] - means[0] * means[1]) / ((means[3] - means[0].square()).clamp(min=0) + LEAST_CONTRAST)
    line = resize(box(torch.stack([slope_HW, means[1] - slope_HW * means[0]]), GUIDED), large_HW.shape)
    # Both ends are cut off: a filter leaves a little everywhere.
    return ((line[0] * large_HW + line[1]) * 1.2 - 0.1).clamp(0, 1)
