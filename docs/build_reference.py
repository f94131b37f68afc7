"""Write docs/reference from the code, so that it cannot say anything else than the code does.

Use: python docs/build_reference.py      (tests/contract/test_docs.py fails while the written pages differ)
It holds no facts about knobs, commands, errors or formats; it only lays them out.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

import unstill
from unstill import artifacts, client, errors
from unstill.equivalents import equivalents
from unstill.request import DEFAULTS, KNOBS, PRESETS, Request, settle

REFERENCE = Path(__file__).parent / "reference"
WRITTEN = "<!-- Written by docs/build_reference.py from the code; `make docs` writes it again. -->"
FAMILIES = {"svd": 14, "svd-xt": 25, "svd-xt-1.1": 25}


def build_pages() -> dict[str, str]:
    """Return every page by its file name."""
    pages: dict[str, Callable[[], Iterator[str]]] = {
        "knobs.md": knobs_page,
        "command-line.md": command_line_page,
        "errors.md": errors_page,
        "formats.md": formats_page,
        "equivalents.md": equivalents_page,
        "python.md": python_page,
    }
    return {name: "\n".join([WRITTEN, *page()]) + "\n" for name, page in pages.items()}


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield a Markdown table."""
    names = list(header)
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    for row in rows:
        cells = [cell.replace("|", r"\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""


def code(text: object) -> str:
    """Quote a word of code."""
    return f"`{text}`"


# ---- knobs -------------------------------------------------------------------------------------------------


def knobs_page() -> Iterator[str]:
    """Yield the page of knobs."""
    yield from ("# Knobs", "")
    yield "Every setting of a clip. The same name is an option (`--play-fps`), a keyword in Python (`play_fps=`) and a key of"
    yield "the configuration file. Other tools' names are accepted in all three places. Defaults are those of the preset"
    yield "`default`; [the others](#what-the-presets-decide) differ."
    yield ""
    for group in dict.fromkeys(knob.group for knob in KNOBS.values()):
        yield from (f"## {group.capitalize()}", "")
        names = [name for name, knob in KNOBS.items() if knob.group == group]
        yield from table(("option", "default", "can be", "what it does"), map(_knob_row, names))
    yield from ("## What the presets decide", "")
    yield "Knobs that are not given take these values; `--preset` chooses the column."
    yield ""
    yield from _preset_table()
    yield "A preset also sets the area of a clip whose `--size` is not given: "
    yield "; ".join(f"{code(name)} {preset.area.width}×{preset.area.height}" for name, preset in PRESETS.items()) + "."


def _knob_row(name: str) -> tuple[str, ...]:
    knob = KNOBS[name]
    also = f" Also {', '.join(map(code, knob.aliases))}." if knob.aliases else ""
    return (code("--" + name.replace("_", "-")), _default(name), knob.range, knob.help + also)


def _default(name: str) -> str:
    value = DEFAULTS[name]
    if value is None:
        return str(PRESETS["default"].knobs.get(name, "unset"))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _preset_table() -> Iterator[str]:
    columns = [
        (name, family)
        for name, preset in PRESETS.items()
        for family in (FAMILIES if preset.per_model else [""])
    ]  # fmt: skip
    names = list(dict.fromkeys(knob for preset in PRESETS.values() for knob in preset.knobs))
    rows = []
    for knob in names:
        values = [PRESETS[name].for_model(family).get(knob) for name, family in columns]
        rows.append((code(knob), *("the model's own" if value is None else str(value) for value in values)))
    yield from table(("knob", *(f"{code(name)} {family}".strip() for name, family in columns)), rows)


# ---- the command line ----------------------------------------------------------------------------------------


def command_line_page() -> Iterator[str]:
    """Yield the page of commands."""
    from unstill.cli.app import app as root

    yield from ("# Command line", "", _sentences(root.help), "")
    yield from table(("command", "what it does"), ((f"[`{n}`](#unstill-{n})", _sentences(c.help)) for n, c in _commands(root)))
    yield from ("Options of `unstill` itself:", "")
    yield from _parameters(root)
    for name, command in _commands(root):
        yield from (f"## unstill {name}", "", _sentences(command.help), "")
        yield from ("```text", _usage(name, command), "```", "")
        yield from _parameters(command)
        if _has_knobs(command):
            yield from ("And every [knob](knobs.md) as an option.", "")


def _commands(root: click.Group) -> list[tuple[str, click.Command]]:
    return [(name, command) for name, command in root.commands.items() if not command.hidden]


def _usage(name: str, command: click.Command) -> str:
    with command.make_context(f"unstill {name}", [], resilient_parsing=True) as context:
        return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def _parameters(command: click.Command) -> Iterator[str]:
    shown = [part for part in command.params if part.name not in KNOBS and not getattr(part, "hidden", False)]
    if shown:
        yield from table(("argument or option", "meaning"), map(_parameter_row, shown))


def _has_knobs(command: click.Command) -> bool:
    return {part.name for part in command.params} >= set(KNOBS)


def _parameter_row(part: click.Parameter) -> tuple[str, str]:
    if part.param_type_name == "argument":
        return code(part.metavar or part.name.upper()), _sentences(part.help)
    metavar = f" {part.metavar}" if part.metavar else ""
    names = ", ".join(code(name + metavar) for name in [*part.opts, *part.secondary_opts])
    return names, _sentences(part.help)


def _sentences(text: str | None) -> str:
    return " ".join((text or "").replace("\f", " ").split())


# ---- errors ----------------------------------------------------------------------------------------------------


def errors_page() -> Iterator[str]:
    """Yield the page of errors."""
    yield from ("# Errors and exit codes", "")
    yield "Every error says what happened, what was found and what is possible; a `hint:` line says what to try next."
    yield 'With `--json` the command line prints `{"error": {"code": …, "message": …, "hint": …, "retryable": …}}`.'
    yield "In Python all of them are subclasses of `unstill.UnstillError` and live in `unstill.errors`."
    yield ""
    header = ("exit code", "class", "code", "when", "worth trying again")
    yield from table(header, (_error_row(kind, depth) for depth, kind in _tree(errors.UnstillError)))
    yield "Exit code 0 is success. `UnstillError` is the root: catching it catches all."


def _error_row(kind: type[errors.UnstillError], depth: int) -> tuple[str, ...]:
    name = "· " * depth + code(kind.__name__)
    return str(kind.exit_code), name, code(kind.code), _sentences(kind.__doc__), "yes" if kind.retryable else "no"


def _tree(kind: type[errors.UnstillError], depth: int = 0) -> Iterator[tuple[int, type[errors.UnstillError]]]:
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child, depth + 1)


# ---- formats -----------------------------------------------------------------------------------------------------


def formats_page() -> Iterator[str]:
    """Yield the page of file formats."""
    from unstill.formats import CODECS, LIMITS_PX, SUFFIXES
    from unstill.formats.gif import FASTEST_FPS
    from unstill.formats.picture import LONGEST_ASPECT, LONGEST_SIDE_PX, READERS, SHORTEST_SIDE_PX
    from unstill.formats.video import CODECS as ENCODERS
    from unstill.formats.video import RATE_FACTORS
    from unstill.prepare import MOST_BYTES

    yield from ("# Formats", "", "## Clips", "")
    rows = []
    for kind, codecs in CODECS.items():
        names = ", ".join(code(suffix) for suffix, named in SUFFIXES.items() if named == kind and suffix)
        rows.append((code(kind), names or "a name without a dot: a folder", ", ".join(map(code, codecs)) or "–"))
    yield from table(("`--format`", "names", "`--codec`, the default first"), rows)
    rows = []
    for name, (shortest, longest) in LIMITS_PX.items():
        rates = "{} and {}".format(*RATE_FACTORS[name]) if name in RATE_FACTORS else "–"
        rows.append((code(name), code(ENCODERS[name]) if name in ENCODERS else "–", rates, f"{shortest} to {longest:,}"))
    header = ("codec or format", "encoder", "constant rate factor at quality 1 and 100", "sides in pixels")
    yield from table(header, rows)
    yield f"A GIF plays at {FASTEST_FPS} frames a second at most. [Which to choose](../howto/formats.md)."
    yield from ("", "## Pictures", "", f"Read are {', '.join(READERS)}, recognised by their bytes and not by their names.")
    yield f"Sides of {SHORTEST_SIDE_PX} to {LONGEST_SIDE_PX} pixels, up to {LONGEST_ASPECT:g} times as long as wide,"
    yield f"in files of up to {MOST_BYTES // 10**6} MB. [What is done to them](../concepts/pictures.md)."


# ---- other tools -------------------------------------------------------------------------------------------------


def equivalents_page() -> Iterator[str]:
    """Yield the page that translates settings for other tools."""
    yield from ("# The same settings in other tools", "")
    yield "What `unstill explain` prints. Numbers that other tools count differently are translated already: generative-models"
    yield "counts fps from zero, and ComfyUI adds noise to pixels in [0, 1], not [−1, 1]."
    yield ""
    for preset in ("default", "stability"):
        for family, frames in FAMILIES.items():
            if preset == "default" and family != "svd-xt":
                continue  # the others differ in the number of frames alone
            settled = settle(Request(preset=preset, seed=42), family, frames)
            yield from (f"## {preset}, {family}", "")
            rows = ((e.knob, e.value, *map(code, (e.diffusers, e.generative_models, e.comfyui))) for e in equivalents(settled))
            yield from table(("knob", "value", "diffusers", "generative-models", "ComfyUI"), rows)


# ---- Python ------------------------------------------------------------------------------------------------------


def python_page() -> Iterator[str]:
    """Yield the page of Python names."""
    yield from ("# Python", "", "`import unstill` is instant: names load what they need when they are first used.", "")
    for name in unstill.__all__:
        thing = _find(name)
        yield from (f"## {name}", "", _sentences(inspect.getdoc(thing)), "")
        if inspect.isfunction(thing):
            yield from ("```text", f"{name}{_signature(thing)}", "```", "")
        elif thing.__module__ == artifacts.__name__:
            yield from table(("attribute", "type", "meaning"), _fields(thing))
        yield from table(("method", "what it does"), _methods(thing)) if inspect.isclass(thing) and _methods(thing) else ()
    yield from ("## Watching and stopping", "")
    yield "`animate(…, watch=function)` calls the function with a `Progress` at every stage and step. An exception raised in"
    yield "it stops the run; nothing is written then."
    yield from ("", "## unstill.client", "", "[How to use it](../howto/clients.md).", "")
    for kind in (client.Client, client.Video):
        yield from (f"### {kind.__name__}", "", _sentences(inspect.getdoc(kind)), "")
        yield from table(("attribute", "type", "meaning"), _fields(kind)) if dataclasses.is_dataclass(kind) else ()
        yield from table(("method", "what it does"), _methods(kind))


def _find(name: str) -> Any:
    """Find a public name; a module of the same name may stand in its place."""
    thing = getattr(unstill, name)
    return getattr(thing, name) if inspect.ismodule(thing) else thing


def _signature(function: Callable[..., object]) -> str:
    return re.sub(r"<function (\w+) at [^>]*>|'([^']*)'", r"\1\2", str(inspect.signature(function)))


def _fields(kind: type) -> Iterator[tuple[str, str, str]]:
    """Read the fields of a noun from its source, with the comment behind each."""
    for line in inspect.getsource(kind).splitlines():
        found = re.match(r" {4}(\w+): (.+?)(?: = .+?)?(?:  # (.+))?$", line)
        if found:
            yield code(found[1]), code(found[2]), found[3] or ""


def _methods(kind: type) -> list[tuple[str, str]]:
    own = [(name, part) for name, part in vars(kind).items() if not name.startswith("_")]
    rows = []
    for name, part in own:
        function = part.fget if isinstance(part, property) else getattr(part, "__func__", part)
        if inspect.isfunction(function) and inspect.getdoc(function):
            call = name if isinstance(part, property) else f"{name}{_short(function)}"
            rows.append((code(call), _sentences(inspect.getdoc(function))))
    return rows


def _short(function: Callable[..., object]) -> str:
    names = []
    for name, part in inspect.signature(function).parameters.items():
        star = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}.get(part.kind, "")
        if name not in ("self", "cls"):
            names.append(star + name)
    return f"({', '.join(names)})"


def main() -> None:
    """Write the pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in build_pages().items():
        (REFERENCE / name).write_text(text)
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
