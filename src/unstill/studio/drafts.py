"""What comes before a clip: pictures that are kept, plans for them, and which knobs and models there are."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse, JSONResponse
from PIL import Image

from unstill.errors import JobConflict, PictureError, RequestError
from unstill.jobs.files import Folder
from unstill.jobs.states import COMPLETED
from unstill.jobs.stills import encode, name_still
from unstill.request import PRESETS
from unstill.studio.knobs import describe_knobs
from unstill.studio.orders import MODELS, read_request
from unstill.studio.pace import LOOKED_AT, estimate_s
from unstill.studio.reading import read_fields, read_json
from unstill.studio.service import Service, service_of

SIDES = {"thumbnail": 320, "display": 1600}  # longest, in pixels
FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}  # a picture is named by its content


async def keep_picture(request: Request) -> Response:
    """Take a picture, or the last frame of a clip, and keep it for a day, or for as long as a clip names it."""
    service, given = service_of(request), await read_fields(request)
    if "last_frame_of" in given.fields:
        name = await asyncio.to_thread(keep_last_frame, service, str(given.fields["last_frame_of"]))
    else:
        name = await given.keep(service)
    return JSONResponse(await asyncio.to_thread(describe_picture, service.folder, name))


def keep_last_frame(service: Service, id: str) -> str:
    """Make a picture of the last frame of a clip, as it was before it was compressed."""
    job = service.store.get(id)
    if job.state != COMPLETED or job.output is None:
        raise JobConflict(f"The clip is {job.state}, and has no last frame yet")
    return service.folder.keep_picture(name_still(service.folder.outputs / job.output, "last").read_bytes())


def describe_picture(folder: Folder, name: str) -> dict[str, Any]:
    """Say what a kept picture is."""
    place = folder.find_picture(name)
    with Image.open(place, formats=["PNG"]) as image:
        width, height = image.size
    return {"id": name, "object": "picture", "width": width, "height": height, "bytes": place.stat().st_size}


def show_picture(request: Request, id: str, variant: str = "full") -> Response:
    """Give a kept picture, whole or small."""
    folder = service_of(request).folder
    if variant == "full":
        return FileResponse(folder.find_picture(id), media_type="image/png", headers=FOR_EVER)
    if variant not in SIDES:
        raise RequestError(f"variant must be one of full, {', '.join(SIDES)}")
    return FileResponse(find_small(folder, id, SIDES[variant]), media_type="image/jpeg", headers=FOR_EVER)


def find_small(folder: Folder, name: str, longest_px: int) -> Path:
    """Give a picture made small, which is made once."""
    whole = folder.find_picture(name)
    place = whole.with_name(f"{name}.{longest_px}.jpg")
    if not place.exists():
        with Image.open(io.BytesIO(whole.read_bytes()), formats=["PNG"]) as image:
            small = image.convert("RGB")
        small.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
        folder.publish(place, encode(small, "JPEG"))
    return place


async def make_plan(request: Request) -> Response:
    """Say what would be made of a picture, how long it takes, and what to expect."""
    service, fields = service_of(request), read_json(await request.body())
    picture = fields.pop("picture", None)
    if not isinstance(picture, str):
        raise PictureError("picture is missing", hint="the id that POST /v1/pictures gives")
    asked = read_request(fields)
    service.folder.find_picture(picture)
    async with service.planning:
        answer = await asyncio.to_thread(service.planner.ask, picture, asked.to_dict())
    if "error" in answer:
        error = answer["error"]
        told = {"type": "invalid_request_error", "param": None, **error}
        return JSONResponse({"error": told}, answer["status"])
    plan = answer["plan"]
    if plan["about_s"] is None:
        done = await asyncio.to_thread(service.store.list_jobs, limit=LOOKED_AT, states=(COMPLETED,))
        plan["about_s"] = estimate_s(plan, done)
    return JSONResponse(plan)


def list_knobs() -> Response:
    """List what can be set, with a sentence for each, and where settings may start."""
    presets = [{"name": name, "help": preset.help} for name, preset in PRESETS.items()]
    return JSONResponse({"object": "list", "data": describe_knobs(), "presets": presets})


def list_models() -> Response:
    """List the models that can be asked for, and which are here."""
    from unstill.catalog.bundled import bundled_model
    from unstill.catalog.inventory import list_models
    from unstill.request import BUNDLED

    shown = []
    for model in list_models():
        if model.name not in MODELS:
            continue
        owner = "unstill" if model.name == BUNDLED else "stabilityai"
        shown.append(
            {"id": model.name, "object": "model", "created": 0, "owned_by": owner,
             "here": model.state == "complete", "bytes": model.here_bytes or None,
             "frames": model.known.frames if model.known else bundled_model().frames, "about": model.about}
        )  # fmt: skip
    return JSONResponse({"object": "list", "data": shown})
