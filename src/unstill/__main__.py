"""The program: `unstill`, and `python -m unstill`."""

import os
import signal
import sys

from unstill.cli import main
from unstill.jobs.processors import choose_waiting


def run() -> None:
    """Run the command line, and end with its exit code."""
    os.environ.update(choose_waiting())  # before torch is imported
    code = main()
    # Nothing is left to stop: a Ctrl-C that comes while the interpreter ends must not change how the run ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


if __name__ == "__main__":
    run()
