"""Our own database of SQLite: why it cannot be written, by what SQLite raised."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from store.own import NotOurs, writing


def fill_a_disk(folder: Path) -> None:
    connection = sqlite3.connect(folder / "full.db")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE t (c)")
    connection.execute("INSERT INTO t VALUES (zeroblob(100000))")


def write_what_is_read_only(folder: Path) -> None:
    sqlite3.connect(folder / "read-only.db").execute("CREATE TABLE t (c)")
    connection = sqlite3.connect(f"file:{folder}/read-only.db?mode=ro", uri=True)
    connection.execute("INSERT INTO t VALUES (1)")


def write_after_another(folder: Path) -> None:
    """Raise SQLITE_BUSY_SNAPSHOT: a code with details."""
    ours, other = (sqlite3.connect(folder / "wal.db", timeout=0) for _ in range(2))
    ours.execute("PRAGMA journal_mode = wal")
    ours.execute("CREATE TABLE t (c)")
    ours.execute("BEGIN")
    ours.execute("SELECT * FROM t").fetchall()
    other.execute("INSERT INTO t VALUES (1)")
    other.commit()
    ours.execute("INSERT INTO t VALUES (2)")


def open_what_is_not_there(folder: Path) -> None:
    connection = sqlite3.connect(f"file:{folder}/gone.db?mode=ro", uri=True)
    connection.execute("SELECT 1")


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (fill_a_disk, "the disk is full"),
        (write_what_is_read_only, "it is read-only"),
        (write_after_another, "it is locked by another process"),
        (open_what_is_not_there, "it is damaged, or its folder may not be written"),
    ],
)
def test_a_failure_is_named_and_leaves_no_database(
    tmp_path: Path, fail: Callable[[Path], None], reason: str
) -> None:
    own = tmp_path / "own.db"

    with pytest.raises(NotOurs) as failure, writing(own):
        fail(tmp_path)

    assert str(failure.value).endswith(f" cannot be written: {reason}")
    assert [*tmp_path.glob("own*")] == []
