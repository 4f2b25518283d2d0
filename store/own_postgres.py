"""Our own tables in a PostgreSQL database: made, recognised, and written in one
transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import peewee
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import values
from addresses import PostgresUrl
from models import MODELS, Model
from store.failures import IS_MISSING
from store.own import APPLICATION_ID, BUSY_SECONDS, NotOurs
from store.postgres import Connection, PostgresDatabase, connect
from store.postgres_failures import failure_reason, write_failure_reason
from store.rows import Models

# A comment on each of our tables, by which they are known.
MARK = "a table of governance-lists"
LOAD_SECONDS = 600  # for one statement of a load
TYPES = {
    "AUTO": "bigserial",
    "TEXT": "text",
    "REAL": "numeric",
    "INTEGER": "bigint",
    "NUMERIC": "boolean",
    "DATETIME": "text",  # keeps nanoseconds
}
_NOT_MARKED = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE to_regclass(quote_ident(name)) IS NOT NULL
AND obj_description(to_regclass(quote_ident(name)), 'pg_class') IS DISTINCT FROM %s
"""


@contextmanager
def writing(url: PostgresUrl, models: Models = MODELS) -> Iterator[PostgresDatabase]:
    """Yield our database within one transaction, made when missing; undone on failure.

    Raises NotOurs.
    """
    database = PostgresDatabase(url)
    try:
        _connect(database)
        with closing(database), database.atomic():
            _begin(database.connection())
            _require_ours(database, models)
            for model in models:
                _make_table(database, model)
            yield database
    except (psycopg.Error, peewee.PeeweeException) as problem:
        reason = write_failure_reason(problem)
        raise NotOurs(f"{url} cannot be written: it {reason}") from problem


def fit(model: Model, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as PostgreSQL can hold it.

    What is of another kind than its column becomes NULL; the answers are the same.
    """
    fits = _fits(model)
    return {name: fits[name](each) for name, each in row.items() if name in fits}


def _connect(database: PostgresDatabase) -> None:
    """Connect; first make the database, where the server has none of that name."""
    try:
        database.connect()
    except peewee.OperationalError as problem:
        name = conninfo_to_dict(database.url.conninfo).get("dbname")
        if failure_reason(problem) != IS_MISSING or not name:
            raise
        another = make_conninfo(database.url.conninfo, dbname="postgres")
        with closing(connect(PostgresUrl(another))) as connection:
            create = sql.SQL("CREATE DATABASE {}")
            connection.execute(create.format(sql.Identifier(str(name))))
        database.connect()


def _begin(connection: Connection) -> None:
    """Wait for our lock, so that one process writes at a time."""
    connection.seconds = LOAD_SECONDS
    connection.execute(f"SET LOCAL statement_timeout = '{LOAD_SECONDS}s'".encode())
    connection.execute(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'".encode())
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (APPLICATION_ID,))
    _make_schema(connection)


def _make_schema(connection: Connection) -> None:
    """Make the schema that the search path begins with, if there is none."""
    (path,) = connection.execute("SHOW search_path").fetchone() or ("",)
    schema = path.partition(",")[0].strip().strip('"')
    is_there = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
    if (
        schema not in ("", "$user")
        and not connection.execute(is_there, (schema,)).fetchone()
    ):
        create = sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema))
        connection.execute(create)


def _require_ours(database: PostgresDatabase, models: Models) -> None:
    """Raise NotOurs if a table that is there, ours or a gateway's, is not marked."""
    names = {model._meta.table_name for model in (*MODELS, *models)}
    found = database.connection().execute(_NOT_MARKED, ([*names], MARK)).fetchone()
    if found is not None:
        raise NotOurs(
            f"{database.url} has a table {found[0]} that was not made by this service:"
            " a gateway's database is never written. Name another database, or a"
            " schema of its own (?options=-csearch_path=name)."
        )


def _make_table(database: PostgresDatabase, model: Model) -> None:
    peewee.SchemaManager(model, database, field_types=TYPES).create_all()
    comment = sql.SQL("COMMENT ON TABLE {} IS {}")
    table = sql.Identifier(model._meta.table_name)
    database.connection().execute(comment.format(table, MARK))


@cache
def _fits(model: Model) -> dict[str, Callable[[Any], Any]]:
    fields = model._meta.sorted_fields
    return {field.name: _or_null(_READ[field.field_type]) for field in fields}


def _or_null(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def fitted(value: Any) -> Any:
        try:
            return None if value is None else read(value)
        except (ValueError, TypeError):
            return None

    return fitted


def _text(value: Any) -> str:
    return values.text(value).replace("\0", "")


def _time(value: Any) -> str:
    return values.rfc3339(value) if isinstance(value, int) else _text(value)


def _whole(value: Any) -> int:
    number = values.number(value)
    if not isinstance(number, int) or not -(2**63) <= number < 2**63:
        raise ValueError("is not a whole number of 64 bits")
    return number


_READ: dict[str, Callable[[Any], Any]] = {
    "TEXT": _text,
    "REAL": values.number,
    "INTEGER": _whole,
    "NUMERIC": values.flag,
    "DATETIME": _time,
}
