"""`python -m unstill` is the command line."""

from unstill.cli import main

raise SystemExit(main())
