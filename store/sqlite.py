"""Reading a gateway's SQLite database, and noticing its changes.

Finding its files is in locations.py, copying them in images.py.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import peewee
from peewee import SqliteDatabase

from store.changed_rows import LastRead, find_changes, follow, read_changes
from store.encryption import Encryption
from store.failures import (
    IN_MOTION,
    IS_LOCKED,
    DatabaseUnavailable,
    Unreadable,
    failure_reason,
)
from store.images import DatabaseFiles, LoggedFile, PlainFile, open_files
from store.leaves import DAMAGED, NotFollowed
from store.loaded_image import LoadedImage
from store.locations import Found, find
from store.pages import Pages, Version
from store.rows import Mark, Models, Rows, select_all
from store.seen_file import SeenFile

LOCK_WAIT_SECONDS = 1.0  # writers hold the lock for milliseconds
LOCK_WAIT_AGAIN_SECONDS = 0.1  # while it stays locked, requests must not pile up
LOCK_POLL_SECONDS = 0.005
FAILURES = (peewee.DatabaseError, sqlite3.Error, OSError, Unreadable)
# What can come of reading changes that are not as they are expected to be.
UNCERTAIN = (NotFollowed, Unreadable, peewee.DatabaseError, sqlite3.Error, *DAMAGED)
READINGS = 20  # of a file that is replaced while it is read

T = TypeVar("T")


class Reader:
    """A Reader of one SQLite file; nothing is written to it or beside it.

    `models` are the tables to read; one that the file lacks is empty, unless it is
    among the `required`: then the file is refused. One thread at a time may use a
    Reader.
    """

    def __init__(
        self,
        path: Path,
        models: Models,
        required: Models,
        encryption: Encryption | None = None,
    ) -> None:
        self.path = path
        self._encryption = encryption or Encryption()
        # The process may change its folder later.
        self._name = os.path.join(os.getcwd(), path)
        self._models = models
        self._required = required
        self._files: PlainFile | LoggedFile | None = None
        # The last mark, and the file as it was then.
        self._mark: Mark = ()
        self._main: SeenFile | None = None
        self._is_settled = False
        self._patience = LOCK_WAIT_SECONDS
        self._last: LastRead | None = None

    def mark(self) -> Mark:
        """Return a value that differs after each commit; takes microseconds.

        Waits up to a second for a lock of another process. Raises DatabaseUnavailable.
        """
        return self._patiently(self.mark_at_once)

    def mark_at_once(self) -> Mark:
        """Return the mark without waiting; DatabaseUnavailable if it is locked, too."""
        try:  # as in `_failures_named`, which takes longer than the look itself
            if not self._is_as_before():
                self._unless_replaced(self._look)
            return self._mark
        except FAILURES as problem:
            raise self._unavailable(problem) from problem

    def settled(self) -> Mark | None:
        """Return the last mark, if the file's times alone show that it still holds.

        Cheaper than `mark`, but blind to locks. None where commits may go to a log, or
        the file had been written in the last seconds when it was last looked at.
        """
        main = self._main
        if self._is_settled and main is not None and main.is_unchanged():
            return self._mark
        return None

    def read(self, known: Rows | None = None) -> Rows:
        """Return all rows of all tables, as of one moment. Raises DatabaseUnavailable.

        A table that is the same as a `known` one is returned as that very list: of
        those that did not change, no more than one is held twice at a time.
        """

        return self._patiently(lambda: self._read(known))

    def verify(self) -> None:
        """Raise DatabaseUnavailable unless the file could be read now."""
        with closing(self):
            self.mark()
            if self._encryption.has_key:
                self.read()
                self._encryption.require_key(self.path)
            else:
                self._patiently(self._require_readable)

    def close(self) -> None:
        """Close all files; the next question opens them again."""
        if self._files is not None:
            self._files.close()
            self._files = self._main = None

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Call `ask` again until the file is not locked, for as long as `_patience`."""
        end = time.monotonic() + self._patience
        while True:
            try:
                answer = ask()
            except DatabaseUnavailable as failure:
                if failure.reason != IS_LOCKED:
                    raise
                if time.monotonic() >= end:
                    self._patience = LOCK_WAIT_AGAIN_SECONDS
                    raise
                time.sleep(LOCK_POLL_SECONDS)
            else:
                self._patience = LOCK_WAIT_SECONDS
                return answer

    def _is_as_before(self) -> bool:
        """Return True if a quick look shows that the last mark still holds."""
        files, main = self._files, self._main
        if files is None or main is None:
            return False
        if not (main.is_unchanged() and files.is_as_before()):
            return False
        if not (self._is_settled or files.uses_log):
            self._is_settled = main.is_old()
        return True

    def _look(self, found: Found) -> None:
        """Take a new mark."""
        self._main = None  # until there is a mark: a lock may prevent it
        files = self._open(found)
        main = found.main
        version = files.version(found)
        self._mark = found.location, main.st_mtime_ns, main.st_size, *version
        self._main = SeenFile(self._name, main)
        self._is_settled = not files.uses_log and self._main.is_old()

    def _read(self, known: Rows | None) -> Rows:
        with self._failures_named():
            rows = self._changed_rows(known)
            return self._all_rows(known) if rows is None else rows

    def _changed_rows(self, known: Rows | None) -> Rows | None:
        """Return all rows by reading only what changed; None where that cannot be."""
        last = self._last
        if known is None or last is None:
            return None
        if any(known[model] is not last.rows[model] for model in self._models):
            return None
        changes = self._at_one_moment(lambda _, pages: find_changes(pages, last))
        if changes is None:
            return None
        try:
            self._last = read_changes(changes, last, self._encryption.opened_some)
        except UNCERTAIN:
            return None  # reading all shows what is wrong, if anything is
        return self._last.rows

    def _all_rows(self, known: Rows | None) -> Rows:
        """Return all rows, and remember what following changes takes."""
        self._last = None
        image, version = self._at_one_moment(_copied)
        with self._opened(image) as database:
            followed = follow(database, image, version(image), self._models)
            del image  # the database has a copy of its own
            rows = select_all(database, self._models, known, self._encryption.opened)
        self._last = followed and followed.with_rows(rows)
        return rows

    def _require_readable(self) -> None:
        with self._failures_named():
            image, _ = self._at_one_moment(_copied)
            with self._opened(image):
                pass

    @contextmanager
    def _opened(self, image: bytearray) -> Iterator[LoadedImage]:
        """Open a copy of a database that is as it should be."""
        database = LoadedImage(image)
        with database.connection_context(), database.atomic():
            database.require_sound()
            self._require_tables(database)
            yield database

    def _at_one_moment(self, use: Callable[[DatabaseFiles, Pages], T]) -> T:
        """Call `use` with the files and the pages of the database that is there."""

        def ask(found: Found) -> T:
            files = self._open(found)
            answer = files.at_one_moment(lambda pages: use(files, pages))
            if find(self._name).location != found.location:
                raise FileNotFoundError(self._name)
            return answer

        return self._unless_replaced(ask)

    def _unless_replaced(self, ask: Callable[[Found], T]) -> T:
        """Call `ask` with the files found; again if they were replaced meanwhile.

        A write-ahead log can be checkpointed and deleted at any moment.
        """
        for _ in range(READINGS):
            found = find(self._name)
            if found.problem:
                raise Unreadable(found.problem)
            try:
                return ask(found)
            except FileNotFoundError:
                self.close()
        raise Unreadable(IN_MOTION)

    def _open(self, found: Found) -> PlainFile | LoggedFile:
        if self._files is None or self._files.location != found.location:
            self.close()
            self._files = open_files(found.location)
        return self._files

    def _require_tables(self, database: SqliteDatabase) -> None:
        for model in self._required:
            table = model._meta.table_name
            if not database.get_columns(table):
                raise Unreadable(f"has no table {table}")
        names = {model._meta.table_name for model in self._models}
        for view in database.get_views():
            # One could go on for ever, and none is of a gateway's making.
            if view.name.lower() in names:
                raise Unreadable(f"has a view where the table {view.name} should be")

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as problem:
            raise self._unavailable(problem) from problem

    def _unavailable(self, problem: Exception) -> DatabaseUnavailable:
        """Return what callers are given for a failure, which closes the files."""
        name = self._files.location.name if self._files else self._name
        reason = failure_reason(problem, name)
        if reason != IS_LOCKED:
            self.close()
        return DatabaseUnavailable(self.path, reason)


def _copied(
    files: DatabaseFiles, pages: Pages
) -> tuple[bytearray, Callable[[bytearray], Version]]:
    return files.image(pages), pages.version
