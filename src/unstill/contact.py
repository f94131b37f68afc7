"""A contact sheet: one picture that shows a clip's frames, how they move, curves over time, and what is wrong with it.

It does not know files, requests or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from unstill.artifacts import Measures, Verdict
from unstill.measure.clip import to_frames
from unstill.measure.flow import shrink, track
from unstill.measure.motion import doubt_camera, fill, fit_camera, settle
from unstill.measure.verdicts import LOOKED_FOR

if TYPE_CHECKING:
    from unstill.artifacts import Pixels

WIDTH, MARGIN, GAP = 1600, 40, 16
SHOWN, ACROSS = 8, 4  # frames
ARROWS = 9  # across a frame
LONGEST_PX = 34.0  # of an arrow on the sheet
PAPER, INK, FAINT, LINE = "#ffffff", "#1b1f24", "#6a737d", "#d9dee3"
GOOD, BAD = "#1a7f4b", "#c2410c"
COLOURS = ("#2563eb", "#ea580c", "#16a34a")
CURVES_HIGH = 190
ROOM = 8  # px on the sheet between a fault and its box
LONGEST_TEXT = 240  # letters; no line of the sheet holds more

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, eq=False)
class Contact:
    """What the sheet tells beside the pictures."""

    title: str
    facts: str
    moves: str
    found: Measures
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Curves:
    """One panel: lines over time that share a unit."""

    title: str
    lines: tuple[tuple[str, tuple[float, ...]], ...]
    frames: int  # in the clip
    least_span: float  # a panel never shows less than this, so that noise does not look like drama


def draw_contact(frames: Pixels, contact: Contact) -> Image.Image:
    """Draw the sheet."""
    numbers = choose_frames(len(frames), [verdict.frame - 1 for verdict in contact.verdicts if verdict.frame])
    wide = (WIDTH - 2 * MARGIN - (ACROSS - 1) * GAP) // ACROSS
    high = min(2 * wide, max(MARGIN, round(wide * frames.shape[1] / frames.shape[2])))  # a strip is shown squeezed
    rows = -(-len(numbers) // ACROSS)
    head, lines = 150, max(2, len(contact.verdicts))
    height = head + rows * (high + GAP) + 40 + CURVES_HIGH + 80 + 34 * lines + MARGIN
    sheet = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (MARGIN, 34), contact.title, 22, FAINT)
    _write(draw, (MARGIN, 64), contact.moves[:1].upper() + contact.moves[1:], 30, INK)
    fastest = _draw_frames(sheet, frames, numbers, (wide, high, head))
    _draw_boxes(sheet, contact.verdicts, numbers, (wide, high, head))
    _write(draw, (MARGIN, 112), f"{contact.facts}; the longest arrow is {fastest:.1f} px a frame at 1024x576", 20, FAINT)
    top = head + rows * (high + GAP) + 16
    _draw_curves(draw, list_curves(contact.found), top)
    _write_verdicts(draw, contact.verdicts, top + CURVES_HIGH + 70)
    return sheet


def choose_frames(count: int, wanted: Sequence[int] = ()) -> list[int]:
    """Choose frames that are spread over the clip, the first and the last among them, and all that are wanted."""
    shown = min(SHOWN, count)
    numbers = [round(n * (count - 1) / max(shown - 1, 1)) for n in range(shown)]
    for number in wanted:
        if number not in numbers:  # it takes the place of the one nearest to it that is free
            free = [n for n in range(1, shown - 1) if numbers[n] not in wanted]
            numbers[min(free, key=lambda n: abs(numbers[n] - number))] = number
    return numbers


def list_curves(found: Measures) -> list[Curves]:
    """Say which curves are drawn."""
    curve, steady = found.curves, ("sharpness", "contrast", "saturation")
    count = len(curve["light_greys"])
    parts = tuple((name, curve[f"{name}_px"]) for name in ("camera", "objects", "motion"))  # the whole is drawn last, on top
    return [
        Curves("motion, px a frame", parts, count, 1.0),
        Curves("light, grey levels of 255", (("light", curve["light_greys"]),), count, 10.0),
        Curves("against the first frame", tuple((name, curve[name]) for name in steady), count, 0.4),
    ]


def _draw_frames(sheet: Image.Image, frames: Pixels, numbers: list[int], place: tuple[int, int, int]) -> float:
    """Paste frames with arrows; return the motion that the longest arrow stands for."""
    wide, high, top = place
    flows = [follow(frames, number) for number in numbers]
    fastest = max(float(np.percentile(np.hypot(*np.moveaxis(flow, -1, 0)), 95)) for flow in flows)
    for index, (number, flow) in enumerate(zip(numbers, flows, strict=True)):
        left = MARGIN + index % ACROSS * (wide + GAP)
        down = top + index // ACROSS * (high + GAP)
        frame = Image.fromarray(frames[number]).resize((wide, high), Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(frame)
        _draw_arrows(draw, flow * (LONGEST_PX / max(fastest, 0.25)), (wide, high))
        draw.rectangle((0, 0, 44, 26), fill=INK)
        draw.text((8, 3), f"{number + 1}", font=ImageFont.load_default(18), fill=PAPER)
        sheet.paste(frame, (left, down))
    return fastest


def _draw_boxes(sheet: Image.Image, verdicts: tuple[Verdict, ...], numbers: list[int], place: tuple[int, int, int]) -> None:
    """Draw a box about each place that a verdict is of, with its name."""
    wide, high, top = place
    draw = ImageDraw.Draw(sheet)
    for verdict in verdicts:
        if verdict.frame is None or verdict.box is None:
            continue
        index = numbers.index(verdict.frame - 1)
        left, down = MARGIN + index % ACROSS * (wide + GAP), top + index // ACROSS * (high + GAP)
        x, y, right, bottom = (share * side for share, side in zip(verdict.box, (wide, high) * 2, strict=True))
        x, y = max(0.0, min(x - ROOM, wide - 3 * ROOM)), max(0.0, min(y - ROOM, high - 3 * ROOM))
        right, bottom = min(wide - 1.0, max(right + ROOM, x + 3 * ROOM)), min(high - 1.0, max(bottom + ROOM, y + 3 * ROOM))
        draw.rectangle((left + x, down + y, left + right, down + bottom), outline=PAPER, width=5)
        draw.rectangle((left + x + 1, down + y + 1, left + right - 1, down + bottom - 1), outline=BAD, width=3)
        at = (left + x, down + (y - 20 if y > 20 else min(bottom, high - 20.0)))
        draw.rectangle((*at, at[0] + 14 + draw.textlength(verdict.name, font=ImageFont.load_default(16)), at[1] + 20), fill=BAD)
        _write(draw, (at[0] + 6, at[1]), verdict.name, 16, PAPER)


def follow(frames: Pixels, number: int) -> np.ndarray:
    """Give the flow to the next frame, of the last one from the frame before, on a coarse grid, [rows, columns, 2].

    Where nothing can be seen to move, on a plain sky, it is the camera's, as it is in the numbers.
    """
    first = min(number, len(frames) - 2)
    small = shrink(to_frames(torch.from_numpy(frames[first : first + 2])))
    flow = track(small)
    flow, camera = settle(flow, doubt_camera(fit_camera(flow), small, flow), small)
    rows = max(2, round(ARROWS * frames.shape[1] / frames.shape[2]))
    return torch.nn.functional.adaptive_avg_pool2d(fill(flow, camera), (rows, ARROWS))[0].permute(1, 2, 0).numpy()


def _draw_arrows(draw: ImageDraw.ImageDraw, ways: np.ndarray, size: tuple[int, int]) -> None:
    wide, high = size
    rows, columns = ways.shape[:2]
    for row in range(rows):
        for column in range(columns):
            x, y = (column + 0.5) * wide / columns, (row + 0.5) * high / rows
            dx, dy = (float(part) for part in ways[row, column])
            length = (dx**2 + dy**2) ** 0.5
            if length > LONGEST_PX:
                dx, dy, length = dx / length * LONGEST_PX, dy / length * LONGEST_PX, LONGEST_PX
            if length < 2:
                draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill="#ffffff", outline="#00000080")
                continue
            _draw_arrow(draw, (x, y), (dx, dy), length)


def _draw_arrow(draw: ImageDraw.ImageDraw, start: tuple[float, float], way: tuple[float, float], length: float) -> None:
    (x, y), (dx, dy) = start, way
    end_x, end_y, ux, uy = x + dx, y + dy, dx / length, dy / length
    head = min(8.0, 0.5 * length)
    wings = [(end_x - head * (ux + side * 0.5 * uy), end_y - head * (uy - side * 0.5 * ux)) for side in (1, -1)]
    for colour, width in (("#000000", 4), ("#ffe14d", 2)):  # seen on light and on dark
        draw.line((x, y, end_x, end_y), fill=colour, width=width)
        for wing in wings:
            draw.line((end_x, end_y, *wing), fill=colour, width=width)


def _draw_curves(draw: ImageDraw.ImageDraw, panels: list[Curves], top: int) -> None:
    wide = (WIDTH - 2 * MARGIN - 2 * 2 * GAP) // len(panels)
    for index, panel in enumerate(panels):
        left = MARGIN + index * (wide + 2 * GAP)
        _write(draw, (left, top), panel.title, 20, INK)
        _draw_panel(draw, panel, (left, top + 34, wide, CURVES_HIGH - 34))


def _draw_panel(draw: ImageDraw.ImageDraw, panel: Curves, place: tuple[int, int, int, int]) -> None:
    left, top, wide, high = place
    low, span = choose_span(panel)
    for share in (0.0, 0.5, 1.0):
        y = top + high * (1 - share)
        draw.line((left + 54, y, left + wide, y), fill=LINE)
        _write(draw, (left, y - 10), f"{low + span * share:.3g}", 16, FAINT)
    at, step = left + 54.0, (wide - 54) / max(panel.frames - 1, 1)
    last: Font = ImageFont.load_default(16)
    draw.text((left + wide, top + high + 4), f"frame {panel.frames}", font=last, fill=FAINT, anchor="ra")
    for (name, values), colour in zip(panel.lines, COLOURS, strict=False):
        before = panel.frames - len(values)  # what is between two frames is drawn at the second
        points = [(at_frame(left, step, n + before), top + high * (1 - (value - low) / span)) for n, value in enumerate(values)]
        draw.line(points, fill=colour, width=3, joint="curve")
        if len(points) == 1:
            draw.ellipse((points[0][0] - 4, points[0][1] - 4, points[0][0] + 4, points[0][1] + 4), fill=colour)
        draw.rectangle((at, top + high + 13, at + 14, top + high + 17), fill=colour)
        _write(draw, (at + 20, top + high + 4), name, 16, FAINT)
        at += 40 + 9.5 * len(name)


def at_frame(left: int, step: float, number: int) -> float:
    """Say where a frame is on a panel, from left to right."""
    return left + 54 + number * step


def choose_span(panel: Curves) -> tuple[float, float]:
    """Choose what a panel shows: all values, from 0 where that is near, and never too little."""
    values = [value for _, line in panel.lines for value in line]
    low, high = min(values), max(values)
    low = 0.0 if 0 <= low < 0.5 * max(high, panel.least_span) else low
    missing = panel.least_span - (high - low)
    if missing > 0:
        low, high = (low, high + missing) if low == 0 else (low - missing / 2, high + missing / 2)
    return low, high - low


def _write_verdicts(draw: ImageDraw.ImageDraw, verdicts: tuple[Verdict, ...], top: int) -> None:
    if not verdicts:
        _write(draw, (MARGIN, top), "Nothing wrong was found.", 22, GOOD)
        _write(draw, (MARGIN, top + 34), f"Looked for: {LOOKED_FOR}.", 18, GOOD)
    for row, verdict in enumerate(verdicts):
        _write(draw, (MARGIN, top + 34 * row), verdict.name, 22, BAD)
        _write(draw, (MARGIN + 110, top + 34 * row), f"{verdict.text}. Try: {verdict.cure}", 22, INK)


def _write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, colour: str) -> None:
    """Write a line, shortened where it would leave the sheet."""
    font: Font = ImageFont.load_default(size)
    room, text = WIDTH - MARGIN - place[0], " ".join(text.split())[:LONGEST_TEXT]
    while len(text) > 4 and draw.textlength(text, font=font) > room:
        text = text[:-2].rstrip() + "…"
    draw.text(place, text, font=font, fill=colour)
