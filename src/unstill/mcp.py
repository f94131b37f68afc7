"""Two tools for assistants that speak the Model Context Protocol: ask for a clip, and look how far it is.

Messages come as lines of JSON on standard input and go out on standard output. A running `unstill serve` makes the clips, so
that they outlive the assistant. Pictures alone are read; a file is written only where it is asked for, and none is yet.
It speaks the versions of the protocol with a handshake, and the one without. It does not know how clips are made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import unstill
from unstill.client import Client, Video
from unstill.client.transfer import read_picture
from unstill.errors import JobConflict, PictureError, RequestError, UnstillError, WriteError
from unstill.formats import SUFFIXES
from unstill.studio.knobs import list_schemas
from unstill.studio.pictures import read_data_url

HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")  # the newest first
STATELESS = ("2026-07-28",)
META = "io.modelcontextprotocol/"
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, BAD_VERSION = -32700, -32600, -32601, -32602, -32022
SAID = ("id", "state", "stage", "progress", "title", "model", "size", "seconds", "seed", "moves", "error")


class Refused(Exception):
    """A message that is none of the protocol's."""

    def __init__(self, code: int, message: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.told = {"code": code, "message": message, **({"data": data} if data else {})}


class Assistant:
    """What an assistant is answered."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.tools: dict[str, Callable[..., dict[str, Any]]] = {"create_clip": self.create_clip, "get_clip": self.get_clip}

    def answer(self, line: str) -> str | None:
        """Answer a line, unless it only tells something."""
        id: Any = None
        try:
            message = read_message(line)
            id = message.get("id")
            if id is None:
                return None
            told = {"result": self.act(message["method"], message.get("params") or {})}
        except Refused as refused:
            told = {"error": refused.told}
        return json.dumps({"jsonrpc": "2.0", "id": id, **told})

    def act(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        version = read_version(params)
        shapes = {"resultType": "complete"} if version else {}
        lasting = {**shapes, "ttlMs": 0, "cacheScope": "private"} if version else {}
        if method == "initialize":
            asked = params.get("protocolVersion")
            return {"protocolVersion": asked if asked in HANDSHAKE else HANDSHAKE[0], **describe_server(), "serverInfo": NAME}
        if method == "server/discover":
            return {"supportedVersions": list(STATELESS), **describe_server(), **lasting, "_meta": {f"{META}serverInfo": NAME}}
        if method == "ping":
            return shapes
        if method == "tools/list":
            return {"tools": list_tools(), **lasting}
        if method == "tools/call":
            return {**self.call(params.get("name"), params.get("arguments") or {}), **shapes}
        raise Refused(NO_METHOD, f"There is no method {method}")

    def call(self, name: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Use a tool; what goes wrong is told to the assistant, who may do better."""
        tool = self.tools.get(str(name))
        if tool is None or not isinstance(arguments, dict):
            raise Refused(INVALID_PARAMS, f"There is no tool {name}, or its arguments are no object")
        try:
            found = tool(arguments)
        except UnstillError as error:
            return {"content": [{"type": "text", "text": str(error)}], "isError": True}
        text = json.dumps(found, ensure_ascii=False)
        return {"content": [{"type": "text", "text": text}], "structuredContent": found, "isError": False}

    def create_clip(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a clip."""
        knobs = {name: value for name, value in given.items() if name != "picture"}
        return tell(self.client.create(find_picture(given.get("picture")), **knobs))

    def get_clip(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Say how far a clip is, where it can be fetched, and fetch it if that is asked for."""
        id, place = given.get("id"), given.get("save_to")
        if not isinstance(id, str) or set(given) - {"id", "save_to"}:
            raise RequestError("id must be the id of a clip, as create_clip gave it; save_to may be given besides")
        target = check_target(place) if place else None
        video = self.client.get(id)
        told = tell(video)
        if target is not None and not video.is_completed:
            raise JobConflict(f"The clip is {video.state}, {video.progress}% done: nothing is saved", hint="ask again later")
        if target is not None:
            told["file"] = str(self.client.download(id, target, SUFFIXES[target.suffix.lower()]))
        if video.is_completed:
            told["url"] = f"{self.client.url}/v1/videos/{id}/content"
        return told


NAME = {"name": "unstill", "version": unstill.__version__}


def serve(client: Client, lines: TextIO, out: TextIO) -> None:
    """Answer messages until no more come."""
    assistant = Assistant(client)
    for line in lines:
        answer = assistant.answer(line) if line.strip() else None
        if answer is not None:
            print(answer, file=out, flush=True)


def read_message(line: str) -> dict[str, Any]:
    """Read a message: a request, or one that only tells something."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise Refused(PARSE_ERROR, "This is no JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("params", {}), (dict, type(None))):
        raise Refused(INVALID_REQUEST, "This is no message: one object a line, with params by name")
    if not isinstance(message.get("method"), str):
        raise Refused(INVALID_REQUEST, "This is no request: a method is missing")
    return message


def read_version(params: Mapping[str, Any]) -> str | None:
    """Give the version that a request without a handshake names."""
    meta = params.get("_meta")
    version = meta.get(f"{META}protocolVersion") if isinstance(meta, dict) else None
    if version is not None and version not in STATELESS:
        data = {"supported": [*STATELESS, *HANDSHAKE], "requested": version}
        raise Refused(BAD_VERSION, f"The version {version} is not spoken here", data)
    return version


def describe_server() -> dict[str, Any]:
    """Say what there is."""
    said = (
        "create_clip answers at once with an id; get_clip with that id tells how far it is, and saves the file when it is done."
    )
    return {"capabilities": {"tools": {}}, "instructions": said}


def list_tools() -> list[dict[str, Any]]:
    """Describe both tools; the knobs are those of the server."""
    picture = {"type": "string", "description": "The absolute path of a picture file, or a data URL of one."}
    title = {"type": "string", "description": "A name for the clip in the queue."}
    id = {"type": "string", "description": "The id that create_clip gave."}
    save = {"type": "string", "description": "Where to save the finished clip: an absolute path that ends in "
            f"{', '.join(filter(None, SUFFIXES))}; no file may be there yet."}  # fmt: skip
    return [
        {
            "name": "create_clip", "title": "Animate a picture",
            "description": "Turn a picture into a short moving clip. Answers at once with an id; the clip is made meanwhile.",
            "inputSchema": {"type": "object", "properties": {"picture": picture, "title": title, **list_schemas()},
                            "required": ["picture"], "additionalProperties": False},
        },
        {
            "name": "get_clip", "title": "Look at a clip",
            "description": "Say how far a clip is and where its file can be fetched; with save_to, save it there.",
            "inputSchema": {"type": "object", "properties": {"id": id, "save_to": save}, "required": ["id"],
                            "additionalProperties": False},
        },
    ]  # fmt: skip


def tell(video: Video) -> dict[str, Any]:
    """Say of a clip what an assistant needs."""
    told = {name: getattr(video, name) for name in SAID}
    return {name: value for name, value in told.items() if value not in (None, "")} | {"warnings": list(video.warnings)}


def find_picture(given: object) -> bytes:
    """Read a picture and nothing else: what is none is not sent anywhere, and nothing of it is told."""
    from unstill.formats.picture import HEAD_BYTES, READERS, recognise

    if not isinstance(given, str) or not given:
        raise PictureError("picture must be the absolute path of a picture file, or a data URL of one")
    if given.startswith("data:"):
        return read_data_url(given)
    data = read_picture(check_path(given))
    try:
        recognise(data[:HEAD_BYTES])
    except PictureError:
        raise PictureError(f"{given} is no picture that can be read: {', '.join(READERS)}") from None
    return data


def check_target(given: object) -> Path:
    """Take a place for a clip where nothing is yet."""
    path = check_path(given)
    if SUFFIXES.get(path.suffix.lower(), "png") == "png":
        raise WriteError(f"{path} must end in {', '.join(filter(None, SUFFIXES))}")
    if os.path.lexists(path):
        raise WriteError(f"{path} is there already", hint="choose another name")
    return path


def check_path(given: object) -> Path:
    """Take an absolute path; an assistant does not know in which folder this process is."""
    try:
        path = Path(str(given)).expanduser()
    except RuntimeError:  # of a user that is none
        raise PictureError(f"{given} is no path here") from None
    if not isinstance(given, str) or not path.is_absolute() or "\0" in given:
        raise PictureError(f"{given} must be an absolute path")
    return path
