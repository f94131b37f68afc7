"""What is known and what is here: the rows of `unstill models`.

It reads the Hugging Face cache and asks nothing of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unstill.catalog import bundled
from unstill.catalog import cache as hub_cache
from unstill.catalog.known import CATALOG, KnownModel, look_up
from unstill.catalog.layout import list_lacking, list_names, list_variants, read_object
from unstill.catalog.record import load_record, read_licence
from unstill.errors import ModelError, WeightsError
from unstill.request import BUNDLED

PIPELINE = "StableVideoDiffusionPipeline"  # what model_index.json of every SVD model names
NETWORK = "UNetSpatioTemporalConditionModel"


@dataclass(frozen=True)
class ModelStatus:
    """One model, and how much of it is here."""

    name: str
    repository: str
    about: str
    state: str  # complete | partial | absent
    here_bytes: int  # on the disk, all variants and unfinished downloads
    variants: tuple[str, ...] = ()  # complete ones
    revision: str | None = None
    licence: str | None = None
    snapshot: Path | None = None
    known: KnownModel | None = None


def list_models(cache: Path | None = None) -> list[ModelStatus]:
    """List the bundled model, the known ones and what is here of them, then other models of the kind in the cache."""
    cache = cache or hub_cache.default_cache()
    known = [(model.repository, hub_cache.repository_folder(cache, model.repository)) for model in CATALOG.values()]
    try:
        found = [item for item in hub_cache.list_repositories(cache) if look_up(item[0]) is None and _is_video_model(item[1])]
        return [_describe_bundled(), *(_describe(repository, folder) for repository, folder in known + found)]
    except OSError as error:
        text = f"the Hugging Face cache cannot be read: {error.strerror or error}"
        raise ModelError(text, hint="HF_HOME or HF_HUB_CACHE can name another place") from error


def _describe_bundled() -> ModelStatus:
    here_bytes = bundled.bundled_model().weights_bytes
    where = "comes with unstill"
    return ModelStatus(
        BUNDLED, where, bundled.ABOUT, "complete", here_bytes, ("fp16",), licence=bundled.LICENCE, snapshot=bundled.FOLDER
    )


def _describe(repository: str, folder: Path) -> ModelStatus:
    known, here_bytes = look_up(repository), hub_cache.count_bytes(folder)
    name, about = (known.name, known.about) if known else (repository, "found in the Hugging Face cache")
    for snapshot in hub_cache.list_snapshots(folder):
        names = list_names(snapshot)
        if list_lacking(names):
            continue
        record = load_record(folder, snapshot.name)
        licence = record.licence if record else read_licence(snapshot)
        return ModelStatus(
            name,
            repository,
            about,
            "complete",
            here_bytes,
            variants=list_variants(names) or ("mixed",),
            revision=snapshot.name,
            licence=str(licence) if licence else None,
            snapshot=snapshot,
            known=known,
        )
    return ModelStatus(name, repository, about, "partial" if here_bytes else "absent", here_bytes, known=known)


def _is_video_model(folder: Path) -> bool:
    return any(
        _names_class(snapshot / "model_index.json", PIPELINE) or _names_class(snapshot / "unet" / "config.json", NETWORK)
        for snapshot in hub_cache.list_snapshots(folder)
    )


def _names_class(path: Path, wanted: str) -> bool:
    try:
        return read_object(path, path.name).get("_class_name") == wanted
    except WeightsError:  # another model's file, or none: this is a search
        return False
