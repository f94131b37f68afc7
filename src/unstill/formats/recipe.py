"""How a clip says how it was made: the text in its file, written and read. It does not know where a format keeps it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, unescape

from unstill.errors import RecipeError, WriteError

LONGEST_TEXT = 64_000  # characters; ours has about 1 kB
DEEPEST = 8  # ours has 3
MADE_BY_MACHINE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MARK_START = "made by unstill"


def make_mark(version: str) -> str:
    """Say in one line that the clip is machine-made; the address is IPTC's word for it."""
    return f"{MARK_START} {version}, machine-generated ({MADE_BY_MACHINE})"


def pack(recipe: Mapping[str, Any]) -> str:
    """Write a recipe as ASCII JSON, which every container keeps as it is."""
    try:
        text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise WriteError(f"The recipe of the clip is no JSON: {error}", hint="recipe=False leaves it out") from None
    if len(text) > LONGEST_TEXT:
        raise WriteError(f"The recipe of the clip has {len(text)} characters, and at most {LONGEST_TEXT} can be read back")
    return text


def unpack(text: str | None) -> dict[str, Any] | None:
    """Read a recipe back; None if the text is not one of ours; RecipeError if it is ours and broken."""
    if text is None or not text.lstrip().startswith('{"'):
        return None
    if len(text) > LONGEST_TEXT or count_levels(text) > DEEPEST:
        raise RecipeError(f"The recipe in the file is too large: {len(text)} characters, {count_levels(text)} levels deep")
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise RecipeError(f"The recipe in the file cannot be read: {error}") from None
    if "unstill" not in found:
        return None
    if not isinstance(found.get("knobs"), dict) or not all(_is_plain(value) for value in found["knobs"].values()):
        raise RecipeError("The recipe in the file holds no knobs")
    return dict(found)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | bool) or (isinstance(value, float) and math.isfinite(value))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def count_levels(text: str) -> int:
    """Count how deep brackets nest outside of strings, before a reader that recurses sees them."""
    depth = deepest = 0
    is_string = False
    for mark in re.findall(r'\\.|["\[\]{}]', text[: LONGEST_TEXT + 1]):
        if mark == '"':
            is_string = not is_string
        elif not is_string:
            depth += (mark in "[{") - (mark in "]}")
            deepest = max(deepest, depth)
    return deepest


def write_xmp(mark: str, recipe: str | None) -> bytes:
    """Write mark and recipe as the XMP packet of a WebP."""
    told = "" if recipe is None else f"<exif:UserComment>{escape(recipe)}</exif:UserComment>"
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<Iptc4xmpExt:DigitalSourceType>{MADE_BY_MACHINE}</Iptc4xmpExt:DigitalSourceType>"
        f"<dc:description>{escape(mark)}</dc:description>{told}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def read_xmp(packet: bytes) -> tuple[str | None, str | None]:
    """Read mark and recipe out of an XMP packet that we wrote."""
    text = packet[: 2 * LONGEST_TEXT].decode(errors="replace")
    return _read_element(text, "dc:description"), _read_element(text, "exif:UserComment")


def _read_element(text: str, tag: str) -> str | None:
    """Find the text of an element; the file may be anyone's, and a pattern could be made to search it for ever."""
    inside, _, end = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")
    return unescape(inside) if end or inside else None
