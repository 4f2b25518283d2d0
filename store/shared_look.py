"""Looks at a database that all threads share which wait for one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
        self._at_once = _WithoutWaiting(self._lock)
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

    def at_once(self) -> AbstractContextManager[None]:
        """Hold the last look. Raises WouldWait where another thread is looking."""
        return self._at_once

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Hold the last look, however long another thread may be looking."""
        with self._lock:
            yield


class _WithoutWaiting(AbstractContextManager[None]):
    """Holds a lock if it is free. Each answer does this once or twice."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise WouldWait

    def __exit__(self, *raised: object) -> None:
        self._lock.release()
