"""The program: `unstill`, and `python -m unstill`."""

import os
import signal
import sys

from unstill.cli import main


def run() -> None:
    """Run the command line, and end with its exit code."""
    # Threads that wait for work by spinning take the processor from whoever has some: beside other programs a clip took four
    # times as long. It must be said before torch is imported; whoever says otherwise is heard.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    code = main()
    # Nothing is left to stop: a Ctrl-C that comes while the interpreter ends must not change how the run ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


if __name__ == "__main__":
    run()
