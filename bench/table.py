"""Print the tables of our pages from the rows of bench/results.csv, so that no number is written by hand.

python bench/table.py [NAME]      print them, or one
python bench/table.py --write     put each between its marks
python bench/table.py costs --price 2.5 3.9      of a GPU for an hour
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ENGINES, CLIPS, RUNGS, CAPPED = "engines-2", "clips-1", "rungs-1", "capped-1"  # the runs that are shown
Row = dict[str, str]


def read_rows() -> list[Row]:
    """Read every row."""
    with (HERE / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def find(rows: list[Row], run: str, scenario: str, engine: str, note: str = "") -> Row:
    """Find the one row that is meant."""
    found = [
        row for row in rows if (row["run"], row["scenario"], row["engine"]) == (run, scenario, engine) and note in row["note"]
    ]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} rows for {run} {scenario} {engine} {note}")
    return found[0]


def compare_speed(rows: list[Row]) -> str:
    """Give the README's table, as Markdown."""
    lines = ["| 25 frames of 1024x576, fp16, one H200 | diffusers | `torch.compile` | unstill | |", "|---|---|---|---|---|"]
    compiled = find(rows, ENGINES, "unet-step", "diffusers-compile")
    waits = next(part for part in compiled["note"].split("; ") if "of compiling" in part)
    shown = (
        ("a step, both branches of guidance", (ENGINES, "unet-step"), "diffusers-eager", "", f"{show(compiled)}, {waits}"),
        ("decoding, all frames at once", (ENGINES, "decode"), "diffusers-eager", "25 at a time", "–"),
        ("the same frames, one at a time", (ENGINES, "decode"), "diffusers-eager", "; 1 at a time", "–"),
        ("a clip of 25 steps", (CLIPS, "clip"), "diffusers", " 25 steps", "–"),
    )
    for title, place, peer, note, beside in shown:
        theirs = find(rows, *place, peer, note if place[1] == "clip" else "")
        ours = find(rows, *place, "fast", note)
        faster = float(theirs["p50_s"]) / float(ours["p50_s"])
        memory = f"{gigabytes(ours)} GB for {gigabytes(theirs)}"
        lines.append(f"| {title} | {show(theirs)} | {beside} | **{show(ours)}** | {faster:.2f}×, {memory} |")
    return "\n".join(lines)


def show(row: Row) -> str:
    """Give a row's median."""
    seconds = float(row["p50_s"])
    return f"{seconds:.1f} s" if seconds >= 5 else f"{1000 * seconds:.0f} ms"


def gigabytes(row: Row) -> str:
    """Give a row's peak."""
    return f"{int(row['peak_bytes']) / 1e9:.1f}"


def list_rungs(rows: list[Row]) -> str:
    """Give what each optimisation brought, one more a row."""
    lines = [f"| with one more each | {' | '.join(RUNG_HEADS)} |", "|---" * (1 + len(RUNG_HEADS)) + "|"]
    parts = {name: [row for row in rows if (row["run"], row["scenario"]) == (RUNGS, name)] for name in ("unet-step", "decode")}
    for step, decoding in zip(*parts.values(), strict=True):
        cells = [f"{show(row)} | {gigabytes(row)} GB | {1000 * float(row['max_error']):.2f} ‰" for row in (step, decoding)]
        lines.append(f"| {step['engine']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def list_caps(rows: list[Row]) -> str:
    """Give what clips hold and take under every cap, and how far off plans were."""
    lines = ["| GPU memory allowed | way | foreseen | held | a clip | against no cap |", "|---" * 6 + "|"]
    found = [row for row in rows if row["run"] == CAPPED and row["scenario"].startswith("clip-capped")]
    whole = float(found[0]["p50_s"])
    for row in found:
        allowed = row["scenario"].removeprefix("clip-capped-").replace("none", "all").replace("GB", " GB")
        foreseen = f"{int(row['predicted_bytes']) / 1e9:.2f} GB" if row["predicted_bytes"] else "–"
        way = WAYS.get(row["engine"], row["engine"].removeprefix("fast-"))
        took, held = float(row["p50_s"]), f"{int(row['peak_bytes']) / 1e9:.2f} GB"
        lines.append(f"| {allowed} | {way} | {foreseen} | {held} | {took:.1f} s | {took / whole:.2f}× |")
    planned = [row for row in rows if row["run"] == CAPPED and row["predicted_bytes"]]
    off = [100 * (int(row["predicted_bytes"]) / int(row["peak_bytes"]) - 1) for row in planned]
    what = f"Over {len(off)} combinations of size, length, dtype, engine and way"
    return "\n".join([*lines, "", f"{what}, what was foreseen is {min(off):+.1f} to {max(off):+.1f} % off what was held."])


def list_costs(rows: list[Row]) -> str:
    """Give what a thousand clips cost at some prices for an hour, of a GPU or of two cores."""
    heads = [f"at {price:g} an hour" for price in PRICES]
    lines = [
        f"| a clip of 25 frames of 1024x576 | seconds | hours for 1,000 | {' | '.join(heads)} |",
        "|---" * (3 + len(heads)) + "|",
    ]
    for title, place in COSTS.items():
        row = find(rows, *place)
        hours = 1000 * float(row["p50_s"]) / 3600
        lines.append(
            f"| {title} | {float(row['p50_s']):.1f} | {hours:.2f} | {' | '.join(f'{hours * price:.2f}' for price in PRICES)} |"
        )
    return "\n".join(lines)


PRICES = [float(price) for price in sys.argv[sys.argv.index("--price") + 1 :]] if "--price" in sys.argv else [1, 2, 4]
COSTS = {
    "svd-xt, 25 steps, one H200": (CAPPED, "clip-capped-none", "fast-fast"),
    "the same within 8 GB": (CAPPED, "clip-capped-8GB", "fast-lean"),
    "the same within 2.5 GB": (CAPPED, "clip-capped-2.5GB", "fast-tiny"),
    "diffusers' recipe for little memory, one H200": (CAPPED, "clip-capped-none", "diffusers-low"),
    "pocket, two cores of a CPU": ("pocket-cpu", "clip", "motion"),
}
WAYS = {"diffusers-low": "diffusers: offload, forward chunking, chunks of 2"}
RUNG_HEADS = ("a step", "peak", "error", "decoding", "peak", "error")
TABLES: dict[str, tuple[str, Callable[[list[Row]], str]]] = {  # by their marks: the page, and what makes them
    "speed": ("README.md", compare_speed),
    "rungs": ("docs/concepts/speed.md", list_rungs),
    "memory": ("docs/howto/save-memory.md", list_caps),
    "costs": ("docs/howto/ray.md", list_costs),
}


def main() -> None:
    """Print or write."""
    rows, asked = read_rows(), [name for name in sys.argv[1:] if name in TABLES]
    for name in asked or TABLES:
        page, make = TABLES[name]
        table = make(rows)
        print(f"{table}\n")
        if "--write" in sys.argv:
            place(ROOT / page, name, table)


def place(page: Path, name: str, table: str) -> None:
    """Put a table between its marks."""
    begin, end = f"<!-- {name}: made by bench/table.py -->", f"<!-- end of {name} -->"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}")


if __name__ == "__main__":
    main()
