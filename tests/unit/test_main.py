"""__main__.py: the program ends with its exit code, and leaves processors to others while its threads wait."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
sys.argv = ["unstill", "explain", "--no-such-option"]
from unstill.__main__ import run
try:
    run()
finally:
    print(os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(("said", "heard"), [(None, "3000"), ("ACTIVE", "None")])
def test_threads_spin_for_moments_only_unless_somebody_says_otherwise(said, heard):
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment |= {} if said is None else {"OMP_WAIT_POLICY": said}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (2, heard)
