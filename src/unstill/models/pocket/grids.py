"""Sampling, filtering and filling of images on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def lay_places(size: Sequence[int], aspect: float, device: torch.device) -> Tensor:
    """Return the places of a grid's cell centres, [2, H, W]; aspect is the picture's height by its width."""
    rows, columns = size
    x = (torch.arange(columns, device=device) + 0.5) / columns - 0.5
    y = ((torch.arange(rows, device=device) + 0.5) / rows - 0.5) * aspect
    return torch.stack([x[None].expand(rows, -1), y[:, None].expand(-1, columns)])


def look_up(image_CHW: Tensor, place_CHW: Tensor, aspect: float, mode: str = "bilinear", beyond: str = "border") -> Tensor:
    """Sample an image at places; beyond its border it continues with its border, or is mirrored ("reflection")."""
    grid_HWC = torch.stack([place_CHW[0] * 2, place_CHW[1] * (2 / aspect)]).permute(1, 2, 0)
    taken: Tensor = F.grid_sample(image_CHW[None], grid_HWC[None], mode=mode, padding_mode=beyond, align_corners=False)[0]
    return taken


def resize(image_CHW: Tensor, size: Sequence[int], mode: str = "bilinear") -> Tensor:
    """Resize an image; shrink with mode "area"."""
    corners = None if mode in ("area", "nearest") else False
    return F.interpolate(image_CHW[None], size=tuple(size), mode=mode, align_corners=corners)[0]


def box(image_CHW: Tensor, reach: int) -> Tensor:
    """Return the mean of the square around each pixel, by cumulative sums."""
    for axis in (-1, -2):
        count = image_CHW.shape[axis]
        ends = (reach + 1, reach) if axis == -1 else (0, 0, reach + 1, reach)
        sums = F.pad(image_CHW, ends).cumsum(axis)
        place = torch.arange(count, device=image_CHW.device)
        size = (place + reach + 1).clamp(max=count) - (place - reach).clamp(min=0)
        total = sums.narrow(axis, 2 * reach + 1, count) - sums.narrow(axis, 0, count)
        image_CHW = total / (size if axis == -1 else size[:, None])
    return image_CHW


def smooth(image_CHW: Tensor, reach: int) -> Tensor:
    """Blur with two boxes, close to a Gaussian of sigma 0.8 times the reach."""
    return box(box(image_CHW, reach), reach)


def grow(mask_HW: Tensor, reach: int) -> Tensor:
    """Return the largest value of the square around each pixel."""
    x = mask_HW
    for axis in (-1, -2):
        whole, left = x, reach
        step = 1
        while left > 0:
            step = min(step, left)
            ends = (step, step, 0, 0) if axis == -1 else (0, 0, step, step)
            padded = F.pad(whole[None], ends, mode="replicate")[0]
            count = whole.shape[axis]
            whole = torch.maximum(torch.maximum(padded.narrow(axis, 0, count), padded.narrow(axis, 2 * step, count)), whole)
            left, step = left - step, 2 * step
        x = whole
    return x


def shrink(mask_HW: Tensor, reach: int) -> Tensor:
    """Return the smallest value of the square around each pixel."""
    return -grow(-mask_HW, reach)


def solve_smooth(
    data_HW: Tensor,
    weight_HW: Tensor,
    across_HW: Tensor,
    down_HW: Tensor,
    rounds: int = 120,
    pull_HW: Tensor | None = None,
    start_HW: Tensor | None = None,
) -> Tensor:
    """Solve (weight + Laplacian with conductances) x = weight · data + pull by conjugate gradients.

    across_HW [H, W-1] and down_HW [H-1, W] are the conductances between neighbours. Jacobi preconditioned. Data may have
    channels in front; they are solved side by side.
    """

    def apply(x: Tensor) -> Tensor:
        """Multiply by the system's matrix."""
        out = weight_HW * x
        flux_x, flux_y = across_HW * x.diff(dim=-1), down_HW * x.diff(dim=-2)
        out[..., :-1] -= flux_x
        out[..., 1:] += flux_x
        out[..., :-1, :] -= flux_y
        out[..., 1:, :] += flux_y
        return out

    def dot(one: Tensor, two: Tensor) -> Tensor:
        return (one * two).sum((-2, -1), keepdim=True)

    diagonal = weight_HW + F.pad(across_HW, (1, 0)) + F.pad(across_HW, (0, 1))
    diagonal = (diagonal + F.pad(down_HW, (0, 0, 1, 0)) + F.pad(down_HW, (0, 0, 0, 1))).clamp(min=1e-9)
    mean = dot(weight_HW, data_HW) / weight_HW.sum().clamp(min=1e-9)
    x = mean + torch.zeros_like(data_HW) if start_HW is None else start_HW
    rest = weight_HW * data_HW - apply(x) if pull_HW is None else weight_HW * data_HW + pull_HW - apply(x)
    eased = rest / diagonal
    way, size = eased, dot(rest, eased)
    enough = 1e-9 * float(size.max().clamp(min=1e-12))
    for round_ in range(rounds):
        if round_ % 8 == 0 and float(size.max()) <= enough:
            break
        moved = apply(way)
        step = size / dot(way, moved).clamp(min=1e-30)
        x, rest = x + step * way, rest - step * moved
        eased = rest / diagonal
        size, before = dot(rest, eased), size
        way = eased + size / before.clamp(min=1e-30) * way
    return x


def pull_push(image_CHW: Tensor, known_HW: Tensor) -> Tensor:
    """Fill unknown pixels smoothly from the known ones, over a pyramid."""
    levels = [torch.cat([image_CHW * known_HW, known_HW[None]])[None]]
    while min(levels[-1].shape[-2:]) > 1:
        levels.append(F.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False))
    filled = levels[-1]
    for level in reversed(levels[:-1]):
        above = F.interpolate(filled, size=level.shape[-2:], mode="bilinear", align_corners=False)
        filled = level + (1 - (4 * level[:, -1:]).clamp(max=1)) * above
    return filled[0, :-1] / filled[0, -1:].clamp(min=1e-12)
