"""Captured answers: what `load_files` and `load_documents` make of gateways' and of
our own.
"""

import hashlib
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gateway import Gateway, in_all_layouts
from odd_databases import ODD
from peewee import SqliteDatabase
from reading import answers, lists

from models import MODELS
from store.encryption import Encryption
from store.own_tables import OwnTables, Tables, unchanged
from transfer.loading import Loaded, LoadError, load_documents, load_files

DEMO = Path(__file__).parents[2] / "data" / "demo.json"
CAPTURES = os.environ.get("GATEWAY_CAPTURES", "")
SECRET = "a-secret-of-a-provider"

WHEN = "2026-04-01T10:00:00Z"
TIMES = {"created_at": WHEN, "updated_at": WHEN}
ZERO_TIMES = dict.fromkeys(TIMES, "0001-01-01T00:00:00Z")
UNSET = {"value": "", "env_var": "", "from_env": False}
BUDGET = {"id": "b", "max_limit": 10, "reset_duration": "1d", "current_usage": 4}
BUDGET |= {"last_reset": WHEN, **TIMES}
LIMIT = {"id": "r", "token_max_limit": 2**53 + 1, "token_reset_duration": "1h", **TIMES}
CUSTOMER = {"id": "c", "name": "Customer", **TIMES}
TEAM = {"id": "t", "name": "Team", **TIMES}
KEY = {"id": "v", "name": "Key", "value": "sk-bf-given", "is_active": True, **TIMES}
PROVIDER_KEY = {
    **{"id": 11, "name": "main", "provider_id": 3, "provider": "openai"},
    **{"key_id": "key-uuid", "models": ["m-1"], "weight": 0.5, "enabled": True},
    **{"use_for_batch_api": True, "config_hash": "ab", **TIMES},
    "value": {"value": "", "env_var": "env.MAIN", "from_env": True},
    "azure_endpoint": {"value": "", "env_var": "env.AZURE", "from_env": True},
}
# As gateways give it within virtual keys: only the id and the names are true.
CUT_PROVIDER_KEY = {
    **{"id": 11, "name": "main", "provider_id": 0, "provider": "openai"},
    **{"key_id": "key-uuid", "models": [], "weight": None, "enabled": True},
    **{"use_for_batch_api": False, "config_hash": "", "value": UNSET, **ZERO_TIMES},
}
CLIENT = {
    **{"client_id": "client-uuid", "name": "tickets", "is_code_mode_client": True},
    **{"connection_string": "https://mcp.example/", "tools_to_execute": ["search"]},
    "headers": {"A": {"value": "", "env_var": "env.A", "from_env": True}},
}
CUT_CLIENT = {
    **{"client_id": "client-uuid", "name": "tickets", "is_code_mode_client": False},
    **{"tools_to_execute": [], "headers": {}},
}
CONFIG = {"id": 21, "virtual_key_id": "v", "provider": "openai", "weight": 0.5}
CONFIG |= {"keys": [PROVIDER_KEY]}
MCP_CONFIG = {"id": 31, "virtual_key_id": "v", "mcp_client_id": 41}
MCP_CONFIG |= {"mcp_client_name": "tickets", "mcp_client": CLIENT}
# A team with everything in it, as a newer gateway answers.
WHOLE = {
    **{**TEAM, "customer_id": "c", "rate_limit_id": "r", "rate_limit": LIMIT},
    **{"customer": {**CUSTOMER, "budgets": [{**BUDGET, "id": "b-c"}]}},
    **{"budgets": [BUDGET], "profile": {"tier": "gold"}},
    "virtual_keys": [
        {
            **{**KEY, "team_id": "t", "budgets": [{**BUDGET, "id": "b-v"}]},
            "provider_configs": [{**CONFIG, "budgets": [{**BUDGET, "id": "b-p"}]}],
            "mcp_configs": [MCP_CONFIG],
        }
    ],
}

TABLES = {
    "teams": "governance_teams",
    "customers": "governance_customers",
    "virtual_keys": "governance_virtual_keys",
    "budgets": "governance_budgets",
    "rate_limits": "governance_rate_limits",
}
MEMBERS = {
    "teams": TEAM,
    "customers": CUSTOMER,
    "virtual_keys": KEY,
    "budgets": BUDGET,
    "rate_limits": LIMIT,
}
NOUNS = {name: name.removesuffix("s") for name in TABLES}

Load = Callable[..., Loaded]
Rows = Callable[..., list[Any]]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the tests load into; not made yet."""
    return tmp_path / "own" / "governance.db"


@pytest.fixture
def load(database: Path) -> Load:
    """load({...}, {...}): loads documents, called first, second and so on, at once."""

    def load(*documents: Any, replace: bool = False) -> Loaded:
        names = ("first", "second", "third")
        sources = [(n, deepcopy(d)) for n, d in zip(names, documents, strict=False)]
        return load_documents(sources, database, replace=replace)

    return load


@pytest.fixture
def problems(load: Load) -> Callable[..., list[str]]:
    """The problems that documents have."""

    def problems(*documents: Any) -> list[str]:
        with pytest.raises(LoadError) as wrong:
            load(*documents)
        return wrong.value.problems

    return problems


@pytest.fixture
def rows(database: Path) -> Rows:
    """rows("SELECT ..."): what our own database holds."""

    def rows(sql: str) -> list[Any]:
        with closing(sqlite3.connect(database)) as connection:
            return connection.execute(sql).fetchall()

    return rows


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a document to a file of that name and returns its path."""

    def write(document: Any, name: str = "answer.json") -> Path:
        path = tmp_path / name
        path.write_bytes(
            document if isinstance(document, bytes) else json.dumps(document).encode()
        )
        return path

    return write


def keys(*provider_keys: Any) -> dict[str, Any]:
    """Virtual keys with a provider config each, in turn with these provider keys."""
    return {
        "virtual_keys": [
            {
                **{"id": f"v{number}", "name": f"Key {number}"},
                "provider_configs": [{"id": number, "provider": "openai", "keys": each}]
                if isinstance(each, list)
                else [{"id": number, "provider": "openai", "keys": [each]}],
            }
            for number, each in enumerate(provider_keys)
        ]
    }


# Each file is recognised by itself


@pytest.mark.parametrize("shape", ["array", "object"])
@pytest.mark.parametrize("name", TABLES)
def test_each_list_is_recognised_in_either_shape(
    write: Callable[..., Path], database: Path, rows: Rows, name: str, shape: str
) -> None:
    member = MEMBERS[name]
    other = {**member, "id": "other", "name": "Other", "value": "sk-bf-other"}
    members: Any = [member, other]
    if shape == "object":
        members = {each["id"]: each for each in members}

    load_files([write({"count": 2, name: members, "total_count": 2})], database)

    assert rows(f"SELECT id FROM {TABLES[name]} ORDER BY id") == sorted(
        [(member["id"],), ("other",)]
    )


@pytest.mark.parametrize("name", TABLES)
def test_a_single_entity_is_recognised(load: Load, rows: Rows, name: str) -> None:
    load({"message": "created", NOUNS[name]: MEMBERS[name]})

    assert rows(f"SELECT id FROM {TABLES[name]}") == [(MEMBERS[name]["id"],)]


def test_several_lists_may_be_in_one_file(load: Load, rows: Rows) -> None:
    load({name: [member] for name, member in MEMBERS.items()})

    for table in TABLES.values():
        assert len(rows(f"SELECT id FROM {table}")) == 1


@pytest.mark.parametrize("step", [1, -1], ids=["in order", "reversed"])
def test_several_files_go_in_at_once_in_any_order(
    write: Callable[..., Path], database: Path, step: int
) -> None:
    whole = {
        "teams": [{**TEAM, "customer_id": "c", "budget_id": "b"}],
        "customers": [{**CUSTOMER, "rate_limit_id": "r"}],
        "virtual_keys": [{**KEY, "team_id": "t"}],
        "budgets": [BUDGET],
        "rate_limits": [LIMIT],
    }
    files = [write({name: part}, f"{name}.json") for name, part in whole.items()]

    loaded = load_files(files[::step], database)

    assert (loaded.counts["added"], loaded.notes) == (5, [])
    (team,) = json.loads(lists(database)["teams"])["teams"]
    assert team["budget"]["team_id"] == "t"
    assert team["customer"]["rate_limit"]["token_max_limit"] == 2**53 + 1
    assert team["virtual_keys"][0]["value"] == "sk-bf-given"


def test_answers_and_a_config_go_in_together(load: Load, rows: Rows) -> None:
    config = {"governance": {"teams": [{"id": "u", "name": "U", "customer_id": "c"}]}}

    load({"customers": [CUSTOMER]}, config)

    assert rows("SELECT id, customer_id FROM governance_teams") == [("u", "c")]


def test_an_answer_may_come_from_standard_input(
    database: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"teams": [TEAM], "count": 1}).encode()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(body)))

    load_files([Path("-")], database)

    assert rows("SELECT id FROM governance_teams") == [("t",)]


@pytest.mark.parametrize("empty", [[], {}], ids=["array", "object"])
def test_an_empty_list_loads_nothing(load: Load, empty: Any) -> None:
    assert load({"teams": empty, "count": 0}).counts["added"] == 0


# Null where a list belongs


def test_an_answer_whose_whole_list_is_null_loads_nothing(load: Load) -> None:
    assert load({"teams": None, "count": 0}).counts["added"] == 0


def test_an_answer_whose_list_is_null_does_not_stop_another(
    load: Load, rows: Rows
) -> None:
    load({"virtual_keys": None, "count": 0}, {"teams": [TEAM]})

    assert rows("SELECT id FROM governance_teams") == [("t",)]


BARE_KEY = {**KEY, "team_id": "t"}


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        ({"team": {**TEAM, "customer_id": "c"}}, "virtual_keys"),
        ({"team": {**TEAM, "customer_id": "c"}}, "budgets"),
        ({"team": {**TEAM, "customer_id": "c"}}, "profile"),
        ({"customer": CUSTOMER}, "teams"),
        ({"customer": CUSTOMER}, "virtual_keys"),
        ({"customer": CUSTOMER}, "budgets"),
        ({"virtual_key": BARE_KEY}, "provider_configs"),
        ({"virtual_key": BARE_KEY}, "mcp_configs"),
        ({"virtual_key": BARE_KEY}, "budgets"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else each,
)
def test_null_where_a_list_belongs_says_nothing(
    load: Load, database: Path, entity: dict[str, Any], name: str
) -> None:
    load({"teams": [WHOLE]})
    before = lists(database)
    noun, values = next(iter(entity.items()))

    load({noun: {**values, name: None}})

    assert lists(database) == before


@pytest.mark.parametrize("name", ["keys", "budgets", "allowed_models"])
def test_null_within_a_provider_config_says_nothing(
    load: Load, database: Path, name: str
) -> None:
    config = {**CONFIG, "budgets": [BUDGET], "allowed_models": ["m-1"]}
    whole = {**KEY, "customer_id": "c", "provider_configs": [config]}
    load({"customers": [CUSTOMER], "virtual_keys": [whole]})
    before = lists(database)

    load({"virtual_key": {**whole, "provider_configs": [{**config, name: None}]}})

    assert lists(database) == before


def test_an_empty_list_of_configs_removes_them(load: Load, rows: Rows) -> None:
    load({"teams": [WHOLE]})

    load({"virtual_key": {**BARE_KEY, "provider_configs": [], "mcp_configs": None}})

    assert rows("SELECT * FROM governance_virtual_key_provider_configs") == []
    assert len(rows("SELECT * FROM governance_virtual_key_mcp_configs")) == 1


# Nested, of both generations


def test_entities_are_found_wherever_they_are_nested(load: Load, rows: Rows) -> None:
    loaded = load({"teams": [WHOLE]})

    assert loaded.notes == []
    assert rows("SELECT id, team_id FROM governance_virtual_keys") == [("v", "t")]
    assert rows("SELECT id, customer_id FROM governance_teams") == [("t", "c")]
    assert rows("SELECT name, key_id FROM config_keys") == [("main", "key-uuid")]
    assert rows("SELECT name, client_id FROM config_mcp_clients") == [
        ("tickets", "client-uuid")
    ]
    owners = "team_id, customer_id, virtual_key_id, provider_config_id"
    assert rows(f"SELECT id, {owners} FROM governance_budgets ORDER BY id") == [
        ("b", "t", None, None, None),
        ("b-c", None, "c", None, None),
        ("b-p", None, None, None, 21),
        ("b-v", None, None, "v", None),
    ]


def test_a_virtual_key_names_its_team_and_that_its_customer(
    load: Load, rows: Rows
) -> None:
    team = {**TEAM, "customer_id": "c", "customer": CUSTOMER}

    load({"virtual_keys": [{**KEY, "team_id": "t", "team": team}]})

    assert rows("SELECT id, customer_id FROM governance_teams") == [("t", "c")]
    assert rows("SELECT id FROM governance_customers") == [("c",)]


@pytest.mark.parametrize(
    ("document", "table", "column", "owner"),
    [
        ({"customer": {**CUSTOMER, "teams": [TEAM]}}, "teams", "customer_id", "c"),
        (
            {"customer": {**CUSTOMER, "virtual_keys": [KEY]}},
            *("virtual_keys", "customer_id", "c"),
        ),
        ({"team": {**TEAM, "virtual_keys": [KEY]}}, "virtual_keys", "team_id", "t"),
        ({"team": {**TEAM, "budget": BUDGET}}, "budgets", "team_id", "t"),
        ({"team": {**TEAM, "budgets": [BUDGET]}}, "budgets", "team_id", "t"),
        ({"customer": {**CUSTOMER, "budget": BUDGET}}, "budgets", "customer_id", "c"),
        ({"virtual_key": {**KEY, "budget": BUDGET}}, "budgets", "virtual_key_id", "v"),
        (
            {
                "virtual_key": {
                    **KEY,
                    "provider_configs": [{**CONFIG, "budget": BUDGET}],
                }
            },
            *("budgets", "provider_config_id", 21),
        ),
    ],
)
def test_what_stands_inside_another_belongs_to_it(
    load: Load, rows: Rows, document: Any, table: str, column: str, owner: Any
) -> None:
    load(document)

    assert rows(f"SELECT {column} FROM {TABLES[table]}") == [(owner,)]


@pytest.mark.parametrize(
    ("name", "member", "column"),
    [
        ("teams", TEAM, "team_id"),
        ("customers", CUSTOMER, "customer_id"),
        ("virtual_keys", KEY, "virtual_key_id"),
    ],
)
def test_an_older_owner_names_a_budget_of_another_list(
    load: Load, rows: Rows, name: str, member: dict[str, Any], column: str
) -> None:
    load({"budgets": [BUDGET]}, {name: [{**member, "budget_id": "b"}]})

    assert rows(f"SELECT {column} FROM governance_budgets") == [(member["id"],)]


def test_a_cut_down_entity_is_passed_over(load: Load, rows: Rows) -> None:
    load({"virtual_keys": [{**KEY, "team_id": "t", "team": {}, "customer": {}}]})

    assert rows("SELECT count(*) FROM governance_teams") == [(0,)]


# The fullest version


@pytest.mark.parametrize("step", [1, -1], ids=["full first", "cut first"])
def test_a_cut_down_provider_key_takes_nothing_from_the_full_one(
    load: Load, database: Path, rows: Rows, step: int
) -> None:
    load(keys(*[PROVIDER_KEY, CUT_PROVIDER_KEY][::step]))

    columns = "id, provider_id, value, azure_endpoint, models_json, weight, enabled"
    columns += ", use_for_batch_api, config_hash, created_at"
    assert rows(f"SELECT {columns} FROM config_keys") == [
        (11, 3, "env.MAIN", "env.AZURE", '["m-1"]', 0.5, 1, 1, "ab", STORED)
    ]


STORED = "2026-04-01 10:00:00+00:00"


@pytest.mark.parametrize("step", [1, -1], ids=["full first", "cut first"])
def test_a_cut_down_provider_key_does_not_enable_the_full_one(
    load: Load, rows: Rows, step: int
) -> None:
    load(keys(*[{**PROVIDER_KEY, "enabled": False}, CUT_PROVIDER_KEY][::step]))

    assert rows("SELECT enabled FROM config_keys") == [(0,)]


@pytest.mark.parametrize("step", [1, -1], ids=["full first", "cut first"])
def test_a_cut_down_mcp_client_takes_nothing_from_the_full_one(
    load: Load, rows: Rows, step: int
) -> None:
    def config(number: int, client: Any) -> dict[str, Any]:
        config = {**MCP_CONFIG, "id": number, "mcp_client": client}
        return {"id": f"v{number}", "name": f"Key {number}", "mcp_configs": [config]}

    clients = [CLIENT, CUT_CLIENT][::step]
    load({"virtual_keys": [config(*each) for each in enumerate(clients)]})

    columns = "id, is_code_mode_client, connection_string, tools_to_execute_json"
    assert rows(f"SELECT {columns}, headers_json FROM config_mcp_clients") == [
        (41, 1, "https://mcp.example/", '["search"]', '{"A":"env.A"}')
    ]


@pytest.mark.parametrize("step", [1, -1], ids=["full first", "cut first"])
def test_one_place_may_say_what_another_leaves_empty(
    load: Load, rows: Rows, step: int
) -> None:
    full = {**TEAM, "customer_id": "c", "profile": {"tier": "gold"}, "budget": BUDGET}
    cut = {"id": "t", "name": "Team", "profile": None, "config_hash": "", **ZERO_TIMES}

    load(*[{"team": full}, {"team": cut}][::step])

    assert rows("SELECT customer_id, profile, created_at FROM governance_teams") == [
        ("c", '{"tier":"gold"}', STORED)
    ]
    assert rows("SELECT team_id FROM governance_budgets") == [("t",)]


@pytest.mark.parametrize("step", [1, -1], ids=["full first", "cut first"])
def test_the_keys_of_a_provider_config_may_stand_in_one_place_only(
    load: Load, rows: Rows, step: int
) -> None:
    full = {**KEY, "provider_configs": [CONFIG]}
    cut = {**KEY, "provider_configs": [{**CONFIG, "keys": []}]}

    load(*[{"virtual_key": full}, {"virtual_key": cut}][::step])

    table = "governance_virtual_key_provider_config_keys"
    assert rows(f"SELECT * FROM {table}") == [(21, 11)]


def test_an_entity_that_stands_twice_goes_in_once(load: Load) -> None:
    once = load({"teams": [WHOLE]}).counts["added"]

    assert load({"teams": [WHOLE, WHOLE]}, {"team": WHOLE}).counts == {
        **{"added": 0, "changed": 0, "removed": 0}
    }
    assert once > 10


# Contradictions

OTHER_KEY = {**PROVIDER_KEY, "id": 12, "name": "spare", "key_id": "spare-uuid"}


def with_config(**config: Any) -> dict[str, Any]:
    return {"virtual_key": {**KEY, "provider_configs": [{**CONFIG, **config}]}}


CONTRADICTING = [
    ({"team": TEAM}, {"team": {**TEAM, "name": "Other"}}, "team.name", "team"),
    (
        {"team": {**TEAM, "customer_id": "c"}},
        {"customer": {"id": "d", "name": "D", "teams": [TEAM]}},
        *("customer.teams[0].customer_id", "team"),
    ),
    (
        {"team": {**TEAM, "profile": {"a": 1}}},
        {"team": {**TEAM, "profile": {"a": 2}}},
        *("team.profile", "team"),
    ),
    (
        {"team": {**TEAM, "virtual_keys": [KEY]}},
        {"virtual_keys": [{**KEY, "team_id": "u"}]},
        *("virtual_keys[0].team_id", "team.virtual_keys[0]"),
    ),
    (
        {"budgets": [BUDGET]},
        {"team": {**TEAM, "budget": {**BUDGET, "max_limit": 11}}},
        *("team.budget.max_limit", "budgets[0]"),
    ),
    (
        {"rate_limits": {"r": LIMIT}},
        {"rate_limit": {**LIMIT, "token_max_limit": 2**53 + 2}},
        *("rate_limit.token_max_limit", "rate_limits[0]"),
    ),
    (
        {"virtual_key": KEY},
        {"virtual_key": {**KEY, "is_active": False}},
        *("virtual_key.is_active", "virtual_key"),
    ),
    (
        with_config(),
        with_config(weight=0.75),
        "virtual_key.provider_configs[0].weight",
        "virtual_key.provider_configs[0]",
    ),
    (
        with_config(),
        with_config(keys=[{**PROVIDER_KEY, "models": ["m-2"]}]),
        "virtual_key.provider_configs[0].keys[0].models_json",
        "virtual_key.provider_configs[0].keys[0]",
    ),
]


@pytest.mark.parametrize(
    ("one", "other", "place", "first"),
    CONTRADICTING,
    ids=[each[2] for each in CONTRADICTING],
)
def test_two_places_that_contradict_each_other_are_both_named(
    problems: Callable[..., list[str]],
    database: Path,
    one: Any,
    other: Any,
    place: str,
    first: str,
) -> None:
    assert problems(one, other) == [
        f"second: {place}: contradicts what first: {first} says of the same thing"
    ]
    assert not database.exists()


def test_a_contradiction_changes_nothing_of_what_is_there(
    load: Load, problems: Callable[..., list[str]], database: Path
) -> None:
    load({"teams": [WHOLE]})
    before = database.read_bytes()

    problems({"teams": [{**TEAM, "name": "A"}, {"id": "u", "name": "New"}]}, *RENAMED)

    assert database.read_bytes() == before


RENAMED = [{"team": {**TEAM, "name": "B"}}]


def test_a_contradicted_secret_is_not_shown(
    problems: Callable[..., list[str]],
) -> None:
    words = problems({"virtual_key": KEY}, {"virtual_key": {**KEY, "value": SECRET}})

    assert SECRET not in "".join(words)
    assert "sk-bf-given" not in "".join(words)


def test_different_keys_of_one_provider_config_contradict_each_other(
    problems: Callable[..., list[str]],
) -> None:
    (line,) = problems(with_config(), with_config(keys=[OTHER_KEY]))

    assert line.startswith("second: virtual_key.provider_configs[0]")
    assert "first: virtual_key.provider_configs[0]" in line


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("created_at", "2026-04-01T12:00:00+02:00"),
        ("created_at", "2026-04-01T10:00:00.000Z"),
        ("max_limit", 10.0),
        ("config_hash", ""),
        ("calendar_aligned", None),
    ],
)
def test_the_same_thing_in_other_words_is_no_contradiction(
    load: Load, name: str, written: Any
) -> None:
    counts = load({"budgets": [BUDGET]}, {"budgets": [{**BUDGET, name: written}]})

    assert counts.counts["added"] == 1


# What changes by itself

LATER = "2026-04-02T10:00:00Z"


@pytest.mark.parametrize("step", [1, -1], ids=["early first", "late first"])
@pytest.mark.parametrize(
    ("early", "late"),
    [
        ({}, {"current_usage": 5}),
        ({"current_usage": 9}, {"current_usage": 10}),
        ({"current_usage": 0.5}, {"current_usage": 12.25}),
        ({"current_usage": 999.75}, {"current_usage": 1000}),
        ({}, {"current_usage": 0, "last_reset": LATER}),
        ({"last_reset": "0001-01-01T00:00:00Z"}, {}),
        ({"last_reset": "2026-04-01T10:00:00.25Z"}, {"last_reset": LATER}),
        ({}, {"last_reset": "2026-04-01T10:00:00.000000001Z", "current_usage": 1}),
        ({}, {"current_usage": 3, "updated_at": LATER}),
    ],
)
def test_of_usage_the_later_one_counts(
    load: Load, rows: Rows, early: dict[str, Any], late: dict[str, Any], step: int
) -> None:
    both = [{**BUDGET, **early}, {**BUDGET, **late}]

    load(*[{"budgets": [each]} for each in both[::step]])

    (stored,) = rows(
        "SELECT current_usage, last_reset, updated_at FROM governance_budgets"
    )
    times = (both[1][name] for name in ("last_reset", "updated_at"))
    assert stored == (
        both[1]["current_usage"],
        *(time.replace("T", " ").replace("Z", "+00:00") for time in times),
    )


@pytest.mark.parametrize("half", ["token", "request"])
def test_of_a_rate_limits_usage_the_later_one_counts(
    load: Load, rows: Rows, half: str
) -> None:
    early = {f"{half}_current_usage": 900, f"{half}_last_reset": WHEN}
    late = {f"{half}_current_usage": 1, f"{half}_last_reset": LATER}

    load({"rate_limits": [{**LIMIT, **late}]}, {"rate_limits": [{**LIMIT, **early}]})

    assert rows(f"SELECT {half}_current_usage FROM governance_rate_limits") == [(1,)]


# What leads nowhere

GONE = [
    ("team", TEAM, "customer_id", 'no customer "gone"'),
    ("team", TEAM, "budget_id", 'no budget "gone"'),
    ("team", TEAM, "rate_limit_id", 'no rate limit "gone"'),
    ("customer", CUSTOMER, "rate_limit_id", 'no rate limit "gone"'),
    ("virtual_key", KEY, "team_id", 'no team "gone"'),
    ("virtual_key", KEY, "customer_id", 'no customer "gone"'),
    ("budget", BUDGET, "team_id", 'no team "gone"'),
]


@pytest.mark.parametrize(("noun", "member", "column", "words"), GONE)
def test_a_reference_that_leads_nowhere_is_kept_with_a_note(
    load: Load, rows: Rows, noun: str, member: Any, column: str, words: str
) -> None:
    loaded = load({noun: {**member, column: "gone"}})

    assert loaded.notes == [f"first: {noun}.{column}: {words}"]
    assert rows(f"SELECT {column} FROM {TABLES[f'{noun}s']}") == [("gone",)]


def test_an_mcp_client_that_is_left_out_keeps_its_number(
    load: Load, rows: Rows
) -> None:
    config = {"id": 4, "mcp_client_id": 99, "mcp_client_name": ""}

    loaded = load({"virtual_keys": [{**KEY, "mcp_configs": [config]}]})

    place = "first: virtual_keys[0].mcp_configs[0].mcp_client_id"
    assert loaded.notes == [f'{place}: no MCP client "99"']
    table = "governance_virtual_key_mcp_configs"
    assert rows(f"SELECT mcp_client_id FROM {table}") == [(99,)]


# Values and secrets

MASKED = "sk-b" + "*" * 24 + "abcd"


@pytest.mark.parametrize(
    "value", ["", None, MASKED, "*" * 6, "<redacted>", "[REDACTED]"]
)
def test_a_value_that_is_empty_or_masked_is_not_stored(
    load: Load, rows: Rows, value: str | None
) -> None:
    other = {"id": "w", "name": "Other", "value": value}

    load({"virtual_keys": [{**KEY, "value": value}, other]})

    assert rows("SELECT value, value_hash FROM governance_virtual_keys") == [
        (None, None),
        (None, None),
    ]


@pytest.mark.parametrize("value", ["", None, MASKED])
def test_a_masked_value_does_not_take_the_place_of_the_one_there(
    load: Load, rows: Rows, value: str | None
) -> None:
    load({"virtual_key": KEY})

    load({"virtual_key": {**KEY, "value": value}})

    hashed = hashlib.sha256(b"sk-bf-given").hexdigest()
    assert rows("SELECT value, value_hash FROM governance_virtual_keys") == [
        ("sk-bf-given", hashed)
    ]


@pytest.mark.parametrize("step", [1, -1], ids=["clear first", "masked first"])
def test_a_value_that_is_masked_in_another_place_is_stored(
    load: Load, rows: Rows, step: int
) -> None:
    load(*[{"virtual_key": KEY}, {"virtual_key": {**KEY, "value": MASKED}}][::step])

    assert rows("SELECT value FROM governance_virtual_keys") == [("sk-bf-given",)]


ENV = {"value": "", "env_var": "env.MAIN", "from_env": True}
ENV_VALUES = [
    ("env.MAIN", ENV),
    (ENV, ENV),
    ({"value": "env.MAIN", "env_var": "", "from_env": True}, ENV),
    ({"env_var": "env.MAIN"}, ENV),
    (SECRET, UNSET),
    ({"value": SECRET, "env_var": "", "from_env": False}, UNSET),
    ({"value": SECRET, "env_var": "env.MAIN", "from_env": True}, ENV),
    ({"value": SECRET, "ref": "env.MAIN", "type": "env"}, ENV),
    ({"value": "", "ref": "env.MAIN", "type": "env"}, ENV),
    ({"value": SECRET, "type": "plain_text"}, UNSET),
    ({"value": SECRET, "type": "env"}, UNSET),
    (UNSET, UNSET),
    ({}, UNSET),
]


@pytest.mark.parametrize(("given", "answered"), ENV_VALUES)
def test_of_a_secret_in_any_form_only_its_variable_is_kept(
    load: Load, database: Path, given: Any, answered: Any
) -> None:
    one = keys({**PROVIDER_KEY, "value": given, "azure_endpoint": given})
    one["virtual_keys"][0]["customer_id"] = "c"

    load({"customers": [CUSTOMER], **one})

    (customer,) = json.loads(lists(database)["customers"])["customers"]
    (key,) = customer["virtual_keys"][0]["provider_configs"][0]["keys"]
    assert (key["value"], key["azure_endpoint"]) == (answered, answered)
    assert SECRET.encode() not in database.read_bytes()


@pytest.mark.parametrize(
    ("list_name", "member", "note", "table", "column"),
    [
        (
            *("budgets", {**BUDGET, "reset_duration": "soon"}),
            *("reset_duration: is no duration", "governance_budgets", "reset_duration"),
        ),
        (
            *("rate_limits", {**LIMIT, "token_max_limit": -5}),
            *("token_max_limit: must be above zero", "governance_rate_limits"),
            "token_max_limit",
        ),
    ],
)
def test_what_breaks_a_rule_is_taken_as_it_is_with_a_note(
    load: Load,
    rows: Rows,
    list_name: str,
    member: dict[str, Any],
    note: str,
    table: str,
    column: str,
) -> None:
    loaded = load({list_name: [member], "count": 1})

    (line,) = loaded.notes
    assert f"{list_name}[0].{note}" in line
    assert rows(f"SELECT {column} FROM {table}") == [(member[column],)]


def test_a_budget_that_does_not_say_its_limit_is_taken_with_a_note(load: Load) -> None:
    budget = {name: each for name, each in BUDGET.items() if name != "max_limit"}

    loaded = load({"budgets": [budget], "count": 1})

    (line,) = loaded.notes
    assert line.endswith("budgets[0].max_limit: is missing")


def test_a_header_of_a_wrong_kind_is_not_kept(load: Load, database: Path) -> None:
    client = {**CLIENT, "headers": {"A": [SECRET], "B": 123456789012}}

    loaded = load({"mcp_clients": [client]})

    assert loaded.notes == []
    stored = database.read_bytes()
    assert SECRET.encode() not in stored
    assert b"123456789012" not in stored


def test_a_secret_that_is_a_number_is_not_kept(load: Load, database: Path) -> None:
    with suppress(LoadError):
        load(keys({**PROVIDER_KEY, "value": 123456789012}))

    stored = database.read_bytes() if database.exists() else b""
    assert stored.count(b"123456789012") == 0


def test_the_secrets_of_mcp_clients_are_not_stored(
    load: Load, database: Path, rows: Rows
) -> None:
    headers = {
        "A": SECRET,
        "B": f"Bearer {SECRET}",
        "C": {"value": SECRET, "env_var": "", "from_env": False},
        "D": {"value": SECRET, "env_var": "env.D", "from_env": True},
        "E": "env.E",
    }
    address = f"https://user:{SECRET}@mcp.example/?key={SECRET}"
    client = {**CLIENT, "headers": headers, "connection_string": address}

    config = {**MCP_CONFIG, "mcp_client": client}
    load({"virtual_keys": [{**KEY, "mcp_configs": [config]}]})

    assert SECRET.encode() not in database.read_bytes()
    ((stored, headers_json),) = rows(
        "SELECT connection_string, headers_json FROM config_mcp_clients"
    )
    assert stored == "https://***@mcp.example/?key=***"
    assert json.loads(headers_json).keys() == set("ABCDE")
    assert json.loads(headers_json)["D"] == "env.D"


# Numbers


def test_numbers_are_kept_where_nothing_else_has_them(load: Load, rows: Rows) -> None:
    load({"teams": [WHOLE]})

    for table, number in (
        ("governance_virtual_key_provider_configs", 21),
        ("governance_virtual_key_mcp_configs", 31),
        ("config_keys", 11),
        ("config_mcp_clients", 41),
        ("config_providers", 3),
    ):
        assert rows(f"SELECT id FROM {table}") == [(number,)]


def test_numbers_that_are_taken_are_given_anew(load: Load, database: Path) -> None:
    load({"teams": [WHOLE]})
    theirs = json.loads(
        json.dumps(WHOLE)
        .replace('"t"', '"t2"')
        .replace('"v"', '"v2"')
        .replace('"b"', '"b2"')
        .replace('"b-', '"b2-')
        .replace("Key", "Second key")
        .replace("sk-bf-given", "sk-bf-second")
        .replace("main", "second")
        .replace("uuid", "uuid-2")
        .replace("tickets", "mail")
    )

    load({"teams": [theirs]})

    teams = json.loads(lists(database)["teams"])["teams"]
    (key,) = teams[1]["virtual_keys"]
    (config,) = key["provider_configs"]
    (mcp_config,) = key["mcp_configs"]
    assert config["id"] != 21
    assert config["budgets"][0]["provider_config_id"] == config["id"]
    assert [each["name"] for each in config["keys"]] == ["second"]
    assert mcp_config["mcp_client_name"] == "mail"
    assert mcp_config["mcp_client_id"] != 41
    (first,) = teams[0]["virtual_keys"]
    assert first["provider_configs"][0]["keys"][0]["name"] == "main"
    assert first["mcp_configs"][0]["mcp_client_name"] == "tickets"


def test_a_number_that_another_config_keeps_is_not_given_away(
    load: Load, rows: Rows
) -> None:
    def key(name: str, *configs: tuple[int, str]) -> dict[str, Any]:
        configs_of = [{"id": number, "provider": each} for number, each in configs]
        return {"id": name, "name": name, "provider_configs": configs_of}

    load({"virtual_keys": [key("v", (1, "openai")), key("w", (2, "openai"))]})

    load(
        {
            "virtual_keys": [
                key("v", (1, "openai"), (2, "azure")),
                key("w", (3, "openai")),
            ]
        }
    )

    table = "governance_virtual_key_provider_configs"
    stored = rows(f"SELECT virtual_key_id, provider FROM {table}")
    assert sorted(stored) == [("v", "azure"), ("v", "openai"), ("w", "openai")]


# What is refused


@pytest.mark.parametrize(
    "document",
    [
        {"hello": 1},
        {"error": {"message": "not allowed"}, "status_code": 401},
        {"count": 0},
        [],
        "teams",
        7,
        None,
    ],
    ids=json.dumps,
)
def test_what_is_no_answer_and_no_config_is_refused(
    write: Callable[..., Path], database: Path, document: Any
) -> None:
    path = write(document)

    with pytest.raises(LoadError) as refused:
        load_files([path], database)

    assert str(refused.value) == (
        f"{path}: is neither a gateway's config.json nor one of its answers"
    )
    assert not database.exists()


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"teams": [5]}, "teams[0]: must be an object"),
        ({"teams": {"t": "x"}}, "teams[0]: must be an object"),
        ({"teams": [TEAM], "budgets": 5}, "budgets: must be an array or an object"),
        ({"teams": [{**TEAM, "id": None}]}, "teams[0].id: is missing"),
        ({"teams": [{**TEAM, "id": ""}]}, "teams[0].id: is empty"),
        ({"teams": [{**TEAM, "id": 5}]}, "teams[0].id: must be text"),
        ({"team": {**TEAM, "profile": []}}, "team.profile: must be an object"),
        (
            {"team": {**TEAM, "virtual_keys": 5}},
            "team.virtual_keys: must be an array",
        ),
        ({"team": {**TEAM, "budget": 5}}, "team.budget: must be an object"),
        ({"team": {**TEAM, "budgets": [5]}}, "team.budgets[0]: must be an object"),
        (
            {"budgets": [{**BUDGET, "max_limit": {}}]},
            "budgets[0].max_limit: must be a number",
        ),
        (
            with_config(allowed_models=[5]),
            "virtual_key.provider_configs[0].allowed_models: must be an array of texts",
        ),
        (
            with_config(keys=["main"]),
            "virtual_key.provider_configs[0].keys[0]: must be an object",
        ),
    ],
)
def test_a_wrong_shape_is_reported_with_its_place(
    problems: Callable[..., list[str]], database: Path, document: Any, line: str
) -> None:
    assert f"first: {line}" in problems(document)
    assert not database.exists()


def test_all_that_is_wrong_is_reported_at_once(
    problems: Callable[..., list[str]],
) -> None:
    lines = problems({"teams": [5, TEAM]}, {"customers": [{"name": "C"}]}, {"x": 1})

    assert sorted(lines) == [
        "first: teams[0]: must be an object",
        "second: customers[0].id: is missing",
        "third: is neither a gateway's config.json nor one of its answers",
    ]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to everything in a document."""
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for name, member in members:
        yield (*at, name)
        yield from places(member, (*at, name))


@pytest.mark.parametrize(
    "wrong", [None, 5, True, "x", [], {}, [5], {"a": 5}], ids=json.dumps
)
def test_nothing_of_the_wrong_kind_anywhere_ends_in_more_than_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    monkeypatch.setattr("transfer.loading.writing", _nowhere)
    monkeypatch.setattr("store.own_tables.OwnTables.change", lambda *args: {})
    monkeypatch.setattr("store.own_tables.OwnTables.read", _no_tables)
    crashed, said = {}, []
    for path in places({"teams": [WHOLE]}):
        document: Any = deepcopy({"teams": [WHOLE]})
        holder = document
        for name in path[:-1]:
            holder = holder[name]
        holder[path[-1]] = deepcopy(wrong)
        try:
            load_documents([("answer", document)], tmp_path / "never.db")
        except LoadError as told:
            said += told.problems
        except Exception as problem:
            crashed[".".join(map(str, path))] = repr(problem)

    assert crashed == {}
    assert [line for line in said if not line.startswith("answer: ")] == []


@contextmanager
def _nowhere(*args: Any) -> Iterator[OwnTables]:
    yield OwnTables(SqliteDatabase(None), Encryption(), unchanged)


def _no_tables(own: OwnTables) -> Tables:
    return {model: {} for model in MODELS}


# Round trips

WAYS = [("teams",), ("teams", "customers"), ("customers", "teams")]


@pytest.fixture
def again(tmp_path: Path, database: Path) -> Callable[..., dict[str, bytes]]:
    """again(path, "teams"): what we answer of a database, loaded and answered again."""

    def again(path: Path, *names: str) -> dict[str, bytes]:
        answered = lists(path)
        files = [tmp_path / f"{name}.json" for name in names]
        for file, name in zip(files, names, strict=True):
            file.write_bytes(answered[name])
        load_files(files, database)
        return lists(database)

    return again


@in_all_layouts
@pytest.mark.parametrize("names", WAYS, ids="+".join)
def test_our_own_answers_are_answered_again_byte_for_byte(
    filled: Gateway, again: Callable[..., dict[str, bytes]], names: tuple[str, ...]
) -> None:
    assert again(filled.path, *names) == lists(filled.path)


def test_our_own_customers_are_answered_again_byte_for_byte(
    filled: Gateway, again: Callable[..., dict[str, bytes]]
) -> None:
    answered = again(filled.path, "customers")

    assert answered["customers"] == lists(filled.path)["customers"]


@pytest.mark.parametrize("names", WAYS, ids="+".join)
def test_the_answers_of_the_demo_are_answered_again_byte_for_byte(
    tmp_path: Path, again: Callable[..., dict[str, bytes]], names: tuple[str, ...]
) -> None:
    load_files([DEMO], tmp_path / "demo.db")

    assert again(tmp_path / "demo.db", *names) == lists(tmp_path / "demo.db")


@in_all_layouts
@pytest.mark.parametrize("name", ODD)
def test_the_answers_of_an_odd_database_are_answered_again_byte_for_byte(
    tmp_path: Path, again: Callable[..., dict[str, bytes]], layout: Any, name: str
) -> None:
    odd = Gateway(tmp_path / "config.db", layout)
    ODD[name](odd)

    assert again(odd.path, "teams", "customers") == lists(odd.path)


def test_the_values_of_encrypted_keys_stay_empty(
    gateway: Gateway, again: Callable[..., dict[str, bytes]]
) -> None:
    gateway.team("t")
    for key in ("v", "w"):
        gateway.virtual_key(key, team_id="t", encryption_status="encrypted")

    answered = again(gateway.path, "teams")

    assert answered == lists(gateway.path)
    assert answered["teams"].count(b'"value":""') == 2


def test_loading_our_own_answers_where_they_come_from_changes_nothing(
    load: Load, database: Path, tmp_path: Path
) -> None:
    load_files([DEMO], database)
    before = lists(database)
    (tmp_path / "teams.json").write_bytes(before["teams"])

    load_files([tmp_path / "teams.json"], database)

    assert lists(database) == before


# A real gateway's

MEMORY = ("teams.from_memory.true", "customers.from_memory.true")
TOLD = ("teams", "customers", "virtual-keys", "budgets", "rate-limits")
COMPLETE = [
    TOLD,
    TOLD[::-1],
    (*MEMORY, "virtual-keys"),
    (*TOLD, *MEMORY),
    (*TOLD, "teams.limit.1000", "teams.limit.abc", "customers.limit.2.search.north"),
]
needs_captures = pytest.mark.skipif(
    not CAPTURES, reason="GATEWAY_CAPTURES names no captures of a real gateway"
)


def captures(names: tuple[str, ...]) -> list[Path]:
    return [Path(CAPTURES) / "responses" / f"{name}.json" for name in names]


# All that gateways tell of these within virtual keys.
SHOWN_OF = {
    "keys": ("id", "name", "provider", "key_id"),
    "mcp_client": ("name",),
}


def comparable(value: Any, within: str = "") -> Any:
    """An answer without what the gateway cuts off its own."""
    if isinstance(value, list):
        return [comparable(member, within) for member in value]
    if not isinstance(value, dict):
        return value
    shown = SHOWN_OF.get(within, value)
    return {n: comparable(each, n) for n, each in value.items() if n in shown}


@needs_captures
@pytest.mark.parametrize("names", COMPLETE, ids="+".join)
def test_real_answers_agree_with_their_gateways_database(
    database: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    shutil.copy(Path(CAPTURES) / "config.db", tmp_path)

    loaded = load_files(captures(names), database)

    assert loaded.notes == []
    assert comparable(answers(database)) == comparable(answers(tmp_path / "config.db"))


@needs_captures
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("teams", {"teams": 18, "customers": 5}),
        ("teams.from_memory.true", {"teams": 18, "customers": 5}),
        ("teams.limit.3.offset.2", {"teams": 3}),
        ("teams.customer_id.cust-0001", {"teams": 4, "customers": 1}),
        ("teams.customer_id.no-such-customer", {"teams": 0}),
        ("customers", {"customers": 5}),
        ("customers.from_memory.true", {"customers": 5}),
        ("virtual-keys", {"virtual_keys": 36}),
        ("budgets", {"budgets": 61, "teams": 0}),
        ("rate-limits", {"rate_limits": 47, "teams": 0}),
    ],
)
def test_each_real_answer_loads_by_itself(
    database: Path, rows: Rows, name: str, counts: dict[str, int]
) -> None:
    load_files(captures((name,)), database)

    for table, count in counts.items():
        assert rows(f"SELECT count(*) FROM {TABLES[table]}") == [(count,)]


@needs_captures
def test_real_answers_one_after_the_other_come_to_the_same(
    database: Path, tmp_path: Path
) -> None:
    for path in captures(TOLD[::-1]):
        load_files([path], database)

    load_files(captures(TOLD), tmp_path / "at-once.db")
    assert answers(database) == answers(tmp_path / "at-once.db")
