"""`database.Reader`: what it notices, what it reads, what it leaves, why it fails."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway, fill
from reading import reader_of

from models import MODELS, Budget, ProviderConfigKey, Team
from store import images, rows, seen_file
from store import sqlite as database
from store.failures import DatabaseUnavailable
from store.images import PlainFile, open_files
from store.locations import Location
from store.seen_file import SeenFile
from store.sqlite import Reader


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locked files are given up at once: no test waits for one to be free."""
    monkeypatch.setattr(database, "LOCK_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(database, "LOCK_WAIT_AGAIN_SECONDS", 0.02)


@pytest.fixture(params=["delete", "wal"])
def journal(request: pytest.FixtureRequest) -> str:
    """Both journal modes, one after the other."""
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path, journal: str) -> Path:
    """A gateway's database that nobody has open, alone in its folder."""
    return make(tmp_path / "gateway" / "config.db", journal)


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    reader = reader_of(path)
    yield reader
    reader.close()


@pytest.fixture
def writer(path: Path, reader: Reader) -> Iterator[sqlite3.Connection]:
    """Another process's connection; each statement is a commit of its own."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    yield connection
    connection.close()


def make(path: Path, journal: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    fill(Gateway(path))
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.close()
    return path


def rename(connection: sqlite3.Connection, name: str) -> None:
    """Give one team and one budget the same new text."""
    connection.execute("BEGIN")
    connection.execute("UPDATE governance_teams SET name = ? WHERE id = 'lone'", [name])
    connection.execute(
        "UPDATE governance_budgets SET config_hash = ? WHERE id = 'budget-ops'", [name]
    )
    connection.execute("COMMIT")


def seen(rows: Any) -> tuple[str, str]:
    """The names that `rename` wrote, as read from the two tables."""
    (team,) = (row.name for row in rows[Team] if row.id == "lone")
    (budget,) = (row.config_hash for row in rows[Budget] if row.id == "budget-ops")
    return team, budget


def folder(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


# Noticing


def test_the_mark_stays_without_a_change(reader: Reader, path: Path) -> None:
    leave_alone(path)
    marks = {reader.mark(), reader.mark()}
    reader.read()

    assert {*marks, reader.mark()} == marks
    assert len(marks) == 1


def test_the_mark_changes_with_each_commit(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    marks = [reader.mark()]

    for number in range(20):
        rename(writer, f"name {number}")
        marks.append(reader.mark())

    assert len(set(marks)) == 21


def test_the_mark_changes_with_each_writer_that_comes_and_goes(
    reader: Reader, path: Path
) -> None:
    marks = [reader.mark()]

    for number in range(20):
        connection = sqlite3.connect(path, isolation_level=None)
        rename(connection, f"name {number}")
        connection.close()
        marks.append(reader.mark())

    assert len(set(marks)) == 21


def test_the_mark_stays_while_nothing_is_committed(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    rename(writer, "before")
    before = reader.mark()
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE governance_teams SET name = 'never'")

    during = reader.mark()
    writer.execute("ROLLBACK")

    assert (during, reader.mark()) == (before, before)


def test_the_mark_changes_when_the_file_is_replaced(
    reader: Reader, path: Path, tmp_path: Path, journal: str
) -> None:
    other = make(tmp_path / "other" / "config.db", journal)
    # The same size and time: only the inode tells them apart.
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    before = reader.mark()

    os.replace(other, path)

    assert reader.mark() != before


def test_a_replaced_file_is_read_from_then_on(
    reader: Reader, path: Path, tmp_path: Path, journal: str
) -> None:
    other = make(tmp_path / "other" / "config.db", journal)
    connection = sqlite3.connect(other, isolation_level=None)
    rename(connection, "another file")
    connection.close()
    reader.read()

    os.replace(other, path)

    assert seen(reader.read()) == ("another file", "another file")


@pytest.mark.parametrize("journal", ["wal"], indirect=True)
def test_the_mark_changes_when_a_log_appears(
    reader: Reader, writer: sqlite3.Connection, path: Path
) -> None:
    before = reader.mark()
    main = path.read_bytes()

    rename(writer, "in the log")

    assert path.read_bytes() == main
    assert reader.mark() != before
    assert seen(reader.read()) == ("in the log", "in the log")


@pytest.mark.parametrize("journal", ["wal"], indirect=True)
def test_what_a_checkpoint_moved_is_still_read(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    rename(writer, "moved")
    reader.read()

    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rename(writer, "and more")

    assert seen(reader.read()) == ("and more", "and more")


# Reading


@pytest.mark.parametrize("number", range(1, len(MODELS) + 1))
def test_a_commit_between_two_tables_is_never_seen_half(
    reader: Reader,
    writer: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    rename(writer, "before")
    calls = []

    def select_and_commit(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == number:
            commit_if_free(writer, "after")
        return select(*args)

    select = rows.select_table
    monkeypatch.setattr(rows, "select_table", select_and_commit)

    assert seen(reader.read()) in {("before", "before"), ("after", "after")}


def commit_if_free(connection: sqlite3.Connection, name: str) -> None:
    """Commit, unless a reader is in the way, as one is without a log."""
    with suppress(sqlite3.OperationalError):
        rename(connection, name)
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def test_a_table_that_is_not_required_may_be_missing(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    writer.execute("DROP TABLE config_providers")

    rows = reader.read()

    assert {model._meta.table_name: len(rows[model]) for model in MODELS}[
        "config_providers"
    ] == 0


def test_text_that_is_not_utf_8_is_read_with_replacements(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    writer.execute(
        "UPDATE governance_teams SET name = CAST(x'61ff' AS TEXT) WHERE id = 'lone'"
    )

    teams = reader.read()[Team]

    assert [row.name for row in teams if row.id == "lone"] == [
        "a\N{REPLACEMENT CHARACTER}"
    ]


# Leaving nothing


def test_nothing_changes_and_nothing_stays(reader: Reader, path: Path) -> None:
    before = folder(path)

    reader.mark()
    reader.read()
    reader.mark()
    during = folder(path)
    reader.close()

    assert during == before
    assert folder(path) == before


def test_nothing_stays_of_a_writer_that_went_before_us(
    reader: Reader, path: Path
) -> None:
    reader.mark()
    connection = sqlite3.connect(path, isolation_level=None)
    rename(connection, "new")
    connection.close()

    reader.read()
    reader.close()

    assert list(folder(path)) == ["config.db"]


def test_nothing_stays_of_a_writer_that_we_read_beside(
    reader: Reader, path: Path
) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    rename(connection, "new")
    reader.read()

    connection.close()
    reader.mark()
    reader.close()

    assert list(folder(path)) == ["config.db"]


def test_nothing_stays_where_the_journal_mode_changes_again_and_again(
    reader: Reader, path: Path
) -> None:
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for number in range(200):\n"
        "    mode = ('wal', 'delete')[number % 2]\n"
        "    connection.execute(f'PRAGMA journal_mode = {mode}')\n"
        "    connection.execute('UPDATE governance_teams SET config_hash = 1')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, path])

    while process.poll() is None:
        with suppress(DatabaseUnavailable):
            reader.mark()
            reader.read()

    assert process.returncode == 0  # no write of its failed
    assert list(folder(path)) == ["config.db"]


def test_a_database_that_is_away_is_not_made(reader: Reader, path: Path) -> None:
    path.unlink()

    for ask in (reader.mark, reader.read, reader.verify):
        with pytest.raises(DatabaseUnavailable):
            ask()

    assert folder(path) == {}


def test_a_writer_is_not_kept_waiting_by_an_idle_reader(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    reader.read()
    reader.mark()

    rename(writer, "at once")  # with a timeout of 0

    assert seen(reader.read()) == ("at once", "at once")


# Failing


def remove(path: Path) -> None:
    path.unlink()


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def write_garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 1000)


def write_less_than_a_header(path: Path) -> None:
    path.write_bytes(b"garbage")


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def overwrite_pages(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def put_an_endless_view_in_place_of_teams(path: Path) -> None:
    drop_teams(path)
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE VIEW Governance_Teams AS WITH RECURSIVE endless(id) AS"
        " (SELECT 1 UNION ALL SELECT id + 1 FROM endless) SELECT id FROM endless"
    )
    connection.commit()
    connection.close()


def mix_with_pages_of_another_database(path: Path) -> None:
    other = path.with_name("other.db")
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE first (a)")
    connection.execute("INSERT INTO first VALUES (zeroblob(100000))")
    connection.commit()
    connection.close()
    pages = other.read_bytes()
    other.unlink()
    content = path.read_bytes()
    half = len(content) // 8192 * 4096
    path.write_bytes(content[:half] + pages[half:] + content[max(half, len(pages)) :])


def drop_teams(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE governance_teams")
    connection.commit()
    connection.close()


FAILURES = [
    (remove, "does not exist"),
    (make_directory, "is a directory"),
    (write_garbage, "is not an SQLite database"),
    (write_less_than_a_header, "is not an SQLite database"),
    (truncate, "is damaged"),
    (overwrite_pages, "is damaged"),
    (empty, "has no table governance_customers"),
    (drop_teams, "has no table governance_teams"),
    (make_pipe, "is a pipe, not a file"),
    (link_to_a_device, "is a device, not a file"),
    (link_to_itself, "cannot be read: too many levels of symbolic links"),
    (
        put_an_endless_view_in_place_of_teams,
        "has a view where the table Governance_Teams should be",
    ),
    (mix_with_pages_of_another_database, "is damaged"),
]


@pytest.mark.parametrize(("harm", "reason"), FAILURES)
@pytest.mark.parametrize("opened", [False, True], ids=["unopened", "opened"])
def test_a_failure_is_named(
    reader: Reader, path: Path, harm: Callable[..., None], reason: str, opened: bool
) -> None:
    if opened:
        reader.read()
    harm(path)

    with pytest.raises(DatabaseUnavailable) as failure:
        reader.mark(), reader.read()

    assert failure.value.reason == reason
    assert str(failure.value) == f"{path} {reason}"


@pytest.mark.parametrize("journal", ["delete"], indirect=True)
def test_a_hot_journal_is_named_with_what_to_do(path: Path, reader: Reader) -> None:
    program = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('BEGIN')\n"
        "connection.execute('CREATE TABLE t AS SELECT zeroblob(99999)')\n"
        "connection.execute('UPDATE governance_teams SET config = zeroblob(99999)')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=False)
    before = folder(path)

    with pytest.raises(DatabaseUnavailable) as failure:
        reader.read()

    assert failure.value.reason == (
        "was left in the middle of a change, which config.db-journal can undo:"
        " open it once with the gateway, or with sqlite3"
    )
    assert folder(path) == before
    sqlite3.connect(path).execute("SELECT * FROM governance_teams").close()
    assert seen(reader.read())[0] == "Skunkworks"


@pytest.mark.parametrize("journal", ["delete"], indirect=True)
@pytest.mark.parametrize("times", [1, 10_000])
def test_a_file_that_is_overwritten_while_it_is_read_is_read_again(
    reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """As `cp` does, which takes no lock."""
    copy, copies = PlainFile.main_copy, []
    monkeypatch.setattr(images, "TRY_SECONDS", 0.05)

    def copy_and_overwrite(files: PlainFile) -> bytearray:
        copies.append(copy(files))
        if len(copies) <= times:
            os.utime(path, ns=(0, len(copies)))
        return copies[-1]

    monkeypatch.setattr(PlainFile, "main_copy", copy_and_overwrite)

    if times == 1:
        assert len(reader.read()[Team]) == 4
        assert len(copies) == 2
    else:
        with pytest.raises(DatabaseUnavailable, match=r"other than SQLite"):
            reader.read()


@pytest.mark.parametrize("journal", ["delete"], indirect=True)
def test_a_commit_while_the_file_is_copied_is_copied_whole(
    reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, copies = PlainFile.main_copy, []

    def copy_and_commit(files: PlainFile) -> bytearray:
        copies.append(copy(files))
        if len(copies) == 1:
            times = path.stat().st_atime_ns, path.stat().st_mtime_ns
            connection = sqlite3.connect(path, isolation_level=None)
            rename(connection, "after")
            connection.close()
            os.utime(path, ns=times)  # within one tick of the clock
        return copies[-1]

    monkeypatch.setattr(PlainFile, "main_copy", copy_and_commit)

    assert seen(reader.read()) == ("after", "after")


@pytest.mark.parametrize(("harm", "reason"), FAILURES)
def test_a_file_that_is_put_back_is_read_again(
    reader: Reader, path: Path, harm: Callable[..., None], reason: str
) -> None:
    whole = path.read_bytes()
    before = reader.read()
    harm(path)
    with pytest.raises(DatabaseUnavailable, match=reason):
        reader.mark(), reader.read()

    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_bytes(whole)

    assert reader.read() == before


@pytest.mark.parametrize("question", ["mark", "read"])
@pytest.mark.parametrize("journal", ["delete"], indirect=True)
def test_a_locked_file_is_named_and_read_again_when_free(
    reader: Reader, writer: sqlite3.Connection, question: str
) -> None:
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseUnavailable) as failure:
        getattr(reader, question)()

    writer.execute("COMMIT")

    assert failure.value.reason == "is locked by another process"
    assert getattr(reader, question)()


@pytest.mark.parametrize("journal", ["wal"], indirect=True)
def test_a_writer_with_a_log_locks_nobody_out(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    rename(writer, "committed")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE governance_teams SET name = 'not yet'")

    rows = reader.read()

    assert seen(rows) == ("committed", "committed")


def test_a_table_that_is_the_same_is_not_held_twice(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    known = reader.read()
    writer.execute("DELETE FROM governance_teams")

    rows = reader.read(known)

    assert [model for model in MODELS if rows[model] is not known[model]] == [Team]
    assert rows[Team] == []


def test_equal_texts_are_held_once(reader: Reader) -> None:
    read = reader.read()

    values = [value for model in MODELS for row in read[model] for value in row]
    texts = [value for value in values if isinstance(value, str)]
    assert len(set(map(id, texts))) == len(set(texts)) < len(texts)


def test_equal_numbers_of_different_types_stay_as_they_are() -> None:
    (row,) = rows.named_rows(ProviderConfigKey, [(1, 1.0)], texts={})

    assert [type(number) for number in row] == [int, float]


@pytest.mark.parametrize("journal", ["wal"])
def test_a_log_that_goes_away_while_it_is_looked_at_is_no_failure(
    reader: Reader, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_too_late(location: Location) -> Any:
        writer.close()  # the last to close folds the log in and removes it
        return open_files(location)

    before = reader.mark()
    writer.execute("DELETE FROM governance_teams")
    monkeypatch.setattr(database, "open_files", open_too_late)

    after = reader.mark()

    assert after != before
    assert reader.read()[Team] == []


# What a file that was left alone tells


def leave_alone(path: Path) -> None:
    """As if it had been written an hour ago."""
    an_hour_ago = path.stat().st_mtime_ns - 3600 * 10**9
    os.utime(path, ns=(an_hour_ago, an_hour_ago))


@pytest.fixture
def left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nobody had written to any file for long."""
    monkeypatch.setattr(seen_file, "SETTLED_NANOSECONDS", 0)


@pytest.fixture
def no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each write left another time, however soon after another it came."""
    monkeypatch.setattr(images, "TICK_NANOSECONDS", 0)
    monkeypatch.setattr(images, "COARSE_TICK_NANOSECONDS", 0)


def test_a_file_that_was_just_written_is_not_settled(reader: Reader) -> None:
    reader.mark()

    assert reader.settled() is None


@pytest.mark.usefixtures("left_alone")
def test_a_file_that_was_never_looked_at_is_not_settled(reader: Reader) -> None:
    assert reader.settled() is None


@pytest.mark.usefixtures("left_alone")
@pytest.mark.parametrize("journal", ["delete"])
def test_a_file_that_is_left_alone_is_settled_until_it_is_written(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    mark = reader.mark()
    alone = [reader.settled(), reader.settled()]

    writer.execute("DELETE FROM governance_teams")

    assert alone == [mark, mark]
    assert reader.settled() is None


@pytest.mark.parametrize("journal", ["delete"])
def test_a_file_settles_while_it_is_looked_at(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = reader.mark()

    monkeypatch.setattr(seen_file, "SETTLED_NANOSECONDS", 0)
    before = reader.settled()
    reader.mark_at_once()

    assert before is None  # it may have been written in the same tick as the mark
    assert reader.settled() == mark


@pytest.mark.usefixtures("left_alone")
@pytest.mark.parametrize("journal", ["delete"])
def test_another_file_in_its_place_is_not_the_settled_one(
    reader: Reader, path: Path
) -> None:
    mark = reader.mark()
    other = make(path.parent / "other" / "config.db", "delete")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))

    other.replace(path)

    assert reader.settled() is None
    assert reader.mark() != mark


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("journal", ["delete"])
def test_a_commit_counts_though_the_file_has_its_old_time_again(
    reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    if settled:
        monkeypatch.setattr(seen_file, "SETTLED_NANOSECONDS", 0)
    before = reader.mark()
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    connection = sqlite3.connect(path, isolation_level=None)
    rename(connection, "as long as before")
    connection.close()

    os.utime(path, ns=times)

    assert reader.settled() is None
    assert reader.mark() != before


@pytest.mark.usefixtures("no_ticks")
def test_a_commit_within_one_tick_of_the_files_clocks_counts(
    reader: Reader, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(writer, "before")
    before = reader.mark()
    monkeypatch.setattr(SeenFile, "is_unchanged", lambda file: True)

    rename(writer, "after")

    assert reader.mark() != before


@pytest.mark.parametrize("journal", ["wal"])
def test_a_log_that_was_just_written_by_one_who_is_gone_is_looked_at_again(
    reader: Reader, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who was killed may have written more, without a word of it in the index."""
    monkeypatch.setattr(images, "is_young", lambda file: True)
    rename(writer, "before")
    before = reader.mark()

    monkeypatch.setattr(images, "is_in_use", lambda index: False)

    assert reader.mark() != before


@pytest.mark.usefixtures("left_alone")
@pytest.mark.parametrize("journal", ["delete"])
def test_a_lock_on_a_file_that_was_left_alone_is_seen(
    reader: Reader, writer: sqlite3.Connection
) -> None:
    reader.mark()
    reader.mark()

    writer.execute("BEGIN EXCLUSIVE")

    with pytest.raises(DatabaseUnavailable, match="is locked"):
        reader.mark()


@pytest.mark.usefixtures("left_alone", "no_ticks")
@pytest.mark.parametrize("journal", ["wal"])
@pytest.mark.parametrize("with_log", [True, False])
def test_a_database_whose_commits_may_go_to_a_log_is_never_settled(
    reader: Reader, writer: sqlite3.Connection, with_log: bool
) -> None:
    if with_log:
        rename(writer, "in the log")
    reader.mark()
    reader.mark()

    assert reader.settled() is None


@pytest.mark.usefixtures("left_alone")
def test_a_closed_reader_is_not_settled(reader: Reader) -> None:
    reader.mark()

    reader.close()

    assert reader.settled() is None


@pytest.mark.usefixtures("no_ticks")
@pytest.mark.parametrize("with_log", [True, False])
def test_files_that_are_as_before_are_not_sought_again(
    reader: Reader,
    writer: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    with_log: bool,
) -> None:
    if with_log:
        rename(writer, "before")
    marks = {reader.mark(), reader.mark()}  # reading the header may leave a time
    sought = []
    find = database.find
    monkeypatch.setattr(database, "find", lambda name: sought.append(1) or find(name))

    marks |= {reader.mark() for _ in range(5)}

    assert (len(marks), sought) == (1, [])


@pytest.mark.parametrize("journal", ["delete"])
def test_a_commit_that_was_under_way_at_a_look_counts(
    reader: Reader, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages are there already when the lock is seen."""
    before = reader.mark()
    monkeypatch.setattr(SeenFile, "is_unchanged", lambda file: True)
    rename(writer, "after")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(images, "is_being_written", lambda descriptor: True)
        with pytest.raises(DatabaseUnavailable, match="is locked"):
            reader.mark_at_once()

    assert reader.mark() != before


@pytest.mark.usefixtures("no_ticks")
@pytest.mark.parametrize("journal", ["wal"])
def test_a_link_that_leads_to_the_same_file_by_another_way_is_noticed(
    path: Path, tmp_path: Path
) -> None:
    """The log stands beside the file, wherever that is."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    reader = reader_of(link)
    before = [reader.mark(), reader.mark()][1]
    elsewhere = path.parent.rename(tmp_path / "elsewhere") / path.name
    link.unlink()
    link.symlink_to(elsewhere)
    connection = sqlite3.connect(elsewhere, isolation_level=None)

    rename(connection, "in the log")

    assert reader.mark() != before
    connection.close()
    reader.close()


@pytest.mark.usefixtures("no_ticks")
@pytest.mark.parametrize("journal", ["wal"])
def test_a_log_beside_a_file_that_had_none_counts(reader: Reader, path: Path) -> None:
    before = reader.mark()
    connection = sqlite3.connect(path, isolation_level=None)

    rename(connection, "in the log only")

    assert reader.mark() != before
    connection.close()
