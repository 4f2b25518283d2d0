"""A database and its log are read as SQLite would read them, and left as they are."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from gateway import Gateway, fill
from reading import reader_of
from users import as_nobody

from models import Team
from store import images
from store import write_ahead_log as wal
from store.failures import DatabaseUnavailable, Unreadable
from store.images import LoggedFile, open_files
from store.locations import find

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database without rows, in a folder of its own, that uses a log."""
    path = tmp_path / "gateway" / "config.db"
    path.parent.mkdir()
    connection = connect(path)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE numbers (place INTEGER PRIMARY KEY, number)")
    connection.close()
    return path


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that never folds the log in by itself."""
    connection = connect(path)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    yield connection
    connection.close()


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=0)


def dump(image: bytearray) -> list[str]:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(image)
    lines = list(connection.iterdump())
    connection.close()
    return lines


def dump_by_files(path: Path) -> list[str]:
    with closing(open_files(find(str(path)).location)) as files:
        return dump(files.at_one_moment(files.image))


def dump_by_sqlite(path: Path, folder: Path) -> list[str]:
    """The dump that SQLite itself recovers from copies of the database and its log."""
    folder.mkdir()
    for name in (path.name, f"{path.name}-wal"):
        shutil.copy(path.with_name(name), folder / name)
    connection = connect(folder / path.name)
    lines = list(connection.iterdump())
    connection.close()
    return lines


def numbers(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("INSERT")]


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def index_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def folder(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def kill_while_open(path: Path, statements: str) -> None:
    """Let a process run statements, one commit each, and kill it before it closes."""
    program = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "connection.execute('PRAGMA cache_size = 5')\n"
        "for statement in sys.argv[2].split(';'):\n"
        "    connection.execute(statement)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, path, statements], check=False)
    assert run.returncode == -signal.SIGKILL


TWO_COMMITS = "INSERT INTO numbers VALUES (1, 1);INSERT INTO numbers VALUES (2, 1)"
SERIES = (
    "WITH RECURSIVE series(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM series"
    " WHERE value < 200) INSERT INTO numbers SELECT value, hex(randomblob(300)) FROM"
    " series"
)


# Reading as SQLite reads


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("indexed", [True, False], ids=["index", "no index"])
def test_the_image_is_what_sqlite_recovers(
    path: Path, tmp_path: Path, seed: int, indexed: bool
) -> None:
    choices = random.Random(seed)
    writer = connect(path)
    writer.execute(f"PRAGMA wal_autocheckpoint = {choices.choice([0, 3, 20])}")
    for number in range(choices.randrange(1, 40)):
        place = choices.randrange(60)
        text = "x" * choices.randrange(3000)
        statement = choices.choice(
            [
                "INSERT OR REPLACE INTO numbers VALUES (?, ?)",
                "INSERT OR REPLACE INTO numbers VALUES (?, ?)",
                "DELETE FROM numbers WHERE place <> ? AND number <> ?",
                f"CREATE TABLE IF NOT EXISTS t{number % 3} AS SELECT ? AS a, ? AS b",
            ]
        )
        writer.execute(statement, (place, text))
        if choices.random() < 0.1:
            mode = choices.choice(["PASSIVE", "RESTART", "TRUNCATE"])
            writer.execute(f"PRAGMA wal_checkpoint({mode})")
        if choices.random() < 0.05:
            writer.execute("VACUUM")
    if not indexed:
        kill_while_open(path, "INSERT INTO numbers VALUES (1000, 1)")
        index_of(path).unlink()

    expected = dump_by_sqlite(path, tmp_path / "copy")

    assert dump_by_files(path) == expected
    writer.close()


@pytest.mark.parametrize("keep_index", [True, False], ids=["index", "no index"])
def test_a_log_that_a_killed_process_left_is_read(path: Path, keep_index: bool) -> None:
    kill_while_open(path, "INSERT INTO numbers VALUES (1, 'a');DELETE FROM numbers")
    kill_while_open(path, "INSERT INTO numbers VALUES (2, 'b')")
    if not keep_index:
        index_of(path).unlink()

    assert numbers(dump_by_files(path)) == ["""INSERT INTO "numbers" VALUES(2,'b');"""]


@pytest.mark.parametrize("keep_index", [True, False], ids=["index", "no index"])
def test_what_was_not_committed_is_not_read(path: Path, keep_index: bool) -> None:
    kill_while_open(path, f"INSERT INTO numbers VALUES (500, 'a');BEGIN;{SERIES}")
    assert log_of(path).stat().st_size > 20 * 4096  # more than the cache went there
    if not keep_index:
        index_of(path).unlink()

    assert numbers(dump_by_files(path)) == [
        """INSERT INTO "numbers" VALUES(500,'a');"""
    ]


def test_an_index_older_than_its_log_does_not_hide_commits(path: Path) -> None:
    # After a power failure: the log is written through to the disk, its index is not.
    kill_while_open(path, "INSERT INTO numbers VALUES (1, 'a')")
    index = index_of(path).read_bytes()
    connection = connect(path)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("INSERT INTO numbers VALUES (2, 'b')")
    content = folder(path)
    connection.close()
    for name, data in content.items():
        path.with_name(name).write_bytes(data)
    index_of(path).write_bytes(index)

    assert len(numbers(dump_by_files(path))) == 2


def test_a_log_of_the_other_byte_order_is_read(path: Path, tmp_path: Path) -> None:
    kill_while_open(path, f"{SERIES};DELETE FROM numbers WHERE place > 50")
    index_of(path).unlink()
    log_of(path).write_bytes(in_other_byte_order(log_of(path).read_bytes()))

    expected = dump_by_sqlite(path, tmp_path / "copy")

    assert len(numbers(expected)) == 50
    assert dump_by_files(path) == expected


def in_other_byte_order(log: bytes) -> bytes:
    """The same log as a processor of the other byte order would write it."""
    page_size = int.from_bytes(log[8:12])
    magic = (int.from_bytes(log[:4]) ^ 1).to_bytes(4)
    order = ">" if magic[3] == 0x83 else "<"
    checksum = checksum_of(magic + log[4:24], (0, 0), order)
    parts = [magic, log[4:24], *(each.to_bytes(4) for each in checksum)]
    for at in range(32, len(log), 24 + page_size):
        header, page = log[at : at + 8], log[at + 24 : at + 24 + page_size]
        checksum = checksum_of(header + page, checksum, order)
        parts += [log[at : at + 16], *(each.to_bytes(4) for each in checksum), page]
    return b"".join(parts)


def checksum_of(text: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    """Section 4.2 of sqlite.org/fileformat2.html, word for word."""
    endian = "big" if order == ">" else "little"
    x = [int.from_bytes(text[at : at + 4], endian) for at in range(0, len(text), 4)]
    s0, s1 = start
    for i in range(0, len(x), 2):
        s0 = (s0 + x[i] + s1) % 2**32
        s1 = (s1 + x[i + 1] + s0) % 2**32
    return s0, s1


@pytest.mark.parametrize("at", [0, 5, 20, 40, 60])
def test_a_log_with_a_byte_changed_ends_there(
    path: Path, tmp_path: Path, at: int
) -> None:
    kill_while_open(
        path, ";".join(f"INSERT INTO numbers VALUES ({n}, 1)" for n in (1, 2))
    )
    index_of(path).unlink()
    content = bytearray(log_of(path).read_bytes())
    content[at] ^= 0xFF
    log_of(path).write_bytes(content)

    assert dump_by_files(path) == dump_by_sqlite(path, tmp_path / "copy")


def test_a_log_that_was_cut_ends_at_its_last_whole_commit(
    path: Path, tmp_path: Path
) -> None:
    kill_while_open(
        path, ";".join(f"INSERT INTO numbers VALUES ({n}, 1)" for n in (1, 2))
    )
    index_of(path).unlink()
    content = log_of(path).read_bytes()
    log_of(path).write_bytes(content[: len(content) - 4000])

    assert dump_by_files(path) == dump_by_sqlite(path, tmp_path / "copy")


@pytest.mark.parametrize("page_size", [512, 65536])
def test_pages_of_any_size_are_read(tmp_path: Path, page_size: int, path: Path) -> None:
    other = path.with_name("other.db")
    writer = connect(other)
    writer.execute(f"PRAGMA page_size = {page_size}")
    writer.execute("PRAGMA journal_mode = wal")
    writer.execute("CREATE TABLE numbers (place INTEGER PRIMARY KEY, number)")
    writer.execute(SERIES)

    assert dump_by_files(other) == dump_by_sqlite(other, tmp_path / "copy")
    writer.close()


# Never of two moments


def test_a_log_begun_anew_while_it_is_copied_is_copied_again(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.execute("INSERT INTO numbers VALUES (1, 'old')")
    copy = LoggedFile.main_copy

    def write_meanwhile(files: LoggedFile) -> bytearray:
        monkeypatch.setattr(LoggedFile, "main_copy", copy)
        image = copy(files)
        writer.execute("PRAGMA wal_checkpoint(RESTART)")
        writer.execute("UPDATE numbers SET number = 'new'")
        writer.execute("PRAGMA wal_checkpoint(RESTART)")
        writer.execute("CREATE TABLE other (a)")
        return image

    monkeypatch.setattr(LoggedFile, "main_copy", write_meanwhile)

    lines = dump_by_files(path)

    assert numbers(lines) == ["""INSERT INTO "numbers" VALUES(1,'new');"""]
    assert "CREATE TABLE other (a);" in lines


def test_newer_pages_copied_back_meanwhile_are_noticed(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.execute("CREATE TABLE other (number)")
    writer.execute("INSERT INTO other VALUES ('old')")
    writer.execute("INSERT INTO numbers VALUES (1, 'old')")
    writer.execute("PRAGMA wal_checkpoint(RESTART)")
    writer.execute("INSERT INTO numbers VALUES (2, 'still old')")
    committed = wal.Commits.of

    def write_meanwhile(*args: object) -> object:
        commits = committed(*args)  # type: ignore[arg-type]
        monkeypatch.setattr(wal.Commits, "of", committed)
        writer.execute("BEGIN")
        writer.execute("UPDATE other SET number = 'new'")
        writer.execute("UPDATE numbers SET number = 'new'")
        writer.execute("COMMIT")
        writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return commits

    monkeypatch.setattr(wal.Commits, "of", write_meanwhile)

    lines = "".join(numbers(dump_by_files(path)))

    assert "old" not in lines
    assert lines.count("'new'") == 3


def test_a_log_that_never_rests_is_given_up(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.execute("INSERT INTO numbers VALUES (1, 'a')")
    monkeypatch.setattr(images, "TRY_SECONDS", 0.01)

    def always_moved(*_: object) -> None:
        raise wal.MovedMeanwhile

    monkeypatch.setattr(wal.Commits, "of", always_moved)

    with pytest.raises(Unreadable, match="changes faster than it can be copied"):
        dump_by_files(path)


def test_without_an_index_files_just_written_are_looked_at_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_while_open(path, "INSERT INTO numbers VALUES (1, 'a')")
    index_of(path).unlink()
    os.utime(log_of(path))
    pauses: list[float] = []
    sleep = time.sleep

    def count(seconds: float) -> None:
        pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", count)

    assert len(numbers(dump_by_files(path))) == 1
    assert pauses


# Noticing commits


def test_a_commit_that_leaves_the_logs_size_and_time_is_noticed(
    tmp_path: Path,
) -> None:
    # A log begun anew is written over from its start, within one tick of the clock.
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    writer = connect(path)
    for _ in range(3):
        writer.execute(RENAME)
    writer.execute("PRAGMA wal_checkpoint(RESTART)")
    writer.execute(RENAME)
    reader = reader_of(path)
    before, times = reader.mark(), times_of(path)

    writer.execute("UPDATE governance_teams SET name = 'again'")
    set_times(path, times)

    assert log_of(path).stat().st_mtime_ns == times[1]
    assert reader.mark() != before
    reader.close()
    writer.close()


def test_a_commit_of_a_process_that_keeps_its_index_is_noticed(tmp_path: Path) -> None:
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    writer = connect(path)
    writer.execute("PRAGMA locking_mode = exclusive")
    writer.execute(RENAME)
    assert not index_of(path).exists()
    reader = reader_of(path)
    marks = [reader.mark()]

    for number in range(5):
        writer.execute(f"UPDATE governance_teams SET name = 'name {number}'")
        time.sleep(0.01)  # more than a tick
        marks.append(reader.mark())

    assert len(set(marks)) == 6
    assert {row.name for row in reader.read()[Team]} == {"name 4"}
    reader.close()
    writer.close()


def test_an_index_that_nobody_keeps_any_more_hides_no_commit(tmp_path: Path) -> None:
    # A gateway is killed after a checkpoint; the next one keeps its index in memory.
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    kill_while_open(path, f"{RENAME};PRAGMA wal_checkpoint(TRUNCATE)")
    assert index_of(path).exists()
    writer = connect(path)
    writer.execute("PRAGMA locking_mode = exclusive")
    reader = reader_of(path)

    writer.execute("UPDATE governance_teams SET name = 'of the next one'")

    assert {row.name for row in reader.read()[Team]} == {"of the next one"}
    reader.close()
    writer.close()


def test_an_index_that_is_made_anew_is_found(tmp_path: Path) -> None:
    # As where somebody removes what a killed gateway left behind.
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    kill_while_open(path, RENAME)
    reader = reader_of(path)
    reader.read()
    index_of(path).unlink()
    writer = connect(path)
    marks = [reader.mark()]

    for number in range(5):
        writer.execute(f"UPDATE governance_teams SET name = 'name {number}'")
        marks.append(reader.mark())
        names = {row.name for row in reader.read()[Team]}
        assert names == {f"name {number}"}

    assert len(set(marks)) == 6
    reader.close()
    writer.close()


@pytest.mark.parametrize(
    ("age", "nanoseconds", "young"),
    [
        (0.001, 1, True),
        (0.1, 1, False),
        (0.1, 0, True),  # times are whole seconds there
        (3, 0, False),
    ],
)
def test_a_file_is_young_for_as_long_as_its_clock_may_stand_still(
    tmp_path: Path, age: float, nanoseconds: int, young: bool
) -> None:
    file = tmp_path / "file"
    file.touch()
    when = time.time_ns() - int(age * 10**9)
    if nanoseconds == 0:
        when -= when % 10**9
        young = young and time.time_ns() - when < 2 * 10**9
    os.utime(file, ns=(when, when))

    assert images.is_young(file.stat()) == young


def test_a_file_that_was_young_is_read_once_more(tmp_path: Path) -> None:
    """It may have been written again within the same tick."""
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    os.utime(path)
    reader = reader_of(path)
    young = reader.mark()

    time.sleep(0.03)

    assert reader.mark() != young
    assert reader.mark() == reader.mark()
    reader.close()


def times_of(path: Path) -> tuple[int, int]:
    return path.stat().st_mtime_ns, log_of(path).stat().st_mtime_ns


def set_times(path: Path, times: tuple[int, int]) -> None:
    for file, when in zip((path, log_of(path)), times, strict=True):
        os.utime(file, ns=(when, when))


# Leaving everything as it is


def gateway_at(path: Path) -> Path:
    path.parent.mkdir()
    fill(Gateway(path))
    connection = connect(path)
    connection.execute("PRAGMA journal_mode = wal")
    connection.close()
    return path


def read_names(path: Path) -> set[str]:
    reader = reader_of(path)
    try:
        reader.mark()
        return {row.name for row in reader.read()[Team]}
    finally:
        reader.close()


RENAME = "UPDATE governance_teams SET name = 'renamed'"


@pytest.mark.parametrize("keep_index", [True, False], ids=["index", "no index"])
def test_a_log_that_a_killed_gateway_left_is_served_and_left(
    tmp_path: Path, keep_index: bool
) -> None:
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    kill_while_open(path, RENAME)
    if not keep_index:
        index_of(path).unlink()
    before = folder(path)

    assert read_names(path) == {"renamed"}
    assert folder(path) == before


def test_the_index_of_a_running_gateway_is_not_written(tmp_path: Path) -> None:
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    writer = connect(path)
    writer.execute(RENAME)
    before = folder(path)

    assert read_names(path) == {"renamed"}
    assert folder(path) == before
    writer.close()


def test_a_checkpoint_is_complete_beside_a_reader(tmp_path: Path) -> None:
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    writer = connect(path)
    reader = reader_of(path)
    for _ in range(5):
        writer.execute(RENAME)
        reader.mark()
        reader.read()

        busy, in_log, moved = writer.execute(
            "PRAGMA wal_checkpoint(TRUNCATE)"
        ).fetchone()

        assert (busy, in_log, moved) == (0, 0, 0)
    reader.close()
    writer.close()


READ_ON = """
import sys
from pathlib import Path
from store.sqlite import Reader
from models import MODELS, REQUIRED
reader = Reader(Path(sys.argv[1]), MODELS, REQUIRED)
print("reading", flush=True)
while True:
    reader.mark()
    reader.read()
"""


def test_a_gateway_that_closes_under_busy_readers_leaves_no_log(tmp_path: Path) -> None:
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READ_ON, path], cwd=ROOT, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
    left = set()
    for number in range(20):
        writer = connect(path)
        for _ in range(5):
            writer.execute(f"UPDATE governance_teams SET name = 'name {number}'")
            time.sleep(0.003)
        writer.close()
        left |= {file.name for file in path.parent.iterdir()}
    running = [reader.poll() for reader in readers]
    for reader in readers:
        reader.kill()
        reader.communicate()

    assert running == [None, None]
    assert left == {"config.db"}


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A gateway's database, with a log left over, that anybody may reach and read."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    path = gateway_at(tmp_path / "of-a-gateway" / "config.db")
    kill_while_open(path, RENAME)
    for part in (path.parent, *path.parent.parents):
        if part.is_relative_to(tmp_path.parent.parent.parent):
            part.chmod(0o755)
    for file in path.parent.iterdir():
        file.chmod(0o644)
    return path


def test_a_log_in_a_folder_that_may_not_be_written_is_read(open_path: Path) -> None:
    index_of(open_path).unlink()

    assert as_nobody(lambda: read_names(open_path)) == "{'renamed'}"


@pytest.mark.parametrize("which", ["wal", "shm"])
def test_a_part_of_the_log_that_may_not_be_read_is_named(
    open_path: Path, which: str
) -> None:
    Path(f"{open_path}-{which}").chmod(0o600)

    said = as_nobody(lambda: read_names(open_path))

    assert said == (
        f"DatabaseUnavailable: {open_path} cannot be read without"
        f" config.db-{which}, which this user may not read"
    )


def test_what_may_not_be_read_itself_is_named(open_path: Path) -> None:
    open_path.chmod(0o600)

    said = as_nobody(lambda: read_names(open_path))

    assert said == f"DatabaseUnavailable: {open_path} may not be read by this user"


def test_other_failures_are_reported_as_ever(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        read_names(tmp_path / "nowhere.db")
