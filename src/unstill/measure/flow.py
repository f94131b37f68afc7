"""Dense optical flow between consecutive frames, and how far it can be trusted.

A pyramid of windowed least squares (Lucas and Kanade 1981), each answer tied to its neighbours' (Bruhn, Weickert and
Schnörr 2005), with robust weights; flow there and flow back are averaged where they agree. It does not know cameras,
objects or clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

UNIT_PIXELS = 1024 * 576  # motion is told in pixels of a frame that has this many
GRID_PIXELS = 512 * 288  # pictures are compared at about this size, small ones at their own; flow answers for 2x2 pixels
LEVELS = 5  # the coarsest is a sixteenth of the grid; motion up to about 60 px is followed
MULTIPLE = 2**LEVELS  # every level can be halved once more
WARPS = (2, 2, 3, 4, 6)  # from the finest level to the coarsest; a third on the finest follows grain, not motion
SWEEPS = 2  # exchanges with the neighbours after each warp; five change no error by 2 %
WINDOW = (
    1,
    2,
)  # what one answer sees, some 12 px; twice that halves a pan's error, but a disc of 220 px loses a tenth
SOFTEN = (1, 1)  # before anything: bilinear reading of unsoftened pixels overstates steps of half a pixel by 5 %
LOCAL = (8, 4)  # what counts as local light
GREY = 1 / 255
TIE = (0.5 * GREY) ** 2  # gradients well above half a grey level per pixel need no neighbours
RETRACE = (2, 2)  # warps between frames that are far apart, on half the size and on the whole
AT_ONCE = 12  # pairs on a GPU
ROBUST = 1.5 * GREY  # differences beyond this count less and less
TEXTURE = GREY**2  # a place is half trusted when its weaker direction changes by one grey level per pixel
MISS_PIXELS, MISS_SHARE = 0.25, 0.05  # how far from its start a way there and back may end
LIGHT = (0.299, 0.587, 0.114)  # luma of BT.601


@dataclass(frozen=True, eq=False)
class Shrunk:
    """A clip at the size at which it is measured."""

    colour_FCHW: Tensor
    light_FHW: Tensor
    pixel_px: tuple[float, float]  # what a pixel of it to the right and one down are in px at 1024x576


@dataclass(frozen=True, eq=False)
class Flow:
    """Where each place of a frame goes in the next one, on a grid of half the shrunk clip's sides."""

    flow_PCHW: Tensor  # right and down, in px at 1024x576
    confidence_PHW: Tensor  # 0 to 1: textured, found again on the way back, still in the frame
    pixel_px: tuple[float, float]  # of the shrunk clip
    back_PCHW: Tensor | None = None  # where each place of the next frame comes from, measured on its own


def shrink(frames_FCHW: Tensor, device: str | torch.device = "cpu") -> Shrunk:
    """Average frames down to about 512x288, on a device, one frame there at a time."""
    rows, columns = frames_FCHW.shape[-2:]
    scale = min(1.0, (GRID_PIXELS / (rows * columns)) ** 0.5)
    high, wide = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in (rows, columns))

    def average(frame_BCHW: Tensor) -> Tensor:
        if (high * 2, wide * 2) == (rows, columns):
            return F.avg_pool2d(frame_BCHW, 2)
        return F.interpolate(frame_BCHW, size=(high, wide), mode="bilinear", antialias=True, align_corners=False)

    small = torch.cat([average(to_unit(frame_CHW[None].to(device))) for frame_CHW in frames_FCHW])
    unit = (UNIT_PIXELS / (rows * columns)) ** 0.5
    return Shrunk(small, to_light(small), (columns / wide * unit, rows / high * unit))


def to_unit(pixels: Tensor) -> Tensor:
    """Give bytes as float32 from 0 to 1, and floats as they are; one frame at a time needs no memory to speak of."""
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels


def to_light(frames_FCHW: Tensor) -> Tensor:
    """Weigh the channels to luminance, [F, H, W]."""
    red, green, blue = frames_FCHW.unbind(1)
    return LIGHT[0] * red + LIGHT[1] * green + LIGHT[2] * blue


def track(clip: Shrunk) -> Flow:
    """Measure the flow of every pair of consecutive frames; there must be two frames or more."""
    light_FHW = clip.light_FHW
    pairs = len(light_FHW) - 1
    step = AT_ONCE if light_FHW.is_cuda else 1  # one pair stays in a processor's cache; a GPU wants many at once
    parts = [_track_both_ways(light_FHW[at : at + step + 1]) for at in range(0, pairs, step)]
    flow_PCHW, confidence_PHW, back_PCHW = (torch.cat(part) for part in zip(*parts, strict=True))
    unit = torch.tensor(clip.pixel_px, device=flow_PCHW.device)[:, None, None]
    return Flow(flow_PCHW * unit, confidence_PHW, clip.pixel_px, back_PCHW * unit)


def trace(clip: Shrunk, flow: Flow, numbers: Sequence[int]) -> Tensor:
    """Find where each pixel of some frames, in order, lies in the first one: ways in the clip's pixels, [F, 2, H, W].

    The flow back is followed from frame to frame, so that no way is too long to be found; then both frames are compared.
    """
    assert flow.back_PCHW is not None
    unit = torch.tensor(flow.pixel_px, device=flow.back_PCHW.device)[:, None, None]
    way_CHW, ways = torch.zeros_like(flow.back_PCHW[0]), []
    for number, back_CHW in enumerate(flow.back_PCHW / unit, 1):
        before = torch.cat([look_up(one[None], back_CHW[None] / 2)[0] for one in way_CHW])
        way_CHW = back_CHW + before
        if number in numbers:
            ways.append(way_CHW)
    late = clip.light_FHW[list(numbers)]
    pyramid, first = _build_pyramid(late), _build_pyramid(clip.light_FHW[:1])
    way = torch.stack(ways)
    for level, times in enumerate(RETRACE):
        at = len(RETRACE) - 1 - level
        small = F.avg_pool2d(way, 2**at) / 2**at if at and not level else way if not level else 2 * _double(way)
        slope = torch.stack(_differ(pyramid[at]), 1)
        for _ in range(times):
            small, _ = _improve(pyramid[at], first[at].expand(len(late), -1, -1), slope, small)
        way = small
    return _double(way)


def follow(flow: Flow, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Follow points of the first frame, in fractions of its sides, to the last; return how far each has gone."""
    unit = torch.tensor(flow.pixel_px, device=flow.flow_PCHW.device)[:, None, None]
    rows, columns = flow.flow_PCHW.shape[-2:]
    size = torch.tensor([columns, rows], device=flow.flow_PCHW.device)
    start = torch.tensor([*points], device=flow.flow_PCHW.device).reshape(-1, 2)
    at = start
    for step_CHW in blur(flow.flow_PCHW / unit / 2, 1):  # counted in pixels, on a grid of half as many
        grid = (at * 2 - 1)[None, None]
        step = F.grid_sample(step_CHW[None], grid, padding_mode="border", align_corners=False)[0, :, 0].T
        at = at + step / size
    return [(float(x), float(y)) for x, y in at - start]


def _track_both_ways(light_FHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    pyramid, pairs = _build_pyramid(light_FHW), len(light_FHW) - 1
    first = [torch.cat([level[:-1], level[1:]]) for level in pyramid]
    second = [torch.cat([level[1:], level[:-1]]) for level in pyramid]
    flow, texture = _solve(first, second)
    there, back = flow[:pairs], flow[pairs:]
    # Flow is counted in pixels and lies on a grid of half as many, so a way on the grid is half as long.
    returned_x, inside = look_up(back[:, 0], there / 2)
    returned_y, _ = look_up(back[:, 1], there / 2)
    returned = torch.stack([returned_x, returned_y], 1)
    met = inside * (measure_length(there + returned) < MISS_PIXELS + MISS_SHARE * measure_length(there))
    return torch.where(met[:, None] > 0, (there - returned) / 2, there), texture[:pairs] * met, back


def _build_pyramid(light_FHW: Tensor) -> list[Tensor]:
    """Halve again and again, finest first; each level loses its local mean, so that changing light is not taken for motion."""
    levels = [light_FHW]
    for _ in range(LEVELS - 1):
        levels.append(F.avg_pool2d(levels[-1][:, None], 2)[:, 0])
    return [blur(level - blur(level, *LOCAL) / blur(torch.ones_like(level[:1]), *LOCAL), *SOFTEN) for level in levels]


def blur(x: Tensor, *reaches: int) -> Tensor:
    """Weigh neighbours at each of these distances by 1, 2, 1 in both directions; beyond the edge lies nothing."""
    for reach in reaches:
        for axis in (-1, -2):
            rest = x.shape[axis] - reach
            if rest > 0:
                out = x * 0.5
                out.narrow(axis, reach, rest).add_(x.narrow(axis, 0, rest), alpha=0.25)
                out.narrow(axis, 0, rest).add_(x.narrow(axis, reach, rest), alpha=0.25)
                x = out
    return x


def _solve(first: list[Tensor], second: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Find the flow from one pyramid to the other in pixels, [P, 2, H/2, W/2], and how far texture lets it be trusted."""
    flow = first[-1].new_zeros(len(first[-1]), 2, *(side // 2 for side in first[-1].shape[-2:]))
    for level in reversed(range(len(first))):
        if level + 1 < len(first):
            flow = 2 * _double(flow)
        slope = torch.stack(_differ(first[level]), 1)
        for _ in range(WARPS[level]):
            flow, tensor = _improve(first[level], second[level], slope, flow)
    # The window reaches beyond an object's edge: a place without texture of its own is not trusted with its neighbour's motion.
    own = F.avg_pool2d(slope.square().sum(1)[:, None], 2)[:, 0]
    return flow, _trust(tensor) * own / (own + TEXTURE)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _differ(x_PHW: Tensor) -> tuple[Tensor, Tensor]:
    """Give central differences to the right and down; 0 at the edge."""
    right, down = torch.zeros_like(x_PHW), torch.zeros_like(x_PHW)
    right[..., 1:-1] = (x_PHW[..., 2:] - x_PHW[..., :-2]) / 2
    down[..., 1:-1, :] = (x_PHW[..., 2:, :] - x_PHW[..., :-2, :]) / 2
    return right, down


def _improve(one: Tensor, two: Tensor, slope: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Warp once, solve each window, and tie the answers to their neighbours'."""
    seen, inside = look_up(two, _double(flow))
    error = one - seen
    weight = inside / (1 + (error / ROBUST) ** 2).sqrt()
    right, down = slope.unbind(1)
    pull_x, pull_y = weight * right, weight * down
    sums = torch.stack([pull_x * right, pull_x * down, pull_y * down, pull_x * error, pull_y * error], 1)
    sums = blur(F.avg_pool2d(sums, 2), *WINDOW)
    xx, xy, yy, ex, ey = sums.unbind(1)
    u, v = flow.unbind(1)
    target_x, target_y = ex + xx * u + xy * v, ey + xy * u + yy * v
    xx, yy = xx + TIE, yy + TIE
    scale = 1 / (xx * yy - xy * xy)
    edge = TIE / blur(torch.ones_like(flow[:1, :1]), *WINDOW)
    for _ in range(SWEEPS):
        mean_x, mean_y = (blur(flow, *WINDOW) * edge).unbind(1)
        bx, by = target_x + mean_x, target_y + mean_y
        flow = torch.stack([(yy * bx - xy * by) * scale, (xx * by - xy * bx) * scale], 1)
    return flow, sums[:, :3]


def look_up(x_PHW: Tensor, flow_PCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Read x where the flow, in its pixels, leads, and say which places are in the frame."""
    rows, columns = x_PHW.shape[-2:]
    x = torch.arange(columns, device=x_PHW.device, dtype=x_PHW.dtype) + flow_PCHW[:, 0]
    y = torch.arange(rows, device=x_PHW.device, dtype=x_PHW.dtype)[:, None] + flow_PCHW[:, 1]
    grid = torch.stack([(x + 0.5) * (2 / columns) - 1, (y + 0.5) * (2 / rows) - 1], -1)
    seen = F.grid_sample(x_PHW[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]
    return seen, ((x >= 0) & (x <= columns - 1) & (y >= 0) & (y <= rows - 1)).to(x_PHW.dtype)


def measure_length(flow_PCHW: Tensor) -> Tensor:
    """Give the length of each place's flow, [P, H, W]; ten times as fast as a norm over the channel."""
    return torch.hypot(*flow_PCHW.unbind(1))


def _trust(tensor: Tensor) -> Tensor:
    """Turn the smaller eigenvalue of the windows' structure tensors into trust from 0 to 1."""
    xx, xy, yy = tensor.unbind(1)
    least = ((xx + yy) / 2 - ((xx - yy) ** 2 / 4 + xy**2).sqrt()).clamp(min=0)
    return least**2 / (least**2 + TEXTURE**2)
