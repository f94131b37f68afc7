"""A clip as whoever asked for it sees it. It does not know how a server is spoken to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unstill.jobs.states import COMPLETED, FINAL, STATES


@dataclass(frozen=True)
class Video:
    """A clip as a server knows it: what was asked for, how far it is, and what came out."""

    id: str
    state: str = "queued"  # queued, running, completed, failed or cancelled
    stage: str = ""  # of one that runs: load, sample, decode, …
    progress: int = 0  # 0 to 100
    model: str = "auto"
    title: str = ""
    seed: int | None = None
    size: str = ""
    seconds: str = ""
    created_at: int | None = None
    completed_at: int | None = None
    expires_at: int | None = None
    error: Mapping[str, Any] | None = None  # code and message
    bytes: int | None = None  # of the file
    moves: str | None = None  # how it moves, in a sentence
    warnings: Sequence[str] = ()
    knobs: Mapping[str, Any] = field(default_factory=dict)  # as they were asked for
    answer: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # all that the server said

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Video:
        """Read a server's answer; what is not a field here stays in `answer`."""
        names = {one.name for one in dataclasses.fields(cls)} - {"answer"}
        return cls(**{name: value for name, value in answer.items() if name in names}, answer=dict(answer))

    @property
    def is_over(self) -> bool:
        """Say whether nothing more will happen to it by itself."""
        return self.state in FINAL

    @property
    def is_completed(self) -> bool:
        """Say whether it can be downloaded."""
        return self.state == COMPLETED

    def after(self, kind: str, told: Mapping[str, Any]) -> Video:
        """Give the clip as it is after something has happened to it."""
        stage, progress = told.get("stage", self.stage), told.get("progress")
        return dataclasses.replace(
            self,
            state=kind if kind in STATES else self.state,
            stage=stage if kind not in FINAL else "",
            progress=self.progress if progress is None else int(100 * progress),
        )
