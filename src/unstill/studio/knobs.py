"""Which knobs can be set from outside, in words and as JSON Schema. It does not know HTTP."""

from __future__ import annotations

from typing import Any

from unstill.request import DEFAULTS, KNOBS, Knob
from unstill.studio.orders import MODELS, NOT_HERE
from unstill.values import Between, WholeBetween, flag

TYPES = {"whole": "integer", "number": "number", "flag": "boolean", "choice": "string", "text": "string"}


def describe_knobs() -> list[dict[str, Any]]:
    """List them, with a sentence for each, and what they can be."""
    return [describe_knob(name, knob) for name, knob in KNOBS.items() if name not in NOT_HERE]


def describe_knob(name: str, knob: Knob) -> dict[str, Any]:
    """Say what a knob is and can be."""
    kind = "choice" if knob.choices or name == "model" else "flag" if knob.read is flag else "text"
    ends: dict[str, Any] = {"least": None, "most": None}
    if isinstance(knob.read, Between):
        kind = "whole" if isinstance(knob.read, WholeBetween) else "number"
        ends = {"least": knob.read.least, "most": knob.read.most}
    choices = MODELS if name == "model" else [choice for choice in knob.choices if (name, choice) != ("format", "png")]
    default = DEFAULTS[name]
    plain = default if default is None or isinstance(default, (bool, int, float, str)) else str(default)
    return {"name": name, "group": knob.group, "help": knob.help, "kind": kind, "range": knob.range, **ends,
            "choices": list(choices), "default": plain, "aliases": list(knob.aliases)}  # fmt: skip


def list_schemas() -> dict[str, dict[str, Any]]:
    """Give the schema of every knob, by its name."""
    return {shown["name"]: make_schema(shown) for shown in describe_knobs()}


def make_schema(shown: dict[str, Any]) -> dict[str, Any]:
    """Write what a knob can be as JSON Schema; what a text may say is in its description."""
    schema: dict[str, Any] = {"type": TYPES[shown["kind"]], "description": f"{shown['help']} {shown['range']}".strip()}
    schema |= {"enum": shown["choices"]} if shown["choices"] else {}
    schema |= {} if shown["least"] is None else {"minimum": shown["least"], "maximum": shown["most"]}
    return schema | ({} if shown["default"] is None else {"default": shown["default"]})
