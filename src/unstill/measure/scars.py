"""What a clip's late frames show that its first one does not explain: tears, fills, smears, bent lines, doubles.

A late frame is compared with the first, read where its pixels came from. What the flow explains is not looked at again;
neither is what has come into the frame. It does not know which size of a fault is too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.artifacts import Scar
from unstill.measure.doubles import find_double
from unstill.measure.flow import GREY, Flow, Shrunk, blur, to_light, trace
from unstill.measure.lines import find_lines, measure_bends
from unstill.measure.smears import find_smeared
from unstill.measure.windows import average, largest, least, read, slopes, usual

AT = (0.5, 1.0)  # of the clip: the frames that are looked at; the worst one counts
LEAST_FRAMES = 2
BORDER = 8  # px of the grid that are left out at each side, and about what came into the frame
EDGE_AREA, FINE_AREA, PATCH = 9, 7, 7  # px: sides of the squares that things are averaged over
NEAR = 5  # px: colours within this square are the same thing, a little moved
FAINT = 4 * GREY  # what a place without edges may differ by
FINE = 1.5 * GREY  # of detail: what is less shows no loss of it
LOST = 0.3  # of the least detail around is left where a place is filled
SCALES_PX = (16.0, 8.0, 4.0, 2.0, 1.0, 1.0)  # what counts as an outlier of the whole frame's movement, step by step
STRIDE = 4
COLOUR_FITS = 4  # times that colours are fitted; what lies far off counts less each time
LITTLE = 1e-9  # keeps fits of a picture of one colour solvable
BOX_AREA = 15  # px: a place is where most of such a square is marked


@dataclass(frozen=True, eq=False)
class Look:
    """Late frames beside the first one, all on one grid."""

    first_CHW: Tensor
    late_BCHW: Tensor
    way_B2HW: Tensor  # where each pixel of a late frame was in the first, px
    known_BHW: Tensor  # what was in the first frame, and not at its border
    plane_B2HW: Tensor  # the whole frame's movement, as ways
    numbers: list[int]  # of the late frames, from 0


def find_scars(clip: Shrunk, flow: Flow, scene: int) -> tuple[Scar, ...]:
    """Find the worst fault of each kind; `scene` is how many frames there are before another scene."""
    numbers = sorted({round(share * (scene - 1)) for share in AT} - {0})
    if scene < LEAST_FRAMES or min(clip.light_FHW.shape[1:]) < 4 * BORDER:
        return ()
    return find_all(look_at(clip.colour_FCHW[0], clip.colour_FCHW[numbers], trace(clip, flow, numbers), numbers))


def look_at(first_CHW: Tensor, late_BCHW: Tensor, way_B2HW: Tensor, numbers: list[int]) -> Look:
    """Lay late frames beside the first."""
    return Look(first_CHW, late_BCHW, way_B2HW, find_known(way_B2HW), fit_whole(way_B2HW, late_BCHW), numbers)


def find_all(look: Look) -> tuple[Scar, ...]:
    """Find the worst fault of each kind, however small."""
    smeared_BHW = find_smeared(look.first_CHW, look.late_BCHW, look.way_B2HW, look.known_BHW)
    camera_BCHW, flowed_BCHW = (read(look.first_CHW, way) for way in (look.plane_B2HW, look.way_B2HW))
    found = [
        _take("filled", find_filled(look).float(), look.numbers, share=True),
        _take("smeared", smeared_BHW.float(), look.numbers, share=True),
        _find_bent(look),
        _find_ghost(look, camera_BCHW[-1], flowed_BCHW[-1]),
        _take("torn", measure_unexplained(look, camera_BCHW, flowed_BCHW), look.numbers),
    ]
    return tuple(scar for scar in found if scar is not None)


def find_known(way_B2HW: Tensor) -> Tensor:
    """Mark what was in the first frame, some way from its border and from the late frame's."""
    _, _, rows, columns = way_B2HW.shape
    x = torch.arange(columns, device=way_B2HW.device) + way_B2HW[:, 0]
    y = torch.arange(rows, device=way_B2HW.device)[:, None] + way_B2HW[:, 1]
    is_in = (x >= 2) & (x <= columns - 3) & (y >= 2) & (y <= rows - 3)
    inner = torch.zeros_like(is_in)
    inner[:, BORDER:-BORDER, BORDER:-BORDER] = True
    return least((is_in & inner).float(), 2 * BORDER + 1) > 0


def measure_unexplained(look: Look, camera_BCHW: Tensor, flowed_BCHW: Tensor) -> Tensor:
    """Measure what neither the flow nor the whole frame's movement explains, against the edges that are there, [B, H, W].

    A colour counts as far as it lies beyond all colours around its place, in either frame: a small error of the flow is none.
    """
    edges_HW = measure_edges(look.first_CHW[None])
    shares = []
    for way_B2HW, seen_BCHW in ((look.way_B2HW, flowed_BCHW), (look.plane_B2HW, camera_BCHW)):
        usual_BHW = average(read(edges_HW, way_B2HW)[:, 0], EDGE_AREA)
        lit_BCHW = light_alike(seen_BCHW, look.late_BCHW, look.known_BHW)
        shares.append(average(_exceed(look.late_BCHW, lit_BCHW) / (FAINT + usual_BHW), PATCH))
    return torch.minimum(*shares) * look.known_BHW * find_known(look.plane_B2HW)


def light_alike(seen_BCHW: Tensor, late_BCHW: Tensor, known_BHW: Tensor) -> Tensor:
    """Give frames the light, contrast and colour of others: a whole frame that fades is not torn.

    One linear map of colours a frame, fitted to all places but those that it leaves far off.
    """
    every = (slice(None), slice(None), slice(None, None, STRIDE), slice(None, None, STRIDE))
    given_BKN = F.pad(seen_BCHW[every].flatten(2).double(), (0, 0, 0, 1), value=1.0)
    wanted_BCN = late_BCHW[every].flatten(2).double()
    weight_BN = known_BHW[:, ::STRIDE, ::STRIDE].flatten(1).double()
    trust_BN = weight_BN
    little = LITTLE * torch.eye(given_BKN.shape[1], dtype=torch.float64, device=seen_BCHW.device)
    for _ in range(COLOUR_FITS):
        square = torch.einsum("bkn,bln,bn->bkl", given_BKN, given_BKN, weight_BN) + little
        right = torch.einsum("bkn,bcn,bn->bkc", given_BKN, wanted_BCN, weight_BN)
        map_BKC = torch.linalg.solve(square, right)
        miss_BN = (torch.einsum("bkn,bkc->bcn", given_BKN, map_BKC) - wanted_BCN).square().sum(1)
        weight_BN = trust_BN * (FAINT**2 / (FAINT**2 + miss_BN)) ** 2
    lit = torch.einsum("bkhw,bkc->bchw", F.pad(seen_BCHW, (0, 0, 0, 0, 0, 1), value=1.0), map_BKC.float())
    return lit.clamp(0, 1)


def _exceed(one_BCHW: Tensor, two_BCHW: Tensor) -> Tensor:
    """Give how far colours lie beyond those around their place in the other frame, whichever way is more, [B, H, W]."""
    over = []
    for here, there in ((one_BCHW, two_BCHW), (two_BCHW, one_BCHW)):
        high, low = largest(there, NEAR), least(there, NEAR)
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
    little = LITTLE * torch.eye(3, dtype=torch.float64, device=way_B2HW.device)
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
    before = read(least(measure_detail(look.first_CHW[None]), EDGE_AREA), look.way_B2HW)[:, 0]
    share = measure_detail(look.late_BCHW) / before.clamp(min=GREY / 100)
    counts = look.known_BHW & (before > FINE)
    return counts & (share < LOST * usual(share, counts).clamp(max=1))


def _find_bent(look: Look) -> Scar | None:
    lines = find_lines(look.first_CHW)
    if not len(lines.edge_L):
        return None
    found = [measure_bends(lines, *one) for one in zip(look.late_BCHW, look.way_B2HW, strict=True)]
    worst = [float(bends.off_L.max()) for bends in found]
    at = worst.index(max(worst))
    rows, columns = look.first_CHW.shape[-2:]
    box = found[at].box_L4[int(found[at].off_L.argmax())].cpu() / torch.tensor([columns, rows, columns, rows])
    return _name("bent", worst[at], look.numbers[at], box.tolist())


def _find_ghost(look: Look, camera_CHW: Tensor, flowed_CHW: Tensor) -> Scar | None:
    """Find what is in the last frame twice."""
    found = find_double(look.late_BCHW[-1], (camera_CHW, flowed_CHW), look.way_B2HW[-1], look.known_BHW[-1])
    return None if found is None else _name("ghost", float(found.patches), look.numbers[-1], found.box)


def _take(kind: str, x_BHW: Tensor, numbers: list[int], share: bool = False) -> Scar | None:
    """Take the frame and the place where a map is largest; its size is a per mille of the frame, or the largest value."""
    size_B = 1000 * x_BHW.mean((1, 2)) if share else x_BHW.amax((1, 2))
    at = int(size_B.argmax())
    if float(size_B[at]) == 0:
        return None
    x_HW = average(x_BHW[at : at + 1], BOX_AREA)[0] if share else x_BHW[at]
    rows, columns = x_HW.shape
    over = grow_from(x_HW > 0.4 * x_HW.amax(), *divmod(int(x_HW.argmax()), columns))
    down, right = over.any(1).nonzero()[:, 0].tolist(), over.any(0).nonzero()[:, 0].tolist()
    box = (right[0] / columns, down[0] / rows, (right[-1] + 1) / columns, (down[-1] + 1) / rows)
    return _name(kind, float(size_B[at]), numbers[at], box)


def _name(kind: str, size: float, number: int, box: Sequence[float]) -> Scar:
    left, top, right, bottom = (round(min(max(side, 0.0), 1.0), 3) for side in box)
    return Scar(kind, round(size, 3), number + 1, (left, top, right, bottom))


def grow_from(holds_HW: Tensor, row: int, column: int) -> Tensor:
    """Mark what hangs together with a pixel."""
    found = torch.zeros_like(holds_HW)
    found[row, column] = True
    while True:
        more = (largest(found[None].float(), 9)[0] > 0) & holds_HW
        if bool((more == found).all()):
            return found
        found = more


def measure_edges(frames_BCHW: Tensor) -> Tensor:
    """Measure how steep the steepest channel is, [B, H, W]."""
    return torch.hypot(*slopes(blur(frames_BCHW, 1))).amax(1)


def measure_detail(frames_BCHW: Tensor) -> Tensor:
    """Measure how much luminance differs from its surroundings, on average over a small square, [B, H, W]."""
    light = to_light(frames_BCHW)
    return average((light - blur(light, 1, 2)).abs(), FINE_AREA)
