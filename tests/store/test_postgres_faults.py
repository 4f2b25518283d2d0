"""A PostgreSQL server that is down, slow or shut: 503 and why, until it is back."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from postgres_gateway import PostgresGateway
from postgres_server import ADMIN, NoServer, Server, start_or_skip
from reading import rows_of
from service import DEADLINE, ROOT, Service, environment, settings_in
from werkzeug.test import TestResponse

from store import postgres_reader
from store.failures import DatabaseUnavailable

MakeApp = Callable[..., Flask]
TEAMS = "/api/governance/teams"


@pytest.fixture(scope="module")
def fragile() -> Iterator[Server]:
    """A server of these tests alone, which they may stop."""
    server = start_or_skip()
    yield server
    server.remove()


@pytest.fixture
def postgres(fragile: Server) -> PostgresGateway:
    gateway = PostgresGateway(fragile, "config")
    gateway.team("t")
    return gateway


class Asking:
    """Asks an application for the teams, in one mode or the other."""

    def __init__(self, client: FlaskClient, api_key: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {api_key}"}

    def database(self) -> TestResponse:
        return self.client.get(TEAMS, headers=self.headers)

    def memory(self) -> TestResponse:
        return self.client.get(f"{TEAMS}?from_memory=1", headers=self.headers)

    def reason(self) -> str:
        """The state of the database mode that /readyz answers."""
        state = self.client.get("/readyz").get_json()
        return str(state["database"].get("reason", "ready"))


@pytest.fixture
def asking(postgres: PostgresGateway, make_app: MakeApp, api_key: str) -> Asking:
    """Asks an application that has a snapshot."""
    app = make_app(GOVERNANCE_DATABASE=postgres.address)
    asking = Asking(app.test_client(), api_key)
    assert asking.database().status_code == 200
    return asking


def assert_unavailable(asking: Asking, reason: str) -> None:
    answer = asking.database()
    assert answer.status_code == 503, answer.text
    assert answer.get_json()["error"]["code"] == "database_unavailable"
    assert answer.headers["Retry-After"]
    assert reason in asking.reason()
    assert asking.memory().status_code == 200


def assert_back(asking: Asking) -> None:
    deadline = monotonic() + DEADLINE
    while (answer := asking.database()).status_code == 503:
        assert monotonic() < deadline
        sleep(0.02)
    assert answer.get_json()["teams"][0]["id"] == "t"
    assert asking.reason() == "ready"


# Down


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_is_down_is_named_until_it_is_back(
    fragile: Server, asking: Asking, how: signal.Signals
) -> None:
    fragile.stop(how)
    try:
        assert_unavailable(asking, "refuses connections: it may be down")
    finally:
        fragile.start()

    assert_back(asking)


def test_a_restart_between_two_requests_shows_in_none(
    fragile: Server, postgres: PostgresGateway, asking: Asking
) -> None:
    fragile.restart()

    assert asking.database().status_code == 200


def test_a_connection_that_is_ended_is_opened_again(
    postgres: PostgresGateway, asking: Asking
) -> None:
    for _ in range(3):
        end_connections(postgres)
        assert asking.database().status_code == 200


def end_connections(postgres: PostgresGateway) -> None:
    found = postgres.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'governance-lists'"
    )
    assert found


def test_after_a_new_connection_everything_is_read_again(
    postgres: PostgresGateway, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server may have written other rows under the same numbers."""
    read: list[Any] = []
    select = postgres_reader.select_rows
    monkeypatch.setattr(
        postgres_reader,
        "select_rows",
        lambda *args: read.append(args) or select(*args),  # type: ignore[func-returns-value]
    )

    end_connections(postgres)
    asking.database()

    assert len(read) == 12


def test_a_connection_that_is_cut_while_rows_are_read_is_opened_again(
    postgres: PostgresGateway, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    select, cuts = postgres_reader.select_rows, iter([True])

    def cut(*args: Any) -> Any:
        if next(cuts, False):
            end_connections(postgres)
        return select(*args)

    monkeypatch.setattr(postgres_reader, "select_rows", cut)
    postgres.execute("UPDATE governance_teams SET name = 'New'")

    assert asking.database().get_json()["teams"][0]["name"] == "New"


def test_a_connection_that_is_cut_again_and_again_is_named(
    postgres: PostgresGateway, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = postgres_reader.select_rows

    def cut(*args: Any) -> Any:
        end_connections(postgres)
        return select(*args)

    monkeypatch.setattr(postgres_reader, "select_rows", cut)
    postgres.execute("UPDATE governance_teams SET name = 'New'")

    answer = asking.database()
    assert answer.status_code == 503
    assert "ended the connection" in asking.reason()
    assert asking.memory().get_json()["teams"][0]["name"] == "Team t"


# Slow


def test_a_server_that_hangs_is_given_up_and_asked_again(
    fragile: Server, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.postgres.MARK_SECONDS", 0.3)
    fragile.pause()
    try:
        began = monotonic()
        assert asking.database().status_code == 503
        assert monotonic() - began < 1
        assert "does not answer" in asking.reason()
        assert asking.memory().status_code == 200
    finally:
        fragile.resume()

    assert_back(asking)


def test_what_is_ready_waits_for_no_server(fragile: Server, asking: Asking) -> None:
    """The thread that answers what is ready must never be held up."""
    entrance = asking.client.application.extensions["entrance"]
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": TEAMS,
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": asking.headers["Authorization"],
    }
    fragile.pause()
    try:
        began = monotonic()
        assert entrance.at_once({**environ}) is None
        assert entrance.at_once({**environ, "QUERY_STRING": "from_memory=1"})
        assert monotonic() - began < 0.1
    finally:
        fragile.resume()

    assert_back(asking)


def test_a_lock_that_is_held_is_named_until_it_is_gone(
    postgres: PostgresGateway, asking: Asking
) -> None:
    with postgres.server.connect(postgres.name) as migration:
        migration.execute("BEGIN")
        migration.execute("LOCK TABLE governance_teams IN ACCESS EXCLUSIVE MODE")
        assert asking.database().status_code == 200  # nothing was committed
        postgres.customer("new")
        began = monotonic()
        assert_unavailable(asking, "is locked by another process")
        first = monotonic() - began
        assert_unavailable(asking, "is locked by another process")
        second = monotonic() - began - first
        assert 0.9 < first < 3
        assert second < 0.9  # requests must not pile up
        migration.execute("COMMIT")

    assert_back(asking)


def test_a_lock_that_is_held_for_a_moment_is_waited_for(
    postgres: PostgresGateway, asking: Asking
) -> None:
    with postgres.server.connect(postgres.name) as migration:
        migration.execute("BEGIN")
        migration.execute("LOCK TABLE governance_teams IN ACCESS EXCLUSIVE MODE")
        postgres.customer("new")
        threading.Timer(0.5, migration.execute, ("COMMIT",)).start()
        assert asking.database().status_code == 200


def test_a_migration_is_not_made_to_give_up(
    postgres: PostgresGateway, asking: Asking
) -> None:
    """Whoever waits longest in a deadlock is ended by PostgreSQL: never the gateway."""
    asked = threading.Thread(target=asking.database)
    with postgres.server.connect(postgres.name) as migration:
        migration.execute("BEGIN")
        last = "governance_virtual_keys"
        migration.execute(f"LOCK TABLE {last} IN ACCESS EXCLUSIVE MODE".encode())
        postgres.customer("new")
        asked.start()
        sleep(0.1)
        migration.execute("LOCK TABLE governance_customers IN ACCESS EXCLUSIVE MODE")
        migration.execute("LOCK TABLE governance_teams IN ACCESS EXCLUSIVE MODE")
        migration.execute("COMMIT")
    asked.join()

    assert_back(asking)


def test_a_statement_that_takes_too_long_is_ended(
    postgres: PostgresGateway, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(database: Any, *args: Any) -> Any:
        database.execute_sql("SET LOCAL statement_timeout = 50")
        return database.execute_sql("SELECT pg_sleep(5)")

    postgres.execute("UPDATE governance_teams SET name = 'New'")
    with monkeypatch.context() as patch:
        patch.setattr(postgres_reader, "select_rows", slow)
        assert_unavailable(asking, "takes too long to answer")

    assert_back(asking)


# Shut


def test_too_many_connections_are_named(
    fragile: Server, postgres: PostgresGateway, make_app: MakeApp, api_key: str
) -> None:
    fragile.execute("postgres", "ALTER DATABASE config CONNECTION LIMIT 0")
    fragile.execute("postgres", "DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN")
    url = fragile.url("config", "plain")
    client = make_app(GOVERNANCE_DATABASE=url).test_client()
    asking = Asking(client, api_key)

    assert asking.database().status_code == 503
    assert "has too many connections" in asking.reason()
    fragile.execute(
        "config",
        "ALTER DATABASE config CONNECTION LIMIT -1",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain",
    )

    assert_back(asking)
    fragile.execute("config", "DROP OWNED BY plain", "DROP ROLE plain")


def test_a_right_that_is_lost_is_named_until_it_is_given_again(
    fragile: Server, postgres: PostgresGateway, make_app: MakeApp, api_key: str
) -> None:
    grant = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO losing"
    fragile.execute(
        "config", "DROP ROLE IF EXISTS losing", "CREATE ROLE losing LOGIN", grant
    )
    url = fragile.url("config", "losing")
    asking = Asking(make_app(GOVERNANCE_DATABASE=url).test_client(), api_key)
    assert asking.database().status_code == 200

    postgres.execute("REVOKE SELECT ON governance_teams FROM losing")
    assert_unavailable(asking, "may not be read by this user")
    postgres.execute(grant)

    assert_back(asking)
    fragile.execute("config", "DROP OWNED BY losing", "DROP ROLE losing")


def test_rows_that_a_role_may_not_see_are_not_left_out_in_silence(
    fragile: Server, postgres: PostgresGateway, make_app: MakeApp, api_key: str
) -> None:
    fragile.execute(
        "config",
        "DROP ROLE IF EXISTS partial", "CREATE ROLE partial LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO partial",
    )  # fmt: skip
    url = fragile.url("config", "partial")
    asking = Asking(make_app(GOVERNANCE_DATABASE=url).test_client(), api_key)
    assert asking.database().status_code == 200

    postgres.execute("ALTER TABLE governance_teams ENABLE ROW LEVEL SECURITY")

    assert_unavailable(asking, "may not be read by this user")
    fragile.execute("config", "DROP OWNED BY partial", "DROP ROLE partial")


SECRET = "correct-horse-battery"


@pytest.fixture
def protected(fragile: Server, postgres: PostgresGateway) -> Iterator[str]:
    """The name of a role that needs a password."""
    fragile.execute(
        "config",
        "DROP ROLE IF EXISTS careful",
        f"CREATE ROLE careful LOGIN PASSWORD '{SECRET}' IN ROLE needs_password",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO careful",
    )
    yield "careful"
    fragile.execute("config", "DROP OWNED BY careful", "DROP ROLE careful")


WAYS = ["url", "query", "PGPASSWORD", "PGPASSFILE"]


@pytest.mark.parametrize("way", WAYS)
def test_a_password_is_taken_and_never_shown(
    fragile: Server, protected: str, tmp_path: Any, api_key: str, way: str
) -> None:
    settings, url = settings_in(tmp_path), fragile.url("config", protected)
    if way == "url":
        url = fragile.url("config", f"{protected}:{SECRET}")
    elif way == "query":
        url += f"?password={SECRET}"
    elif way == "PGPASSWORD":
        settings["PGPASSWORD"] = SECRET
    else:
        (tmp_path / "pass").write_text(f"*:*:*:*:{SECRET}\n")
        (tmp_path / "pass").chmod(0o600)
        settings["PGPASSFILE"] = str(tmp_path / "pass")
    service = Service({**settings, "GOVERNANCE_DATABASE": url}, "--workers", "2")
    response, body = service.request(TEAMS, api_key)
    processes = subprocess.run(["ps", "-ef"], capture_output=True, text=True).stdout
    _, ready = service.request("/readyz")
    output, log = service.end()

    assert response.status == 200
    for text in (service.line, output, log, body.decode(), ready.decode(), processes):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("careful", "asks for a password (PGPASSWORD, or PGPASSFILE)"),
        (
            "careful:wrong-secret",
            "does not take the password (PGPASSWORD, or PGPASSFILE)",
        ),
        ("nobody-there", "does not let this user in"),
    ],
)
def test_a_role_that_is_refused_stops_the_start_with_the_reason(
    fragile: Server, protected: str, tmp_path: Any, user: str, reason: str
) -> None:
    url = fragile.url("config", user)

    done = serve(tmp_path, GOVERNANCE_DATABASE=url)

    place = f"postgresql://127.0.0.1:{fragile.port}/config"
    assert done.stderr.splitlines()[0].startswith(f"Error: {place} {reason}.")
    assert "wrong-secret" not in done.stdout + done.stderr


def serve(folder: Any, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "serve", "--port", "0"],
        cwd=ROOT,
        env=environment({**settings_in(folder), **settings}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


PLACES = {
    "postgresql://localhost:1/x": "refuses connections: it may be down",
    "postgresql://nowhere.invalid/x": "has an unknown host name",
    "postgresql://u@127.0.0.1:notaport/x": "has a name that cannot be understood",
    "postgresql://127.0.0.1/x?colour=red": "has a name that cannot be understood",
    "postgresql:///?service=none": "is named by a service that is not defined",
    "service=none": "is named by a service that is not defined",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_without_a_server_stops_the_start(tmp_path: Any, place: str) -> None:
    done = serve(tmp_path, GOVERNANCE_DATABASE=place)

    assert done.returncode == 1
    assert PLACES[place] in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_not_there_stops_the_start(
    fragile: Server, tmp_path: Any
) -> None:
    done = serve(tmp_path, GOVERNANCE_DATABASE=fragile.url("none"))

    assert f"postgresql://127.0.0.1:{fragile.port}/none does not exist." in done.stderr


def test_a_server_without_tls_is_named_where_tls_is_asked_for(
    fragile: Server, tmp_path: Any
) -> None:
    url = fragile.url("postgres", query="?sslmode=require")

    done = serve(tmp_path, GOVERNANCE_DATABASE=url)

    assert "does not agree on TLS (sslmode)" in done.stderr


def test_a_server_that_is_starting_is_named(
    postgres: PostgresGateway, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting = psycopg.OperationalError(
        'connection to server at "x" failed: FATAL:  the database system is starting up'
    )

    def connect(*args: Any, **kwargs: Any) -> Any:
        raise starting

    with monkeypatch.context() as patch:
        patch.setattr("store.postgres.Connection.connect", connect)
        end_connections(postgres)
        assert_unavailable(asking, "is starting up or shutting down")

    assert_back(asking)


def test_a_database_without_a_gateways_tables_stops_the_start(
    fragile: Server, tmp_path: Any
) -> None:
    done = serve(tmp_path, GOVERNANCE_DATABASE=fragile.url("postgres"))

    assert "/postgres has no table governance_customers." in done.stderr


def test_a_view_in_a_tables_place_is_named(
    postgres: PostgresGateway, tmp_path: Any
) -> None:
    postgres.execute_all(
        "ALTER TABLE governance_teams RENAME TO old",
        "CREATE VIEW governance_teams AS SELECT * FROM old",
    )

    done = serve(tmp_path, GOVERNANCE_DATABASE=postgres.address)

    assert "has a view where the table governance_teams should be" in done.stderr


def test_a_service_file_names_a_server(
    fragile: Server, postgres: PostgresGateway, tmp_path: Any, api_key: str
) -> None:
    (tmp_path / "services").write_text(
        f"[gateway]\nhost={fragile.host}\nport={fragile.port}\nuser={ADMIN}\n"
        "dbname=config\n"
    )
    settings = settings_in(tmp_path) | {
        "GOVERNANCE_DATABASE": "postgresql:///?service=gateway",
        "PGSERVICEFILE": str(tmp_path / "services"),
    }

    service = Service(settings)
    response, _ = service.request(TEAMS, api_key)
    service.end()

    assert response.status == 200


# Connections


def test_a_worker_has_one_connection(
    fragile: Server, postgres: PostgresGateway, tmp_path: Any, api_key: str
) -> None:
    settings = settings_in(tmp_path) | {"GOVERNANCE_DATABASE": postgres.address}
    service = Service(settings, "--workers", "2")

    def ask() -> None:
        for _ in range(20):
            assert service.request(TEAMS, api_key)[0].status == 200

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(20):
        postgres.execute(f"UPDATE governance_teams SET config_hash = '{number}'")
    for thread in threads:
        thread.join()
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'governance-lists'"
    )
    ((connections,),) = postgres.fetch(query)
    service.end()

    assert 1 <= connections <= 2


def test_a_quiet_connection_holds_no_transaction_open(
    postgres: PostgresGateway, asking: Asking
) -> None:
    query = (
        "SELECT state, xact_start FROM pg_stat_activity"
        " WHERE application_name = 'governance-lists'"
    )

    assert postgres.fetch(query) == [("idle", None)]


def test_nothing_is_written_and_no_row_is_locked(
    postgres: PostgresGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our role could: the transactions are read-only by themselves."""

    def write(connection: Any, layout: Any) -> None:
        connection.execute(b"UPDATE governance_teams SET name = 'ours'")

    monkeypatch.setattr(postgres_reader, "take_prints", write)

    with pytest.raises(DatabaseUnavailable) as refused:
        rows_of(postgres.url)

    assert isinstance(refused.value.__cause__, psycopg.errors.ReadOnlySqlTransaction)


# Another server


def test_a_failover_to_a_replica_is_followed(
    make_app: MakeApp, api_key: str, tmp_path: Any
) -> None:
    """With both hosts in the URL, and one that is behind: nothing old is kept."""
    try:
        primary = Server.new()
    except NoServer as problem:
        pytest.skip(str(problem))
    gateway = PostgresGateway(primary, "config")
    gateway.team("t", name="Both have it")
    replica = primary.replica()
    try:
        query = "SELECT pg_last_wal_replay_lsn() >= '{}'"
        ((written,),) = gateway.fetch("SELECT pg_current_wal_flush_lsn()::text")
        while not replica.fetch("postgres", query.format(written))[0][0]:
            sleep(0.01)
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{replica.port}"
        url = f"postgresql://{ADMIN}@{hosts}/config?target_session_attrs=read-write"
        client = make_app(GOVERNANCE_DATABASE=url).test_client()
        asking = Asking(client, api_key)
        replica.pause()
        gateway.execute("UPDATE governance_teams SET name = 'Lost'")
        assert asking.database().get_json()["teams"][0]["name"] == "Lost"
        primary.stop(signal.SIGQUIT)
        replica.resume()
        replica.promote()
        replica.execute("config", "UPDATE governance_teams SET name = 'Another'")

        assert_back(asking)
        assert asking.database().get_json()["teams"][0]["name"] == "Another"
    finally:
        primary.remove()
        replica.resume()
        replica.remove()


def test_a_replica_that_is_promoted_goes_on(
    fragile: Server, postgres: PostgresGateway, make_app: MakeApp, api_key: str
) -> None:
    replica = fragile.replica()
    try:
        client = make_app(GOVERNANCE_DATABASE=replica.url("config")).test_client()
        asking = Asking(client, api_key)
        assert asking.database().status_code == 200
        replica.promote()
        replica.execute("config", "UPDATE governance_teams SET name = 'Promoted'")

        assert asking.database().get_json()["teams"][0]["name"] == "Promoted"
    finally:
        replica.remove()
