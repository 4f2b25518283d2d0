"""What makes sure that a process ends when it is told to, whoever of it is told.

Nothing here knows what the process does.
"""

import os
import signal
import threading
import time

PARENT_POLL_SECONDS = 1


def pass_signals_on() -> None:
    """See to it that the main thread, which waits for signals, learns of each.

    The system may hand a signal to any thread, and Python only makes a note of it then:
    the main thread would sleep on, and SIGTERM end nothing. Called by the main thread.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    main = threading.get_ident()

    def pass_on() -> None:
        while True:
            signal.pthread_kill(main, os.read(reading, 1)[0])
            os.read(reading, 1)  # that was told, too

    threading.Thread(target=pass_on, daemon=True).start()


def obey_signals_after_fork() -> None:
    """Let a child that is told to end before it is set up end at once.

    It would do as its parent does, make a note of the signal, and live on.
    """
    os.register_at_fork(after_in_child=_obey_signals)


def _obey_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_with(parent: int) -> None:
    """End this process when its parent is gone, killed without a chance to say so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
