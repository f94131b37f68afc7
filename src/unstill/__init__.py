"""unstill: one picture in, a short moving clip out.

    from unstill import animate
    animate("photo.jpg", motion=180).save("clip.mp4")

The names below load what they need when they are first used, so that importing the package is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unstill.artifacts import Clip, Progress, Report, Step
    from unstill.errors import UnstillError
    from unstill.generate import animate
    from unstill.request import Request

__version__ = "0.1.0"
__all__ = ["Clip", "Progress", "Report", "Request", "Step", "UnstillError", "animate"]

_HOMES = {
    "animate": "generate",
    "Clip": "artifacts",
    "Progress": "artifacts",
    "Report": "artifacts",
    "Step": "artifacts",
    "Request": "request",
    "UnstillError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'unstill' has no attribute {name!r}")
    return getattr(import_module(f"unstill.{_HOMES[name]}"), name)
