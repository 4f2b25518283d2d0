"""Checking rows: what is odd is found, each thing with its words and no secret."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway import T0, Gateway, in_all_layouts
from reading import rows_of

import models
from models import MODELS
from transfer.checking import Finding, check_rows, count
from transfer.loading import load_files
from values import ZERO_TIME

DEMO = Path(__file__).parents[2] / "data" / "demo.json"

BUDGETS = "governance_budgets"
MODEL_CONFIGS = "governance_model_configs"
CONFIGS = "governance_virtual_key_provider_configs"
KEYS = "governance_virtual_keys"
LIMITS = "governance_rate_limits"
MCP_CONFIGS = "governance_virtual_key_mcp_configs"
JOIN = "governance_virtual_key_provider_config_keys"

Change = Callable[[Gateway], None]


def complete(gateway: Gateway) -> None:
    """One of each thing, each referring to all it can, and nothing odd."""
    gateway.add(models.Provider, id=1, name="openai")
    gateway.provider_key(1, models_json=["gpt-4o"], weight=0.5)
    gateway.mcp_client(1, tools_to_execute_json=["*"], headers_json={"A": "env.A"})
    gateway.rate_limit(
        "r",
        **{"token_max_limit": 10, "token_reset_duration": "1h", "token_last_reset": T0},
        **{"request_max_limit": 10, "request_reset_duration": "1M"},
    )
    gateway.customer("c", rate_limit_id="r")
    gateway.team("t", "c", rate_limit_id="r", profile={"tier": "gold"})
    gateway.virtual_key("v", team_id="t", rate_limit_id="r", expires_at=T0)
    gateway.provider_config(1, "v", (1,), rate_limit_id="r", allowed_models=["m"])
    gateway.mcp_config(1, "v", 1, tools_to_execute=["*"])
    gateway.model_config("m", "v", "gpt-4o", "openai", rate_limit_id="r")
    owners = {"customer_id": "c", "team_id": "t", "virtual_key_id": "v"}
    for column, owner in {**owners, "provider_config_id": 1}.items():
        gateway.budget(f"b-{owner}", column, owner)


@pytest.fixture
def whole(tmp_path: Path, layout: Any) -> Gateway:
    """A database in which nothing is odd, in both layouts."""
    gateway = Gateway(tmp_path / "config.db", layout)
    complete(gateway)
    return gateway


@pytest.fixture
def own(tmp_path: Path) -> Gateway:
    """A database with the columns of both layouts in which nothing is odd."""
    gateway = Gateway(tmp_path / "own.db", "own")
    complete(gateway)
    for owner, (table, column) in {
        "c": ("governance_customers", "customer_id"),
        "t": ("governance_teams", "team_id"),
        "v": (KEYS, "virtual_key_id"),
        1: (CONFIGS, "provider_config_id"),
    }.items():
        gateway.execute(
            f"UPDATE {table} SET budget_id = ? WHERE id = ?", f"b-{owner}", owner
        )
        gateway.execute(
            f"UPDATE {BUDGETS} SET {column} = ? WHERE id = ?", owner, f"b-{owner}"
        )
    return gateway


def lines(gateway: Gateway) -> list[str]:
    """All findings in a database, as they are printed."""
    return [str(finding) for finding in check_rows(rows_of(gateway.path))]


@in_all_layouts
def test_nothing_is_found_where_nothing_is_odd(whole: Gateway) -> None:
    assert lines(whole) == []


def test_nothing_is_found_where_both_layouts_say_the_same(own: Gateway) -> None:
    assert lines(own) == []


def test_nothing_is_found_in_an_empty_database(gateway: Gateway) -> None:
    assert lines(gateway) == []


def test_a_finding_says_where_and_what() -> None:
    of_a_column = Finding("governance_teams", "t", "profile", "is not JSON")
    of_a_row = Finding("config_keys", 3, "", "belongs to nobody")

    assert str(of_a_column) == 'governance_teams "t": profile is not JSON'
    assert str(of_a_row) == "config_keys 3: belongs to nobody"


# Values of the wrong kind

ARRAY, OBJECT = "a JSON array of texts", "a JSON object"
JSON_COLUMNS = [
    ("governance_teams", '"t"', "profile", OBJECT),
    ("governance_teams", '"t"', "config", OBJECT),
    ("governance_teams", '"t"', "claims", OBJECT),
    (CONFIGS, "1", "allowed_models", ARRAY),
    (CONFIGS, "1", "blacklisted_models", ARRAY),
    (MCP_CONFIGS, "1", "tools_to_execute", ARRAY),
    ("config_keys", "1", "models_json", ARRAY),
    ("config_mcp_clients", "1", "stdio_config_json", OBJECT),
    ("config_mcp_clients", "1", "tls_config_json", OBJECT),
    ("config_mcp_clients", "1", "headers_json", OBJECT),
    ("config_mcp_clients", "1", "tools_to_execute_json", ARRAY),
    ("config_mcp_clients", "1", "tools_to_auto_execute_json", ARRAY),
    ("config_mcp_clients", "1", "tool_pricing_json", OBJECT),
    ("config_mcp_clients", "1", "allowed_extra_headers_json", ARRAY),
    ("config_mcp_clients", "1", "per_user_header_keys_json", ARRAY),
]
json_columns = pytest.mark.parametrize(("table", "row", "column", "kind"), JSON_COLUMNS)


@pytest.mark.parametrize(
    ("table", "row", "column", "stored"),
    [(*column[:3], "secret") for column in JSON_COLUMNS]
    + [(*JSON_COLUMNS[0][:3], stored) for stored in ("{", "[1,]", "{'a': 1}")],
)
def test_what_is_not_json_is_found(
    own: Gateway, table: str, row: str, column: str, stored: str
) -> None:
    own.execute(f"UPDATE {table} SET {column} = ?", stored)

    assert lines(own) == [f"{table} {row}: {column} is not JSON"]


@json_columns
def test_json_of_another_kind_is_found(
    own: Gateway, table: str, row: str, column: str, kind: str
) -> None:
    own.execute(f"UPDATE {table} SET {column} = '3'")

    words = kind.removesuffix(" of texts")
    assert lines(own) == [f"{table} {row}: {column} is not {words}"]


@pytest.mark.parametrize(
    ("table", "row", "column"), [c[:3] for c in JSON_COLUMNS if c[3] == ARRAY]
)
def test_an_array_of_other_than_texts_is_found(
    own: Gateway, table: str, row: str, column: str
) -> None:
    own.execute(f"UPDATE {table} SET {column} = '[1]'")

    assert lines(own) == [f"{table} {row}: {column} is not a JSON array of texts"]


def test_json_nested_too_deeply_is_found(own: Gateway) -> None:
    own.execute(
        "UPDATE governance_teams SET profile = ?", '{"a":' * 300 + "1" + "}" * 300
    )

    assert lines(own) == ['governance_teams "t": profile is nested too deeply']


def columns_of(*kinds: str) -> list[Any]:
    """(table, row id, column) for all columns of these kinds."""
    ids = {"governance_customers": '"c"', "governance_teams": '"t"', LIMITS: '"r"'}
    ids |= {KEYS: '"v"', BUDGETS: '"b-t"', MODEL_CONFIGS: '"m"'}
    return [
        (model._meta.table_name, ids.get(model._meta.table_name, "1"), column.name)
        for model in MODELS
        for column in model._meta.sorted_fields
        if column.field_type in kinds
        and not column.name.endswith("id")
        and model is not models.ProviderConfigKey
    ]


@pytest.mark.parametrize(("table", "row", "column"), columns_of("DATETIME"))
def test_what_is_no_timestamp_is_found(
    own: Gateway, table: str, row: str, column: str
) -> None:
    own.execute(f"UPDATE {table} SET {column} = 'yesterday'")

    assert f"{table} {row}: {column} is not a timestamp" in lines(own)


@pytest.mark.parametrize(
    ("stored", "words"),
    [("01.04.2026", "is not a timestamp"), (b"\x01", "is not text")],
)
def test_a_timestamp_in_another_form_is_found(
    own: Gateway, stored: Any, words: str
) -> None:
    own.execute("UPDATE governance_teams SET created_at = ?", stored)

    assert lines(own) == [f'governance_teams "t": created_at {words}']


@pytest.mark.parametrize("stored", ["2026-04-01", "2026-04-01T09:00Z", 1775034000])
def test_a_time_in_any_form_that_gateways_read_is_not_odd(
    own: Gateway, stored: str | int
) -> None:
    own.execute("UPDATE governance_teams SET created_at = ?", stored)

    assert lines(own) == []


@pytest.mark.parametrize(
    ("table", "row", "column", "stored"),
    [(*column, "yes") for column in columns_of("NUMERIC")]
    + [(KEYS, '"v"', "is_active", stored) for stored in (2, 0.5)],
)
def test_what_is_neither_true_nor_false_is_found(
    own: Gateway, table: str, row: str, column: str, stored: Any
) -> None:
    own.execute(f"UPDATE {table} SET {column} = ?", stored)

    assert f"{table} {row}: {column} is neither true nor false" in lines(own)


@pytest.mark.parametrize(("table", "row", "column"), columns_of("REAL", "INTEGER"))
def test_text_that_is_no_number_is_found(
    own: Gateway, table: str, row: str, column: str
) -> None:
    own.execute(f"UPDATE {table} SET {column} = 'many'")

    assert f"{table} {row}: {column} must be a number" in lines(own)


@pytest.mark.parametrize("column", ["name", "rate_limit_id", "config_hash"])
def test_bytes_in_place_of_text_are_found(own: Gateway, column: str) -> None:
    own.execute(f"UPDATE governance_teams SET {column} = ?", b"\x01")

    assert f'governance_teams "t": {column} is not text' in lines(own)


def test_true_and_false_as_words_are_not_odd(own: Gateway) -> None:
    own.execute(f"UPDATE {KEYS} SET is_active = 'true', calendar_aligned = 'f'")

    assert lines(own) == []


# What is missing, limits, durations, usage


@pytest.mark.parametrize("stored", [None, ""])
@pytest.mark.parametrize(
    ("table", "row", "column"),
    [
        ("governance_customers", '"c"', "name"),
        ("governance_teams", '"t"', "name"),
        (KEYS, '"v"', "name"),
        (KEYS, '"v"', "value"),
        (CONFIGS, "1", "provider"),
        ("config_keys", "1", "name"),
        ("config_mcp_clients", "1", "name"),
    ],
)
def test_what_is_missing_is_found(
    own: Gateway, table: str, row: str, column: str, stored: str | None
) -> None:
    own.execute(f"UPDATE {table} SET {column} = ?", stored)

    assert lines(own) == [f"{table} {row}: {column} is missing"]


NO_DURATION = (
    "is no duration; it takes Go's units (90s, 1h30m), d, w, M, Q, Y (1d), or"
    " daily, weekly, monthly, yearly"
)


@pytest.mark.parametrize(
    ("table", "row", "column", "stored", "words"),
    [
        (BUDGETS, '"b-t"', "max_limit", None, "is missing"),
        (BUDGETS, '"b-t"', "max_limit", -1, "must not be below zero"),
        (BUDGETS, '"b-t"', "current_usage", -1, "must not be below zero"),
        (BUDGETS, '"b-t"', "reset_duration", None, "is missing"),
        (BUDGETS, '"b-t"', "reset_duration", "", "is missing"),
        (BUDGETS, '"b-t"', "reset_duration", "1D", NO_DURATION),
        (BUDGETS, '"b-t"', "reset_duration", "0d", "must be above zero"),
        (LIMITS, '"r"', "token_max_limit", 0, "must be above zero"),
        (LIMITS, '"r"', "token_max_limit", 1.5, "must be a whole number"),
        (LIMITS, '"r"', "token_reset_duration", "1 day", NO_DURATION),
        (LIMITS, '"r"', "request_max_limit", -1, "must be above zero"),
        (LIMITS, '"r"', "request_reset_duration", "0h", "must be above zero"),
        (LIMITS, '"r"', "request_current_usage", -1, "must not be below zero"),
        (CONFIGS, "1", "weight", -0.5, "must not be below zero"),
        ("config_keys", "1", "weight", -0.5, "must not be below zero"),
    ],
)
def test_limits_and_durations_are_judged_as_when_loaded(
    own: Gateway, table: str, row: str, column: str, stored: Any, words: str
) -> None:
    where = "" if table != BUDGETS else "WHERE id = 'b-t'"
    own.execute(f"UPDATE {table} SET {column} = ? {where}", stored)

    assert f"{table} {row}: {column} {words}" in lines(own)


@pytest.mark.parametrize("half", ["token", "request"])
@pytest.mark.parametrize("stored", [None, ""])
def test_a_limit_without_a_duration_is_found(
    whole: Gateway, half: str, stored: str | None
) -> None:
    whole.execute(f"UPDATE {LIMITS} SET {half}_reset_duration = ?", stored)

    assert lines(whole) == [
        f'{LIMITS} "r": {half}_reset_duration is missing beside {half}_max_limit'
    ]


@pytest.mark.parametrize("half", ["token", "request"])
def test_a_rate_limit_of_one_half_is_not_odd(whole: Gateway, half: str) -> None:
    whole.execute(
        f"UPDATE {LIMITS} SET {half}_max_limit = NULL, {half}_reset_duration = NULL"
    )

    assert lines(whole) == []


@pytest.mark.parametrize(
    ("table", "row", "usage", "limit"),
    [
        (BUDGETS, '"b-t"', "current_usage", "max_limit"),
        (LIMITS, '"r"', "token_current_usage", "token_max_limit"),
        (LIMITS, '"r"', "request_current_usage", "request_max_limit"),
    ],
)
def test_usage_above_the_limit_is_found(
    whole: Gateway, table: str, row: str, usage: str, limit: str
) -> None:
    key = row.strip('"')
    whole.execute(f"UPDATE {table} SET {limit} = 10, {usage} = 10 WHERE id = ?", key)
    at_the_limit = lines(whole)

    whole.execute(f"UPDATE {table} SET {usage} = 12 WHERE id = ?", key)

    assert at_the_limit == []
    assert lines(whole) == [f"{table} {row}: {usage} is 12, above {limit}, 10"]


# References

LEADS_NOWHERE = [
    ("governance_teams", '"t"', "customer_id", 'customer "x"'),
    ("governance_customers", '"c"', "rate_limit_id", 'rate limit "x"'),
    ("governance_customers", '"c"', "budget_id", 'budget "x"'),
    ("governance_teams", '"t"', "rate_limit_id", 'rate limit "x"'),
    ("governance_teams", '"t"', "budget_id", 'budget "x"'),
    (KEYS, '"v"', "team_id", 'team "x"'),
    (KEYS, '"v"', "rate_limit_id", 'rate limit "x"'),
    (KEYS, '"v"', "budget_id", 'budget "x"'),
    (CONFIGS, "1", "virtual_key_id", 'virtual key "x"'),
    (CONFIGS, "1", "rate_limit_id", 'rate limit "x"'),
    (CONFIGS, "1", "budget_id", 'budget "x"'),
    (MCP_CONFIGS, "1", "virtual_key_id", 'virtual key "x"'),
    (MCP_CONFIGS, "1", "mcp_client_id", "MCP client 9"),
    ("config_keys", "1", "provider_id", "provider 9"),
    (MODEL_CONFIGS, '"m"', "rate_limit_id", 'rate limit "x"'),
    (MODEL_CONFIGS, '"m"', "budget_id", 'budget "x"'),
    ("config_providers", "1", "budget_id", 'budget "x"'),
    ("config_providers", "1", "rate_limit_id", 'rate limit "x"'),
]


@pytest.mark.parametrize(("table", "row", "column", "wanted"), LEADS_NOWHERE)
def test_a_reference_that_leads_nowhere_is_found(
    own: Gateway, table: str, row: str, column: str, wanted: str
) -> None:
    stored = 9 if wanted.endswith("9") else "x"
    own.execute(f"UPDATE {table} SET {column} = ?", stored)

    assert lines(own) == [f"{table} {row}: {column} names no {wanted}"]


@pytest.mark.parametrize(
    ("budget", "column", "wanted"),
    [
        ("b-c", "customer_id", 'customer "x"'),
        ("b-t", "team_id", 'team "x"'),
        ("b-v", "virtual_key_id", 'virtual key "x"'),
        ("b-1", "provider_config_id", "provider config 9"),
    ],
)
def test_a_budgets_owner_that_is_not_there_is_found(
    gateway: Gateway, budget: str, column: str, wanted: str
) -> None:
    complete(gateway)
    stored = 9 if wanted.endswith("9") else "x"

    gateway.execute(f"UPDATE {BUDGETS} SET {column} = ? WHERE id = ?", stored, budget)

    assert lines(gateway) == [f'{BUDGETS} "{budget}": {column} names no {wanted}']


def test_a_budgets_model_config_that_is_not_there_is_found(gateway: Gateway) -> None:
    gateway.budget("b-x", model_config_id="x")

    assert lines(gateway) == [
        f'{BUDGETS} "b-x": model_config_id names no model config "x"'
    ]


def test_a_virtual_keys_customer_that_is_not_there_is_found(whole: Gateway) -> None:
    whole.execute(f"UPDATE {KEYS} SET team_id = NULL, customer_id = 'x'")

    assert lines(whole) == [f'{KEYS} "v": customer_id names no customer "x"']


@pytest.mark.parametrize(
    ("column", "stored", "line"),
    [
        (
            "table_virtual_key_provider_config_id",
            9,
            f"{JOIN} 9: provider_config_id names no provider config 9",
        ),
        ("table_key_id", 9, f"{JOIN} 1: provider_key_id names no provider key 9"),
    ],
)
def test_an_attachment_that_leads_nowhere_is_found(
    whole: Gateway, column: str, stored: int, line: str
) -> None:
    whole.execute(f"UPDATE {JOIN} SET {column} = ?", stored)

    assert lines(whole) == [line]


def test_a_provider_config_of_no_provider_is_found(whole: Gateway) -> None:
    whole.execute(f"DELETE FROM {JOIN}")
    whole.execute(f"UPDATE {CONFIGS} SET provider = 'x'")

    assert lines(whole) == [f'{CONFIGS} 1: provider names no provider "x"']


def test_a_provider_that_an_answer_does_not_name_is_not_odd(whole: Gateway) -> None:
    whole.execute("UPDATE config_keys SET provider_id = 0, created_at = ?", ZERO_TIME)

    assert lines(whole) == []


def test_providers_are_not_asked_for_where_there_is_no_table_of_them(
    whole: Gateway,
) -> None:
    whole.execute("DROP TABLE config_providers")

    assert lines(whole) == []


def test_a_provider_config_with_a_key_of_another_provider_is_found(
    whole: Gateway,
) -> None:
    whole.add(models.Provider, id=2, name="azure")
    whole.provider_key(2, "azure", provider_id=2)

    whole.add(models.ProviderConfigKey, provider_config_id=1, provider_key_id=2)

    assert lines(whole) == [
        f'{CONFIGS} 1: provider is "openai", but its key "key-2" is of "azure"'
    ]


# Doubles


def second_team(gateway: Gateway) -> None:
    gateway.team("u", "c", name="Team t")


def second_lone_team(gateway: Gateway) -> None:
    gateway.team("u", None, name="Lone")
    gateway.team("w", "", name="Lone")


def second_customer(gateway: Gateway) -> None:
    gateway.customer("d", name="Customer c")


def second_name(gateway: Gateway) -> None:
    gateway.execute(f"DROP INDEX idx_{KEYS}_name")
    gateway.virtual_key("w", name="Key v")


def second_value(gateway: Gateway) -> None:
    gateway.execute(f"DROP INDEX idx_{KEYS}_value")
    gateway.virtual_key("w", value="sk-bf-v-0000-fake", value_hash=None)


def second_hash(gateway: Gateway) -> None:
    hashed = hashlib.sha256(b"sk-bf-v-0000-fake").hexdigest()
    encrypted = {"encryption_status": "encrypted", "value": "ciphertext"}
    gateway.virtual_key("w", value_hash=hashed, **encrypted)


def second_provider_key(gateway: Gateway) -> None:
    gateway.execute("DROP INDEX idx_config_keys_name")
    gateway.provider_key(2, name="key-1")


def second_mcp_client(gateway: Gateway) -> None:
    gateway.execute("DROP INDEX idx_config_mcp_clients_client_id")
    gateway.mcp_client(2, client_id="client-1")


def second_provider_config(gateway: Gateway) -> None:
    gateway.provider_config(2, "v")


def second_model_config(gateway: Gateway) -> None:
    gateway.model_config("n", "v", "gpt-4o", "openai")


def second_mcp_config(gateway: Gateway) -> None:
    gateway.mcp_config(2, "v", 1)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (second_team, 'governance_teams "u": name is that of "t" too'),
        (second_lone_team, 'governance_teams "w": name is that of "u" too'),
        (second_customer, 'governance_customers "d": name is that of "c" too'),
        (second_name, f'{KEYS} "w": name is that of "v" too'),
        (second_value, f'{KEYS} "w": value is that of "v" too'),
        (second_hash, f'{KEYS} "w": value_hash is that of "v" too'),
        (second_provider_key, "config_keys 2: name is that of 1 too"),
        (second_mcp_client, "config_mcp_clients 2: client_id is that of 1 too"),
        (second_provider_config, f"{CONFIGS} 2: provider is that of 1 too"),
        (second_model_config, f'{MODEL_CONFIGS} "n": model_name is that of "m" too'),
        (second_mcp_config, f"{MCP_CONFIGS} 2: mcp_client_id is that of 1 too"),
    ],
)
def test_what_is_there_twice_is_found(
    whole: Gateway, change: Change, line: str
) -> None:
    change(whole)

    assert lines(whole) == [line]


def test_teams_of_different_customers_may_have_one_name(whole: Gateway) -> None:
    whole.customer("d")

    whole.team("u", "d", name="Team t")

    assert lines(whole) == []


def test_different_virtual_keys_may_use_the_same_providers(whole: Gateway) -> None:
    whole.virtual_key("w", team_id="t")

    whole.provider_config(2, "w", (1,))
    whole.mcp_config(2, "w", 1)

    assert lines(whole) == []


# Owners and hashes


def test_a_budget_of_nobody_is_found(whole: Gateway) -> None:
    whole.budget("b-x")

    none = "belongs to no customer, team, virtual key, provider or model config"
    assert lines(whole) == [f'{BUDGETS} "b-x": {none}']


def test_a_budget_of_a_model_config_has_its_owner(gateway: Gateway) -> None:
    gateway.model_config("m", scope="global", scope_id=None)
    gateway.budget("b-x", "model_config_id", "m")

    assert lines(gateway) == []


def test_a_budget_of_a_provider_has_its_owner(whole: Gateway) -> None:
    whole.budget("b-x")
    whole.execute("UPDATE config_providers SET budget_id = 'b-x'")

    assert lines(whole) == []


def test_a_model_config_of_no_virtual_key_is_found(own: Gateway) -> None:
    own.execute(f"UPDATE {MODEL_CONFIGS} SET scope_id = 'x'")

    assert lines(own) == [f'{MODEL_CONFIGS} "m": scope_id names no virtual key "x"']


def test_a_model_config_of_another_scope_may_name_anything(own: Gateway) -> None:
    own.execute(f"UPDATE {MODEL_CONFIGS} SET scope = 'user', scope_id = 'x'")

    assert lines(own) == []


@pytest.mark.parametrize("stored", [None, ""])
def test_a_model_config_without_its_model_is_found(
    own: Gateway, stored: str | None
) -> None:
    own.execute(f"UPDATE {MODEL_CONFIGS} SET model_name = ?", stored)

    assert lines(own) == [f'{MODEL_CONFIGS} "m": model_name is missing']


def test_a_budget_of_two_owners_is_found(gateway: Gateway) -> None:
    complete(gateway)

    gateway.execute(f"UPDATE {BUDGETS} SET customer_id = 'c' WHERE id = 'b-t'")

    assert lines(gateway) == [f'{BUDGETS} "b-t": belongs to team "t", customer "c"']


@pytest.mark.parametrize("layout", ["april"])
def test_a_budget_that_several_name_is_found(whole: Gateway) -> None:
    whole.team("u", "c", budget_id="b-t")

    assert lines(whole) == [
        f'{BUDGETS} "b-t": is shared through budget_id by team "t", team "u"'
    ]


def test_a_budget_that_another_than_its_owner_names_is_found(own: Gateway) -> None:
    own.team("u", "c", budget_id="b-t")

    assert lines(own) == [
        f'{BUDGETS} "b-t": is shared through budget_id by team "t", team "u"'
    ]


@pytest.mark.parametrize("layout", ["april"])
def test_of_many_that_share_a_budget_only_some_are_named(whole: Gateway) -> None:
    for number in range(9):
        whole.team(f"t-{number}", "c", budget_id="b-t")

    (line,) = lines(whole)

    assert line.endswith('by team "t", team "t-0", team "t-1" and 7 more')


def test_a_virtual_key_of_two_owners_is_found(whole: Gateway) -> None:
    whole.execute(f"UPDATE {KEYS} SET customer_id = 'c'")

    assert lines(whole) == [f'{KEYS} "v": customer_id is set beside team_id']


def test_a_hash_of_another_value_is_found(whole: Gateway) -> None:
    whole.execute(f"UPDATE {KEYS} SET value = 'sk-bf-other'")

    assert lines(whole) == [f'{KEYS} "v": value_hash is not the SHA-256 of the value']


def test_a_value_without_a_hash_is_not_odd(whole: Gateway) -> None:
    whole.execute(f"UPDATE {KEYS} SET value_hash = NULL")

    assert lines(whole) == []


def test_encrypted_rows_are_not_odd(whole: Gateway) -> None:
    whole.execute(f"UPDATE {KEYS} SET value = 'Y2lwaGVy'")
    whole.execute("UPDATE config_mcp_clients SET headers_json = 'Y2lwaGVy'")
    for table in (KEYS, "config_mcp_clients", "config_keys"):
        whole.execute(f"UPDATE {table} SET encryption_status = 'encrypted'")

    assert lines(whole) == []


# All at once


def test_findings_come_by_table_and_row(whole: Gateway) -> None:
    for number in (10, 9):
        whole.provider_config(number, "v", provider=f"p-{number}")
    whole.execute("UPDATE governance_teams SET config = '{', profile = '{'")
    whole.execute("UPDATE governance_customers SET created_at = 'x'")

    found = lines(whole)

    assert [line.split(":")[0] for line in found] == [
        'governance_customers "c"',
        'governance_teams "t"',
        'governance_teams "t"',
        f"{CONFIGS} 9",
        f"{CONFIGS} 10",
    ]


def test_no_finding_shows_a_secret(own: Gateway) -> None:
    for table, column in (
        (KEYS, "value"),
        (KEYS, "value_hash"),
        ("config_keys", "value"),
        ("config_keys", "models_json"),
        ("config_keys", "azure_client_secret"),
        ("config_mcp_clients", "connection_string"),
        ("config_mcp_clients", "headers_json"),
        ("config_mcp_clients", "stdio_config_json"),
    ):
        own.execute(f"UPDATE {table} SET {column} = 'SECRET'")
    own.virtual_key("w", value="SECRET-2", value_hash="SECRET")

    found = lines(own)

    assert len(found) == 6
    assert "SECRET" not in "".join(found)


def test_things_are_counted_by_their_names(whole: Gateway) -> None:
    whole.team("u")

    counts = count(rows_of(whole.path))

    names = ["customers", "virtual_keys", "rate_limits", "provider_configs"]
    names += [
        "model_configs",
        "mcp_configs",
        "provider_keys",
        "mcp_clients",
        "providers",
    ]
    assert counts == dict.fromkeys(names, 1) | {"teams": 2, "budgets": 4}


def test_in_the_demo_only_usage_is_above_its_limit(tmp_path: Path) -> None:
    load_files([DEMO], tmp_path / "own.db")

    findings = check_rows(rows_of(tmp_path / "own.db"))

    assert {finding.column for finding in findings} == {
        "current_usage",
        "token_current_usage",
    }
