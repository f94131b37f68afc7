"""Several clips share passes through the network; each is otherwise made as it is made alone.

Clips may share that differ in picture and seed and in nothing else. What breaks off a shared pass leaves each with the steps
it has, to go on from alone. It does not know where clips come from.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from unstill.engine import Engine, Load
from unstill.engine.memory_errors import is_memory
from unstill.errors import Cancelled, UnstillError
from unstill.generate import Making
from unstill.ladder import Ladder, free
from unstill.sample import Walk, sample_together


def gather(makings: Iterable[Making]) -> list[list[Making]]:
    """Put those together that may share passes, as many as their plan allows."""
    groups: list[list[Making]] = []
    for making in makings:
        fitting = (group for group in groups if len(group) < making.plan.together and is_alike(group[0], making))
        group = next(fitting, None)
        groups.append([making]) if group is None else group.append(making)
    return groups


def is_alike(one: Making, other: Making) -> bool:
    """Say whether two clips differ in picture and seed alone, and stand at the same step."""
    return tell_apart(one) == tell_apart(other)


def tell_apart(making: Making) -> tuple[object, ...]:
    """Give all that clips of one pass must have in common."""
    plan, last = making.plan, making.sampling.last
    done = 0 if last is None else last.number
    return (plan.request.replace(seed=None), plan.model, plan.size, plan.device, plan.dtype, plan.engine, plan.rung, done)


def share(makings: Sequence[Making], load: Load) -> None:
    """Take the steps of clips together; `make` of each goes on from there. A clip alone is left to it."""
    if len(makings) == 1 or makings[0].sampling.is_over:
        return
    with makings[0].clock.stage("load"):
        ladder = Ladder(makings[0].plan, load)
    start = time.perf_counter()
    try:
        if not ladder.said:  # else memory is short for one
            walk(makings, ladder.engine)
    except Cancelled:
        raise
    except UnstillError as error:  # of one, perhaps: it says so when it is made, and the others are made
        for making in makings:
            making.said.append(f"a shared pass of {len(makings)} clips broke off, and they went on one by one: {error.message}")
    except (RuntimeError, MemoryError) as error:
        if not is_memory(error):
            raise
        free(error)
        for making in makings:
            making.said.append(f"memory ran out with {len(makings)} clips in a pass: they went on one by one")
    finally:
        ladder.restore()
        for making in makings:
            making.clock.add("sample", (time.perf_counter() - start) / len(makings))


def walk(makings: Sequence[Making], engine: Engine) -> None:
    """Take all steps; where that breaks off each keeps its last one."""
    with ExitStack() as stack:
        for making in makings:
            stack.enter_context(making.sampling.keeping())
        walks = [Walk(making.plan, making.image, engine, resume=making.sampling.last) for making in makings]
        for steps in sample_together(walks):
            for making, step in zip(makings, steps, strict=True):
                making.sampling.note(step)
                making.sampling.together = len(makings)
            for making in makings:
                making.sampling.tell()
    engine.wait()
