"""Opening a gateway's database read-only, asking whether it changed, reading its rows.

SQLite only, so far; all that is special about it is in this file.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import peewee
from peewee import SqliteDatabase

import values
from models import Row, row_type
from schemas import report_broken

LOCK_WAIT_SECONDS = 1.0  # writers hold the lock for milliseconds
SETTLED_NANOSECONDS = 5 * 10**9  # longer than the coarsest file time, FAT's 2 s
LOCK_WAIT_AGAIN_SECONDS = 0.1  # while it stays locked, requests must not pile up

IS_LOCKED = "is locked by another process"
IS_MISSING = "does not exist"

Models = tuple[type[peewee.Model], ...]
Rows = dict[type[peewee.Model], list[Row]]
Mark = tuple[object, ...]


class Files(NamedTuple):
    """What tells one database file from another, and whether a write-ahead log with
    content is beside it.
    """

    device: int
    inode: int
    modified: int
    size: int
    logged: bool


class DatabaseUnavailable(Exception):
    """The database cannot be read. `reason` goes on where "the database" ends."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path
        self.reason = reason


class Reader:
    """One database file, read in place; not a byte of it or beside it changes.

    `models` are the tables to read; one that the file lacks is empty, unless it is
    among the `required`: then the file is not what it should be.

    It keeps a connection, since `PRAGMA data_version` only tells what others committed
    after the same connection last asked; but none to a database with a write-ahead log:
    its gateway could not fold the log in when it ends, and would leave it behind. One
    thread at a time may use a Reader.
    """

    def __init__(self, path: Path, models: Models, required: Models) -> None:
        self.path = path
        self._file = os.fspath(path)
        self._log = f"{path}-wal"
        self._models = models
        self._required = required
        self._database: SqliteDatabase | None = None
        self._files: Files | None = None
        self._write_ahead = True
        self._immutable = False
        self._openings = 0
        self._patience = LOCK_WAIT_SECONDS

    def mark(self) -> Mark:
        """What tells one state of the database from the next, in microseconds.

        The files' identity stands beside the version, because a replaced file keeps
        its old connection alive. Raises DatabaseUnavailable.
        """
        with self._failures_named():
            while (files := self._identity()).logged:
                self.close()
                with suppress(FileNotFoundError):  # folded in since: look again
                    return *files, _log_version(self.path)
            connection = self._open(files).connection()
            if self._immutable:  # such a connection notices nothing
                return *files, self._openings
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            return *files, self._openings, version

    def settled(self) -> Mark | None:
        """What tells one state from the next of a file that was left alone; else None.

        Cheaper than `mark`, but it tells nothing of locks. File times go by ticks, of
        seconds at the coarsest: written before, a file cannot change and keep its time.
        """
        if self._write_ahead:  # or not known yet: commits may go to a log
            return None
        try:
            file = os.stat(self._file)
        except OSError:
            return None
        old = time.time_ns() - file.st_mtime_ns > SETTLED_NANOSECONDS
        identity = (file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size)
        return identity if old else None

    def read(self, known: Rows | None = None) -> Rows:
        """All rows of all tables, as of one moment. Raises DatabaseUnavailable.

        A table that is the same as a `known` one is that one: of those that did not
        change, no more than one is held twice at a time.
        """
        with self._failures_named():
            while True:
                files = self._identity()
                database = self._open(files)
                with database.atomic():
                    rows = {
                        model: _table(database, model, known) for model in self._models
                    }
                # An immutable connection takes no lock: once more if a writer came.
                if not self._immutable or self._identity() == files:
                    break
            if files.logged:
                self.close()
            return rows

    def verify(self) -> None:
        """Raise DatabaseUnavailable unless the file could be read now."""
        with self._failures_named():
            self._open(self._identity())
        self.close()

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self, files: Files) -> SqliteDatabase:
        """The connection; another one where the files are no longer the same."""
        if self._database is None or files != self._files:
            self.close()
            self._files = files
            self._openings += 1
            # Opening a WAL database without a log would make one, which a read-only
            # connection cannot remove; immutable makes none. The file is complete in
            # itself then, and a log that appears is noticed as a change.
            self._write_ahead = _is_write_ahead(self.path)
            self._immutable = self._write_ahead and not files.logged
            access = "immutable=1" if self._immutable else "mode=ro"
            self._database = _connect(self.path, access, self._patience)
            self._require_tables(self._database)
        return self._database

    def _require_tables(self, database: SqliteDatabase) -> None:
        for model in self._required:
            table = model._meta.table_name
            if not database.get_columns(table):
                raise DatabaseUnavailable(self.path, f"has no table {table}")

    def _identity(self) -> Files:
        file = os.stat(self._file)
        try:
            logged = os.stat(self._log).st_size > 0
        except FileNotFoundError:
            logged = False
        return Files(file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size, logged)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (peewee.DatabaseError, sqlite3.Error, OSError) as problem:
            self.close()
            reason = failure_reason(problem)
            if reason == IS_LOCKED:
                self._patience = LOCK_WAIT_AGAIN_SECONDS
            raise DatabaseUnavailable(self.path, reason) from problem
        except DatabaseUnavailable:
            self.close()
            raise
        self._patience = LOCK_WAIT_SECONDS


def _log_version(path: Path) -> Mark:
    """What changes with each commit to a write-ahead log, without a connection.

    The header of its index, twice 48 bytes with a counter and checksums, is written at
    each commit (sqlite.org/walformat.html, 2.1); one caught in between differs, too.
    """
    log = os.stat(f"{path}-wal")
    try:
        with open(f"{path}-shm", "rb", buffering=0) as index:
            header = index.read(96)
    except FileNotFoundError:
        header = b""
    return log.st_ino, log.st_mtime_ns, log.st_size, header


def _is_write_ahead(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\2\2"  # sqlite.org/fileformat2.html, 1.3.3


def _connect(path: Path, access: str, patience: float) -> SqliteDatabase:
    database = SqliteDatabase(
        f"file:{quote(str(path.absolute()))}?{access}",
        uri=True,
        timeout=patience,
        check_same_thread=False,
        thread_safe=False,
    )
    database.connect()
    return database


def _table(
    database: SqliteDatabase, model: type[peewee.Model], known: Rows | None
) -> list[Row]:
    rows = _select(database, model)
    return known[model] if known is not None and rows == known[model] else rows


def _select(database: SqliteDatabase, model: type[peewee.Model]) -> list[Row]:
    """All rows of a model's table; columns that it does not have are NULL."""
    present = {column.name for column in database.get_columns(model._meta.table_name)}
    if not present:
        return []
    query = model.select(
        *(
            field if field.column_name in present else peewee.SQL("NULL")
            for field in model._meta.sorted_fields
        )
    )
    try:
        return _rows(database, model, query)
    except sqlite3.OperationalError as problem:
        if "decode to UTF-8" not in str(problem):
            raise
    connection = database.connection()
    connection.text_factory = bytes
    try:
        return [_decoded(model, row) for row in _rows(database, model, query)]
    finally:
        connection.text_factory = str


def _decoded(model: type[peewee.Model], row: Row) -> Row:
    row_id = values.text(row[0])
    for column, value in row._asdict().items():
        if isinstance(value, bytes) and values.text(value).encode() != value:
            report_broken(model._meta.table_name, row_id, column, "is not UTF-8")
    return row_type(model)(
        *(values.text(each) if isinstance(each, bytes) else each for each in row)
    )


def _rows(
    database: SqliteDatabase, model: type[peewee.Model], query: peewee.Query
) -> list[Row]:
    make = partial(tuple.__new__, row_type(model))  # _make, without a call in Python
    rows = list(map(make, database.execute(query)))
    if None in map(itemgetter(0), rows):
        # SQLite lets a text primary key be NULL; nothing could refer to such a row.
        report_broken(model._meta.table_name, None, "id", "is NULL; it is left out")
        rows = [row for row in rows if row[0] is not None]
    return rows


def failure_reason(problem: Exception) -> str:
    """Plain words for a failure to read; a driver's own may quote what is stored."""
    if isinstance(problem, FileNotFoundError):
        return IS_MISSING
    if isinstance(problem, IsADirectoryError):
        return "is a directory"
    if isinstance(problem, PermissionError):
        return "may not be read by this user"
    words = str(problem)
    if "locked" in words or "busy" in words:
        return IS_LOCKED
    if "not a database" in words:
        return "is not an SQLite database"
    if "malformed" in words or "disk I/O" in words:
        return "is damaged"
    return "cannot be opened"
