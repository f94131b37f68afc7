"""One set of scenes while it is being painted: coordinates, light, colours, and the layers laid so far.

It does not know which things there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe.dice import Dice
from recipe.motion import Move
from recipe.textures import Bank
from unstill.model.field import AREA_PX

BOTTOM = 9 / 32  # half the height of a 16:9 picture, in widths

# Hue, saturation and value from–to; natural things keep to theirs most of the time.
COLOURS = {
    "sky": ((0.54, 0.64), (0.1, 0.7), (0.6, 1.0)),
    "dusk": ((-0.05, 0.12), (0.2, 0.7), (0.5, 1.0)),
    "cloud": ((0.5, 0.7), (0.0, 0.12), (0.75, 1.0)),
    "leaf": ((0.12, 0.42), (0.25, 0.8), (0.15, 0.6)),
    "ground": ((0.04, 0.3), (0.1, 0.5), (0.25, 0.75)),
    "water": ((0.45, 0.65), (0.1, 0.6), (0.25, 0.75)),
    "stone": ((0.0, 0.2), (0.0, 0.3), (0.2, 0.85)),
    "wood": ((0.03, 0.1), (0.25, 0.7), (0.15, 0.6)),
    "skin": ((0.02, 0.09), (0.2, 0.6), (0.3, 0.95)),
    "any": ((0.0, 1.0), (0.0, 0.95), (0.05, 1.0)),
}


@dataclass(frozen=True, eq=False)
class Layer:
    """Something in the scene: what it looks like, how near it is and where it goes."""

    alpha_BHW: Tensor
    colour_BCHW: Tensor
    nearness: Tensor  # inverse distance at the field's cells, [B, h, w] or [B, 1, 1]
    move: Move


@dataclass(eq=False)
class Stage:
    """Scenes of one place. x, y are pixels' coordinates, cell_x, cell_y those of the field's cells; all [1, H, W]."""

    dice: Dice
    bank: Bank
    size: tuple[int, int]  # rows and columns of the pictures
    cells: tuple[int, int]  # rows and columns of the field
    horizon: Tensor
    grounded: bool  # things stand on a ground that recedes to the horizon; else they hang before a wall
    detail: Tensor  # [B, 1, 1]: 0 is a flat drawing, 1 a photograph
    layers: list[Layer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.x, self.y = lay_grid(*self.size, self.columns, self.dice.device)
        self.cell_x, self.cell_y = lay_grid(*self.cells, self.columns * self.cells[1] / self.size[1], self.dice.device)
        self.light = self.dice.angle()
        self.haze = self.colour("sky")
        self.wind = self.dice.normal(0.25) + torch.pi * self.dice.chance(0.5)

    @property
    def columns(self) -> float:
        """The unit of all coordinates: columns of the 16:9 scene of which this picture shows the middle."""
        return max(self.size[1], self.size[0] * 16 / 9)

    @property
    def unit_px(self) -> float:
        """A unit in pixels of a clip that has the area of 1024x576."""
        return self.columns * (AREA_PX / (self.size[0] * self.size[1])) ** 0.5

    def across(self, most: float) -> Tensor:
        """Draw a place that can be seen, so far from the middle at most."""
        return self.dice.uniform(-most, most) * (self.size[1] / self.columns)

    def colour(self, name: str, odd: float = 0.12) -> Tensor:
        """Draw a colour of the name, [B, 3, 1, 1]; now and then any colour."""
        dice = self.dice
        hue, saturation, value = (dice.uniform(*span) for span in COLOURS[name])
        any_hue, any_saturation, any_value = (dice.uniform(*span) for span in COLOURS["any"])
        other = dice.chance(odd)
        hue, saturation = hue + other * (any_hue - hue), saturation + other * (any_saturation - saturation)
        value = value + other * (any_value - value)
        # From hue, saturation and value to red, green and blue.
        offset = torch.tensor([5.0, 3.0, 1.0], device=dice.device)[None, :, None]
        k = (offset + 6 * hue) % 6
        rgb = value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)
        return rgb[..., None]

    def paint(self, texture: str, name: str, zoom: tuple[float, float] = (0.7, 3.0), *, tilt: float = 3.2) -> Tensor:
        """Cover the plane with a texture between two colours of the name, [B, 3, H, W]."""
        dice, scale, angle = self.dice, self.dice.log_uniform(*zoom), self.dice.uniform(-tilt, tilt)
        u = (self.x * angle.cos() + self.y * angle.sin()) * scale + dice.uniform()
        v = (self.y * angle.cos() - self.x * angle.sin()) * scale + dice.uniform()
        return self.tint(self.bank.sample(dice, texture, u, v), name)

    def tint(self, texture_BCHW: Tensor, name: str) -> Tensor:
        """Colour a texture: light moves between two colours, hue shifts a little."""
        one = self.colour(name)
        two = one + (self.colour(name) - one) * self.dice.uniform(0.2, 1.0)[:, None]
        depth = (self.dice.uniform(0.15, 1.2) * self.detail)[:, None]
        light, hue = texture_BCHW[:, :1] * depth, texture_BCHW[:, 1:] * depth
        mixed = one + (two - one) * (0.5 + 0.35 * hue).clamp(0, 1)
        return mixed * (1 + 0.3 * light) + 0.03 * light

    def shade(self, colour_BCHW: Tensor, x: Tensor, y: Tensor, size: Tensor) -> Tensor:
        """Light a thing from the side the light comes from, as if it were round."""
        toward = (x * self.light.cos() + y * self.light.sin()) / size
        return colour_BCHW * (1 + self.dice.uniform(0, 0.45) * toward.clamp(-1, 1))[:, None]

    def fade(self, colour_BCHW: Tensor, nearness: Tensor) -> Tensor:
        """Mix in the air between."""
        share = (0.75 * (-6 * nearness).exp() * self.detail)[:, None]
        return colour_BCHW * (1 - share) + self.haze * share

    def ground_nearness(self, y: Tensor) -> Tensor:
        """Say how near the ground is that is seen at y: 1 at the bottom edge, 0 at the horizon."""
        return ((y - self.horizon) / (BOTTOM - self.horizon)).clamp(0, 1.5)

    def add(self, layer: Layer) -> None:
        self.layers.append(layer)


def lay_grid(rows: int, columns: int, unit: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give the coordinates of pixel centres in units of so many columns, [1, rows, columns] each."""
    x = ((torch.arange(columns, device=device) + 0.5) - columns / 2) / unit
    y = ((torch.arange(rows, device=device) + 0.5) - rows / 2) / unit
    return x[None, None, :].expand(1, rows, columns), y[None, :, None].expand(1, rows, columns)


def compose(stage: Stage, outline: Tensor) -> tuple[Tensor, Tensor]:
    """Lay all layers over one another: the picture [B, 3, H, W], and which layer each cell shows, [B, h, w]."""
    picture, shares = stage.layers[0].colour_BCHW, []
    for number, layer in enumerate(stage.layers):
        alpha = layer.alpha_BHW[:, None]
        if number:
            rim = F.max_pool2d(alpha, 3, 1, 1) - F.avg_pool2d(alpha, 3, 1, 1)
            picture = (picture + alpha * (layer.colour_BCHW - picture)) * (1 - outline[:, None] * rim)
        covered = F.adaptive_avg_pool2d(alpha, stage.cells)[:, 0]
        shares = [share * (1 - covered) for share in shares] + [covered]
    return picture, torch.stack(shares, dim=1).argmax(dim=1)
