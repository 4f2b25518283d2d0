"""Changes of a PostgreSQL database show in the answers, never late, never in part."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from flask import Flask
from postgres_gateway import PostgresGateway
from postgres_server import Server

from addresses import PostgresUrl
from models import MODELS, REQUIRED, Budget, Team, VirtualKey
from store import postgres_reader
from store.postgres_reader import PostgresReader

DEADLINE = 10  # seconds until a test gives up; none waits that long when all is well
PAUSE = 0.002


@pytest.fixture
def postgres(server: Server) -> PostgresGateway:
    """A July gateway's database with two teams, their keys and budgets."""
    gateway = PostgresGateway(server, "changing")
    for name in ("a", "b"):
        gateway.team(name, config_hash="0")
        gateway.virtual_key(f"key-{name}", team_id=name, config_hash="0")
        gateway.budget(f"budget-{name}", "team_id", name, config_hash="0")
    return gateway


@pytest.fixture
def reader(postgres: PostgresGateway) -> Iterator[PostgresReader]:
    with closing(PostgresReader(postgres.url, MODELS, REQUIRED)) as reader:
        yield reader


class Follower:
    """Look at the mark and read where it moved, as a keeper does."""

    def __init__(self, reader: PostgresReader) -> None:
        self.reader = reader
        self.mark: Any = None
        self.rows: Any = None

    def look(self) -> Any:
        mark = self.reader.mark()
        if mark != self.mark:
            self.rows = self.reader.read(self.rows)
            self.mark = mark
        return self.rows


@pytest.fixture
def follower(reader: PostgresReader) -> Follower:
    return Follower(reader)


@pytest.fixture
def selected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models whose tables are read, as they are."""
    read: list[Any] = []
    select = postgres_reader.select_rows

    def select_rows(database: Any, model: Any, table: Any) -> Any:
        read.append(model)
        return select(database, model, table)

    monkeypatch.setattr(postgres_reader, "select_rows", select_rows)
    return read


def hashes(rows: Any) -> list[str]:
    return [row.config_hash for row in rows[Team]]


# Never stale

CHANGES = {
    "update": "UPDATE governance_teams SET config_hash = 'new' WHERE id = 'a'",
    "update all": "UPDATE governance_teams SET config_hash = 'new'",
    "delete": "DELETE FROM governance_teams WHERE id = 'a'",
    "insert": "INSERT INTO governance_teams (id, name) VALUES ('c', 'C')",
    "delete all": "DELETE FROM governance_teams",
    "truncate": "TRUNCATE governance_teams",
    "drop": "DROP TABLE governance_model_configs",
    "swap values": "UPDATE governance_teams SET name = CASE id WHEN 'a' THEN 'Team b'"
    " ELSE 'Team a' END",
    "delete and insert": "WITH gone AS (DELETE FROM governance_teams WHERE id = 'a'"
    " RETURNING name) INSERT INTO governance_teams (id, name)"
    " SELECT 'c', name FROM gone",
    "update and back": "UPDATE governance_teams SET name = name",
    "add a column": "ALTER TABLE governance_teams"
    " ADD COLUMN source_of_it text DEFAULT 'x'",
    "another column of the name": "ALTER TABLE governance_teams"
    " DROP COLUMN config_hash, ADD COLUMN config_hash text DEFAULT 'new'",
    "rename a column": "ALTER TABLE governance_teams RENAME config_hash TO other",
    "swap columns": "ALTER TABLE governance_teams RENAME name TO other;"
    " ALTER TABLE governance_teams RENAME config_hash TO name;"
    " ALTER TABLE governance_teams RENAME other TO config_hash",
    "change a type": "ALTER TABLE governance_teams ALTER config_hash TYPE varchar(3)",
    "rewrite with other values": "ALTER TABLE governance_teams"
    " ALTER config_hash TYPE text USING 'new'",
    "another table of the name": "ALTER TABLE governance_teams RENAME TO old;"
    " CREATE TABLE governance_teams (LIKE old)",
    "insert frozen": "BEGIN; TRUNCATE governance_teams; INSERT INTO governance_teams"
    " (id, name) VALUES ('frozen', 'F'); COMMIT; VACUUM FREEZE governance_teams",
    "two phases": "BEGIN; UPDATE governance_teams SET config_hash = 'new';"
    " PREPARE TRANSACTION 'one'; COMMIT PREPARED 'one'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_at_the_first_look_after_its_commit(
    postgres: PostgresGateway, follower: Follower, change: str
) -> None:
    follower.look()

    run(postgres, CHANGES[change])

    rows = follower.look()
    assert rows == fresh(postgres)


def test_a_table_that_comes_first_in_the_search_path_shows(
    postgres: PostgresGateway, server: Server
) -> None:
    url = server.url("changing", query="?options=-csearch_path%3Dfront,public")
    with closing(PostgresReader(PostgresUrl(url), MODELS, REQUIRED)) as reader:
        follower = Follower(reader)
        follower.look()

        postgres.execute_all(
            "CREATE SCHEMA front",
            "CREATE TABLE front.governance_teams (LIKE public.governance_teams)",
        )

        assert follower.look()[Team] == []


def run(postgres: PostgresGateway, statements: str) -> None:
    with postgres.server.connect(postgres.name) as connection:
        for statement in statements.split(";"):
            connection.execute(statement.encode())


def fresh(postgres: PostgresGateway) -> Any:
    """All rows, by a reader that knows nothing yet."""
    with closing(PostgresReader(postgres.url, MODELS, REQUIRED)) as reader:
        return reader.read()


def test_another_table_with_rows_of_the_same_transaction_and_place_shows(
    postgres: PostgresGateway, follower: Follower
) -> None:
    insert = "INSERT INTO {} (id, name, created_at, updated_at) VALUES ('{}', 'n', {})"
    postgres.execute_all(
        "TRUNCATE governance_teams",
        "CREATE TABLE other (LIKE governance_teams)",
        insert.format("governance_teams", "c", "now(), now()"),
        insert.format("other", "d", "now(), now()"),
    )
    follower.look()

    postgres.execute_all(
        "ALTER TABLE governance_teams RENAME TO old",
        "ALTER TABLE other RENAME TO governance_teams",
    )

    assert [row.id for row in follower.look()[Team]] == ["d"]


def test_known_rows_of_another_moment_are_not_taken_for_the_last_ones(
    postgres: PostgresGateway, reader: PostgresReader
) -> None:
    first = reader.read()
    postgres.execute("UPDATE governance_teams SET config_hash = 'new'")
    reader.read(first)

    again = reader.read(first)

    assert hashes(again) == ["new", "new"]


def test_one_change_after_another_shows(
    postgres: PostgresGateway, follower: Follower
) -> None:
    shown = []

    for number in range(50):
        postgres.execute(f"UPDATE governance_teams SET config_hash = '{number}'")
        shown.append(hashes(follower.look()))

    assert shown == [[str(number)] * 2 for number in range(50)]


def test_a_change_that_undoes_another_at_once_shows(
    postgres: PostgresGateway, follower: Follower
) -> None:
    """Rows end at the same places that they had, written by other transactions."""
    follower.look()
    for value in ("1", "0"):
        postgres.execute_all(
            "DELETE FROM governance_teams",
            f"INSERT INTO governance_teams (id, name, config_hash) VALUES ('a', 'A',"
            f" '{value}')",
        )
        postgres.execute("VACUUM FULL governance_teams")
        assert hashes(follower.look()) == [value]


def test_what_is_not_committed_does_not_show(
    postgres: PostgresGateway, follower: Follower
) -> None:
    before = follower.look()

    with postgres.server.connect(postgres.name) as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE governance_teams SET config_hash = 'new'")
        during = follower.look()
        connection.execute("ROLLBACK")
    after = follower.look()

    assert hashes(during) == hashes(after) == ["0", "0"]
    assert before is during or before == during


def test_a_long_transaction_shows_when_it_is_committed_at_last(
    postgres: PostgresGateway, follower: Follower
) -> None:
    with postgres.server.connect(postgres.name) as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE governance_teams SET config_hash = 'a' WHERE id='a'")
        for number in range(5):
            where = "config_hash = '0' AND id = 'b'" if number == 0 else "id = 'b'"
            update = f"UPDATE governance_teams SET config_hash = '{number}'"
            postgres.execute(f"{update} WHERE {where}")
            assert hashes(follower.look()) == ["0", str(number)]
        connection.execute("COMMIT")

    assert hashes(follower.look()) == ["a", "4"]


def test_a_commit_that_is_in_the_log_but_cannot_be_seen_yet_is_not_missed(
    server: Server, postgres: PostgresGateway, follower: Follower
) -> None:
    """A commit that waits for a replica is written long before others see it."""
    follower.look()
    with nobody_confirms(server), waiting_commit(postgres) as waiting:
        wait_until(lambda: waits_for_a_replica(postgres))
        assert hashes(follower.look()) == ["0", "0"]
        assert hashes(follower.look()) == ["0", "0"]
        waiting.cancel()  # of the waiting: it is committed
    assert hashes(follower.look()) == ["new", "new"]


@contextmanager
def nobody_confirms(server: Server) -> Iterator[None]:
    reload = "SELECT pg_reload_conf()"
    server.execute(
        "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", reload
    )
    try:
        yield
    finally:
        server.execute(
            "postgres", "SET synchronous_commit = local",
            "ALTER SYSTEM RESET synchronous_standby_names", reload,
        )  # fmt: skip


@contextmanager
def waiting_commit(postgres: PostgresGateway) -> Iterator[Any]:
    connection = postgres.server.connect(postgres.name)

    def commit() -> None:
        connection.execute("UPDATE governance_teams SET config_hash = 'new'")

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        yield connection
    finally:
        thread.join(DEADLINE)
        connection.close()


def waits_for_a_replica(postgres: PostgresGateway) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    return bool(postgres.fetch(query))


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < deadline, "what was waited for did not happen"
        sleep(0.005)


# Cheap


def test_an_unchanged_database_is_asked_one_question(
    postgres: PostgresGateway, reader: PostgresReader
) -> None:
    reader.read()
    marks = {reader.mark() for _ in range(5)}

    query = (
        "SELECT query FROM pg_stat_activity WHERE application_name = 'governance-lists'"
    )
    assert len(marks) == 1
    assert postgres.fetch(query) == [("EXECUTE mark",)]


def test_a_commit_to_others_tables_reads_none_of_ours(
    postgres: PostgresGateway, follower: Follower, selected: list[Any]
) -> None:
    postgres.execute("CREATE TABLE logs (line text)")
    before = follower.look()
    selected.clear()

    postgres.execute("INSERT INTO logs VALUES ('a request')")

    after = follower.look()
    assert all(after[model] is before[model] for model in MODELS)
    assert selected == []


def test_only_a_table_that_changed_is_read(
    postgres: PostgresGateway, follower: Follower, selected: list[Any]
) -> None:
    before = follower.look()
    selected.clear()

    postgres.execute("UPDATE governance_budgets SET current_usage = 1")

    after = follower.look()
    assert selected == [Budget]
    assert after[VirtualKey] is before[VirtualKey]
    assert {row.current_usage for row in after[Budget]} == {1}


def test_a_table_that_is_written_as_it_was_is_the_same_list(
    postgres: PostgresGateway, follower: Follower
) -> None:
    before = follower.look()

    postgres.execute("UPDATE governance_teams SET name = name")

    assert follower.look()[Team] is before[Team]


def test_locking_rows_changes_nothing(
    postgres: PostgresGateway, follower: Follower, selected: list[Any]
) -> None:
    follower.look()
    selected.clear()

    postgres.execute_all("SELECT 1 FROM governance_teams FOR UPDATE")

    follower.look()
    assert selected == []


# Never torn


class Writer:
    """A thread that commits to a team, its key and its budget at once, again and again;
    `statements` are others of the same transaction.
    """

    def __init__(self, postgres: PostgresGateway, *statements: str) -> None:
        self.committed = 0
        self.problem: Exception | None = None
        self._postgres = postgres
        self._statements = statements
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)
        assert self.problem is None

    def _run(self) -> None:
        try:
            with self._postgres.server.connect(self._postgres.name) as connection:
                while not self._stop.wait(PAUSE):
                    self._commit(connection, self.committed + 1)
                    self.committed += 1
        except Exception as problem:
            self.problem = problem

    def _commit(self, connection: "psycopg.Connection[Any]", number: int) -> None:
        with connection.transaction():
            for statement in self._statements:
                connection.execute(statement.encode())
            for table in ("teams", "virtual_keys", "budgets"):
                update = f"UPDATE governance_{table} SET config_hash = '{number}'"
                connection.execute(update.encode())


def commits_in(rows: Any) -> set[str]:
    return {row.config_hash for m in (Team, VirtualKey, Budget) for row in rows[m]}


REWRITES = {
    "plain": (),
    "rewritten": (
        "ALTER TABLE governance_teams ALTER name TYPE varchar USING name || ''",
        "ALTER TABLE governance_teams ALTER name TYPE text USING name || ''",
    ),
    "emptied": (
        "CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM governance_teams",
        "TRUNCATE governance_teams",
        "INSERT INTO governance_teams SELECT * FROM kept",
    ),
    "cluster": ("CLUSTER governance_teams USING governance_teams_pkey",),
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_what_is_read_is_of_one_moment_and_never_older_than_the_last_commit(
    postgres: PostgresGateway, follower: Follower, rewrite: str
) -> None:
    writer = Writer(postgres, *REWRITES[rewrite])
    end = monotonic() + 2
    seen = 0

    while monotonic() < end:
        committed = writer.committed
        rows = follower.look()
        (number,) = commits_in(rows)
        assert len(rows[Team]) == 2
        assert int(number) >= committed
        seen = int(number)
    writer.stop()

    assert seen > 10
    assert commits_in(follower.look()) == {str(writer.committed)}


def test_answers_are_of_one_commit_while_a_writer_is_at_full_speed(
    postgres: PostgresGateway, make_app: Callable[..., Flask], api_key: str
) -> None:
    client = make_app(GOVERNANCE_DATABASE=postgres.address).test_client()
    headers = {"Authorization": f"Bearer {api_key}"}
    writer = Writer(postgres)

    for _ in range(60):
        committed = writer.committed
        answer = client.get("/api/governance/teams", headers=headers).get_json()
        found = {
            row["config_hash"]
            for team in answer["teams"]
            for row in (team, *team["virtual_keys"], *team["budgets"])
        }
        (number,) = found
        assert int(number) >= committed
    writer.stop()


# A replica


@pytest.fixture(scope="module")
def replica(server: Server) -> Iterator[Server]:
    replica = server.replica()
    yield replica
    replica.remove()


@pytest.fixture
def on_replica(postgres: PostgresGateway, replica: Server) -> Iterator[PostgresReader]:
    wait_until(lambda: has_caught_up(postgres, replica))
    url = PostgresUrl(replica.url(postgres.name))
    with closing(PostgresReader(url, MODELS, REQUIRED)) as reader:
        yield reader


def has_caught_up(postgres: PostgresGateway, replica: Server) -> bool:
    ((written,),) = postgres.fetch("SELECT pg_current_wal_flush_lsn()::text")
    query = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
    ((there,),) = replica.fetch("postgres", query)
    return bool(there)


def test_a_replica_shows_what_it_has_replayed(
    postgres: PostgresGateway, replica: Server, on_replica: PostgresReader
) -> None:
    follower = Follower(on_replica)
    follower.look()

    for number in range(20):
        postgres.execute(f"UPDATE governance_teams SET config_hash = '{number}'")
        wait_until(lambda: has_caught_up(postgres, replica))
        assert hashes(follower.look()) == [str(number)] * 2


def test_a_replica_shows_commits_in_any_order(
    postgres: PostgresGateway, replica: Server, on_replica: PostgresReader
) -> None:
    """A transaction that began early may be the last to be committed."""
    follower = Follower(on_replica)
    follower.look()
    with (
        postgres.server.connect(postgres.name) as first,
        postgres.server.connect(postgres.name) as second,
    ):
        for connection in (first, second):
            connection.execute("BEGIN")
        first.execute("UPDATE governance_virtual_keys SET config_hash = 'first'")
        second.execute("UPDATE governance_teams SET config_hash = 'second'")
        postgres.execute("UPDATE governance_budgets SET config_hash = 'third'")
        wait_until(lambda: has_caught_up(postgres, replica))
        assert commits_in(follower.look()) == {"0", "third"}
        second.execute("COMMIT")
        wait_until(lambda: has_caught_up(postgres, replica))
        assert commits_in(follower.look()) == {"0", "second", "third"}
        first.execute("COMMIT")
    wait_until(lambda: has_caught_up(postgres, replica))

    assert commits_in(follower.look()) == {"first", "second", "third"}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_what_is_read_of_a_replica_is_of_one_moment(
    postgres: PostgresGateway, on_replica: PostgresReader, rewrite: str
) -> None:
    follower = Follower(on_replica)
    writer = Writer(postgres, *REWRITES[rewrite])
    end = monotonic() + 2
    seen = 0

    while monotonic() < end:
        rows = follower.look()
        (number,) = commits_in(rows)
        assert len(rows[Team]) == 2
        assert int(number) >= seen
        seen = int(number)
    writer.stop()

    assert seen > 10
