"""Break central functions one line at a time and show which tests notice: `python tests/mutations.py [NUMBER …]`.

Each mutation is made in a copy of the sources, never in the checkout. It exits with 1 if a mutation survives.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWN = 2  # failing tests named per mutation


@dataclass(frozen=True)
class Mutation:
    """One line of one function, and what it is changed to."""

    function: str
    before: str
    after: str
    tests: str = "tests/unit tests/contract"

    @property
    def path(self) -> str:
        """Return the module's path, relative to the sources."""
        return self.function.split(":")[0]


MUTATIONS = (
    Mutation("sample.py:draw", "picture, latents = (torch.randn", "latents, picture = (torch.randn", "tests/unit tests/integration/test_compat.py"),
    Mutation("model/denoiser.py:Denoiser.velocity", "self.guidance_BFCHW * (with_picture", "(1 + self.guidance_BFCHW) * (with_picture"),
    Mutation("model/denoiser.py:Schedule.sigmas", "ramp = np.linspace(0, 1, steps)", "ramp = np.linspace(0, 1, steps + 1)[:-1]"),
    Mutation("prepare.py:_fill", 'mode="edge")', 'mode="constant")'),
    Mutation("check.py:refuse_broken", "if bool(flat_F.any()) and", "if bool(flat_F.all()) and"),
    Mutation("memory/rungs.py:fits", "rung.peak_bytes + ASIDE_BYTES <= budget_bytes", "rung.peak_bytes <= budget_bytes"),
    Mutation("write.py:publish", "_write_through(aside, made)\n            aside.replace(place)", "_write_through(place, made)"),
    Mutation("formats/video.py:_Colours.convert", "converted.duration = 1", "converted.duration = 0"),
    Mutation("jobs/store.py:Store.cancel", "if job.state == QUEUED:", "if job.state in (QUEUED, RUNNING):"),
    Mutation("batch/schedule.py:_lose", "if place == 0 and event.reason:", "if event.reason:"),
    Mutation("studio/guard.py:Guard._is_own", "return False\n        return True", "return True\n        return True"),
    Mutation("takes.py:rank", "return len(SPOILING & set(faults)), len(faults), far, unsteady", "return 0, len(faults), far, unsteady"),
)  # fmt: skip


def run(mutation: Mutation) -> list[str]:
    """Run the tests against sources with that mutation; return those that fail."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        path = source / "unstill" / mutation.path
        text = path.read_text()
        if text.count(mutation.before) != 1:
            raise SystemExit(f"{mutation.function}: {mutation.before!r} is there {text.count(mutation.before)} times, not once")
        path.write_text(text.replace(mutation.before, mutation.after))
        command = [sys.executable, "-m", "pytest", *mutation.tests.split(), "-n", "2", "-q", "--maxfail=2", "--tb=no", "-rfE"]
        env = {**os.environ, "PYTHONPATH": str(source)}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)


def main() -> int:
    """Print a table of mutations and the tests that fail."""
    chosen = [MUTATIONS[int(number) - 1] for number in sys.argv[1:]] or MUTATIONS
    survived = 0
    print("| function | before | after | fails |\n|---|---|---|---|")
    for mutation in chosen:
        failing = run(mutation)
        survived += not failing
        before, after = (f"`{' '.join(text.split())}`" for text in (mutation.before, mutation.after))
        names = ", ".join(name.removeprefix("tests/") for name in failing[:SHOWN]) or "**nothing**"
        print(f"| {mutation.function} | {before} | {after} | {names} |", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    raise SystemExit(main())
