"""How long the bundled model takes on this machine, to the file and to the report, and how much memory, over all pictures here.

    python bench/pocket.py --out rows.csv

Every clip is a process of its own: 25 frames of 1024x576, an MP4, everything else as it is when nothing is said.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
PICTURES = [*sorted((ROOT / "examples").glob("*.jpg")), *sorted((ROOT / "recipe" / "pictures").glob("*.jpg"))]


def main() -> None:
    """Make the clips, print the medians, and append a row of bench/results.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--commit", default="")
    asked = parser.parse_args()
    walls, ends, stages = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for picture in PICTURES:
            start = time.perf_counter()
            command = [sys.executable, "-m", "unstill", "animate", str(picture), "--model", "pocket", "--size", "1024x576"]
            done = subprocess.run(
                [*command, "-o", f"{folder}/{picture.stem}.mp4", "--json"], check=True, capture_output=True, text=True
            )
            took_s = time.perf_counter() - start
            stages.append(json.loads(done.stdout)["report"]["stages_s"])
            walls.append(took_s - stages[-1]["measure"])  # the file is there before its motion is measured
            ends.append(took_s)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    parts = {name: statistics.median(each[name] for each in stages) for name in stages[0]}
    told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items())
    print(
        f"{len(walls)} pictures: the file after {statistics.median(walls):.2f} s in the median, {max(walls):.2f} s at most, "
        f"the report after {statistics.median(ends):.2f} s, {peak / 1e9:.2f} GB; {told}"
    )
    if asked.out:
        low, middle, high = (f"{float(torch.tensor(walls).quantile(part)):.2f}" for part in (0.2, 0.5, 0.8))
        note = f"25 frames of 1024x576 from command to file, {len(walls)} pictures, {os.cpu_count()} cores; {told}"
        note += f"; to the report {statistics.median(ends):.2f} s"
        row = ["pocket-cpu", datetime.datetime.now(datetime.UTC).date().isoformat(), asked.commit, "CPU"]
        with asked.out.open("a", newline="") as file:
            csv.writer(file).writerow(
                [*row, f"torch {torch.__version__}", "clip", "motion", low, middle, high, peak, "", "", note]
            )


if __name__ == "__main__":
    main()
