"""Short films whose motion is known: a picture read along a map, and the flow that this means."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = (576, 1024)


@functools.cache
def grain(seed: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    """Return noise of many sizes in colour, [3, H, W], 0 to 1; coarse enough to be read between pixels without error.

    It is painted once, so nobody may write into it.
    """
    generator, picture = torch.Generator().manual_seed(seed), torch.zeros(3, *size)
    for cell in (8, 16, 32, 64):
        small = torch.randn(1, 3, size[0] // cell + 1, size[1] // cell + 1, generator=generator)
        picture = picture + F.interpolate(small, size=size, mode="bicubic")[0] * cell**0.5
    return (0.5 + 0.015 * picture).clamp(0, 1)


def places(size: tuple[int, int] = SIZE) -> Tensor:
    """Give x and y of every pixel from the centre, [2, H, W]."""
    y, x = (torch.arange(side) - (side - 1) / 2 for side in size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def similar(pan=(0.0, 0.0), zoom_percent=0.0, roll_degrees=0.0, size=SIZE) -> Tensor:
    """Give the displacement of a pan, a zoom and a clockwise roll about the centre, [2, H, W]."""
    x, y = places(size)
    grown, angle = 1 + zoom_percent / 100, math.radians(roll_degrees)
    cos, sin = grown * math.cos(angle), grown * math.sin(angle)
    return torch.stack([x * cos - y * sin + pan[0] - x, x * sin + y * cos + pan[1] - y])


def read(picture_CHW: Tensor, way_CHW: Tensor) -> Tensor:
    """Take each pixel from where the way leads: the flow from what comes out to the picture is the way itself."""
    rows, columns = picture_CHW.shape[-2:]
    x, y = places((rows, columns)) + way_CHW
    grid = torch.stack([x * 2 / columns, y * 2 / rows], -1)
    # torch's bicubic reading (a = -0.75) moves even a ramp by up to 0.05 px; linear reading softens coarse pictures by 2 % at most.
    return F.grid_sample(picture_CHW[None], grid[None], padding_mode="reflection", align_corners=False)[0]


def pair(picture_CHW: Tensor, way_CHW: Tensor) -> Tensor:
    """Film two frames between which each place goes its way, [2, 3, H, W]."""
    return torch.stack([read(picture_CHW, way_CHW), picture_CHW])


def travel(picture_CHW: Tensor, frames: int, pan=(0.0, 0.0), zoom_percent=0.0) -> Tensor:
    """Film a steady camera, [F, 3, H, W]; pan and zoom are of the scene, a frame."""
    size = tuple(picture_CHW.shape[-2:])
    ways = [similar((-n * pan[0], -n * pan[1]), -n * zoom_percent, size=size) for n in range(frames)]
    return torch.stack([read(picture_CHW, way) for way in ways])


def disc(picture_CHW: Tensor, other_CHW: Tensor, step_px: int, radius_px: float = 110) -> tuple[Tensor, Tensor]:
    """Film a disc of another picture that goes to the right before the first one; return the pair and its flow."""
    x, y = places(tuple(picture_CHW.shape[-2:]))
    right_px, down_px = (share * picture_CHW.shape[-2] / SIZE[0] for share in (-100, 40))  # from the centre

    def at(gone: int) -> Tensor:
        alpha = (radius_px + 0.5 - torch.hypot(x - right_px - gone, y - down_px)).clamp(0, 1)
        return picture_CHW * (1 - alpha) + other_CHW.roll(gone, -1) * alpha

    inside = (torch.hypot(x - right_px, y - down_px) < radius_px).float()
    return torch.stack([at(0), at(step_px)]), torch.stack([inside * step_px, inside * 0])
