"""Ending on Ctrl-C while the service still starts; imported by app.py before all else.

The `flask` command would print "Aborted!" and end with status 1, after which nobody
knows whether it was interrupted or has failed.
"""

import signal
import sys

SERVES = not {"serve", "demo"}.isdisjoint(sys.argv[1:])  # so does this process

if SERVES:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
