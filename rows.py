"""All rows of the models' tables, as named tuples with every column of the model."""

import sqlite3
from functools import partial
from operator import itemgetter

import peewee
from peewee import SqliteDatabase

import values
from models import Row, row_type
from schemas import report_broken

Models = tuple[type[peewee.Model], ...]
Rows = dict[type[peewee.Model], list[Row]]


def select_all(database: SqliteDatabase, models: Models, known: Rows | None) -> Rows:
    """Return all rows by model; a table that equals the `known` one is that very list.

    A table that the database lacks is empty, a column that it lacks is None.
    """
    return {model: _table(database, model, known) for model in models}


def _table(
    database: SqliteDatabase, model: type[peewee.Model], known: Rows | None
) -> list[Row]:
    rows = _select(database, model)
    return known[model] if known is not None and rows == known[model] else rows


def _select(database: SqliteDatabase, model: type[peewee.Model]) -> list[Row]:
    """All rows of a model's table; columns that it does not have are NULL."""
    table = model._meta.table_name
    # To SQLite, names that differ in case only are the same.
    present = {column.name.lower() for column in database.get_columns(table)}
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
