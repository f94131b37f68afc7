"""How processes that compute side by side share a machine's processors. It does not know what they compute."""

from __future__ import annotations

import os

WAITS = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}  # where somebody says how threads wait
# Rounds that a thread spins before it sleeps: microseconds. libgomp's own, a hundred times as many, made a clip take five
# times as long beside other programs; with none at all, small operations took twice as long on a machine of one's own.
SPINS = "3000"


def choose_waiting() -> dict[str, str]:
    """Say how threads wait for work, unless somebody has; torch reads it when it is imported."""
    return {} if WAITS & os.environ.keys() else {"GOMP_SPINCOUNT": SPINS}


def share_processors(processes: int) -> dict[str, str]:
    """Give the environment of one of so many processes; what is set already holds.

    Each with all processors, two workers on two GPUs ran no faster than one: 60 threads that spun on 32 processors kept the
    GPUs waiting.
    """
    threads = max(1, (os.cpu_count() or 1) // max(1, processes))
    return {"OMP_NUM_THREADS": str(threads), **choose_waiting(), **os.environ}
