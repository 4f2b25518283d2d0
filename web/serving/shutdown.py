"""Shutting down on SIGTERM or SIGINT, whichever process or thread receives it.

Signals are blocked in all threads, and the main thread does nothing but wait for them:
no handler can run at a bad moment, and none is missed.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

# SIGHUP is sent when a terminal is closed.
ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
# SIGALRM wakes the main thread when there is something to see, or time is up.
_WAITED_FOR = {*ENDING, signal.SIGALRM, signal.SIGCHLD}

POLITE_SECONDS = 1.0  # for connections that no answer is in progress on

# Within this time, more signals are the same one, sent to the process and its group.
SAME_SECONDS = 0.5


def block_signals() -> None:
    """Keep signals for `wait_for_signal`. Called before there are other threads."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started us may ignore it
    signals = set(_WAITED_FOR)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signals.discard(signal.SIGHUP)  # nohup(1): to go on without the terminal
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def wait_for_signal() -> int:
    """Wait for one of the signals and return its number."""
    return signal.sigwait(_WAITED_FOR)


def wake() -> None:
    """Wake the main thread, from any thread."""
    os.kill(os.getpid(), signal.SIGALRM)


def wait_until_done(done: Callable[[], bool], seconds: float) -> int:
    """Wait until something is done, `wake` being called then, or time is up.

    Return the exit status: 0, or 128 and the number of a second signal,
    which ends the waiting at once.
    """
    began = time.monotonic()
    while not done() and (left := began + seconds - time.monotonic()) > 0:
        signal.setitimer(signal.ITIMER_REAL, left)
        number = wait_for_signal()
        if number in ENDING and time.monotonic() - began > SAME_SECONDS:
            return 128 + number
    return 0


def end_with_parent(parent_alive: int) -> None:
    """End this process when its parent has ended, killed or not.

    `parent_alive` is the reading end of a pipe whose writing end only the parent has.
    """

    def watch() -> None:
        os.read(parent_alive, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
