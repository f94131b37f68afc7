"""Find a model on this machine: a known name, a repository in the Hugging Face cache, a folder, or a single file.

It never asks the network; it reads configs, and of the weights no more than a fingerprint needs. It does not know how a
model is fetched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from unstill.artifacts import ModelFiles
from unstill.catalog import bundled
from unstill.catalog import cache as hub_cache
from unstill.catalog.fingerprint import fingerprint
from unstill.catalog.known import KnownModel, is_repository, look_up, suggest
from unstill.catalog.layout import (
    PICKLES,
    SAFE_ONLY,
    Variant,
    choose_weights,
    list_lacking,
    list_names,
    list_pickles,
    read_configs,
)
from unstill.catalog.record import Record, load_record, read_licence
from unstill.errors import ModelMissing, WeightsError
from unstill.request import BUNDLED


def find_model(
    name_or_path: str, *, prefer: Variant = "fp16", revision: str | None = None, cache: Path | None = None
) -> ModelFiles:
    """Find the files of a model by its name or path."""
    try:
        return _find(name_or_path, prefer, revision, cache or hub_cache.default_cache())
    except OSError as error:
        raise ModelMissing(f"{name_or_path!a} cannot be read: {error.strerror or error}") from error


def _find(name_or_path: str, prefer: Variant, revision: str | None, cache: Path) -> ModelFiles:
    if name_or_path.strip().lower() == BUNDLED:
        return bundled.bundled_model()
    known = look_up(name_or_path)
    path = Path(os.path.expanduser(name_or_path))  # noqa: PTH111 - pathlib's raises where there is no such user
    if (known is None or "/" in name_or_path) and os.path.lexists(path):  # a short name stays the model's
        return _find_local(path, prefer)
    repository = known.repository if known else name_or_path
    if known is None and not is_repository(repository):
        near = suggest(name_or_path)
        hint = f"did you mean {near}?" if near else "`unstill models` lists the known names; a path works too"
        raise ModelMissing(f"{name_or_path!a} is neither a known model nor a file or folder here", hint=hint)
    folder = hub_cache.repository_folder(cache, repository)
    for snapshot in _list_wanted(folder, revision):
        found = _read_snapshot(known, repository, snapshot, prefer)
        if found is not None:
            return found
    raise _explain_absence(known.name if known else repository, folder, revision)


def _list_wanted(folder: Path, revision: str | None) -> list[Path]:
    snapshots = hub_cache.list_snapshots(folder)
    if revision is None:
        return snapshots
    commit = hub_cache.read_branch(folder, revision) or revision
    return [snapshot for snapshot in snapshots if snapshot.name == commit]


def _explain_absence(name: str, folder: Path, revision: str | None) -> ModelMissing:
    at = f" at revision {revision!a}" if revision else ""
    if hub_cache.count_bytes(folder) > 0:
        text = f"{name}{at} is on this machine only in part"
        return ModelMissing(text, hint=f"`unstill pull {name}` fetches the rest")
    near = suggest(name)
    where = "it is neither in the Hugging Face cache (HF_HOME, HF_HUB_CACHE) nor a file or folder here"
    also = f"; did you mean {near}?" if near and near != name else ""
    return ModelMissing(f"{name}{at} is not on this machine: {where}{also}", hint=f"`unstill pull {name}` fetches it")


def _read_snapshot(known: KnownModel | None, repository: str, snapshot: Path, prefer: Variant) -> ModelFiles | None:
    """Read a snapshot of the cache; one that is not complete counts as not there."""
    names = list_names(snapshot)
    record = load_record(snapshot.parent.parent, snapshot.name)
    label = known.name if known else repository
    if not list_lacking(names):
        return _read_folder(label, known, snapshot, prefer, record)
    single = next((name for name in known.single_files[:1] if name in names), None) if known else None
    if known is None or single is None:
        return None
    return _make_files(label, known.family, known.frames, {"checkpoint": (snapshot / single,)}, snapshot, record)


def _read_folder(
    label: str, known: KnownModel | None, folder: Path, prefer: Variant, record: Record | None = None
) -> ModelFiles:
    chosen = choose_weights(list_names(folder), prefer)
    assert chosen is not None, "callers have checked that the folder is complete"
    configs = read_configs(folder, label)
    frames = known.frames if known else _read_frames(configs["unet"], label)
    family = known.family if known else guess_family(label, frames)
    weights = {part: tuple(folder / name for name in names) for part, names in chosen.names.items()}
    return _make_files(label, family, frames, weights, folder, record, configs)


def _make_files(
    label: str,
    family: str,
    frames: int,
    weights: dict[str, tuple[Path, ...]],
    folder: Path,
    record: Record | None,
    configs: dict[str, dict[str, Any]] | None = None,
) -> ModelFiles:
    paths = [path for files in weights.values() for path in files]
    names = {path: path.relative_to(folder).as_posix() for path in paths}
    recorded = record.sha256 if record else {}
    digests = (recorded.get(names[path]) or hub_cache.read_sha256(path) or fingerprint(path) for path in paths)
    licence = record.licence if record else read_licence(folder)
    return ModelFiles(
        name=label,
        family=family,
        layout="diffusers" if configs else "single-file",
        weights=weights,
        configs=configs or {},
        frames=frames,
        weights_bytes=sum(path.stat().st_size for path in paths),
        revision=folder.name if folder.parent.name == "snapshots" else None,
        sha256=dict(zip(names.values(), digests, strict=True)),
        licence=str(licence) if licence else None,
    )


def _find_local(path: Path, prefer: Variant) -> ModelFiles:
    label = path.name or path.resolve().name or "model"
    if path.is_dir():
        return _find_folder(path, label, prefer)
    if not path.is_file():
        raise WeightsError(f"{label} is neither a folder nor a regular file")
    if path.suffix.lower() != ".safetensors":
        why = f": {SAFE_ONLY}" if path.suffix.lower() in PICKLES else ""
        hint = "give a .safetensors file or a folder in the diffusers layout, or pull a model (`unstill models` lists them)"
        raise WeightsError(f"{label} is not a .safetensors file{why}", hint=hint)
    family, frames = guess_single(label)
    return _make_files(label, family, frames, {"checkpoint": (path,)}, path.parent, None)


def _find_folder(folder: Path, label: str, prefer: Variant) -> ModelFiles:
    names = list_names(folder)
    lacking = list_lacking(names)
    if not lacking:
        return _read_folder(label, None, folder, prefer)
    raise _explain_folder(label, names, lacking)


def _explain_folder(label: str, names: Collection[str], lacking: list[str]) -> WeightsError:
    pickles, singles = list_pickles(names), sorted(name for name in names if name.endswith(".safetensors") and "/" not in name)
    if pickles and any(name.endswith(".safetensors") for name in lacking):
        text = f"{label} has its weights as {pickles[0]}, and no complete set of safetensors: {SAFE_ONLY}"
        return WeightsError(text, hint="`unstill pull` fetches safetensors")
    text = f"{label} is not a complete model in the diffusers layout: it lacks {', '.join(lacking)}"
    return WeightsError(text, hint=f"to use the single file, name it: {label}/{singles[0]}" if singles else None)


def _read_frames(unet: dict[str, Any], label: str) -> int:
    frames = unet.get("num_frames", 25)  # 25 is what the class in diffusers takes when nothing is said
    if isinstance(frames, bool) or not isinstance(frames, int) or not 1 <= frames <= 1024:
        text = f"num_frames must be a whole number from 1 to 1024, not {ascii(frames)[:40]}"
        raise WeightsError(f"{label}/unet/config.json: {text}")
    return frames


def guess_family(label: str, frames: int) -> str:
    """Tell from its frames whose presets a model follows, and 1.1 from its name: nothing else tells them apart."""
    if frames <= 14:
        return "svd"
    return "svd-xt-1.1" if re.search(r"1[._-]1(?!\d)", label) else "svd-xt"


def guess_single(label: str) -> tuple[str, int]:
    """Tell family and frames of a single file from its name: the published tensors of all three are alike."""
    extended = re.search(r"(^|[^a-z])xt([^a-z]|$)", label.lower()) is not None
    frames = 25 if extended or not re.search(r"svd|img2vid", label.lower()) else 14
    return guess_family(label, frames), frames
