"""The hub: what a repository holds, the bytes of its files, and what its refusals mean.

It speaks through huggingface_hub's session, so its settings count (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, proxies),
but builds no headers with it: those would name other packages and ask the hub for a list first. It does not know
what a model is, nor where files go. It is the only module that asks the hub anything.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from unstill.catalog.cache import default_cache, is_inside
from unstill.catalog.known import suggest
from unstill.errors import DownloadError, ModelGated, ModelMissing, UnstillError, WeightsError

if TYPE_CHECKING:
    from httpx2 import Response
    from huggingface_hub.errors import HfHubHTTPError

TRANSIENT_STATUS = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Hub:
    """Which hub, who asks, where its files are kept, and how patiently."""

    endpoint: str
    cache: Path
    token: str | Literal[False] | None = field(default=None, repr=False)  # None: HF_TOKEN or the login
    timeout_s: float = 10.0
    waits_s: tuple[float, ...] = (0.5, 1.0, 2.0)  # between attempts; one more attempt than waits

    @classmethod
    def standard(cls) -> Hub:
        """Return the hub that huggingface_hub's settings describe."""
        from huggingface_hub import constants

        return cls(constants.ENDPOINT, default_cache(), timeout_s=float(constants.HF_HUB_DOWNLOAD_TIMEOUT))

    @property
    def public_endpoint(self) -> str:
        """The endpoint without a user name or password that a mirror's address may carry."""
        return re.sub(r"//[^/@]*@", "//", self.endpoint)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; its digest is also its name in the cache."""

    path: str
    size_bytes: int
    digest: str  # sha256 of large files; git's own sha1 of small ones

    @property
    def has_sha256(self) -> bool:
        """Whether the digest is that of the bytes, and not git's of bytes and size."""
        return len(self.digest) == 64


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit."""

    commit: str
    files: tuple[RemoteFile, ...]
    gated: bool
    card: Mapping[str, Any]


def list_repository(hub: Hub, repository: str, revision: str) -> Listing:
    """Ask what a repository holds at a revision."""
    url = f"{hub.endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}"
    patience, found = Patience(hub), None
    with explained(hub, repository):
        try:
            while found is None:
                with patience.attempt():
                    found = _read_listing(_get_json(hub, url))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            text = f"{hub.public_endpoint} does not answer as a Hugging Face hub does"
            raise DownloadError(text, hint="check HF_ENDPOINT, and proxies that ask for a login") from error
    return found


def _get_json(hub: Hub, url: str) -> Any:
    from huggingface_hub import get_session, hf_raise_for_status

    response = get_session().get(url, params={"blobs": "true"}, headers=_headers(hub), timeout=hub.timeout_s)
    hf_raise_for_status(response)
    return response.json()


def _read_listing(found: dict[str, Any]) -> Listing:
    commit, files = found["sha"], found["siblings"]
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ValueError("not a commit")
    outside = next((file["rfilename"] for file in files if not is_inside(file["rfilename"])), None)
    if outside is not None:
        raise WeightsError(f"the repository lists a file outside itself, {outside!a}; nothing was fetched")
    return Listing(commit, tuple(_read_file(file) for file in files), bool(found.get("gated")), found.get("cardData") or {})


def _read_file(found: dict[str, Any]) -> RemoteFile:
    large = found.get("lfs") or {}
    size, digest = large.get("size", found["size"]), large.get("sha256", found["blobId"])
    if not isinstance(size, int) or size < 0 or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest):
        raise ValueError("not a size and a digest")
    return RemoteFile(found["rfilename"], size, digest)


@dataclass(frozen=True)
class Answer:
    """The bytes of a file, as they come."""

    is_from_start: bool  # also where they were asked for from a later position on
    blocks: Iterator[bytes]


@contextmanager
def open_file(hub: Hub, repository: str, commit: str, file: RemoteFile, start: int = 0) -> Iterator[Answer]:
    """Open the bytes of a file, from one position on."""
    from huggingface_hub import get_session, hf_raise_for_status

    url = f"{hub.endpoint}/{repository}/resolve/{commit}/{quote(file.path)}"
    # Compressed answers have no ranges. The session drops the token where a redirect leaves the hub's host.
    headers = {**_headers(hub), "Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with get_session().stream("GET", url, headers=headers, timeout=hub.timeout_s) as response:
        hf_raise_for_status(response)
        is_from_start = response.status_code != HTTPStatus.PARTIAL_CONTENT  # a server without ranges sends everything
        yield Answer(is_from_start, _read_blocks(response, file.size_bytes - (0 if is_from_start else start)))


def _read_blocks(response: Response, wanted_bytes: int) -> Iterator[bytes]:
    """Read blocks as they come: a break loses nothing that arrived."""
    import httpx2

    for block in response.iter_bytes():
        yield block
        wanted_bytes -= len(block)
        if wanted_bytes <= 0:
            return
    raise httpx2.RemoteProtocolError("the answer ended early")


def _headers(hub: Hub) -> dict[str, str]:
    from huggingface_hub import constants, get_token

    token = hub.token if isinstance(hub.token, str) else None
    if hub.token is None and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        token = get_token()
    return {"User-Agent": "unstill", **({"Authorization": f"Bearer {token}"} if token else {})}


class Patience:
    """Wait longer after each failure in a row, and give up after the last wait."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._left = list(hub.waits_s)
        self._most_bytes = 0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Make an attempt; one that fails is waited after, for the caller to make another, or raises if none makes sense."""
        import httpx2

        try:
            yield
        except httpx2.HTTPError as error:
            if not self._left or not _is_transient(error):
                raise
            time.sleep(self._left.pop(0))

    def note(self, have_bytes: int) -> None:
        """Begin counting anew if more has arrived than ever."""
        if have_bytes > self._most_bytes:
            self._most_bytes, self._left = have_bytes, list(self._hub.waits_s)


def _is_transient(error: Exception) -> bool:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT_STATUS
    return isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol)


@contextmanager
def explained(hub: Hub, repository: str) -> Iterator[None]:
    """Turn the errors of huggingface_hub and its transport into ours."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        text = "nothing can be fetched: offline mode is on (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set)"
        raise DownloadError(text, hint="unset HF_HUB_OFFLINE and try again; models that are here work without it") from error
    except HfHubHTTPError as error:
        raise _explain_refusal(hub, repository, error) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        text = f"{hub.public_endpoint} cannot be reached: {type(error).__name__} {error}".rstrip()
        hint = "check the connection and HF_ENDPOINT, then try again: what has arrived is kept"
        raise DownloadError(text, hint=hint) from error


def _explain_refusal(hub: Hub, repository: str, error: HfHubHTTPError) -> UnstillError:
    status, code = error.response.status_code, error.response.headers.get("X-Error-Code")
    if status in (401, 403):
        return _explain_gate(repository, status, code == "GatedRepo", "authorization" in error.response.request.headers)
    if status == 404:
        return _explain_absence(repository, code)
    text = f"{hub.public_endpoint} answered {status} for {repository}"
    if status == 429:
        return DownloadError(f"{text}: too many requests", hint="wait a few minutes; with HF_TOKEN set the hub allows more")
    return DownloadError(text, hint="try again later: what has arrived is kept; HF_ENDPOINT can name another hub")


def _explain_gate(repository: str, status: int, gated: bool, knows_us: bool) -> ModelGated:
    page = f"https://huggingface.co/{repository}"
    accept = f"accept its licence at {page}, then put a token of that account into HF_TOKEN or run `hf auth login`"
    if gated and knows_us:
        return ModelGated(f"{repository} is gated, and the account of the token has not accepted its licence", hint=accept)
    if gated or status == 403:
        return ModelGated(f"{repository} is gated: the hub gives it to accounts that accepted its licence", hint=accept)
    if knows_us:
        hint = f"put a valid one into HF_TOKEN or run `hf auth login`; the model's page is {page}"
        return ModelGated(f"the hub does not accept the token that was sent for {repository} (401)", hint=hint)
    text = f"the hub does not show {repository} to strangers (401): it is gated, private, or does not exist"
    return ModelGated(text, hint=f"check the name; if it is right, {accept}")


def _explain_absence(repository: str, code: str | None) -> ModelMissing:
    if code == "RevisionNotFound":
        return ModelMissing(f"{repository} has no such revision", hint=f"see https://huggingface.co/{repository}/commits/main")
    if code == "EntryNotFound":
        return ModelMissing(f"{repository} lists a file that it does not have", hint="try again: it may just be changing")
    near = suggest(repository)
    hint = f"did you mean {near}?" if near else "`unstill models` lists the known ones"
    return ModelMissing(f"the hub has no model {repository}", hint=hint)
