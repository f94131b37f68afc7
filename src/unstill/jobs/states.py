"""What a job can be, and how it may come from one state to another. One table; everything else asks it.

    python -m unstill.jobs.states    prints the diagram that docs/concepts/jobs.md shows

It does not know where jobs are kept.
"""

from __future__ import annotations

QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED = "queued", "running", "completed", "failed", "cancelled"
STATES = (QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED)
FINAL = (COMPLETED, FAILED, CANCELLED)

MOVES = {
    (QUEUED, RUNNING): "a worker claims it",
    (QUEUED, CANCELLED): "somebody cancels it",
    (RUNNING, COMPLETED): "its clip is published",
    (RUNNING, FAILED): "it cannot be made, or was tried too often",
    (RUNNING, CANCELLED): "the worker hears that somebody cancelled it",
    (RUNNING, QUEUED): "its worker leaves, dies or hangs; the next goes on from the last step that was kept",
    (FAILED, QUEUED): "somebody asks for it again",
    (CANCELLED, QUEUED): "somebody asks for it again",
}


def list_origins(state: str) -> tuple[str, ...]:
    """List the states from which a job may come into one."""
    return tuple(origin for origin, target in MOVES if target == state)


def draw_diagram() -> str:
    """Write the table as a Mermaid diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {QUEUED}: it is accepted"]
    lines += [f"    {origin} --> {target}: {why}" for (origin, target), why in MOVES.items()]
    return "\n".join([*lines, *(f"    {state} --> [*]: it is deleted, or kept long enough" for state in FINAL)])


if __name__ == "__main__":
    print(draw_diagram())
