"""How surfaces move by themselves: streams, and what bends in the wind.

It does not know what moves; the camera and rigid things are no part of a field.
"""

from __future__ import annotations

from torch import Tensor

from recipe.stage import Own


def stream(right: Tensor, down: Tensor) -> Own:
    """Flow everywhere with a velocity."""
    return Own(1.0, right, down)


def bend(lift: Tensor, wind: Tensor, amount: Tensor, share: Tensor | float = 1.0) -> Own:
    """Bend in the wind: nothing at the root, most at lift 1."""
    rooted = (lift * 8).clamp(0, 1)
    size = lift.clamp(0.05, 1.5) ** 1.2 * amount
    lean = 0.3 * wind.sin()
    return Own(rooted * share, size * wind.cos(), size * (wind.sin() * 0.5 + lean))


def wave(out: Tensor, wind: Tensor, amount: Tensor, share: Tensor | float = 1.0) -> Own:
    """Flutter across the cloth, most at its free end."""
    size = out.clamp(0.1, 1.5) * amount
    return Own((out * 6).clamp(0, 1) * share, 0.35 * size * wind.cos(), size)
