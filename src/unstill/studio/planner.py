"""Plans without a run, from a process that has imported torch once and stays: what would be made, and what to expect.

    python -m unstill.studio.planner FOLDER --device cuda:0     reads a question a line, writes an answer a line

The server asks it and does not import torch itself. It does not know HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from unstill.errors import MachineError, UnstillError
from unstill.jobs.files import Folder

if TYPE_CHECKING:
    from unstill.artifacts import Plan, PreparedImage

MOST_S = 60.0  # for one answer; the first takes some seconds, for torch
IDLE_S = 600.0  # without a question it leaves, and gives its memory back


class Planner:
    """The server's end: one question at a time, and a new process where the old one is gone or hangs."""

    def __init__(self, folder: Folder, device: str = "auto") -> None:
        self.folder, self.device = folder, device
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, picture: str, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """Give the plan, or what is wrong: `{"plan": …}` or `{"error": …, "status": …}`."""
        with self._lock:
            for _ in range(2):  # one that left for want of questions is started again
                answer = self._try(json.dumps({"picture": picture, "knobs": dict(knobs)}))
                if answer is not None:
                    return answer
            raise MachineError(
                "The plan could not be made", hint="the server's log says why; a clip can be asked for without it"
            )

    def _try(self, question: str) -> dict[str, Any] | None:
        process = self._process if self._process is not None and self._process.poll() is None else self._start()
        assert process.stdin is not None and process.stdout is not None
        with suppress(OSError, ValueError):  # no JSON: from then on answers would be those to other questions
            process.stdin.write(question + "\n")
            process.stdin.flush()
            if select.select([process.stdout], [], [], MOST_S)[0]:
                line = process.stdout.readline()
                if line:
                    found: dict[str, Any] = json.loads(line)
                    return found
        self.close()
        return None

    def _start(self) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", __name__, str(self.folder.root), "--device", self.device]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        return self._process

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for end in (process.stdin, process.stdout):
                if end is not None:
                    with suppress(OSError):  # what was not sent is not missed
                        end.close()


def make(folder: Folder, device: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one question."""
    from unstill.memory.machine import look_at_machine
    from unstill.plan import choose_model, make_plan
    from unstill.prepare import prepare
    from unstill.request import Request

    try:
        request = Request.from_mapping(question["knobs"])
        machine = look_at_machine(device)
        if machine.is_apart:  # what is taken there now is the worker's, and will be the clip's
            machine = replace(machine, free_bytes=machine.total_bytes)
        files, notes = choose_model(request, machine)
        image = prepare(folder.find_picture(question["picture"]), request)
        return {"plan": describe(make_plan(request, image, files, machine, notes), image)}
    except UnstillError as error:
        return {"status": error.http_status, "error": {**error.to_dict(), "problems": list(getattr(error, "problems", []))}}


def describe(plan: Plan, image: PreparedImage) -> dict[str, Any]:
    """Give a plan as JSON values."""
    from unstill.finish import count_frames
    from unstill.memory.pace import estimate_s

    count, fps = count_frames(plan.frames, plan.request)
    knows = plan.rung.peak_bytes is not None
    return {
        "object": "plan",
        "model": plan.model.name,
        "engine": plan.engine,
        "device": plan.device,
        "dtype": plan.dtype,
        "memory": plan.rung.name,
        "size": str(plan.size),
        "clip_size": str(plan.clip_size),
        "frames": plan.frames,
        "seconds": round(count / fps, 3),
        "steps": plan.steps,
        "seed": plan.seed,
        "crop": find_part(plan, image),
        "needs_bytes": plan.rung.peak_bytes,
        "has_bytes": plan.budget_bytes,
        "about_s": round(estimate_s(plan), 1) if knows else None,
        "warnings": list(plan.warnings),
        "notes": [*image.notes, *plan.notes],
        "knobs": plan.request.to_dict(),
    }


def find_part(plan: Plan, image: PreparedImage) -> dict[str, float]:
    """Say which part of the upright picture the clip is made of, in fractions of its sides."""
    from unstill.prepare import crop_box

    if plan.request.fit != "crop":
        return {"left": 0.0, "top": 0.0, "width": 1.0, "height": 1.0}
    whole, box = image.original, crop_box(image.original, plan.clip_size, plan.request.focus)
    parts = {"left": box.left / whole.width, "top": box.top / whole.height}
    return {**parts, "width": box.width / whole.width, "height": box.height / whole.height}


def listen(questions: TextIO, answers: TextIO, folder: Folder, device: str) -> None:
    """Answer until nobody asks any more."""
    while select.select([questions], [], [], IDLE_S)[0]:
        line = questions.readline()
        if not line:
            return
        print(json.dumps(make(folder, device, json.loads(line))), file=answers, flush=True)


def main() -> None:
    """Answer questions about plans for one folder and device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not stand between answers
    listen(sys.stdin, answers, Folder(asked.folder), asked.device)


if __name__ == "__main__":
    main()
