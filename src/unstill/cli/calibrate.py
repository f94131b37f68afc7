"""`unstill calibrate`: measure how much a model moves for each setting of its motion knob, and keep the curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unstill.cli import options, output
from unstill.cli.help import Command

if TYPE_CHECKING:
    from unstill.calibrate import Sample
    from unstill.calibration import Curve


@click.command(cls=Command)
@click.argument("model", metavar="MODEL")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(), metavar="PICTURE...")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, metavar="N", help="Seeds for each picture. [default: 3]")
@click.option("--motions", metavar="N,N…", help="Settings to measure.\n[default: 10,20,40,60,90,127,180,255]")
@click.option("--device", metavar="NAME", help="Where to run: auto, cpu, mps, cuda or cuda:N. [default: auto]")
@click.option(
    "--out", "-o", type=click.Path(), metavar="FILE",
    help="Where the curve goes, a JSON file.\n[default: where --want-motion looks for it]",
)  # fmt: skip
@options.as_json
@options.quiet
@options.debug
def calibrate(
    model: str,
    pictures: tuple[str, ...],
    seeds: int,
    motions: str | None,
    device: str | None,
    out: str | None,
    **manner: bool,
) -> None:
    """Measure how much MODEL moves for each setting of --motion.

    Each PICTURE is made into drafts with every seed and setting, and their motion is measured. The curve is kept, and
    --want-motion begins its search there.
    """
    from unstill.calibrate import MOTIONS
    from unstill.calibrate import calibrate as measure
    from unstill.calibration import place_of
    from unstill.request import Request

    request = Request.from_mapping({"model": model, "device": device})

    def watch(sample: Sample, number: int, total: int) -> None:
        if not (manner["quiet"] or manner["as_json"]):
            what = f"motion {sample.motion}, seed {sample.seed}, {sample.picture}: {sample.motion_px:.2f} px/frame"
            output.say(f"{number}/{total}  {what}", style="dim")

    settings = MOTIONS if motions is None else read_motions(motions)
    curve, samples = measure(request, [Path(picture) for picture in pictures], range(seeds), settings, watch)
    place = place_of(curve.model) if out is None else Path(out)
    keep(curve, place)
    if manner["as_json"]:
        output.answer_json({"path": place, "curve": curve.to_dict(), "samples": samples})
        return
    table = output.new_table("motion", "px/frame", "a tenth is below", "a tenth is above")
    for point in curve.points:
        table.add_row(str(point.motion), *(f"{px:.2f}" for px in (point.median_px, point.low_px, point.high_px)))
    output.print_parts(table)
    output.answer(str(place))


def read_motions(text: str) -> list[int]:
    """Read settings with commas between them."""
    from unstill.errors import RequestError
    from unstill.request import KNOBS

    try:
        return [KNOBS["motion"].read(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise RequestError(f"motions {error}", hint="--motions 40,80,127,180") from None


def keep(curve: Curve, place: Path) -> None:
    """Write the curve where it is looked for."""
    from unstill.errors import WriteError
    from unstill.write import publish

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{place.parent} cannot be made: {error.strerror}") from None
    publish(place.resolve(), (json.dumps(curve.to_dict(), indent=1) + "\n").encode())
