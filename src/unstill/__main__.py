"""`python -m unstill` is the command line."""

import signal

from unstill.cli import main

code = main()
# Nothing is left to stop: a Ctrl-C that comes while the interpreter ends must not change how the run ended.
signal.signal(signal.SIGINT, signal.SIG_IGN)
raise SystemExit(code)
