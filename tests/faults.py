"""Clips whose faults are known: a picture is filmed, and something is done to the film."""

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from films import SIZE, disc, grain, places, read, similar, travel

KEPT = (5 / 6, 27 / 32)  # of rows and columns: what lies past the picture's edge never shows


@dataclass(frozen=True, eq=False)
class Known:
    """A clip, the verdict that it deserves, or none, and what its measures must be."""

    frames_FCHW: Tensor
    verdict: str | None
    truth: dict[str, float | str | int]


def make_clips(picture_CHW: Tensor, seed: int = 0, frames: int = 25) -> dict[str, Known]:
    """Make every kind of clip of a picture, [3, H, W] in 0–1; a name says what was done.

    Pixels and frames are few in a test. Whatever is counted in pixels is a share of the picture's height.
    """
    generator = torch.Generator().manual_seed(seed)
    picture_CHW = _soften(picture_CHW, 1.2)  # reading between pixels then loses next to nothing
    way = torch.rand(4, generator=generator).tolist()
    scale = _scale(picture_CHW)
    pan = (scale * (1.0 + 2 * way[0]), scale * (0.6 * way[1] - 0.3))
    moving = _move(picture_CHW, frames, pan, way)
    film = moving["pan"].frames_FCHW
    return {**moving, **_light(film, generator), **_break(film), **_drift(film, scale)}


def _scale(picture_CHW: Tensor) -> float:
    """Return how large a picture is against one of 1024x576."""
    return picture_CHW.shape[-2] / SIZE[0]


def _move(picture_CHW: Tensor, frames: int, pan: tuple[float, float], way: list[float]) -> dict[str, Known]:
    """Film it with cameras, and with a thing that passes."""
    grown, turned = 0.25 + 0.3 * way[2], 0.12 + 0.15 * way[3]
    size, scale = tuple(picture_CHW.shape[-2:]), _scale(picture_CHW)
    still = _cut(picture_CHW[None].expand(frames, -1, -1, -1))
    step, radius = round(5 * scale), 150 * scale
    passing = torch.stack([disc(picture_CHW, grain(5, size), step * n, radius)[0][1] for n in range(frames)])
    area = still[0, 0].numel()
    unit = math.sqrt(1024 * 576 / area)  # px are told as of a frame of 1024x576
    steady = {"pan_x_px": pan[0] * unit, "camera": "left", "motion_px": math.hypot(*pan) * unit}
    turn = _film(picture_CHW, [similar(roll_degrees=-n * turned, size=size) for n in range(frames)])
    share = math.pi * radius**2 / area
    return {
        "pan": Known(_cut(travel(picture_CHW, frames, pan=pan)), None, steady),
        "zoom": Known(_cut(travel(picture_CHW, frames, zoom_percent=grown)), None,
                      {"zoom_percent": _mean_growth(grown, frames), "camera": "zoom"}),
        "roll": Known(turn, None, {"roll_degrees": turned, "camera": "roll"}),
        "object": Known(_cut(passing), None, {"motion_px": step * share * unit, "camera": "still"}),
        "still": Known(still, "still", {"motion_px": 0.0, "camera": "still", "static_share": 1.0}),
        "jerky": Known(_jerk(picture_CHW, frames, pan), "jerky", {"motion_px": math.hypot(*pan) * unit}),
    }  # fmt: skip


def _cut(film: Tensor) -> Tensor:
    """Keep the middle, in whole cells of the grid that flow is measured on."""
    high, wide = (int(side * share) // 32 * 32 for side, share in zip(film.shape[-2:], KEPT, strict=True))
    top, left = (film.shape[-2] - high) // 2, (film.shape[-1] - wide) // 2
    return film[..., top : top + high, left : left + wide].clone()


def _film(picture_CHW: Tensor, ways: list[Tensor]) -> Tensor:
    return _cut(torch.stack([read(picture_CHW, way) for way in ways]))


def _mean_growth(percent: float, frames: int) -> float:
    """Return the mean growth from frame to frame of a film whose n-th frame is read at 1 - n * percent."""
    ends = [1 / (1 - n * percent / 100) for n in range(frames)]
    return 100 * sum(b / a - 1 for a, b in itertools.pairwise(ends)) / (frames - 1)


def _light(film: Tensor, generator: torch.Generator) -> dict[str, Known]:
    """Let light step: at random, up and down, once, by chunks, or all one way."""
    film = 0.1 + 0.75 * film  # room, so that nothing is clipped
    number = torch.arange(len(film))

    def lit(greys_F: Tensor) -> Tensor:
        return film + (greys_F / 255)[:, None, None, None]

    noise = 3 * torch.randn(len(film), generator=generator)
    step = noise.diff()
    blocks = 0.7 + 0.6 * torch.rand(4, generator=generator)
    chunks = (2.5 * blocks * torch.tensor([0, 1, 0, 1]))[number // 8]
    steps = chunks.diff().abs()
    return {
        "flicker": Known(lit(noise), "flicker", {"flicker_greys": float((step - step.mean()).abs().mean())}),
        "flicker, alternating": Known(lit(1.5 * (-1.0) ** number), "flicker", {"flicker_greys": 3.0}),
        "flash": Known(lit(9.0 * (number >= 11)), "flash", {"flash_greys": 9.0}),
        "seams": Known(lit(chunks), "seams", {"seam_greys": float(steps[steps > 0].mean()), "seam_every": 8}),
        "fade in": Known(lit(0.8 * number), "fade", {"fade_greys": 0.8}),
        "fade out": Known(lit(-0.8 * number + 8), "fade", {"fade_greys": -0.8}),
    }


def _break(film: Tensor) -> dict[str, Known]:
    """Repeat, stop and blacken."""
    frames = range(len(film))
    repeated = film[[n - (n % 5 == 4) for n in frames]]
    black = film.clone()
    black[[7, 8]] = 0
    return {
        "frames repeated": Known(repeated, "frozen", {"repeats": len(film) // 5}),
        "cut": Known(torch.cat([film[:12], film[12:].flip(-1, -2)]), "cut", {"cuts": (13,)}),
        "frozen half way": Known(film[[min(n, 12) for n in frames]], "frozen", {"repeats": len(film) - 13}),
        "black frames": Known(black, "black", {"black_frames": 2}),
    }


def _jerk(picture_CHW: Tensor, frames: int, pan: tuple[float, float]) -> Tensor:
    """Let the camera creep, and leap every fourth frame."""
    gone = torch.tensor([0.3, 0.3, 0.3, 3.1] * (frames // 4)).cumsum(0).tolist()
    size = tuple(picture_CHW.shape[-2:])
    return _film(picture_CHW, [similar((-n * pan[0], -n * pan[1]), size=size) for n in [0.0, *gone]])


def _drift(film: Tensor, scale: float) -> dict[str, Known]:
    """Let colour, contrast and sharpness go, and a border come."""
    share, border_px = torch.linspace(0, 1, len(film))[:, None, None, None], 60 * scale
    grey = film.mean(1, keepdim=True)
    x, _ = places(tuple(film.shape[-2:]))
    from_left = x - x.min()
    edge = from_left[None, None] < share * border_px
    soft = torch.stack([_soften(frame, float(n)) for frame, n in zip(film, torch.linspace(0, 3, len(film)), strict=True)])
    middle = film.mean((2, 3), keepdim=True)
    return {
        "colour lost": Known(film + 0.6 * share * (grey - film), "colour", {"saturation": 0.4}),
        "contrast lost": Known(film + 0.4 * share * (middle - film), "colour", {"contrast": 0.6}),
        "soft": Known(soft, "soft", {}),
        "black border": Known(torch.where(edge, 0.0, film), "bands", {"band_percent": 100 * border_px / film.shape[-1]}),
    }


def _soften(frame_CHW: Tensor, reach_px: float) -> Tensor:
    if reach_px < 0.2:
        return frame_CHW
    at = torch.arange(-8, 9)
    weight = torch.exp(-(at**2) / (2 * reach_px**2))
    weight = weight / weight.sum()
    padded = F.pad(frame_CHW[:, None], (8, 8, 8, 8), mode="replicate")
    across = F.conv2d(padded, weight[None, None, None, :])
    return F.conv2d(across, weight[None, None, :, None])[:, 0]
