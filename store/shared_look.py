"""Looks at a database that all threads share which wait for one."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Self

from errors import WouldWait


class SharedLook:
    """Lets one thread look at a database while others wait, and share what it found.

    One look answers all who asked before it began: threads that wait would otherwise
    look, or wait for a locked file, one after the other. `look` notes what it finds. A
    thread that holds the look, by `with shared_look.since(asked):`, may read that and
    use the database.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._began = float("-inf")

    def since(self, asked: float | None = None) -> Self:
        """Hold a look that began after `asked` (by time.monotonic), by default now."""
        asked = monotonic() if asked is None else asked
        self._lock.acquire()
        try:
            if self._began < asked:
                began = monotonic()
                self._look()
                self._began = began
        except BaseException:
            self._lock.release()
            raise
        return self

    def at_once(self) -> Self:
        """Hold the last look. Raises WouldWait where another thread is looking."""
        if not self._lock.acquire(blocking=False):
            raise WouldWait
        return self

    def ended(self) -> Self:
        """Hold the last look, however long another thread may be looking."""
        self._lock.acquire()
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *failure: object) -> None:
        self._lock.release()
