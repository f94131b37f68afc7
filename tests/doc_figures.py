"""The figures in the prose of our pages, held against docs/figures.toml, which says where each comes from.

A figure is a number with a unit, a decimal fraction, or so many of so many. It does not know what any of them means.
"""

from __future__ import annotations

import ast
import csv
import operator
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, str]

# What is not prose: fenced blocks, tables that bench/table.py makes, comments, code, targets of links, tags.
HIDDEN = re.compile(
    r"^(?P<fence>```+).*?^(?P=fence)[ \t]*$|<!-- (?P<table>\w+): made by .*?<!-- end of (?P=table) -->|<!--.*?-->"
    r"|`[^`\n]*`|(?<=\])\([^)\n]*\)|</?[a-z][^>]*>|<https?:[^>]*>",
    re.MULTILINE | re.DOTALL,
)
VERSION = re.compile(r"(?:Python|torch|huggingface_hub|settings of) \d+\.\d+")
SIZES = {
    "µs": 1e-6, "ms": 1e-3, "milliseconds": 1e-3, "s": 1, "second": 1, "seconds": 1, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600, "days": 86400, "bytes": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "megabytes": 1e6,
    "GB": 1e9, "gigabytes": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "MB/s": 1e6, "GB/s": 1e9, "%": 0.01,
    "percent": 0.01, "‰": 0.001, "million": 1e6, "billion": 1e9, "trillion": 1e12, "GFLOP": 1e9, "GFLOP/s": 1e9,
    "TFLOP/s": 1e12, "times": 1, "×": 1, "x": 1, "dB": 1, "px": 1, "px/frame": 1, "px/s": 1, "pixels": 1, "lines": 1, "kills": 1,
    "deaths": 1, "grey levels": 1, "W": 1,
}  # fmt: skip
RATES = r"(?:jobs|clips|steps|posts|events|items|requests|pictures)(?:/s| (?:a|per) (?:second|minute|hour))"
UNIT = "|".join([RATES, *(re.escape(unit) for unit in sorted(SIZES, key=len, reverse=True))])
NUMBER = r"[+−-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[−-]?\d+)?"
WHOLE = rf"(?<![\w.,×+−-]){NUMBER}(?!\d|[.,x]\d| ?× ?\d)"
FIGURE = re.compile(  # numbers of a list share the unit behind the last: 5.7, 3.7 and 1.3 GB
    rf"(?P<number>{WHOLE})(?=(?:(?:,? and |,? or |,? to |, |/){WHOLE})*(?:[\s-]?(?P<unit>{UNIT})(?![\w/]))?(?P<of>\s+of\s+{WHOLE})?)"
)
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


@dataclass(frozen=True)
class Figure:
    """A figure as it stands on a page: its text is the number, and the unit if there is one."""

    start: int
    number: str
    text: str


def find_figures(page: str) -> Iterator[Figure]:
    """Yield the figures in the prose of a page."""
    prose = page
    for pattern in (HIDDEN, VERSION):
        prose = pattern.sub(lambda found: re.sub(r"\S", " ", found[0]), prose)
    for found in FIGURE.finditer(prose):
        number, unit, of = found["number"], found["unit"], found["of"]
        if unit or of or "." in number or "e" in number:
            words = [number, *(unit or "").split(), *(of or "").split()]
            yield Figure(found.start(), number, " ".join(words))


@dataclass(frozen=True)
class Sources:
    """Where the figures of one page come from, by their texts."""

    computed: Mapping[str, str | Sequence[str]]  # formula, or one for each time that the figure is on the page
    printed: Mapping[str, Sequence[str]]  # by the command
    given: Mapping[str, Sequence[str]]  # by the reason why nobody measured them

    def list_formulas(self) -> Iterator[tuple[str, str]]:
        """Yield each computed figure with its formula."""
        for text, formulas in self.computed.items():
            yield from ((text, formula) for formula in ([formulas] if isinstance(formulas, str) else formulas))

    def list_all(self) -> Iterator[str]:
        """Yield every figure, as often as it must be on the page."""
        yield from (text for text, _ in self.list_formulas())
        for texts in (*self.printed.values(), *self.given.values()):
            yield from texts


class Book:
    """The sources of all pages, and the rows that they name."""

    def __init__(self, sources: Path, results: Path) -> None:
        """Read both; a name must mean one row."""
        told = tomllib.loads(sources.read_text())
        with results.open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.rows = {name: find_row(rows, *place) for name, place in told.pop("rows").items()}
        self.pages = {
            page: Sources(*(kinds.pop(kind, {}) for kind in ("computed", "printed", "given"))) for page, kinds in told.items()
        }
        assert not any(told.values()), f"only computed, printed and given: {told}"

    def of(self, page: str) -> Sources:
        """Return the sources of a page; one without figures has none."""
        return self.pages.get(page, Sources({}, {}, {}))

    def check(self, name: str, page: str, sources: Sources, *, may_be_open: bool = False) -> list[str]:
        """List what is wrong with the figures of a page: untied, gone, or not what rows say.

        With `may_be_open` figures may have no source.
        """
        found, told = Counter(figure.text for figure in find_figures(page)), Counter(sources.list_all())
        wrong = [] if may_be_open else [f"{name}: {text} has no source in docs/figures.toml" for text in found - told]
        wrong += [f"{name}: {text} is not on the page as often as docs/figures.toml says" for text in told - found]
        for text, formula in sources.list_formulas():
            right = show(self.evaluate(formula), text)
            if right != text.split()[0]:
                wrong.append(f"{name}: {text} should be {right}, which is {formula}")
        scripts = [next(word for word in command.split() if word.endswith(".py")) for command in sources.printed]
        return wrong + [f"{name}: the page does not name {script}" for script in scripts if Path(script).name not in page]

    def evaluate(self, formula: str) -> float:
        """Calculate with columns of rows, numbers in their notes (row["{} times"]) and plain numbers."""
        return self._evaluate(ast.parse(formula, mode="eval").body)

    def _evaluate(self, node: ast.AST) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.BinOp(left=left, op=operation, right=right):
                return OPERATIONS[type(operation)](self._evaluate(left), self._evaluate(right))
            case ast.Attribute(value=ast.Name(id=row), attr=column):
                return float(self.rows[row][column])
            case ast.Subscript(value=ast.Name(id=row), slice=ast.Constant(value=str() as words)):
                return read_note(self.rows[row], words)
        raise ValueError(f"not a formula: {ast.unparse(node)}")


def find_row(rows: Sequence[Row], run: str, scenario: str, engine: str, note: str = "") -> Row:
    """Return the row that is meant; of one that was measured again in the same run, the first."""
    found = [row for row in rows if (row["run"], row["scenario"], row["engine"]) == (run, scenario, engine)]
    found = [row for row in found if note in row["note"]]
    assert len({row["note"] for row in found}) == 1, f"{run}, {scenario}, {engine}, {note}: {len(found)} rows"
    return found[0]


def read_note(row: Row, words: str) -> float:
    """Return the number that stands in the note where the words have {}."""
    pattern = re.escape(words).replace(r"\{\}", f"({NUMBER})")
    [number] = re.findall(rf"(?<![\w.]){pattern}", row["note"])
    return float(number.replace(",", ""))


def show(value: float, text: str) -> str:
    """Write a value as a figure is written: in its unit, with as many digits, and with its signs."""
    number, _, unit = text.partition(" ")
    mantissa, _, exponent = number.partition("e")
    kind = f"{'+' if number[0] == '+' else ''}{',' if ',' in number else ''}.{len(mantissa.partition('.')[2])}"
    shown = format(value / SIZES.get(unit, 1), kind + ("e" if exponent else "f"))
    shown = re.sub(r"e([+-])0?", lambda found: "e" + found[1].strip("+"), shown)
    return shown.replace("-", "−") if "−" in number else shown


def change(number: str) -> str:
    """Return a number with another last digit, the smallest change that can be seen."""
    mantissa, mark, exponent = number.partition("e")
    return f"{mantissa[:-1]}{(int(mantissa[-1]) + 1) % 10}{mark}{exponent}"


def replace_numbers(page: str, figures: Sequence[Figure], number: str) -> str:
    """Put another number where these figures stand."""
    for figure in sorted(figures, key=lambda one: -one.start):
        page = page[: figure.start] + number + page[figure.start + len(figure.number) :]
    return page


def rename(sources: Sources, text: str, other: str) -> Sources:
    """Return sources that say of another figure what they said of this one."""
    computed: dict[str, Any] = {}
    for told, formula in sources.list_formulas():
        computed.setdefault(other if told == text else told, []).append(formula)
    return Sources(computed, sources.printed, sources.given)
