"""The network of the bundled model: it looks at a picture and estimates how its points move.

The UNet is SVD's in small, with the same inputs. What it denoises is no picture but a field: for each cell of a coarse
grid and some moments of the clip the velocity of the point that is there in the picture, and how near it is.
It does not know of noise levels, nor of how frames are made of a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from unstill.artifacts import ModelFiles
from unstill.errors import WeightsError
from unstill.model.config import GROUPS, UNetConfig
from unstill.model.unet import UNet
from unstill.model.weights import read_header

CHANNELS = 3  # velocity to the right, down, and nearness
HINTS = 3  # is there a hint, and the velocity that it wants
PATCH = 2  # cells of a side that the UNet takes as one
CELL_PX = 4  # pixels of a side of the small picture that make a cell
AREA = 18 * 32  # patches of a field, whatever its shape
COORDINATES = 2
WORDS = ("auto", "still", "push", "pull", "left", "right", "up", "down", "orbit", "roll")  # what a camera can be told
LAST = 24.0  # every clip is told to the network as one of 25 frames that lasts as long and goes as far
FASTEST_PX = 12.0  # a frame at 1024x576: the speed of what moves that motion 255 asks for
BEND = 1.6  # motion 127 then is 3.9 px a frame
AREA_PX = 1024 * 576  # speeds are told at this size; clips of other shapes count as of this area
PICTURE_NOISE = 0.25  # what noise 1 leaves on the small picture: averaged over 4 × 4 pixels of 1024x576
SIGMA_MIN, SIGMA_MAX = 0.02, 300.0


@dataclass(frozen=True)
class FieldConfig:
    """The sizes of the network. The defaults are those of the bundled model."""

    keys: int = 12  # moments of a clip
    eye_widths: tuple[int, int, int] = (32, 96, 160)  # at a half, a quarter and an eighth of the small picture
    seen: int = 64  # channels in which the eye says what it saw
    word_width: int = 16
    context_width: int = 128
    widths: tuple[int, ...] = (96, 160, 160)
    attention: tuple[bool, ...] = (False, True, False)  # by level; the lowest has it in the middle anyway
    layers: int = 1
    head_width: int = 32
    told_width: int = 128

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> FieldConfig:
        """Read the bundled config.json."""
        known = {one.name for one in fields(cls)}
        if set(config) != known:
            raise WeightsError(f"The configuration of the bundled model has other fields: {sorted(set(config) ^ known)}")
        read: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
        return cls(**read)

    @property
    def latent_channels(self) -> int:
        return CHANNELS * PATCH**2

    @property
    def condition_channels(self) -> int:
        return self.seen + HINTS * PATCH**2 + self.word_width

    @property
    def unet(self) -> UNetConfig:
        """Say what the UNet is made of."""
        return UNetConfig(
            in_channels=self.latent_channels + self.condition_channels,
            out_channels=self.latent_channels,
            block_out_channels=self.widths,
            down_attention=self.attention,
            up_attention=tuple(reversed(self.attention)),
            layers_per_block=self.layers,
            num_attention_heads=tuple(width // self.head_width for width in self.widths),
            cross_attention_dim=self.context_width,
            addition_time_embed_dim=self.told_width,
        )


class Residual(nn.Module):
    """Two convolutions beside the way through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x_BCHW)))
        out: Tensor = x_BCHW + self.conv2(F.silu(self.norm2(h)))
        return out


class Eye(nn.Module):
    """Look at the picture, once for all frames and steps."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        inside, layers = 3 + COORDINATES, []
        for width, depth in zip(config.eye_widths, (1, 2, 2), strict=True):
            layers += [nn.Conv2d(inside, width, 3, stride=2, padding=1), *(Residual(width) for _ in range(depth))]
            inside = width
        self.layers = nn.Sequential(*layers)
        self.norm = nn.GroupNorm(GROUPS, inside)
        self.seen = nn.Conv2d(inside, config.seen, 1)
        self.whole = nn.Linear(inside, config.context_width)

    def forward(self, picture_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Take the small picture in [−1, 1]; return what is where, [B, C, h, w], and the whole, [B, D]."""
        x_BCHW = F.silu(self.norm(self.layers(torch.cat([picture_BCHW, coordinates(picture_BCHW)], dim=1))))
        return self.seen(x_BCHW), self.whole(x_BCHW.mean((-2, -1)))


class FieldNetwork(nn.Module):
    """Eye, words and UNet."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.config = config
        self.eye = Eye(config)
        self.word = nn.Embedding(len(WORDS), config.word_width)
        self.word_context = nn.Embedding(len(WORDS), config.context_width)
        self.unet = UNet(config.unet)

    def embed(self, whole_BD: Tensor, word_B: Tensor) -> Tensor:
        """Give what every layer may ask: the whole picture, and the camera's word, [B, 2, D]."""
        return torch.stack([whole_BD, self.word_context(word_B)], dim=1)

    def condition(self, seen_BCHW: Tensor, hints_BCHW: Tensor, word_B: Tensor) -> Tensor:
        """Give what stands beside the noisy field: what the eye saw, the hints by cell, and the word, [B, C, h, w]."""
        word = self.word(word_B)[:, :, None, None].expand(-1, -1, *seen_BCHW.shape[-2:])
        return torch.cat([seen_BCHW, F.pixel_unshuffle(hints_BCHW, PATCH).to(seen_BCHW.dtype), word], dim=1)


def load_field_network(files: ModelFiles, device: str) -> FieldNetwork:
    """Load the bundled model onto a device; every tensor must be there, and no other."""
    network = FieldNetwork(FieldConfig.from_dict(files.configs["field"]))
    (path,) = files.weights["checkpoint"]
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: shape for name, (_, shape) in read_header(path).items()}
    if wrong := sorted(wanted.items() ^ found.items()):
        raise WeightsError(f"{path.name} is not the bundled model: {wrong[0][0]} differs", hint="install unstill again")
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.to(device).eval()


def coordinates(picture_BCHW: Tensor) -> Tensor:
    """Say of each pixel where it is, in widths of the picture from its middle, times two, [B, 2, H, W]."""
    clips, _, rows, columns = picture_BCHW.shape
    x = (2 * torch.arange(columns, device=picture_BCHW.device) + 1 - columns) / columns
    y = (2 * torch.arange(rows, device=picture_BCHW.device) + 1 - rows) / columns
    grid_CHW = torch.stack([x[None, :].expand(rows, -1), y[:, None].expand(-1, columns)])
    return grid_CHW.to(picture_BCHW.dtype).expand(clips, -1, -1, -1)


def pack(field_BKCHW: Tensor) -> Tensor:
    """Take patches of cells as channels."""
    return F.pixel_unshuffle(field_BKCHW, PATCH)


def unpack(latents_BKCHW: Tensor) -> Tensor:
    """Take channels as patches of cells again."""
    return F.pixel_shuffle(latents_BKCHW, PATCH)


def speed_of(motion: float) -> float:
    """Say what a motion of 0 to 255 means in pixels a frame at 1024x576."""
    return float(FASTEST_PX * (motion / 255) ** BEND)


def motion_of(speed_px: float) -> float:
    """Say which motion asks for so many pixels a frame."""
    return float(min(255.0, 255 * (speed_px / FASTEST_PX) ** (1 / BEND)))


def measure_speed(velocity_KCHW: Tensor) -> Tensor:
    """Give the mean speed of what moves: each cell counts by its own speed squared, [..., K, 2, H, W] to [...]."""
    speed = velocity_KCHW.square().sum(-3).sqrt()
    return (speed**3).mean((-3, -2, -1)) / (speed**2).mean((-3, -2, -1)).clamp(min=1e-8)


def choose_patches(height: float, width: float) -> tuple[int, int]:
    """Give the rows and columns of the field, in patches, that fit a picture's shape; 18 by 32 for 16:9."""
    rows = max(4, round((AREA * height / width) ** 0.5))
    return rows, max(4, round(AREA / rows))
