"""Kill a run at random moments, over and over, and say what was found: kill_runs.py MODEL PICTURE FOLDER KILLS.

A process of its own, with one thread, so that it can be forked: every run is a fork that has the model already.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # for the threads of a fork too: read when torch is imported

from unstill import animate
from unstill.engine import Keep
from unstill.runs import Runs

KNOBS = {"size": "64x64", "frames": 2, "steps": 6, "seed": 3, "device": "cpu"}


def run(picture, out, runs, keep):
    """Make the clip in a fork; return its process."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        animate(picture, out=out, runs=runs, load=keep, **KNOBS)
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def main():
    """Kill, look, and go on."""
    picture, folder, kills = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    KNOBS["model"] = sys.argv[1]
    dice, keep, out = random.Random(7), Keep(), folder / "clip.gif"
    whole = folder / "whole.gif"
    animate(picture, out=whole, load=keep, **KNOBS)
    start = time.perf_counter()
    animate(picture, out=whole, load=keep, **KNOBS)
    usual_s = time.perf_counter() - start
    told = {"kills": 0, "resumed": 0, "clips": 0}
    while told["kills"] < kills:
        runs = Runs(folder / "runs", every_s=0)
        told["resumed"] += len(list(runs))
        child = run(picture, out, runs, keep)
        time.sleep(dice.uniform(0, usual_s))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        told["kills"] += os.WIFSIGNALED(status)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "a run failed"
        if out.exists():
            assert out.read_bytes() == whole.read_bytes(), "a file that is not the clip"
            out.unlink()
            told["clips"] += 1
    _, status = os.waitpid(run(picture, out, Runs(folder / "runs"), keep), 0)
    assert status == 0 and out.read_bytes() == whole.read_bytes(), "the last run does not give the clip"
    assert list(Runs(folder / "runs")) == [], "a run is still kept"
    print(json.dumps(told))


if __name__ == "__main__":
    main()
