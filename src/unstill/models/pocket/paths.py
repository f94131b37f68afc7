"""How far a camera goes: the amount that gives the speed asked for, within what the picture bears.

Everything is worked out on coarse grids. The view is the part of the picture that every frame can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from unstill.artifacts import View
from unstill.models.pocket.camera import CameraPath, Pose, project
from unstill.models.pocket.grids import grow, lay_places, look_up, resize, shrink
from unstill.models.pocket.layers import Layer, measure_texture

DEPTH = 0.5  # by how much nearness differs in all where nothing limits it
DEPTHS_TURNING = (1.0, 0.5, 0.25)  # for words that need depth to show, in the order in which they are tried
CLOSEST, CLOSEST_TURNING = 1.45, 1.3  # the most that a view enlarges, and for words that turn the camera
PAST = 0.004  # of the width that a frame may look past the picture's edge
UNCOVERS_PX, UNCOVERS_MORE = 7.0, 0.09  # px at 1024 wide that a jump may uncover, and more for each px of the way
UNCOVERS_TURNING = 1.2  # times as much for words that need depth to show
SUBJECT = 0.9  # share of the picture that is farther than what a dolly zoom holds
EASY, ROUGH = 0.4, 0.06  # share that counts where nothing but plain colour is uncovered, and texture that counts in full
PLAIN = 0.1  # how much motion counts where nothing shows it
SOLVES = 8  # rounds of the fixed point for places; each halves what is left at least
LOOKS, FEW_LOOKS = 8, 2  # moments at which edges are looked at, for ways that turn back and others
MANY_LOOKS = 24  # moments at which the speed of ways that turn back is looked at: a hand shakes fast
SPEED_CELLS = 64  # across, on which speed is measured
MOST = 0.75  # of an amount: a push then ends at a quarter of the distance
CLOSE = 2e-3  # relative error of the speed
EDGE_REASON = "the camera would look past the picture's edge"
UNCOVERS_REASON = "the camera would uncover too much of what near things hide"


@dataclass(frozen=True, eq=False)
class Path:
    """A camera's way through a picture."""

    camera: CameraPath
    amount: float
    depth: float
    middle: float  # the nearness that counts as average distance
    subject: float  # the nearness of what a dolly zoom holds
    loops: bool

    def pose(self, moment: float) -> Pose:
        """Return where the camera is at a moment."""
        return self.camera.pose(moment, self.amount, self.loops, 1 + self.depth * (self.subject - self.middle))

    def see(self, place_CHW: Tensor, nearness_HW: Tensor, moment: float) -> Tensor:
        """Return where points of the picture are seen at a moment."""
        return project(place_CHW, 1 + self.depth * (nearness_HW - self.middle), self.pose(moment))

    def find(self, seen_CHW: Tensor, nearness_HW: Tensor, moment: float, aspect: float) -> Tensor:
        """Return which points of a surface are seen at places, by fixed-point iteration; the surface is smooth."""
        pose = self.pose(moment)
        distance_1HW = (1 + self.depth * (nearness_HW - self.middle))[None]
        place_CHW = seen_CHW
        for _ in range(SOLVES):
            near_HW = look_up(distance_1HW, place_CHW, aspect)[0]
            place_CHW = place_CHW + 0.9 * (seen_CHW - project(place_CHW, near_HW, pose))
        return place_CHW


def turns_back(path: Path) -> bool:
    """Return whether the way leads back to where it has been."""
    return path.loops or any(word == "handheld" for word, _ in path.camera.ways)


def moments(looks: int) -> list[float]:
    """Return moments from the first to the last, evenly apart."""
    return [look / looks for look in range(looks + 1)]


def lay_surface(picture_CHW: Tensor, nearness_HW: Tensor) -> Tensor:
    """Return nearness and how much each cell's motion counts, [2, H, W]: motion is seen by texture."""
    rows, columns = nearness_HW.shape
    texture_HW = measure_texture(picture_CHW, (rows, columns))
    return torch.stack([nearness_HW, PLAIN + (texture_HW / ROUGH).clamp(max=1)])


def measure_speed(path: Path, surface_2HW: Tensor, view: View, aspect: float) -> float:
    """Return the mean way over the clip of what each frame shows, in widths of a frame; a plain sky shows no motion.

    The surface is the picture's nearness and how much each place counts.
    """
    seen_CHW, way = lay_window(surface_2HW.shape[-2:], view, aspect, surface_2HW.device), 0.0
    for before, after in pairwise(moments(MANY_LOOKS if turns_back(path) else FEW_LOOKS)):
        place_CHW = path.find(seen_CHW, surface_2HW[0], (before + after) / 2, aspect)
        near_HW, counts_HW = look_up(surface_2HW, place_CHW, aspect)
        way_HW = (path.see(place_CHW, near_HW, after) - path.see(place_CHW, near_HW, before)).norm(dim=0)
        way += float((way_HW * counts_HW).sum() / counts_HW.sum())
    return way * view.scale


def lay_window(size: Sequence[int], view: View, aspect: float, device: torch.device) -> Tensor:
    """Return the places that a view's pixels show at the first moment."""
    place_CHW = lay_places(size, aspect, device)
    shift = torch.tensor([view.left - 0.5 + 0.5 / view.scale, (view.top - 0.5 + 0.5 / view.scale) * aspect], device=device)
    return place_CHW / view.scale + shift[:, None, None]


def choose_view(path: Path, layers: list[Layer], aspect: float) -> View:
    """Choose the least enlarged view that looks past no edge at any moment."""
    view = View()
    for _ in range(6):
        ends = _overlook(path, layers, view, aspect)
        left, right, top, bottom = ends
        wide, high = max(left + right, 0.0), max(top + bottom, 0.0)
        if max(left, right, top, bottom) <= PAST:
            break
        grown = max(1 / view.scale - max(wide, high / aspect) * 0.98, 0.3)
        scale = 1 / grown
        slack_x, slack_y = 1 - 1 / scale, 1 - 1 / scale
        x = view.left + 0.5 / view.scale + (left - right) / 2
        y = view.top + 0.5 / view.scale + (top - bottom) / 2 / aspect
        view = View(min(max(x - 0.5 / scale, 0.0), slack_x), min(max(y - 0.5 / scale, 0.0), slack_y), scale)
    return view


def _overlook(path: Path, layers: list[Layer], view: View, aspect: float) -> tuple[float, float, float, float]:
    """Return how far frames look past the left, right, top and bottom edge at most; less than 0 is room."""
    device = layers[0].nearness_HW.device
    corner = torch.tensor([view.left - 0.5, (view.top - 0.5) * aspect], device=device)[:, None, None]
    border = corner + lay_border(aspect, device) / view.scale
    least = most = border
    for moment in moments(LOOKS if turns_back(path) else FEW_LOOKS)[1:]:
        place = _find_front(path, layers, border, aspect, moment)
        least, most = torch.minimum(least, place), torch.maximum(most, place)
    low, high = least.amin((1, 2)), most.amax((1, 2))
    return (
        -0.5 - float(low[0]),
        float(high[0]) - 0.5,
        -0.5 * aspect - float(low[1]),
        float(high[1]) - 0.5 * aspect,
    )


def lay_border(aspect: float, device: torch.device) -> Tensor:
    """Return places along the border of a frame from its left top corner, [2, 1, N]."""
    run, still = torch.linspace(0, 1, 33, device=device), torch.zeros(33, device=device)
    x = torch.cat([run, run, still, still + 1])
    y = torch.cat([still, still + 1, run, run])
    return torch.stack([x, y * aspect])[:, None]


def _find_front(path: Path, layers: list[Layer], seen: Tensor, aspect: float, moment: float) -> Tensor:
    """Return which points of the frontmost layer are seen at places."""
    shown = seen
    for layer in layers:
        place = path.find(seen, layer.nearness_HW, moment, aspect)
        if layer.alpha_HW is None:
            shown = place
            continue
        alpha = look_up(layer.alpha_HW[None], place, aspect)
        shown = torch.where(alpha > 0.5, place, shown)
    return shown


def shrink_layers(layers: list[Layer]) -> list[Layer]:
    """Return layers for planning only, with mattes as coarse as their nearness."""
    return [
        layer if layer.alpha_HW is None
        else replace(layer, alpha_HW=resize(layer.alpha_HW[None], layer.nearness_HW.shape, "area")[0])
        for layer in layers
    ]  # fmt: skip


def measure_uncovered(path: Path, layers: list[Layer], aspect: float) -> float:
    """Return how far, in widths, front surfaces part from what lies behind them, at their jumps; plain skies count less."""
    worst = 0.0
    for below, layer in pairwise(layers):
        assert layer.alpha_HW is not None
        rows, columns = layer.nearness_HW.shape
        alpha_HW = layer.alpha_HW
        edge = (grow(alpha_HW, 1) > 0.5) & (shrink(alpha_HW, 1) < 0.5)
        if not bool(edge.any()):
            continue
        place = lay_places((rows, columns), aspect, alpha_HW.device)
        hardness_HW = (EASY + below.texture_HW / ROUGH).clamp(max=1)
        for moment in (0.5, 1.0):
            apart = (path.see(place, layer.nearness_HW, moment) - path.see(place, below.nearness_HW, moment)).norm(dim=0)
            worst = max(worst, float(torch.quantile((apart * hardness_HW)[edge], 0.9)))
    return worst


@dataclass(frozen=True, eq=False)
class Planned:
    """A path, the view of it, and what limited it."""

    path: Path
    view: View
    way: float  # mean way of the picture over the clip, in widths of a frame
    limits: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PathPlanner:
    """Looks for the amount of a camera's way through one picture."""

    layers: list[Layer]
    surface_2HW: Tensor
    aspect: float
    way: float
    bears: float  # widths that jumps may uncover
    closest: float

    def try_out(self, path: Path, keeps_depth: bool) -> Planned:
        """Return what a path gives; depth is made as flat as needed where nothing says that it has to show."""
        view = choose_view(path, self.layers, self.aspect)
        parted = measure_uncovered(path, self.layers, self.aspect) * view.scale
        if parted > self.bears and not keeps_depth:
            path = replace(path, depth=path.depth * self.bears / parted)
            view, parted = choose_view(path, self.layers, self.aspect), self.bears
        limits = [EDGE_REASON] if view.scale > self.closest else []
        limits += [UNCOVERS_REASON] if parted > 1.02 * self.bears else []
        return Planned(path, view, measure_speed(path, self.surface_2HW, view, self.aspect), tuple(limits))

    def solve(self, path: Path, keeps_depth: bool) -> Planned:
        """Return the amount that gives the way asked for, or the largest that the picture bears, with the reason."""
        low, amount, depth = 0.0, min(3 * self.way, MOST), path.depth
        found = self.try_out(replace(path, amount=amount), keeps_depth)
        for _ in range(8):
            if abs(found.way / self.way - 1) < CLOSE or found.limits:
                break
            low = amount if found.way < self.way else low
            amount = min(amount * min(max(self.way / max(found.way, 1e-9), 0.3), 3.0), MOST)
            found = self.try_out(replace(path, amount=amount, depth=depth), keeps_depth)
        if not found.limits:
            return found
        high, reasons = amount, found.limits
        best = Planned(replace(path, amount=0.0), View(), 0.0, reasons)
        low = 0.0
        for _ in range(7):
            middle = (low + high) / 2
            found = self.try_out(replace(path, amount=middle, depth=depth), keeps_depth)
            if found.limits or found.way > self.way * (1 + CLOSE):
                high, reasons = middle, found.limits or reasons
            else:
                low, best = middle, replace(found, limits=reasons)
        return best if best.way < 0.97 * self.way else replace(best, limits=())


def plan_path(camera: CameraPath, layers: list[Layer], surface_2HW: Tensor, aspect: float, way: float, loops: bool) -> Planned:
    """Choose amount, depth and view so that the picture moves by a way (in widths of a frame) over the clip.

    Words that need depth to show keep as much of it as lets them move; the others flatten it where it would uncover
    more than can be made up, and keep their speed.
    """
    layers, nearness_HW = shrink_layers(layers), surface_2HW[0]
    middle = float(nearness_HW.mean())
    path = Path(camera, 0.0, DEPTH, middle, float(torch.quantile(nearness_HW, SUBJECT)), loops)
    if camera.is_still or way <= 0:
        return Planned(path, View(), 0.0, ())
    bears = (UNCOVERS_PX + UNCOVERS_MORE * way * 1024) / 1024 * (UNCOVERS_TURNING if camera.turns else 1)
    coarse_2HW = resize(surface_2HW, (max(round(SPEED_CELLS * aspect), 2), SPEED_CELLS), "area")
    planner = PathPlanner(layers, coarse_2HW, aspect, way, bears, CLOSEST_TURNING if camera.turns else CLOSEST)
    if not camera.turns:
        return planner.solve(path, keeps_depth=False)
    best: Planned | None = None
    for depth in DEPTHS_TURNING:
        found = planner.solve(replace(path, depth=depth), keeps_depth=True)
        if best is None or found.way > best.way:
            best = found
        if not found.limits:
            break
    assert best is not None
    return best
