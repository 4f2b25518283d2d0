"""Data in: what `load_files` keeps, what it refuses, and with what words."""

import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from captures import comparable
from config_files import BUDGET, CUSTOMER, KEY, LIMIT, TEAM, governance
from gateway import Gateway, fill, in_all_layouts
from reading import answers, files_in, select, the_key

from store.own import NotOurs
from transfer.loading import LoadError, load_files

DEMO = Path(__file__).parents[2] / "data" / "demo.json"
CAPTURES = os.environ.get("GATEWAY_CAPTURES", "")

Load = Callable[..., dict[str, int]]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the tests load into; not made yet."""
    return tmp_path / "own" / "governance.db"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a config to a file and returns its path."""

    def write(config: Any, name: str = "config.json") -> Path:
        path = tmp_path / name
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return path

    return write


@pytest.fixture
def load(write: Callable[..., Path], database: Path) -> Load:
    """load({...}): writes one config and loads it."""

    def load(config: Any, replace: bool = False) -> dict[str, int]:
        return load_files([write(config)], database, replace=replace).counts

    return load


@pytest.fixture
def problems(load: Load, tmp_path: Path) -> Callable[[Any], list[str]]:
    """The problems of a config; each line without the file's name at its start."""

    def problems(config: Any) -> list[str]:
        with pytest.raises(LoadError) as wrong:
            load(config)
        return [
            p.replace(f"{tmp_path}/config.json: ", "") for p in wrong.value.problems
        ]

    return problems


# The demo


def test_the_demo_loads(database: Path) -> None:
    counts = load_files([DEMO], database).counts

    assert counts["added"] > 100
    assert (counts["changed"], counts["removed"]) == (0, 0)


@pytest.mark.parametrize("replace", [False, True])
def test_loading_the_demo_twice_changes_nothing(database: Path, replace: bool) -> None:
    load_files([DEMO], database)
    before = files_in(database.parent)

    counts = load_files([DEMO], database, replace=replace).counts

    assert counts == {"added": 0, "changed": 0, "removed": 0}
    assert files_in(database.parent) == before


def test_the_order_of_the_file_is_the_order_of_the_lists(database: Path) -> None:
    load_files([DEMO], database)

    both = answers(database)

    config = json.loads(DEMO.read_bytes())["governance"]
    for name in ("teams", "customers"):
        assert [e["id"] for e in both[name]] == [e["id"] for e in config[name]]


def test_only_its_owner_may_read_the_database(load: Load, database: Path) -> None:
    load(governance(teams=[TEAM]))

    assert database.stat().st_mode & 0o777 == 0o600


# Every field

WHEN = "2026-04-02T09:30:00.175193779Z"
TIMES = {"created_at": WHEN, "updated_at": "2026-04-03T00:00:00Z"}
HASH = {"config_hash": "ab" * 32}
FULL_BUDGET = {
    **{"id": "b", "max_limit": 1000.25, "reset_duration": "1h30m"},
    **{"calendar_aligned": True, "last_reset": WHEN, "current_usage": 12.5},
    **HASH,
    **TIMES,
}
FULL_LIMIT = {
    **{"id": "r", "token_max_limit": 9007199254740993, "token_reset_duration": "1h"},
    **{"token_current_usage": 5, "token_last_reset": WHEN, "request_max_limit": 60},
    **{"request_reset_duration": "1M", "request_current_usage": 6},
    **{"request_last_reset": WHEN, **HASH, **TIMES},
}
SECRET_CONFIGS = {
    "azure": ("endpoint", "client_id", "client_secret", "tenant_id"),
    "vertex": ("project_id", "project_number", "region", "auth_credentials"),
    "bedrock": ("access_key", "secret_key", "session_token", "region", "arn"),
}
FULL_PROVIDER_KEY = {
    **{"name": "main", "key_id": "key-uuid", "value": "env.MAIN", "models": ["m-1"]},
    **{"weight": 0.25, "enabled": False, "use_for_batch_api": True, **HASH, **TIMES},
    **{
        f"{prefix}_key_config": {n: f"env.{prefix}_{n}" for n in names}
        for prefix, names in SECRET_CONFIGS.items()
    },
}
FULL_CLIENT = {
    **{"client_id": "client-uuid", "name": "tickets", "is_code_mode_client": True},
    **{"connection_type": "http", "connection_string": "https://u:p@h/mcp?key=s"},
    "stdio_config": {"command": "run", "args": ["-x"], "envs": ["HOME"]},
    "tls_config": {"insecure_skip_verify": True, "ca_cert_pem": "PEM"},
    **{"oauth_config_id": "oauth", "headers": {"A": "env.A", "B": "Bearer secret"}},
    **{"tools_to_execute": ["search"], "tools_to_auto_execute": ["*"]},
    **{"tool_pricing": {"search": 0.01}, "allow_on_all_virtual_keys": True},
    **{"per_user_header_keys": ["X-User"], "disabled": True, **TIMES},
}
FULL_CONFIG = {
    **{"provider": "openai", "weight": 0.5, "allowed_models": ["m-1"]},
    **{"blacklisted_models": ["m-2"], "allow_all_keys": False, "key_ids": ["main"]},
    **{"rate_limit_id": "r", "budgets": [{**FULL_BUDGET, "id": "b-config"}]},
}
FULL_KEY = {
    **{"id": "v", "name": "Key", "value": "sk-bf-given", "description": "what for"},
    **{"is_active": False, "team_id": "t", "rate_limit_id": "r"},
    **{"calendar_aligned": True, "created_by_user_id": "user", **HASH, **TIMES},
    "budgets": [{**FULL_BUDGET, "id": "b-key"}],
    "provider_configs": [FULL_CONFIG],
    "mcp_configs": [{"mcp_client_name": "tickets", "tools_to_execute": ["search"]}],
}
FULL_TEAM = {
    **{"id": "t", "name": "Team", "customer_id": "c", "rate_limit_id": "r"},
    **{"profile": {"tier": 1.0}, "config": {"alerts": []}, "claims": {"a": None}},
    **{"calendar_aligned": True, **HASH, **TIMES},
    "budgets": [{**FULL_BUDGET, "id": "b-team"}],
}
FULL_CUSTOMER = {
    **{"id": "c", "name": "Customer", "rate_limit_id": "r", **HASH, **TIMES},
    "budgets": [{**FULL_BUDGET, "id": "b-customer"}],
}
FULL = {
    "providers": {"openai": {"keys": [FULL_PROVIDER_KEY]}},
    "mcp": {"client_configs": [FULL_CLIENT]},
    **governance(
        customers=[FULL_CUSTOMER],
        teams=[FULL_TEAM],
        virtual_keys=[FULL_KEY],
        rate_limits=[FULL_LIMIT],
    ),
}


def env(name: str) -> dict[str, Any]:
    return {"value": "", "env_var": name, "from_env": bool(name)}


def fields_of(entity: dict[str, Any], *beside: str) -> dict[str, Any]:
    """An entity's own fields: its relations left out, but for those named."""
    relations = {"budget", "budgets", "rate_limit", "customer", "team", "teams", "keys"}
    relations |= {"virtual_keys", "provider_configs", "mcp_configs", "mcp_client"}
    relations -= set(beside)
    return {name: value for name, value in entity.items() if name not in relations}


def test_every_field_of_a_customer_arrives(load: Load, database: Path) -> None:
    load(FULL)

    customer = answers(database)["customers"][0]

    expected = {k: v for k, v in FULL_CUSTOMER.items() if k != "budgets"}
    expected |= {"budget_id": "b-customer", "virtual_key_count": 0}
    assert fields_of(customer) == {**expected, "calendar_aligned": True}


def test_every_field_of_a_team_arrives(load: Load, database: Path) -> None:
    load(FULL)

    team = answers(database)["teams"][0]

    expected = {k: v for k, v in FULL_TEAM.items() if k not in ("budgets", "profile")}
    expected |= {"profile": {"tier": 1}, "budget_id": "b-team"}
    assert fields_of(team) == {**expected, "virtual_key_count": 1}


def test_every_field_of_a_virtual_key_arrives(load: Load, database: Path) -> None:
    load(FULL)

    key = the_key(database)

    assert fields_of(key) == fields_of(FULL_KEY)
    assert key["team"] == {}


def test_every_field_of_a_budget_arrives(load: Load, database: Path) -> None:
    load(FULL)

    budget = the_key(database)["budgets"][0]

    assert budget == {**FULL_BUDGET, "id": "b-key", "virtual_key_id": "v"}


def test_every_field_of_a_rate_limit_arrives(load: Load, database: Path) -> None:
    load(FULL)

    limit = the_key(database)["rate_limit"]

    assert limit == FULL_LIMIT


def test_every_field_of_a_provider_config_arrives(load: Load, database: Path) -> None:
    load(FULL)

    config = the_key(database)["provider_configs"][0]

    expected = {k: v for k, v in FULL_CONFIG.items() if k not in ("budgets", "key_ids")}
    assert fields_of(config) == {**expected, "id": 1, "virtual_key_id": "v"}
    budget = {**FULL_BUDGET, "id": "b-config", "provider_config_id": 1}
    assert config["budgets"] == [budget]


def test_every_field_of_a_provider_key_arrives(load: Load, database: Path) -> None:
    load(FULL)

    (key,) = the_key(database)["provider_configs"][0]["keys"]

    expected = {k: v for k, v in FULL_PROVIDER_KEY.items() if "_key_config" not in k}
    expected |= {"id": 1, "provider_id": 1, "provider": "openai"}
    expected["value"] = env("env.MAIN")
    for prefix, names in SECRET_CONFIGS.items():
        for name in names:
            expected[f"{prefix}_{name}"] = env(f"env.{prefix}_{name}")
    assert key == expected


def test_every_field_of_an_mcp_client_arrives(load: Load, database: Path) -> None:
    load(FULL)

    (config,) = the_key(database)["mcp_configs"]

    unseen = {"connection_type", "created_at", "updated_at"}
    expected = {k: v for k, v in FULL_CLIENT.items() if k not in unseen}
    expected["connection_string"] = "https://***@h/mcp?key=***"
    expected["headers"] = {"A": env("env.A"), "B": env("")}
    assert config.pop("mcp_client") == expected
    assert config == {
        **{"id": 1, "virtual_key_id": "v", "mcp_client_id": 1},
        **{"mcp_client_name": "tickets", "tools_to_execute": ["search"]},
    }


@pytest.mark.parametrize("name", ["is_active", "enabled"])
def test_what_is_active_unless_said_otherwise(
    load: Load, database: Path, name: str
) -> None:
    load(
        {
            "providers": {"openai": {"keys": [{"name": "k", "enabled": None}]}},
            **governance(
                teams=[TEAM],
                virtual_keys=[
                    {
                        **KEY,
                        "team_id": "t",
                        "is_active": None,
                        "provider_configs": [{"provider": "openai", "keys": ["k"]}],
                    }
                ],
            ),
        }
    )

    key = the_key(database)

    assert {**key, **key["provider_configs"][0]["keys"][0]}[name] is True


# Links, older and newer

ALL_BUDGETS = [{**BUDGET, "id": f"b-{n}", **TIMES, "last_reset": WHEN} for n in "ctvp"]
OLDER_LINKS = governance(
    budgets=ALL_BUDGETS,
    customers=[{**CUSTOMER, **TIMES, "budget_id": "b-c"}],
    teams=[{**TEAM, **TIMES, "customer_id": "c", "budget_id": "b-t"}],
    virtual_keys=[
        {
            **{**KEY, **TIMES, "value": "sk-bf-1", "team_id": "t", "budget_id": "b-v"},
            "provider_configs": [{"provider": "openai", "budget_id": "b-p"}],
        }
    ],
)
INLINE = governance(
    customers=[{**CUSTOMER, **TIMES, "budgets": [ALL_BUDGETS[0]]}],
    teams=[{**TEAM, **TIMES, "customer_id": "c", "budgets": [ALL_BUDGETS[1]]}],
    virtual_keys=[
        {
            **{**KEY, **TIMES, "value": "sk-bf-1", "team_id": "t"},
            "budgets": [ALL_BUDGETS[2]],
            "provider_configs": [{"provider": "openai", "budgets": [ALL_BUDGETS[3]]}],
        }
    ],
)
OWNED = governance(
    budgets=[
        {**ALL_BUDGETS[0], "customer_id": "c"},
        {**ALL_BUDGETS[1], "team_id": "t"},
        {**ALL_BUDGETS[2], "virtual_key_id": "v"},
    ],
    customers=[{**CUSTOMER, **TIMES}],
    teams=[{**TEAM, **TIMES, "customer_id": "c"}],
    virtual_keys=[
        {
            **{**KEY, **TIMES, "value": "sk-bf-1", "team_id": "t"},
            "provider_configs": [
                {"provider": "openai", "key_ids": ["*"], "budgets": [ALL_BUDGETS[3]]}
            ],
        }
    ],
)


@pytest.mark.parametrize("newer", [INLINE, OWNED], ids=["inline", "owned"])
def test_older_and_newer_links_give_the_same_answers(
    write: Callable[..., Path], tmp_path: Path, newer: Any
) -> None:
    load_files([write(OLDER_LINKS)], tmp_path / "older.db")
    load_files([write(newer)], tmp_path / "newer.db")

    older = answers(tmp_path / "older.db")

    assert older["customers"][0]["budget"]["id"] == "b-c"
    assert older == answers(tmp_path / "newer.db")


PROVIDERS = {
    "openai": {
        "keys": [
            {"name": "first", "key_id": "uuid-1"},
            {"name": "second", "id": "uuid-2"},
            {"name": "third", "key_id": "uuid-3"},
        ]
    }
}


@pytest.mark.parametrize(
    ("given", "allow_all", "attached"),
    [
        ({"allowed_keys": ["first", "uuid-3"]}, False, ["first", "third"]),
        ({"allowed_keys": []}, True, []),
        ({}, True, []),
        ({"key_ids": ["uuid-2", "first"]}, False, ["first", "second"]),
        ({"key_ids": ["*"]}, True, []),
        ({"key_ids": []}, False, []),
        ({"key_ids": [], "allow_all_keys": True}, True, []),
        ({"keys": [{"name": "second"}]}, False, ["second"]),
        ({"keys": [{"key_id": "uuid-3"}]}, False, ["third"]),
    ],
)
def test_provider_keys_are_named_by_name_or_id(
    load: Load, database: Path, given: Any, allow_all: bool, attached: list[str]
) -> None:
    key = {**KEY, "team_id": "t", "provider_configs": [{"provider": "openai", **given}]}

    load({"providers": PROVIDERS, **governance(teams=[TEAM], virtual_keys=[key])})

    config = the_key(database)["provider_configs"][0]
    assert config["allow_all_keys"] is allow_all
    assert [attached["name"] for attached in config["keys"]] == attached


@pytest.mark.parametrize(
    "reference",
    [
        {"mcp_client_name": "tickets"},
        {"mcp_client_name": "uuid-2"},
        {"mcp_client_id": "uuid-2"},
        {"mcp_client_id": 2},
    ],
)
def test_mcp_clients_are_named_by_name_or_id(
    load: Load, database: Path, reference: Any
) -> None:
    clients = [{"name": "weather"}, {"name": "tickets", "client_id": "uuid-2"}]
    key = {**KEY, "team_id": "t", "mcp_configs": [reference]}

    load(
        {
            "mcp": {"client_configs": clients},
            **governance(teams=[TEAM], virtual_keys=[key]),
        }
    )

    assert the_key(database)["mcp_configs"][0]["mcp_client_name"] == "tickets"


# Secrets

SECRETS = {
    "providers": {
        "openai": {
            "keys": [
                {"name": "text", "value": "SECRET-1"},
                {"name": "object", "value": {"value": "SECRET-2", "env_var": ""}},
                {"name": "azure", "azure_key_config": {"client_secret": "SECRET-3"}},
                {"name": "vertex", "vertex_key_config": {"region": "SECRET-4"}},
                {"name": "aws", "bedrock_key_config": {"secret_key": "SECRET-5"}},
            ]
        }
    },
    "mcp": {
        "client_configs": [
            {
                "name": "tickets",
                "connection_string": "https://u:SECRET-6@h/mcp?key=SECRET-7",
                "headers": {
                    "Authorization": "Bearer SECRET-8",
                    "Other": {"value": "SECRET-9"},
                },
            }
        ]
    },
}


def test_provider_secrets_are_nowhere_in_the_file(load: Load, database: Path) -> None:
    load(SECRETS)

    assert database.exists()
    assert b"SECRET" not in b"".join(files_in(database.parent).values())


def test_provider_secrets_are_nowhere_in_a_complaint(
    problems: Callable[[Any], list[str]],
) -> None:
    lines = problems({**SECRETS, **governance(teams=[{}])})

    assert "SECRET" not in "\n".join(lines)


@pytest.mark.parametrize(
    "value", ["env.MAIN", {"env_var": "env.MAIN", "value": "SECRET", "from_env": True}]
)
def test_the_variable_of_a_secret_is_kept(
    load: Load, database: Path, value: Any
) -> None:
    load({"providers": {"openai": {"keys": [{"name": "k", "value": value}]}}})

    assert select(database, "SELECT value FROM config_keys") == [("env.MAIN",)]


# Virtual keys' values

UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.mark.parametrize("given", [{}, {"value": ""}, {"value": None}])
def test_a_virtual_key_without_a_value_gets_one(
    load: Load, database: Path, given: Any
) -> None:
    load(governance(teams=[TEAM], virtual_keys=[{**KEY, "team_id": "t", **given}]))

    assert re.fullmatch(f"sk-bf-{UUID4}", the_key(database)["value"])


def test_a_made_value_stays_when_the_key_is_loaded_again(
    load: Load, database: Path
) -> None:
    load(governance(teams=[TEAM], virtual_keys=[{**KEY, "team_id": "t"}]))
    before = the_key(database)

    load(
        governance(
            teams=[TEAM], virtual_keys=[{**KEY, "team_id": "t", "description": "new"}]
        )
    )

    after = the_key(database)
    assert after["description"] == "new"
    assert after["value"] == before["value"]


def test_a_loaded_virtual_key_is_found_by_its_value(load: Load, database: Path) -> None:
    load(governance(virtual_keys=[{**KEY, "value": "sk-bf-first"}]))
    load(governance(virtual_keys=[{**KEY, "value": "sk-bf-second"}]))

    hashes = select(database, "SELECT value_hash FROM governance_virtual_keys")

    assert hashes == [(hashlib.sha256(b"sk-bf-second").hexdigest(),)]


# Loading again


SPENDING = governance(
    teams=[{**TEAM, "budgets": [BUDGET], "rate_limit_id": "r"}], rate_limits=[LIMIT]
)


def spend(database: Path) -> None:
    """Write what a gateway would once something was spent, and reset."""
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(
            "UPDATE governance_budgets SET current_usage = 7.5,"
            " last_reset = '2026-05-05 00:00:00+00:00'"
        )
        connection.execute("UPDATE governance_rate_limits SET token_current_usage = 8")
    connection.close()


def test_usage_and_times_stay_when_loaded_again(load: Load, database: Path) -> None:
    load(SPENDING)
    spend(database)
    before = answers(database)

    load(SPENDING)

    assert answers(database) == before
    assert before["teams"][0]["budget"]["current_usage"] == 7.5


def test_replace_leaves_nothing_of_usage_that_the_file_does_not_speak_of(
    load: Load, database: Path
) -> None:
    load(SPENDING)
    before = answers(database)
    spend(database)

    load(SPENDING, replace=True)

    (team,) = answers(database)["teams"]
    (as_before,) = before["teams"]
    for limit in (team["budget"], as_before["budget"]):
        del limit["updated_at"]
    for limit in (team["rate_limit"], as_before["rate_limit"]):
        del limit["updated_at"]
    assert team["budget"] == as_before["budget"]
    assert team["rate_limit"] == as_before["rate_limit"]


def test_usage_that_a_replacing_file_speaks_of_is_taken_from_it(
    load: Load, database: Path
) -> None:
    load(SPENDING)
    used = {**BUDGET, "current_usage": 3, "last_reset": WHEN}

    load(governance(teams=[{**TEAM, "budgets": [used]}]), replace=True)

    budget = answers(database)["teams"][0]["budget"]
    assert (budget["current_usage"], budget["last_reset"]) == (3, WHEN)


def test_usage_that_the_file_speaks_of_is_taken_from_it(
    load: Load, database: Path
) -> None:
    load(governance(teams=[{**TEAM, "budgets": [{**BUDGET, "current_usage": 1}]}]))

    load(governance(teams=[{**TEAM, "budgets": [{**BUDGET, "current_usage": 2}]}]))

    assert answers(database)["teams"][0]["budget"]["current_usage"] == 2


def test_only_what_changed_has_a_new_updated_at(load: Load, database: Path) -> None:
    load(governance(teams=[TEAM, {"id": "u", "name": "Other"}]))
    before = {team["id"]: team for team in answers(database)["teams"]}

    counts = load(
        governance(teams=[{**TEAM, "name": "New"}, {"id": "u", "name": "Other"}])
    )

    after = {team["id"]: team for team in answers(database)["teams"]}
    assert counts == {"added": 0, "changed": 1, "removed": 0}
    assert after["u"] == before["u"]
    assert after["t"]["updated_at"] > before["t"]["updated_at"]
    assert after["t"]["created_at"] == before["t"]["created_at"]


def test_a_field_that_the_file_no_longer_has_is_unset(
    load: Load, database: Path
) -> None:
    load(governance(teams=[{**TEAM, "profile": {"tier": "gold"}}]))

    load(governance(teams=[TEAM]))

    assert answers(database)["teams"][0]["profile"] == {}


def test_a_virtual_keys_configs_are_those_of_the_last_file(
    load: Load, database: Path
) -> None:
    def key(*providers: str) -> dict[str, Any]:
        configs = [{"provider": p, "budgets": [{**BUDGET, "id": p}]} for p in providers]
        return {**KEY, "team_id": "t", "provider_configs": configs}

    load(governance(teams=[TEAM], virtual_keys=[key("openai", "azure")]))
    load(governance(teams=[TEAM], virtual_keys=[key("azure", "vertex")]))

    configs = the_key(database)["provider_configs"]
    assert [(c["id"], c["provider"]) for c in configs] == [(2, "azure"), (3, "vertex")]
    assert select(database, "SELECT id FROM governance_budgets ORDER BY id") == [
        ("azure",),
        ("vertex",),
    ]


def test_what_a_file_does_not_speak_of_stays(load: Load, database: Path) -> None:
    load(governance(customers=[CUSTOMER], teams=[TEAM]))

    load(governance(teams=[{"id": "u", "name": "Other"}]))

    both = answers(database)
    assert [team["id"] for team in both["teams"]] == ["t", "u"]
    assert [customer["id"] for customer in both["customers"]] == ["c"]


def test_a_second_file_may_refer_to_what_the_first_loaded(
    load: Load, database: Path
) -> None:
    load(
        {
            "providers": PROVIDERS,
            "mcp": {"client_configs": [{"name": "tickets"}]},
            **governance(customers=[CUSTOMER], rate_limits=[LIMIT], budgets=[BUDGET]),
        }
    )

    load(
        governance(
            teams=[
                {**TEAM, "customer_id": "c", "rate_limit_id": "r", "budget_id": "b"}
            ],
            virtual_keys=[
                {
                    **{**KEY, "team_id": "t"},
                    "provider_configs": [{"provider": "openai", "keys": ["first"]}],
                    "mcp_configs": [{"mcp_client_name": "tickets"}],
                }
            ],
        )
    )

    team = answers(database)["teams"][0]
    assert team["customer"]["id"] == "c"
    assert (team["rate_limit"]["id"], team["budget"]["id"]) == ("r", "b")
    assert the_key(database)["provider_configs"][0]["keys"][0]["name"] == "first"


def test_files_of_one_command_may_refer_to_each_other(
    write: Callable[..., Path], database: Path
) -> None:
    teams = write(governance(teams=[{**TEAM, "customer_id": "c"}]), "teams.json")
    customers = write(governance(customers=[CUSTOMER]), "customers.json")

    load_files([teams, customers], database)

    assert answers(database)["teams"][0]["customer"]["name"] == "Customer"


def test_replace_removes_what_is_not_in_the_files_and_keeps_the_rest(
    load: Load, database: Path
) -> None:
    keys = [{**KEY, "team_id": "t"}, {"id": "w", "name": "Other"}]
    load({**FULL, **governance(teams=[TEAM], virtual_keys=keys)})
    before = the_key(database)

    counts = load(
        governance(teams=[TEAM], virtual_keys=[{**KEY, "team_id": "t"}]), replace=True
    )

    assert counts == {"added": 0, "changed": 0, "removed": 4}
    assert the_key(database) == before
    assert answers(database)["customers"] == []


def test_replace_takes_no_reference_to_what_it_removes(
    load: Load, problems: Callable[[Any], list[str]], database: Path, tmp_path: Path
) -> None:
    load(governance(customers=[CUSTOMER]))
    before = database.read_bytes()

    with pytest.raises(LoadError, match='no customer "c"'):
        load(governance(teams=[{**TEAM, "customer_id": "c"}]), replace=True)

    assert database.read_bytes() == before


def test_two_virtual_keys_may_swap_their_values(load: Load, database: Path) -> None:
    first, second = {"id": "v", "name": "V"}, {"id": "w", "name": "W"}
    one, two = "sk-bf-1", "sk-bf-2"
    load(governance(virtual_keys=[{**first, "value": one}, {**second, "value": two}]))

    load(governance(virtual_keys=[{**first, "value": two}, {**second, "value": one}]))

    values = select(
        database, "SELECT id, value FROM governance_virtual_keys ORDER BY id"
    )
    assert values == [("v", two), ("w", one)]


# What is wrong, and where


def config_of(**config: Any) -> dict[str, Any]:
    """A virtual key with this one provider config, in a whole file."""
    key = {**KEY, "provider_configs": [{"provider": "openai", **config}]}
    return governance(virtual_keys=[key])


VIRTUAL_KEY_AT = "governance.virtual_keys[0]"

UNKNOWN = [
    (
        governance(teams=[TEAM, {"id": "u", "name": "U", "customer_id": "cust-9"}]),
        'governance.teams[1].customer_id: no customer "cust-9"',
    ),
    (
        governance(customers=[{**CUSTOMER, "rate_limit_id": "r-9"}]),
        'governance.customers[0].rate_limit_id: no rate limit "r-9"',
    ),
    (
        governance(customers=[{**CUSTOMER, "budget_id": "b-9"}]),
        'governance.customers[0].budget_id: no budget "b-9"',
    ),
    (
        governance(teams=[{**TEAM, "rate_limit_id": "r-9"}]),
        'governance.teams[0].rate_limit_id: no rate limit "r-9"',
    ),
    (
        governance(teams=[{**TEAM, "budget_id": "b-9"}]),
        'governance.teams[0].budget_id: no budget "b-9"',
    ),
    (
        governance(virtual_keys=[{**KEY, "team_id": "t-9"}]),
        f'{VIRTUAL_KEY_AT}.team_id: no team "t-9"',
    ),
    (
        governance(virtual_keys=[{**KEY, "customer_id": "c-9"}]),
        f'{VIRTUAL_KEY_AT}.customer_id: no customer "c-9"',
    ),
    (
        governance(virtual_keys=[{**KEY, "rate_limit_id": "r-9"}]),
        f'{VIRTUAL_KEY_AT}.rate_limit_id: no rate limit "r-9"',
    ),
    (
        governance(virtual_keys=[{**KEY, "budget_id": "b-9"}]),
        f'{VIRTUAL_KEY_AT}.budget_id: no budget "b-9"',
    ),
    (
        config_of(rate_limit_id="r-9"),
        f'{VIRTUAL_KEY_AT}.provider_configs[0].rate_limit_id: no rate limit "r-9"',
    ),
    (
        config_of(budget_id="b-9"),
        f'{VIRTUAL_KEY_AT}.provider_configs[0].budget_id: no budget "b-9"',
    ),
    (
        config_of(keys=["k-9"]),
        f'{VIRTUAL_KEY_AT}.provider_configs[0].keys: no provider key "k-9"',
    ),
    (
        config_of(key_ids=["k-9"]),
        f'{VIRTUAL_KEY_AT}.provider_configs[0].key_ids: no provider key "k-9"',
    ),
    (
        config_of(allowed_keys=["k-9"]),
        f'{VIRTUAL_KEY_AT}.provider_configs[0].allowed_keys: no provider key "k-9"',
    ),
    (
        governance(budgets=[{**BUDGET, "team_id": "t-9"}]),
        'governance.budgets[0].team_id: no team "t-9"',
    ),
    (
        governance(budgets=[{**BUDGET, "customer_id": "c-9"}]),
        'governance.budgets[0].customer_id: no customer "c-9"',
    ),
    (
        governance(budgets=[{**BUDGET, "virtual_key_id": "v-9"}]),
        'governance.budgets[0].virtual_key_id: no virtual key "v-9"',
    ),
    (
        governance(budgets=[{**BUDGET, "provider_config_id": 9}]),
        'governance.budgets[0].provider_config_id: no provider config "9"',
    ),
    (
        governance(budgets=[{**BUDGET, "model_config_id": "m-9"}]),
        'governance.budgets[0].model_config_id: no model config "m-9"',
    ),
    (
        governance(model_configs=[{"model_name": "*", "budget_ids": ["b-9"]}]),
        'governance.model_configs[0].budget_ids[0]: no budget "b-9"',
    ),
    (
        governance(model_configs=[{"model_name": "*", "rate_limit_id": "r-9"}]),
        'governance.model_configs[0].rate_limit_id: no rate limit "r-9"',
    ),
]


@pytest.mark.parametrize(("config", "line"), UNKNOWN, ids=[line for _, line in UNKNOWN])
def test_an_unknown_reference_is_reported_with_its_place(
    problems: Callable[[Any], list[str]], config: Any, line: str
) -> None:
    assert problems(config) == [line]


MISSING = [
    (governance(customers=[{}]), "governance.customers[0].id: is missing"),
    (governance(teams=[TEAM, {"name": None}]), "governance.teams[1].id: is missing"),
    (governance(teams=[{"id": ""}]), "governance.teams[0].id: is empty"),
    (governance(virtual_keys=[{}]), f"{VIRTUAL_KEY_AT}.id: is missing"),
    (
        governance(virtual_keys=[{**KEY, "provider_configs": [{}]}]),
        f"{VIRTUAL_KEY_AT}.provider_configs[0].provider: is missing",
    ),
    (
        governance(budgets=[{"max_limit": 1, "reset_duration": "1d"}]),
        "governance.budgets[0].id: is missing",
    ),
    (
        governance(budgets=[{"id": "b", "reset_duration": "1d"}]),
        "governance.budgets[0].max_limit: is missing",
    ),
    (
        governance(budgets=[{"id": "b", "max_limit": 1}]),
        "governance.budgets[0].reset_duration: is missing",
    ),
    (
        governance(rate_limits=[{"token_max_limit": 1, "token_reset_duration": "1h"}]),
        "governance.rate_limits[0].id: is missing",
    ),
    (
        governance(rate_limits=[{"id": "r", "token_max_limit": 1}]),
        "governance.rate_limits[0].token_reset_duration:"
        " is missing beside token_max_limit",
    ),
    (
        governance(rate_limits=[{"id": "r", "request_max_limit": 1}]),
        "governance.rate_limits[0].request_reset_duration:"
        " is missing beside request_max_limit",
    ),
    (
        {"mcp": {"client_configs": [{"client_id": "x"}]}},
        "mcp.client_configs[0].name: is missing",
    ),
]


@pytest.mark.parametrize(("config", "line"), MISSING, ids=[line for _, line in MISSING])
def test_a_missing_id_or_name_is_reported_with_its_place(
    problems: Callable[[Any], list[str]], config: Any, line: str
) -> None:
    assert problems(config) == [line]


WRONG_TYPES = [
    ({"governance": []}, "governance: must be an object"),
    ({"providers": 3}, "providers: must be an object"),
    ({"providers": {"openai": 3}}, "providers.openai: must be an object"),
    ({"mcp": 3}, "mcp: must be an object"),
    (governance(teams={}), "governance.teams: must be an array"),
    (governance(teams=[3]), "governance.teams[0]: must be an object"),
    (governance(teams=[TEAM, "x"]), "governance.teams[1]: must be an object"),
    (governance(teams=[{**TEAM, "id": 3}]), "governance.teams[0].id: must be text"),
    (
        governance(teams=[{**TEAM, "name": []}]),
        "governance.teams[0].name: must be text",
    ),
    (
        governance(teams=[{**TEAM, "customer_id": 3}]),
        "governance.teams[0].customer_id: must be text",
    ),
    (
        governance(teams=[{**TEAM, "profile": "{}"}]),
        "governance.teams[0].profile: must be an object",
    ),
    (
        governance(teams=[{**TEAM, "claims": []}]),
        "governance.teams[0].claims: must be an object",
    ),
    (
        governance(teams=[{**TEAM, "calendar_aligned": "yes"}]),
        "governance.teams[0].calendar_aligned: must be true or false",
    ),
    (
        governance(teams=[{**TEAM, "created_at": "yesterday"}]),
        "governance.teams[0].created_at: must be an RFC 3339 time",
    ),
    (
        governance(teams=[{**TEAM, "created_at": True}]),
        "governance.teams[0].created_at: must be an RFC 3339 time",
    ),
    (
        governance(virtual_keys=[{**KEY, "is_active": 1}]),
        f"{VIRTUAL_KEY_AT}.is_active: must be true or false",
    ),
    (
        governance(virtual_keys=[{**KEY, "value": 5}]),
        f"{VIRTUAL_KEY_AT}.value: must be text",
    ),
    (
        config_of(weight="1"),
        f"{VIRTUAL_KEY_AT}.provider_configs[0].weight: must be a number",
    ),
    (
        config_of(weight=-0.5),
        f"{VIRTUAL_KEY_AT}.provider_configs[0].weight: must not be below zero",
    ),
    (
        config_of(allowed_models="m"),
        f"{VIRTUAL_KEY_AT}.provider_configs[0].allowed_models:"
        " must be an array of texts",
    ),
    (
        config_of(allowed_models=[1]),
        f"{VIRTUAL_KEY_AT}.provider_configs[0].allowed_models:"
        " must be an array of texts",
    ),
    (
        config_of(key_ids="k"),
        f"{VIRTUAL_KEY_AT}.provider_configs[0].key_ids: must be an array",
    ),
    (
        config_of(key_ids=[3]),
        f"{VIRTUAL_KEY_AT}.provider_configs[0].key_ids[0]:"
        " must name a key by name or id",
    ),
    (
        {"providers": {"openai": {"keys": [{"name": "k", "value": 5}]}}},
        "providers.openai.keys[0].value: must be text",
    ),
    (
        {"mcp": {"client_configs": [{"name": "m", "headers": []}]}},
        "mcp.client_configs[0].headers: must be an object",
    ),
]


@pytest.mark.parametrize(("config", "line"), WRONG_TYPES)
def test_a_wrong_json_type_is_reported_with_its_place(
    problems: Callable[[Any], list[str]], config: Any, line: str
) -> None:
    assert problems(config) == [line]


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (-1, "must not be below zero"),
        (-0.5, "must not be below zero"),
        ("10", "must be a number"),
        (True, "must be a number"),
        ([10], "must be a number"),
    ],
)
def test_a_limit_of_a_budget_is_a_number_not_below_zero(
    problems: Callable[[Any], list[str]], limit: Any, words: str
) -> None:
    lines = problems(governance(budgets=[{**BUDGET, "max_limit": limit}]))

    assert lines == [f"governance.budgets[0].max_limit: {words}"]


@pytest.mark.parametrize("half", ["token", "request"])
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (0, "must be above zero"),
        (-1, "must be above zero"),
        (1.5, "must be a whole number"),
        (2**63, "is too large"),
        ("10", "must be a number"),
        (True, "must be a number"),
    ],
)
def test_a_rate_limit_is_a_whole_number_above_zero(
    problems: Callable[[Any], list[str]], half: str, limit: Any, words: str
) -> None:
    row = {"id": "r", f"{half}_max_limit": limit, f"{half}_reset_duration": "1h"}

    lines = problems(governance(rate_limits=[row]))

    assert lines == [f"governance.rate_limits[0].{half}_max_limit: {words}"]


@pytest.mark.parametrize(
    "duration",
    [
        "1ns",
        "5us",
        "5µs",
        "5ms",
        "90s",
        "1m",
        "1h",
        "1h30m",
        "1.5h",
        ".5h",
        "2h45m0.5s",
        "1d",
        "7d",
        "1w",
        "1M",
        "12M",
        "1Y",
        "1.5d",
        "1Q",
        "2h3d",
        "+1d",
        "daily",
        "Weekly",
        "MONTHLY",
        "yearly",
    ],
)
def test_the_gateways_durations_are_taken_as_they_are(
    load: Load, database: Path, duration: str
) -> None:
    load(
        governance(
            teams=[{**TEAM, "budgets": [{**BUDGET, "reset_duration": duration}]}]
        )
    )

    assert answers(database)["teams"][0]["budget"]["reset_duration"] == duration


NO_DURATION = (
    "is no duration; it takes Go's units (90s, 1h30m), d, w, M, Q, Y (1d), or"
    " daily, weekly, monthly, yearly"
)


@pytest.mark.parametrize(
    ("duration", "words"),
    [(text, NO_DURATION) for text in ("", "d", "1", "1x", "1D", "1y", "-1d", "-1h")]
    + [
        (text, NO_DURATION)
        for text in ("1q", "1d2h", "1M2M", "1h 30m", " 1d", "١d", "dailies")
    ]
    + [(value, NO_DURATION) for value in (3600, True, ["1d"], {"d": 1}, "1d\n")]
    + [
        (text, "must be above zero")
        for text in ("0d", "0h", "0s", "0h0m0.0s", "00M", "0Q", "+0d")
    ],
)
def test_what_is_no_duration_is_reported_with_its_place(
    problems: Callable[[Any], list[str]], duration: Any, words: str
) -> None:
    lines = problems(governance(budgets=[{**BUDGET, "reset_duration": duration}]))

    assert lines == [f"governance.budgets[0].reset_duration: {words}"]


@pytest.mark.parametrize("half", ["token", "request"])
def test_a_wrong_duration_of_a_rate_limit_is_not_also_said_to_be_missing(
    problems: Callable[[Any], list[str]], half: str
) -> None:
    row = {"id": "r", f"{half}_max_limit": 1, f"{half}_reset_duration": "1x"}

    lines = problems(governance(rate_limits=[row]))

    assert lines == [f"governance.rate_limits[0].{half}_reset_duration: {NO_DURATION}"]


@pytest.mark.parametrize(
    ("name", "row"),
    {
        "budgets": BUDGET,
        "rate_limits": LIMIT,
        "customers": CUSTOMER,
        "teams": TEAM,
        "virtual_keys": KEY,
    }.items(),
)
def test_a_duplicate_id_is_reported_with_both_places(
    problems: Callable[[Any], list[str]], tmp_path: Path, name: str, row: Any
) -> None:
    other = {**row, "id": "other", "name": "Other"}

    lines = problems(governance(**{name: [row, other, row]}))

    place = f"governance.{name}[2].id"
    assert lines == [f'{place}: "{row["id"]}" is also at governance.{name}[0]']


def test_a_duplicate_id_is_found_across_files(
    write: Callable[..., Path], database: Path
) -> None:
    first = write(governance(teams=[TEAM]), "first.json")
    second = write(governance(teams=[TEAM]), "second.json")

    with pytest.raises(LoadError) as wrong:
        load_files([first, second], database)

    assert wrong.value.problems == [
        f'{second}: governance.teams[0].id: "t" is also at {first}: governance.teams[0]'
    ]


@pytest.mark.parametrize("column", ["name", "value"])
def test_a_duplicate_name_or_value_is_reported_and_not_shown(
    problems: Callable[[Any], list[str]], column: str
) -> None:
    twice = {column: "sk-bf-the-same"}
    keys = [{**KEY, **twice}, {"id": "w", "name": "W"}, {"id": "x", "name": "X"}]
    keys[2] |= twice

    lines = problems(governance(virtual_keys=keys))

    assert lines == [
        f"governance.virtual_keys[2].{column}:"
        " is that of governance.virtual_keys[0] too"
    ]


@pytest.mark.parametrize("column", ["name", "value"])
def test_a_name_or_value_that_the_database_has_is_reported_and_not_shown(
    load: Load, problems: Callable[[Any], list[str]], column: str
) -> None:
    load(governance(virtual_keys=[{**KEY, column: "sk-bf-the-same"}]))
    other = {"id": "w", "name": "W", column: "sk-bf-the-same"}

    lines = problems(governance(virtual_keys=[other]))

    assert lines == [f'{VIRTUAL_KEY_AT}.{column}: is that of "v" in the database too']


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (
            {"providers": {"openai": {"keys": [{"name": "k"}, {"name": "k"}]}}},
            "providers.openai.keys[1].name:",
        ),
        (
            {"providers": {p: {"keys": [{"name": "k"}]} for p in ("openai", "azure")}},
            "providers.azure.keys[0].name:",
        ),
        (
            {"mcp": {"client_configs": [{"name": "m"}, {"name": "m"}]}},
            "mcp.client_configs[1].name:",
        ),
    ],
)
def test_a_duplicate_provider_key_or_mcp_client_is_reported_at_its_name(
    problems: Callable[[Any], list[str]], config: Any, place: str
) -> None:
    (line,) = problems(config)

    assert line.startswith(place)


def test_a_virtual_key_of_both_a_team_and_a_customer_is_reported(
    problems: Callable[[Any], list[str]],
) -> None:
    key = {**KEY, "team_id": "t", "customer_id": "c"}

    lines = problems(governance(customers=[CUSTOMER], teams=[TEAM], virtual_keys=[key]))

    assert lines == [
        f"{VIRTUAL_KEY_AT}.customer_id:"
        " a virtual key belongs to a team or a customer, not both"
    ]


def test_a_budget_of_two_owners_is_reported(
    problems: Callable[[Any], list[str]],
) -> None:
    teams = [{**TEAM, "budget_id": "b"}, {"id": "u", "name": "U", "budget_id": "b"}]

    lines = problems(governance(budgets=[BUDGET], teams=teams))

    assert lines == [
        'governance.teams[1].budget_id: budget "b" is of team "t" already;'
        ' give team "u" a budget of its own'
    ]


def test_all_that_is_wrong_is_reported_at_once(
    write: Callable[..., Path], database: Path
) -> None:
    first = write(
        {
            "providers": {"openai": {"keys": [{"name": 5}]}},
            **governance(teams=[{}], budgets=[{**BUDGET, "max_limit": -1}]),
        },
        "first.json",
    )
    second = write(
        governance(
            teams=[{"id": "u", "name": "U", "customer_id": "c-9"}],
            virtual_keys=[{**KEY, "team_id": "t-9"}],
        ),
        "second.json",
    )

    with pytest.raises(LoadError) as wrong:
        load_files([first, second], database)

    assert sorted(wrong.value.problems) == [
        f"{first}: governance.budgets[0].max_limit: must not be below zero",
        f"{first}: governance.teams[0].id: is missing",
        f"{first}: providers.openai.keys[0].name: must be text",
        f'{second}: governance.teams[0].customer_id: no customer "c-9"',
        f'{second}: governance.virtual_keys[0].team_id: no team "t-9"',
    ]


@pytest.mark.parametrize("document", [[], "null", {"unknown": 1}, '"text"'])
def test_a_file_of_no_known_kind_is_refused(
    write: Callable[..., Path], database: Path, document: Any
) -> None:
    with pytest.raises(LoadError) as refused:
        load_files([write(document)], database)

    expected = "is neither a gateway's config.json nor one of its answers"
    assert refused.value.problems[0].endswith(expected)


@pytest.mark.parametrize("second", ["{", None], ids=["not JSON", "missing"])
def test_a_file_that_cannot_be_read_hides_no_problem_of_another(
    write: Callable[..., Path], database: Path, tmp_path: Path, second: str | None
) -> None:
    first = write(governance(teams=[{}]), "first.json")
    other = write(second, "second.json") if second else tmp_path / "second.json"

    with pytest.raises(LoadError) as wrong:
        load_files([first, other], database)

    assert f"{first}: governance.teams[0].id: is missing" in wrong.value.problems
    assert len(wrong.value.problems) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column 1: is not JSON: "),
        ("{", "line 1, column 2: is not JSON: "),
        ('{"a": 1,\n  b}', "line 2, column 3: is not JSON: "),
        ('{\n"governance": {\n"teams": [1,]}}', "line 3, column 12: is not JSON: "),
    ],
)
def test_what_is_not_json_is_reported_with_line_and_column(
    problems: Callable[[Any], list[str]], text: str, words: str
) -> None:
    (line,) = problems(text)

    assert line.startswith(words)


def test_a_file_that_is_not_there_is_named(database: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadError) as wrong:
        load_files([tmp_path / "none.json"], database)

    assert wrong.value.problems == [
        f"{tmp_path}/none.json: cannot be read: No such file or directory"
    ]


# All or nothing

WRONG = [
    "{",
    governance(teams=[{}]),
    governance(teams=[{**TEAM, "customer_id": "cust-9"}]),
    governance(teams=[{"id": "new", "name": "New"}, TEAM, TEAM]),
]


@pytest.mark.parametrize("config", WRONG)
@pytest.mark.parametrize("replace", [False, True])
def test_nothing_changes_when_anything_is_wrong(
    load: Load, database: Path, config: Any, replace: bool
) -> None:
    load(FULL)
    before = files_in(database.parent)

    with pytest.raises(LoadError):
        load(config, replace=replace)

    assert files_in(database.parent) == before


@pytest.mark.parametrize("config", WRONG)
def test_no_file_is_made_when_anything_is_wrong(
    load: Load, database: Path, config: Any
) -> None:
    with pytest.raises(LoadError):
        load(config)

    assert not database.exists()
    assert files_in(database.parent) == {}


def test_nothing_changes_when_writing_fails(
    load: Load, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(FULL)
    before = files_in(database.parent)
    monkeypatch.setattr("store.own_tables.OwnTables.insert", _raise)

    with pytest.raises(RuntimeError):
        load(governance(teams=[{**TEAM, "name": "New"}]), replace=True)

    assert files_in(database.parent) == before


def test_no_file_is_made_when_writing_fails(
    load: Load, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.own_tables.OwnTables.insert", _raise)

    with pytest.raises(RuntimeError):
        load(FULL)

    assert files_in(database.parent) == {}


def _raise(*args: Any) -> None:
    raise RuntimeError("the test's own")


# What is not ours


@in_all_layouts
def test_a_gateways_database_is_refused_untouched(
    load: Load, database: Path, layout: Any
) -> None:
    database.parent.mkdir()
    fill(Gateway(database, layout))
    before = files_in(database.parent)

    with pytest.raises(NotOurs) as refused:
        load(governance(teams=[TEAM]), replace=True)

    assert str(refused.value) == (
        f"{database} was not made by this service: a gateway's database is never"
        " written. Name another file in GOVERNANCE_DATABASE to load into."
    )
    assert files_in(database.parent) == before


def test_a_gateways_database_with_a_log_is_refused_untouched(
    load: Load, database: Path, tmp_path: Path
) -> None:
    live = Gateway(tmp_path / "live.db")
    connection = sqlite3.connect(live.path)
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("INSERT INTO governance_teams (id) VALUES ('logged')")
    database.parent.mkdir()
    # As a gateway that was killed leaves them.
    shutil.copy(live.path, database)
    shutil.copy(f"{live.path}-wal", f"{database}-wal")
    connection.close()
    before = files_in(database.parent)

    with pytest.raises(NotOurs):
        load(governance(teams=[TEAM]))

    after = files_in(database.parent)
    assert after["governance.db"] == before["governance.db"]
    assert after["governance.db-wal"] == before["governance.db-wal"]


def test_what_is_no_database_is_refused_untouched(load: Load, database: Path) -> None:
    database.parent.mkdir()
    database.write_text("this is a letter, not a database\n" * 100)
    before = files_in(database.parent)

    with pytest.raises(NotOurs) as refused:
        load(governance(teams=[TEAM]))

    assert str(refused.value) == (
        f"{database} cannot be written: it is not an SQLite database"
    )
    assert files_in(database.parent) == before


def test_a_directory_is_refused_with_a_sentence(load: Load, database: Path) -> None:
    database.mkdir(parents=True)

    with pytest.raises(NotOurs, match=re.escape(str(database))):
        load(governance(teams=[TEAM]))


def test_a_place_below_a_file_is_refused_with_a_sentence(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotOurs, match=r"governance\.db"):
        load_files(
            [write(governance(teams=[TEAM]))], tmp_path / "file" / "governance.db"
        )


def test_a_locked_database_is_named_and_nothing_changes(
    load: Load, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(governance(teams=[TEAM]))
    monkeypatch.setattr("store.own.BUSY_SECONDS", 0.05)
    before = database.read_bytes()
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(NotOurs) as refused:
        load(governance(teams=[{**TEAM, "name": "New"}]))

    holder.close()
    assert str(refused.value) == (
        f"{database} cannot be written: it is locked by another process"
    )
    assert database.read_bytes() == before


# A real gateway's own


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real gateway's config.json, and both answers: ours and its own's."""
    if not CAPTURES:
        pytest.skip("GATEWAY_CAPTURES names no captures of a real gateway")
    folder = tmp_path_factory.mktemp("captures")
    shutil.copy(Path(CAPTURES) / "config.db", folder)
    config = Path(CAPTURES) / "config.json"
    load_files([config], folder / "governance.db")
    return {
        "config": json.loads(config.read_bytes())["governance"],
        "loaded": answers(folder / "governance.db"),
        "real": answers(folder / "config.db"),
    }


def test_a_real_config_gives_the_answers_of_its_gateways_database(
    captured: dict[str, Any], name: str
) -> None:
    ids = [entity["id"] for entity in captured["config"][name]]

    loaded = {entity["id"]: entity for entity in captured["loaded"][name]}
    real = {entity["id"]: entity for entity in captured["real"][name]}

    assert list(loaded) == ids
    for entity_id in ids:
        assert comparable(loaded[entity_id]) == comparable(real[entity_id])
