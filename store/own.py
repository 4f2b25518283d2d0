"""Our own governance database: made, recognised, and written in one transaction."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
from peewee import SqliteDatabase

from addresses import Address, PostgresUrl
from models import MODELS
from store.encryption import Encryption
from store.failures import kind_problem, result_code
from store.locations import MAGIC
from store.own_tables import Fit, OwnTables, unchanged

APPLICATION_ID = 0x474F564C  # "GOVL", in the header of our files, not of a gateway's
BUSY_SECONDS = 10
_REASONS = {
    sqlite3.SQLITE_BUSY: "it is locked by another process",
    sqlite3.SQLITE_LOCKED: "it is locked by another process",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_FULL: "the disk is full",
}
_CANNOT_BE_WRITTEN = "it is damaged, or its folder may not be written"

Pragmas = dict[str, str]
# With a write-ahead log readers never wait, and a kill leaves nothing to roll back.
LASTING: Pragmas = {"journal_mode": "wal", "synchronous": "normal"}
# For a database that ends with its process: nothing has to reach the disk.
FLEETING: Pragmas = {"journal_mode": "memory", "synchronous": "off"}


class NotOurs(Exception):
    """The database cannot be written; the text says why."""


@contextmanager
def writing(
    address: Address,
    encryption: Encryption | None = None,
    pragmas: Pragmas = LASTING,
) -> Iterator[OwnTables]:
    """Yield our tables within one transaction, made when missing; undone on failure.

    `pragmas` are for a file. Raises NotOurs.
    """
    with _transaction(address, pragmas) as (database, fit):
        tables = OwnTables(database, encryption or Encryption(), fit)
        tables.seal()
        yield tables


@contextmanager
def _transaction(
    address: Address, pragmas: Pragmas
) -> Iterator[tuple[peewee.Database, Fit]]:
    if isinstance(address, PostgresUrl):
        from store import own_postgres

        with own_postgres.writing(address) as database:
            yield database, own_postgres.fit
    else:
        with _writing_file(address, pragmas) as file:
            yield file, unchanged


@contextmanager
def _writing_file(path: Path, pragmas: Pragmas) -> Iterator[SqliteDatabase]:
    """Yield our database within one transaction.

    A new one is built under another name, so that nobody ever finds half of it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_ours(path)
    except OSError as problem:
        raise NotOurs(f"{path} cannot be written: {problem.strerror}") from None
    if path.exists():
        with _file_transaction(path, pragmas) as database:
            yield database
        return
    _remove_leftovers(path)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with _file_transaction(new, pragmas) as database:
            yield database
        os.rename(new, path)
    finally:
        for leftover in path.parent.glob(f"{new.name}*"):
            leftover.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove unfinished databases of killed processes beside the path."""
    for leftover in path.parent.glob(f"{path.name}.*.new*"):
        pid = leftover.name.removeprefix(f"{path.name}.").partition(".")[0]
        if pid.isdecimal() and not _is_other_running(int(pid)):
            leftover.unlink(missing_ok=True)


def _is_other_running(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _file_transaction(path: Path, pragmas: Pragmas) -> Iterator[SqliteDatabase]:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        # A new one is built beside the name that the user gave.
        name = path.name.removesuffix(f".{os.getpid()}.new")
        shown = path.with_name(name)
        raise NotOurs(f"{shown} cannot be written: {problem.strerror}") from None
    database = SqliteDatabase(str(path), timeout=BUSY_SECONDS, pragmas=pragmas)
    try:
        with database.connection_context(), database.atomic("IMMEDIATE"):
            if database.pragma("application_id") != APPLICATION_ID:
                database.pragma("application_id", APPLICATION_ID)
            there = set(database.get_tables())
            for model in MODELS:
                if model._meta.table_name not in there:
                    peewee.SchemaManager(model, database).create_all()
            yield database
    except (peewee.DatabaseError, sqlite3.DatabaseError) as problem:
        reason = _REASONS.get(result_code(problem) & 0xFF, _CANNOT_BE_WRITTEN)
        raise NotOurs(f"{path} cannot be written: {reason}") from problem


def _require_ours(path: Path) -> None:
    """Raise NotOurs unless a file is new or ours, by its header.

    Without SQLite: even opening a WAL database writes to it.
    """
    try:
        if problem := kind_problem(path.stat().st_mode):
            raise NotOurs(f"{path} {problem}")
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    if not header:
        return  # an empty file is nobody's yet
    if not header.startswith(MAGIC):
        raise NotOurs(f"{path} cannot be written: it is not an SQLite database")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise NotOurs(
            f"{path} was not made by this service: a gateway's database is never"
            " written. Name another file in GOVERNANCE_DATABASE to load into."
        )
