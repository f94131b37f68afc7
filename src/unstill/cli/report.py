"""`unstill report`: how a clip moves, what is wrong with it, and a sheet that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.request import KNOBS

if TYPE_CHECKING:
    from unstill.artifacts import Measures, Verdict
    from unstill.values import Arrow


@click.command(cls=Command)
@options.clip_file
@click.option("--out", "-o", type=click.Path(), metavar="FILE", help="Draw a contact sheet, a PNG: frames, motion, curves.")
@options.as_json
@options.debug
def report(file: str, out: str | None, as_json: bool, debug: bool) -> None:
    """Measure how a clip moves and flickers, and say what is wrong with it.

    FILE is a clip of any origin: MP4, WebM, GIF, WebP, APNG, or a folder of numbered PNG.
    """
    import torch

    from unstill.errors import RequestError
    from unstill.formats.frames import read_frames
    from unstill.measure.clip import measure_clip, to_frames
    from unstill.measure.verdicts import describe_motion, judge, judge_asked

    if out is not None and not out.lower().endswith(".png"):
        raise RequestError(f"The sheet is a PNG, and {out} is not named like one", hint="-o sheet.png")
    if out is not None and Path(out).exists() and Path(file).exists() and Path(out).samefile(file):
        raise RequestError("The sheet would replace the clip itself", hint="give it another name")
    frames, probed = read_frames(Path(file))
    if len(frames) < 2:
        raise RequestError(f"{file} has one frame, and motion takes two")
    camera, arrows = read_asked(probed.recipe)
    found = measure_clip(to_frames(torch.from_numpy(frames)), points=[(arrow.x, arrow.y) for arrow in arrows])
    moves = describe_motion(found, tell_asked(probed.recipe), probed.play_fps)
    forgiven = {"still"} if wants_still(probed.recipe) else set()
    verdicts = tuple(verdict for verdict in judge(found, probed.play_fps) if verdict.name not in forgiven)
    verdicts += judge_asked(found, camera, [(arrow.dx, arrow.dy) for arrow in arrows])
    if out is not None:
        facts = f"{len(frames)} frames of {probed.size}, {probed.duration_s:.1f} s"
        draw_sheet(Path(out), frames, (Path(file).name, facts, moves), (found, verdicts))
    if as_json:
        output.answer_json({"path": file, "moves": moves, "measures": found, "verdicts": verdicts, "sheet": out})
        return
    output.answer(moves)
    table = output.new_table("", "")
    for name, value in (*describe_measures(found, probed.play_fps), *describe_verdicts(verdicts)):
        table.add_row(name, output.escape(value))
    output.print_parts(table)
    if out is not None:
        output.say(f"sheet in {out}", style="dim")


def tell_asked(recipe: dict[str, Any] | None) -> str:
    """Say what motion the recipe of a clip asked for, if it has one."""
    knobs = (recipe or {}).get("knobs", {})
    motion, camera = knobs.get("motion"), knobs.get("camera", "auto")
    if not isinstance(motion, int) or camera not in KNOBS["camera"].choices:  # the file may be anyone's
        return ""
    return f"asked: motion {motion}" + (f", camera {camera}" if camera != "auto" else "")


def read_asked(recipe: dict[str, Any] | None) -> tuple[str, tuple[Arrow, ...]]:
    """Read which camera and which arrows the recipe of a clip asked for; the file may be anyone's."""
    knobs = (recipe or {}).get("knobs", {})
    camera, move = knobs.get("camera", "auto"), knobs.get("move")
    try:
        arrows = KNOBS["move"].read(move).each if isinstance(move, str) else ()
    except ValueError:
        arrows = ()
    return (camera if camera in KNOBS["camera"].choices else "auto"), arrows


def wants_still(recipe: dict[str, Any] | None) -> bool:
    """Say whether a clip was meant to stand still."""
    from unstill.takes import WANTED
    from unstill.takes import wants_still as is_little

    wanted = (recipe or {}).get(WANTED)
    return isinstance(wanted, (int, float)) and is_little(wanted)


def draw_sheet(place: Path, frames: Any, words: tuple[str, str, str], judged: tuple[Measures, tuple[Verdict, ...]]) -> None:
    """Draw the contact sheet and write it, whole or not at all."""
    import io

    from unstill.contact import Contact, draw_contact
    from unstill.write import publish

    buffer = io.BytesIO()
    draw_contact(frames, Contact(*words, *judged)).save(buffer, "PNG", optimize=True)
    publish(place.resolve(), buffer.getvalue())


def describe_measures(found: Measures, play_fps: float) -> list[tuple[str, str]]:
    """Say row by row what was measured."""
    m = found
    parts = [
        f"pan {m.pan_x_px:+z.1f}, {m.pan_y_px:+z.1f} px",
        f"zoom {m.zoom_percent:+z.2f} %",
        f"roll {m.roll_degrees:+z.2f}°",
    ]
    light = f"steps of {m.flicker_greys:.1f} grey levels, the largest {m.flash_greys:.1f}, {m.fade_greys:+z.2f} of them steady"
    kept = f"sharpness {m.sharpness:.0%}, contrast {m.contrast:.0%}, colour {m.saturation:.0%} of the first frame's"
    motion = f"{m.motion_px:.2f} ± {m.motion_spread_px:.2f} px/frame at 1024x576, {m.static_share:.0%} stands still"
    rate = f"; {m.motion_px * play_fps:.1f} px/s at {play_fps:g} fps" if play_fps else ""
    return [
        ("motion", motion + rate),
        ("camera", f"{m.camera_px:.2f} px/frame: " + ", ".join(parts) + " a frame"),
        ("objects", f"{m.objects_px:.2f} px/frame beyond the camera"),
        ("light", light),
        ("at the end", kept),
        ("borders", f"band of {m.band_percent:g} %" if m.band_percent else "clean"),
    ]


def describe_verdicts(verdicts: tuple[Verdict, ...]) -> list[tuple[str, str]]:
    """Say row by row what is wrong and what helps."""
    from unstill.measure.verdicts import LOOKED_FOR

    nothing = [("verdict", f"nothing wrong; looked for {LOOKED_FOR}")]
    return [(verdict.name, f"{verdict.text}. Try: {verdict.cure}") for verdict in verdicts] or nothing
