"""How far a camera goes: the amount that gives the speed asked for, within what the picture bears.

Everything is worked out on coarse grids. The view is the part of the picture that every frame can show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unstill.artifacts import View
from unstill.models.pocket.camera import Camera, project
from unstill.models.pocket.grids import grow, lay_places, look_up, resize, shrink
from unstill.models.pocket.layers import Layer

DEPTH = 0.5  # nearness goes from 1 - DEPTH / 2 to 1 + DEPTH / 2 where nothing limits it
LEAST_DEPTH = 0.06  # less and a camera that turns around a thing does not seem to
CLOSEST = 1.45  # the most that a view enlarges
PAST = 0.004  # of the width that a frame may look past the picture's edge
UNCOVERS_PX, UNCOVERS_MORE = 9.0, 0.09  # px at 1024 wide that a jump may uncover, and more for each px of the way
EASY, ROUGH = 0.4, 0.06  # share that counts where nothing but plain colour is uncovered, and texture that counts in full
SOLVES = 8  # rounds of the fixed point for places; each halves what is left at least
LOOKS = 4  # moments at which speed and edges are looked at


@dataclass(frozen=True, eq=False)
class Path:
    """A camera's way through a picture."""

    camera: Camera
    amount: float
    depth: float
    middle: float  # the nearness that counts as average distance
    loops: bool

    def see(self, place_CHW: Tensor, nearness_HW: Tensor, moment: float) -> Tensor:
        """Return where points of the picture are seen at a moment."""
        pose = self.camera.pose(moment, self.amount, self.loops)
        return project(place_CHW, 1 + self.depth * (nearness_HW - self.middle), pose)

    def find(self, seen_CHW: Tensor, nearness_HW: Tensor, moment: float, aspect: float) -> Tensor:
        """Return which points of a surface are seen at places, by fixed-point iteration; the surface is smooth."""
        pose = self.camera.pose(moment, self.amount, self.loops)
        distance_1HW = (1 + self.depth * (nearness_HW - self.middle))[None]
        place_CHW = seen_CHW
        for _ in range(SOLVES):
            near_HW = look_up(distance_1HW, place_CHW, aspect)[0]
            place_CHW = place_CHW + 0.9 * (seen_CHW - project(place_CHW, near_HW, pose))
        return place_CHW


def moments(loops: bool) -> list[float]:
    """Return moments that tell a whole path."""
    return [look / LOOKS for look in range(LOOKS + 1)]


def measure_speed(path: Path, nearness_HW: Tensor, view: View, aspect: float) -> float:
    """Return the mean way of what the view shows over the clip, in widths of a frame."""
    place_CHW = lay_window(*nearness_HW.shape, view, aspect)
    near_HW = look_up(nearness_HW[None], place_CHW, aspect)[0]
    seen = [path.see(place_CHW, near_HW, moment) for moment in moments(path.loops)]
    return sum(float((b - a).norm(dim=0).mean()) for a, b in zip(seen, seen[1:], strict=False)) * view.scale


def lay_window(rows: int, columns: int, view: View, aspect: float) -> Tensor:
    """Return the places that a view's pixels show at the first moment."""
    place_CHW = lay_places(rows, columns, aspect, torch.device("cpu"))
    shift = torch.tensor([view.left - 0.5 + 0.5 / view.scale, (view.top - 0.5 + 0.5 / view.scale) * aspect])
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
    corner = torch.tensor([view.left - 0.5, (view.top - 0.5) * aspect])[:, None, None]
    border = corner + lay_border(aspect) / view.scale
    least = most = border
    for moment in moments(path.loops)[1:]:
        place = _find_front(path, layers, border, aspect, moment)
        least, most = torch.minimum(least, place), torch.maximum(most, place)
    low, high = least.amin((1, 2)), most.amax((1, 2))
    return (
        -0.5 - float(low[0]),
        float(high[0]) - 0.5,
        -0.5 * aspect - float(low[1]),
        float(high[1]) - 0.5 * aspect,
    )


def lay_border(aspect: float) -> Tensor:
    """Return places along the border of a frame from its left top corner, [2, 1, N]."""
    run, still = torch.linspace(0, 1, 33), torch.zeros(33)
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
        else replace(layer, alpha_HW=resize(layer.alpha_HW[None], *layer.nearness_HW.shape, "area")[0])
        for layer in layers
    ]  # fmt: skip


def measure_uncovered(path: Path, layers: list[Layer], aspect: float) -> float:
    """Return how far, in widths, front surfaces part from what lies behind them, at their jumps; plain skies count less."""
    worst = 0.0
    for below, layer in zip(layers, layers[1:], strict=False):
        assert layer.alpha_HW is not None
        rows, columns = layer.nearness_HW.shape
        alpha_HW = layer.alpha_HW
        edge = (grow(alpha_HW, 1) > 0.5) & (shrink(alpha_HW, 1) < 0.5)
        if not bool(edge.any()):
            continue
        place = lay_places(rows, columns, aspect, torch.device("cpu"))
        hardness_HW = (EASY + below.texture_HW / ROUGH).clamp(max=1)
        for moment in (0.5, 1.0):
            apart = (path.see(place, layer.nearness_HW, moment) - path.see(place, below.nearness_HW, moment)).norm(dim=0)
            worst = max(worst, float(torch.quantile((apart * hardness_HW)[edge], 0.9)))
    return worst


@dataclass(frozen=True, eq=False)
class Planned:
    """A path, the view of it, and what was limited and why."""

    path: Path
    view: View
    way: float  # mean way of the picture over the clip, in widths of a frame
    limits: tuple[str, ...]


def plan_path(camera: Camera, layers: list[Layer], nearness_HW: Tensor, aspect: float, way: float, loops: bool) -> Planned:
    """Choose amount, depth and view so that the picture moves by a way (in widths of a frame) over the clip."""
    layers, middle = shrink_layers(layers), float(nearness_HW.mean())
    path = Path(camera, 0.0, DEPTH, middle, loops)
    if camera.is_still or way <= 0:
        return Planned(path, View(), 0.0, ())
    bears = (UNCOVERS_PX + UNCOVERS_MORE * way * 1024) / 1024
    limits: list[str] = []
    amount, view = way, View()
    for _ in range(10):
        path = replace(path, amount=amount)
        parted = measure_uncovered(path, layers, aspect)
        if parted * view.scale > bears:
            floor = LEAST_DEPTH if camera.turns else 0.0
            path = replace(path, depth=max(path.depth * bears / (parted * view.scale), floor))
        view = choose_view(path, layers, aspect)
        seen = measure_speed(path, nearness_HW, view, aspect)
        amended = way / max(seen, 1e-6)
        amount *= min(max(amended, 0.4), 2.5)
        if abs(amended - 1) < 1e-3:
            break
    path = replace(path, amount=amount)
    for reason, test in (
        ("it would look past the picture's edge", lambda: choose_view(path, layers, aspect).scale > CLOSEST),
        ("it would uncover too much behind near things",
         lambda: measure_uncovered(path, layers, aspect) * choose_view(path, layers, aspect).scale > 1.15 * bears),
    ):  # fmt: skip
        for _ in range(12):
            if not test():
                break
            path = replace(path, amount=path.amount * 0.85)
            limits = [*[one for one in limits if one != reason], reason]
    view = choose_view(path, layers, aspect)
    return Planned(path, view, measure_speed(path, nearness_HW, view, aspect), tuple(limits))
