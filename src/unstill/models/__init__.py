"""Model families, one folder each, and how the engine that a plan names is loaded."""

from __future__ import annotations

from unstill.artifacts import Plan
from unstill.engine import Engine, Load


def load_engine(plan: Plan) -> Engine:
    """Load the engine that the plan names."""
    if plan.engine == "motion":
        from unstill.models.pocket.engine import PocketEngine

        return PocketEngine(plan)
    if plan.engine == "fast":
        from unstill.engine.fast import FastEngine

        return FastEngine(plan)
    from unstill.engine.reference import ReferenceEngine

    return ReferenceEngine(plan)


class Keep:
    """Load engines as `load_engine` does, or in a way of one's own, but keep the last one for the next clip."""

    def __init__(self, load: Load = load_engine) -> None:
        self._load = load
        self._kept: tuple[object, Engine] | None = None

    def __call__(self, plan: Plan) -> Engine:
        """Return the kept engine if it fits the plan; else load another in its place."""
        key = (plan.model, plan.device, plan.dtype, plan.engine)
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # free the old one before the new one needs its memory
            self._kept = (key, self._load(plan))
        else:
            self._kept[1].arrange(plan.rung)
        return self._kept[1]
