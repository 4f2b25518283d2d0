"""Gateway databases in PostgreSQL for the tests, with the types that gateways use."""

import sqlite3
from contextlib import closing
from typing import Any

import peewee
from gateway import Gateway, Layout, columns, create_table
from postgres_server import Server
from psycopg import sql

from addresses import PostgresUrl
from models import MODELS
from store.postgres import PostgresDatabase

TYPES = {
    "TEXT": "text",
    "REAL": "numeric",
    "INTEGER": "bigint",
    "NUMERIC": "boolean",
    "DATETIME": "timestamp with time zone",
}


class PostgresGateway(Gateway):
    """A gateway's database on a server; rows go in as into a Gateway of SQLite."""

    def __init__(
        self,
        server: Server,
        name: str,
        layout: Layout = "july",
        encoding: str = "UTF8",
    ) -> None:
        self.server = server
        self.name = name
        self.layout = layout
        self.url = PostgresUrl(server.create_database(name, encoding))
        database = PostgresDatabase(self.url)
        with database.connection_context(), database.atomic():
            for model in MODELS:
                create_table(database, model, layout, TYPES)

    @property
    def address(self) -> str:
        return self.url.conninfo

    def execute(self, statement: str, *values: Any) -> None:
        with self.server.connect(self.name) as connection:
            connection.execute(_postgres(statement).encode(), values)

    def execute_all(self, *statements: str) -> None:
        """Execute statements in one transaction."""
        with self.server.connect(self.name) as connection, connection.transaction():
            for statement in statements:
                connection.execute(statement)

    def fetch(self, query: str) -> list[Any]:
        return self.server.fetch(self.name, query)

    def add(self, model: Any, **values: Any) -> None:
        super().add(model, **_booleans(model, values))


def _postgres(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", "%s")


def _booleans(model: type[peewee.Model], values: dict[str, Any]) -> dict[str, Any]:
    kinds = {field.name: field.field_type for field in model._meta.sorted_fields}
    return {
        name: bool(each) if kinds.get(name) == "NUMERIC" and each in (0, 1) else each
        for name, each in values.items()
    }


def copy_rows(gateway: Gateway, to: PostgresGateway) -> None:
    """Copy all rows of a SQLite gateway."""
    with (
        closing(sqlite3.connect(gateway.path)) as source,
        to.server.connect(to.name) as target,
        target.transaction(),
    ):
        for model in MODELS:
            present = columns(model, gateway.layout)
            names = [field.column_name for field in present]
            quoted = ", ".join(f'"{name}"' for name in names)
            table = model._meta.table_name
            insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, names)),
                sql.SQL(", ").join([sql.Placeholder()] * len(names)),
            )
            target.cursor().executemany(
                insert,
                [
                    [
                        None
                        if each is None
                        else bool(each)
                        if field.field_type == "NUMERIC"
                        else each
                        for field, each in zip(present, row, strict=True)
                    ]
                    for row in source.execute(f"SELECT {quoted} FROM {table}")
                ],
            )


def as_kept(gateway: Gateway) -> None:
    """Let a SQLite gateway lose the digits of times that PostgreSQL does not keep."""
    with closing(sqlite3.connect(gateway.path)) as connection, connection:
        for model in MODELS:
            table = model._meta.table_name
            for field in columns(model, gateway.layout):
                if field.field_type == "DATETIME":
                    name = field.column_name
                    connection.create_function("kept", 1, _microseconds)
                    connection.execute(f'UPDATE {table} SET "{name}" = kept("{name}")')


def _microseconds(time: str | None) -> str | None:
    """Round a time as PostgreSQL does."""
    if time is None or "." not in time:
        return time
    moment, fraction = time.removesuffix("+00:00").split(".")
    rounded = round(int(fraction.ljust(9, "0")) / 1000)
    assert rounded < 10**6
    return f"{moment}.{rounded:06}+00:00"
