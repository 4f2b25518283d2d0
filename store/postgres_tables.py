"""The tables of a PostgreSQL database: columns, fingerprints, rows.

Values are converted to what SQLite would give.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, NamedTuple

import peewee

from models import Row
from store.postgres import Connection, PostgresDatabase
from store.rows import Models, decoded, named_rows

Model = type[peewee.Model]
# What stands for one content of a table, as long as the connection lasts.
Print = tuple[str, str]

# Types that come in as SQLite's do; all others, times among them, as text.
_TEXTS = ("text", "varchar", "bpchar")
_NUMBERS = ("int2", "int4", "int8", "float4", "float8", "numeric")
_PLAIN = frozenset(("bool", *_NUMBERS, *_TEXTS))

# The search path decides which table a name is; a column that is dropped and made again
# has another number.
_LAYOUT = """
SELECT name, c.relkind::text, c.oid::text || string_agg(
    concat_ws(' ', a.attnum, a.attname, a.atttypid), ',' ORDER BY a.attnum),
    array_agg(a.attname::text), array_agg(t.typname::text)
FROM unnest(%s::text[]) AS name
JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(quote_ident(name))
JOIN pg_catalog.pg_attribute a
    ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
GROUP BY name, c.relkind, c.oid
"""
_TABLE_KINDS = ("r", "p")


class Table(NamedTuple):
    """A table that is there: the type of each column, and what identifies all that."""

    kind: str
    identity: str
    types: dict[str, str]

    @property
    def is_table(self) -> bool:
        return self.kind in _TABLE_KINDS


Layout = dict[Model, Table]


def find_tables(connection: Connection, models: Models) -> Layout:
    """Return those of the models' tables that there are."""
    names = {model._meta.table_name: model for model in models}
    found = connection.execute(_LAYOUT, ([*names],)).fetchall()
    return {
        names[name]: Table(kind, identity, dict(zip(columns, types, strict=True)))
        for name, kind, identity, columns, types in found
    }


def take_prints(connection: Connection, layout: Layout) -> dict[Model, Print]:
    """Return a fingerprint of each table.

    A row's version is never changed in place, and known by the transaction that wrote
    it (xmin) and its place (ctid). Of one transaction no more rows can appear once it
    is committed, so equal counts and sums are equal rows.
    """
    if not layout:
        return {}
    each = " UNION ALL ".join(
        "SELECT count(*) || ':' || coalesce(sum("
        f"hash_record_extended(ROW(ctid, xmin), 0)), 0) FROM {_quoted(model)}"
        for model in layout
    )
    found = connection.execute(each.encode()).fetchall()
    return {
        model: (table.identity, sums)
        for (model, table), (sums,) in zip(layout.items(), found, strict=True)
    }


def lock_tables(layout: Layout) -> str:
    """Return the statement that keeps the tables from being rewritten or emptied."""
    names = ", ".join(map(_quoted, layout))
    return f"LOCK TABLE {names} IN ACCESS SHARE MODE" if layout else ""


def select_rows(database: PostgresDatabase, model: Model, table: Table) -> list[Row]:
    """Return all rows of a table by id; columns that it lacks are None."""
    fields = model._meta.sorted_fields
    query = model.select(*(_expression(field, table.types) for field in fields))
    with _any_encoding(database.connection()) as has_bytes:
        rows = named_rows(model, database.execute(query).fetchall(), texts={})
    if has_bytes:
        rows = [decoded(model, row) for row in rows]
    return sorted(rows, key=itemgetter(0))


@contextmanager
def _any_encoding(connection: Connection) -> Iterator[bool]:
    """Let texts come in as bytes, where the database does not say their encoding: what
    is not UTF-8 would be refused.
    """
    if connection.info.parameter_status("server_encoding") != "SQL_ASCII":
        yield False
        return
    connection.execute("SET LOCAL client_encoding TO 'SQL_ASCII'")
    yield True
    connection.execute("SET LOCAL client_encoding TO 'UTF8'")


def _expression(field: Any, types: dict[str, str]) -> Any:
    name = field.column_name
    if name not in types:
        return peewee.SQL("NULL")
    return field if types[name] in _PLAIN else field.cast("text")


def _quoted(model: Model) -> str:
    return f'"{model._meta.table_name}"'
