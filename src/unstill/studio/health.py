"""What an operator looks at: is the server there, can it make clips, and how many are there."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse

from unstill.jobs.states import STATES
from unstill.studio.service import service_of


def healthz() -> Response:
    """Say that the server answers."""
    return PlainTextResponse("ok\n")


def readyz(request: Request) -> Response:
    """Say whether jobs can be taken and made, and if not, why."""
    trouble = service_of(request).find_trouble()
    return PlainTextResponse("ready\n" if trouble is None else f"{trouble}\n", status_code=200 if trouble is None else 503)


def metrics(request: Request) -> Response:
    """Give counts."""
    counts = service_of(request).store.count()
    lines = ["# HELP unstill_jobs Jobs by state.", "# TYPE unstill_jobs gauge"]
    return PlainTextResponse(
        "\n".join([*lines, *(f'unstill_jobs{{state="{state}"}} {counts.get(state, 0)}' for state in STATES), ""])
    )
