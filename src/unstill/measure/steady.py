"""Whether the picture stays itself: light, sharpness, colour, its borders, and the first frame.

It does not know what was asked for, nor which number is good enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.measure.flow import Flow, Shrunk, look_up, to_light, to_unit

GREYS = 255.0
BLOCKS = (9, 16)  # light is compared in blocks of 64x64 px: resampling and grain cancel there, light does not
CUT_GREYS = 10.0  # mean change; a pan of 20 px a frame over a busy picture changes as much, but is followed
CUT_SHARE = 0.4  # of what is found again between other frames
BACK = 0.5  # of what changed, and what comes back is the same scene
FOUND = 0.1  # trust
SMALLEST = 4  # pixels that sharpness takes
MARGIN = 0.06  # of each side is left out where sharpness is measured: borders are measured on their own
FAINT = 0.5 / GREYS  # contrast or edges of less are what rounding leaves
PALE = 4 / GREYS  # mean chroma of less is grey with a cast
DARK = 4 / GREYS  # black that went through a video's compression
WIDEST = 0.125  # of the side: bands are looked for up to here
NARROWEST = 8  # columns of about 512, 1.6 % of the side: smooth pictures hold narrower mirrors of their own
FLAT = 0.5 / GREYS  # where neighbouring columns differ less than this, a plain picture cannot be told from a band
APART = 1.5  # times every other step: what a step at a chunk's border must be at least
COPY = 0.2  # a band is a copy when it differs by less than this share of what neighbouring content differs


@dataclass(frozen=True, eq=False)
class Flicker:
    """Steps of luminance from frame to frame, on what moved along; grey levels of 255."""

    step_greys_P: Tensor  # of the whole picture, signed
    local_greys_P: Tensor  # mean over blocks, without sign, a steady fade taken away
    fade_greys: float  # the steady part, a frame


@dataclass(frozen=True, eq=False)
class Bands:
    """How wide the worst frame's border bands are beyond the first frame's, in % of the side across which they grow."""

    black_percent: dict[str, float]
    mirrored_percent: dict[str, float]
    stretched_percent: dict[str, float]


def measure_flicker(clip: Shrunk, flow: Flow) -> Flicker:
    """Follow the flow, and compare the luminance of what can be trusted."""
    steps_PHW, trust_PHW = _follow(clip, flow), flow.confidence_PHW
    blocks = F.adaptive_avg_pool2d(torch.stack([steps_PHW * trust_PHW, trust_PHW], 1), BLOCKS)
    weight_PHW = blocks[:, 1]
    block_PHW = blocks[:, 0] / weight_PHW.clamp(min=1e-6)
    whole_P = blocks[:, 0].sum((1, 2)) / weight_PHW.sum((1, 2)).clamp(min=1e-6)
    fade_HW = (block_PHW * weight_PHW).sum(0) / weight_PHW.sum(0).clamp(min=1e-6)
    local_P = ((block_PHW - fade_HW).abs() * weight_PHW).sum((1, 2)) / weight_PHW.sum((1, 2)).clamp(min=1e-6)
    return Flicker(whole_P, local_P, float(whole_P.mean()))


def measure_error(clip: Shrunk, flow: Flow) -> Tensor:
    """Give how much what moved along changes beyond its light, mean of grey levels, [P]."""
    steps_PHW, trust_PHW = _follow(clip, flow), flow.confidence_PHW
    weight_P = trust_PHW.sum((1, 2)).clamp(min=1e-6)
    whole_P = (steps_PHW * trust_PHW).sum((1, 2)) / weight_P
    return ((steps_PHW - whole_P[:, None, None]).abs() * trust_PHW).sum((1, 2)) / weight_P


def _follow(clip: Shrunk, flow: Flow) -> Tensor:
    """Give by how many grey levels each place has changed where the flow leads, [P, H, W]."""
    pixel = torch.tensor(flow.pixel_px, device=flow.flow_PCHW.device)[:, None, None]
    light_FHW = F.avg_pool2d(clip.light_FHW[:, None], 2)[:, 0]
    later_PHW, _ = look_up(light_FHW[1:], flow.flow_PCHW / pixel / 2)
    return (later_PHW - light_FHW[:-1]) * GREYS


def find_cuts(clip: Shrunk, flow: Flow) -> Tensor:
    """Say which pairs of frames show different scenes, [P]: all has changed, and little of it is found again."""
    change_P = (clip.light_FHW[1:] - clip.light_FHW[:-1]).abs().mean((1, 2)) * GREYS
    found_P = (flow.confidence_PHW > FOUND).float().mean((1, 2))
    is_dark_F = clip.light_FHW.flatten(1).amax(1) * GREYS < DARK * GREYS
    is_cut_P = (change_P > CUT_GREYS) & (found_P < CUT_SHARE * found_P.median()) & ~is_dark_F[1:] & ~is_dark_F[:-1]
    over_P = (clip.light_FHW[2:] - clip.light_FHW[:-2]).abs().mean((1, 2)) * GREYS
    # What comes back after one frame was away for a flash, and is no other scene.
    is_flash_P = is_cut_P[:-1] & is_cut_P[1:] & (over_P < BACK * torch.minimum(change_P[:-1], change_P[1:]))
    is_cut_P[:-1] &= ~is_flash_P
    is_cut_P[1:] &= ~is_flash_P
    return is_cut_P


def find_seams(step_P: Tensor) -> tuple[int, float]:
    """Find how many frames lie between steps that come at equal distances, and by how much those stand out; 0 where none do.

    A decoder that works chunk by chunk leaves such steps. Every border must stand out from every other place, so that
    flicker is not taken for chunks; a clip with a single border cannot be told from one with a flash.
    """
    off_P = (step_P - step_P.mean()).abs()  # of light that alternates, the median would be half of all steps
    best = (0, 0.0)
    for chunk in range(2, (len(step_P) + 1) // 2 + 1):
        is_border = torch.arange(1, len(step_P) + 1, device=step_P.device) % chunk == 0
        if int(is_border.sum()) < 2:
            continue
        border, other = off_P[is_border], off_P[~is_border]
        if float(border.min()) > APART * float(other.max()) and float(border.mean()) > best[1]:
            best = (chunk, float(border.mean()))
    return best


def measure_sharpness(frames_FCHW: Tensor, device: str | torch.device = "cpu") -> Tensor:
    """Give each frame's variance of the Laplacian as a share of the first frame's, borders left out, [F]."""
    values = []
    for frame_CHW in frames_FCHW:  # one at a time stays in the cache
        light = to_light(to_unit(frame_CHW[None].to(device)))[0]
        high, wide = (round(side * MARGIN) for side in light.shape)
        light = light[high : light.shape[0] - high, wide : light.shape[1] - wide]
        if min(light.shape) < SMALLEST:
            return torch.ones(len(frames_FCHW))
        around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
        values.append((around - 4 * light[1:-1, 1:-1]).var())
    return _share(torch.stack(values), FAINT**2)


def measure_contrast(clip: Shrunk) -> Tensor:
    """Give each frame's spread of luminance (standard deviation) as a share of the first frame's, [F]."""
    return _share(clip.light_FHW.flatten(1).std(1), FAINT)


def measure_saturation(clip: Shrunk) -> Tensor:
    """Give each frame's mean distance between its strongest and weakest channel as a share of the first frame's, [F]."""
    chroma_F = (clip.colour_FCHW.amax(1) - clip.colour_FCHW.amin(1)).mean((1, 2))
    return _share(chroma_F, PALE)


def _share(value_F: Tensor, least: float) -> Tensor:
    """Give each frame's value as a share of the first one's; where that has next to nothing there is nothing to lose."""
    is_there = bool(value_F.isfinite().all()) and float(value_F[0]) >= least
    return value_F / value_F[0] if is_there else torch.ones_like(value_F)


def measure_fidelity_db(first_CHW: Tensor, picture_CHW: Tensor) -> float:
    """Compare the first frame with the picture: PSNR, at most 99 dB."""
    error = float((first_CHW - picture_CHW).square().mean())
    return 99.0 if error == 0 else min(99.0, -10 * math.log10(error))


def measure_bands(clip: Shrunk) -> Bands:
    """Look along every side of every frame for bands that are black, a mirror of what follows, or one line repeated."""
    light = clip.light_FHW
    turned = {"left": light, "right": light.flip(2), "top": light.transpose(1, 2), "bottom": light.flip(1).transpose(1, 2)}

    def widest(width_F: Tensor, wide: int) -> float:
        return 100 * max(0.0, float(width_F.max() - width_F[0])) / wide

    kinds = (_find_black, _find_mirrored, _find_stretched)
    return Bands(*({side: widest(find(view), view.shape[2]) for side, view in turned.items()} for find in kinds))


def _run(holds_FW: Tensor) -> Tensor:
    """Count how many columns from the left hold without a gap, [F]."""
    return holds_FW.long().cumprod(1).sum(1)


def _find_black(light_FHW: Tensor) -> Tensor:
    """Count black columns at the left, [F]; all of a frame that is black."""
    return _run(light_FHW.amax(1) < DARK)


def _find_stretched(light_FHW: Tensor) -> Tensor:
    """Count columns at the left that repeat one column, [F]: from one to the next next to nothing changes.

    Along them much does, unlike in a plain sky; and in what follows too, unlike in a scene of level layers.
    """
    reach = round(light_FHW.shape[2] * WIDEST)
    part = light_FHW[:, :, : 3 * reach]
    across_FW = (part[:, :, 1:] - part[:, :, :-1]).abs().mean(1)
    along_FW = (part[:, 1:] - part[:, :-1]).abs().mean(1)[:, :-1]
    usual_F1 = across_FW.median(1, keepdim=True).values
    is_same_FW = (across_FW < COPY * along_FW) & (across_FW < COPY * usual_F1)
    shows_FW = (part.amax(1)[:, :-1] >= DARK) & (along_FW > FLAT) & (usual_F1 > FLAT)
    same_F = _run((is_same_FW & shows_FW)[:, :reach])
    return torch.where(same_F + 1 >= NARROWEST, same_F + 1, 0)


def _find_mirrored(light_FHW: Tensor) -> Tensor:
    """Find the axis about which the left edge is mirrored best, and count the columns before it, [F]; 0 where none is."""
    reach = round(light_FHW.shape[2] * WIDEST)
    part = light_FHW[:, ::2, : 2 * reach + 1]  # every second row tells as much
    width_F, least_F = light_FHW.new_zeros(len(light_FHW)), light_FHW.new_full((len(light_FHW),), COPY)
    for width in range(NARROWEST, reach + 1):
        band = part[:, :, :width]
        usual_F = (band - part[:, :, width : 2 * width]).abs().mean((1, 2))
        for shift in (0, 1):  # the axis lies between two columns, or on one
            copy = part[:, :, width + shift : 2 * width + shift].flip(2)
            share_F = (band - copy).abs().mean((1, 2)) / usual_F.clamp(min=1e-6)
            found_F = (share_F < least_F) & (usual_F > 4 * FLAT)
            width_F, least_F = torch.where(found_F, width, width_F), torch.where(found_F, share_F, least_F)
    return width_F
