"""Time for leases: seconds since the machine started, which no one can set; and the day's time, for people."""

from __future__ import annotations

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
    except OSError:  # no Linux: the day on which it started is near enough, and a restart within it expires by time
        return str(round((time.time() - time.monotonic()) / 86_400))


def read_time_s() -> float:
    """Give the day's time in seconds, to be shown and to count days of keeping."""
    return time.time()
