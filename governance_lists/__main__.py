"""`python -m governance_lists`, the same as the command `governance-lists`."""

from governance_lists.cli import main

main()
