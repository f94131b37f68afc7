"""When memory runs out, the stage that it ran out in is done again with less, and nothing that was computed before is lost.

Each engine knows its own rungs (`Engine.step_down`); all of them make the same frames. It does not know what a stage does.
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

T = TypeVar("T")
ON_HOST = ("cpu",)  # where there is nothing to offload from
DOING = {"sample": "sampling", "decode": "decoding"}


class Ladder:
    """Run stages of one clip; afterwards the engine is again as its plan says."""

    def __init__(self, plan: Plan, engine: Engine, said: list[str]) -> None:
        self.plan, self.engine = plan, engine
        self.said = said  # what was stepped down to, and where

    def run(self, stage: str, work: Callable[[Plan], T]) -> T:
        """Do a stage; where memory runs out, step down and do it again."""
        while True:
            try:
                return work(self.plan)
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not is_memory(error):
                    raise
                failed = error
            free(failed)
            lower = self.engine.step_down(stage, self.plan)
            if lower is None:
                raise failed
            self.plan, how = lower
            self.said.append(f"memory ran out while {DOING[stage]}: {how}, the frames are the same")

    def restore(self) -> None:
        """Put everything where it was: the next clip may be smaller."""
        if self.said:
            self.engine.restore()


def load_with_less(plan: Plan, load: Load) -> tuple[Plan, Engine, list[str]]:
    """Load an engine; where its parts do not fit on the device together, load it so that they take turns."""
    try:
        return plan, load(plan), []
    except (RuntimeError, MemoryError) as error:
        if not is_memory(error) or plan.request.offload or plan.device in ON_HOST:
            raise
        free(error)
    plan = replace(plan, request=plan.request.replace(offload=True))
    return (
        plan,
        load(plan),
        ["memory ran out while loading: parts of the model take turns on the device, the frames are the same"],
    )


def free(error: Exception) -> None:
    """Let go of what the failed work still holds: its frames keep every tensor that was in use."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__context__
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
