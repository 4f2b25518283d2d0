"""The table of management API keys, in a SQLite file or a PostgreSQL of our own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
from peewee import SqliteDatabase

from addresses import Address, PostgresUrl
from models import text, timestamp
from store.failures import IS_LOCKED, DatabaseUnavailable, write_failure_reason
from store.locations import uri_of
from store.own import NotOurs
from store.readers import Reader, open_reader


class ApiKey(peewee.Model):
    """One management API key. Times are RFC 3339; the key itself is nowhere."""

    name = text()
    shown = text()
    sha256 = text(unique=True)
    created_at = timestamp()
    expires_at = timestamp()
    revoked_at = timestamp()

    class Meta:
        table_name = "api_keys"


def open_key_reader(address: Address) -> Reader:
    """Return a reader of the keys.

    A PostgreSQL database may lack our table still; a file without it is refused.
    """
    required = () if isinstance(address, PostgresUrl) else (ApiKey,)
    return open_reader(address, (ApiKey,), required)


@contextmanager
def writing_keys(address: Address) -> Iterator[None]:
    """Bind ApiKey to the database for one transaction; its table is made if missing.

    Raises NotOurs.
    """
    if isinstance(address, PostgresUrl):
        from store import own_postgres

        with (
            own_postgres.writing(address, (ApiKey,)) as database,
            database.bind_ctx([ApiKey]),
        ):
            yield
        return
    with _writing_file(address):
        yield


@contextmanager
def _writing_file(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_ours(path)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        database = SqliteDatabase(uri_of(path, "mode=rwc"), uri=True, timeout=5)
        with database.bind_ctx([ApiKey]), database.connection_context():
            database.create_tables([ApiKey])
            with database.atomic("IMMEDIATE"):
                yield
    except (OSError, peewee.DatabaseError) as problem:
        reason = write_failure_reason(problem, str(path))
        raise NotOurs(f"{path} {reason}") from problem


def _require_ours(path: Path) -> None:
    """Raise NotOurs for a file that others made: it is never written."""
    try:
        open_key_reader(path).verify()
    except DatabaseUnavailable as failure:
        # What is not there is to be made, and an empty file is nobody's yet.
        new = not path.exists() or (path.is_file() and not path.stat().st_size)
        if failure.reason != IS_LOCKED and not new:
            advice = "name another file in GOVERNANCE_ACCESS_DATABASE"
            raise NotOurs(f"{failure}; {advice}") from None
