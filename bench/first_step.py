"""How long from starting Python to the first step done, at full size: with nothing compiled, and with what the first run kept.

    python bench/first_step.py --folder /tmp/svd-random

The folder holds a model as `bench/full_clip.py` writes it. Its files are in the system's cache, as after a first run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the child three times: once for the files, then with an empty cache of kernels, then with a full one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--engine", default="fast")
    asked = parser.parse_args()
    start_child(asked.folder, "reference", {})  # reads the files
    with tempfile.TemporaryDirectory() as kernels:
        for name in ("nothing compiled", "compiled before"):
            print(f"{name:18} {start_child(asked.folder, asked.engine, {'TRITON_CACHE_DIR': kernels})}", flush=True)


def start_child(folder: Path, engine: str, extra: dict[str, str]) -> str:
    """Start Python anew; return what it prints."""
    command = [sys.executable, str(Path(__file__).resolve()), str(folder), engine, repr(time.time())]
    env = {**os.environ, **extra, "PYTHONPATH": os.pathsep.join([str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


def run_child(folder: str, engine: str, started: float) -> None:
    """Run one step of a clip of 25 frames of 1024x576; print when each stage began, and when the step was done."""
    import torch

    from unstill.artifacts import Progress
    from unstill.generate import Sampling, foresee
    from unstill.models import load_engine
    from unstill.request import Request

    seen = [f"torch imported {time.time() - started:.1f} s"]

    def watch(progress: Progress) -> None:
        torch.cuda.synchronize()
        seen.append(f"step {progress.done} done {time.time() - started:.1f} s")

    knobs = {"model": folder, "engine": engine, "size": "1024x576", "frames": 25, "steps": 3, "seed": 0}
    image, plan = foresee(Request.from_mapping(knobs), HERE.parent / "examples" / "harbour.jpg")
    assert plan.engine == engine, plan.notes
    seen.append(f"planned {time.time() - started:.1f} s")
    made = load_engine(plan)
    seen.append(f"loaded {time.time() - started:.1f} s")
    Sampling(image, watch).go_on(plan, made)
    print(", ".join(seen))


if __name__ == "__main__":
    if len(sys.argv) == 4 and not sys.argv[1].startswith("--"):
        run_child(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    else:
        main()
