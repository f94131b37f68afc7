"""One set of scenes while it is being painted: coordinates, light, colours, and the layers laid so far.

It does not know which things there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe.dice import Dice
from recipe.photographs import Photographs
from recipe.textures import Bank

BOTTOM = 9 / 32  # half the height of a 16:9 picture, in widths
PHOTOGRAPHED = 0.5  # share of surfaces that are photographs, where there are any of the kind

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


Field = Tensor | float


@dataclass(frozen=True, eq=False)
class Own:
    """Motion that a surface has by itself: the share of it that moves, and how, to the right and down, at pixels."""

    share: Field
    right: Field
    down: Field


@dataclass(frozen=True, eq=False)
class Layer:
    """Something in the scene: what it looks like, how near it is, whether it flows or sways."""

    alpha_BHW: Tensor
    colour_BCHW: Tensor
    nearness: Tensor  # inverse distance at pixels, [B, H, W] or [B, 1, 1]
    flow: Own | None = None
    sway: Own | None = None


@dataclass(eq=False)
class Stage:
    """Scenes of one place; x, y are pixels' coordinates, [1, H, W]. What is added covers what is there."""

    dice: Dice
    bank: Bank
    photographs: Photographs
    size: tuple[int, int]  # rows and columns of the pictures
    cells: tuple[int, int]  # rows and columns of the field
    horizon: Tensor
    grounded: bool  # things stand on a ground that recedes to the horizon; else they hang before a wall
    detail: Tensor  # [B, 1, 1]: 0 is a flat drawing, 1 a photograph
    outline: Tensor  # [B, 1, 1]: how dark a line is drawn around things
    wet: Tensor | None = None  # how much each pixel mirrors what stands in it, as water does
    wet_flow: Own | None = None
    picture_BCHW: Tensor | None = None
    moves_BCHW: Tensor | None = None  # flows: share, right, down; sways: share, right, down; all times the share
    shares: list[Tensor] = field(default_factory=list)  # how much of each cell shows each layer
    near: list[Tensor] = field(default_factory=list)  # at cells

    def __post_init__(self) -> None:
        self.x, self.y = lay_grid(*self.size, self.columns, self.dice.device)
        self.light = self.dice.angle()
        self.haze = self.colour("sky")
        self.wind = self.dice.normal(0.25) + torch.pi * self.dice.chance(0.5)

    @property
    def columns(self) -> float:
        """The unit of all coordinates: columns of the 16:9 scene of which this picture shows the middle."""
        return max(self.size[1], self.size[0] * 16 / 9)

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

    def paint(
        self, texture: str, name: str, zoom: tuple[float, float] = (0.7, 3.0), *, tilt: float = 3.2, photo: str | None = None
    ) -> Tensor:
        """Cover the plane with a texture between two colours of the name, or at times with photographs, [B, 3, H, W]."""
        dice, scale, angle = self.dice, self.dice.log_uniform(*zoom), self.dice.uniform(-tilt, tilt)
        u = (self.x * angle.cos() + self.y * angle.sin()) * scale + dice.uniform()
        v = (self.y * angle.cos() - self.x * angle.sin()) * scale + dice.uniform()
        if photo and self.photographs.has(photo) and dice.coins.random() < PHOTOGRAPHED:
            return self.photo(photo, 1.5 * u, 1.5 * v)
        return self.tint(self.bank.sample(dice, texture, u, v), name)

    def tint(self, texture_BCHW: Tensor, name: str, odd: float = 0.12) -> Tensor:
        """Colour a texture: light moves between two colours, hue shifts a little."""
        one = self.colour(name, odd)
        two = one + (self.colour(name, odd) - one) * self.dice.uniform(0.2, 1.0)[:, None]
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
        """Return how near the ground is that is seen at y: 1 at the bottom edge, 0 at the horizon."""
        return ((y - self.horizon) / (BOTTOM - self.horizon)).clamp(0, 1.5)

    def add(self, layer: Layer) -> None:
        """Lay it over what is there."""
        count, alpha = self.dice.count, layer.alpha_BHW[:, None]
        if self.picture_BCHW is None or self.moves_BCHW is None:
            self.picture_BCHW = torch.zeros_like(layer.colour_BCHW)
            self.moves_BCHW = layer.colour_BCHW.new_zeros(count, 6, *self.size)
        rim = F.max_pool2d(alpha, 3, 1, 1) - F.avg_pool2d(alpha, 3, 1, 1)
        self.picture_BCHW = self.picture_BCHW + alpha * (layer.colour_BCHW - self.picture_BCHW)
        self.picture_BCHW = self.picture_BCHW * (1 - self.outline[:, None] * rim)
        self.moves_BCHW = self.moves_BCHW * (1 - alpha)
        for first, own in ((0, layer.flow), (3, layer.sway)):
            if own is not None:
                share = alpha[:, 0] * own.share
                self.moves_BCHW[:, first : first + 3] += torch.stack([share, share * own.right, share * own.down], dim=1)
        covered = F.adaptive_avg_pool2d(alpha, self.cells)[:, 0]
        self.shares = [share * (1 - covered) for share in self.shares] + [covered]
        near = layer.nearness.expand(count, *self.size) if layer.nearness.shape[-1] > 1 else layer.nearness
        self.near.append(F.adaptive_avg_pool2d(near[:, None], self.cells)[:, 0].expand(count, *self.cells))

    def picture(self) -> Tensor:
        """Return what has been painted."""
        assert self.picture_BCHW is not None
        return self.picture_BCHW

    @property
    def nearness_BHW(self) -> Tensor:
        """Return the nearness of what shows most in each cell."""
        shown = torch.stack(self.shares, dim=1).argmax(dim=1, keepdim=True)
        return torch.stack(self.near, dim=1).gather(1, shown)[:, 0]

    def photo(self, kind: str, u: Tensor, v: Tensor) -> Tensor:
        """Return a photographed surface, a little recoloured, [B, 3, H, W]."""
        return self.recolour(self.photographs.cover(self.dice, kind, u, v))

    def recolour(self, colour_BCHW: Tensor) -> Tensor:
        """Change exposure, contrast, colour balance and saturation."""
        dice = self.dice
        grey = colour_BCHW.mean(1, keepdim=True)
        colour = grey + (colour_BCHW - grey) * dice.uniform(0.5, 1.4)[:, None]
        colour = colour * dice.uniform(0.8, 1.2, 3) * dice.uniform(0.6, 1.3)[:, None]
        return 0.5 + (colour - 0.5) * dice.uniform(0.7, 1.2)[:, None]


def lay_grid(rows: int, columns: int, unit: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the coordinates of pixel centres in units of so many columns, [1, rows, columns] each."""
    x = ((torch.arange(columns, device=device) + 0.5) - columns / 2) / unit
    y = ((torch.arange(rows, device=device) + 0.5) - rows / 2) / unit
    return x[None, None, :].expand(1, rows, columns), y[None, :, None].expand(1, rows, columns)
