"""What `unstill batch --dry-run` says: how many clips, which pictures are broken, about how long, how much memory and room.

It runs nothing.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstill.cli import output

if TYPE_CHECKING:
    from unstill.batch.foresight import Looked
    from unstill.batch.survey import Batch, Survey
    from unstill.cli.batch import Means

MOST_SHOWN = 3  # broken pictures that are named


def tell_ahead(batch: Batch, survey: Survey, results: Path, means: Means, *, as_json: bool) -> None:
    """Say what would be done."""
    from unstill.batch.foresight import count_there, foresee_first, look_at
    from unstill.batch.ledger import Diary, count_made
    from unstill.batch.run import limit

    plan, one = foresee_first(survey.firsts, means.devices[0])
    earlier, looked = count_made(results), look_at(batch.pictures())
    clip_s = earlier.seconds / earlier.made if earlier.made else one.clip_s
    clip_bytes = earlier.bytes // earlier.made if earlier.made else one.clip_bytes
    workers, there = len(means.devices) * means.workers, 0
    if earlier.made:
        there = count_there(batch, survey, Diary(results, batch.out), means.devices[0])
    broken = round(survey.count * (1 - looked.share))
    count = max(0, survey.count - there - broken)
    together = limit({"together": one.together}, survey.count, workers, means.together)["together"]
    whole_s = one.start_s + clip_s * math.ceil(count / (1 if means.is_cluster else len(means.devices)))
    told: dict[str, Any] = {
        "clips": survey.count, "there": there, "to_make": count,
        "pictures_looked_at": looked.looked, "pictures_broken": looked.broken,
        "broken": [{"picture": picture, "message": message} for picture, message in looked.named],
        "model": plan.model.name, "first": survey.firsts[0].output, "seconds": round(whole_s, 1), "start_seconds": one.start_s,
        "together": together, "workers": None if means.is_cluster else workers, "bytes": clip_bytes * count,
        "free_bytes": free_room(batch.out), "device_bytes": one.device_bytes, "told_before": earlier.made,
    }  # fmt: skip
    if as_json:
        output.answer_json(told)
        return
    known = f"as {earlier.made} clips took before" if earlier.made else one.source
    whose = "of one worker" if means.is_cluster else "for all"
    rows = [
        ("clips", f"{count} to make of {survey.count}{f'; {there} are there already' if there else ''}"),
        ("pictures", describe_pictures(looked)),
        *((" ", f"{picture}: {message}") for picture, message in looked.named[:MOST_SHOWN]),
        ("model", f"{plan.model.name}, {means}{', if its machines are as this one' if means.is_cluster else ''}"),
        ("passes", f"up to {together} clips share each" if together > 1 else ""),
        ("time", f"about {output.show_seconds(whole_s)} {whose}, {known}; {one.start_s:g} s of it to start"),
        ("memory", "" if one.device_bytes is None else f"{output.show_bytes(one.device_bytes)} on each device"),
        ("disk", f"about {output.show_bytes(told['bytes'])}; {output.show_bytes(told['free_bytes'])} are free"),
    ]
    table = output.new_table("", "")
    for name, text in rows:
        if text:
            table.add_row(name, output.escape(text))
    output.print_parts(table)


def describe_pictures(looked: Looked) -> str:
    """Say how many pictures cannot be read, of how many that were looked at."""
    if not looked.looked:
        return "none was looked at: they are addresses"
    of = f"{'all' if looked.is_all else 'the first'} {looked.looked} whose headers were looked at"
    verb = "makes" if looked.broken == 1 else "make"
    broken = f"{looked.broken} cannot be read and {verb} no clip" if looked.broken else "none is broken"
    return f"{broken}, of {of}"


def free_room(folder: Path | None) -> int | None:
    """Say how much room is left where clips go."""
    if folder is None:
        return None
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
