"""Reading what changed gives what reading all would, whatever happened to the pages."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway
from reading import CLEAR, MASKED, lists_of, reader_of, rows_of, snapshot_of

from models import MODELS, Budget, Team, VirtualKey
from snapshot.snapshot import Snapshot
from store import changed_rows
from store import sqlite as database
from store.encryption import Encryption
from store.failures import DatabaseUnavailable
from store.sqlite import Reader

TABLES = [model._meta.table_name for model in MODELS]
ROUNDS = 40  # of changes at random; thousands were tried when this was written
JOIN = "governance_virtual_key_provider_config_keys"
Write = Callable[[sqlite3.Connection, random.Random], None]


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    connection.execute("PRAGMA synchronous = OFF")  # much faster
    return connection


def make(path: Path, *pragmas: str, rows: int = 40) -> Path:
    """A July database with some rows in each table, of a page size of its own."""
    template = path.with_name("template.db")
    Gateway(template, "july")
    with closing(connect(template)) as source, closing(connect(path)) as new:
        for pragma in pragmas:
            new.execute(f"PRAGMA {pragma}")
        for (sql,) in source.execute(
            "SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY type DESC"
        ).fetchall():
            new.execute(sql)
        new.execute("CREATE TABLE other (a, b)")
        chance = random.Random(1)
        new.execute("BEGIN")
        for table in TABLES:
            for _ in range(rows):
                insert(new, table, chance)
        new.execute("COMMIT")
    template.unlink()
    return path


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    described = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return [column[1] for column in described]


def some_value(chance: random.Random) -> Any:
    kind = chance.random()
    if kind < 0.6:
        return f"value-{chance.randrange(10**6)}"
    if kind < 0.7:
        return chance.choice([None, "", 0, 1.5, 2**40, b"\xff\xfe", "\U0001f511"])
    if kind < 0.99:
        return "x" * chance.randrange(60)
    return chance.choice("abc") * chance.choice([500, 3000, 5000, 9000])


def insert(
    connection: sqlite3.Connection,
    table: str,
    chance: random.Random,
    rowid: int | None = None,
) -> None:
    names = columns(connection, table)
    number = chance.randrange(10**12) if rowid is None else rowid
    given = {name: some_value(chance) for name in names}
    if table == JOIN:
        given = dict.fromkeys(names, number)
    elif "id" in given:
        given["id"] = number if _is_number(connection, table) else f"id-{number}"
    if rowid is not None and not _is_number(connection, table):
        given["rowid"] = rowid
    marks = ", ".join("?" * len(given))
    connection.execute(
        f"INSERT OR IGNORE INTO {table} ({', '.join(given)}) VALUES ({marks})",
        list(given.values()),
    )


def _is_number(connection: sqlite3.Connection, table: str) -> bool:
    described = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return any(column[1] == "id" and column[2] == "INTEGER" for column in described)


def some_rowids(
    connection: sqlite3.Connection, table: str, chance: random.Random
) -> list[int]:
    rowids = [row[0] for row in connection.execute(f"SELECT rowid FROM {table}")]
    return chance.sample(rowids, min(3, len(rowids)))


def update(connection: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice([table for table in TABLES if table != JOIN])
    names = [name for name in columns(connection, table) if name != "id"]
    for rowid in some_rowids(connection, table, chance):
        connection.execute(
            f"UPDATE OR IGNORE {table} SET {chance.choice(names)} = ? WHERE rowid = ?",
            (some_value(chance), rowid),
        )


def update_the_end_of_a_long_text(
    connection: sqlite3.Connection, chance: random.Random
) -> None:
    """Of which SQLite may write overflow pages only."""
    connection.execute(
        "UPDATE governance_teams SET config = substr(config, 1, length(config) - 1)"
        f" || '{chance.choice('def')}' WHERE length(config) > 2500"
    )


def insert_some(connection: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(TABLES)
    for _ in range(chance.choice([1, 1, 3, 30])):
        insert(connection, table, chance)


def insert_anywhere(connection: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(TABLES)
    for _ in range(chance.choice([1, 10])):
        rowid = chance.choice([-(2**63), -5, chance.randrange(-(10**6), 10**9)])
        insert(connection, table, chance, rowid)


def delete_some(connection: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(TABLES)
    for rowid in some_rowids(connection, table, chance):
        connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))


def delete_many(connection: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(TABLES)
    for rowid in some_rowids(connection, table, chance)[:1]:
        connection.execute(
            f"DELETE FROM {table} WHERE rowid BETWEEN ? AND ? + 100000000", [rowid] * 2
        )


def move(connection: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(TABLES)
    for rowid in some_rowids(connection, table, chance):
        connection.execute(
            f"UPDATE OR IGNORE {table} SET rowid = ? WHERE rowid = ?",
            (chance.randrange(10**9), rowid),
        )


def write_other_tables(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Which takes free pages, and frees them."""
    if chance.random() < 0.5:
        connection.execute("DELETE FROM other")
    for _ in range(chance.randrange(5)):
        row = ("x" * chance.randrange(9000), chance.randrange(99))
        connection.execute("INSERT INTO other VALUES (?, ?)", row)


SMALL: list[Write] = [
    update,
    update,
    update_the_end_of_a_long_text,
    insert_some,
    insert_anywhere,
    delete_some,
    move,
    write_other_tables,
]


def delete_all(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.execute(f"DELETE FROM {chance.choice(TABLES)}")


def vacuum(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.execute(chance.choice(["VACUUM", "PRAGMA incremental_vacuum"]))


def checkpoint(connection: sqlite3.Connection, chance: random.Random) -> None:
    mode = chance.choice(["PASSIVE", "RESTART", "TRUNCATE"])
    connection.execute(f"PRAGMA wal_checkpoint({mode})")


def change_journal(connection: sqlite3.Connection, chance: random.Random) -> None:
    mode = chance.choice(["WAL", "DELETE", "PERSIST"])
    with suppress(sqlite3.OperationalError):
        connection.execute(f"PRAGMA journal_mode = {mode}")


def change_schema(connection: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(TABLES)
    name = f"c{chance.randrange(10**9)}"
    connection.execute(
        chance.choice(
            [
                f"ALTER TABLE {table} ADD COLUMN {name} TEXT DEFAULT 'd'",
                f"CREATE INDEX {name} ON {table} ({columns(connection, table)[1]})",
                f"CREATE TABLE {name} (a, b)",
                "REINDEX",
                "ANALYZE",
            ]
        )
    )


def swap_tables(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Rename a table away, and put a copy of some of its rows into its place."""
    table = chance.choice(["governance_teams", "governance_budgets"])
    (sql,) = connection.execute(
        "SELECT sql FROM sqlite_master WHERE name = ?", (table,)
    ).fetchone()
    connection.execute(f"ALTER TABLE {table} RENAME TO away")
    connection.execute(sql)
    connection.execute(f"INSERT INTO {table} SELECT * FROM away WHERE rowid % 3")
    connection.execute("DROP TABLE away")


LARGE: list[Write] = [
    delete_many,
    delete_all,
    vacuum,
    checkpoint,
    checkpoint,
    change_journal,
    change_schema,
    swap_tables,
]
UNTOLD = (vacuum, checkpoint, change_journal)  # not within transactions


def change(connection: sqlite3.Connection, chance: random.Random) -> str:
    """Commit some changes, and return what they were."""
    writes = chance.choices(SMALL, k=chance.choice([1, 1, 2]))
    if chance.random() < 0.12:
        writes = [chance.choice(LARGE)]
    if writes[0] in UNTOLD:
        writes[0](connection, chance)
    else:
        connection.execute("BEGIN")
        for write in writes:
            write(connection, chance)
        connection.execute("COMMIT" if chance.random() < 0.95 else "ROLLBACK")
    return ", ".join(write.__name__ for write in writes)


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let changes of the tests' small databases be followed, too."""
    monkeypatch.setattr(changed_rows, "SMALL_BYTES", 0)


@pytest.fixture
def read_whole(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """As many as databases were read whole."""
    reads: list[None] = []
    select_all = database.select_all

    def select(*arguments: Any) -> Any:
        reads.append(None)
        return select_all(*arguments)

    monkeypatch.setattr(database, "select_all", select)
    return reads


KINDS = {
    "rollback": ["journal_mode = DELETE"],
    "log": ["journal_mode = WAL"],
    "small pages": ["page_size = 512", "journal_mode = WAL"],
    "large pages": ["page_size = 65536", "journal_mode = DELETE"],
    "vacuumed": ["page_size = 1024", "auto_vacuum = FULL", "journal_mode = WAL"],
    "by and by": ["page_size = 512", "auto_vacuum = INCREMENTAL"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_follow_changes_are_those_of_the_database(
    tmp_path: Path, read_whole: list[None], kind: str
) -> None:
    path = make(tmp_path / "config.db", *KINDS[kind])
    chance = random.Random(1)
    history = []
    followed = 0

    with closing(reader_of(path)) as reader, closing(connect(path)) as writer:
        writer.execute("PRAGMA cache_spill = 5")
        rows = reader.read()
        for _ in range(ROUNDS):
            history.append(change(writer, chance))
            read_whole.clear()
            rows = reader.read(rows)
            followed += not read_whole

            assert rows == rows_of(path), history

    assert followed > ROUNDS / 4


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_snapshot_of_followed_rows_is_the_one_made_anew(
    tmp_path: Path, journal: str
) -> None:
    path = make(tmp_path / "config.db", f"journal_mode = {journal}", rows=25)
    chance = random.Random(1)
    connect_rows_of(path, chance)

    with closing(reader_of(path)) as reader, closing(connect(path)) as writer:
        rows = reader.read()
        snapshot = Snapshot(rows)
        for _ in range(ROUNDS // 2):
            history = change(writer, chance)
            if chance.random() < 0.3:
                connect_rows(writer, chance)
            rows = reader.read(snapshot.index.rows)
            snapshot = Snapshot(rows, snapshot)

            assert answers(snapshot) == answers(snapshot_of(path)), history


def answers(snapshot: Snapshot) -> Any:
    return lists_of(snapshot, CLEAR), lists_of(snapshot, MASKED)


def connect_rows_of(path: Path, chance: random.Random) -> None:
    with closing(connect(path)) as connection:
        for _ in range(30):
            connect_rows(connection, chance)


# Which column refers to which table.
LINKS = [
    ("governance_teams", "customer_id", "governance_customers"),
    ("governance_virtual_keys", "team_id", "governance_teams"),
    ("governance_virtual_keys", "customer_id", "governance_customers"),
    ("governance_virtual_keys", "rate_limit_id", "governance_rate_limits"),
    ("governance_budgets", "team_id", "governance_teams"),
    ("governance_budgets", "virtual_key_id", "governance_virtual_keys"),
    ("governance_budgets", "provider_config_id", TABLES[5]),
    (TABLES[5], "virtual_key_id", "governance_virtual_keys"),
]


def connect_rows(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Let one row refer to another one."""
    table, column, other = chance.choice(LINKS)
    for rowid in some_rowids(connection, table, chance)[:1]:
        for other_rowid in some_rowids(connection, other, chance)[:1]:
            connection.execute(
                f"UPDATE {table} SET {column} = (SELECT id FROM {other}"
                " WHERE rowid = ?) WHERE rowid = ?",
                (other_rowid, rowid),
            )


@pytest.fixture(params=["journal_mode = WAL", "journal_mode = DELETE"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path / "config.db", request.param, rows=200)


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    reader = reader_of(path)
    yield reader
    reader.close()


@pytest.fixture
def writer(path: Path, reader: Reader) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as connection:
        yield connection


def test_of_one_changed_row_no_other_is_made_anew(
    reader: Reader, writer: sqlite3.Connection, read_whole: list[None]
) -> None:
    known = reader.read()
    read_whole.clear()
    row = known[Budget][100]

    writer.execute(
        "UPDATE governance_budgets SET current_usage = 77 WHERE id = ?", (row.id,)
    )
    rows = reader.read(known)

    assert read_whole == []
    assert [model for model in MODELS if rows[model] is not known[model]] == [Budget]
    pairs = zip(rows[Budget], known[Budget], strict=True)
    assert [new for new, old in pairs if new is not old] == [
        row._replace(current_usage=77)
    ]


def test_a_changed_row_keeps_the_texts_that_it_had(
    reader: Reader, writer: sqlite3.Connection, read_whole: list[None]
) -> None:
    known = reader.read()
    read_whole.clear()
    before = known[Budget][100]

    writer.execute(
        "UPDATE governance_budgets SET current_usage = 77 WHERE id = ?", (before.id,)
    )
    after = reader.read(known)[Budget][100]

    assert read_whole == []
    assert after.current_usage == 77
    pairs = zip(before, after, strict=True)
    texts = [pair for pair in pairs if isinstance(pair[1], str)]
    assert all(new is old for old, new in texts)


def test_a_commit_to_other_tables_changes_no_list(
    reader: Reader, writer: sqlite3.Connection, read_whole: list[None]
) -> None:
    known = reader.read()
    read_whole.clear()

    writer.execute("INSERT INTO other VALUES (1, ?)", ("x" * 10_000,))
    rows = reader.read(known)

    assert read_whole == []
    assert all(rows[model] is known[model] for model in MODELS)


def test_only_overflow_pages_may_change(
    reader: Reader, writer: sqlite3.Connection, read_whole: list[None]
) -> None:
    writer.execute(
        "UPDATE governance_teams SET config = ? WHERE rowid = 7", ("a" * 30_000,)
    )
    known = reader.read()
    read_whole.clear()

    writer.execute(
        "UPDATE governance_teams SET config = ? WHERE rowid = 7", ("a" * 29_999 + "b",)
    )
    rows = reader.read(known)

    assert read_whole == []
    (changed,) = set(rows[Team]) - set(known[Team])
    assert changed.config[-2:] == "ab"


def test_a_page_that_becomes_again_what_it_was_is_read(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    """First by way of the log, then by a checkpoint, after which files are compared."""
    update = "UPDATE governance_teams SET name = ? WHERE rowid = 7"
    writer.execute(update, ("name-1",))
    rows = reader.read()
    seen = []
    for name in ("name-2", "name-3", "name-1"):
        writer.execute(update, (name,))
        if name == "name-1":
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = reader.read(rows)
        seen.append(rows[Team][6].name)

    assert seen == ["name-2", "name-3", "name-1"]


def test_a_column_that_comes_with_a_default_is_read(
    tmp_path: Path, read_whole: list[None]
) -> None:
    """Of which nothing is written into the table's own pages."""
    path = tmp_path / "config.db"
    Gateway(path, "april").team("t")
    with closing(reader_of(path)) as reader, closing(connect(path)) as writer:
        before = reader.read()
        writer.execute(
            "ALTER TABLE governance_teams ADD COLUMN calendar_aligned DEFAULT 1"
        )
        after = reader.read(before)

    assert [rows[Team][0].calendar_aligned for rows in (before, after)] == [None, 1]


def test_a_log_that_was_begun_anew_hides_no_commit(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    writer.execute("UPDATE governance_teams SET name = 'a' WHERE rowid = 1")
    rows = reader.read()
    writer.execute("UPDATE governance_teams SET name = 'b' WHERE rowid = 2")
    writer.execute("PRAGMA wal_checkpoint(RESTART)")
    for number in (30, 31, 32):
        sql = "UPDATE governance_budgets SET config_hash = 'c' WHERE rowid = ?"
        writer.execute(sql, (number,))

    rows = reader.read(rows)

    assert [row.name for row in rows[Team][:2]] == ["a", "b"]
    assert [row.config_hash for row in rows[Budget][29:32]] == ["c"] * 3


def test_rows_other_than_those_read_last_are_not_built_upon(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    first = reader.read()
    writer.execute("DELETE FROM governance_teams WHERE rowid < 50")
    reader.read(first)
    writer.execute("DELETE FROM governance_teams WHERE rowid > 150")

    rows = reader.read(first)

    assert len(rows[Team]) == 101


def test_a_table_without_rowids_is_read(tmp_path: Path, read_whole: list[None]) -> None:
    path = make(tmp_path / "config.db")
    with closing(connect(path)) as writer:
        writer.execute("DROP TABLE governance_teams")
        writer.execute(
            "CREATE TABLE governance_teams (id TEXT PRIMARY KEY, name) WITHOUT ROWID"
        )
        writer.execute("INSERT INTO governance_teams VALUES ('t', 'before')")
        with closing(reader_of(path)) as reader:
            rows = reader.read()
            writer.execute("UPDATE governance_teams SET name = 'after'")
            rows = reader.read(rows)

    assert [team.name for team in rows[Team]] == ["after"]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_text_of_any_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    path = make(tmp_path / "config.db", f"encoding = '{encoding}'")
    with closing(connect(path)) as writer, closing(reader_of(path)) as reader:
        rows = reader.read()
        writer.execute("UPDATE governance_teams SET name = 'Zürich' WHERE rowid = 3")
        rows = reader.read(rows)

    assert rows[Team][2].name == "Zürich"


def test_rows_without_an_id_stay_left_out(tmp_path: Path) -> None:
    path = make(tmp_path / "config.db")
    with closing(connect(path)) as writer:
        writer.execute("DROP TABLE governance_teams")
        writer.execute("CREATE TABLE governance_teams (id TEXT PRIMARY KEY, name)")
        with closing(reader_of(path)) as reader:
            rows = reader.read()
            for name in ("a", "b"):
                writer.execute("INSERT INTO governance_teams VALUES (NULL, ?)", (name,))
                writer.execute("INSERT INTO governance_teams VALUES (?, ?)", [name] * 2)
                rows = reader.read(rows)

                assert rows == rows_of(path)


def test_encrypted_rows_are_opened_where_they_changed(
    reader: Reader, path: Path, writer: sqlite3.Connection, read_whole: list[None]
) -> None:
    pytest.importorskip("cryptography")
    encryption = Encryption("a passphrase of some length")
    seal = encryption.sealed_values
    for rowid, value in ((3, "sk-bf-three"), (90, "sk-bf-other")):
        sealed = seal(VirtualKey, {"value": value, "encryption_status": "plain_text"})
        writer.execute(
            "UPDATE governance_virtual_keys SET value = ?, encryption_status = ?"
            " WHERE rowid = ?",
            (sealed["value"], sealed["encryption_status"], rowid),
        )
    opening = Reader(path, MODELS, (), encryption)
    known = opening.read()
    read_whole.clear()

    writer.execute("UPDATE governance_virtual_keys SET name = 'new' WHERE rowid = 3")
    rows = opening.read(known)
    opening.close()

    assert read_whole == []
    by_value = {row.value: row for row in rows[VirtualKey]}
    assert by_value["sk-bf-three"].name == "new"
    assert any(row is by_value["sk-bf-other"] for row in known[VirtualKey])
    assert rows == rows_of(path, encryption)


@pytest.mark.parametrize("at", [0, 3, 5, 8, 30, 4000])
def test_pages_that_do_not_fit_together_are_found(
    tmp_path: Path, at: int, read_whole: list[None]
) -> None:
    """As after something other than SQLite wrote to the file."""
    path = make(tmp_path / "config.db", "journal_mode = DELETE", rows=300)
    with closing(reader_of(path)) as reader, closing(connect(path)) as writer:
        known = reader.read()
        writer.execute("UPDATE governance_budgets SET current_usage = 5")
        written = rows_of(path)
        (page,) = writer.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'governance_budgets'"
        ).fetchone()
        writer.close()
        with path.open("r+b") as file:
            file.seek((page - 1) * 4096 + at)
            file.write(b"\x7f\x7e")

        found = attempt(lambda: reader.read(known))

    assert found in (written, "is damaged")


def attempt(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except DatabaseUnavailable as failure:
        return failure.reason


def test_a_small_database_is_read_whole(
    path: Path,
    writer: sqlite3.Connection,
    read_whole: list[None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changed_rows, "SMALL_BYTES", 2**30)
    with closing(reader_of(path)) as reader:
        known = reader.read()
        writer.execute("UPDATE governance_teams SET name = 'other'")
        read_whole.clear()

        reader.read(known)

    assert read_whole == [None]


def test_a_doubt_is_settled_by_reading_all(
    reader: Reader,
    writer: sqlite3.Connection,
    read_whole: list[None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = reader.read()
    read_whole.clear()

    def doubt(*_: Any) -> None:
        raise changed_rows.NotFollowed

    monkeypatch.setattr(database, "read_changes", doubt)
    writer.execute("UPDATE governance_teams SET name = 'new' WHERE rowid = 3")
    rows = reader.read(known)

    assert len(read_whole) == 1
    assert rows[Team][2].name == "new"
