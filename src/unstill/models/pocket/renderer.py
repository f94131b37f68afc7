"""Frames from a picture: the camera goes its way, the scene moves by itself, layers hide each other.

Frames are read backward, surface by surface, so that there are no holes; each is a function of its moment alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.artifacts import View
from unstill.models.pocket.camera import read_camera
from unstill.models.pocket.field import SceneField, px_per_width
from unstill.models.pocket.flow import SceneMotion, read_scene_motion
from unstill.models.pocket.grids import look_up, resize, smooth
from unstill.models.pocket.layers import Layer, part_layers
from unstill.models.pocket.nearness import refine_nearness
from unstill.models.pocket.paths import Path, lay_window, plan_path

SHARPEN, SHARPEST = 0.35, 0.25  # by how much of its Laplacian a pixel is sharpened, for each share it is enlarged by
CLEAR = 0.004  # a layer less opaque than this everywhere in a row is not drawn there


@dataclass(frozen=True)
class Said:
    """What came out, and what was limited."""

    speed_px: float  # mean speed of the camera's motion, px a frame at 1024x576
    asked_px: float
    limits: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Rendered:
    """Frames to be made, [C, H, W] in 0 to 1 each."""

    view: View
    frames: Iterator[Tensor]
    said: Said
    drawn: Drawing


def render_clip(
    picture_CHW: Tensor, field: SceneField, *, frames: int, camera: str, speed_px: float, scene: float, loop: bool, seed: int
) -> Rendered:
    """Move a picture; scene is how much it moves by itself, 0 to 1 of the speed."""
    rows, columns = picture_CHW.shape[-2:]
    aspect = rows / columns
    nearness_HW = refine_nearness(field.nearness_HW, picture_CHW)
    layers = part_layers(picture_CHW, nearness_HW)
    width_px, last = px_per_width(rows, columns), max(frames - 1, 1)
    coarse_HW = resize(nearness_HW[None], *layers[0].nearness_HW.shape, "area")[0]
    planned = plan_path(read_camera(camera), layers, coarse_HW, aspect, speed_px * last / width_px, loop)
    cells = coarse_HW.shape
    motion = read_scene_motion(
        *(
            resize(one, *cells)
            for one in (field.flow_CHW, field.flows_HW[None], field.sway_CHW, field.sways_HW[None])
        ),
        aspect, scene * speed_px * last / width_px, loop, seed,
    )  # fmt: skip
    drawn = Drawing(picture_CHW, layers, planned.path, planned.view, motion)
    moments = (number / (frames if loop else last) for number in range(frames))
    said = Said(planned.way / last * width_px, speed_px, planned.limits)
    return Rendered(planned.view, (drawn.draw(moment) for moment in moments), said, drawn)


class Drawing:
    """Draws the frame of any moment."""

    def __init__(self, picture_CHW: Tensor, layers: list[Layer], path: Path, view: View, motion: SceneMotion) -> None:
        self.picture_CHW, self.layers, self.path, self.view, self.motion = picture_CHW, layers, path, view, motion
        self.size = (picture_CHW.shape[-2], picture_CHW.shape[-1])
        self.aspect = self.size[0] / self.size[1]
        self.coarse_CHW = lay_window(*layers[0].nearness_HW.shape, view, self.aspect)
        self.full_CHW = lay_window(*self.size, view, self.aspect)
        self.mean_CHW = None if motion.flow(0.0) is None else smooth(picture_CHW, 12)

    @torch.no_grad()
    def draw(self, moment: float) -> Tensor:
        """Draw one frame; the first is the picture itself, as far as the view shows it."""
        if moment == 0:
            whole = self.view.is_whole
            return self.picture_CHW if whole else self._take(self.picture_CHW, self.coarse_CHW).clamp(0, 1)
        frame_CHW = None
        for layer in self.layers:
            place_CHW = self.path.find(self.coarse_CHW, layer.nearness_HW, moment, self.aspect)
            colour_CHW = self._colour(layer, place_CHW, moment)
            if frame_CHW is None or layer.alpha_HW is None:
                frame_CHW = colour_CHW
            else:
                alpha_HW = self._take(layer.alpha_HW[None], place_CHW, "bilinear")
                frame_CHW = torch.lerp(frame_CHW, colour_CHW, alpha_HW)
        assert frame_CHW is not None
        return frame_CHW.clamp(0, 1)

    def _colour(self, layer: Layer, place_CHW: Tensor, moment: float) -> Tensor:
        """Return a layer's colours where its points are seen."""
        sway_CHW = self.motion.sway(moment)
        if sway_CHW is not None:
            place_CHW = place_CHW - look_up(sway_CHW, place_CHW, self.aspect)
        flow = self.motion.flow(moment)
        if flow is None:
            return keep_sharp(self._take(layer.colour_CHW, place_CHW), place_CHW * self.view.scale, self.size)
        was_CHW, will_CHW, share = flow
        one = self._take(layer.colour_CHW, place_CHW + look_up(was_CHW, place_CHW, self.aspect))
        two = self._take(layer.colour_CHW, place_CHW + look_up(will_CHW, place_CHW, self.aspect))
        return torch.lerp(one, two, share)

    def _take(self, image_CHW: Tensor, place_CHW: Tensor, mode: str = "bicubic") -> Tensor:
        # The offset is enlarged, not the place: at the border it continues level.
        offset_CHW = resize(place_CHW - self.coarse_CHW, *self.size, "bilinear")
        return look_up(image_CHW, self.full_CHW + offset_CHW, self.aspect, mode)


def keep_sharp(frame_CHW: Tensor, place_CHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Sharpen what is enlarged by as much as enlarging softens it."""
    rows, columns = place_CHW.shape[-2:]
    cell = 1 / columns
    across, down = place_CHW.diff(dim=2)[:, :-1], place_CHW.diff(dim=1)[:, :, :-1]
    shown = (across[0] * down[1] - across[1] * down[0]) / cell**2
    amount = (SHARPEN * (1 / shown.clamp(min=0.1) - 1)).clamp(0, SHARPEST)
    if float(amount.max()) < 0.01:
        return frame_CHW
    amount_HW = resize(F.pad(amount[None], (0, 1, 0, 1), mode="replicate"), *size)
    padded = F.pad(frame_CHW[None], (1, 1, 1, 1), mode="replicate")[0]
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return frame_CHW + amount_HW * (4 * frame_CHW - around)
