"""Opening a gateway's database read-only, asking whether it changed, reading its rows.

SQLite only, so far; what is special about it is here, in database_files.py, wal.py and
failures.py.
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

from database_files import Files, find_files, hidden_log_problem, is_write_ahead, uri_of
from failures import IS_DAMAGED, IS_LOCKED, DatabaseUnavailable, failure_reason
from rows import Models, Rows, select_all
from wal import LogFiles, LogInMotion

LOCK_WAIT_SECONDS = 1.0  # writers hold the lock for milliseconds
LOCK_WAIT_AGAIN_SECONDS = 0.1  # while it stays locked, requests must not pile up
LOCK_POLL_SECONDS = 0.005
SETTLED_NANOSECONDS = 5 * 10**9  # longer than the coarsest file time, FAT's 2 s
READINGS = 20  # of a file that changes while it is read

OVERWRITTEN = (
    "is being overwritten by something other than SQLite; replace the file as a whole"
    " instead (cp to another name, then mv)"
)

Mark = tuple[object, ...]
T = TypeVar("T")


class Reader:
    """One database file, read in place; not a byte of it or beside it changes.

    `models` are the tables to read; one that the file lacks is empty, unless it is
    among the `required`: then the file is not what it should be.

    A database with a write-ahead log is copied into memory and read there (see wal.py).
    To any other a connection is kept, since `PRAGMA data_version` only says what others
    committed after the same connection last asked. One thread at a time may use a
    Reader.
    """

    def __init__(self, path: Path, models: Models, required: Models) -> None:
        self.path = path
        # The process may change its folder later.
        self._name = os.path.join(os.getcwd(), path)
        self._models = models
        self._required = required
        self._files: Files | None = None
        self._database: SqliteDatabase | None = None
        self._log: LogFiles | None = None
        self._write_ahead = True
        self._openings = 0
        self._patience = LOCK_WAIT_SECONDS

    def mark(self) -> Mark:
        """Return what tells one state of the database from the next, in microseconds.

        Waits a moment for a lock of another process. Raises DatabaseUnavailable.
        """
        return self._patiently(self.mark_at_once)

    def mark_at_once(self) -> Mark:
        """Return the mark without waiting; DatabaseUnavailable while there is a lock.

        The file's identity stands beside the version, because a replaced file keeps
        its old connection alive.
        """
        with self._failures_named():
            while (files := self._find()).log is not None:
                try:
                    return *files, self._open_log(files).version()
                except FileNotFoundError:
                    self.close()  # the log was folded in since: look again
            connection = self._open(files).connection()
            if self._write_ahead:  # an immutable connection notices nothing
                return *files, self._openings
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            return *files, self._openings, version

    def settled(self) -> Mark | None:
        """Return what tells one state from the next of a file that was left alone for
        some seconds; None of any other.

        Cheaper than `mark`, but it knows nothing of locks. File times go by ticks, of
        seconds at the coarsest: written before, a file cannot change and keep its time.
        """
        if self._write_ahead:  # or not known yet: commits may go to a log
            return None
        try:
            file = os.stat(self._name)
        except OSError:
            return None
        old = time.time_ns() - file.st_mtime_ns > SETTLED_NANOSECONDS
        identity = (file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size)
        return identity if old else None

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
            self._patiently(self._verify)

    def close(self) -> None:
        """Close all files; the next question opens them again."""
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask until there is no lock, or patience is at its end."""
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

    def _verify(self) -> None:
        with self._failures_named(), self._reading(self._find()) as database:
            _require_sound(database, self.path)

    def _read(self, known: Rows | None) -> Rows:
        with self._failures_named():
            for _ in range(READINGS):
                files = self._find()
                try:
                    with self._reading(files) as database:
                        _require_sound(database, self.path)
                        rows = select_all(database, self._models, known)
                        if files.log is not None or self._find() == files:
                            return rows
                except FileNotFoundError:
                    if files.log is None:
                        raise
                    self.close()  # the log was folded in since
            raise DatabaseUnavailable(self.path, OVERWRITTEN)

    @contextmanager
    def _reading(self, files: Files) -> Iterator[SqliteDatabase]:
        """The database within one transaction.

        Of the file itself, without a log, nobody should change anything meanwhile: the
        transaction locks writers out, but for the first that makes a log, and for what
        is no SQLite.
        """
        if files.log is None:
            database = self._open(files)
            with database.atomic():
                yield database
            return
        try:
            database = _Image(self._open_log(files).image())
        except LogInMotion:
            database = _database(files.name, "mode=ro")
        with database.connection_context(), database.atomic():
            self._require_tables(database)
            yield database

    def _open(self, files: Files) -> SqliteDatabase:
        """The connection; another one where the files are no longer the same."""
        if self._database is None or files != self._files:
            self.close()
            self._files = files
            self._openings += 1
            # Opening a WAL database without a log would make one, which a read-only
            # connection cannot remove; immutable makes none. The file is complete in
            # itself then, and a log that appears is noticed as a change.
            self._write_ahead = is_write_ahead(files.name)
            if self._write_ahead:
                self._require(hidden_log_problem(files))
            access = "immutable=1" if self._write_ahead else "mode=ro"
            self._database = _database(files.name, access)
            self._database.connect()
            self._require_tables(self._database)
        return self._database

    def _open_log(self, files: Files) -> LogFiles:
        """The files of a database with a log; others where they were replaced."""
        if self._log is None or files.whose != self._files:
            self.close()
            self._files = files.whose
            self._write_ahead = True
            self._log = LogFiles(files.name)
        return self._log

    def _require_tables(self, database: SqliteDatabase) -> None:
        for model in self._required:
            table = model._meta.table_name
            if not database.get_columns(table):
                raise DatabaseUnavailable(self.path, f"has no table {table}")
        names = {model._meta.table_name for model in self._models}
        for view in database.get_views():
            # One could go on for ever, and none is of a gateway's making.
            if view.name.lower() in names:
                reason = f"has a view where the table {view.name} should be"
                raise DatabaseUnavailable(self.path, reason)

    def _find(self) -> Files:
        files = find_files(self._name)
        self._require(files.problem)
        return files

    def _require(self, problem: str | None) -> None:
        if problem:
            raise DatabaseUnavailable(self.path, problem)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (peewee.DatabaseError, sqlite3.Error, OSError) as problem:
            name = self._files.name if self._files else self._name
            reason = failure_reason(problem, name)
            if reason != IS_LOCKED:
                self.close()
            raise DatabaseUnavailable(self.path, reason) from problem
        except DatabaseUnavailable:
            self.close()
            raise


class _Image(SqliteDatabase):
    """A database in memory, of the bytes of a database file."""

    def __init__(self, image: bytearray) -> None:
        super().__init__(":memory:", check_same_thread=False, thread_safe=False)
        self._image = image

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc]
        connection.deserialize(self._image)
        self._image = bytearray()  # the connection has its own copy
        return connection


def _database(name: str, access: str) -> SqliteDatabase:
    return SqliteDatabase(
        uri_of(name, access),
        uri=True,
        timeout=0,  # waiting is the Reader's matter
        check_same_thread=False,
        thread_safe=False,
        pragmas={"cell_size_check": 1},
    )


def _require_sound(database: SqliteDatabase, path: Path) -> None:
    """Raise DatabaseUnavailable where the file's pages do not fit together.

    As after it was overwritten while it was open, which SQLite cannot know of.
    """
    for (finding,) in database.execute_sql("PRAGMA quick_check(1)"):
        # Others are of single values: of those the rows' reading takes care.
        if finding.startswith("*** in database"):
            raise DatabaseUnavailable(path, IS_DAMAGED)
