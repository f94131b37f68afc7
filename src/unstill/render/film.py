"""The frames, one after the other. The first is the picture itself, or the part of it that all frames can show."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.artifacts import View
from unstill.render.around import average
from unstill.render.fill import fill_from_afar, look_behind
from unstill.render.guide import Guided, guide
from unstill.render.motion import Motion, displace
from unstill.render.reframe import choose_view, pace
from unstill.render.splat import Points, throw

TEAR_PX = 0.75  # between a pixel and its neighbour: less is stretched, more is an edge
SHARPEN, SHARPEST = 0.35, 0.2  # by how much of its Laplacian a pixel is sharpened, for each share that it is enlarged by
AT_ONCE = 2  # frames on a CPU
SMOOTH = 4  # pixels around each over which enlarging is averaged
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


class Scene:
    """What every frame of a clip is made from."""

    def __init__(self, picture_CHW: Tensor, guided: Guided, view: View, frames: int) -> None:
        self.picture_CHW, self.guided, self.frames = picture_CHW, guided, frames
        self.order_HW = guided.at_pixels(guided.order_HW[None], STEP)[0]
        self.behind_CHW, self.points = look_behind(picture_CHW, self.order_HW), Points(self.order_HW)
        self.size = (picture_CHW.shape[-2], picture_CHW.shape[-1])
        self.window = (view.left * self.size[1], view.top * self.size[0], view.scale)
        self.here_CHW = _lay_plane(self.window, self.size, picture_CHW.device)

    @torch.no_grad()
    def make(self, frame: int) -> Tensor:
        """Make one frame."""
        velocity_KCHW = self.guided.velocity_KCHW
        moved = self.guided.at_pixels(displace(velocity_KCHW, frame, self.frames) * self.size[1], TEAR_PX)
        source = throw(self.points, moved, self.window, self.size)
        place = _settle(source.place_CHW, moved, self.here_CHW)
        order_HW = _look(self.order_HW[None], place, "nearest")[0]
        hidden = self.here_CHW - _fill_small(self.here_CHW - place, source.covered_HW, order_HW)
        seen = _look(self.picture_CHW, torch.where(source.covered_HW > 0, place, hidden))
        at = torch.nonzero(source.covered_HW < 1, as_tuple=True)  # few: the rest shows nothing that was hidden
        uncovered = _look(self.behind_CHW, hidden[:, at[0], at[1]][:, None], "bilinear")[:, 0]
        seen[:, at[0], at[1]] = torch.lerp(uncovered, seen[:, at[0], at[1]], source.covered_HW[at])
        return _keep_sharp(seen, place, source.covered_HW).clamp(0, 1)


def _make(picture_CHW: Tensor, guided: Guided, view: View, frames: int) -> Iterator[Tensor]:
    yield show(picture_CHW, view)
    scene = Scene(picture_CHW, guided, view, frames)
    if picture_CHW.is_cuda:
        yield from map(scene.make, range(1, frames))
        return
    # Many steps of a frame are too short for several threads, or know only one: so two frames are made side by side.
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield from pool.map(scene.make, range(1, frames))
    finally:
        pool.shutdown(cancel_futures=True)


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
    across, down = (average(place_CHW.diff(dim=axis), SMOOTH) for axis in (2, 1))
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
