"""Time for leases: seconds since the machine started, which no one can set; and the day's time, for people."""

from __future__ import annotations

import functools
import subprocess
import time
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")


def read_lease_s() -> float:
    """Give seconds that never jump and go on while the machine sleeps; after a restart they begin anew."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


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
