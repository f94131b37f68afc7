"""Time for leases: seconds for which the machine has run, which no one can set; and the day's time, for people."""

from __future__ import annotations

import functools
import subprocess
import time
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")


def read_lease_s() -> float:
    """Give seconds that never jump, the same to all processes; after a restart they begin anew.

    They stand still while the machine sleeps, as its workers do: nobody's lease is over for a closed lid.
    """
    return time.monotonic()


def read_boot() -> str:
    """Name this start of the machine, so that leases of an earlier one are known to be over."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return find_boot()


@functools.cache
def find_boot() -> str:
    """Ask the system when it started, where there is no /proc; where it cannot tell, all starts are one, and leases run out."""
    try:
        asked = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return asked.stdout.strip() or "unknown"


def read_time_s() -> float:
    """Give the day's time in seconds, to be shown and to count days of keeping."""
    return time.time()
