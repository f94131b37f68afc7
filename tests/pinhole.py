"""The flow of a pinhole camera that goes its way through a scene of known depth, in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unstill.measure.flow import Flow

SIZE, PIXEL_PX = (72, 128), (4.0, 4.0)  # of the flow's grid
WIDTH_PX = 1024
FOCAL = 1.4  # widths of the picture
NOISE_PX = 0.1  # of estimated flow, in patches
SWINGS = ((1.7, 0.3, 1.0, 0.2), (2.3, 1.9, 0.3, 0.9), (4.1, 4.2, 0.35, 0.3))  # cycles, phase, and share of x and y


@dataclass(frozen=True)
class Stand:
    """Where a camera is, in units of the mean depth, and how it is turned."""

    right: float = 0.0
    down: float = 0.0
    forward: float = 0.0
    yaw: float = 0.0  # radians to the right
    roll: float = 0.0  # radians that the picture turns clockwise
    zoom: float = 1.0


def lay_places() -> tuple[Tensor, Tensor]:
    """Return x and y of the grid from the centre, in widths of the picture."""
    y, x = ((torch.arange(side) - (side - 1) / 2) / SIZE[1] for side in SIZE)
    return torch.meshgrid(x, y, indexing="xy")


def make_scene(kind: str) -> Tensor:
    """Return 1 / depth, 1 on average: of a ground below a far sky, of a ground with a pillar, or of a wall."""
    x, y = lay_places()
    ground = torch.where(y > -0.05, 0.3 + 4 * (y + 0.05), 0.3)
    pillar = torch.where(((x - 0.1).abs() < 0.12) & ((y - 0.02).abs() < 0.2), 1.6, 0.0)
    near = {"ground": ground, "pillar": torch.maximum(ground, pillar), "wall": torch.ones_like(x)}[kind]
    return near / near.mean()


def stand(word: str, t: float, far: float, near: Tensor) -> Stand:
    """Return where a camera is that has done a share of a word's way; `far` is in units of the mean depth."""
    gone, subject = t * far, float(near.quantile(0.9))
    swing = [sum(part * (math.sin(math.tau * c * t + p) - math.sin(p)) for c, p, *parts in SWINGS for part in [parts[axis]])
             for axis in (0, 1)]  # fmt: skip
    return {
        "still": Stand(),
        "push": Stand(forward=gone),
        "pull": Stand(forward=-gone),
        "left": Stand(right=-gone),
        "right": Stand(right=gone),
        "up": Stand(down=-gone),
        "down": Stand(down=gone),
        "orbit": Stand(right=-gone, yaw=math.atan(gone / FOCAL)),
        "arc": Stand(right=-gone, forward=0.6 * gone, yaw=0.4 * math.atan(gone / FOCAL)),
        "roll": Stand(roll=gone),
        "zoom": Stand(zoom=math.exp(gone)),
        "dolly-zoom in": Stand(forward=gone, zoom=1 - gone * subject),
        "dolly-zoom out": Stand(forward=-gone, zoom=1 + gone * subject),
        "handheld": Stand(right=0.4 * far * swing[0], down=0.4 * far * swing[1]),
        "push and left": Stand(forward=0.6 * gone, right=-0.3 * gone),
        "left and up": Stand(right=-0.5 * gone, down=-0.4 * gone),
    }[word]


def see(near: Tensor, at: Stand) -> Tensor:
    """Return where a camera sees the points that the first one saw at the grid's places, [2, H, W], in widths."""
    x, y = lay_places()
    depth = 1 - at.forward * near
    x, y = (x - at.right * near) / depth, (y - at.down * near) / depth
    x, z = x * math.cos(at.yaw) - FOCAL * math.sin(at.yaw), x * math.sin(at.yaw) / FOCAL + math.cos(at.yaw)
    x, y = x / z, y / z
    cos, sin = at.zoom * math.cos(at.roll), at.zoom * math.sin(at.roll)
    return torch.stack([cos * x - sin * y, sin * x + cos * y])


def make_flow(where: Callable[[float], Tensor], pairs: int, seed: int = 0) -> Flow:
    """Return the flow from frame to frame, with an estimate's error in it; `where` gives places at 0 to 1."""
    ways = torch.stack([where((n + 1) / pairs) - where(n / pairs) for n in range(pairs)]) * WIDTH_PX / 2
    rng = torch.Generator().manual_seed(seed)
    error = torch.randn(pairs, 2, SIZE[0] // 8, SIZE[1] // 8, generator=rng)
    ways = ways + NOISE_PX * torch.nn.functional.interpolate(error, SIZE, mode="bilinear")
    return Flow(ways, torch.ones(pairs, *SIZE), PIXEL_PX)
