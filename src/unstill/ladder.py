"""When memory runs out, the stage that it ran out in is done again with less, and nothing that was computed before is lost.

The plan lists the rungs (`memory.rungs`), all of them make the same frames. It does not know what a stage does.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch

from unstill.artifacts import Plan
from unstill.engine import Engine, Load
from unstill.engine.memory_errors import is_memory
from unstill.memory.rungs import describe

T = TypeVar("T")
DOING = {"load": "loading", "sample": "sampling", "decode": "decoding"}


class Ladder:
    """Run stages of one clip; afterwards the engine is again as its plan says."""

    def __init__(self, plan: Plan, load: Load) -> None:
        """Load the engine; where its parts do not fit on the device together, on a lower rung."""
        self.plan, self._first = plan, plan
        if plan.device.startswith("cuda"):
            torch.cuda.set_device(plan.device)  # kernels and pinned memory go by the current one
        self.said: list[str] = []  # what was stepped down to, and where
        self.engine: Engine = self.run("load", load)

    def run(self, stage: str, work: Callable[[Plan], T]) -> T:
        """Do a stage; where memory runs out, step down and do it again."""
        while True:
            try:
                return work(self.plan)
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not is_memory(error) or not self.plan.lower:
                    raise
                failed = error
            free(failed)
            rung, *lower = self.plan.lower
            self.plan = replace(self.plan, rung=rung, lower=tuple(lower))
            how = describe(rung, self.plan.frames)
            self.said.append(f"memory ran out while {DOING[stage]}: now {rung.name}: {how}; the frames are the same")
            if stage != "load":
                self.engine.arrange(rung)

    def restore(self) -> None:
        """Put everything where it was: the next clip may be smaller."""
        if self.said:
            self.engine.arrange(self._first.rung)


def free(error: Exception) -> None:
    """Let go of what the failed work still holds: its frames keep every tensor that was in use."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__context__
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
