"""What is written down about a download: where it came from, every file's sha256, and the licence that came with it.

A record lies beside the files, in the repository's folder of the Hugging Face cache, and not in a data folder of the
user: a cache may be shared between people or moved with HF_HOME, and deleting the model deletes what was said of it.
The cache's own tools leave the extra folder alone.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
FRONT_MATTER_BYTES = 64 << 10


@dataclass(frozen=True)
class Licence:
    """The terms of one revision, as its model card states them."""

    id: str | None = None  # "other" for the terms of Stability
    name: str | None = None
    link: str | None = None
    file: str | None = None  # the text, in the repository
    sha256: str | None = None  # of that text

    def __str__(self) -> str:
        return self.name or self.id or "not stated"


@dataclass(frozen=True)
class Record:
    """What `pull` fetched."""

    name: str
    repository: str
    revision: str
    asked_revision: str
    pulled_at: str
    licence: Licence
    sha256: Mapping[str, str] = field(default_factory=dict)  # by the file's name in the repository; checked, not assumed


def load_record(folder: Path, commit: str) -> Record | None:
    """Read the record of a snapshot. One that cannot be read counts as none: the files speak for themselves."""
    try:
        found = json.loads(_place(folder, commit).read_bytes())
        found.pop("format")
        return Record(**{**found, "licence": Licence(**found["licence"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save_record(folder: Path, record: Record) -> Path:
    """Write the record of a snapshot, whole or not at all."""
    place = _place(folder, record.revision)
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}.tmp")
    aside.write_text(json.dumps({"format": FORMAT, **dataclasses.asdict(record)}, indent=1, sort_keys=True), "utf-8")
    return aside.replace(place)


def _place(folder: Path, commit: str) -> Path:
    return folder / "unstill" / f"{commit}.json"


def read_licence(snapshot: Path) -> Licence | None:
    """Read what the model card of a snapshot states, for models that something else downloaded."""
    try:
        with (snapshot / "README.md").open("rb") as file:
            text = file.read(FRONT_MATTER_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    front = re.match(r"---\r?\n(.*?)\n---", text, flags=re.DOTALL)
    lines = re.findall(r"^(license(?:_name|_link)?):[ \t]*['\"]?([^'\"\r\n]+)", front[1], flags=re.MULTILINE) if front else []
    return make_licence(dict(lines)) if lines else None


def make_licence(card: Mapping[str, Any], file: str | None = None, page: str = "") -> Licence:
    """Make a licence from the fields of a model card; a link that is a file's name leads to the file's page."""
    link = _clean(card.get("license_link"))
    if link is None or not link.startswith(("http://", "https://")):
        link = f"{page}/{link or file}" if page and (link or file) else None
    return Licence(_clean(card.get("license")), _clean(card.get("license_name")), link, file)


def _clean(value: object) -> str | None:
    """Take a short text that is safe on a terminal, or nothing."""
    text = "".join(c for c in value if c.isprintable()).strip()[:200] if isinstance(value, str) else ""
    return text or None
