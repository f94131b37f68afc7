"""How processes that compute side by side share a machine's processors. It does not know what they compute."""

from __future__ import annotations

import os


def share_processors(processes: int) -> dict[str, str]:
    """Give the environment of one of so many processes: torch reads it when it is imported, and what is set already holds.

    Each with all processors, two workers on two GPUs ran no faster than one: 60 threads that spun on 32 processors kept the
    GPUs waiting.
    """
    threads = max(1, (os.cpu_count() or 1) // max(1, processes))
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
