"""The network of the bundled model: it looks at a picture and generates the field of its scene.

The UNet is SVD's in small. What it denoises is no clip but one field (`field.py`), so that a step costs one frame of
it. Asked at the highest noise level with zeros for a field, it returns the mean of all fields that fit the picture.
It does not know noise levels, nor how frames are made of a field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from unstill.errors import WeightsError
from unstill.model.blocks import Attention
from unstill.model.config import GROUPS, UNetConfig
from unstill.model.unet import UNet
from unstill.model.weights import read_header
from unstill.models.pocket.field import CELL_PX, CHANNELS, PATCH, choose_patches

WEIGHTS = Path(__file__).parent / "weights"
KEYS = 1  # fields a clip
COORDINATES = 2
IDS = 3  # numbers that SVD's UNet is told: rate, motion, noise; here all zero
SIGMA_MIN, SIGMA_MAX = 0.02, 300.0


@dataclass(frozen=True)
class PocketConfig:
    """The sizes of the network. The defaults are those of the bundled model."""

    eye_widths: tuple[int, int, int] = (32, 96, 160)  # at a half, a quarter and an eighth of the small picture
    seen: int = 64  # channels in which the eye says what it saw
    context_width: int = 128
    widths: tuple[int, ...] = (96, 160, 160)
    attention: tuple[bool, ...] = (False, True, False)  # by level; the lowest has it in the middle anyway
    layers: int = 1
    head_width: int = 32
    told_width: int = 128

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> PocketConfig:
        """Read the section `field` of config.json."""
        known = {one.name for one in fields(cls)}
        if set(config) != known:
            raise WeightsError(f"The bundled model's config.json has other fields: {sorted(set(config) ^ known)}")
        read: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
        return cls(**read)

    @property
    def latent_channels(self) -> int:
        return CHANNELS * PATCH**2

    @property
    def unet(self) -> UNetConfig:
        """Return the UNet's sizes."""
        return UNetConfig(
            in_channels=self.latent_channels + self.seen,
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
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x_BCHW)))
        out: Tensor = x_BCHW + self.conv2(F.silu(self.norm2(h)))
        return out


class Eye(nn.Module):
    """The picture's encoder; it runs once for all steps."""

    def __init__(self, config: PocketConfig) -> None:
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


class SoleAttention(Attention):
    """Attention that skips the products where there is a single key, whose share is one."""

    def forward(self, x_BND: Tensor, context_BND: Tensor | None = None) -> Tensor:
        keys_BND = x_BND if context_BND is None else context_BND
        if keys_BND.shape[1] > 1:
            return super().forward(x_BND, context_BND)
        out: Tensor = self.to_out[0](self.to_v(keys_BND))
        return out.expand(-1, x_BND.shape[1], -1)


class SoleConv(nn.Conv3d):
    """A convolution over time that skips what falls outside a single frame."""

    def forward(self, x_BCFHW: Tensor) -> Tensor:
        if x_BCFHW.shape[2] > 1:
            return super().forward(x_BCFHW)
        return F.conv2d(x_BCFHW[:, :, 0], self.weight[:, :, self.kernel_size[0] // 2], self.bias)[:, :, None]


def spare_time(unet: UNet) -> None:
    """Skip in place what a single field does not need of a network over time; a step takes half as long."""
    for module in unet.modules():
        if type(module) is Attention:
            module.__class__ = SoleAttention
        elif type(module) is nn.Conv3d and module.kernel_size[1:] == (1, 1):
            module.__class__ = SoleConv


class PocketNetwork(nn.Module):
    """Eye and UNet."""

    def __init__(self, config: PocketConfig) -> None:
        super().__init__()
        self.config = config
        self.eye = Eye(config)
        self.unet = UNet(config.unet)
        spare_time(self.unet)

    def forward(self, x_BKCHW: Tensor, time_B: Tensor, seen_BCHW: Tensor, whole_BD: Tensor) -> Tensor:
        """Return the velocity of noisy, scaled fields [B, 1, C, h, w] at time 0.25·ln sigma."""
        ids_BI = x_BKCHW.new_zeros(len(x_BKCHW), IDS)
        velocity: Tensor = self.unet(torch.cat([x_BKCHW, seen_BCHW[:, None]], dim=2), time_B, whole_BD[:, None], ids_BI)
        return velocity


def load_pocket_network(folder: Path = WEIGHTS, device: str | torch.device = "cpu") -> PocketNetwork:
    """Load the bundled model onto a device; every tensor must be there, and no other."""
    network = PocketNetwork(PocketConfig.from_dict(json.loads((folder / "config.json").read_text())["field"]))
    path = folder / "model.safetensors"
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: shape for name, (_, shape) in read_header(path).items()}
    if wrong := sorted(wanted.items() ^ found.items()):
        raise WeightsError(f"{path.name} is not the bundled model: {wrong[0][0]} differs", hint="reinstall unstill")
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.to(device).eval()


def shrink(picture_BCHW: Tensor) -> Tensor:
    """Return the small picture that the eye looks at."""
    rows, columns = (side * PATCH * CELL_PX for side in choose_patches(*picture_BCHW.shape[-2:]))
    return F.interpolate(picture_BCHW, size=(rows, columns), mode="bilinear", antialias=True, align_corners=False)


def coordinates(picture_BCHW: Tensor) -> Tensor:
    """Return each pixel's place in widths of the picture from its middle, times two, [B, 2, H, W]."""
    clips, _, rows, columns = picture_BCHW.shape
    x = (2 * torch.arange(columns, device=picture_BCHW.device) + 1 - columns) / columns
    y = (2 * torch.arange(rows, device=picture_BCHW.device) + 1 - rows) / columns
    grid_CHW = torch.stack([x[None, :].expand(rows, -1), y[:, None].expand(-1, columns)])
    return grid_CHW.to(picture_BCHW.dtype).expand(clips, -1, -1, -1)
