"""Keeps a snapshot current: takes a new one when the database has changed.

A new snapshot is made beside the old one and replaces it by one assignment, so that
readers need no lock and never see half.
"""

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol, cast

from errors import WouldWait
from snapshot.snapshot import Snapshot
from store.failures import IS_LOCKED, DatabaseUnavailable
from store.readers import Reader
from store.rows import Mark
from store.shared_look import SharedLook

log = logging.getLogger("governance")

NO_SNAPSHOT = "no snapshot was taken yet"


class Watcher(Protocol):
    """Takes note of what a keeper does."""

    def taken(self, seconds: float) -> None:
        """The database was read anew, which took so long."""

    def failed(self) -> None:
        """A look at the database failed."""


class Keeper:
    """Keeps the snapshot of one database. All methods may be called by many threads."""

    def __init__(self, reader: Reader, seconds: float) -> None:
        self._reader = reader
        self._seconds = seconds
        self._shared_look = SharedLook(self._look)
        self._snapshot: Snapshot | None = None
        self._mark: Mark = ()
        self._known_current = 0.0
        self._failure: Exception | None = None
        self._last_failure: dict[str, str] | None = None
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.watcher: Watcher | None = None

    def current(self, asked: float | None = None) -> Snapshot:
        """Return the snapshot of the database as it is now, or was after `asked`.

        `asked` is a time by time.monotonic. Raises DatabaseUnavailable.
        """
        with self._shared_look.since(asked):
            if isinstance(self._failure, DatabaseUnavailable):
                raise DatabaseUnavailable(self._failure.path, self._failure.reason)
            if self._failure is not None:
                raise RuntimeError("taking a snapshot failed") from self._failure
            return cast(Snapshot, self._snapshot)

    def remembered(self) -> Snapshot:
        """Return the last snapshot; only if there is none yet, a file is read."""
        return self._snapshot or self.current()

    def current_at_once(self) -> Snapshot:
        """Return the snapshot, where a look at the database shows that it is current.

        Raises WouldWait where another thread is looking, the database is locked or
        changed, or the last look failed.
        """
        with self._shared_look.at_once():
            looked = monotonic()
            if self._failure is not None or self._mark != self._reader.mark_at_once():
                raise WouldWait
            self._known_current = looked
            return cast(Snapshot, self._snapshot)

    def remembered_at_once(self) -> Snapshot:
        """Return the last snapshot; WouldWait where none was ever taken."""
        if self._snapshot is None:
            raise WouldWait
        return self._snapshot

    def age(self) -> int:
        """Return the whole seconds since the last snapshot was known to be current."""
        return int(monotonic() - self._known_current)

    @property
    def has_snapshot(self) -> bool:
        """Return whether a snapshot was ever taken."""
        return self._snapshot is not None

    def start(self) -> None:
        """Start the background check, once in each process."""
        # A lock of its own: memory answers must not wait for a snapshot being taken.
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._keep_looking, name="snapshot-keeper", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Stop the background check and close the database."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._shared_look.ended():
            self._reader.close()

    def state(self) -> dict[str, Any]:
        """Return which modes can answer, the snapshot's age and counts, and the last
        failure.
        """
        problem = self._problem()  # first: a snapshot may come meanwhile
        snapshot = self._snapshot
        age = self.age() if snapshot else None
        return {
            "ready": problem is None,
            "database": readiness(problem),
            "memory": readiness(None if snapshot else NO_SNAPSHOT) | {"age": age},
            "age": age,
            **(snapshot.counts if snapshot else {}),
            "last_failure": self._last_failure,
        }

    def _problem(self) -> str | None:
        """Return why the database mode cannot answer; repeats a look that failed."""
        try:
            with self._shared_look.at_once():
                self._reader.mark_at_once()
                if self._failure is not None:
                    self._look()  # it may succeed now
        except WouldWait:
            pass
        except DatabaseUnavailable as failure:
            if failure.reason != IS_LOCKED:  # which may pass in a moment
                return f"the database {failure.reason}"
        if self._failure is not None and self._last_failure is not None:
            return self._last_failure["reason"]
        return None if self._snapshot else NO_SNAPSHOT

    def _look(self) -> None:
        try:
            self._refresh()
        except DatabaseUnavailable as failure:
            if str(self._failure) != str(failure):
                log.error("database unavailable: %s", failure)
            self._failure = failure
            self._last_failure = _failure_now(f"the database {failure.reason}")
        except Exception as failure:  # raised again for each who waits for it
            self._failure = failure
            self._last_failure = _failure_now("a snapshot could not be taken")
        else:
            if isinstance(self._failure, DatabaseUnavailable):
                log.info("database available again: %s", self._reader.path)
            self._failure = None
        if self._failure is not None and self.watcher is not None:
            self.watcher.failed()

    def _refresh(self) -> None:
        looked = monotonic()
        mark = self._reader.mark()
        if mark != self._mark:
            with _no_collecting():
                self._take()
            self._mark = mark
            if self.watcher is not None:
                self.watcher.taken(monotonic() - looked)
        self._known_current = looked

    def _take(self) -> None:
        """Take a snapshot, if any of our tables changed since the last one."""
        before = self._snapshot
        known = before.index.rows if before else None
        rows = self._reader.read(known)
        if known is None or any(rows[model] is not known[model] for model in rows):
            self._snapshot = Snapshot(rows, before)
            gc.collect()  # what requests left behind would be frozen for ever, too
            gc.freeze()

    def _keep_looking(self) -> None:
        while True:
            try:
                self.current()
            except DatabaseUnavailable:
                pass  # logged, and shown by readyz; the next look may find it well
            except Exception:
                log.exception("taking a snapshot failed")
            if self._stop.wait(self._seconds):
                return


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Disable the garbage collector while a snapshot is taken.

    Rows live until they are replaced and have no circular references: looking through
    all of them in vain would stop every thread for 60 ms, again and again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def readiness(problem: str | None) -> dict[str, Any]:
    """Return whether something is ready, for readyz; with a problem it is not."""
    if problem is None:
        return {"ready": True}
    return {"ready": False, "reason": problem}


def _failure_now(reason: str) -> dict[str, str]:
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "reason": reason}
