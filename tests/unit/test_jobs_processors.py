"""jobs/processors.py: workers side by side leave each other processors, and whoever says otherwise is heard."""

import os

from unstill.jobs.processors import share_processors


def test_processors_are_shared_and_none_spins_for_long(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 32)
    shares = [share_processors(count)["OMP_NUM_THREADS"] for count in (0, 1, 2, 5, 64)]
    assert shares == ["32", "32", "16", "6", "1"]
    assert share_processors(2)["GOMP_SPINCOUNT"] == "3000"


def test_what_is_set_already_holds(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    told = share_processors(2)
    assert (told["OMP_NUM_THREADS"], told["OMP_WAIT_POLICY"], "GOMP_SPINCOUNT" in told) == ("3", "ACTIVE", False)
