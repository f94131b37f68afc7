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
from unstill.models.pocket.ambient import settle_motion
from unstill.models.pocket.camera import ease, read_camera
from unstill.models.pocket.drag import Arrow, cut_things
from unstill.models.pocket.field import SceneField, px_per_width
from unstill.models.pocket.flow import SceneMotion, read_scene_motion
from unstill.models.pocket.grids import look_up, resize
from unstill.models.pocket.layers import Layer, part_layers, whole_layer
from unstill.models.pocket.nearness import refine_nearness
from unstill.models.pocket.paths import Path, lay_window, plan_path

SHARPEN, SHARPEST = 0.35, 0.25  # by how much of its Laplacian a pixel is sharpened, for each share it is enlarged by
FLOWS = 0.006  # widths between two copies of what flows from which on their textures are strangers to each other


@dataclass(frozen=True)
class Said:
    """What came out, and what was limited."""

    speed_px: float  # mean speed of the camera's motion, px a frame at 1024x576
    asked_px: float
    limits: tuple[str, ...]

    def __str__(self) -> str:
        """Return one sentence for a report; empty where the camera moves as asked."""
        if not self.limits:
            return ""
        return (
            f"The camera moves {self.speed_px:.1f} px a frame, not {self.asked_px:.1f}: at more, {' and '.join(self.limits)}."
        )


@dataclass(frozen=True, eq=False)
class Rendered:
    """Frames to be made, [C, H, W] in 0 to 1 each, and what they show of the picture."""

    view: View
    frames: Iterator[Tensor]
    said: Said
    drawing: Drawing  # for frames at other moments


@dataclass(frozen=True)
class Wish:
    """What a clip should be."""

    frames: int
    camera: str = "still"
    speed_px: float = 0.0  # of the camera, px a frame at 1024x576
    scene: float = 0.5  # how fast the scene moves by itself, in shares of that speed
    arrows: tuple[Arrow, ...] = ()
    loop: bool = False
    seed: int = 0


def render_clip(picture_CHW: Tensor, field: SceneField, wish: Wish) -> Rendered:
    """Move a picture [C, H, W] in 0 to 1 as a camera would, and its scene by itself."""
    rows, columns = picture_CHW.shape[-2:]
    aspect, last = rows / columns, max(wish.frames - 1, 1)
    way = wish.speed_px * last / px_per_width(rows, columns)
    nearness_HW = refine_nearness(field.nearness_HW, picture_CHW)
    rest_CHW, things = cut_things(picture_CHW, nearness_HW, wish.arrows)
    path = read_camera(wish.camera)
    layers = [whole_layer(rest_CHW, nearness_HW)] if path.is_flat else part_layers(rest_CHW, nearness_HW)
    coarse_HW = resize(nearness_HW[None], layers[0].nearness_HW.shape, "area")[0]
    planned = plan_path(path, layers, coarse_HW, aspect, way, wish.loop)
    moving = settle_motion(field, picture_CHW, nearness_HW)
    motion = read_scene_motion(moving, coarse_HW.shape, aspect, wish.scene * way, wish.loop, wish.seed)
    moved = [Moved(thing, arrow.dx, arrow.dy * aspect) for thing, arrow in zip(things, wish.arrows, strict=True)]
    drawing = Drawing(picture_CHW, [*(Moved(layer) for layer in layers), *moved], planned.path, planned.view, motion)
    moments = (number / (wish.frames if wish.loop else last) for number in range(wish.frames))
    said = Said(planned.way * px_per_width(rows, columns) / last, wish.speed_px, planned.limits)
    return Rendered(planned.view, (drawing.draw(moment) for moment in moments), said, drawing)


@dataclass(frozen=True, eq=False)
class Moved:
    """A layer, and how far an arrow moves it over the clip, in widths."""

    layer: Layer
    right: float = 0.0
    down: float = 0.0


class Drawing:
    """Draws the frame of any moment."""

    def __init__(self, picture_CHW: Tensor, layers: list[Moved], path: Path, view: View, motion: SceneMotion) -> None:
        self.picture_CHW, self.layers, self.path, self.view, self.motion = picture_CHW, layers, path, view, motion
        self.size = (picture_CHW.shape[-2], picture_CHW.shape[-1])
        self.aspect = self.size[0] / self.size[1]
        self.full_CHW = lay_window(self.size, view, self.aspect)
        self.coarse_CHW = lay_window(layers[0].layer.nearness_HW.shape, view, self.aspect)

    @torch.no_grad()
    def draw(self, moment: float) -> Tensor:
        """Draw one frame; the first is the picture itself, as far as the view shows it."""
        if moment == 0:
            whole = self.view.is_whole
            return self.picture_CHW if whole else self._take(self.picture_CHW, self.coarse_CHW).clamp(0, 1)
        frame_CHW = None
        for moved in self.layers:
            place_CHW = self.path.find(self.coarse_CHW, moved.layer.nearness_HW, moment, self.aspect)
            gone = ease(moment, self.path.loops)
            place_CHW = place_CHW - gone * torch.tensor([moved.right, moved.down])[:, None, None]
            colour_CHW = self._colour(moved.layer, place_CHW, moment)
            if frame_CHW is None or moved.layer.alpha_HW is None:
                frame_CHW = colour_CHW
            else:
                alpha_HW = self._take(moved.layer.alpha_HW[None], place_CHW, "bilinear")
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
        apart_CHW = look_up(torch.cat([was_CHW, will_CHW]), place_CHW, self.aspect)
        one, two = (self._take(layer.colour_CHW, place_CHW + part) for part in (apart_CHW[:2], apart_CHW[2:]))
        flows_HW = ((apart_CHW[:2] - apart_CHW[2:]).norm(dim=0) / FLOWS).clamp(max=1)
        return self._keep_contrast(torch.lerp(one, two, share), share, flows_HW)

    def _keep_contrast(self, blend_CHW: Tensor, share: float, flows_HW: Tensor) -> Tensor:
        """Give a blend of two textures the contrast of each (Heitz and Neyret 2018)."""
        gain_HW = 1 + flows_HW * ((share**2 + (1 - share) ** 2) ** -0.5 - 1)
        mean_CHW = resize(resize(blend_CHW, flows_HW.shape, "area"), self.size)
        return mean_CHW + (blend_CHW - mean_CHW) * resize(gain_HW[None], self.size)

    def _take(self, image_CHW: Tensor, place_CHW: Tensor, mode: str = "bicubic") -> Tensor:
        # The offset is enlarged, not the place: at the border it continues level.
        offset_CHW = resize(place_CHW - self.coarse_CHW, self.size)
        return look_up(image_CHW, self.full_CHW + offset_CHW, self.aspect, mode, "reflection")


def keep_sharp(frame_CHW: Tensor, place_CHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Sharpen what is enlarged by as much as enlarging softens it."""
    cell = 1 / place_CHW.shape[-1]
    across, down = place_CHW.diff(dim=2)[:, :-1], place_CHW.diff(dim=1)[:, :, :-1]
    shown = (across[0] * down[1] - across[1] * down[0]) / cell**2
    amount = (SHARPEN * (1 / shown.clamp(min=0.1) - 1)).clamp(0, SHARPEST)
    if float(amount.max()) < 0.01:
        return frame_CHW
    amount_HW = resize(F.pad(amount[None], (0, 1, 0, 1), mode="replicate"), size)
    padded = F.pad(frame_CHW[None], (1, 1, 1, 1), mode="replicate")[0]
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return frame_CHW + amount_HW * (4 * frame_CHW - around)
