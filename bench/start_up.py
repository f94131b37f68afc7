"""How quickly the package and its command line answer, and how many packages an install brings.

    python bench/start_up.py            a table; exits with 1 where a budget is broken

Times are medians over child processes with warm file caches, the interpreter's own start included and shown beside.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
RUNS = 20
BUDGETS_MS = {"import unstill": 100, "unstill --help": 300}
MOST_DISTRIBUTIONS = 25
CHILDREN = {
    "python itself": ["-c", ""],
    "import unstill": ["-c", "import unstill"],
    "unstill --help": ["-m", "unstill", "--help"],
    "unstill animate --help": ["-m", "unstill", "animate", "--help"],
}


def measure_ms(arguments: list[str], runs: int = RUNS) -> float:
    """Return the median time of a child process; the first one, which fills the caches, does not count."""
    command = [sys.executable, *arguments]
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "100"})
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[1:])


def list_closure(name: str) -> set[str]:
    """List a distribution and all that its core install needs on this machine, by their normal names."""
    found: set[str] = set()
    waiting = [(name, "")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        found.add(normal(item[0]))
        for line in list_requirements(item[0]):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": item[1]}):
                waiting += [(requirement.name, extra) for extra in ("", *requirement.extras)]
    return found


def list_requirements(name: str) -> list[str]:
    """List what a distribution requires; for unstill as this checkout says, which its installed metadata may lag behind."""
    if name == "unstill":
        found: list[str] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
        return found
    return importlib.metadata.requires(name) or []


def normal(name: str) -> str:
    """Write the name of a distribution as indexes do."""
    return re.sub(r"[-_.]+", "-", name).lower()


def list_own() -> list[str]:
    """List the distributions that unstill brings beside torch and what torch needs."""
    return sorted(list_closure("unstill") - list_closure("torch") - {"unstill"})


def main() -> int:
    """Measure, print, and say whether the budgets hold."""
    broken = 0
    print(f"{'what':<26}{'median of ' + str(RUNS):>14}{'budget':>10}")
    for what, arguments in CHILDREN.items():
        took_ms, budget_ms = measure_ms(arguments), BUDGETS_MS.get(what)
        broken += budget_ms is not None and took_ms > budget_ms
        print(f"{what:<26}{took_ms:>11.0f} ms{f'{budget_ms} ms' if budget_ms else '':>10}")
    own = list_own()
    broken += len(own) > MOST_DISTRIBUTIONS
    print(f"{'packages beside torch':<26}{len(own):>14}{MOST_DISTRIBUTIONS:>10}")
    print("\n" + ", ".join(own))
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
