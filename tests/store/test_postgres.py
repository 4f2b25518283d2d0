"""Answers from a gateway's PostgreSQL: those of SQLite for the same rows."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from capture_folders import restore
from encrypted import PASSPHRASE, VALUE, add_key, sealed
from flask import Flask
from flask.testing import FlaskClient
from gateway import T0, Gateway, add_model_configs, in_all_layouts
from postgres_gateway import PostgresGateway, as_kept, copy_rows
from postgres_server import Server, program
from werkzeug.test import TestResponse

Ask = Callable[..., TestResponse]
MakeApp = Callable[..., Flask]

LISTS = ["teams", "customers"]


@pytest.fixture
def postgres(server: Server) -> PostgresGateway:
    """An empty database of a July gateway."""
    return PostgresGateway(server, "config")


@pytest.fixture
def served(postgres: PostgresGateway, make_app: MakeApp) -> FlaskClient:
    return make_app(GOVERNANCE_DATABASE=postgres.address).test_client()


@pytest.fixture
def ask(api_key: str) -> Ask:
    def ask(client: FlaskClient, name: str, **query: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {api_key}"}
        path = f"/api/governance/{name}"
        return client.get(path, query_string=query, headers=headers)

    return ask


def team_of(answer: TestResponse) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.get_json()["teams"][0]


# The same bytes


@in_all_layouts
@pytest.mark.parametrize("name", LISTS)
def test_the_answer_is_byte_for_byte_that_of_sqlite(
    server: Server, filled: Gateway, make_app: MakeApp, ask: Ask, name: str
) -> None:
    if filled.layout == "july":
        add_model_configs(filled)
    as_kept(filled)
    postgres = PostgresGateway(server, "filled", filled.layout)
    copy_rows(filled, postgres)

    ours, theirs = (
        ask(make_app(GOVERNANCE_DATABASE=place).test_client(), name)
        for place in (postgres.address, str(filled.path))
    )

    assert ours.status_code == 200
    assert ours.data == theirs.data
    assert ours.headers["ETag"] == theirs.headers["ETag"]


@pytest.mark.parametrize("name", LISTS)
def test_a_gateways_own_answers_byte_for_byte_as_its_rows_in_sqlite(
    server: Server, tmp_path: Path, make_app: MakeApp, ask: Ask, name: str
) -> None:
    if "GATEWAY_POSTGRES" not in os.environ:
        pytest.skip("GATEWAY_POSTGRES names no folder")
    folder = Path(os.environ["GATEWAY_POSTGRES"])
    url = server.create_database("gateway")
    restore_dump(folder / "gateway.sql", url)
    restore(folder, tmp_path / "gateway.db")

    ours, theirs = (
        ask(make_app(GOVERNANCE_DATABASE=place).test_client(), name)
        for place in (url, str(tmp_path / "gateway.db"))
    )

    assert ours.data == theirs.data
    assert len(ours.data) > 10_000


def restore_dump(dump: Path, url: str) -> None:
    command = [program("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


# Single values


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("1000", "1000"),
        ("1000.00", "1000"),
        ("0.1", "0.1"),
        ("0.00000012", "1.2e-7"),
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("-2.50", "-2.5"),
        ("0", "0"),
        ("1e30", "1e+30"),
        ("'NaN'", "0"),
        ("'Infinity'", "0"),
        ("'-Infinity'", "0"),
    ],
)
def test_a_numeric_is_shown_as_a_number(
    postgres: PostgresGateway, served: FlaskClient, ask: Ask, stored: str, shown: str
) -> None:
    postgres.team("t")
    postgres.budget("b", "team_id", "t")
    postgres.execute(f"UPDATE governance_budgets SET max_limit = {stored}")

    answer = ask(served, "teams")

    assert f'"budgets":[{{"id":"b","max_limit":{shown},' in answer.text


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("2026-11-21 22:11:06.175193+00", "2026-11-21T22:11:06.175193Z"),
        ("2026-11-21 22:11:06.5+00", "2026-11-21T22:11:06.5Z"),
        ("2026-11-21 22:11:06+02", "2026-11-21T20:11:06Z"),
        ("0001-01-01 00:00:00+00", "0001-01-01T00:00:00Z"),
        ("9999-12-31 23:59:59.999999+00", "9999-12-31T23:59:59.999999Z"),
        ("infinity", "0001-01-01T00:00:00Z"),
        ("-infinity", "0001-01-01T00:00:00Z"),
        ("12026-01-01 00:00:00+00", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_shown_in_utc(
    postgres: PostgresGateway, served: FlaskClient, ask: Ask, stored: str, shown: str
) -> None:
    postgres.team("t")
    postgres.execute("ALTER DATABASE config SET timezone = 'Asia/Tokyo'")
    postgres.execute("ALTER DATABASE config SET datestyle = 'German'")
    postgres.execute("UPDATE governance_teams SET created_at = ?", stored)

    team = team_of(ask(served, "teams"))

    assert team["created_at"] == shown
    assert team["updated_at"] == "2026-04-01T10:00:00Z"


@pytest.mark.parametrize(
    ("column", "type", "stored", "shown"),
    [
        ("created_at", "timestamp without time zone", None, "2026-04-01T10:00:00Z"),
        ("created_at", "text", None, "2026-04-01T10:00:00Z"),
        ("created_at", "date", None, "2026-04-01T00:00:00Z"),
        ("profile", "jsonb", '{"b": 1.0, "a": [1]}', {"a": [1], "b": 1}),
        ("profile", "json", '{"b": 1.0, "a": [1]}', {"b": 1, "a": [1]}),
        ("name", "varchar(40)", None, "Team t"),
        ("calendar_aligned", "integer USING 1", None, True),
        ("calendar_aligned", "text USING 'true'", None, True),
        ("config_hash", "uuid USING md5('x')::uuid", None, None),
    ],
)
def test_a_column_of_another_type_reads_as_what_it_means(
    postgres: PostgresGateway,
    served: FlaskClient,
    ask: Ask,
    column: str,
    type: str,
    stored: str | None,
    shown: Any,
) -> None:
    postgres.team("t", profile=stored)
    using = "" if "USING" in type else f" USING {column}::{type}"
    alter = f"ALTER TABLE governance_teams ALTER COLUMN {column} TYPE {type}{using}"
    postgres.execute("SET timezone = 'UTC'")
    postgres.execute_all("SET LOCAL timezone = 'UTC'", alter)

    team = team_of(ask(served, "teams"))

    assert shown is None or team[column] == shown


def test_integers_are_exact_to_64_bits(
    postgres: PostgresGateway, served: FlaskClient, ask: Ask
) -> None:
    postgres.rate_limit("r", token_max_limit=2**63 - 1, token_current_usage=2**53 + 1)
    postgres.team("t", rate_limit_id="r")

    limit = team_of(ask(served, "teams"))["rate_limit"]

    assert limit["token_max_limit"] == 2**63 - 1
    assert limit["token_current_usage"] == 2**53 + 1


def test_what_is_null_is_unset(
    postgres: PostgresGateway, served: FlaskClient, ask: Ask
) -> None:
    postgres.team("t", config_hash=None, calendar_aligned=None)
    postgres.virtual_key("v", team_id="t", is_active=None)
    postgres.provider_config(1, "v", weight=None)

    team = team_of(ask(served, "teams"))

    assert team["config_hash"] == ""
    assert team["calendar_aligned"] is False
    assert team["virtual_keys"][0]["is_active"] is True
    assert team["virtual_keys"][0]["provider_configs"][0]["weight"] is None


def test_text_in_any_script_is_shown_as_it_is(
    postgres: PostgresGateway, served: FlaskClient, ask: Ask
) -> None:
    postgres.team("t", name='分析 🚀 "quoted" \\ %s é')

    assert team_of(ask(served, "teams"))["name"] == '分析 🚀 "quoted" \\ %s é'


def test_a_database_in_another_encoding_is_read_in_utf_8(
    server: Server, make_app: MakeApp, ask: Ask
) -> None:
    postgres = PostgresGateway(server, "latin", encoding="LATIN1")
    postgres.team("t", name="Développement")

    client = make_app(GOVERNANCE_DATABASE=postgres.address).test_client()

    assert team_of(ask(client, "teams"))["name"] == "Développement"


def test_text_that_is_not_utf_8_breaks_no_list(
    server: Server, make_app: MakeApp, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    postgres = PostgresGateway(server, "ascii", encoding="SQL_ASCII")
    postgres.team("t", name="Développement")
    postgres.team("u", name="Other", created_at="2027-01-01 00:00:00+00")
    postgres.execute("UPDATE governance_teams SET config_hash = E'\\xe9' WHERE id='t'")

    client = make_app(GOVERNANCE_DATABASE=postgres.address).test_client()

    teams = ask(client, "teams").get_json()["teams"]
    assert [team["name"] for team in teams] == ["Développement", "Other"]
    assert teams[0]["config_hash"] == "\ufffd"
    assert "governance_teams, row 't': config_hash is not UTF-8" in caplog.text


def test_a_key_of_postgres_is_found_by_its_value(
    postgres: PostgresGateway, served: FlaskClient, ask: Ask
) -> None:
    postgres.customer("c")
    postgres.team("t", "c")
    value = postgres.virtual_key("v", team_id="t")

    answer = served.get(
        "/api/governance/teams", headers={"Authorization": f"Bearer {value}"}
    )

    assert team_of(answer)["virtual_keys"][0]["value"] == f"sk-b{'*' * 24}fake"


@pytest.mark.parametrize("missing", [0, 1])
def test_a_team_of_a_database_is_found_whatever_its_rows_order(
    postgres: PostgresGateway, served: FlaskClient, ask: Ask, missing: int
) -> None:
    for name in "dbac":
        postgres.team(name, created_at=T0)
    postgres.execute("UPDATE governance_teams SET name = 'x' WHERE id = 'b'")

    teams = ask(served, "teams").get_json()["teams"]

    assert [team["id"] for team in teams] == ["a", "b", "c", "d"]


# Where the tables are


def test_tables_in_another_schema_are_found_by_the_search_path(
    server: Server, postgres: PostgresGateway, make_app: MakeApp, ask: Ask
) -> None:
    postgres.team("t", name="Theirs")
    postgres.execute_all(
        "ALTER SCHEMA public RENAME TO bifrost", "CREATE SCHEMA public"
    )
    url = server.url("config", query="?options=-csearch_path%3Dbifrost")

    client = make_app(GOVERNANCE_DATABASE=url).test_client()

    assert team_of(ask(client, "teams"))["name"] == "Theirs"


def test_a_table_that_older_gateways_lack_is_empty(
    postgres: PostgresGateway, served: FlaskClient, ask: Ask
) -> None:
    postgres.team("t")
    postgres.execute("DROP TABLE governance_model_configs")

    assert ask(served, "teams").get_json()["count"] == 1


def test_a_role_with_select_and_nothing_else_is_enough(
    server: Server, postgres: PostgresGateway, make_app: MakeApp, ask: Ask
) -> None:
    postgres.team("t")
    server.execute(
        "config",
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        "ALTER ROLE reader SET default_transaction_read_only = on",
    )

    client = make_app(GOVERNANCE_DATABASE=server.url("config", "reader")).test_client()

    assert ask(client, "teams").get_json()["count"] == 1
    server.execute("config", "DROP OWNED BY reader", "DROP ROLE reader")


def test_an_encrypted_postgres_is_opened_with_its_key(
    server: Server, postgres: PostgresGateway, make_app: MakeApp, ask: Ask
) -> None:
    postgres.team("t")
    add_key(postgres, "v", VALUE, sealed(VALUE))

    client = make_app(
        GOVERNANCE_DATABASE=postgres.address, GOVERNANCE_ENCRYPTION_KEY=PASSPHRASE
    ).test_client()

    assert team_of(ask(client, "teams"))["virtual_keys"][0]["value"] == VALUE
