"""A hub on loopback: the answers of huggingface.co that a download asks for, and its faults on demand.

Large files are redirected to a second server on another port, as the real hub sends one to its store, so that a
token that travels too far is seen. Every request is logged. It knows nothing of the package that it tests;
`snapshot_download` of huggingface_hub works against it, and a test holds it to that.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BLOCK_BYTES = 16 << 10


@dataclass
class Repository:
    """What the hub holds of one model."""

    files: dict[str, bytes]
    commit: str
    card: dict[str, Any] = field(default_factory=dict)
    gated_for: frozenset[str] | None = None  # the tokens that accepted the licence; None: open to all

    def entry(self, path: str) -> dict[str, Any]:
        """Describe a file as the tree and the model's information do."""
        content = self.files[path]
        found = {"size": len(content), "blobId": git_digest(content)}
        if path.endswith(".safetensors"):
            digest = sha256(content)
            found["lfs"] = {"sha256": digest, "oid": digest, "size": len(content), "pointerSize": 135}
        return found


@dataclass
class Asked:
    """One request, as the log keeps it."""

    server: str  # hub | store
    method: str
    path: str
    range: str | None
    token: str | None
    status: int = 0
    sent_bytes: int = 0


@dataclass
class Faults:
    """What goes wrong; counters run down."""

    break_after_bytes: int = 0  # of an answer of the store that is longer
    breaks: int = 0
    errors: int = 0  # answers of 503 before the next good one
    refusal: tuple[int, str | None] | None = None  # status and X-Error-Code of every answer
    spoilt: str = ""  # a path whose bytes are not those of the listing
    without_ranges: bool = False
    pause_s: float = 0.0  # before every block
    raw: bytes = b""  # the body of every answer of the API


@functools.cache
def git_digest(content: bytes) -> str:
    """Name a file as git does."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@functools.cache
def sha256(content: bytes) -> str:
    """Name a large file as the hub does."""
    return hashlib.sha256(content).hexdigest()


class LoopbackHub:
    """The two servers, what they hold and what they were asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults = Faults()
        self.log: list[Asked] = []
        self._servers = {name: self._start(name) for name in ("hub", "store")}

    def _start(self, name: str) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self, "name": name})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def url(self, name: str = "hub") -> str:
        """The address of one of the servers."""
        return f"http://127.0.0.1:{self._servers[name].server_port}"

    def add(self, repository: str, files: Mapping[str, bytes] | Path, **more: Any) -> Repository:
        """Put a model on the hub, from memory or from a folder."""
        if isinstance(files, Path):
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        listed = repr(sorted((path, git_digest(content)) for path, content in files.items()))
        commit = more.pop("commit", git_digest(listed.encode()))
        self.repositories[repository] = Repository(dict(files), commit, **more)
        return self.repositories[repository]

    def asked(self, part: str = "", method: str = "GET") -> list[Asked]:
        """The requests whose path contains a text."""
        return [asked for asked in self.log if part in asked.path and asked.method == method]

    def __enter__(self) -> LoopbackHub:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LoopbackHub
    name: str

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        self.asked = Asked(self.name, self.command, path, self.headers.get("Range"), bearer)
        self.hub.log.append(self.asked)
        faults = self.hub.faults
        if faults.errors > 0:
            faults.errors -= 1
            return self._refuse(503)
        if faults.refusal is not None:
            return self._refuse(*faults.refusal)
        return self._store(path) if self.name == "store" else self._route(path)

    def _route(self, path: str) -> None:
        for repository, held in self.hub.repositories.items():
            api = f"/api/models/{repository}"
            if path == api or path.startswith(f"{api}/"):
                return self._tell(repository, held, path.removeprefix(api).strip("/"))
            if path.startswith(f"/{repository}/resolve/"):
                return self._resolve(held, path.removeprefix(f"/{repository}/resolve/"))
        return self._refuse(404, "RepoNotFound")

    def _tell(self, repository: str, held: Repository, rest: str) -> None:
        """Answer what the model is, or which files it has."""
        if self.hub.faults.raw:
            return self._send(200, self.hub.faults.raw)
        kind, _, revision = rest.partition("/")
        if revision.partition("/")[0] not in ("", "main", held.commit):
            return self._refuse(404, "RevisionNotFound")
        if kind == "tree":
            return self._send(200, json.dumps(self._tree(held)).encode(), {"Content-Type": "application/json"})
        with_sizes = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [{"rfilename": path, **(held.entry(path) if with_sizes else {})} for path in held.files]
        gated = "auto" if held.gated_for is not None else False
        told = {"id": repository, "sha": held.commit, "gated": gated, "cardData": held.card, "siblings": siblings}
        return self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _tree(self, held: Repository) -> list[dict[str, Any]]:
        entries = ((path, held.entry(path)) for path in held.files)
        return [{"type": "file", "path": path, "oid": entry.pop("blobId"), **entry} for path, entry in entries]

    def _resolve(self, held: Repository, rest: str) -> None:
        """Answer the bytes of a small file, and where a large one is."""
        revision, _, path = rest.partition("/")
        if revision not in ("main", held.commit):
            return self._refuse(404, "RevisionNotFound")
        if held.gated_for is not None and self.asked.token not in held.gated_for:
            return self._refuse(403 if self.asked.token else 401, "GatedRepo")
        if path not in held.files:
            return self._refuse(404, "EntryNotFound")
        entry, headers = held.entry(path), {"X-Repo-Commit": held.commit}
        if "lfs" not in entry:
            return self._send(200, self._bytes(held, path), {**headers, "ETag": f'"{entry["blobId"]}"'})
        digest = entry["lfs"]["sha256"]
        headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(entry["size"]), "ETag": f'"{entry["blobId"]}"'}
        return self._send(302, b"", {**headers, "Location": f"{self.hub.url('store')}/{digest}"})

    def _store(self, path: str) -> None:
        for held in self.hub.repositories.values():
            for name, content in held.files.items():
                if sha256(content) == path.strip("/"):
                    return self._send_range(self._bytes(held, name))
        return self._refuse(404)

    def _bytes(self, held: Repository, path: str) -> bytes:
        content = held.files[path]
        return content[:-1] + bytes([content[-1] ^ 1]) if path == self.hub.faults.spoilt else content

    def _send_range(self, content: bytes) -> None:
        faults = self.hub.faults
        if self.asked.range is None or faults.without_ranges:
            return self._send(200, content, {"Accept-Ranges": "bytes"}, breakable=True)
        start = int(self.asked.range.removeprefix("bytes=").partition("-")[0])
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        return self._send(206, content[start:], headers, breakable=True)

    def _refuse(self, status: int, code: str | None = None) -> None:
        self._send(status, b"{}", {"X-Error-Code": code} if code else {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, breakable: bool = False) -> None:
        self.asked.status = status
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self._write(body, breakable)

    def _write(self, body: bytes, breakable: bool) -> None:
        faults, end = self.hub.faults, len(body)
        if breakable and faults.breaks > 0 and end > faults.break_after_bytes:
            faults.breaks -= 1
            end, self.close_connection = faults.break_after_bytes, True
        for start in range(0, end, BLOCK_BYTES):
            time.sleep(faults.pause_s)
            try:
                self.asked.sent_bytes += self.wfile.write(body[start : min(start + BLOCK_BYTES, end)])
            except OSError:  # the other side is gone
                self.close_connection = True
                return

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""
