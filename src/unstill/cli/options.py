"""Every knob as a command line option, derived from the fields of `Request`, and the options that commands share.

Values are passed on as text: `Request.from_mapping` is the one that judges them. It does not know the commands.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from unstill import values
from unstill.cli.help import Option
from unstill.request import ALIASES, BUNDLED, DEFAULTS, FLAGS, KNOBS, PRESETS, Knob

if TYPE_CHECKING:
    from unstill.cluster import Cluster

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]
Complete = Callable[[Any, Any, str], list[CompletionItem]]

MADE_OF_THE_MODEL = {"frames": "as the model was trained"}  # the only knob that neither a default nor a preset decides

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, errors too.")
quiet = click.option("--quiet", "-q", is_flag=True, help="Print the result and errors, nothing else.")
debug = click.option("--debug", is_flag=True, help="Print timings, and tracebacks of errors.")
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
picture = click.argument("picture", type=click.Path(allow_dash=True), metavar="PICTURE")
clip_file = click.argument("file", type=click.Path(), metavar="FILE")
out = click.option(
    "--out", "-o", type=click.Path(allow_dash=True), metavar="FILE",
    help="Where the clip goes: its name decides the format, - is standard output.\n"
    "[default: the picture's name, in this folder]",
)  # fmt: skip


def workers(help: str, **more: Any) -> Decorator:
    """Make the option that says how many work on a device."""
    return click.option("--workers", type=click.IntRange(1, 256), default=1, metavar="N", help=help, **more)


def with_cluster(command: Function) -> Function:
    """Give a command the options that say which Ray cluster is used, and how; `read_cluster` reads them."""
    decorators: list[Decorator] = [
        click.option("--ray", cls=Option, group="Ray", is_flag=False, flag_value="here", metavar="[ADDRESS]",
                     help="Work on a Ray cluster: host:port, or auto for the one of this machine;\n"
                     "without an address Ray is started here."),
        click.option("--cores", cls=Option, group="Ray", type=click.IntRange(1, 1024), default=2, metavar="N",
                     help="Cores for each worker of a cluster without GPUs. [default: 2]"),
        click.option("--insecure-cluster", cls=Option, group="Ray", is_flag=True, help="Use a cluster that asks for no token."),
    ]  # fmt: skip
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def read_cluster(asked: Mapping[str, Any]) -> Cluster:
    """Read which cluster those options mean."""
    from unstill.cluster import Cluster, read_address

    return Cluster(read_address(asked["ray"]), asked["workers"], asked["cores"], asked["insecure_cluster"])


def with_knobs(command: Function) -> Function:
    """Give a command an option for each knob; those that were given reach it as its argument `knobs`."""
    return _add_knobs(command, describe)


def with_overrides(command: Function) -> Function:
    """Give a command the same options, for knobs whose defaults come from elsewhere."""
    return _add_knobs(command, lambda name, knob: knob.help if knob.read is values.flag else f"{knob.help}\n{knob.range}")


def _add_knobs(command: Function, describe_knob: Callable[[str, Knob], str]) -> Function:
    @functools.wraps(command)
    def run(**given: Any) -> Any:
        knobs = {name: given.pop(name) for name in (*KNOBS, *ALIASES)}
        return command(**given, knobs={name: value for name, value in knobs.items() if value is not None})

    decorators = [_make_option(name, knob, describe_knob(name, knob)) for name, knob in KNOBS.items()]
    decorators += [_make_alias(alias, name) for alias, name in ALIASES.items()]
    function: Function = run
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def name_option(name: str) -> str:
    """Write the name of a knob as an option."""
    return "--" + name.replace("_", "-")


def describe(name: str, knob: Knob) -> str:
    """Say what a knob means, and on a line of its own what it may be and what it is when nothing is said."""
    if knob.read is values.flag:
        return f"{knob.help}\n[default: {'on' if DEFAULTS[name] else 'off'}]"
    default = describe_default(name)
    return f"{knob.help}\n{knob.range}" + (f" [default: {default}]" if default else "")


def describe_default(name: str) -> str:
    """Say what a knob is when nothing is said, for each preset that differs; nothing if it is then just unset."""
    if DEFAULTS[name] is not None:
        return str(DEFAULTS[name])
    standard = PRESETS["default"].knobs.get(name)
    parts = [MADE_OF_THE_MODEL.get(name, "")] if standard is None else [str(standard)]
    for preset_name, preset in PRESETS.items():
        families = [family for family in preset.per_model if family != BUNDLED]
        variants = [preset.for_model(family).get(name) for family in families] or [preset.knobs.get(name)]
        other = [str(value) for value in dict.fromkeys(variants) if value is not None]
        if other and other != [str(standard)]:
            parts.append(f"{preset_name}: {' or '.join(other)}")
    own = PRESETS["default"].for_model(BUNDLED).get(name)
    if own != standard:
        parts.append(f"{BUNDLED}: {own}")
    return "; ".join(part for part in parts if part)


def complete_model(context: Any, parameter: Any, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a known model, or else a path."""
    from unstill.catalog.known import CATALOG

    names = [CompletionItem(name) for name in ("auto", BUNDLED, *CATALOG) if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


def _make_option(name: str, knob: Knob, help: str) -> Decorator:
    spelled, group = name_option(name), knob.group.capitalize()
    if knob.read is values.flag:
        both = f"{spelled}/{name_option('no_' + name)}"
        return click.option(both, name, cls=Option, group=group, is_flag=True, default=None, help=help)
    complete = complete_model if name == "model" else _complete(knob.choices) if knob.choices else None
    return click.option(spelled, name, cls=Option, group=group, help=help, shell_complete=complete)


def _make_alias(alias: str, name: str) -> Decorator:
    is_flag, help = alias in FLAGS, f"Another name for {name_option(name)}."
    spelled = name_option(alias) + (f"/{name_option('no_' + alias)}" if is_flag else "")
    return click.option(spelled, alias, hidden=True, is_flag=is_flag, default=None, help=help)


def _complete(choices: tuple[str, ...]) -> Complete:
    def complete(context: Any, parameter: Any, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(choice) for choice in choices if choice.startswith(incomplete)]

    return complete
