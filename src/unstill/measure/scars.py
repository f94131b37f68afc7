"""What a clip's late frames show that its first one does not explain: tears, fills, smears, bent lines, doubles.

A late frame is compared with the first, read where its pixels came from. What the flow explains is not looked at again;
neither is what has come into the frame. It does not know which size of a fault is too much.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.artifacts import Scar
from unstill.measure.doubles import ALIKE, PEAK, find_copy, find_shared
from unstill.measure.flow import GREY, Flow, Shrunk, blur, to_light, trace
from unstill.measure.lines import find_lines, measure_bends

AT = (0.5, 0.75, 1.0)  # of the clip: the frames that are looked at; the worst one counts
LEAST_FRAMES = 2
BORDER = 8  # px of the grid that are left out at each side, and about what came into the frame
EDGE_AREA, FINE_AREA, PATCH = 9, 7, 7  # px: sides of the squares that things are averaged over
NEAR = 5  # px: colours within this square are the same thing, a little moved
FAINT = 4 * GREY  # what a place without edges may differ by
FINE = 1.5 * GREY  # of detail: what is less shows no loss of it
LOST = 0.3  # of the least detail around is left where a place is filled
STRETCHED = 1 / 3
EXPLAINED = 3 * GREY
SCALES_PX = (16.0, 8.0, 4.0, 2.0, 1.0, 1.0)  # what counts as an outlier of the whole frame's movement, step by step
STRIDE = 4


@dataclass(frozen=True, eq=False)
class Look:
    """Late frames beside the first one, all on one grid."""

    first_CHW: Tensor
    late_BCHW: Tensor
    way_B2HW: Tensor  # where each pixel of a late frame was in the first, px
    known_BHW: Tensor  # what was in the first frame, and not at its border


def find_scars(clip: Shrunk, flow: Flow, scene: int) -> tuple[Scar, ...]:
    """Find the worst fault of each kind; `scene` is how many frames there are before another scene."""
    numbers = sorted({round(share * (scene - 1)) for share in AT} - {0})
    if scene < LEAST_FRAMES or min(clip.light_FHW.shape[1:]) < 4 * BORDER:
        return ()
    way = trace(clip, flow, numbers)
    look = Look(clip.colour_FCHW[0], clip.colour_FCHW[numbers], way, find_known(way))
    plane = fit_whole(way, look.late_BCHW)
    filled_BHW, unexplained_BHW = find_filled(look), measure_unexplained(look, plane)
    found = [
        _take("filled", filled_BHW.float(), numbers, share=True),
        _take("smeared", find_smeared(look, unexplained_BHW).float(), numbers, share=True),
        _find_bent(look, plane, numbers),
    ]
    ghost_BHW = find_ghosts(look, unexplained_BHW)
    found.append(_take("ghost", ghost_BHW.float(), numbers, share=True))
    found.append(_take("torn", unexplained_BHW, numbers))
    return tuple(scar for scar in found if scar is not None)


def find_ghosts(look: Look, unexplained_BHW: Tensor) -> Tensor:
    """Mark what is in a late frame twice, [B, H, W]."""
    detail_BHW = measure_detail(look.late_BCHW)
    ghosts = []
    for late, way, known, left, detail in zip(
        look.late_BCHW, look.way_B2HW, look.known_BHW, unexplained_BHW, detail_BHW, strict=True
    ):
        shared = find_shared(way, known & (left < 0.5) & (detail > FINE))
        shared = F.interpolate(shared[None, None].float(), size=left.shape)[0, 0] > 0
        thing = grow_from(left > PEAK * left.amax(), *divmod(int(left.argmax()), left.shape[1]))
        ghosts.append(shared | (thing & (left > 1.0)) if find_copy(late, thing) > ALIKE else shared)
    return torch.stack(ghosts)


def find_known(way_B2HW: Tensor) -> Tensor:
    """Mark what was in the first frame, some way from its border and from the late frame's."""
    _, _, rows, columns = way_B2HW.shape
    x = torch.arange(columns, device=way_B2HW.device) + way_B2HW[:, 0]
    y = torch.arange(rows, device=way_B2HW.device)[:, None] + way_B2HW[:, 1]
    is_in = (x >= 2) & (x <= columns - 3) & (y >= 2) & (y <= rows - 3)
    inner = torch.zeros_like(is_in)
    inner[:, BORDER:-BORDER, BORDER:-BORDER] = True
    return _least((is_in & inner).float(), 2 * BORDER + 1) > 0


def measure_unexplained(look: Look, plane: Tensor) -> Tensor:
    """Measure what neither the flow nor the whole frame's movement explains, against the edges that are there, [B, H, W].

    A colour counts as far as it lies beyond all colours around its place, in either frame: a small error of the flow is none.
    """
    edges_HW = measure_edges(look.first_CHW[None])
    left_BHW = None
    for way in (look.way_B2HW, plane):
        beyond = _exceed(look.late_BCHW, read(look.first_CHW, way))
        usual = _mean(read(edges_HW, way)[:, 0], EDGE_AREA)
        share = _mean(beyond / (FAINT + usual), PATCH)
        left_BHW = share if left_BHW is None else torch.minimum(left_BHW, share)
    assert left_BHW is not None
    return left_BHW * look.known_BHW * find_known(plane)


def _exceed(one_BCHW: Tensor, two_BCHW: Tensor) -> Tensor:
    """Give how far colours lie beyond those around their place in the other frame, whichever way is more, [B, H, W]."""
    over = []
    for here, there in ((one_BCHW, two_BCHW), (two_BCHW, one_BCHW)):
        high, low = _pool(there, NEAR), -_pool(-there, NEAR)
        over.append(torch.maximum(here - high, low - here).amax(1))
    return torch.maximum(*over).clamp(min=0)


def fit_whole(way_B2HW: Tensor, late_BCHW: Tensor) -> Tensor:
    """Fit an affine movement to each whole frame's ways, where there is texture."""
    _, _, rows, columns = way_B2HW.shape
    y, x = (torch.linspace(-1, 1, side, device=way_B2HW.device) for side in (rows, columns))
    place = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns), torch.ones_like(way_B2HW[0, 0])])
    start = place[:, ::STRIDE, ::STRIDE].flatten(1).double()
    moved = way_B2HW[:, :, ::STRIDE, ::STRIDE].flatten(2).double()
    fine = measure_detail(late_BCHW)[:, ::STRIDE, ::STRIDE].flatten(1).double()
    trust = fine / (fine + 2 * GREY)
    weight = trust
    little = 1e-9 * torch.eye(3, dtype=torch.float64, device=way_B2HW.device)
    for scale in SCALES_PX:
        square = torch.einsum("kn,ln,bn->bkl", start, start, weight) + little
        right = torch.einsum("kn,bcn,bn->bkc", start, moved, weight)
        answer = torch.linalg.solve(square, right)
        miss = (torch.einsum("kn,bkc->bcn", start, answer) - moved).square().sum(1)
        weight = trust * (scale**2 / (scale**2 + miss)) ** 2
    return torch.einsum("khw,bkc->bchw", place, answer.float())


def find_filled(look: Look) -> Tensor:
    """Mark what has lost the detail that everything around its place in the first frame has, [B, H, W].

    What the whole frame loses is no fill: detail counts against its usual loss.
    """
    before = read(-_pool(-measure_detail(look.first_CHW[None])[:, None], EDGE_AREA)[0], look.way_B2HW)[:, 0]
    share = measure_detail(look.late_BCHW) / before.clamp(min=GREY / 100)
    counts = look.known_BHW & (before > FINE)
    return counts & (share < LOST * _usual(share, counts).clamp(max=1)[:, None, None])


def find_smeared(look: Look, unexplained_BHW: Tensor) -> Tensor:
    """Mark surfaces that are stretched more than threefold one way, against the whole frame, [B, H, W]."""
    way = _mean(look.way_B2HW, FINE_AREA)
    across, down = torch.zeros_like(way), torch.zeros_like(way)
    across[..., 2:-2] = (way[..., 4:] - way[..., :-4]) / 4
    down[..., 2:-2, :] = (way[..., 4:, :] - way[..., :-4, :]) / 4
    a, b, c, d = 1 + across[:, 0], down[:, 0], across[:, 1], 1 + down[:, 1]
    half, area = (a * a + b * b + c * c + d * d) / 2, a * d - b * c
    least = (half - (half.square() - area.square()).clamp(min=0).sqrt()).clamp(min=0).sqrt()
    detail = read(-_pool(-measure_detail(look.first_CHW[None])[:, None], EDGE_AREA)[0], look.way_B2HW)[:, 0]
    is_stretched = (area > 0) & (least < STRETCHED * _usual(least, look.known_BHW)[:, None, None])
    return look.known_BHW & (unexplained_BHW < 0.5) & is_stretched & (detail > GREY)


def _usual(x_BHW: Tensor, counts_BHW: Tensor) -> Tensor:
    """Give each frame's median of what counts; 1 where nothing does."""
    pairs = zip(x_BHW, counts_BHW, strict=True)
    return torch.stack([x[counts].median() if bool(counts.any()) else x.new_tensor(1.0) for x, counts in pairs])


def _find_bent(look: Look, plane: Tensor, numbers: list[int]) -> Scar | None:
    lines = find_lines(to_light(look.first_CHW[None])[0])
    if not len(lines.points_LN2):
        return None
    late_BHW = to_light(look.late_BCHW)
    found = [measure_bends(lines, late_BHW[at], [look.way_B2HW[at], plane[at]]) for at in range(len(numbers))]
    worst = [float(bends.off_L.max()) for bends in found]
    at = worst.index(max(worst))
    return _scar("bent", worst[at], numbers[at], found[at].box_L4[int(found[at].off_L.argmax())], look)


def _take(kind: str, x_BHW: Tensor, numbers: list[int], share: bool = False) -> Scar | None:
    """Take the frame and the place where a map is largest; its size is a per mille of the frame, or the largest value."""
    size_B = 1000 * x_BHW.mean((1, 2)) if share else x_BHW.amax((1, 2))
    at = int(size_B.argmax())
    if float(size_B[at]) == 0:
        return None
    x_HW = _mean(x_BHW[at : at + 1], 15)[0] if share else x_BHW[at]
    rows, columns = x_HW.shape
    row, column = divmod(int(x_HW.argmax()), columns)
    over = grow_from(x_HW > 0.4 * x_HW.amax(), row, column)
    down, right = over.any(1).nonzero(), over.any(0).nonzero()
    box = torch.stack([right[0, 0], down[0, 0], right[-1, 0], down[-1, 0]]).float()
    size = torch.tensor([columns, rows, columns, rows])
    return Scar(kind, round(float(size_B[at]), 3), numbers[at] + 1, tuple(round(float(side), 3) for side in box.cpu() / size))


def grow_from(holds_HW: Tensor, row: int, column: int) -> Tensor:
    """Mark what hangs together with a pixel."""
    found = torch.zeros_like(holds_HW)
    found[row, column] = True
    while True:
        more = (_pool(found[None, None].float(), 9)[0, 0] > 0) & holds_HW
        if bool((more == found).all()):
            return found
        found = more


def _scar(kind: str, size: float, number: int, box: Tensor, look: Look) -> Scar:
    rows, columns = look.first_CHW.shape[-2:]
    scale = torch.tensor([columns, rows, columns, rows])
    return Scar(kind, round(size, 3), number + 1, tuple(round(float(side), 3) for side in (box.cpu() / scale).clamp(0, 1)))


def measure_edges(frames_BCHW: Tensor) -> Tensor:
    """Measure how steep the steepest channel is, [B, H, W]."""
    soft = blur(frames_BCHW, 1)
    across, down = torch.zeros_like(soft), torch.zeros_like(soft)
    across[..., 1:-1] = (soft[..., 2:] - soft[..., :-2]) / 2
    down[..., 1:-1, :] = (soft[..., 2:, :] - soft[..., :-2, :]) / 2
    return torch.hypot(across, down).amax(1)


def measure_detail(frames_BCHW: Tensor) -> Tensor:
    """Measure how much luminance differs from its surroundings, on average over a small square, [B, H, W]."""
    light = to_light(frames_BCHW)
    return _mean((light - blur(light, 1, 2)).abs(), FINE_AREA)


def read(x: Tensor, way_B2HW: Tensor) -> Tensor:
    """Read x, [C, H, W] or [1, H, W], where each frame's ways lead, [B, C, H, W]."""
    frames, _, rows, columns = way_B2HW.shape
    x_B = (torch.arange(columns, device=way_B2HW.device) + way_B2HW[:, 0] + 0.5) * (2 / columns) - 1
    y_B = (torch.arange(rows, device=way_B2HW.device)[:, None] + way_B2HW[:, 1] + 0.5) * (2 / rows) - 1
    grid = torch.stack([x_B, y_B], -1)
    return F.grid_sample(x[None].expand(frames, -1, -1, -1), grid, padding_mode="border", align_corners=False)


def _pool(x_BCHW: Tensor, side: int) -> Tensor:
    """Take the largest in a square around each pixel."""
    across = F.max_pool2d(x_BCHW, (1, side), 1, (0, side // 2))
    return F.max_pool2d(across, (side, 1), 1, (side // 2, 0))


def _least(x_BHW: Tensor, side: int) -> Tensor:
    return -_pool(-x_BHW[None], side)[0]


def _mean(x: Tensor, side: int) -> Tensor:
    """Average over a square around each pixel."""
    x_BCHW = x if x.dim() == 4 else x[:, None]
    padded = F.pad(x_BCHW, (side // 2,) * 4, mode="replicate")
    mean = F.avg_pool2d(F.avg_pool2d(padded, (1, side), 1), (side, 1), 1)
    return mean if x.dim() == 4 else mean[:, 0]
