"""Broken rows: the list still answers, a default stands in, one line in the log."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gateway import Gateway, in_all_layouts
from werkzeug.test import TestResponse

from fields import report_broken
from models import MODELS
from snapshot import entities
from web.access_log import set_up_logging

Get = Callable[..., TestResponse]
Entity = dict[str, Any]

ZERO_TIME = "0001-01-01T00:00:00Z"
TABLES = [model._meta.table_name for model in MODELS]


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The service's log messages but those of requests; nothing was reported before."""
    set_up_logging()
    report_broken.cache_clear()
    entities.dump_shared.cache_clear()
    logger = logging.getLogger("governance")
    logger.addHandler(caplog.handler)
    yield lambda: [
        record.getMessage() for record in caplog.records if record.name == "governance"
    ]
    logger.removeHandler(caplog.handler)
    report_broken.cache_clear()


def first_team(get: Get) -> Entity:
    return get("teams").json["teams"][0]


def first_key(get: Get) -> Entity:
    return first_team(get)["virtual_keys"][0]


def first_config(get: Get) -> Entity:
    return first_key(get)["provider_configs"][0]


def first_mcp_config(get: Get) -> Entity:
    return first_key(get)["mcp_configs"][0]


# In fill(): each table's row to break, and where the lists show it.
SHOWN: dict[str, tuple[Any, Callable[[Get], Entity]]] = {
    "governance_teams": ("acme-ops", first_team),
    "governance_customers": ("acme", lambda get: first_team(get)["customer"]),
    "governance_virtual_keys": ("key-ops", first_key),
    "governance_budgets": ("budget-ops", lambda get: first_team(get)["budget"]),
    "governance_rate_limits": (
        "limit-1",
        lambda get: first_team(get)["customer"]["rate_limit"],
    ),
    "governance_virtual_key_provider_configs": (1, first_config),
    "governance_virtual_key_mcp_configs": (1, first_mcp_config),
    "config_keys": (1, lambda get: first_config(get)["keys"][0]),
    "config_mcp_clients": (1, lambda get: first_mcp_config(get)["mcp_client"]),
}

LEFT_OUT = "left out"

# Table, column, what is stored, the key that shows it, what it shows.
BROKEN = [
    ("governance_teams", "profile", "{not json", "profile", {}),
    ("governance_teams", "profile", "[1]", "profile", {}),
    ("governance_teams", "config", "7", "config", {}),
    ("governance_teams", "claims", '{"a":1}trailing', "claims", {}),
    ("governance_teams", "claims", '{"a":NaN}', "claims", {}),
    ("governance_teams", "claims", '{"a":"\\ud800"}', "claims", {}),
    ("governance_teams", "claims", " ", "claims", {}),
    ("governance_teams", "created_at", "yesterday", "created_at", ZERO_TIME),
    ("governance_teams", "created_at", 10**12, "created_at", ZERO_TIME),
    ("governance_teams", "created_at", b"2026", "created_at", ZERO_TIME),
    (
        "governance_teams",
        "updated_at",
        "2026-02-30 00:00:00+00:00",
        "updated_at",
        ZERO_TIME,
    ),
    (
        "governance_teams",
        "updated_at",
        "0001-01-01 00:00:00+01:00",
        "updated_at",
        ZERO_TIME,
    ),
    ("governance_customers", "created_at", "soon", "created_at", ZERO_TIME),
    ("governance_customers", "calendar_aligned", "?", "calendar_aligned", False),
    ("governance_teams", "calendar_aligned", 2, "calendar_aligned", False),
    ("governance_virtual_keys", "is_active", "maybe", "is_active", True),
    ("governance_virtual_keys", "is_active", 2, "is_active", True),
    ("governance_virtual_keys", "is_active", b"\x01", "is_active", True),
    ("governance_virtual_keys", "created_at", "now", "created_at", ZERO_TIME),
    ("governance_virtual_keys", "calendar_aligned", "?", "calendar_aligned", False),
    ("governance_virtual_keys", "expires_at", "soon", "expires_at", LEFT_OUT),
    ("governance_budgets", "max_limit", "a lot", "max_limit", 0),
    ("governance_budgets", "max_limit", b"\xff", "max_limit", 0),
    ("governance_budgets", "current_usage", float("inf"), "current_usage", 0),
    ("governance_budgets", "last_reset", "never", "last_reset", ZERO_TIME),
    ("governance_rate_limits", "token_max_limit", "all", "token_max_limit", LEFT_OUT),
    ("governance_rate_limits", "token_current_usage", "?", "token_current_usage", 0),
    (
        "governance_rate_limits",
        "request_last_reset",
        "?",
        "request_last_reset",
        ZERO_TIME,
    ),
    ("governance_virtual_key_provider_configs", "weight", "heavy", "weight", None),
    (
        "governance_virtual_key_provider_configs",
        "allowed_models",
        "gpt-4o",
        "allowed_models",
        [],
    ),
    (
        "governance_virtual_key_provider_configs",
        "allowed_models",
        '{"gpt-4o":1}',
        "allowed_models",
        [],
    ),
    (
        "governance_virtual_key_provider_configs",
        "allowed_models",
        '["gpt-4o",5]',
        "allowed_models",
        [],
    ),
    (
        "governance_virtual_key_mcp_configs",
        "tools_to_execute",
        "*",
        "tools_to_execute",
        [],
    ),
    ("config_keys", "models_json", "{}", "models", []),
    ("config_keys", "weight", "heavy", "weight", None),
    ("config_keys", "enabled", "perhaps", "enabled", True),
    ("config_keys", "use_for_batch_api", "perhaps", "use_for_batch_api", False),
    ("config_mcp_clients", "headers_json", "[]", "headers", {}),
    ("config_mcp_clients", "headers_json", "X: y", "headers", {}),
    ("config_mcp_clients", "stdio_config_json", "[]", "stdio_config", LEFT_OUT),
    ("config_mcp_clients", "stdio_config_json", "npx", "stdio_config", LEFT_OUT),
    ("config_mcp_clients", "tool_pricing_json", "[1]", "tool_pricing", {}),
    ("config_mcp_clients", "tools_to_execute_json", "3", "tools_to_execute", []),
    (
        "config_mcp_clients",
        "tools_to_auto_execute_json",
        '[["a"]]',
        "tools_to_auto_execute",
        [],
    ),
    (
        "config_mcp_clients",
        "is_code_mode_client",
        "often",
        "is_code_mode_client",
        False,
    ),
]

broken = pytest.mark.parametrize(("table", "column", "stored", "key", "shown"), BROKEN)


def break_row(gateway: Gateway, table: str, column: str, stored: Any) -> None:
    row_id, _ = SHOWN[table]
    gateway.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", stored, row_id)


def change_something_else(gateway: Gateway) -> None:
    gateway.execute("UPDATE governance_teams SET name = name || '!' WHERE id = 'lone'")


@broken
def test_a_default_stands_in_for_a_broken_value_which_is_logged_once(
    filled: Gateway,
    get: Get,
    lines: Callable[[], list[str]],
    table: str,
    column: str,
    stored: Any,
    key: str,
    shown: Any,
) -> None:
    break_row(filled, table, column, stored)

    entity = SHOWN[table][1](get)
    customers = get("customers")
    change_something_else(filled)
    get("teams")

    assert entity.get(key, LEFT_OUT) == shown
    assert (customers.status_code, customers.json["count"]) == (200, 2)
    (line,) = lines()
    assert line.startswith(f"{table}, row {SHOWN[table][0]!r}: {column} ")


def test_a_secret_that_is_no_text_is_not_shown(filled: Gateway, get: Get) -> None:
    break_row(filled, "config_keys", "azure_endpoint", b"\xff")

    key = first_config(get)["keys"][0]

    assert key["azure_endpoint"] == {"value": "", "env_var": "", "from_env": False}


def test_a_broken_value_of_a_model_config_is_logged_once(
    filled: Gateway, get: Get, lines: Callable[[], list[str]]
) -> None:
    filled.model_config("m", "key-ops", calendar_aligned="often")
    for budget in ("first", "second"):
        filled.budget(budget, model_config_id="m")
    get("teams")
    change_something_else(filled)

    get("teams")

    assert lines() == [
        "governance_model_configs, row 'm': calendar_aligned is neither true nor false"
    ]


def test_a_row_that_many_teams_show_is_logged_once(
    filled: Gateway, get: Get, lines: Callable[[], list[str]]
) -> None:
    for number in range(5):
        filled.team(f"more-{number}", "acme")
    break_row(filled, "governance_rate_limits", "token_max_limit", "all")

    get("teams")

    assert len(lines()) == 1


def test_two_broken_rows_are_two_lines(
    filled: Gateway, get: Get, lines: Callable[[], list[str]]
) -> None:
    filled.execute("UPDATE governance_teams SET profile = '{' WHERE customer_id='acme'")

    get("teams")

    assert sorted(line.split(":")[0] for line in lines()) == [
        "governance_teams, row 'acme-dev'",
        "governance_teams, row 'acme-ops'",
    ]


def test_rows_that_are_well_are_not_logged(
    filled: Gateway, get: Get, lines: Callable[[], list[str]]
) -> None:
    get("teams")

    get("customers")

    assert lines() == []


@pytest.mark.parametrize(
    ("table", "column", "stored"),
    [
        ("governance_teams", "profile", '{"password": "hunter-three"'),
        ("config_mcp_clients", "headers_json", "Bearer hunter-three"),
        ("config_mcp_clients", "stdio_config_json", '["hunter-three"]'),
        ("governance_budgets", "max_limit", "hunter-three"),
        ("governance_teams", "created_at", "hunter-three"),
        ("governance_virtual_keys", "is_active", "hunter-three"),
    ],
)
def test_a_log_line_does_not_repeat_what_is_stored(
    filled: Gateway,
    get: Get,
    lines: Callable[[], list[str]],
    table: str,
    column: str,
    stored: str,
) -> None:
    break_row(filled, table, column, stored)

    get("teams")

    assert len(lines()) == 1
    assert "hunter-three" not in "".join(lines())


@pytest.mark.parametrize(
    "stored", ['{"command": 5}', '{"args": "-y"}', '{"envs": {"HOME": 1}}']
)
def test_a_wrong_member_of_a_json_column_is_logged_with_table_and_id(
    filled: Gateway, get: Get, lines: Callable[[], list[str]], stored: str
) -> None:
    break_row(filled, "config_mcp_clients", "stdio_config_json", stored)

    get("teams")

    (line,) = lines()
    assert line.startswith("config_mcp_clients, row 1: ")


@in_all_layouts
@pytest.mark.parametrize("table", SHOWN)
def test_null_in_every_column_but_the_id_is_unset_and_not_logged(
    filled: Gateway, get: Get, lines: Callable[[], list[str]], table: str
) -> None:
    with filled.writer() as connection:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    nulls = ", ".join(f'"{row[1]}" = NULL' for row in columns if row[1] != "id")
    filled.execute(f"UPDATE {table} SET {nulls}")

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert lines() == []


@pytest.mark.parametrize("depth", [100, *range(250, 257), 5000, 100_000])
def test_json_nested_deeply_does_not_break_the_list(
    filled: Gateway, get: Get, depth: int
) -> None:
    deep = '{"a":' + "[" * depth + "]" * depth + "}"
    break_row(filled, "governance_teams", "profile", deep)

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize(
    ("column", "around"),
    [
        ("tool_pricing_json", '{{"a":{}}}'),
        ("stdio_config_json", '{{"command":"npx","args":{}}}'),
        ("headers_json", '{{"a":{}}}'),
        ("tools_to_execute_json", "[{}]"),
    ],
)
@pytest.mark.parametrize("depth", [253, 5000])
def test_any_json_column_nested_deeply_does_not_break_the_list(
    filled: Gateway, get: Get, column: str, around: str, depth: int
) -> None:
    deep = around.format("[" * depth + "]" * depth)
    break_row(filled, "config_mcp_clients", column, deep)

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1" * 400, "18446744073709551616", "-0.0", "1E2"]
)
def test_a_number_that_json_cannot_hold_does_not_break_the_list(
    filled: Gateway, get: Get, number: str
) -> None:
    break_row(filled, "governance_teams", "claims", f'{{"n": {number}}}')

    answer = get("teams")

    assert (answer.status_code, answer.json["count"]) == (200, 4)


# Text columns of fill()'s rows, where the lists show them.
TEXTS = [
    ("governance_teams", "name", "name"),
    ("governance_teams", "config_hash", "config_hash"),
    ("governance_customers", "name", "name"),
    ("governance_virtual_keys", "description", "description"),
    ("governance_virtual_keys", "value", "value"),
    ("governance_budgets", "reset_duration", "reset_duration"),
    ("config_keys", "name", "name"),
    ("config_mcp_clients", "name", "name"),
    ("config_mcp_clients", "connection_string", "connection_string"),
]
texts = pytest.mark.parametrize(("table", "column", "key"), TEXTS)


@texts
def test_text_that_is_not_utf_8_has_replacement_characters(
    filled: Gateway, get: Get, table: str, column: str, key: str
) -> None:
    row_id, shown = SHOWN[table]
    filled.execute(
        f"UPDATE {table} SET {column} = CAST(x'61ff62' AS TEXT) WHERE id = ?", row_id
    )

    entity = shown(get)

    assert entity[key] == "a\ufffdb"


def test_text_that_is_not_utf_8_is_logged_once_with_table_and_id(
    filled: Gateway, get: Get, lines: Callable[[], list[str]]
) -> None:
    filled.execute(
        "UPDATE governance_teams SET name = CAST(x'61ff62' AS TEXT)"
        " WHERE id = 'acme-ops'"
    )
    get("teams")
    change_something_else(filled)

    get("teams")

    (line,) = lines()
    assert line.startswith("governance_teams, row 'acme-ops': name ")


@pytest.mark.parametrize("column", ["profile", "created_at", "is_active"])
def test_a_parsed_column_that_is_not_utf_8_gets_its_default(
    filled: Gateway, get: Get, column: str
) -> None:
    table = "governance_virtual_keys" if column == "is_active" else "governance_teams"
    default = {"profile": {}, "created_at": ZERO_TIME, "is_active": True}[column]
    filled.execute(f"UPDATE {table} SET {column} = CAST(x'ff' AS TEXT)")

    entity = SHOWN[table][1](get) if column != "created_at" else first_team(get)

    assert entity[column] == default


@texts
def test_a_blob_where_text_belongs_does_not_break_the_list(
    filled: Gateway, get: Get, table: str, column: str, key: str
) -> None:
    row_id, _ = SHOWN[table]
    filled.execute(f"UPDATE {table} SET {column} = x'61ff' WHERE id = ?", row_id)

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize(
    "table", ["governance_teams", "governance_customers", "governance_virtual_keys"]
)
def test_a_blob_for_an_id_does_not_break_the_list(
    filled: Gateway, get: Get, table: str
) -> None:
    filled.execute(f"UPDATE {table} SET id = x'6162' WHERE id = ?", SHOWN[table][0])

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_blob_for_a_name_does_not_break_the_search(
    filled: Gateway, get: Get, name: str
) -> None:
    filled.execute("UPDATE governance_teams SET name = x'61' WHERE id = 'acme-ops'")
    filled.execute("UPDATE governance_customers SET name = x'61' WHERE id = 'acme'")

    answer = get(name, search="zenith" if name == "customers" else "skunk")

    assert (answer.status_code, answer.json["count"]) == (200, 1)


def test_a_blob_for_a_value_without_a_hash_does_not_break_the_list(
    filled: Gateway, get: Get
) -> None:
    filled.execute(
        "UPDATE governance_virtual_keys SET value = x'61', value_hash = NULL"
        " WHERE id = 'key-ops'"
    )

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_blob_for_a_value_is_masked_like_text(filled: Gateway, get: Get) -> None:
    caller = "sk-bf-key-dev-0000-fake"
    filled.execute("UPDATE governance_virtual_keys SET is_active = 1")
    filled.execute(
        "UPDATE governance_virtual_keys SET value = CAST('0123456789' AS BLOB)"
        " WHERE id = 'key-ops'"
    )

    answer = get("teams", token=caller)

    assert answer.json["teams"][0]["virtual_keys"][0]["value"] == (
        "0123" + "*" * 24 + "6789"
    )


@pytest.mark.parametrize("table", ["governance_teams", "governance_budgets"])
def test_a_row_without_an_id_does_not_break_the_list(
    filled: Gateway, get: Get, table: str
) -> None:
    filled.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
    filled.execute("INSERT INTO loose DEFAULT VALUES")
    filled.execute(f"DROP TABLE {table}")
    filled.execute(f"ALTER TABLE loose RENAME TO {table}")

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_row_without_an_id_is_logged_once_with_its_table(
    filled: Gateway, get: Get, lines: Callable[[], list[str]]
) -> None:
    filled.execute("CREATE TABLE loose AS SELECT * FROM governance_teams")
    filled.execute("INSERT INTO loose DEFAULT VALUES")
    filled.execute("DROP TABLE governance_teams")
    filled.execute("ALTER TABLE loose RENAME TO governance_teams")
    get("teams")
    change_something_else(filled)

    get("teams")

    (line,) = lines()
    assert line.startswith("governance_teams")


def test_headers_of_any_kind_are_env_values_without_the_value(
    filled: Gateway, get: Get
) -> None:
    stored = {"a": 5, "b": None, "c": ["secret"], "d": {"env_var": 5}, "e": {"v": "s"}}
    break_row(filled, "config_mcp_clients", "headers_json", json.dumps(stored))

    client = first_mcp_config(get)["mcp_client"]

    nothing = {"value": "", "env_var": "", "from_env": False}
    assert client["headers"] == dict.fromkeys(stored, nothing)


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_table_is_an_empty_list(filled: Gateway, get: Get, table: str) -> None:
    filled.execute(f"DELETE FROM {table}")

    answers = [get(name) for name in ("teams", "customers")]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_repaired_row_is_in_the_next_answer(filled: Gateway, get: Get) -> None:
    break_row(filled, "governance_teams", "profile", "{")
    get("teams")
    break_row(filled, "governance_teams", "profile", '{"tier":"gold"}')

    team = first_team(get)

    assert team["profile"] == {"tier": "gold"}
