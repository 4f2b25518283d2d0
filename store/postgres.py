"""Connections to PostgreSQL: settings, timeouts, conversion of numbers.

psycopg is only loaded with this module, where a PostgreSQL database is named.
"""

from collections.abc import Generator
from functools import lru_cache
from typing import Any

import peewee
import psycopg
from psycopg import adapters
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import FloatDumper

from addresses import PostgresUrl

CONNECT_SECONDS = 2  # as little as libpq takes
ANSWER_SECONDS = 15  # for one statement; all rows of a large gateway take one or two
# What a URL does not say otherwise.
DEFAULTS: dict[str, str | int] = {
    "application_name": "governance-lists",
    "connect_timeout": CONNECT_SECONDS,
    "client_encoding": "utf8",
    # A host that is gone is noticed in seconds, not in hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "statement_timeout": f"{ANSWER_SECONDS}s",
    "idle_in_transaction_session_timeout": "60s",
    "row_security": "off",  # refuses to read, instead of leaving rows out
    "jit": "off",  # takes longer than the statement
}


# Which transactions can be seen: another text with each one that ends. The log's
# position would not do, since a commit is in the log before it can be seen (long
# before, where it waits for a replica). On a replica the text leaves out transactions
# in progress; what was replayed there can be seen.
MARK = """
PREPARE mark AS SELECT pg_is_in_recovery(), pg_current_snapshot()::text,
    pg_last_wal_replay_lsn()::text
"""
MARK_SECONDS = 2.0  # for an answer that takes microseconds


class Connection(psycopg.Connection[Any]):
    """A connection that waits no longer than `seconds` for anything."""

    seconds: float = ANSWER_SECONDS + 1

    @property
    def is_idle(self) -> bool:
        """True if it is in no transaction, and ready for the next statement."""
        return self.info.transaction_status == TransactionStatus.IDLE

    @property
    def can_roll_back(self) -> bool:
        status = self.info.transaction_status
        return status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def mark(self) -> tuple[object, ...]:
        """Return a value that differs after each commit, in one round trip."""
        patience, self.seconds = self.seconds, MARK_SECONDS
        try:
            return self.execute("EXECUTE mark").fetchone() or ()
        finally:
            self.seconds = patience

    def wait(
        self,
        gen: Generator[Any, Any, Any],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> Any:
        limit = self.seconds if timeout is None else timeout
        return super().wait(gen, interval, limit)


class Number(Loader):
    """Reads a numeric: whole ones as int, exact to 64 bits, others as float."""

    def load(self, data: Buffer) -> int | float:
        return number(bytes(data))


class Exact(FloatDumper):
    """Sends a float with all its digits: PostgreSQL makes a numeric of 15 of them."""

    oid = adapters.types["numeric"].oid


@lru_cache(4096)  # the same few limits and weights stand in most rows
def number(text: bytes) -> int | float:
    """Return a numeric's number, as SQLite would give it."""
    whole, _, fraction = text.partition(b".")
    if not fraction.strip(b"0") and whole.lstrip(b"-").isdigit():
        exact = int(whole)
        if -(2**63) <= exact < 2**63:
            return exact
    return float(text)


def connect(url: PostgresUrl) -> Connection:
    """Return a new connection. Raises psycopg.Error."""
    given = conninfo_to_dict(url.conninfo)
    defaults = {name: each for name, each in DEFAULTS.items() if name not in given}
    conninfo = make_conninfo(url.conninfo, **defaults)
    # What is prepared fails once the type of a column of its result is changed.
    connection = Connection.connect(conninfo, autocommit=True, prepare_threshold=None)
    connection.adapters.register_loader("numeric", Number)
    connection.adapters.register_dumper(float, Exact)
    settings = "; ".join(f"SET {name} TO '{each}'" for name, each in SESSION.items())
    try:
        connection.execute(f"{settings}; {MARK}".encode())
    except BaseException:
        connection.close()
        raise
    return connection


class _Adapter(peewee.Psycopg3Adapter):
    """peewee's, which knows no driver where peewee was loaded without (drivers.py)."""

    txn_idle = TransactionStatus.IDLE
    txn_inerror = TransactionStatus.INERROR
    txn_unknown = TransactionStatus.UNKNOWN

    def check_driver(self) -> None:
        pass

    def connect(self, db: Any, **params: Any) -> Connection:
        return connect(db.url)


class PostgresDatabase(peewee.PostgresqlDatabase):
    """A PostgreSQL database as peewee knows it."""

    psycopg2_adapter = psycopg3_adapter = _Adapter

    def __init__(self, url: PostgresUrl) -> None:
        self.url = url
        super().__init__(url.conninfo, thread_safe=False)
