"""Kill a run at random moments, over and over, and say what was found: kill_runs.py MODEL PICTURE FOLDER KILLS.

A process of its own, with one thread, so that it can be forked: every run is a fork that has the model already. It is
killed a random while after a random one of its stages and steps, however quick the machine.
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
from unstill.models import Keep
from unstill.runs import Runs

KNOBS = {"size": "64x64", "frames": 2, "steps": 6, "seed": 3, "device": "cpu"}


def run(picture, out, runs, keep):
    """Make the clip in a fork; return its process, and where it writes a byte for each stage and step."""
    heard, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        return child, heard
    code = 1
    try:
        animate(picture, out=out, runs=runs, load=keep, watch=lambda progress: os.write(told, b"."), **KNOBS)
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def end(child, heard):
    """Wait for a run, and return how it ended."""
    os.close(heard)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    """Kill, look, and go on."""
    picture, folder, kills = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    KNOBS["model"] = sys.argv[1]
    dice, keep, out = random.Random(7), Keep(), folder / "clip.gif"
    whole, stages = folder / "whole.gif", []
    animate(picture, out=whole, load=keep, **KNOBS)
    start = time.perf_counter()
    animate(picture, out=whole, load=keep, watch=stages.append, **KNOBS)
    usual_s = (time.perf_counter() - start) / len(stages)
    told = {"kills": 0, "resumed": 0, "clips": 0}
    while told["kills"] < kills:
        runs = Runs(folder / "runs", every_s=0)
        told["resumed"] += len(list(runs))
        child, heard = run(picture, out, runs, keep)
        left = dice.randrange(len(stages))
        while left and os.read(heard, 1):
            left -= 1
        time.sleep(dice.uniform(0, usual_s))
        os.kill(child, signal.SIGKILL)
        code = end(child, heard)
        told["kills"] += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL), "a run failed"
        if out.exists():
            assert out.read_bytes() == whole.read_bytes(), "a file that is not the clip"
            out.unlink()
            told["clips"] += 1
    assert end(*run(picture, out, Runs(folder / "runs"), keep)) == 0
    assert out.read_bytes() == whole.read_bytes(), "the last run does not give the clip"
    assert list(Runs(folder / "runs")) == [], "a run is still kept"
    print(json.dumps(told))


if __name__ == "__main__":
    main()
