"""What lies behind a thing, made up from what is seen beside it: its colours, and its texture.

Texture is copied by shifts, each chosen so that the copy agrees with what is known around the gap (He and Sun 2012), and
fitted to it in colour by solving a Poisson equation (Pérez et al. 2003), which hides seams between shifts as well.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.models.pocket.grids import box, grow, pull_push, resize, solve_smooth

CELL = 4  # pixels of a side of the cells in which shifts are chosen
REACHES, TURNS = (5, 9, 14, 20, 28), 12  # cells: the shifts that are tried, in so many directions
RING = 4  # cells around a gap that a copy has to agree with
DEPTH = 0.5  # how much nearness counts beside colours
UNKNOWN = 1.0  # what a shift costs that leads to what is not known
SIDEWAYS = (6, 10, 15, 20, 26, 33, 41)  # cells to the left and right, where only these are tried
FAR = 2e-5  # what each cell of its length costs
UPWARD = 4e-4  # what each cell that a shift leads up or down costs where sides are preferred
ROUNDS = 40


def fill_behind(
    picture_CHW: Tensor,
    known_HW: Tensor,
    needed_HW: Tensor | None = None,
    near_HW: Tensor | None = None,
    sideways: bool = False,
) -> Tensor:
    """Fill what is needed and not known (0 or 1 by pixel) from what is; sideways, rather from its left and right.

    Nearness, by cell, says what else has to agree: 0 is known of it where the picture is not known.
    """
    needed_HW = 1 - known_HW if needed_HW is None else needed_HW
    cells = tuple(-(-side // CELL) for side in known_HW.shape)
    share_HW = resize(known_HW[None], cells, "area")[0]
    small_CHW = resize(picture_CHW * known_HW, cells, "area") / share_HW.clamp(min=1e-3)
    whole_HW = (share_HW > 0.999).float()
    guide_CHW = small_CHW if near_HW is None else torch.cat([small_CHW, DEPTH * near_HW[None]])
    shift_2HW, valid_HW = choose_shifts(guide_CHW, whole_HW, sideways)
    copied_CHW = fetch_cells(small_CHW, shift_2HW) * valid_HW  # where nothing can be copied, colours are continued
    smooth_CHW = pull_push(small_CHW, whole_HW)
    correction_CHW = fit_colours(smooth_CHW, copied_CHW, shift_2HW, whole_HW, valid_HW)
    place_N = ((needed_HW > 0) & (known_HW == 0)).flatten().nonzero()[:, 0]
    copy_CN = fetch_pixels(picture_CHW, shift_2HW, valid_HW, place_N)
    large_CN = resize(correction_CHW, known_HW.shape).flatten(1)[:, place_N]
    filled_CHW = picture_CHW.clone()
    filled_CHW.flatten(1)[:, place_N] = (copy_CN + large_CN).clamp(0, 1)
    return filled_CHW


def choose_shifts(guide_CHW: Tensor, whole_HW: Tensor, sideways: bool) -> tuple[Tensor, Tensor]:
    """Return for each cell the shift, right and down in cells, to what is copied there, and 1 where that is known."""
    shifts = list_shifts(sideways)
    ring_HW = whole_HW * grow(1 - whole_HW, RING)
    costs, known = [], []
    for right, down in shifts:
        there_HW = move(whole_HW[None], right, down)[0]
        differs_HW = (move(guide_CHW, right, down) - guide_CHW).square().sum(0)
        differs_HW = torch.where(there_HW > 0, differs_HW, torch.full_like(differs_HW, UNKNOWN))
        costs.append(differs_HW + FAR * math.hypot(right, down) + (UPWARD * abs(down) if sideways else 0))
        known.append(there_HW)
    known_SHW = torch.stack(known)
    cost_SHW = pull_push(torch.stack(costs), ring_HW) if bool(ring_HW.any()) else torch.stack(costs)
    cost_SHW = box(cost_SHW, 2) + UNKNOWN * (1 - known_SHW)
    best_HW = cost_SHW.argmin(0)
    table_S2 = torch.tensor(shifts, device=guide_CHW.device)
    return table_S2[best_HW].permute(2, 0, 1), known_SHW.gather(0, best_HW[None])[0]


def list_shifts(sideways: bool) -> list[tuple[int, int]]:
    """Return the shifts that are tried, right and down in cells."""
    if sideways:
        return [(side * right, down) for right in SIDEWAYS for side in (-1, 1) for down in (-3, -1, 0, 1, 3)]
    angles = [2 * math.pi * turn / TURNS for turn in range(TURNS)]
    return [(round(reach * math.cos(angle)), round(reach * math.sin(angle))) for reach in REACHES for angle in angles]


def move(image_CHW: Tensor, right: int, down: int) -> Tensor:
    """Return what lies to the right and below of each cell by a shift; 0 beyond the border."""
    rows, columns = image_CHW.shape[-2:]
    if abs(right) >= columns or abs(down) >= rows:
        return torch.zeros_like(image_CHW)
    return F.pad(image_CHW, (-right, right, -down, down))


def fit_colours(smooth_CHW: Tensor, copied_CHW: Tensor, shift_2HW: Tensor, whole_HW: Tensor, valid_HW: Tensor) -> Tensor:
    """Return what has to be added to copied cells so that they go on from what is known, and from one shift to the next."""
    fixed_HW = torch.maximum(whole_HW, 1 - valid_HW)
    wanted_CHW = smooth_CHW - copied_CHW
    weight_HW = fixed_HW + 1e-4
    pull_CHW = torch.zeros_like(copied_CHW)
    for axis in (-1, -2):
        seam_HW = (shift_2HW.diff(dim=axis) != 0).any(0).float()
        gap_CHW = copied_CHW.diff(dim=axis) * seam_HW
        count = gap_CHW.shape[axis]
        pull_CHW.narrow(axis, 0, count).add_(gap_CHW)
        pull_CHW.narrow(axis, 1, count).sub_(gap_CHW)
    flat_HW = torch.ones_like(whole_HW)
    # Only gaps are solved: what is fixed keeps what it has, so that the pull at its seams does not count.
    weight_HW = weight_HW + 1e3 * fixed_HW
    return solve_smooth(wanted_CHW, weight_HW, flat_HW[:, 1:], flat_HW[1:], ROUNDS, pull_CHW, wanted_CHW)


def fetch_cells(small_CHW: Tensor, shift_2HW: Tensor) -> Tensor:
    """Return the cells to which shifts lead."""
    rows, columns = small_CHW.shape[-2:]
    right = (torch.arange(columns, device=small_CHW.device) + shift_2HW[0]).clamp(0, columns - 1)
    down = (torch.arange(rows, device=small_CHW.device)[:, None] + shift_2HW[1]).clamp(0, rows - 1)
    return small_CHW.flatten(1)[:, (down * columns + right).flatten()].view_as(small_CHW)


def fetch_pixels(picture_CHW: Tensor, shift_2HW: Tensor, valid_HW: Tensor, place_N: Tensor) -> Tensor:
    """Return the pixels to which the shifts of the four nearest cells lead, blended: one shift is copied as it is."""
    rows, columns = picture_CHW.shape[-2:]
    y, x = place_N // columns, place_N % columns
    cell_y, cell_x = (y + 0.5) / CELL - 0.5, (x + 0.5) / CELL - 0.5
    total_CN = torch.zeros(len(picture_CHW), len(place_N), device=picture_CHW.device)
    for below in (0, 1):
        for beside in (0, 1):
            row, column = cell_y.floor().long() + below, cell_x.floor().long() + beside
            share = (1 - (cell_y - row).abs()) * (1 - (cell_x - column).abs())
            row, column = row.clamp(0, valid_HW.shape[0] - 1), column.clamp(0, valid_HW.shape[1] - 1)
            shift_2N, share = shift_2HW[:, row, column] * CELL, share * valid_HW[row, column]
            right, down = (x + shift_2N[0]).clamp(0, columns - 1), (y + shift_2N[1]).clamp(0, rows - 1)
            total_CN += share * picture_CHW.flatten(1)[:, down * columns + right]
    return total_CN
