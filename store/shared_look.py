"""Looks at a database that all threads share which wait for one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from errors import WouldWait


class SharedLook:
    """Lets one thread look at a database while others wait, and share what it found.

    One look answers all who asked before it began: threads that wait would otherwise
    look, or wait for a locked file, one after the other. `look` notes what it finds; a
    thread that holds the look may read that, and use the database.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._began = float("-inf")

    @contextmanager
    def since(self, asked: float | None = None) -> Iterator[None]:
        """Hold a look that began after `asked` (by time.monotonic), by default now."""
        asked = monotonic() if asked is None else asked
        with self._lock:
            if self._began < asked:
                began = monotonic()
                self._look()
                self._began = began
            yield

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Hold the last look. Raises WouldWait where another thread is looking."""
        if not self._lock.acquire(blocking=False):
            raise WouldWait
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Hold the last look, however long another thread may be looking."""
        with self._lock:
            yield
