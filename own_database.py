"""Our own governance database: made, recognised, and written in one transaction."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee
from peewee import SqliteDatabase

from failures import kind_problem
from locations import MAGIC
from models import MODELS, columns, create_tables

APPLICATION_ID = 0x474F564C  # "GOVL", in the file's header: tells ours from a gateway's
BUSY_SECONDS = 10

Model = type[peewee.Model]
# The rows of every table by primary key, each a dict of all columns.
Tables = dict[Model, dict[Any, dict[str, Any]]]


class NotOurs(Exception):
    """The file cannot be loaded into; the text says why."""


@contextmanager
def writing(path: Path) -> Iterator[SqliteDatabase]:
    """Our database within one transaction, made when missing; undone on any failure.

    A new one is built under another name, so that nobody ever finds half of it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_ours(path)
    except OSError as problem:
        raise NotOurs(f"{path} cannot be written: {problem.strerror}") from None
    if path.exists():
        with _transaction(path) as database:
            yield database
        return
    _remove_leftovers(path)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with _transaction(new) as database:
            yield database
        os.rename(new, path)
    finally:
        for leftover in path.parent.glob(f"{new.name}*"):
            leftover.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed were building beside the path."""
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
def _transaction(path: Path) -> Iterator[SqliteDatabase]:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        # A new one is built beside the name that the user gave.
        name = path.name.removesuffix(f".{os.getpid()}.new")
        shown = path.with_name(name)
        raise NotOurs(f"{shown} cannot be written: {problem.strerror}") from None
    # With a write-ahead log readers never wait, and a kill leaves nothing to roll back.
    database = SqliteDatabase(
        str(path),
        timeout=BUSY_SECONDS,
        pragmas={"journal_mode": "wal", "synchronous": "normal"},
    )
    try:
        with database.connection_context(), database.atomic("IMMEDIATE"):
            if database.pragma("application_id") != APPLICATION_ID:
                database.pragma("application_id", APPLICATION_ID)
            create_tables(database)
            yield database
    except (peewee.DatabaseError, sqlite3.DatabaseError) as problem:
        raise NotOurs(f"{path} cannot be written: {_reason(problem)}") from problem


def _require_ours(path: Path) -> None:
    """Look at the header, without SQLite: even opening a WAL database writes to it."""
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


def _reason(problem: Exception) -> str:
    words = str(problem)
    if "locked" in words:
        return "it is locked by another process"
    if "not a database" in words:
        return "it is not an SQLite database"
    if "readonly" in words:
        return "it is read-only"
    if "full" in words:
        return "the disk is full"
    return "it is damaged, or its folder may not be written"


def read_tables(database: SqliteDatabase) -> Tables:
    """All rows there are."""
    tables: Tables = {}
    for model in MODELS:
        names = [column.name for column in columns(model)]
        query = model.select(*(getattr(model, name) for name in names))
        rows = (dict(zip(names, row, strict=True)) for row in database.execute(query))
        tables[model] = {primary_key(model, row): row for row in rows}
    return tables


def write_changes(database: SqliteDatabase, old: Tables, new: Tables) -> dict[str, int]:
    """Turn the old rows into the new ones; how many were added, changed, removed."""
    counts = {"added": 0, "changed": 0, "removed": 0}
    for model in MODELS:
        before, after = old[model], new[model]
        removed = [key for key in before if key not in after]
        changed = [k for k, row in after.items() if k in before and row != before[k]]
        added = [key for key in after if key not in before]
        # Changed rows go out first too, so that two of them may swap a unique name.
        _delete(database, model, removed + changed)
        _insert(database, model, [after[key] for key in changed + added])
        counts["added"] += len(added)
        counts["changed"] += len(changed)
        counts["removed"] += len(removed)
    return counts


def primary_key(model: Model, row: dict[str, Any]) -> Any:
    key = tuple(row[name] for name in key_names(model))
    return key if len(key) > 1 else key[0]


def key_names(model: Model) -> list[str]:
    """The names of the columns of a model's primary key."""
    key: Any = model._meta.primary_key
    if isinstance(key, peewee.CompositeKey):
        return list(key.field_names)
    return [key.name]


def _delete(database: SqliteDatabase, model: Model, keys: list[Any]) -> None:
    names = key_names(model)
    where = " AND ".join(f'"{getattr(model, name).column_name}" = ?' for name in names)
    database.connection().executemany(
        f'DELETE FROM "{model._meta.table_name}" WHERE {where}',
        [each if isinstance(each, tuple) else (each,) for each in keys],
    )


def _insert(database: SqliteDatabase, model: Model, rows: list[dict[str, Any]]) -> None:
    names = ", ".join(f'"{column.column_name}"' for column in columns(model))
    marks = ", ".join("?" for _ in columns(model))
    database.connection().executemany(
        f'INSERT INTO "{model._meta.table_name}" ({names}) VALUES ({marks})',
        ([row[column.name] for column in columns(model)] for row in rows),
    )
