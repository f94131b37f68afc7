"""Fetch a model from the hub: plan it, show it, carry it out, check it, write it down.

Only what the model needs is fetched: its configs, one variant of its weights, its licence and card. The rest of what
a repository holds stays there. It does not know how bytes travel, nor how a plan is shown.
"""

from __future__ import annotations

import datetime
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from unstill.catalog import cache, record
from unstill.catalog.hub import Hub, Listing, RemoteFile, list_repository
from unstill.catalog.known import is_repository, look_up, suggest
from unstill.catalog.layout import CONFIGS, SAFE_ONLY, Variant, choose_weights, list_lacking, list_pickles
from unstill.catalog.record import Licence, Record
from unstill.catalog.transfer import Origin, fetch_file, hash_file, storing
from unstill.errors import DiskFull, ModelMissing, RequestError, WeightsError
from unstill.request import BUNDLED

MARGIN = 1.05  # of what is fetched must be free: file systems need room of their own
EXTRAS = ("model_index.json", "README.md")  # what diffusers opens first; what states the licence


@dataclass(frozen=True)
class PullProgress:
    """How far a download has come."""

    file: str
    stage: str  # wait (for another pull of the same file) | verify | fetch | done
    done_bytes: int
    total_bytes: int


PullWatch = Callable[[PullProgress], None]


def unwatched(progress: PullProgress) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class PullPlan:
    """What a download will bring, known before it begins."""

    name: str
    source: Origin
    asked_revision: str
    variant: str  # fp16 | fp32 | mixed
    files: tuple[RemoteFile, ...]  # the small ones first: a refusal and the licence come before the gigabytes
    fetch_bytes: int  # of these; the rest is here
    free_bytes: int
    licence: Licence
    gated: bool

    @property
    def repository(self) -> str:
        """The name of the repository on the hub."""
        return self.source.repository

    @property
    def revision(self) -> str:
        """The commit."""
        return self.source.commit

    @property
    def total_bytes(self) -> int:
        """The bytes of all files, also of those that are here."""
        return sum(file.size_bytes for file in self.files)

    @property
    def fits(self) -> bool:
        """Whether the disk has room, with a margin."""
        return self.fetch_bytes * MARGIN <= self.free_bytes

    @property
    def folder(self) -> Path:
        """The repository's folder in the cache."""
        return cache.repository_folder(self.source.hub.cache, self.repository)

    def require_room(self) -> None:
        """Refuse a plan that the disk cannot hold."""
        if not self.fits:
            needed = f"{self.fetch_bytes * MARGIN / 1e9:.1f} GB needed, {self.free_bytes / 1e9:.1f} GB free"
            hint = "free some room, or let HF_HOME name a larger disk"
            raise DiskFull(f"{self.name} does not fit on the disk of the Hugging Face cache: {needed}", hint=hint)


@dataclass(frozen=True)
class Pulled:
    """What a download left."""

    plan: PullPlan
    record: Record
    snapshot: Path

    @property
    def licence_text(self) -> Path | None:
        """The terms that came with the revision."""
        return self.snapshot / self.record.licence.file if self.record.licence.file else None


def measure_free(folder: Path) -> int:
    """Measure the free bytes of the disk that a folder is or will be on."""
    here = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    return shutil.disk_usage(here).free


def pull(
    name: str,
    *,
    full_precision: bool = False,
    revision: str | None = None,
    progress: PullWatch = unwatched,
    hub: Hub | None = None,
    free_bytes: Callable[[Path], int] = measure_free,
) -> Pulled:
    """Fetch a model, or what is missing of it."""
    plan = plan_pull(name, full_precision=full_precision, revision=revision, hub=hub, free_bytes=free_bytes)
    return carry_out(plan, progress)


def plan_pull(
    name: str,
    *,
    full_precision: bool = False,
    revision: str | None = None,
    hub: Hub | None = None,
    free_bytes: Callable[[Path], int] = measure_free,
) -> PullPlan:
    """Find out what fetching a model takes; asks the hub one question and fetches nothing."""
    hub, revision = hub or Hub.standard(), revision or "main"
    short, repository = _name_repository(name)
    if not cache.is_inside(revision):
        raise ModelMissing(f"{revision!a} cannot be a revision", hint="give a branch, a tag or a commit")
    listing = list_repository(hub, repository, revision)
    variant, files = _choose_files(repository, listing, "fp32" if full_precision else "fp16")
    folder = cache.repository_folder(hub.cache, repository)
    with storing():
        fetch_bytes, room_bytes = sum(_count_missing(folder, listing.commit, file) for file in files), free_bytes(hub.cache)
    licence_file = next((file.path for file in files if _is_licence(file.path)), None)
    page = f"https://huggingface.co/{repository}/blob/{listing.commit}"
    return PullPlan(
        name=short,
        source=Origin(hub, repository, listing.commit),
        asked_revision=revision,
        variant=variant,
        files=files,
        fetch_bytes=fetch_bytes,
        free_bytes=room_bytes,
        licence=record.make_licence(listing.card, licence_file, page),
        gated=listing.gated,
    )


def _name_repository(name: str) -> tuple[str, str]:
    known = look_up(name)
    if known is not None:
        return known.name, known.repository
    if is_repository(name):
        return name, name
    if name.strip().lower() == BUNDLED:
        raise RequestError(f"{BUNDLED} comes with unstill: there is nothing to fetch")
    near = suggest(name)
    hint = f"did you mean {near}?" if near else "`unstill models` lists the known names; any OWNER/NAME of the hub works too"
    raise ModelMissing(f"{name!a} is neither a known model nor a repository of the hub", hint=hint)


def _choose_files(repository: str, listing: Listing, prefer: Variant) -> tuple[str, tuple[RemoteFile, ...]]:
    names = {file.path for file in listing.files}
    weights = choose_weights(names, prefer)
    lacking = list_lacking(names)
    if weights is None and list_pickles(names):
        text = f"{repository} has its weights as {list_pickles(names)[0]} only: {SAFE_ONLY}"
        raise WeightsError(text, hint="look for a repository that has .safetensors files in unet/, vae/ and image_encoder/")
    if weights is None or lacking:
        text = f"{repository} is no Stable Video Diffusion model in the diffusers layout: it lacks {', '.join(lacking)}"
        raise WeightsError(text, hint="a single .safetensors file can be downloaded by hand and given by its path")
    wanted = {name for names in weights.names.values() for name in names} | {*CONFIGS.values(), *EXTRAS}
    files = (file for file in listing.files if file.path in wanted or _is_licence(file.path))
    return weights.variant, tuple(sorted(files, key=lambda file: (file.size_bytes, file.path)))


def _is_licence(path: str) -> bool:
    return re.fullmatch(r"licen[cs]e(\.md|\.txt)?", path, flags=re.IGNORECASE) is not None


def _count_missing(folder: Path, commit: str, file: RemoteFile) -> int:
    if cache.locate(folder, commit, file.path, file.digest, file.size_bytes):
        return 0
    partial = folder / "blobs" / f"{file.digest}.incomplete"
    arrived_bytes = partial.stat().st_size if partial.is_file() else 0
    return file.size_bytes - (arrived_bytes if arrived_bytes <= file.size_bytes else 0)


def carry_out(plan: PullPlan, progress: PullWatch = unwatched) -> Pulled:
    """Fetch what a plan says is missing, check every file, and write down what came."""
    plan.require_room()
    earlier = record.load_record(plan.folder, plan.revision)
    sha256 = dict(earlier.sha256) if earlier else {}
    done_bytes = 0
    with storing():
        for file in plan.files:
            watch = _Tally(plan, file, done_bytes, progress)
            sha256[file.path] = _bring(plan, file, sha256.get(file.path), watch)
            done_bytes += file.size_bytes
            watch("done", file.size_bytes)
        # Only now: a branch must never lead to half a model.
        if plan.asked_revision != plan.revision:
            cache.write_branch(plan.folder, plan.asked_revision, plan.revision)
        made = _make_record(plan, sha256)
        record.save_record(plan.folder, made)
    return Pulled(plan, made, plan.folder / "snapshots" / plan.revision)


@dataclass(frozen=True)
class _Tally:
    """Report the progress of one file as that of the whole."""

    plan: PullPlan
    file: RemoteFile
    before_bytes: int
    progress: PullWatch

    def __call__(self, stage: str, file_bytes: int) -> None:
        self.progress(PullProgress(self.file.path, stage, self.before_bytes + file_bytes, self.plan.total_bytes))


def _bring(plan: PullPlan, file: RemoteFile, recorded: str | None, told: _Tally) -> str:
    """Make sure that a file is here and is what the hub states, and return its sha256."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # exported when it runs

    blob = plan.folder / "blobs" / file.digest
    lock = plan.source.hub.cache / ".locks" / plan.folder.name / f"{file.digest}.lock"  # the one huggingface_hub takes
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(WeakFileLock(lock, timeout=0.2))
        except TimeoutError:
            told("wait", 0)
            stack.enter_context(WeakFileLock(lock))
        sha256 = _check_present(plan, file, recorded, told) or fetch_file(plan.source, file, blob, told)
        cache.link(plan.folder, plan.revision, file.path, file.digest)
    return sha256


def _check_present(plan: PullPlan, file: RemoteFile, recorded: str | None, told: _Tally) -> str | None:
    """Check a file that is here, unless a record says that it was; what is wrong goes."""
    present = cache.locate(plan.folder, plan.revision, file.path, file.digest, file.size_bytes)
    if present is None or recorded is not None:
        return recorded if present else None
    hashes = hash_file(present, file, told)
    if hashes.digest == file.digest:
        return hashes.sha256
    present.unlink()
    return None


def _make_record(plan: PullPlan, sha256: dict[str, str]) -> Record:
    return Record(
        name=plan.name,
        repository=plan.repository,
        revision=plan.revision,
        asked_revision=plan.asked_revision,
        pulled_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        licence=replace(plan.licence, sha256=sha256.get(plan.licence.file or "")),
        sha256=sha256,
    )
