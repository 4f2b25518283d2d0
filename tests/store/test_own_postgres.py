"""Our own tables and API keys in PostgreSQL: made, loaded, recognised."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from gateway import Gateway, add_model_configs, in_all_layouts
from odd_databases import ODD
from postgres_gateway import PostgresGateway, as_kept, copy_rows
from postgres_server import Server
from reading import lists, rows_of
from service import DEADLINE, ROOT, environment, settings_in

from addresses import PostgresUrl
from callers.api_keys import (
    ApiKeyError,
    ApiKeyReader,
    create_api_key,
    list_api_keys,
    revoke_api_key,
)
from models import MODELS, VirtualKey
from samples.generating import GenerateError, generate
from store.encryption import Encryption
from store.own import NotOurs, writing
from transfer.exporting import export_config
from transfer.loading import LoadError, check_files, load_documents, load_files

DEMO = ROOT / "data" / "demo.json"
GATEWAYS = "a gateway's database is never written"


@pytest.fixture
def own(server: Server) -> PostgresUrl:
    """A database for us, with nothing in it."""
    return PostgresUrl(server.create_database("own"))


@pytest.fixture
def gateways(server: Server) -> PostgresGateway:
    """A gateway's database with a team in it."""
    gateway = PostgresGateway(server, "theirs")
    gateway.team("t")
    return gateway


def tables_of(server: Server, database: str) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
    return sorted(name for (name,) in server.fetch(database, query))


# Load


@in_all_layouts
def test_a_copy_answers_byte_for_byte_as_its_gateways_database(
    filled: Gateway, own: PostgresUrl
) -> None:
    if filled.layout == "july":
        add_model_configs(filled)

    load_files([filled.path], own)

    assert lists(own) == lists(filled.path)


@pytest.mark.parametrize("name", ODD)
def test_a_copy_of_an_odd_database_answers_the_same(
    gateway: Gateway, own: PostgresUrl, name: str
) -> None:
    ODD[name](gateway)

    load_files([gateway.path], own)

    assert lists(own) == lists(gateway.path)


def test_a_gateways_postgres_is_copied_into_a_file_and_into_postgres(
    filled: Gateway, server: Server, own: PostgresUrl, tmp_path: Path
) -> None:
    as_kept(filled)
    postgres = PostgresGateway(server, "theirs", filled.layout)
    copy_rows(filled, postgres)

    load_files([postgres.url], own)
    load_files([postgres.url], tmp_path / "own.db")

    assert lists(own) == lists(tmp_path / "own.db") == lists(postgres.url)


@pytest.mark.parametrize("demo", [False, True])
def test_loading_again_changes_nothing(
    filled: Gateway, own: PostgresUrl, demo: bool
) -> None:
    file = DEMO if demo else filled.path
    first = load_files([file], own)

    again = load_files([file], own)

    assert first.counts["added"] > 20
    assert again.counts == {"added": 0, "changed": 0, "removed": 0}


def test_an_odd_database_is_loaded_again_without_a_change(
    gateway: Gateway, own: PostgresUrl
) -> None:
    ODD["numbers"](gateway)
    load_files([gateway.path], own)

    again = load_files([gateway.path], own)

    assert again.counts == {"added": 0, "changed": 0, "removed": 0}


def test_a_load_replaces_and_changes(
    own: PostgresUrl, tmp_path: Path, gateway: Gateway
) -> None:
    load_files([DEMO], own)
    gateway.team("t", name="Only")

    load_files([gateway.path], own, replace=True)

    assert lists(own) == lists(gateway.path)


def test_nothing_is_left_of_a_load_that_fails(
    server: Server, own: PostgresUrl, tmp_path: Path
) -> None:
    (tmp_path / "wrong.json").write_text('{"teams": [{"name": 5}]}')

    with pytest.raises(LoadError):
        load_files([DEMO, tmp_path / "wrong.json"], own)

    assert tables_of(server, "own") == []


def test_a_reader_never_sees_half_of_a_load(own: PostgresUrl) -> None:
    load_files([DEMO], own)
    before = lists(own)

    with writing(own) as tables:
        for model in MODELS:
            tables.clear(model)
        during = lists(own)

    assert during == before
    assert rows_of(own) == {model: [] for model in MODELS}


def test_two_loads_come_one_after_the_other(
    own: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.own_postgres.BUSY_SECONDS", 0.05)

    with writing(own), pytest.raises(NotOurs) as refused:
        load_files([DEMO], own)

    assert str(refused.value).endswith(
        "/own cannot be written: it is locked by another process"
    )


def test_a_load_waits_for_another(own: PostgresUrl) -> None:
    loads = [threading.Thread(target=load_files, args=([DEMO], own)) for _ in "ab"]
    for load in loads:
        load.start()
    for load in loads:
        load.join(DEADLINE)

    assert len(rows_of(own)[MODELS[0]]) == 3


def test_nanoseconds_are_kept(own: PostgresUrl, gateway: Gateway) -> None:
    gateway.team("t", created_at="2026-04-01 10:00:00.123456789+00:00")

    load_files([gateway.path], own)

    assert b'"created_at":"2026-04-01T10:00:00.123456789Z"' in lists(own)["teams"]


def test_documents_of_a_pull_are_loaded(own: PostgresUrl) -> None:
    document = {"teams": [{"id": "t", "name": "Pulled"}]}

    loaded = load_documents([("GET teams", document)], own, replace=True)

    assert loaded.counts["added"] == 1
    assert b"Pulled" in lists(own)["teams"]


def test_values_are_encrypted_with_the_key(
    server: Server, own: PostgresUrl, gateway: Gateway
) -> None:
    value = gateway.virtual_key("v", team_id="t")
    key = Encryption("a passphrase")

    load_files([gateway.path], own, encryption=key)

    ((stored, status),) = server.fetch(
        "own", "SELECT value, encryption_status FROM governance_virtual_keys"
    )
    assert value not in stored
    assert status == "encrypted"
    rows = rows_of(own, Encryption("a passphrase"))
    assert [row.value for row in rows[VirtualKey]] == [value]
    again = load_files([gateway.path], own, encryption=key)
    assert again.counts == {"added": 0, "changed": 0, "removed": 0}


# Generate, export, check


def test_what_is_generated_is_the_same_as_in_a_file(
    own: PostgresUrl, tmp_path: Path
) -> None:
    small = {"customers": 3, "teams": 2, "keys": 3, "seed": 5}

    counts = generate(own, **small)
    generate(tmp_path / "own.db", **small)

    assert counts["virtual_keys"] == 18
    assert lists(own) == lists(tmp_path / "own.db")


def test_nothing_is_generated_over_other_data(own: PostgresUrl) -> None:
    load_files([DEMO], own)

    with pytest.raises(GenerateError):
        generate(own, customers=1)

    assert generate(own, customers=1, replace=True)["customers"] == 1


def test_an_export_is_that_of_a_file(own: PostgresUrl, tmp_path: Path) -> None:
    load_files([DEMO], tmp_path / "own.db")
    load_files([tmp_path / "own.db"], own)

    exports = [
        export_config(rows_of(place), with_secrets=True)
        for place in (own, tmp_path / "own.db")
    ]

    assert exports[0] == exports[1]


def test_a_gateways_postgres_is_checked(gateways: PostgresGateway) -> None:
    rows, wrong = check_files([gateways.url])

    assert wrong == []
    assert len(rows[MODELS[1]]) == 1


# Whose it is


def refused(work: Callable[[], object]) -> str:
    with pytest.raises((NotOurs, ApiKeyError)) as caught:
        work()
    return str(caught.value)


def test_a_gateways_database_is_never_written(gateways: PostgresGateway) -> None:
    works: list[Callable[[], object]] = [
        lambda: load_files([DEMO], gateways.url, replace=True),
        lambda: load_documents([("x", {"teams": []})], gateways.url, replace=True),
        lambda: generate(gateways.url, replace=True),
        lambda: create_api_key(gateways.url, "key"),
    ]
    before = tables_of(gateways.server, "theirs")

    assert all(GATEWAYS in refused(work) for work in works)

    assert tables_of(gateways.server, "theirs") == before
    assert gateways.fetch("SELECT id FROM governance_teams") == [("t",)]


def test_a_single_table_of_a_gateway_is_enough_to_refuse(
    server: Server, own: PostgresUrl
) -> None:
    load_files([DEMO], own)
    server.execute(
        "own",
        "DROP TABLE config_providers",
        "CREATE TABLE config_providers (id bigint)",
    )

    assert "has a table config_providers that was not made by this service" in refused(
        lambda: load_files([DEMO], own)
    )


def test_a_schema_of_our_own_beside_a_gateways_is_made_and_written(
    server: Server, gateways: PostgresGateway
) -> None:
    ours = PostgresUrl(server.url("theirs", query="?options=-csearch_path%3Dours"))

    load_files([gateways.url], ours)
    create_api_key(ours, "key")

    assert lists(ours) == lists(gateways.url)
    assert [key.name for key in list_api_keys(ours)] == ["key"]
    query = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'api_keys'"
    assert server.fetch("theirs", query) == [("ours",)]


def test_a_database_is_made_when_the_server_has_none_of_that_name(
    server: Server,
) -> None:
    server.execute("postgres", "DROP DATABASE IF EXISTS fresh")

    load_files([DEMO], PostgresUrl(server.url("fresh")))

    assert "governance_teams" in tables_of(server, "fresh")


def test_a_role_that_may_not_write_is_refused_in_a_sentence(
    server: Server, own: PostgresUrl
) -> None:
    server.execute(
        "own", "DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )  # fmt: skip
    guests = PostgresUrl(server.url("own", "guest"))

    told = refused(lambda: load_files([DEMO], guests))

    assert told.endswith("/own cannot be written: it may not be written by this user")
    server.execute("own", "DROP ROLE guest")


def test_a_replica_cannot_be_written(server: Server, own: PostgresUrl) -> None:
    server.execute("own", "ALTER DATABASE own SET default_transaction_read_only = on")

    told = refused(lambda: load_files([DEMO], own))

    assert told.endswith("it is a replica, or read-only")


# API keys


@pytest.fixture
def reader(own: PostgresUrl) -> Iterator[ApiKeyReader]:
    reader = ApiKeyReader(own)
    yield reader
    reader.close()


def test_before_the_first_key_there_is_none(
    own: PostgresUrl, reader: ApiKeyReader
) -> None:
    assert reader.find("bfst-x") is None
    assert list_api_keys(own) == []
    assert "no API key" in refused(lambda: revoke_api_key(own, "key"))


def test_a_key_counts_at_the_next_question(
    own: PostgresUrl, reader: ApiKeyReader
) -> None:
    for number in range(5):
        token = create_api_key(own, f"key-{number}")
        found = reader.find(token)
        assert found is not None
        assert found.name == f"key-{number}"


def test_a_revoked_key_is_revoked_at_the_next_question(
    own: PostgresUrl, reader: ApiKeyReader
) -> None:
    token = create_api_key(own, "key")
    reader.find(token)

    revoke_api_key(own, "key")

    found = reader.find(token)
    assert found is not None
    assert found.revoked_at


def test_a_key_made_on_one_host_counts_on_another(
    own: PostgresUrl, make_app: Callable[..., Flask], gateway: Gateway
) -> None:
    hosts = [
        make_app(GOVERNANCE_ACCESS_DATABASE=own.conninfo).test_client() for _ in "ab"
    ]
    token = create_api_key(own, "key")

    def statuses() -> list[int]:
        headers = {"Authorization": f"Bearer {token}"}
        path = "/api/governance/customers"
        return [host.get(path, headers=headers).status_code for host in hosts]

    assert statuses() == [200, 200]
    revoke_api_key(own, "key")
    assert statuses() == [401, 401]


def test_only_hashes_of_keys_are_stored(server: Server, own: PostgresUrl) -> None:
    token = create_api_key(own, "key")

    (row,) = server.fetch("own", "SELECT * FROM api_keys")

    assert token not in str(row)


def test_a_name_is_given_once(own: PostgresUrl) -> None:
    create_api_key(own, "key")

    assert "there is an API key" in refused(lambda: create_api_key(own, "key"))
    revoke_api_key(own, "key")
    assert create_api_key(own, "key")


def test_a_reading_role_is_enough_to_look_keys_up(
    server: Server, own: PostgresUrl
) -> None:
    token = create_api_key(own, "key")
    server.execute(
        "own", "DROP ROLE IF EXISTS looker", "CREATE ROLE looker LOGIN",
        "GRANT SELECT ON api_keys TO looker",
    )  # fmt: skip
    reader = ApiKeyReader(PostgresUrl(server.url("own", "looker")))

    found = reader.find(token)

    reader.close()
    assert found is not None
    server.execute("own", "DROP OWNED BY looker", "DROP ROLE looker")


# The commands


def flask(
    folder: Path, *arguments: str, **settings: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *arguments],
        cwd=ROOT,
        env=environment({**settings_in(folder), **settings}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_take_urls(
    server: Server, own: PostgresUrl, gateways: PostgresGateway, tmp_path: Path
) -> None:
    ours = {
        "GOVERNANCE_DATABASE": own.conninfo,
        "GOVERNANCE_ACCESS_DATABASE": own.conninfo,
    }

    loaded = flask(tmp_path, "load", gateways.url.conninfo, **ours)
    created = flask(tmp_path, "api-key", "create", "key", **ours)
    listed = flask(tmp_path, "api-key", "list", **ours)
    checked = flask(tmp_path, "check", gateways.url.conninfo, **ours)
    exported = flask(tmp_path, "export", **ours)
    revoked = flask(tmp_path, "api-key", "revoke", "key", **ours)

    place = f"postgresql://127.0.0.1:{server.port}/own"
    assert loaded.stdout == (
        f"loaded into {place}: rows 1 added, 0 changed, 0 removed\n"
    )
    assert created.stdout.startswith("bfst-")
    assert created.stdout[:12] in listed.stdout
    assert "1 teams" in checked.stdout
    assert '"name": "Team t"' in exported.stdout
    assert revoked.stdout == 'revoked "key"\n'


def test_a_command_that_may_not_write_says_so(
    gateways: PostgresGateway, tmp_path: Path
) -> None:
    for arguments in (["load", str(DEMO)], ["generate"]):
        settings = {"GOVERNANCE_DATABASE": gateways.address}
        done = flask(tmp_path, *arguments, **settings)
        assert done.returncode == 1
        assert GATEWAYS in done.stderr
        assert "Traceback" not in done.stderr


def test_psycopg_is_loaded_only_where_a_postgres_is_named(
    gateways: PostgresGateway, filled: Gateway, tmp_path: Path
) -> None:
    script = (
        "import sys; from app import create_app;"
        "create_app().extensions['keeper'].current();"
        "print('psycopg' in sys.modules)"
    )
    shown = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment({**settings_in(tmp_path), "GOVERNANCE_DATABASE": place}),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for place in (str(filled.path), gateways.address)
    ]

    assert shown == ["False\n", "True\n"]
