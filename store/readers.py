"""Readers of gateways' databases: SQLite files and PostgreSQL servers."""

from contextlib import closing
from typing import Protocol

from addresses import Address, PostgresUrl
from store import sqlite
from store.encryption import Encryption
from store.rows import Mark, Models, Rows


class Reader(Protocol):
    """Reads one database, and notices changes. One thread at a time may use it.

    All methods but `settled` and `close` raise DatabaseUnavailable.
    """

    @property
    def path(self) -> Address:
        """The address of the database."""

    def mark(self) -> Mark:
        """Return a value that differs after each commit; may wait for a lock."""

    def mark_at_once(self) -> Mark:
        """Return the mark without waiting."""

    def settled(self) -> Mark | None:
        """Return the last mark if it still holds for sure, where there is a way to know
        that is cheaper than `mark`; else None.
        """

    def read(self, known: Rows | None = None) -> Rows:
        """Return all rows of all tables, as of one moment.

        A table that is the same as a `known` one is returned as that very list.
        """

    def verify(self) -> None:
        """Raise DatabaseUnavailable unless the database could be read now."""

    def close(self) -> None:
        """Close the database; the next method called opens it again."""


def open_reader(
    address: Address,
    models: Models,
    required: Models,
    encryption: Encryption | None = None,
) -> Reader:
    """Return a reader of the models' tables, of which the `required` ones must exist.

    Nothing is opened yet.
    """
    if isinstance(address, PostgresUrl):
        from store.postgres_reader import PostgresReader

        return PostgresReader(address, models, required, encryption)
    return sqlite.Reader(address, models, required, encryption)


def read_once(
    address: Address,
    models: Models,
    required: Models,
    encryption: Encryption | None = None,
) -> Rows:
    """Return all rows of a database, as of one moment. Raises DatabaseUnavailable."""
    encryption = encryption or Encryption()
    with closing(open_reader(address, models, required, encryption)) as reader:
        rows = reader.read()
        encryption.require_key(address)
        return rows
