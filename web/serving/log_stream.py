"""A stream for log lines that never makes its writer wait.

Standard error may be a pipe that nobody reads, as in the fixtures of many tests.
Writing to it directly would stop a thread in the middle of a request.
"""

import os
import select
import stat
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime

WAITING_LINES = 10_000  # some megabytes, until lines are dropped
ATOMIC_BYTES = 4096  # what a pipe that can be written to takes at once (POSIX)
FILE_BYTES = 2**20
BATCH_SECONDS = 0.01  # lines of so long are written at once


class LogStream:
    """A stream whose lines, from any thread, a thread of its own writes.

    What does not fit is dropped, and counted in a line of its own.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # A file takes all at once; others as much as they can without waiting.
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._piece = FILE_BYTES if is_file else ATOMIC_BYTES
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._counting = threading.Lock()
        self._some = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._write_on, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        if len(self._lines) >= WAITING_LINES:
            with self._counting:
                self._dropped += 1
        else:
            self._lines.append(text)
            if not self._some.is_set():
                self._idle.clear()
                self._some.set()
        return len(text)

    def flush(self) -> None:
        """Nothing: lines are written soon, but nobody waits for it."""

    def drain(self, seconds: float) -> None:
        """Wait until all is written, so long at the most."""
        self._idle.wait(seconds)

    def _write_on(self) -> None:
        while True:
            self._some.wait()
            time.sleep(BATCH_SECONDS)
            self._some.clear()
            with suppress(OSError):  # nobody can read it: lines go nowhere
                self._write_waiting()
            if not self._some.is_set():
                self._idle.set()

    def _write_waiting(self) -> None:
        count = len(self._lines)
        text = "".join(self._lines.popleft() for _ in range(count))
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6]
            text += (
                f"{now}Z WARNING {dropped} lines were dropped: nobody read the log\n"
            )
        view = memoryview(text.encode("utf-8", "backslashreplace"))
        while view:
            select.select([], [self._descriptor], [])  # it may be a non-blocking one
            with suppress(BlockingIOError):
                view = view[os.write(self._descriptor, view[: self._piece]) :]


class CarefulStream:
    """Writes lines to a descriptor at once, or drops them where that would wait.

    For a process that must not have other threads.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        with suppress(OSError):
            if select.select([], [self._descriptor], [], 0)[1]:
                line = text.encode("utf-8", "backslashreplace")
                os.write(self._descriptor, line[:ATOMIC_BYTES])
        return len(text)

    def flush(self) -> None:
        """Nothing: it is written."""
