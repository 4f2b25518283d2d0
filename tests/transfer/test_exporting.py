"""Exports: a config.json that loads back as it was, and holds no secret unasked."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from exported import taken_back
from gateway import (
    LAYOUTS,
    T0,
    T1,
    T2,
    T3,
    Gateway,
    Layout,
    add_model_configs,
    columns,
    in_all_layouts,
)
from reading import answers, rows_of

import models
from models import MODELS, column_names
from transfer.config_schemas import stored_fields
from transfer.export_notes import left_out, named_twice, passed_over
from transfer.exporting import ExportError, export_config, write_config
from transfer.loading import load_files

DEMO = Path(__file__).parents[2] / "data" / "demo.json"
CAPTURES = os.environ.get("GATEWAY_CAPTURES", "")

Change = Callable[[Gateway], None]


@pytest.fixture(params=["older", "newer"])
def into(request: pytest.FixtureRequest) -> Any:
    """Both layouts of the file, one after the other."""
    return request.param


@pytest.fixture
def older(tmp_path: Path) -> Gateway:
    """An empty database of an older gateway."""
    return Gateway(tmp_path / "april.db", "april")


def config_of(gateway: Gateway, layout: Any = "newer", **how: Any) -> dict[str, Any]:
    return export_config(rows_of(gateway.path), layout=layout, **how)


def refused(gateway: Gateway, layout: Any = "older") -> list[str]:
    with pytest.raises(ExportError) as wrong:
        config_of(gateway, layout)
    return wrong.value.problems


def complete(gateway: Gateway) -> None:
    """One of each thing, each referring to all it can."""
    gateway.add(models.Provider, id=1, name="openai")
    gateway.provider_key(1, models_json=["gpt-4o"], weight=0.5)
    gateway.mcp_client(1, tools_to_execute_json=["*"])
    durations = {"token_reset_duration": "1h", "request_reset_duration": "1h"}
    gateway.rate_limit("r", token_max_limit=10, **durations)
    gateway.rate_limit("s", request_max_limit=10, **durations)
    gateway.customer("c", rate_limit_id="r")
    gateway.customer("d", created_at=T1)
    gateway.team("t", "c", rate_limit_id="r")
    gateway.virtual_key("v", team_id="t", rate_limit_id="r")
    gateway.provider_config(1, "v", (1,), rate_limit_id="r")
    gateway.mcp_config(1, "v", 1)
    gateway.budget("b-c", "customer_id", "c")
    gateway.budget("b-t", "team_id", "t")
    gateway.budget("b-v", "virtual_key_id", "v")
    gateway.budget("b-1", "provider_config_id", 1)
    gateway.budget("b-loose")
    gateway.budget("b-m", model_config_id="m")
    older = {} if gateway.layout == "july" else {"budget_id": "b-m"}
    scope = {"scope": "global", "scope_id": None, **older}
    gateway.model_config("m", model_name="o3", provider="openai", **scope)


# There and back


def with_providers(gateway: Gateway) -> None:
    """Insert what fill() leaves out: the providers that its keys belong to."""
    gateway.add(models.Provider, id=1, name="openai")
    gateway.add(models.Provider, id=2, name="azure")
    gateway.execute("UPDATE config_keys SET provider_id = 2 WHERE id = 2")


@in_all_layouts
def test_a_little_of_everything_comes_back(filled: Gateway, into: str) -> None:
    with_providers(filled)

    back = taken_back(filled.path, into)

    assert answers(back) == answers(filled.path)


def test_the_demo_comes_back(tmp_path: Path) -> None:
    load_files([DEMO], tmp_path / "demo.db")

    back = taken_back(tmp_path / "demo.db", "newer")

    assert answers(back) == answers(tmp_path / "demo.db")


def test_a_real_gateways_database_comes_back(tmp_path: Path, into: str) -> None:
    if not CAPTURES:
        pytest.skip("GATEWAY_CAPTURES names no captures of a real gateway")
    shutil.copy(Path(CAPTURES) / "config.db", tmp_path)

    back = taken_back(tmp_path / "config.db", into)

    assert answers(back) == answers(tmp_path / "config.db")


def test_an_export_of_what_came_back_is_the_same(filled: Gateway, into: Any) -> None:
    with_providers(filled)
    back = taken_back(filled.path, into)

    again = taken_back(back, into)

    exports = [
        export_config(rows_of(path), layout=into, with_secrets=True)
        for path in (back, again)
    ]
    assert exports[0] == exports[1]


def test_an_empty_database_comes_back(gateway: Gateway, into: str) -> None:
    back = taken_back(gateway.path, into)

    assert answers(back) == answers(gateway.path)


# Every field

HASH = "ab" * 32
GOVERNING = (*MODELS[:5], models.ModelConfig)
FIELDS: list[tuple[Any, str, Any]] = [
    *((models.Customer, "name", text) for text in ("Ω & <b>", 'say "hi"\n')),
    (models.Customer, "rate_limit_id", "s"),
    (models.Customer, "rate_limit_id", None),
    (models.Team, "name", "ML 分析"),
    (models.Team, "customer_id", "d"),
    (models.Team, "customer_id", None),
    (models.Team, "rate_limit_id", "s"),
    (models.Team, "source_id", "scim-1"),
    (models.Team, "profile", '{"tier":"gold","n":9007199254740993}'),
    (models.Team, "config", '{"alerts":{"at":[0.5,0.9]}}'),
    (models.Team, "claims", '{"groups":["eng",null]}'),
    (models.VirtualKey, "name", "schlüssel"),
    (models.VirtualKey, "description", "für Analyse 🔑"),
    (models.VirtualKey, "is_active", 0),
    (models.VirtualKey, "is_active", None),
    (models.VirtualKey, "rate_limit_id", "s"),
    (models.VirtualKey, "rate_limit_id", None),
    (models.VirtualKey, "created_by_user_id", "user"),
    (models.VirtualKey, "expires_at", T3),
    (models.Budget, "max_limit", 0.001),
    (models.Budget, "max_limit", 1000.0),
    (models.Budget, "reset_duration", "1h30m"),
    (models.Budget, "last_reset", T3),
    (models.Budget, "last_reset", None),
    (models.Budget, "current_usage", 39.458683),
    (models.Budget, "current_usage", None),
    (models.Budget, "calendar_aligned", 1),
    *(
        (models.RateLimit, f"{half}_{name}", value)
        for half in ("token", "request")
        for name, value in (
            *(("max_limit", 2**53 + 1), ("reset_duration", "1M")),
            *(("current_usage", 2**53 + 1), ("last_reset", T3), ("last_reset", None)),
        )
    ),
    (models.ProviderConfig, "weight", 0.25),
    (models.ProviderConfig, "weight", None),
    (models.ProviderConfig, "allowed_models", '["gpt-4o","o3"]'),
    (models.ProviderConfig, "blacklisted_models", '["o3"]'),
    (models.ProviderConfig, "rate_limit_id", "s"),
    (models.Provider, "budget_id", "b-loose"),
    (models.Provider, "rate_limit_id", "s"),
    (models.ModelConfig, "model_name", "*"),
    (models.ModelConfig, "provider", None),
    (models.ModelConfig, "scope", None),
    (models.ModelConfig, "scope_id", "v"),
    (models.ModelConfig, "rate_limit_id", "s"),
    (models.ModelConfig, "calendar_aligned", 1),
    (models.McpConfig, "tools_to_execute", '["search"]'),
    (models.ProviderKey, "name", "main"),
    (models.ProviderKey, "key_id", "11111111-0000-4000-8000-000000000001"),
    (models.ProviderKey, "value", "env.MAIN"),
    (models.ProviderKey, "models_json", '["gpt-4o","o3"]'),
    (models.ProviderKey, "weight", 0.25),
    (models.ProviderKey, "weight", None),
    (models.ProviderKey, "enabled", 0),
    (models.ProviderKey, "enabled", None),
    (models.ProviderKey, "use_for_batch_api", 1),
    *(
        (models.ProviderKey, column, f"env.{column}")
        for column in column_names(models.ProviderKey)
        if column.startswith(("azure_", "vertex_", "bedrock_"))
    ),
    (models.McpClient, "client_id", "uuid"),
    (models.McpClient, "name", "weather"),
    (models.McpClient, "is_code_mode_client", 1),
    (models.McpClient, "connection_type", "sse"),
    (models.McpClient, "connection_string", "env.URL"),
    (models.McpClient, "connection_string", "https://***@h/mcp?key=***"),
    (models.McpClient, "stdio_config_json", '{"command":"run","args":["-v"]}'),
    (models.McpClient, "stdio_config_json", "{}"),
    (models.McpClient, "tls_config_json", '{"insecure_skip_verify":true}'),
    (models.McpClient, "tls_config_json", "{}"),
    (models.McpClient, "auth_type", "per_user_oauth"),
    (models.McpClient, "allowed_extra_headers_json", '["X-User"]'),
    (models.McpClient, "oauth_config_id", "oauth"),
    (models.McpClient, "headers_json", '{"X-Env":"env.MCP"}'),
    (models.McpClient, "tools_to_execute_json", '["search"]'),
    (models.McpClient, "tools_to_auto_execute_json", '["search"]'),
    (models.McpClient, "tool_pricing_json", '{"search":0.01}'),
    (models.McpClient, "allow_on_all_virtual_keys", 1),
    (models.McpClient, "per_user_header_keys_json", '["X-User"]'),
    (models.McpClient, "disabled", 1),
]
FIELDS += [
    (model, column, value)
    for model in (*GOVERNING, models.ProviderKey, models.McpClient)
    for column in column_names(model)
    for value in (T3, None)
    if column in ("created_at", "updated_at")
]
FIELDS += [(m, "config_hash", HASH) for m in (*GOVERNING, models.ProviderKey)]


KEPT_BY: dict[str, Layout] = {"older": "april", "newer": "july"}


def known(model: Any, column: str, layout: Any) -> bool:
    layout = KEPT_BY.get(layout, layout)
    return column in {each.name for each in columns(model, layout)}


def stored(path: Path, model: Any, column: str) -> list[Any]:
    """A column as it reads, where anything is stored."""
    field = stored_fields(model).get(column)
    read = field.read if field else str
    values = [getattr(row, column) for row in rows_of(path)[model]]
    return [value if value is None else read(value) for value in values]


def rounds() -> Iterator[tuple[Any, dict[str, Any]]]:
    """FIELDS by their model: the first values of its columns, the second ones, ….

    Those of a model config decide what it is, so that each is tried by itself.
    """
    for model in dict.fromkeys(field[0] for field in FIELDS):
        made: list[dict[str, Any]] = []
        for _, column, value in (field for field in FIELDS if field[0] is model):
            if model is models.ModelConfig:
                free = None
            else:
                free = next((row for row in made if column not in row), None)
            if free is None:
                made.append(free := {})
            free[column] = value
        yield from ((model, row) for row in made)


@in_all_layouts
@pytest.mark.parametrize(("model", "row"), [*rounds()])
def test_every_field_comes_back(
    tmp_path: Path, model: Any, row: dict[str, Any], layout: Any, into: str
) -> None:
    gateway = Gateway(tmp_path / "config.db", layout)
    complete(gateway)
    row = {
        column: value
        for column, value in row.items()
        if known(model, column, layout)
        and (known(model, column, into) or column == "calendar_aligned")
    }
    for column, value in row.items():
        gateway.execute(f"UPDATE {model._meta.table_name} SET {column} = ?", value)

    back = taken_back(gateway.path, into)

    assert answers(back) == answers(gateway.path)
    for column in row.keys() - {"calendar_aligned"}:
        if row[column] is not None:
            assert stored(back, model, column) == stored(gateway.path, model, column)


@pytest.mark.parametrize("source", LAYOUTS)
def test_the_layout_of_the_file_changes_no_answer(tmp_path: Path, source: Any) -> None:
    gateway = Gateway(tmp_path / "config.db", source)
    complete(gateway)

    both = [answers(taken_back(gateway.path, layout)) for layout in ("older", "newer")]

    assert both[0] == both[1]


def out_of_order(gateway: Gateway) -> None:
    """Numbers with gaps, in another order than everything else."""
    gateway.add(models.Provider, id=7, name="openai")
    gateway.add(models.Provider, id=5, name="azure")
    gateway.provider_key(31, provider_id=7)
    gateway.provider_key(30, "azure", provider_id=5)
    gateway.provider_key(29, provider_id=7)
    gateway.mcp_client(12)
    gateway.mcp_client(11)
    gateway.team("t")
    gateway.virtual_key("v", team_id="t", created_at=T1)
    gateway.virtual_key("w", team_id="t", created_at=T2)
    gateway.provider_config(42, "v", (31, 29))
    gateway.provider_config(41, "w", (30,), provider="azure")
    gateway.mcp_config(52, "v", 12)
    gateway.mcp_config(51, "w", 11)
    gateway.budget("b", "provider_config_id", 42)


def test_numbers_come_back(tmp_path: Path, layout: Any, into: str) -> None:
    gateway = Gateway(tmp_path / "config.db", layout)
    out_of_order(gateway)

    back = taken_back(gateway.path, into)

    assert answers(back) == answers(gateway.path)


def test_a_budget_named_before_an_earlier_one_comes_back(tmp_path: Path) -> None:
    own = Gateway(tmp_path / "own.db", "own")
    own.team("t", budget_id="b-2")
    for name, created_at in (("b-1", T1), ("b-2", T2)):
        own.budget(name, created_at=created_at)
    own.execute("UPDATE governance_budgets SET team_id = 't'")

    back = taken_back(own.path, "newer")

    assert answers(back)["teams"][0]["budget"]["id"] == "b-2"
    assert answers(back) == answers(own.path)


# Model configs


def with_model_configs(gateway: Gateway) -> None:
    with_providers(gateway)
    add_model_configs(gateway)
    gateway.execute("DELETE FROM governance_budgets WHERE id = 'b-two'")
    gateway.execute("DELETE FROM governance_model_configs WHERE scope = 'user'")
    gateway.execute("DELETE FROM governance_budgets WHERE id = 'b-user'")


def test_model_configs_come_back(filled: Gateway, into: str) -> None:
    with_model_configs(filled)

    back = taken_back(filled.path, into)

    assert answers(back) == answers(filled.path)
    assert len(rows_of(back)[models.ModelConfig]) == 9


def test_a_model_config_lists_its_budgets_which_name_no_owner(
    filled: Gateway, into: str
) -> None:
    # A gateway makes the budgets first, and lets none name what is not there yet.
    with_model_configs(filled)

    governance = config_of(filled, into)["governance"]

    listed = {row["id"]: row["budget_ids"] for row in governance["model_configs"]}
    assert listed["m-ops"] == ["b-ops", "b-ops-2"]
    assert listed["m-ops-again"] == []
    loose = {budget["id"]: budget for budget in governance["budgets"]}
    assert "model_config_id" not in json.dumps(loose)
    owners = {"team_id", "customer_id", "virtual_key_id", "provider_config_id"}
    assert owners.isdisjoint({*loose["b-ops"], *loose["b-ops-2"]})


def test_the_budget_that_a_model_config_of_april_names_is_listed(
    older: Gateway,
) -> None:
    complete(older)

    (row,) = config_of(older, "newer")["governance"]["model_configs"]

    assert row["budget_ids"] == ["b-m"]
    assert "budget_id" not in row


def test_what_a_model_config_of_july_names_itself_is_not_its_budget(
    gateway: Gateway,
) -> None:
    complete(gateway)
    gateway.model_config("n", "v", budget_id="b-loose")

    rows = config_of(gateway, "newer")["governance"]["model_configs"]

    assert [row["budget_ids"] for row in rows] == [["b-m"], []]


@pytest.mark.parametrize("configs", [0, 1], ids=["no model config", "a model config"])
def test_the_keys_of_a_provider_config_come_back(
    gateway: Gateway, into: str, configs: int
) -> None:
    gateway.add(models.Provider, id=1, name="openai")
    gateway.provider_key(1)
    gateway.team("t")
    cases = product((None, 0, 1), ((), (1,)))
    for number, (all_keys, keys) in enumerate(cases, start=1):
        gateway.virtual_key(f"v{number}", team_id="t")
        gateway.provider_config(number, f"v{number}", keys, allow_all_keys=all_keys)
    if configs:
        gateway.model_config("m", "v1")

    back = taken_back(gateway.path, into)

    assert answers(back) == answers(gateway.path)


def test_older_gateways_know_no_scopes(gateway: Gateway) -> None:
    complete(gateway)
    gateway.virtual_key("w")
    gateway.model_config("n", "w")
    for budget in ("b-n", "b-o"):
        gateway.budget(budget, model_config_id="n")

    assert passed_over(config_of(gateway, "older")) == [
        'model config "n": older gateways take it for all virtual keys',
        'model config "n": older gateways know the first of its budgets only',
    ]


def test_alignment_beside_a_model_config_comes_back(
    gateway: Gateway, into: str
) -> None:
    gateway.team("t")
    for key, config, has_budget in product((None, 0, 1), (None, 0, 1), (False, True)):
        id = f"{key} {config} {has_budget}"
        gateway.virtual_key(id, team_id="t", calendar_aligned=key)
        gateway.model_config(id, id, calendar_aligned=config)
        if has_budget:
            gateway.budget(id, model_config_id=id)

    back = taken_back(gateway.path, into)

    assert answers(back) == answers(gateway.path)


# Names that are there twice


def test_names_that_newer_gateways_take_only_once_are_named(gateway: Gateway) -> None:
    gateway.customer("c", name="Red")
    gateway.customer("d", name="Red")
    gateway.team("t", "c", name="Red", source_id="scim")
    gateway.team("u", "d", name="Blue", source_id="scim")
    gateway.team("v", "d", name="Blue")

    end = "; gateways since July refuse the file"
    assert named_twice(config_of(gateway, "newer")) == [
        f'customer "d": its name is that of "c" too{end}',
        f'team "v": its name is that of "u" too{end}',
        f'team "u": its source_id is that of "t" too{end}',
    ]


# What leads nowhere


@pytest.mark.parametrize(
    ("table", "column", "wanted"),
    [
        ("governance_teams", "customer_id", 'customer "gone"'),
        ("governance_customers", "rate_limit_id", 'rate limit "gone"'),
        ("governance_virtual_keys", "team_id", 'team "gone"'),
        ("governance_model_configs", "rate_limit_id", 'rate limit "gone"'),
    ],
)
def test_a_reference_that_leads_nowhere_stays_out(
    gateway: Gateway, into: str, table: str, column: str, wanted: str
) -> None:
    complete(gateway)
    gateway.execute(f"UPDATE {table} SET {column} = 'gone'")

    lines = left_out(rows_of(gateway.path))

    assert "gone" not in json.dumps(config_of(gateway, into))
    assert all(line.endswith(f"{column} names no {wanted}; left out") for line in lines)
    assert lines


def test_a_budget_whose_model_config_is_gone_goes_out_without_it(
    gateway: Gateway, into: str
) -> None:
    gateway.budget("b", model_config_id="gone")

    (budget,) = config_of(gateway, into)["governance"]["budgets"]

    assert budget["id"] == "b"
    assert "model_config_id" not in budget
    assert left_out(rows_of(gateway.path)) == [
        'governance_budgets "b": model_config_id names no model config "gone"; left out'
    ]


# Alignment


def aligned_in_the_older_way(gateway: Gateway) -> None:
    gateway.execute("UPDATE governance_budgets SET calendar_aligned = 1")


def aligned_at_a_provider_config(gateway: Gateway) -> None:
    gateway.execute(
        "UPDATE governance_budgets SET calendar_aligned = 1 WHERE id = 'b-1'"
    )


def aligned_in_the_newer_way(gateway: Gateway) -> None:
    for table in ("customers", "teams", "virtual_keys"):
        gateway.execute(f"UPDATE governance_{table} SET calendar_aligned = 1")
    gateway.execute("DELETE FROM governance_customers WHERE id = 'd'")


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("april", aligned_in_the_older_way),
        ("april", aligned_at_a_provider_config),
        ("july", aligned_in_the_newer_way),
    ],
)
def test_alignment_comes_back(
    tmp_path: Path, source: Any, change: Change, into: str
) -> None:
    gateway = Gateway(tmp_path / "config.db", source)
    complete(gateway)
    change(gateway)

    back = taken_back(gateway.path, into)

    assert '"calendar_aligned": true' in json.dumps(answers(back))
    assert answers(back) == answers(gateway.path)


def test_in_the_newer_layout_owners_are_aligned(older: Gateway) -> None:
    complete(older)
    aligned_in_the_older_way(older)

    governance = config_of(older, "newer")["governance"]

    assert governance["teams"][0]["calendar_aligned"] is True
    owned = [budget for budget in governance["budgets"] if budget["id"] != "b-loose"]
    assert "calendar_aligned" not in json.dumps(owned)


# What a layout cannot hold


def another_budget(column: str, owner: Any) -> Change:
    return lambda gateway: gateway.budget("b-x", column, owner)


def updated(table: str, column: str, value: Any) -> Change:
    return lambda gateway: gateway.execute(f"UPDATE {table} SET {column} = ?", value)


KEYS = "governance_virtual_keys"
CONFIGS = "governance_virtual_key_provider_configs"
CLIENTS = "config_mcp_clients"
NEWER_ONLY = [
    another_budget("customer_id", "c"),
    another_budget("team_id", "t"),
    another_budget("virtual_key_id", "v"),
    another_budget("provider_config_id", 1),
    updated(KEYS, "created_by_user_id", "u"),
    updated(KEYS, "expires_at", T0),
    updated(CONFIGS, "blacklisted_models", '["m"]'),
    updated(CLIENTS, "tls_config_json", "{}"),
    updated(CLIENTS, "allow_on_all_virtual_keys", 1),
    updated(CLIENTS, "per_user_header_keys_json", '["X"]'),
    updated(CLIENTS, "disabled", 1),
    another_budget("model_config_id", "m"),
    updated("governance_customers", "calendar_aligned", 1),
]


@pytest.mark.parametrize("change", NEWER_ONLY)
def test_what_only_newer_gateways_know_comes_back_from_the_older_layout(
    gateway: Gateway, change: Change
) -> None:
    complete(gateway)
    gateway.execute(f"UPDATE {CONFIGS} SET allow_all_keys = 0")
    change(gateway)

    back = taken_back(gateway.path, "older")

    assert answers(back) == answers(gateway.path)


@pytest.mark.parametrize(
    "change",
    [
        updated(KEYS, "created_by_user_id", ""),
        updated(KEYS, "expires_at", "0001-01-01 00:00:00+00:00"),
        updated(KEYS, "calendar_aligned", 0),
        updated(CONFIGS, "blacklisted_models", "[]"),
        updated(CONFIGS, "allow_all_keys", 0),
        updated(CLIENTS, "tls_config_json", None),
        updated(CLIENTS, "disabled", 0),
    ],
)
def test_what_holds_nothing_is_not_refused(gateway: Gateway, change: Change) -> None:
    complete(gateway)
    change(gateway)

    back = taken_back(gateway.path, "older")

    assert answers(back) == answers(gateway.path)


def test_the_whole_demo_comes_back_from_the_older_layout(tmp_path: Path) -> None:
    load_files([DEMO], tmp_path / "demo.db")

    back = taken_back(tmp_path / "demo.db", "older")

    assert len(answers(back)["teams"]) == 9
    assert answers(back) == answers(tmp_path / "demo.db")


def test_a_budget_of_two_owners_is_refused_in_the_newer_layout(older: Gateway) -> None:
    older.budget("b", "team_id", "t")
    older.team("t", budget_id="b")
    older.team("u", budget_id="b")

    lines = refused(older, "newer")

    assert lines == [
        'budget "b": the newer layout cannot hold more than one owner;'
        " --layout older can"
    ]


def test_the_older_layout_holds_a_budget_of_two_owners_once(older: Gateway) -> None:
    older.budget("b")
    older.team("t", budget_id="b")
    older.team("u", budget_id="b")

    governance = config_of(older, "older")["governance"]

    assert [budget["id"] for budget in governance["budgets"]] == ["b"]
    assert [team["budget_id"] for team in governance["teams"]] == ["b", "b"]


def test_a_budget_of_nobody_comes_back(older: Gateway, into: str) -> None:
    older.budget("b", max_limit=7.5)

    back = taken_back(older.path, into)

    assert stored(back, models.Budget, "max_limit") == [7.5]


# What gateways read


def test_the_older_layout_is_that_of_older_gateways(older: Gateway) -> None:
    complete(older)

    governance = config_of(older, "older")["governance"]

    (virtual_key,) = governance["virtual_keys"]
    (config,) = virtual_key["provider_configs"]
    assert governance["customers"][0]["budget_id"] == "b-c"
    assert governance["teams"][0]["budget_id"] == "b-t"
    assert virtual_key["budget_id"] == "b-v"
    assert (config["budget_id"], config["allowed_keys"]) == ("b-1", ["key-1"])
    assert {b["id"]: b.get("calendar_aligned") for b in governance["budgets"]} == (
        dict.fromkeys(("b-c", "b-t", "b-v", "b-1", "b-m"), False) | {"b-loose": None}
    )
    newer = {"key_ids", "allow_all_keys", "blacklisted_models", "budgets", "team_id"}
    assert newer.isdisjoint({*config, *governance["budgets"][1]})


def test_the_newer_layout_is_that_of_newer_gateways(older: Gateway) -> None:
    complete(older)

    governance = config_of(older, "newer")["governance"]

    (virtual_key,) = governance["virtual_keys"]
    (config,) = virtual_key["provider_configs"]
    by_id = {budget["id"]: budget for budget in governance["budgets"]}
    assert sorted(by_id) == ["b-c", "b-loose", "b-m", "b-t", "b-v"]
    assert by_id["b-c"]["customer_id"] == "c"
    assert by_id["b-t"]["team_id"] == "t"
    assert by_id["b-v"]["virtual_key_id"] == "v"
    assert [budget["id"] for budget in config["budgets"]] == ["b-1"]
    assert (config["key_ids"], config["allow_all_keys"]) == (["uuid-1"], False)
    assert virtual_key["calendar_aligned"] is False
    assert '"budget_id"' not in json.dumps(governance)


def test_in_the_newer_layout_a_star_allows_all_keys(older: Gateway) -> None:
    older.virtual_key("v")
    older.provider_config(1, "v")

    (virtual_key,) = config_of(older, "newer")["governance"]["virtual_keys"]

    assert virtual_key["provider_configs"][0]["key_ids"] == ["*"]


def test_no_id_is_a_number(gateway: Gateway, into: str) -> None:
    # Gateways take a number there as a row of theirs, or refuse the whole file.
    complete(gateway)
    gateway.execute(f"UPDATE {CONFIGS} SET allow_all_keys = 0")

    text = json.dumps(config_of(gateway, into))

    assert '"number": 1' in text
    assert all(isinstance(each, str) for each in named_ids(json.loads(text)))


def named_ids(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [each for member in value for each in named_ids(member)]
    if not isinstance(value, dict):
        return []
    inner = [each for member in value.values() for each in named_ids(member)]
    return [*inner, *(value[name] for name in value if name.endswith("id"))]


def test_times_are_rfc_3339(filled: Gateway) -> None:
    config = config_of(filled)

    created = {team["id"]: team["created_at"] for team in config["governance"]["teams"]}

    assert created["acme-dev"] == "2026-04-01T10:00:00.000000001Z"
    assert created["lone"] == "2026-04-02T09:30:00.175193779Z"


def test_providers_without_keys_and_keys_without_a_name_of_theirs(
    older: Gateway,
) -> None:
    older.add(models.Provider, id=1, name="openai")
    older.add(models.Provider, id=2, name="azure")
    older.provider_key(1, provider=None, provider_id=1)

    providers = config_of(older)["providers"]

    assert [key["name"] for key in providers["openai"]["keys"]] == ["key-1"]
    assert providers["azure"]["keys"] == []


def test_a_provider_key_has_the_names_that_gateways_read(
    gateway: Gateway, into: str
) -> None:
    gateway.provider_key(1, weight=None)
    gateway.provider_key(2, value=None, azure_endpoint="env.AZURE", weight=0.5)

    one, two = config_of(gateway, into)["providers"]["openai"]["keys"]

    assert (one["id"], one["value"], one["weight"]) == ("uuid-1", "env.KEY_1", None)
    assert "value" not in two
    assert two["azure_key_config"] == {"endpoint": "env.AZURE"}
    assert [name for name in (*one, *two) if name.endswith("_key_config")] == [
        "azure_key_config"
    ]
    assert {"key_id", "provider", "provider_id"}.isdisjoint({*one, *two})


# Broken rows


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("governance_teams", "profile"),
        ("governance_teams", "created_at"),
        (KEYS, "is_active"),
        (CONFIGS, "weight"),
        (CONFIGS, "allowed_models"),
        (CLIENTS, "headers_json"),
        (CLIENTS, "tool_pricing_json"),
    ],
)
def test_what_cannot_be_read_comes_back_as_it_is_answered(
    gateway: Gateway, table: str, column: str
) -> None:
    complete(gateway)
    gateway.execute(f"UPDATE {table} SET {column} = 'broken'")

    back = taken_back(gateway.path, "newer")

    assert answers(back) == answers(gateway.path)


def test_an_expiry_that_cannot_be_read_stays_passed(gateway: Gateway) -> None:
    gateway.virtual_key("v", expires_at="soon")

    (virtual_key,) = config_of(gateway)["governance"]["virtual_keys"]

    assert virtual_key["expires_at"] == "1970-01-01T00:00:00Z"


# Secrets


def secretive(gateway: Gateway) -> None:
    """Secrets wherever there may be one; the virtual key's is another word."""
    names = column_names(models.ProviderKey)
    secrets = [n for n in names if n.startswith(("azure_", "vertex_", "bedrock_"))]
    gateway.provider_key(1, value="SECRET-0", **dict.fromkeys(secrets, "SECRET-1"))
    gateway.mcp_client(
        1,
        connection_string="https://u:SECRET-2@h/mcp?key=SECRET-3",
        headers_json={"A": "Bearer SECRET-4", "B": {"value": "SECRET-5"}},
    )
    gateway.team("t")
    gateway.virtual_key("v", team_id="t", value="sk-bf-HIDDEN")
    gateway.provider_config(1, "v", (1,))
    gateway.mcp_config(1, "v", 1)


@pytest.mark.parametrize("with_secrets", [False, True])
def test_no_providers_secret_is_ever_exported(
    older: Gateway, into: str, with_secrets: bool
) -> None:
    secretive(older)

    text = json.dumps(config_of(older, into, with_secrets=with_secrets))

    assert "SECRET" not in text
    assert "https://***@h/mcp?key=***" in text
    assert text.count("(not kept)") == 16


def test_that_there_is_a_secret_comes_back(older: Gateway, into: str) -> None:
    secretive(older)
    older.add(models.Provider, id=1, name="openai")

    back = taken_back(older.path, into)

    assert '"azure_endpoint": {"value": "", "env_var": "",' in json.dumps(answers(back))
    assert answers(back) == answers(older.path)


def test_virtual_keys_values_are_only_exported_when_asked_for(
    older: Gateway, into: str
) -> None:
    secretive(older)

    without = json.dumps(config_of(older, into))
    asked = json.dumps(config_of(older, into, with_secrets=True))

    assert "HIDDEN" not in without
    assert '"value": "sk-bf-HIDDEN"' in asked
    assert "value_hash" not in without + asked


def test_values_that_are_not_known_here_are_named_when_asked_for(
    older: Gateway,
) -> None:
    older.virtual_key("v", value="Q0lQSEVS", encryption_status="encrypted")
    older.virtual_key("w")

    rows = rows_of(older.path)

    assert left_out(rows) == []
    assert left_out(rows, with_secrets=True) == [
        'virtual key "v": its value is not known here; loading it makes a new one'
    ]


def test_what_is_encrypted_is_not_exported(older: Gateway, into: str) -> None:
    secretive(older)
    for table, column in (
        (KEYS, "value"),
        ("config_keys", "value"),
        (CLIENTS, "connection_string"),
        (CLIENTS, "headers_json"),
    ):
        older.execute(
            f"UPDATE {table} SET {column} = 'Q0lQSEVS', encryption_status = 'encrypted'"
        )

    text = json.dumps(config_of(older, into, with_secrets=True))

    assert "Q0lQSEVS" not in text
    assert "encrypt" not in text


# Files


def test_a_file_is_indented_and_ends_with_a_line_break(tmp_path: Path) -> None:
    write_config({"governance": {"teams": []}}, tmp_path / "config.json")

    text = (tmp_path / "config.json").read_text()

    assert text == '{\n  "governance": {\n    "teams": []\n  }\n}\n'


def test_texts_in_other_scripts_stay_as_they_are(tmp_path: Path) -> None:
    write_config({"name": "分析"}, tmp_path / "config.json")

    assert "分析" in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_a_file_with_secrets_may_only_be_read_by_its_owner(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch(0o666)

    write_config({}, tmp_path / "config.json", with_secrets=True)

    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600


def test_standard_output_takes_a_config(capsysbinary: Any) -> None:
    write_config({"name": "分析"}, "-")

    assert json.loads(capsysbinary.readouterr().out) == {"name": "分析"}


def test_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "config.json")

    write_config({}, tmp_path / "link.json")

    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "config.json").read_text() == "{}\n"


def test_a_file_stays_as_it_was_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text("as it was")
    monkeypatch.setattr("transfer.exporting.Path.replace", _no_space)

    with pytest.raises(ExportError) as failed:
        write_config({}, tmp_path / "config.json")

    assert failed.value.problems == [
        f"{tmp_path}/config.json cannot be written: No space left on device"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == "as it was"


def _no_space(*args: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "Is a directory"),
        ("none/config.json", "No such file or directory"),
        ("file/config.json", "Not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    with pytest.raises(ExportError) as failed:
        write_config({}, tmp_path / name)

    assert failed.value.problems == [f"{tmp_path}/{name} cannot be written: {words}"]


def test_what_older_gateways_pass_over_is_reported(tmp_path: Path) -> None:
    load_files([DEMO], tmp_path / "demo.db")

    lines = passed_over(export_config(rows_of(tmp_path / "demo.db")))

    assert 'virtual key "key-fernhill-audit": older gateways let it live past' in str(
        lines
    )
    assert 'MCP client "archive": older ones disable none' in lines
