"""Data out of nothing: what `generate` makes, and that it makes it again."""

import hashlib
import json
import logging
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from gateway import Gateway
from reading import rows_of

from callers.api_keys import create_api_key
from samples.generating import GenerateError, generate
from store.own import NotOurs, writing
from values import duration_problem, instant

# Of a small database of seed 1; another machine or Python must come to the same.
PINNED = "519256955b480866ca232d0f4d1d241662af2b147c115dd949c954ec632158a1"
SMALL = {"customers": 6, "teams": 3, "keys": 4}

Tables = dict[str, list[dict[str, Any]]]


def read(path: Path) -> Tables:
    """All rows of all tables, by the model's name."""
    with writing(path) as own:
        tables = own.read()
    return {model.__name__: list(rows.values()) for model, rows in tables.items()}


def content_hash(tables: Tables) -> str:
    """A SHA-256 of all rows, sorted; NULL is no content."""
    content = [
        [name, sorted((c, v) for c, v in row.items() if v is not None)]
        for name, rows in tables.items()
        for row in rows
    ]
    content.sort(key=lambda each: [each[0], str(each[1])])
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated database of the default size. Nobody may change it."""
    path = tmp_path_factory.mktemp("generated") / "governance.db"
    generate(path)
    return path


@pytest.fixture(scope="module")
def tables(path: Path) -> Tables:
    return read(path)


# The same again


def test_the_same_seed_gives_the_same_content(tables: Tables, tmp_path: Path) -> None:
    generate(tmp_path / "again.db", seed=1)

    assert read(tmp_path / "again.db") == tables


def test_another_seed_gives_other_content(tables: Tables, tmp_path: Path) -> None:
    generate(tmp_path / "other.db", seed=2)

    other = read(tmp_path / "other.db")
    for name in ("Customer", "Team", "VirtualKey", "Budget", "RateLimit"):
        assert other[name] != tables[name]


def test_every_machine_comes_to_the_same_content(tmp_path: Path) -> None:
    generate(tmp_path / "small.db", **SMALL, seed=1)

    assert content_hash(read(tmp_path / "small.db")) == PINNED


# What is in it


def test_there_is_as_much_as_was_asked_for(tmp_path: Path) -> None:
    counts = generate(tmp_path / "small.db", customers=7, teams=4, keys=6)

    tables = read(tmp_path / "small.db")
    assert counts == {
        "customers": 7,
        "teams": 7 * 4,
        "virtual_keys": 7 * 4 * 6,
        "budgets": len(tables["Budget"]),
        "rate_limits": len(tables["RateLimit"]),
        "model_configs": len(tables["ModelConfig"]),
        "provider_keys": 15,
        "mcp_clients": 5,
    }
    assert len(tables["Customer"]) == 7
    assert len(tables["Team"]) == 28
    assert len(tables["VirtualKey"]) == 168


@pytest.mark.parametrize(
    "numbers",
    [
        {"customers": 0},
        {"customers": 1, "teams": 0},
        {"customers": 1, "teams": 1, "keys": 0},
        {"customers": 1, "teams": 1, "keys": 1},
        {"customers": 1, "teams": 40, "keys": 1},
        {"customers": 40, "teams": 1, "keys": 1},
    ],
    ids=str,
)
def test_few_of_anything_work_too(numbers: dict[str, int], tmp_path: Path) -> None:
    counts = generate(tmp_path / "few.db", **numbers)

    assert counts["customers"] == numbers["customers"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_customer_has_most_of_the_virtual_keys(seed: int, tmp_path: Path) -> None:
    generate(tmp_path / "small.db", **SMALL, seed=seed)

    tables = read(tmp_path / "small.db")
    customer_of = {team["id"]: team["customer_id"] for team in tables["Team"]}
    keys = Counter(
        key["customer_id"] or customer_of.get(key["team_id"])
        for key in tables["VirtualKey"]
    )
    (customer, most), *_ = keys.most_common()
    assert customer is not None
    assert most > len(tables["VirtualKey"]) / 2


def test_virtual_keys_are_of_teams_of_customers_and_of_nobody(tables: Tables) -> None:
    owners = Counter(
        (key["team_id"] is not None, key["customer_id"] is not None)
        for key in tables["VirtualKey"]
    )

    assert owners.keys() == {(True, False), (False, True), (False, False)}
    assert owners[True, False] > owners[False, True] > owners[False, False]


def test_some_teams_are_empty_and_some_have_no_customer(tables: Tables) -> None:
    peopled = {key["team_id"] for key in tables["VirtualKey"]}
    with_teams = {team["customer_id"] for team in tables["Team"]}

    assert {team["id"] for team in tables["Team"]} - peopled
    assert None in with_teams
    assert {customer["id"] for customer in tables["Customer"]} - with_teams


def test_budgets_are_unused_nearly_used_up_and_over_their_limit(
    tables: Tables,
) -> None:
    shares = [b["current_usage"] / b["max_limit"] for b in tables["Budget"]]

    assert 0.0 in shares
    assert any(0 < share < 0.5 for share in shares)
    assert any(0.9 < share < 1 for share in shares)
    assert any(share > 1 for share in shares)


OWNERS = {
    "customer_id": "Customer",
    "team_id": "Team",
    "virtual_key_id": "VirtualKey",
    "provider_config_id": "ProviderConfig",
    "model_config_id": "ModelConfig",
}


@pytest.mark.parametrize("column", [c for c in OWNERS if c != "model_config_id"])
def test_every_kind_of_owner_has_no_budget_or_one(column: str, tables: Tables) -> None:
    budgets = Counter(budget[column] for budget in tables["Budget"] if budget[column])

    assert 1 in budgets.values()
    assert len(budgets) < len(tables[OWNERS[column]])


@pytest.mark.parametrize("column", ["customer_id", "team_id", "virtual_key_id"])
def test_now_and_then_an_owner_has_several_budgets(column: str, tables: Tables) -> None:
    periods: dict[str, list[str]] = {}
    for budget in tables["Budget"]:
        if budget[column] is not None:
            periods.setdefault(budget[column], []).append(budget["reset_duration"])

    assert any(len(each) > 1 for each in periods.values())
    assert all(len(each) == len(set(each)) for each in periods.values())


def test_a_budget_has_one_owner_and_is_aligned_as_that_one_is(tables: Tables) -> None:
    keys = {key["id"]: key for key in tables["VirtualKey"]}
    owners = {
        (column, row["id"]): keys[row["virtual_key_id"]]
        if column == "provider_config_id"
        else row
        for column, name in OWNERS.items()
        for row in tables[name]
    }

    for budget in tables["Budget"]:
        (owner,) = (owners[c, budget[c]] for c in OWNERS if budget[c] is not None)
        assert budget["calendar_aligned"] == owner["calendar_aligned"]
    assert {budget["calendar_aligned"] for budget in tables["Budget"]} == {0, 1}


def test_some_virtual_keys_may_spend_less_on_one_model(tables: Tables) -> None:
    keys = {key["id"] for key in tables["VirtualKey"]}
    provider_of = {
        (config["virtual_key_id"], config["provider"])
        for config in tables["ProviderConfig"]
    }

    scopes = [(row["scope_id"], row["provider"]) for row in tables["ModelConfig"]]

    assert 0 < len(scopes) < len(keys) / 5
    assert set(scopes) <= provider_of
    assert {row["scope"] for row in tables["ModelConfig"]} == {"virtual_key"}
    assert "*" not in {row["model_name"] for row in tables["ModelConfig"]}


def test_rate_limits_have_both_halves_or_one(tables: Tables) -> None:
    halves = {
        (limit["token_max_limit"] is None, limit["request_max_limit"] is None)
        for limit in tables["RateLimit"]
    }

    assert halves == {(False, False), (False, True), (True, False)}
    for limit in tables["RateLimit"]:
        for half in ("token", "request"):
            unlimited = limit[f"{half}_max_limit"] is None
            assert (limit[f"{half}_reset_duration"] is None) == unlimited
            assert (limit[f"{half}_last_reset"] is None) == unlimited


def test_reset_durations_are_durations(tables: Tables) -> None:
    durations = {budget["reset_duration"] for budget in tables["Budget"]}
    for half in ("token", "request"):
        durations |= {row[f"{half}_reset_duration"] for row in tables["RateLimit"]}

    assert [d for d in durations - {None} if duration_problem(d)] == []


def test_virtual_keys_are_active_or_not_and_expire_or_not(tables: Tables) -> None:
    keys = tables["VirtualKey"]

    years = {key["expires_at"] and key["expires_at"][:4] for key in keys}

    assert {key["is_active"] for key in keys} == {0, 1}
    assert {None, "2026"} <= years
    assert any(year > "2027" for year in years if year)


@pytest.mark.parametrize("name", ["Customer", "Team", "VirtualKey"])
def test_names_are_long_and_in_many_scripts(name: str, tables: Tables) -> None:
    names = [row["name"] for row in tables[name]]

    scripts = {unicodedata.name(each).split()[0] for text in names for each in text}
    assert max(map(len, names)) > 80
    assert {"LATIN", "CYRILLIC", "ARABIC", "DEVANAGARI", "HANGUL", "CJK"} <= scripts


def test_provider_configs_allow_all_keys_or_have_some(tables: Tables) -> None:
    attached = {link["provider_config_id"] for link in tables["ProviderConfigKey"]}
    configs = tables["ProviderConfig"]
    provider_of = {key["id"]: key["provider"] for key in tables["ProviderKey"]}
    by_id = {config["id"]: config for config in configs}

    for config in configs:
        assert config["allow_all_keys"] == (config["id"] not in attached)
    for link in tables["ProviderConfigKey"]:
        provider = provider_of[link["provider_key_id"]]
        assert by_id[link["provider_config_id"]]["provider"] == provider
    assert {None, 0.0, 1.0} <= {config["weight"] for config in configs}
    assert {config["provider"] for config in configs} == set(provider_of.values())
    assert set(Counter(c["virtual_key_id"] for c in configs).values()) == {1, 2, 3, 4}


def test_a_providers_and_an_mcp_clients_secrets_name_a_variable(
    tables: Tables,
) -> None:
    own = ("azure_", "vertex_", "bedrock_")
    secrets = [
        secret
        for key in tables["ProviderKey"]
        for column, secret in key.items()
        if (column == "value" or column.startswith(own)) and secret is not None
    ]
    secrets += [
        secret
        for client in tables["McpClient"]
        for secret in json.loads(client["headers_json"]).values()
    ]

    assert len(secrets) > 15 + 5
    assert [secret for secret in secrets if not secret.startswith("env.")] == []


# Columns that gateways fill and we do not; budget_id is how older ones name a budget.
EMPTY = {
    *((name, "budget_id") for name in OWNERS.values()),
    ("Budget", "config_hash"),
    ("Provider", "budget_id"),
    ("Provider", "rate_limit_id"),
    ("RateLimit", "config_hash"),
    ("McpClient", "oauth_config_id"),
    ("McpClient", "per_user_header_keys_json"),
    ("McpClient", "tls_config_json"),
}


def test_every_other_column_is_filled_somewhere(tables: Tables) -> None:
    empty = {
        (name, column)
        for name, rows in tables.items()
        for column in rows[0]
        if all(row[column] is None for row in rows)
    }

    assert empty == EMPTY


# What holds between its rows


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Customer", "name"),
        ("Team", "name"),
        ("VirtualKey", "name"),
        ("VirtualKey", "value"),
        ("VirtualKey", "value_hash"),
        ("ProviderKey", "name"),
        ("ProviderKey", "key_id"),
        ("McpClient", "client_id"),
    ],
)
def test_no_two_are_alike(name: str, column: str, tables: Tables) -> None:
    values = [row[column] for row in tables[name]]

    assert len(set(values)) == len(values)


def test_a_virtual_keys_hash_is_that_of_its_value(tables: Tables) -> None:
    for key in tables["VirtualKey"]:
        assert key["value"].startswith("sk-bf-")
        assert key["value_hash"] == hashlib.sha256(key["value"].encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "column", "to"),
    [
        ("Team", "customer_id", "Customer"),
        ("VirtualKey", "customer_id", "Customer"),
        ("VirtualKey", "team_id", "Team"),
        ("ProviderConfig", "virtual_key_id", "VirtualKey"),
        ("ProviderConfigKey", "provider_config_id", "ProviderConfig"),
        ("ProviderConfigKey", "provider_key_id", "ProviderKey"),
        ("McpConfig", "virtual_key_id", "VirtualKey"),
        ("McpConfig", "mcp_client_id", "McpClient"),
        ("ProviderKey", "provider_id", "Provider"),
        *(("Budget", column, to) for column, to in OWNERS.items()),
        ("Customer", "rate_limit_id", "RateLimit"),
        ("Team", "rate_limit_id", "RateLimit"),
        ("VirtualKey", "rate_limit_id", "RateLimit"),
        ("ProviderConfig", "rate_limit_id", "RateLimit"),
    ],
)
def test_every_reference_leads_to_a_row(
    name: str, column: str, to: str, tables: Tables
) -> None:
    references = {row[column] for row in tables[name]} - {None}

    assert references
    assert references <= {row["id"] for row in tables[to]}


def test_every_rate_limit_has_one_owner(tables: Tables) -> None:
    owned = [
        row["rate_limit_id"]
        for name in OWNERS.values()
        for row in tables[name]
        if row["rate_limit_id"] is not None
    ]

    assert sorted(owned) == sorted(limit["id"] for limit in tables["RateLimit"])


@pytest.mark.parametrize("name", ["Customer", "Team", "VirtualKey"])
def test_each_is_made_after_the_one_before(name: str, path: Path) -> None:
    (rows,) = (r for model, r in rows_of(path).items() if model.__name__ == name)

    moments = [instant(row.created_at) for row in rows]
    assert moments == sorted(set(moments))


# Where it goes


def test_a_filled_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "governance.db"
    generate(path, **SMALL)
    before = path.read_bytes()

    with pytest.raises(GenerateError, match=r"governance\.db holds data already"):
        generate(path, **SMALL, seed=2)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_with_replace_only_the_new_remains(tmp_path: Path) -> None:
    path, fresh = tmp_path / "governance.db", tmp_path / "fresh.db"
    generate(path, seed=1)

    generate(path, **SMALL, seed=2, replace=True)

    generate(fresh, **SMALL, seed=2)
    assert read(path) == read(fresh)


def test_an_empty_database_of_ours_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "governance.db"
    with writing(path):
        pass

    generate(path, **SMALL)

    assert len(read(path)["Team"]) == 18


@pytest.mark.parametrize("replace", [False, True])
def test_a_gateways_database_is_refused(
    gateway: Gateway, tmp_path: Path, replace: bool
) -> None:
    before = gateway.path.read_bytes()

    with pytest.raises(NotOurs, match="was not made by this service"):
        generate(gateway.path, **SMALL, replace=replace)

    assert gateway.path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [gateway.path]


@pytest.mark.parametrize("replace", [False, True])
def test_nothing_has_changed_where_it_breaks_off(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "governance.db"
    if replace:
        generate(path, **SMALL)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(path, seed=2, replace=replace, progress=interrupt)

    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_progress_is_reported_every_thousand_keys_and_at_the_end(
    tmp_path: Path,
) -> None:
    told: list[tuple[int, int]] = []

    generate(
        tmp_path / "governance.db",
        customers=10,
        teams=5,
        keys=45,
        progress=lambda done, total: told.append((done, total)),
    )

    assert told == [(1000, 2250), (2000, 2250), (2250, 2250)]


def test_both_lists_are_answered_from_it(
    make_app: Callable[..., Flask],
    path: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = create_api_key(tmp_path / "access.db", "tests")
    client = make_app(GOVERNANCE_DATABASE=str(path)).test_client()

    with caplog.at_level(logging.WARNING):
        teams, customers = (
            client.get(
                f"/api/governance/{name}", headers={"Authorization": f"Bearer {token}"}
            ).get_json()
            for name in ("teams", "customers")
        )

    assert (teams["count"], customers["count"]) == (120, 40)
    keys = sum(len(team["virtual_keys"]) for team in teams["teams"])
    keys += sum(len(each["virtual_keys"]) for each in customers["customers"])
    assert 0.9 * 600 < keys < 600
    assert caplog.messages == []
