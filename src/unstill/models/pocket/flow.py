"""What a scene does by itself: water flows, foliage sways. Places where a point was, as functions of the moment.

Flow follows a field that does not change (Holynski et al. 2021): two copies of the picture, one that flows away from the first
moment and one that flows towards the last, are blended, so that the end meets the beginning. What sways swings on a few
sinusoids (Li et al. 2024). Everything is on a coarse grid, in widths of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unstill.models.pocket.field import SceneField
from unstill.models.pocket.grids import lay_places, look_up, resize, smooth

STEPS = 12  # of the integration over the whole clip
SWINGS = 3  # sinusoids that a swaying point follows
WIDEST = 0.05  # widths: what larger amplitudes approach
LEAST = 0.05  # share of a surface from which on it flows or sways


@dataclass(frozen=True, eq=False)
class SceneMotion:
    """The scene's own motion, ready to be asked for any moment."""

    aspect: float
    drift_TCHW: Tensor | None  # where what is at a place was, STEPS moments back, as an offset; none: nothing flows
    rise_TCHW: Tensor | None  # where it will be, STEPS moments on
    swing_SCHW: Tensor | None  # amplitudes
    phase_SHW: Tensor | None
    loops: bool

    @property
    def is_still(self) -> bool:
        return self.drift_TCHW is None and self.swing_SCHW is None

    def sway(self, moment: float) -> Tensor | None:
        """Return the offset of what sways, [2, H, W]; none at the first moment."""
        if self.swing_SCHW is None or self.phase_SHW is None:
            return None
        turns = torch.arange(1, SWINGS + 1, device=self.phase_SHW.device).view(-1, 1, 1) * (2 * math.pi * moment)
        swing = (turns + self.phase_SHW).sin() - self.phase_SHW.sin()
        return (self.swing_SCHW * swing[:, None]).sum(0)

    def flow(self, moment: float) -> tuple[Tensor, Tensor, float] | None:
        """Return where what is at a place was at the first and will be at the last moment, and the second copy's share."""
        if self.drift_TCHW is None or self.rise_TCHW is None:
            return None
        return _between(self.drift_TCHW, moment), _between(self.rise_TCHW, 1 - moment), moment


def _between(path_TCHW: Tensor, moment: float) -> Tensor:
    place = moment * (len(path_TCHW) - 1)
    low = min(int(place), len(path_TCHW) - 2)
    return torch.lerp(path_TCHW[low], path_TCHW[low + 1], place - low)


def read_scene_motion(
    field: SceneField, size: Sequence[int], aspect: float, path: float, loops: bool, seed: int
) -> SceneMotion:
    """Prepare a scene's motion on a grid; path is how far what flows goes over the clip, in widths."""
    drift = rise = swing = phase = None
    if float(field.flows_HW.max()) > LEAST and path > 0:
        velocity_CHW = resize(field.flow_CHW * field.flows_HW, size) * path
        drift, rise = integrate(-velocity_CHW, aspect), integrate(velocity_CHW, aspect)
    if float(field.sways_HW.max()) > LEAST and path > 0:
        swing, phase = draw_swings(resize(field.sway_CHW * field.sways_HW, size) * path, seed)
    return SceneMotion(aspect, drift, rise, swing, phase, loops)


def integrate(velocity_CHW: Tensor, aspect: float) -> Tensor:
    """Follow a velocity from every place for one clip; return the offsets at STEPS + 1 moments (midpoint rule)."""
    here = lay_places(velocity_CHW.shape[-2:], aspect, velocity_CHW.device)
    path = [torch.zeros_like(here)]
    for _ in range(STEPS):
        place = here + path[-1]
        half = place + look_up(velocity_CHW, place, aspect) / (2 * STEPS)
        path.append(path[-1] + look_up(velocity_CHW, half, aspect) / STEPS)
    return torch.stack(path)


def draw_swings(amplitude_CHW: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw phases that change slowly over the picture; the slow swing is the widest."""
    rows, columns = amplitude_CHW.shape[-2:]
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(SWINGS, 6, 8, generator=rng).to(amplitude_CHW.device)
    phase_SHW = 2.5 * smooth(resize(coarse, (rows, columns)), 2)
    # The mean speed of a sinusoid is 4 cycles × amplitude per clip.
    shares = torch.tensor([0.16, 0.05, 0.02], device=amplitude_CHW.device).view(-1, 1, 1, 1)
    length_HW = amplitude_CHW.norm(dim=0).clamp(min=1e-9)
    return shares * amplitude_CHW * (WIDEST * (length_HW / WIDEST).tanh() / length_HW), phase_SHW
