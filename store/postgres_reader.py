"""Reading a PostgreSQL database, primary or replica, of which only SELECT is asked."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TypeVar

import peewee
import psycopg

from addresses import PostgresUrl
from models import Row
from store.encryption import Encryption
from store.failures import IS_LOCKED, DatabaseUnavailable
from store.postgres import Connection, PostgresDatabase
from store.postgres_failures import (
    IS_CHANGING,
    failure_reason,
    has_changed_meanwhile,
    is_locked,
    is_lost,
)
from store.postgres_tables import (
    Layout,
    Model,
    Print,
    find_tables,
    lock_tables,
    select_rows,
    take_prints,
)
from store.rows import Mark, Models, Rows, known_or_new

LOCK_WAIT_SECONDS = 1.0  # a migration holds its locks for milliseconds, or for long
# Less than PostgreSQL's deadlock_timeout: it must never be the gateway that gives up.
LOCK_TRY_SECONDS = 0.3
LOCK_WAIT_AGAIN_SECONDS = 0.1  # while it holds on, requests must not pile up
READINGS = 5  # of tables that change while they are read

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

T = TypeVar("T")
Prints = dict[Model, Print]
Take = Callable[[Layout, Prints], T]


class _TablesDiffer(Exception):
    """Other tables are there than were locked."""


class PostgresReader:
    """Reads some tables through one connection, which is opened again when it is lost.

    `models` are the tables to read; one that is not there is empty, unless it is among
    the `required`. One thread at a time may use a reader.
    """

    def __init__(
        self,
        url: PostgresUrl,
        models: Models,
        required: Models,
        encryption: Encryption | None = None,
    ) -> None:
        self.path = url
        self._models = models
        self._required = required
        self._encryption = encryption or Encryption()
        self._database = PostgresDatabase(url)
        self._openings = 0
        self._patience = LOCK_WAIT_SECONDS
        self._layout: Layout = {}
        # What was read on this connection. Another server may use the same numbers.
        self._seen: dict[Model, tuple[Print, list[Row]]] = {}

    def mark(self) -> Mark:
        """Return what differs between two states of the database, in one round trip.

        Raises DatabaseUnavailable.
        """
        return self._again_if_lost(self._mark)

    def mark_at_once(self) -> Mark:
        """Raise DatabaseUnavailable: a server may take its time.

        Threads that wait share a round trip, and so answer more than one that does not.
        """
        raise DatabaseUnavailable(self.path, IS_LOCKED)

    def settled(self) -> Mark | None:
        """Return None: there is nothing cheaper than the mark."""
        return None

    def read(self, known: Rows | None = None) -> Rows:
        """Return all rows of all tables, as of one moment. Raises DatabaseUnavailable.

        Only tables that changed are read; one that is the same as the `known` one is
        that very list.
        """

        def take(layout: Layout, prints: Prints) -> Rows:
            return {m: self._rows(m, layout, prints, known) for m in self._models}

        return self._again_if_lost(lambda: self._at_one_moment(take))

    def verify(self) -> None:
        """Raise DatabaseUnavailable unless the database could be read now."""
        with closing(self):
            if self._encryption.has_key:
                self.read()
                self._encryption.require_key(self.path)
            else:
                looked = partial(self._at_one_moment, lambda layout, prints: None)
                self._again_if_lost(looked)

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        self._seen = {}
        if not self._database.is_closed():
            self._database.close()

    def _again_if_lost(self, ask: Callable[[], T]) -> T:
        """Ask, and once more where a connection that was there before is lost."""
        was_open = not self._database.is_closed()
        try:
            with self._failures_named():
                return ask()
        except DatabaseUnavailable as failure:
            if not (was_open and is_lost(failure.__cause__)):
                raise
        with self._failures_named():
            return ask()

    def _mark(self) -> Mark:
        mark = self._connected().mark()
        return self._openings, *mark

    def _connected(self) -> Connection:
        """Return the connection, opened if it is not."""
        if self._database.is_closed():
            self._openings += 1
            self._database.connect()
        connection: Connection = self._database.connection()
        return connection

    def _at_one_moment(self, take: Take[T]) -> T:
        """Return what is taken of the tables as they are at one moment."""
        end = time.monotonic() + self._patience
        for _ in range(READINGS):
            try:
                taken = self._take(take, end - time.monotonic())
            except _TablesDiffer:
                continue  # the others are to be locked first
            except (psycopg.Error, peewee.PeeweeException) as problem:
                if is_locked(problem) and time.monotonic() < end:
                    continue
                if not has_changed_meanwhile(problem):
                    raise
                self._layout = {}
            else:
                self._patience = LOCK_WAIT_SECONDS
                return taken
        raise DatabaseUnavailable(self.path, IS_CHANGING)

    def _take(self, take: Take[T], patience: float) -> T:
        with self._transaction(patience) as connection:
            layout = find_tables(connection, self._models)
            if layout.keys() != self._layout.keys():
                self._layout = layout
                raise _TablesDiffer
            self._require_tables(layout)
            return take(layout, take_prints(connection, layout))

    @contextmanager
    def _transaction(self, patience: float) -> Iterator[Connection]:
        """One moment of the database.

        The tables are locked before its moment is chosen: one that is emptied or
        rewritten by others, which PostgreSQL does at once for all, would look empty.
        """
        connection = self._connected()
        wait = min(max(patience, 0.001), LOCK_TRY_SECONDS)
        timeout = f"SET LOCAL lock_timeout = {round(wait * 1000)}"
        statements = (_BEGIN, timeout, lock_tables(self._layout))
        try:
            connection.execute("; ".join(filter(None, statements)).encode())
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.can_roll_back:
                connection.execute("ROLLBACK")
            raise

    def _rows(
        self,
        model: Model,
        layout: Layout,
        prints: Prints,
        known: Rows | None,
    ) -> list[Row]:
        if model not in layout:
            return known_or_new(model, [], known)
        seen_print, seen = self._seen.get(model, (None, None))
        if known is not None and known[model] is seen and seen_print == prints[model]:
            return known[model]
        rows = select_rows(self._database, model, layout[model])
        rows = known_or_new(model, self._encryption.opened(model, rows), known)
        self._seen[model] = prints[model], rows
        return rows

    def _require_tables(self, layout: Layout) -> None:
        for model in self._required:
            if model not in layout:
                name = model._meta.table_name
                raise DatabaseUnavailable(self.path, f"has no table {name}")
        for model, table in layout.items():
            if not table.is_table:
                name = model._meta.table_name
                reason = f"has a view where the table {name} should be"
                raise DatabaseUnavailable(self.path, reason)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, peewee.PeeweeException) as problem:
            reason = failure_reason(problem)
            if reason == IS_LOCKED:
                self._patience = LOCK_WAIT_AGAIN_SECONDS
            self._close_unless_idle()
            raise DatabaseUnavailable(self.path, reason) from problem
        except DatabaseUnavailable:
            self._close_unless_idle()
            raise

    def _close_unless_idle(self) -> None:
        if not self._database.is_closed() and not self._database.connection().is_idle:
            self.close()
