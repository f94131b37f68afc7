"""What `/openapi.json` says: what every route takes and answers, the knobs as they are defined, and examples of bodies.

FastAPI lists the routes and their parameters; bodies are read by our own code, so what they are is said here, and
tests/integration/test_openapi.py holds the answers of a server against it. It does not carry anything out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from unstill.jobs.states import STATES
from unstill.request import ALIASES, KNOBS
from unstill.studio.convert import FORMATS
from unstill.studio.knobs import list_schemas
from unstill.studio.orders import IGNORED, LONGEST_TITLE
from unstill.studio.shapes import STATUS, TYPES

Schema = dict[str, Any]
TEXT, WHOLE, NUMBER, FLAG, OBJECT = ({"type": kind} for kind in ("string", "integer", "number", "boolean", "object"))
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
FILE = {"type": "string", "format": "binary"}
DATA_URL = {"type": "string", "description": "A data URL of a picture; addresses are not fetched.", "pattern": "^data:image/"}
AN_ID = "video_0123456789abcdef01234567"


def say(one: Schema, text: str) -> Schema:
    """Give a schema with a sentence."""
    return {**one, "description": text}


def maybe(one: Schema) -> Schema:
    """Give a schema that null fits too."""
    return {**one, "type": [one["type"], "null"]} if "type" in one else {"anyOf": [one, {"type": "null"}]}


def many(one: Schema) -> Schema:
    """Give the schema of a list."""
    return {"type": "array", "items": one}


def only(*words: str) -> Schema:
    """Give the schema of one of some words."""
    return {"type": "string", "enum": list(words)}


def shape(parts: Mapping[str, Schema], *free: str) -> Schema:
    """Give the schema of an object with exactly these parts, of which the free ones may be missing."""
    needed = [name for name in parts if name not in free]
    return {"type": "object", "properties": dict(parts), "required": needed, "additionalProperties": False}


def ref(name: str) -> Schema:
    """Point to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def listing(one: Schema) -> Schema:
    """Give the schema of a list as clients read it."""
    return shape({"object": only("list"), "data": many(one)})


VIDEO = shape({
    "id": TEXT, "object": only("video"), "model": TEXT, "status": only(*dict.fromkeys(STATUS.values())),
    "progress": {"type": "integer", "minimum": 0, "maximum": 100}, "created_at": WHOLE, "completed_at": maybe(WHOLE),
    "expires_at": maybe(WHOLE), "seconds": say(TEXT, "How long the file plays, once that is known."), "size": TEXT,
    "error": maybe(shape({"code": TEXT, "message": TEXT})), "state": only(*STATES), "stage": TEXT, "title": TEXT,
    "picture": DIGEST, "place": say(maybe(WHOLE), "1 is made next; null if it does not wait."), "attempts": WHOLE,
    "cancelling": FLAG, "started_at": maybe(WHOLE), "preview": say(maybe(WHOLE), "It rises with every preview."),
    "seed": maybe(WHOLE), "frames": maybe(WHOLE), "fps": maybe(NUMBER), "bytes": maybe(WHOLE), "suffix": maybe(TEXT),
    "spritesheet": maybe(shape(dict.fromkeys(("columns", "rows", "width", "height", "frames"), WHOLE))),
    "moves": say(maybe(TEXT), "How the clip moves, in a sentence."), "warnings": many(TEXT), "knobs": OBJECT,
    "settled": maybe(OBJECT),
})  # fmt: skip
PLAN = shape({
    "object": only("plan"), **dict.fromkeys(("model", "engine", "device", "dtype", "memory", "size", "clip_size"), TEXT),
    "frames": WHOLE, "seconds": NUMBER, "steps": WHOLE, "seed": WHOLE,
    "crop": shape(dict.fromkeys(("left", "top", "width", "height"), NUMBER)), "needs_bytes": maybe(WHOLE),
    "has_bytes": maybe(WHOLE), "about_s": say(maybe(NUMBER), "The time that it takes; null if that is not known."),
    "warnings": many(TEXT), "notes": many(TEXT), "knobs": OBJECT,
})  # fmt: skip
KNOB = shape({
    **dict.fromkeys(("name", "group", "help", "range"), TEXT), "kind": only("whole", "number", "choice", "flag", "text"),
    "least": maybe(NUMBER), "most": maybe(NUMBER), "choices": many(TEXT), "default": {}, "aliases": many(TEXT),
})  # fmt: skip
MODEL = shape({
    "id": TEXT, "object": only("model"), "created": WHOLE, "owned_by": TEXT, "here": FLAG, "bytes": maybe(WHOLE),
    "frames": maybe(WHOLE), "about": TEXT,
})  # fmt: skip
ERROR = shape({"error": shape(
    {"message": TEXT, "type": TEXT, "code": TEXT, "param": {"type": "null"}, "hint": maybe(TEXT), "problems": many(TEXT),
     "retryable": FLAG}, "hint", "problems", "retryable")})  # fmt: skip
REFERENCE = {"oneOf": [shape({"image_url": DATA_URL}), shape({"file_id": say(DIGEST, "What POST /v1/pictures gave.")})]}


def list_fields() -> dict[str, Schema]:
    """Give what may be set of a clip: knobs by all their names, what is no knob, and what is ignored."""
    knobs = list_schemas()
    other = {
        alias: {**knobs[name], "description": f"Another tool's name of {name}."}
        for alias, name in ALIASES.items()
        if name in knobs and name not in ("size", "guidance", "loop")
    }
    parts = {
        "width": WHOLE, "height": WHOLE, "min_guidance_scale": NUMBER, "max_guidance_scale": NUMBER, "ping_pong": FLAG,
        "seconds": say({"type": "number", "minimum": 0.1, "maximum": 60}, "How long the clip plays."),
        "title": say({"type": "string", "maxLength": LONGEST_TITLE}, "A name in the list; else that of the file."),
        "priority": say({"type": "integer", "minimum": -100, "maximum": 100, "default": 0}, "Higher is made earlier."),
    }  # fmt: skip
    assert {*other, *parts, *KNOBS} >= set(ALIASES)  # every name is described
    return {**knobs, **other, **parts, **{name: {"description": f"Ignored: {why}."} for name, why in IGNORED.items()}}


def list_components() -> dict[str, Schema]:
    """Give every schema that routes point to."""
    fields = list_fields()
    page = {"has_more": FLAG, "first_id": maybe(TEXT), "last_id": maybe(TEXT)}
    order = shape({"input_reference": REFERENCE, **fields}, *fields)
    form = shape({"input_reference": FILE, **fields}, *fields)
    settings = {name: one for name, one in fields.items() if name in KNOBS or name in ("seconds", "priority")}
    preset = shape({"name": TEXT, "help": TEXT})
    return {
        "Video": VIDEO, "Videos": shape({**listing(ref("Video"))["properties"], **page}), "Queue": listing(ref("Video")),
        "Deleted": shape({"id": TEXT, "object": only("video.deleted"), "deleted": FLAG}), "Order": order, "OrderForm": form,
        "Picture": shape({"id": DIGEST, "object": only("picture"), "width": WHOLE, "height": WHOLE, "bytes": WHOLE}),
        "PictureJson": {"oneOf": [shape({"image_url": DATA_URL}), shape({"last_frame_of": say(TEXT, "The id of a clip.")})]},
        "PictureForm": shape({"picture": FILE}), "Question": shape({"picture": DIGEST, **settings}, *settings), "Plan": PLAN,
        "Knobs": shape({**listing(KNOB)["properties"], "presets": many(preset)}), "Models": listing(MODEL), "Error": ERROR,
        "Session": shape({"needs_key": FLAG, "is_open": FLAG}), "Key": shape({"key": TEXT}), "Report": OBJECT,
        "Move": shape({"before": say(maybe(TEXT), "The id of a clip that waits; null for the end.")}),
    }  # fmt: skip


def send(name: str, example: Schema | None = None, form: str | None = None) -> Schema:
    """Describe a body: JSON, or a form."""
    json = {"schema": ref(name), **({"example": example} if example else {})}
    content = {"application/json": json} | ({"multipart/form-data": {"schema": ref(form)}} if form else {})
    return {"requestBody": {"required": True, "content": content}}


def answer(name: str, *others: int, status: int = 200) -> Schema:
    """Describe answers: JSON, and refusals by their statuses."""
    good = {"description": "It is so.", "content": {"application/json": {"schema": ref(name)}}}
    return {"responses": {str(status): good, **refuse(*others)}}


def answer_bytes(*kinds: str, others: tuple[int, ...] = (), part: bool = False) -> Schema:
    """Describe answers that are files, or texts."""
    content = {kind: {"schema": FILE if "/" in kind and not kind.startswith("text/") else TEXT} for kind in kinds}
    good = {"200": {"description": "It is so.", "content": content}}
    good |= {"206": {"description": "A part of it.", "content": content}} if part else {}
    return {"responses": {**good, **refuse(*others)}}


def refuse(*statuses: int) -> dict[str, Schema]:
    """Describe refusals; some every route may answer with."""
    body = {"application/json": {"schema": ref("Error")}}
    plain = {"text/plain": {"schema": TEXT}}  # of files, by Starlette
    return {
        str(status): {"description": REFUSALS[status], "content": plain if status == 416 else body}
        for status in (*statuses, 401, 403, 413, 421)
    }


REFUSALS = {
    400: "The body cannot be read.", 401: "A key is needed.", 403: "Another page may not use this server.",
    404: "There is no such thing.",
    408: "The request took too long to arrive.", 409: "It does not go with what is there.", 410: "It is no longer kept.",
    413: "It is too large.", 416: "There is no such part.", 421: "The server does not go by that name.",
    422: "It cannot be what was asked for: all problems are listed.", 429: "Too many wait: try again later.",
    503: "It cannot be done now.", 507: "The disk is full.",
}  # fmt: skip
MEDIA = tuple(dict.fromkeys(TYPES.values()))
EXAMPLE = {"input_reference": {"file_id": "0" * 64}, "model": "pocket", "motion": 140, "seed": 7}
DONE = {"204": {"description": "It is done."}}
ORDERED = (400, 404, 408, 409, 422, 429, 503, 507)
ROUTES: dict[tuple[str, str], Schema] = {
    ("get", "/v1/session"): answer("Session"),
    ("post", "/v1/session"): send("Key", {"key": "a-long-secret"}) | {"responses": {**DONE, **refuse(408, 422)}},
    ("delete", "/v1/session"): {"responses": {**DONE, **refuse()}},
    ("post", "/v1/pictures"): send("PictureJson", {"last_frame_of": AN_ID}, "PictureForm") | answer("Picture", *ORDERED),
    ("get", "/v1/pictures/{id}"): answer_bytes("image/png", "image/jpeg", others=(404, 416, 422, 503), part=True),
    ("post", "/v1/plan"): send("Question", {"picture": "0" * 64, "motion": 140}) | answer("Plan", 408, 422, 503),
    ("get", "/v1/knobs"): answer("Knobs"),
    ("get", "/v1/models"): answer("Models"),
    ("get", "/v1/queue"): answer("Queue"),
    ("post", "/v1/videos"): send("Order", EXAMPLE, "OrderForm") | answer("Video", *ORDERED),
    ("post", "/v1/videos/sync"): send("Order", EXAMPLE, "OrderForm") | answer_bytes(*MEDIA, others=ORDERED),
    ("get", "/v1/videos"): answer("Videos", 404, 422),
    ("get", "/v1/videos/{id}"): answer("Video", 404),
    ("delete", "/v1/videos/{id}"): answer("Deleted", 404, 409),
    ("get", "/v1/videos/{id}/content"): answer_bytes(*MEDIA, others=(404, 409, 410, 416, 422), part=True),
    ("get", "/v1/videos/{id}/preview"): answer_bytes("image/webp", others=(404,)),
    ("get", "/v1/videos/{id}/report"): answer("Report", 404, 409),
    ("post", "/v1/videos/{id}/move"): send("Move", {"before": None}) | answer("Video", 404, 408, 409, 422),
    ("post", "/v1/videos/{id}/cancel"): answer("Video", 404),
    ("post", "/v1/videos/{id}/retry"): answer("Video", 404, 409),
    ("get", "/v1/videos/{id}/events"): answer_bytes("text/event-stream", others=(404,)),
    ("get", "/v1/events"): answer_bytes("text/event-stream"),
    ("get", "/healthz"): answer_bytes("text/plain"),
    ("get", "/readyz"): {"responses": {status: {"description": said, "content": {"text/plain": {"schema": TEXT}}}
                                       for status, said in (("200", "It can."), ("503", "No worker runs."))} | refuse()},
    ("get", "/metrics"): answer_bytes("text/plain"),
}  # fmt: skip
ROUTES["delete", "/v1/videos/{id}"]["responses"]["202"] = ROUTES["delete", "/v1/videos/{id}"]["responses"]["200"]
PARAMETERS: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    "order": {**only("asc", "desc"), "default": "desc"},
    "after": say(TEXT, "The id of the last clip of the page before."), "q": say(TEXT, "Words of titles, models and knobs."),
    "state": say(TEXT, f"Some of {', '.join(STATES)}, with commas between."), "format": only(*FORMATS),
}  # fmt: skip
HEADERS = {
    "/v1/videos": ("post", "Idempotency-Key", "The same key and the same request are one job."),
    "/v1/videos/sync": ("post", "Idempotency-Key", "The same key and the same request are one job."),
    "/v1/videos/{id}/events": ("get", "Last-Event-ID", "The id of the last event that came."),
    "/v1/events": ("get", "Last-Event-ID", "The id of the last event that came."),
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Describe all routes; once, as they do not change."""
    if app.openapi_schema is None:
        said = "Clips of pictures, in the shape of /v1/videos that many clients speak. docs/howto/serve.md says more."
        found = get_openapi(title=app.title, version=app.version, description=said, routes=app.routes)
        for path, methods in found["paths"].items():
            for method, operation in methods.items():
                describe_route(method, path, operation)
        key = {"type": "http", "scheme": "bearer", "description": "The key that the server was started with, if any."}
        found["components"] = {"schemas": list_components(), "securitySchemes": {"key": key}}
        found["security"] = [{}, {"key": []}]
        app.openapi_schema = found
    return app.openapi_schema


def describe_route(method: str, path: str, operation: dict[str, Any]) -> None:
    """Put what is known of a route into what FastAPI says of it."""
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "variant":
            parameter["schema"] = (
                only("video", "thumbnail", "spritesheet") if "videos" in path else only("full", "thumbnail", "display")
            )
        elif parameter["name"] in PARAMETERS:
            parameter["schema"] = PARAMETERS[parameter["name"]]
    if path in HEADERS and HEADERS[path][0] == method:
        _, name, said = HEADERS[path]
        header = {"name": name, "in": "header", "required": False, "schema": TEXT, "description": said}
        operation.setdefault("parameters", []).append(header)
    operation |= ROUTES.get((method, path), {})
