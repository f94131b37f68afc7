"""The model that comes with the package. It needs no download, no connection and no GPU.

It does not know how the model is run.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from unstill.artifacts import ModelFiles
from unstill.request import BUNDLED

FRAMES = 25
ABOUT = "any number of frames: moves a camera through your picture, in seconds, on any computer; comes with unstill."
LICENCE = "apache-2.0"
FOLDER = Path(__file__).parents[1] / "models" / BUNDLED / "weights"


def bundled_model() -> ModelFiles:
    """Describe the files of the bundled model."""
    path = FOLDER / "model.safetensors"
    return ModelFiles(
        name=BUNDLED,
        family=BUNDLED,
        layout="bundled",
        weights={"checkpoint": (path,)},
        configs=json.loads((FOLDER / "config.json").read_text()),
        frames=FRAMES,
        weights_bytes=path.stat().st_size,
        sha256={path.name: hash_weights()},
        licence=LICENCE,
    )


@lru_cache(1)
def hash_weights() -> str:
    """Hash the weights: 30 MB, a fiftieth of a second."""
    return hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
