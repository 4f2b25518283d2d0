"""Ending with the process that started this one: with a test run, say, if it is killed.

Linux can send a signal when the parent dies (PR_SET_PDEATHSIG, prctl(2)), but means the
thread that started this process, which may end long before.
"""

import os
import select
import signal
import threading
import time

POLL_SECONDS = 0.1  # where the system cannot say when a process ends


def end_with(parent: int) -> None:
    """End this process, as on SIGTERM, when its parent process has ended.

    `parent` is its id, from when this process began: it may have ended since.
    """

    def watch() -> None:
        _wait_for_end(parent)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch, name="starter-watch", daemon=True)
    # Signals are for the main thread.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    thread.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_end(parent: int) -> None:
    try:
        descriptor = os.pidfd_open(parent)
    except (AttributeError, OSError):  # not Linux, or it has ended already
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        return
    # Where it had ended before, the id may be another process's now.
    if os.getppid() == parent:
        select.select([descriptor], [], [])
    os.close(descriptor)
