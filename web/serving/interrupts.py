"""Ends on Ctrl-C while the service starts, and notes which process started it.

Imported by app.py before anything else. On Ctrl-C the `flask` command would print
"Aborted!" and exit with 1, as after a failure.
"""

import os
import signal
import sys

SERVES = not {"serve", "demo"}.isdisjoint(sys.argv[1:])  # so does this process

if SERVES:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

STARTED_BY = os.getppid()  # the process that started this one, which may end any time
