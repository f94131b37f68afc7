"""The page: static files that come with the package, and nothing from anywhere else."""

from __future__ import annotations

from pathlib import Path

from fastapi import Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FRESH = {"cache-control": "no-cache"}  # asked for anew each time, and answered with 304 where nothing changed


def show_page() -> Response:
    """Give the page."""
    return show_file("index.html")


def show_file(name: str) -> Response:
    """Give one of the page's files."""
    place = next((file for file in FOLDER.glob("*") if file.name == name and file.suffix in TYPES), None)
    if place is None:
        raise HTTPException(404, "There is no such file")
    return FileResponse(place, media_type=TYPES[place.suffix], headers=FRESH)
