"""The frames, one after the other. The first is the picture itself, or the part of it that all frames can show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.artifacts import View
from unstill.render.fill import fill_from_afar, look_behind
from unstill.render.guide import Guided, guide
from unstill.render.motion import Motion, displace
from unstill.render.reframe import choose_view, pace
from unstill.render.splat import throw

TEAR_PX = 0.75  # between a pixel and its neighbour: less is stretched, more is an edge
SHARPEN, SHARPEST = 0.35, 0.2  # by how much of its Laplacian a pixel is sharpened, for each share that it is enlarged by
STEP = 0.02  # of the whole depth, likewise


@dataclass(frozen=True, eq=False)
class Film:
    """Frames to be made, [C, H, W] in 0–1 each, and what they show of the picture."""

    view: View
    frames: Iterator[Tensor]


def film(picture_CHW: Tensor, motion: Motion, frames: int, speed: float | None = None) -> Film:
    """Move the picture, as fast as the motion says or so that what moves is seen at a speed, in picture widths a frame."""
    guided = guide(picture_CHW, motion, frames)
    if speed is None:
        view = choose_view(guided, frames)
    else:
        guided, view = pace(guided, frames, speed)
    return Film(view, _make(picture_CHW, guided, view, frames))


def show(picture_CHW: Tensor, view: View) -> Tensor:
    """Give what a view shows of the picture, at the picture's size."""
    rows, columns = picture_CHW.shape[-2:]
    if view.is_whole:
        return picture_CHW
    window = (view.left * columns, view.top * rows, view.scale)
    return _look(picture_CHW, _lay_plane(window, (rows, columns), picture_CHW.device)).clamp(0, 1)


def _make(picture_CHW: Tensor, guided: Guided, view: View, frames: int) -> Iterator[Tensor]:
    rows, columns = picture_CHW.shape[-2:]
    order = guided.at_pixels(guided.order_HW[None], STEP)[0]
    behind = look_behind(picture_CHW, order)
    window = (view.left * columns, view.top * rows, view.scale)
    here = _lay_plane(window, (rows, columns), picture_CHW.device)
    yield show(picture_CHW, view)
    for frame in range(1, frames):
        moved = guided.at_pixels(displace(guided.velocity_KCHW, frame, frames) * columns, TEAR_PX)
        source = throw(moved, order, window, (rows, columns))
        place = _settle(source.place_CHW, moved, here)
        hidden = here - _fill_small(here - place, source.covered_HW, _look(order[None], place, "nearest")[0])
        seen = _look(picture_CHW, torch.where(source.covered_HW > 0, place, hidden))
        seen = _keep_sharp(torch.lerp(_look(behind, hidden, "bilinear"), seen, source.covered_HW), place, source.covered_HW)
        yield seen.clamp(0, 1)


def _lay_plane(window: tuple[float, float, float], size: tuple[int, int], device: torch.device) -> Tensor:
    """Give for each pixel of a frame where it lies in the picture's plane, x and y in pixels."""
    left, top, scale = window
    y = (torch.arange(size[0], device=device) + 0.5) / scale + top - 0.5
    x = (torch.arange(size[1], device=device) + 0.5) / scale + left - 0.5
    return torch.stack([x[None, :].expand(size[0], -1), y[:, None].expand(-1, size[1])])


def _settle(place_CHW: Tensor, moved_CHW: Tensor, here_CHW: Tensor) -> Tensor:
    """Correct a place by where it really goes: averages of points are off where the field stretches."""
    off = here_CHW - (place_CHW + _look(moved_CHW, place_CHW, "bilinear"))
    return torch.where(off.abs().amax(0) < 1, place_CHW + off, place_CHW)  # more than that is the other side of an edge


def _keep_sharp(frame_CHW: Tensor, place_CHW: Tensor, covered_HW: Tensor) -> Tensor:
    """Sharpen what is enlarged by as much as enlarging softens it; the rest stays as it is."""
    across, down = (F.avg_pool2d(place_CHW.diff(dim=axis)[None], 9, 1, 4, count_include_pad=False)[0] for axis in (2, 1))
    shown = across[0, :-1] * down[1, :, :-1] - across[1, :-1] * down[0, :, :-1]  # pixels of the picture in one of the frame
    amount = (SHARPEN * (1 / shown.clamp(min=0.1) - 1)).clamp(0, SHARPEST) * covered_HW[:-1, :-1]
    padded = F.pad(frame_CHW[None], (1, 1, 1, 1), mode="replicate")[0]
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return frame_CHW + F.pad(amount, (0, 1, 0, 1)) * (4 * frame_CHW - around)


def _fill_small(moved_CHW: Tensor, covered_HW: Tensor, order_HW: Tensor) -> Tensor:
    """Give each pixel the motion that is behind it if it is not covered, worked out on a quarter of the size."""
    known = (covered_HW == 1).float()
    small = F.avg_pool2d(torch.cat([moved_CHW * known, (order_HW * known)[None], known[None]])[None], 4, ceil_mode=True)[0]
    share = small[3].clamp(min=1e-6)
    filled = fill_from_afar(small[:2] / share, (small[3] > 0.5).float(), small[2] / share)
    return F.interpolate(filled[None], size=covered_HW.shape, mode="bilinear", align_corners=False)[0]


def _look(image_CHW: Tensor, place_CHW: Tensor, how: str = "bicubic") -> Tensor:
    """Take colours, or whatever the image has, from places in it."""
    rows, columns = image_CHW.shape[-2:]
    grid = torch.stack([(2 * place_CHW[0] + 1) / columns - 1, (2 * place_CHW[1] + 1) / rows - 1], dim=-1)
    taken: Tensor = F.grid_sample(image_CHW[None], grid[None], mode=how, padding_mode="border", align_corners=False)[0]
    return taken
