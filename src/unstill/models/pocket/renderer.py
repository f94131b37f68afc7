"""Frames from a picture: the camera goes its way, the scene moves by itself, layers hide each other.

Frames are read backward, surface by surface, so that there are no holes; each is a function of its moment alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.artifacts import View
from unstill.models.pocket.ambient import settle_motion
from unstill.models.pocket.camera import ease, read_camera
from unstill.models.pocket.drag import cut_things
from unstill.models.pocket.field import SceneField, px_per_width
from unstill.models.pocket.flow import SceneMotion, read_scene_motion
from unstill.models.pocket.grids import grow, look_up, resize, shrink
from unstill.models.pocket.layers import Layer, part_layers, whole_layer
from unstill.models.pocket.nearness import refine_nearness
from unstill.models.pocket.paths import Path, lay_surface, lay_window, plan_path
from unstill.values import Arrow

SHARPEN, SHARPEST = 0.5, 0.35  # by how much of its Laplacian a pixel is sharpened, for each share it is enlarged by
SOFTENED = 0.05  # by how much frames are sharpened whose first is the picture itself
BETWEEN = 0.59375  # weight of the pixels on either side, of four (Keys 1981, a = −0.75)
LEAST_WIDTH = 640  # pixels: smaller pictures are enlarged while layers are parted
AROUND = 8  # pixels over which a texture's mean is taken
FLOWS = 0.006  # widths between two copies of what flows from which on their textures are strangers to each other


Window = tuple[slice, slice]  # rows and columns of a frame


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
            f"The camera moves {self.speed_px:.2g} px a frame, not {self.asked_px:.2g}: at more, {' and '.join(self.limits)}."
        )


@dataclass(frozen=True, eq=False)
class Rendered:
    """Frames to be made, [C, H, W] in 0 to 1 each, and what they show of the picture."""

    view: View
    frames: Iterator[Tensor]
    said: Said
    drawing: Drawing  # for frames at other moments


@dataclass(frozen=True)
class RenderOptions:
    """What a clip should be."""

    frames: int
    camera: str = "still"
    speed_px: float = 0.0  # of the camera, px a frame at 1024x576
    scene: float = 0.5  # how fast the scene moves by itself, in shares of that speed
    arrows: tuple[Arrow, ...] = ()
    loop: bool = False
    seed: int = 0


def render_clip(picture_CHW: Tensor, field: SceneField, options: RenderOptions) -> Rendered:
    """Move a picture [C, H, W] in 0 to 1 as a camera would, and its scene by itself."""
    rows, columns = picture_CHW.shape[-2:]
    aspect, last = rows / columns, max(options.frames - 1, 1)
    way = options.speed_px * last / px_per_width(rows, columns)
    large_CHW = enlarge(picture_CHW)
    nearness_HW = refine_nearness(field.nearness_HW, large_CHW)
    rest_CHW, things = cut_things(large_CHW, nearness_HW, options.arrows)
    path = read_camera(options.camera)
    layers = [whole_layer(rest_CHW, nearness_HW)] if path.is_flat else part_layers(rest_CHW, nearness_HW)
    layers, things = ([fit(layer, picture_CHW, large_CHW) for layer in part] for part in (layers, things))
    coarse_HW = resize(nearness_HW[None], layers[0].nearness_HW.shape, "area")[0]
    planned = plan_path(path, layers, lay_surface(picture_CHW, coarse_HW), aspect, way, options.loop)
    moving = settle_motion(field, large_CHW, nearness_HW)
    motion = read_scene_motion(moving, coarse_HW.shape, aspect, options.scene * way, options.loop, options.seed)
    moved = [Moved(thing, arrow.dx, arrow.dy * aspect) for thing, arrow in zip(things, options.arrows, strict=True)]
    drawing = Drawing(picture_CHW, [*(Moved(layer) for layer in layers), *moved], planned.path, planned.view, motion)
    moments = (number / (options.frames if options.loop else last) for number in range(options.frames))
    said = Said(planned.way * px_per_width(rows, columns) / last, options.speed_px, planned.limits)
    return Rendered(planned.view, (drawing.draw(moment) for moment in moments), said, drawing)


def enlarge(picture_CHW: Tensor) -> Tensor:
    """Return a small picture at a multiple of its size, so that edges are found as finely as in a large one."""
    rows, columns = picture_CHW.shape[-2:]
    times = -(-LEAST_WIDTH // columns)
    return picture_CHW if times == 1 else resize(picture_CHW, (times * rows, times * columns), "bicubic").clamp(0, 1)


def fit(layer: Layer, picture_CHW: Tensor, large_CHW: Tensor) -> Layer:
    """Return a layer of the enlarged picture at the picture's size; what it shows of the picture stays as it is."""
    size = picture_CHW.shape[-2:]
    if large_CHW.shape[-2:] == size:
        return layer
    colour_CHW = (picture_CHW + resize(layer.colour_CHW - large_CHW, size, "area")).clamp(0, 1)
    alpha_HW = None if layer.alpha_HW is None else resize(layer.alpha_HW[None], size, "area")[0]
    return replace(layer, colour_CHW=colour_CHW, alpha_HW=alpha_HW)


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
        self.whole = (slice(0, self.size[0]), slice(0, self.size[1]))
        self.aspect = self.size[0] / self.size[1]
        cells = layers[0].layer.nearness_HW.shape
        # A quarter of a pixel of images at twice their size.
        self.full_CHW = lay_window(self.size, view, self.aspect, picture_CHW.device) - 0.25 / self.size[1]
        self.coarse_CHW = lay_window(cells, view, self.aspect, picture_CHW.device)
        self.images = [double(join(moved.layer)) for moved in layers]
        self.covers = [measure_cover(moved.layer) for moved in layers]

    @torch.no_grad()
    def draw(self, moment: float) -> Tensor:
        """Draw one frame; the first is the picture itself, as far as the view shows it."""
        if moment == 0:
            if self.view.is_whole:
                return self.picture_CHW
            return self._look(double(self.picture_CHW), self.coarse_CHW, self.whole).clamp(0, 1)
        places = [self._find(moved, moment) for moved in self.layers]
        frame_CHW = self.picture_CHW.clone()  # where layers leave a thousandth of a pixel open
        for image_CHW, place_CHW, window in zip(self.images, places, self._choose_windows(places), strict=True):
            if window is None:
                continue
            taken_CHW, below_CHW = self._take(image_CHW, place_CHW, moment, window), frame_CHW[:, *window]
            if len(taken_CHW) == 3:
                below_CHW.copy_(taken_CHW)
            else:
                below_CHW.add_(taken_CHW[:3].sub_(below_CHW).mul_(taken_CHW[3:].clamp_(0, 1)))
        # A view that is a part of the picture is read between its pixels from the first frame on.
        front_CHW = [place for place, moved in zip(places, self.layers, strict=True) if not (moved.right or moved.down)][-1]
        moved_HW = (front_CHW - self.coarse_CHW).norm(dim=0) * (2 * self.size[1])
        softened_HW = moved_HW.clamp(max=1) * (SOFTENED if self.view.is_whole else 0)
        return sharpen(frame_CHW, front_CHW * self.view.scale, softened_HW).clamp_(0, 1)

    def _find(self, moved: Moved, moment: float) -> Tensor:
        """Return which points of a layer are seen, on its grid."""
        place_CHW = self.path.find(self.coarse_CHW, moved.layer.nearness_HW, moment, self.aspect)
        if moved.right or moved.down:
            way = torch.tensor([moved.right, moved.down], device=place_CHW.device)
            place_CHW = place_CHW - ease(moment, self.path.loops) * way[:, None, None]
        return place_CHW

    def _choose_windows(self, places: list[Tensor]) -> list[Window | None]:
        """Return which rows and columns of each layer are seen, so that no more is drawn."""
        left_HW = torch.ones_like(places[0][0])
        windows: list[Window | None] = []
        for place_CHW, cover_CHW in zip(reversed(places), reversed(self.covers), strict=True):
            seen_CHW = look_up(cover_CHW, place_CHW, self.aspect)
            windows.append(find_window(left_HW * seen_CHW[0], self.size))
            left_HW = left_HW * (seen_CHW[1] < 1)
        windows.reverse()
        return windows

    def _take(self, image_CHW: Tensor, place_CHW: Tensor, moment: float, window: Window) -> Tensor:
        """Return what of a layer is seen at places: where it sways and flows, what was there or will be."""
        sway_CHW = self.motion.sway(moment)
        if sway_CHW is not None:
            place_CHW = place_CHW - look_up(sway_CHW, place_CHW, self.aspect)
        flow = self.motion.flow(moment)
        if flow is None:
            return self._look(image_CHW, place_CHW, window)
        was_CHW, will_CHW, share = flow
        apart_CHW = look_up(torch.cat([was_CHW, will_CHW]), place_CHW, self.aspect)
        taken_CHW = self._look(image_CHW, place_CHW + apart_CHW[:2], window)
        flows_HW = ((apart_CHW[:2] - apart_CHW[2:]).norm(dim=0) / FLOWS).clamp(max=1)
        part = cross(find_window(flows_HW, self.size), window)
        if part is not None:
            other_CHW = self._look(image_CHW, place_CHW + apart_CHW[2:], part)
            one_CHW = taken_CHW[:, *(slice(p.start - w.start, p.stop - w.start) for p, w in zip(part, window, strict=True))]
            one_CHW.copy_(blend(one_CHW, other_CHW, share, resize(flows_HW[None], self.size)[:, *part]))
        return taken_CHW

    def _look(self, image_CHW: Tensor, place_CHW: Tensor, window: Window) -> Tensor:
        # The offset is enlarged, not the place: at the border it continues level.
        place_CHW = resize(place_CHW - self.coarse_CHW, self.size)[:, *window] + self.full_CHW[:, *window]
        return look_up(image_CHW, place_CHW, self.aspect, "bilinear", "reflection")


def join(layer: Layer) -> Tensor:
    """Return a layer's colours, and its matte as a fourth channel if it has one."""
    return layer.colour_CHW if layer.alpha_HW is None else torch.cat([layer.colour_CHW, layer.alpha_HW[None]])


def double(image_CHW: Tensor) -> Tensor:
    """Return an image with cubic pixels between its own, so that it can be read linearly for every frame."""
    for axis in (-1, -2):
        count = image_CHW.shape[axis]
        ends = (1, 2, 0, 0) if axis == -1 else (0, 0, 1, 2)
        padded = F.pad(image_CHW[None], ends, mode="replicate")[0]
        outer, before, after, last = (padded.narrow(axis, start, count) for start in range(4))
        between = before.add(after).mul_(BETWEEN).add_(outer.add(last), alpha=0.5 - BETWEEN)
        image_CHW = torch.stack([image_CHW, between], dim=axis if axis == -1 else -2).flatten(
            *((-2, -1) if axis == -1 else (-3, -2))
        )
    return image_CHW


def measure_cover(layer: Layer) -> Tensor:
    """Return where a layer may show, and where it surely hides all behind it, 0 to 1 by cell, [2, h, w]."""
    cells = layer.nearness_HW.shape
    if layer.alpha_HW is None:
        return layer.nearness_HW.new_ones(2, *cells)
    most_HW, least_HW = (F.adaptive_max_pool2d(sign * layer.alpha_HW[None], cells)[0] for sign in (1, -1))
    return torch.stack([grow((most_HW > 0).float(), 1), shrink((least_HW < -0.999).float(), 1)])


def find_window(seen_HW: Tensor, size: tuple[int, int]) -> Window | None:
    """Return the rows and columns of a frame that hold all that is more than 0 by cell; none where nothing is."""
    window = []
    for axis, pixels in ((1, size[0]), (0, size[1])):
        found = (seen_HW > 0).any(axis).nonzero()[:, 0]
        if not len(found):
            return None
        cell = pixels / seen_HW.shape[1 - axis]
        window.append(slice(max(int((int(found[0]) - 1) * cell), 0), min(int((int(found[-1]) + 2) * cell) + 1, pixels)))
    return window[0], window[1]


def cross(one: Window | None, two: Window) -> Window | None:
    """Return what is in both windows."""
    if one is None:
        return None
    rows, columns = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, two, strict=True))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def blend(one_CHW: Tensor, two_CHW: Tensor, share: float, flows_1HW: Tensor) -> Tensor:
    """Blend two textures, and give the blend the contrast of each (Heitz and Neyret 2018)."""
    blend_CHW = torch.lerp(one_CHW, two_CHW, share)
    gain_1HW = flows_1HW * ((share**2 + (1 - share) ** 2) ** -0.5 - 1)
    cells = [-(-side // AROUND) for side in blend_CHW.shape[-2:]]
    mean_CHW = resize(resize(blend_CHW, cells, "area"), blend_CHW.shape[-2:])
    vivid_CHW: Tensor = mean_CHW.neg_().add_(blend_CHW).mul_(gain_1HW).add_(blend_CHW)
    return vivid_CHW


def sharpen(frame_CHW: Tensor, place_CHW: Tensor, softened_HW: Tensor) -> Tensor:
    """Sharpen what is softened by reading between pixels, and by enlarging, as much as that does."""
    cell = 1 / place_CHW.shape[-1]
    across, down = place_CHW.diff(dim=2)[:, :-1], place_CHW.diff(dim=1)[:, :, :-1]
    shown = (across[0] * down[1] - across[1] * down[0]) / cell**2
    amount = (SHARPEN * (1 / shown.clamp(min=0.1) - 1) + softened_HW[1:, 1:]).clamp(0, SHARPEST)
    if float(amount.max()) < 0.01:
        return frame_CHW
    amount_HW = resize(F.pad(amount[None], (0, 1, 0, 1), mode="replicate"), frame_CHW.shape[-2:])
    padded = F.pad(frame_CHW[None], (1, 1, 1, 1), mode="replicate")[0]
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    around.add_(padded[:, 1:-1, :-2]).add_(padded[:, 1:-1, 2:])
    sharper_CHW: Tensor = frame_CHW - around.sub_(frame_CHW, alpha=4).mul_(amount_HW)
    return sharper_CHW
