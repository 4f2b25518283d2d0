"""Reading a database: its rows, a snapshot of them, both lists made from it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from addresses import Address
from models import MODELS, REQUIRED
from schemas import Query
from snapshot.snapshot import Scope, Snapshot
from store.encryption import Encryption
from store.readers import read_once
from store.rows import Rows
from store.sqlite import Reader

CLEAR = Scope(everything=True, masked=False)
MASKED = Scope(everything=True, masked=True)


def reader_of(path: Path) -> Reader:
    """A reader of a gateway's tables; whoever opens it closes it."""
    return Reader(path, MODELS, REQUIRED)


def rows_of(address: Address, encryption: Encryption | None = None) -> Rows:
    return read_once(address, MODELS, REQUIRED, encryption)


def snapshot_of(address: Address, before: Snapshot | None = None) -> Snapshot:
    """A snapshot of a database, taken after the one `before`."""
    return Snapshot(rows_of(address), before)


def lists_of(snapshot: Snapshot, scope: Scope = CLEAR) -> dict[str, bytes]:
    """Both lists of a snapshot as bytes, uncut."""
    query = Query()
    answers = {
        "teams": snapshot.teams(query, scope),
        "customers": snapshot.customers(query, scope),
    }
    return {name: b"".join(each.plain.sent()) for name, each in answers.items()}


def lists(
    address: Address,
    *,
    masked: bool = False,
    encryption: Encryption | None = None,
) -> dict[str, bytes]:
    """Both lists of a database as bytes, as a management API key gets them."""
    scope = MASKED if masked else CLEAR
    return lists_of(Snapshot(rows_of(address, encryption)), scope)


def answers(address: Address) -> dict[str, Any]:
    """Both lists of a database: {"teams": […], "customers": […]}."""
    return {name: json.loads(body)[name] for name, body in lists(address).items()}


def the_key(path: Path) -> dict[str, Any]:
    """The one virtual key of the one team there is."""
    key: dict[str, Any] = answers(path)["teams"][0]["virtual_keys"][0]
    return key


def select(path: Path, sql: str) -> list[Any]:
    """The rows that a statement selects from a database file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
