"""Which files make a model in the diffusers layout: their names, complete sets of them, and the configs.

It works on lists of names, so a folder here and a listing of the hub are judged alike, and reads JSON. It does
not know where a folder comes from, nor what is inside the weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unstill.errors import WeightsError

Variant = Literal["fp16", "fp32"]
STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "image_encoder": "model"}
CONFIGS = {
    "unet": "unet/config.json",
    "vae": "vae/config.json",
    "image_encoder": "image_encoder/config.json",
    "scheduler": "scheduler/scheduler_config.json",
    "feature_extractor": "feature_extractor/preprocessor_config.json",
}
MAX_CONFIG_BYTES = 1 << 20  # the largest published one has 2 kB
SAFE_ONLY = "unstill reads safetensors only, since pickles can run code"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


@dataclass(frozen=True)
class WeightSet:
    """A complete set of weight files, by their names inside the folder."""

    variant: str  # fp16 | fp32 | mixed; fp32 is what bears no variant in its name
    names: Mapping[str, tuple[str, ...]]


def list_names(folder: Path) -> set[str]:
    """List the files of a folder that can belong to a model, by their names inside it."""
    places = [folder, *(folder / part for part in {name.partition("/")[0] for name in CONFIGS.values()})]
    # A link that leads nowhere is not a file: that is how an interrupted download looks in the hub's cache.
    files = (path for place in places if place.is_dir() for path in place.iterdir() if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def choose_weights(names: Collection[str], prefer: Variant) -> WeightSet | None:
    """Choose a complete set: all of the preferred variant, else all of the other, else of each part what there is."""
    other: Variant = "fp32" if prefer == "fp16" else "fp16"
    for variant in (prefer, other):
        found = {part: _pick(names, part, variant) for part in STEMS}
        if all(found.values()):
            return WeightSet(variant, found)
    mixed = {part: _pick(names, part, prefer) or _pick(names, part, other) for part in STEMS}
    return WeightSet("mixed", mixed) if all(mixed.values()) else None


def list_variants(names: Collection[str]) -> tuple[Variant, ...]:
    """List the variants that are there completely."""
    variants: tuple[Variant, ...] = ("fp16", "fp32")
    return tuple(variant for variant in variants if all(_pick(names, part, variant) for part in STEMS))


def list_lacking(names: Collection[str]) -> list[str]:
    """List what is missing before the files make a model."""
    bare = [part for part in STEMS if not (_pick(names, part, "fp16") or _pick(names, part, "fp32"))]
    return [f"{part}/{STEMS[part]}.safetensors" for part in bare] + [name for name in CONFIGS.values() if name not in names]


def _pick(names: Collection[str], part: str, variant: str) -> tuple[str, ...]:
    """Pick the file of one part, or all its shards; nothing if one is missing."""
    stem, half = f"{part}/{STEMS[part]}", variant == "fp16"
    single = f"{stem}{'.fp16' if half else ''}.safetensors"
    if single in names:
        return (single,)
    shards: dict[int, dict[int, str]] = {}
    # diffusers writes model.fp16-00001-of-00002, and still reads its older spelling, model-00001-of-00002.fp16.
    pattern = re.compile(rf"{stem}(\.fp16)?-(\d{{5}})-of-(\d{{5}})(\.fp16)?\.safetensors")
    for name in names:
        if (found := pattern.fullmatch(name)) and bool(found[1] or found[4]) == half:
            shards.setdefault(int(found[3]), {})[int(found[2])] = name
    whole = [found for total, found in shards.items() if sorted(found) == list(range(1, total + 1))]
    return tuple(whole[0][number] for number in sorted(whole[0])) if whole else ()


def list_pickles(names: Collection[str]) -> list[str]:
    """List the files that only a pickle reader could load."""
    return sorted(name for name in names if name.lower().endswith(PICKLES))


def read_configs(folder: Path, label: str) -> dict[str, dict[str, Any]]:
    """Read every config of a model."""
    return {part: read_object(folder / name, f"{label}/{name}") for part, name in CONFIGS.items()}


def read_object(path: Path, label: str) -> dict[str, Any]:
    """Read a JSON object from a small file."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise WeightsError(f"{label} is larger than {MAX_CONFIG_BYTES} bytes: that is not a config")
        found = json.loads(text)
    except FileNotFoundError as error:
        raise WeightsError(f"{label} is missing") from error
    except OSError as error:
        raise WeightsError(f"{label} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # nesting of 10,000 levels ends in the second
        raise WeightsError(f"{label} is not JSON") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{label} must hold a JSON object, not {type(found).__name__}")
    return found
