"""Miniatures as the catalogue would describe them, for tests that load networks without a catalogue."""

from pathlib import Path

from miniature import WEIGHTS_NAMES, make_configs
from unstill.artifacts import ModelFiles


def describe_miniature(path: Path, *, layers: int = 1, variant: str = "") -> ModelFiles:
    """Describe what `make_miniature` returned."""
    configs = make_configs(14, layers)
    if path.is_file():
        return ModelFiles("miniature", "svd", "single-file", {"checkpoint": (path,)}, configs, 14, path.stat().st_size)
    weights = {part: (path / part / f"{WEIGHTS_NAMES[part]}{variant}.safetensors",) for part in configs}
    size = sum(file.stat().st_size for (file,) in weights.values())
    return ModelFiles("miniature", "svd", "diffusers", weights, configs, 14, size)
