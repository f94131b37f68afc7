"""Print the README's table of speed from the rows of bench/results.csv, so that no number is written by hand.

python bench/table.py            print it
python bench/table.py --write    put it between the README's marks
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- speed: made by bench/table.py -->", "<!-- end of speed -->"
ENGINES, CLIPS = "engines-2", "clips-1"  # the runs that are shown
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


def make_table() -> str:
    """Give the table as Markdown."""
    rows = read_rows()
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


def main() -> None:
    """Print or write."""
    table = make_table()
    if "--write" not in sys.argv:
        print(table)
        return
    text = README.read_text()
    before, rest = text.split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
