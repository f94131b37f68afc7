"""The configuration file: where it is, and which knobs it sets.

    [animate]
    model = "svd-xt-1.1"
    quality = 90

What is given on the command line wins over it. `unstill config` shows it. It does not know the other commands.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from unstill.cli import options, output
from unstill.cli.help import Command
from unstill.errors import RequestError
from unstill.request import ALIASES, Request
from unstill.values import show

VARIABLE = "UNSTILL_CONFIG"
TABLES = ("animate",)


def find_config() -> Path:
    """Say where the configuration file is, or would be."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path("unstill", appauthor=False) / "config.toml"


def read_config() -> dict[str, Any]:
    """Read the knobs that the configuration file sets, by our own names; no file sets none."""
    path = find_config()
    if not path.exists() and not os.environ.get(VARIABLE):
        return {}
    document = _parse(path)
    problems = [_misplaced(key, value) for key, value in document.items() if key not in TABLES]
    table = document.get("animate", {})
    if not isinstance(table, dict):
        problems.append(f"animate must be a table: write [animate], not animate = {show(table)}")
        table = {}
    try:
        request = Request.from_mapping(table)
    except RequestError as error:
        problems.extend(error.problems)
    if problems:
        raise RequestError([f"{path}: {problem}" for problem in problems], hint="`unstill animate --help` lists the knobs")
    return {name: value for name, value in request.to_dict().items() if name in _own_names(table)}


def merge(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what was given over what the configuration says."""
    names = _own_names(given)
    return {name: value for name, value in config.items() if name not in names} | dict(given)


def _own_names(knobs: Mapping[str, Any]) -> set[str]:
    keys = (str(key).replace("-", "_") for key in knobs)
    return {ALIASES.get(key, key) for key in keys}


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = f"${VARIABLE} says to read it" if os.environ.get(VARIABLE) else None
        raise RequestError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not a text in UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from error
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path} is not valid TOML: {error}", hint='a line reads: motion = 180, or model = "svd"') from error


def _misplaced(key: str, value: Any) -> str:
    if isinstance(value, dict):
        near = difflib.get_close_matches(key, TABLES, n=1)
        return f"[{key}] is not a table of this file" + (f"; did you mean [{near[0]}]?" if near else "; there is [animate]")
    return f"{show(key)} stands above the first table; put it under [animate]"


@click.command(cls=Command)
@options.as_json
@options.debug
def config(as_json: bool, debug: bool) -> None:
    """Show where the configuration file is and what it sets."""
    path, knobs = find_config(), read_config()
    if as_json:
        output.answer_json({"path": path, "exists": path.exists(), "knobs": knobs})
        return
    output.answer(str(path) if path.exists() else f"{path} (not there, which is fine)")
    for name, value in knobs.items():
        output.answer(f"  {name} = {_write_toml(value)}")
    if not knobs:
        output.answer('It sets nothing. To set something, write lines such as:\n  [animate]\n  model = "svd"\n  motion = 150')


def _write_toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")  # TOML's strings are JSON's but for DEL
    return str(value).lower() if isinstance(value, bool) else str(value)
