"""The table layouts of April, May, July and between: one data, one answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from gateway import T1, T2, Gateway, fill, in_all_layouts
from werkzeug.test import TestResponse

from models import MODELS, REQUIRED

Get = Callable[..., TestResponse]

TABLES = [model._meta.table_name for model in MODELS]
OPTIONAL = [model._meta.table_name for model in MODELS if model not in REQUIRED]


def bodies(get: Get) -> list[bytes]:
    return [get(name).data for name in ("teams", "customers")]


def bodies_of(app: Flask, token: str) -> list[bytes]:
    client, headers = app.test_client(), {"Authorization": f"Bearer {token}"}
    return [
        client.get(f"/api/governance/{name}", headers=headers).data
        for name in ("teams", "customers")
    ]


def add_more(gateway: Gateway) -> None:
    """Insert what fill() leaves out: aligned budgets, limits, keys without keys."""
    gateway.rate_limit("limit-2", request_max_limit=5, request_reset_duration="1m")
    gateway.customer("c", rate_limit_id="limit-2", calendar_aligned=1)
    gateway.team("t", "c", rate_limit_id="limit-2", calendar_aligned=1)
    gateway.virtual_key("k", team_id="t", calendar_aligned=1, created_at=T2)
    gateway.virtual_key("l", team_id="t", calendar_aligned=0, created_at=T1)
    gateway.provider_config(9, "k", allow_all_keys=1, rate_limit_id="limit-2")
    gateway.provider_config(8, "l", (2,), allow_all_keys=0)
    gateway.budget("b-c", "customer_id", "c", calendar_aligned=1)
    gateway.budget("b-t", "team_id", "t", calendar_aligned=1)
    gateway.budget("b-k", "virtual_key_id", "k", calendar_aligned=1)
    gateway.budget("b-l", "virtual_key_id", "l", calendar_aligned=0)
    gateway.budget("b-9", "provider_config_id", 9, calendar_aligned=1)
    gateway.budget("b-8", "provider_config_id", 8, calendar_aligned=0)


@pytest.fixture
def answers_of(
    tmp_path: Path, make_app: Callable[..., Flask], api_key: str
) -> Callable[..., list[bytes]]:
    """answers_of("april", add): both bodies for the data that `add` puts in."""

    def answers(layout: Any, *add: Callable[[Gateway], None]) -> list[bytes]:
        gateway = Gateway(tmp_path / f"{layout}.db", layout)
        for each in add:
            each(gateway)
        return bodies_of(make_app(GOVERNANCE_DATABASE=str(gateway.path)), api_key)

    return answers


@pytest.mark.parametrize("layout", ["april"])
def test_the_test_layouts_differ_as_the_gateways_do(filled: Gateway) -> None:
    with filled.writer() as connection:
        rows = connection.execute("PRAGMA table_info(governance_budgets)").fetchall()

    names = {row[1] for row in rows}
    assert "calendar_aligned" in names
    assert names.isdisjoint({"team_id", "customer_id", "virtual_key_id"})


Add = Callable[[Gateway], None]


@pytest.mark.parametrize("layout", ["may", "july"])
@pytest.mark.parametrize("data", [(), (fill,), (fill, add_more)])
def test_all_layouts_answer_byte_for_byte_the_same(
    answers_of: Callable[..., list[bytes]], layout: str, data: tuple[Add, ...]
) -> None:
    april = answers_of("april", *data)

    later = answers_of(layout, *data)

    assert later == april


def move_to_model_configs(gateway: Gateway) -> None:
    """Move what keys and provider configs may spend, as a July gateway does once."""
    configs = "governance_virtual_key_provider_configs"
    columns = "id, model_name, scope, scope_id, provider, calendar_aligned"
    columns += ", rate_limit_id"
    gateway.execute(
        f"INSERT INTO governance_model_configs ({columns}) SELECT 'of-' || id, '*',"
        " 'virtual_key', id, NULL, calendar_aligned, rate_limit_id"
        " FROM governance_virtual_keys"
    )
    gateway.execute(
        f"INSERT INTO governance_model_configs ({columns}) SELECT 'of-' || c.id, '*',"
        " 'virtual_key', k.id, provider, calendar_aligned, c.rate_limit_id"
        f" FROM {configs} c JOIN governance_virtual_keys k ON k.id = virtual_key_id"
    )
    for owner, table in {
        "virtual_key_id": "governance_virtual_keys",
        "provider_config_id": configs,
    }.items():
        gateway.execute(
            f"UPDATE governance_budgets SET model_config_id = 'of-' || {owner},"
            f" {owner} = NULL WHERE {owner} IS NOT NULL"
        )
        gateway.execute(f"UPDATE {table} SET rate_limit_id = NULL")


def test_what_july_gateways_moved_to_model_configs_answers_the_same(
    answers_of: Callable[..., list[bytes]],
) -> None:
    april = answers_of("april", fill, add_more)

    july = answers_of("july", fill, add_more, move_to_model_configs)

    assert july == april


@pytest.mark.parametrize("layout", ["april", "may"])
def test_model_configs_without_a_scope_are_not_ours(filled: Gateway, get: Get) -> None:
    before = bodies(get)

    filled.model_config("m", "key-ops", rate_limit_id="limit-1")
    filled.model_config("n", "key-ops", "o3", "openai")

    assert bodies(get) == before


# A May gateway fills the new columns and no longer reads the old one, but keeps it.
STALE = [
    ("governance_virtual_keys", "key-acme", "virtual_key_id = 'key-ops'"),
    ("governance_virtual_keys", "key-acme", "provider_config_id = 1"),
    ("governance_virtual_key_provider_configs", 1, "virtual_key_id = 'key-ops'"),
]


@pytest.mark.parametrize("layout", ["may"])
@pytest.mark.parametrize(("table", "owner", "named"), STALE)
def test_a_budget_id_left_behind_says_nothing_of_a_budget_of_another(
    filled: Gateway, get: Get, table: str, owner: Any, named: str
) -> None:
    filled.budget("shared", created_at=T2)
    filled.execute(f"UPDATE governance_budgets SET {named} WHERE id = 'shared'")
    before = bodies(get)

    filled.execute(f"UPDATE {table} SET budget_id = 'shared' WHERE id = ?", owner)

    assert bodies(get) == before
    assert b'"shared"' in before[0]


@pytest.mark.parametrize("layout", ["may"])
def test_a_teams_budget_id_counts_beside_the_columns_of_keys(
    filled: Gateway, get: Get
) -> None:
    filled.budget("shared", "virtual_key_id", "key-ops", created_at=T2)
    filled.execute(
        "UPDATE governance_teams SET budget_id = 'shared' WHERE id = 'acme-ops'"
    )

    team = get("teams").json["teams"][0]

    assert [each["id"] for each in team["budgets"]] == ["shared"]
    assert "shared" in [each["id"] for each in team["virtual_keys"][0]["budgets"]]


def test_the_comparison_has_aligned_and_other_budgets(
    answers_of: Callable[..., list[bytes]],
) -> None:
    teams, _ = answers_of("april", fill, add_more)

    assert b'"calendar_aligned":true' in teams
    assert b'"calendar_aligned":false' in teams


@pytest.mark.parametrize("layout", ["april"])
def test_an_older_database_with_the_newer_columns_unset_answers_the_same(
    filled: Gateway, get: Get
) -> None:
    before = bodies(get)
    for column in ("team_id", "customer_id", "virtual_key_id", "model_config_id"):
        filled.execute(f"ALTER TABLE governance_budgets ADD COLUMN {column} TEXT")
    filled.execute("ALTER TABLE governance_teams ADD COLUMN calendar_aligned NUMERIC")

    after = bodies(get)

    assert after == before


@pytest.mark.parametrize("layout", ["april"])
def test_a_mixed_layout_has_budgets_linked_either_way(
    filled: Gateway, get: Get
) -> None:
    filled.execute("ALTER TABLE governance_budgets ADD COLUMN team_id TEXT")
    filled.budget("of-another", created_at=T1)
    filled.budget("by-team", created_at=T2)
    filled.execute(
        "UPDATE governance_budgets SET team_id = 'acme-ops' WHERE id = 'by-team'"
    )

    team = get("teams").json["teams"][0]

    assert [each["id"] for each in team["budgets"]] == ["budget-ops", "by-team"]
    assert team["budget"]["id"] == team["budget_id"] == "budget-ops"


@pytest.mark.parametrize("layout", ["april"])
def test_a_budget_linked_both_ways_is_there_once(filled: Gateway, get: Get) -> None:
    filled.execute("ALTER TABLE governance_budgets ADD COLUMN team_id TEXT")
    filled.execute(
        "UPDATE governance_budgets SET team_id = 'acme-ops' WHERE id = 'budget-ops'"
    )

    team = get("teams").json["teams"][0]

    assert [each["id"] for each in team["budgets"]] == ["budget-ops"]


@pytest.mark.parametrize("layout", ["april"])
def test_an_owners_calendar_aligned_goes_before_its_budgets(
    filled: Gateway, get: Get
) -> None:
    filled.execute(
        "ALTER TABLE governance_virtual_keys ADD COLUMN calendar_aligned NUMERIC"
    )
    filled.execute("UPDATE governance_virtual_keys SET calendar_aligned = 1")
    filled.execute("UPDATE governance_budgets SET calendar_aligned = 0")

    (key,) = get("teams").json["teams"][0]["virtual_keys"]

    assert key["calendar_aligned"] is True
    assert key["budgets"][0]["calendar_aligned"] is False


EMPTY = {
    "governance_virtual_key_provider_configs": b'"provider_configs":[]',
    "governance_model_configs": b'"budgets":[',
    "governance_virtual_key_provider_config_keys": b'"keys":[]',
    "governance_virtual_key_mcp_configs": b'"mcp_configs":[]',
    "config_keys": b'"keys":[]',
    "config_mcp_clients": b'"mcp_client_name":""',
    "config_providers": b'"provider":"openai"',
}


@in_all_layouts
@pytest.mark.parametrize("table", OPTIONAL)
def test_a_missing_optional_table_is_empty(
    filled: Gateway, get: Get, table: str
) -> None:
    filled.execute(f"DROP TABLE {table}")

    answer = get("teams")

    assert (answer.status_code, answer.json["count"]) == (200, 4)
    assert EMPTY[table] in answer.data


@in_all_layouts
def test_all_optional_tables_may_be_missing(filled: Gateway, get: Get) -> None:
    for table in OPTIONAL:
        filled.execute(f"DROP TABLE {table}")

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


@in_all_layouts
def test_every_table_may_have_columns_that_nobody_knows(
    filled: Gateway, get: Get
) -> None:
    before = bodies(get)
    for table in TABLES:
        filled.execute(f"ALTER TABLE {table} ADD COLUMN later TEXT DEFAULT 'unknown'")

    after = bodies(get)

    assert after == before


@in_all_layouts
def test_a_table_that_nobody_knows_is_ignored(filled: Gateway, get: Get) -> None:
    before = bodies(get)
    filled.execute("CREATE TABLE governance_projects (id TEXT, team_id TEXT)")
    filled.execute("INSERT INTO governance_projects VALUES ('p', 'acme-ops')")

    after = bodies(get)

    assert after == before


@in_all_layouts
def test_the_order_of_columns_does_not_matter(filled: Gateway, get: Get) -> None:
    before = bodies(get)
    filled.execute(
        "CREATE TABLE turned AS SELECT updated_at, created_at, name, id, profile,"
        " customer_id, rate_limit_id FROM governance_teams"
    )
    if filled.layout != "july":
        filled.execute("ALTER TABLE turned ADD COLUMN budget_id TEXT")
        filled.execute(
            "UPDATE turned SET budget_id = 'budget-ops' WHERE id = 'acme-ops'"
        )
    filled.execute("DROP TABLE governance_teams")
    filled.execute("ALTER TABLE turned RENAME TO governance_teams")

    after = bodies(get)

    assert after == before


@in_all_layouts
@pytest.mark.parametrize(
    "table", [table for table in TABLES if not table.endswith("_config_keys")]
)
def test_missing_columns_read_as_unset(filled: Gateway, get: Get, table: str) -> None:
    filled.execute(f"CREATE TABLE bare AS SELECT id FROM {table}")
    filled.execute(f"DROP TABLE {table}")
    filled.execute(f"ALTER TABLE bare RENAME TO {table}")

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_table_with_only_ids_gives_bare_teams(gateway: Gateway, get: Get) -> None:
    gateway.execute("DROP TABLE governance_teams")
    gateway.execute("CREATE TABLE governance_teams (id TEXT)")
    gateway.execute("INSERT INTO governance_teams VALUES ('t')")

    answer = get("teams")

    assert answer.json["teams"] == [
        {
            "id": "t",
            "name": "",
            "budgets": [],
            "virtual_keys": [],
            "calendar_aligned": False,
            "virtual_key_count": 0,
            "profile": {},
            "config": {},
            "claims": {},
            "config_hash": "",
            "created_at": "0001-01-01T00:00:00Z",
            "updated_at": "0001-01-01T00:00:00Z",
        }
    ]
