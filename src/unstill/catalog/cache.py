"""The Hugging Face cache on this disk: where a repository's folder is, its snapshots, blobs, links and branches.

    models--OWNER--NAME/  blobs/DIGEST   snapshots/COMMIT/PATH ─▶ blobs/DIGEST   refs/BRANCH   unstill/COMMIT.json

The layout is documented by huggingface_hub and shared with everything that uses it; the place is the one that its
own settings give (HF_HOME, HF_HUB_CACHE). Its `scan_cache_dir` is not used: it reads every repository, and drops one
with a single broken link, which is what an interrupted download leaves. This module asks nothing of the network.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

PREFIX = "models--"


def default_cache() -> Path:
    """Return the folder of the cache, by huggingface_hub's settings."""
    from huggingface_hub import constants  # 16 ms, and only where it is needed

    return Path(constants.HF_HUB_CACHE)


def repository_folder(cache: Path, repository: str) -> Path:
    """Return the folder of one repository, which need not exist."""
    return cache / (PREFIX + repository.replace("/", "--"))


def list_repositories(cache: Path) -> Iterator[tuple[str, Path]]:
    """List the repositories of models that have a folder, by name."""
    for folder in sorted(cache.glob(f"{PREFIX}*")):
        if folder.is_dir():
            yield folder.name.removeprefix(PREFIX).replace("--", "/", 1), folder


def list_snapshots(folder: Path) -> list[Path]:
    """List a repository's snapshots: the one of the main branch first, then from the newest on."""
    if not (folder / "snapshots").is_dir():
        return []
    found = [path for path in (folder / "snapshots").iterdir() if path.is_dir()]
    main = read_branch(folder, "main")
    return sorted(found, key=lambda path: (path.name == main, path.stat().st_mtime), reverse=True)


def read_branch(folder: Path, branch: str) -> str | None:
    """Return the commit that a branch or tag pointed to when it was last fetched."""
    path = folder / "refs" / branch
    if not is_inside(branch) or not path.is_file():
        return None
    return path.read_text("utf-8", errors="replace").strip()


def write_branch(folder: Path, branch: str, commit: str) -> None:
    """Note which commit a branch or tag points to."""
    path = folder / "refs" / branch
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    aside.write_text(commit, "utf-8")
    aside.replace(path)


def link(folder: Path, commit: str, name: str, digest: str) -> Path:
    """Show a blob as a file of a snapshot."""
    blob, pointer = folder / "blobs" / digest, folder / "snapshots" / commit / name
    if pointer.is_file():
        return pointer
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.unlink(missing_ok=True)  # a link that leads nowhere
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except FileExistsError:
        pass  # another process did the same
    except OSError:
        blob.replace(pointer)  # no links on this file system: huggingface_hub moves the file too
    return pointer


def locate(folder: Path, commit: str, name: str, digest: str, size_bytes: int) -> Path | None:
    """Find the bytes of a file of the hub, if all of them are here."""
    places = (folder / "blobs" / digest, folder / "snapshots" / commit / name)
    return next((path for path in places if path.is_file() and path.stat().st_size == size_bytes), None)


def read_sha256(path: Path) -> str | None:
    """Return the sha256 of a file of a snapshot as its blob's name tells it; small files have another digest."""
    name = path.readlink().name if path.is_symlink() else ""
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else None


def count_bytes(folder: Path) -> int:
    """Count what a repository takes up, unfinished downloads included."""
    blobs = [path for path in (folder / "blobs").glob("*") if path.is_file()]
    loose = [path for path in (folder / "snapshots").rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in blobs + loose)


def is_inside(name: str) -> bool:
    """Say whether a name from elsewhere stays inside the folder that it is joined to, on every system."""
    parts = name.split("/")
    return re.fullmatch(r"[^\\:\x00-\x1f\x7f]+", name) is not None and not {"", ".", ".."} & set(parts)
