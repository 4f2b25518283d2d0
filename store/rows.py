"""All rows of the models' tables, as named tuples with every column of the model."""

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from operator import itemgetter
from typing import Any

import peewee
from peewee import SqliteDatabase

import values
from fields import report_broken
from models import Row, row_type

Models = tuple[type[peewee.Model], ...]
Rows = dict[type[peewee.Model], list[Row]]
Texts = dict[str, str]  # each text by itself, so that equal ones are held once
Mark = tuple[object, ...]  # differs between two states of a database
Opened = Callable[[type[peewee.Model], list[Row]], list[Row]]


def select_all(
    database: SqliteDatabase, models: Models, known: Rows | None, opened: Opened
) -> Rows:
    """Return all rows by model, `opened` where they are encrypted; a table that equals
    the `known` one is that very list.

    A table that the database lacks is empty, a column that it lacks is None.
    """
    texts: Texts = {}
    rows = {}
    for model in models:
        stored = select_table(database, model, texts)
        rows[model] = known_or_new(model, opened(model, stored), known)
    return rows


def known_or_new(
    model: type[peewee.Model], rows: list[Row], known: Rows | None
) -> list[Row]:
    """Return the known list of a table's rows if these are the same."""
    before = known[model] if known else None
    return before if before is not None and rows == before else rows


def select_table(
    database: SqliteDatabase, model: type[peewee.Model], texts: Texts
) -> list[Row]:
    """Return all rows of a model's table, by their rowids if it has such.

    Columns that it does not have are NULL. Texts are held as by `named_rows`, but not
    those of a table with one that is not UTF-8.
    """
    table = model._meta.table_name
    # To SQLite, names that differ in case only are the same.
    present = {column.name.lower() for column in database.get_columns(table)}
    if not present:
        return []
    # Written out: peewee takes longer to make the text than SQLite to answer it.
    names = (field.column_name for field in model._meta.sorted_fields)
    columns = ", ".join(f'"{name}"' if name in present else "NULL" for name in names)
    query = f'SELECT {columns} FROM "{table}" NOT INDEXED'  # else in an index's order
    try:
        return named_rows(model, database.execute_sql(query), texts)
    except sqlite3.OperationalError as problem:
        if "decode to UTF-8" not in str(problem):
            raise
    connection = database.connection()
    connection.text_factory = bytes
    try:
        rows = named_rows(model, database.execute_sql(query), texts)
        return [decoded(model, row) for row in rows]
    finally:
        connection.text_factory = str


def decoded(model: type[peewee.Model], row: Row) -> Row:
    """Return a row with texts in place of bytes; what is not UTF-8 is reported."""
    row_id = values.text(row[0])
    for column, value in row._asdict().items():
        if isinstance(value, bytes) and values.text(value).encode() != value:
            report_broken(model._meta.table_name, row_id, column, "is not UTF-8")
    return row_type(model)(
        *(values.text(each) if isinstance(each, bytes) else each for each in row)
    )


def texts_of(rows: Iterable[Row]) -> Texts:
    """Return the texts in rows."""
    return {value: value for row in rows for value in row if type(value) is str}


def named_rows(
    model: type[peewee.Model], tuples: Iterable[Any], texts: Texts
) -> list[Row]:
    """Return the tuples of a table's rows as named ones.

    A text that is among `texts` is that very object; others are added. Ids, times and
    names stand in many rows: without this, rows take nearly twice the memory.
    """
    make = partial(tuple.__new__, row_type(model))  # _make, without a call in Python
    held = texts.setdefault
    rows = [
        make([held(value, value) if type(value) is str else value for value in row])
        for row in tuples
    ]
    if None in map(itemgetter(0), rows):
        # SQLite lets a text primary key be NULL; nothing could refer to such a row.
        report_broken(model._meta.table_name, None, "id", "is NULL; it is left out")
        rows = [row for row in rows if row[0] is not None]
    return rows
