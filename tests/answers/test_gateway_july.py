"""Our answers against those that gateways of July 2026 gave of the same data.

Needs their databases and captured responses, in the folders that GATEWAY_JULY (with
SQLite) and GATEWAY_POSTGRES (with PostgreSQL, as a dump) name.
"""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from capture_folders import folder_of, restore
from captures import KINDS, Entity, by_id, entities, identity
from flask import Flask
from gateway import T0

Ask = Callable[[Path, str], Any]

LISTS = ["teams", "customers"]
FOLDERS = ["GATEWAY_JULY", "GATEWAY_POSTGRES"]


class Captured(NamedTuple):
    """A copy of a gateway's database, and what it answered."""

    database: Path
    responses: Path

    def answer(self, name: str) -> Any:
        return json.loads((self.responses / f"{name}.json").read_bytes())


@pytest.fixture(params=FOLDERS)
def captured(request: pytest.FixtureRequest, tmp_path: Path) -> Captured:
    folder = folder_of(request.param)
    path = tmp_path / "captured.db"
    if (folder / "config.db").exists():
        shutil.copy(folder / "config.db", path)
        path.chmod(0o600)
    else:
        restore(folder, path)
    return Captured(path, folder / "responses")


@pytest.fixture
def ask(make_app: Callable[..., Flask], api_key: str) -> Ask:
    """ask(database, "teams?limit=1"): our answer of a database."""

    def ask(path: Path, query: str) -> Any:
        client = make_app(GOVERNANCE_DATABASE=str(path)).test_client()
        return client.get(
            f"/api/governance/{query}", headers={"Authorization": f"Bearer {api_key}"}
        ).json

    return ask


@pytest.fixture
def ours(captured: Captured, ask: Ask) -> dict[str, dict[Any, Entity]]:
    """Our entities, those of keys that are attached to nothing among them."""
    with sqlite3.connect(captured.database) as connection:
        connection.execute(
            "INSERT INTO governance_teams (id, name, created_at, updated_at)"
            " VALUES ('of-nobody', 'Nobody', ?, ?)",
            (T0, T0),
        )
        connection.execute(
            "UPDATE governance_virtual_keys SET team_id = 'of-nobody'"
            " WHERE coalesce(team_id, customer_id, '') = ''"
        )
    connection.close()
    return by_id([ask(captured.database, name) for name in LISTS])


PARTLY = "the gateway loads only some columns of an attached key; documented are all"
UNSET = "null where unset; the contract says {} and []"
SECRET = "shows what is stored and what it leads to; we never do"
COUNTED = "counts a team's keys in the teams list only"
RESETS = "the database was copied later, and windows of a minute began anew"
NEW = "the documents do not know it"
OTHERWISE = {
    ("Team", "profile"): UNSET,
    ("Team", "config"): UNSET,
    ("Team", "claims"): UNSET,
    ("Team", "virtual_key_count"): COUNTED,
    ("RateLimit", "token_last_reset"): RESETS,
    ("RateLimit", "request_last_reset"): RESETS,
    ("ProviderKey", "provider_id"): PARTLY,
    ("ProviderKey", "value"): PARTLY,
    ("ProviderKey", "weight"): PARTLY,
    ("ProviderKey", "created_at"): PARTLY,
    ("ProviderKey", "updated_at"): PARTLY,
    ("ProviderKey", "config_hash"): PARTLY,
    ("ProviderKey", "use_for_batch_api"): PARTLY,
    ("McpClient", "connection_string"): SECRET,
    ("McpClient", "headers"): SECRET,
    ("McpClient", "per_user_header_keys"): UNSET,
}
SOMETIMES = {("RateLimit", "token_last_reset"), ("RateLimit", "request_last_reset")}
THEIRS_ALONE = {
    ("Team", "source_id"): NEW,
    ("Budget", "model_config_id"): "we name the owner that the model config governs",
    ("ProviderKey", "status"): NEW,
    ("ProviderKey", "blacklisted_models"): NEW,
    ("McpClient", "oauth_config_id"): "null where unset; the contract leaves it out",
    **{
        ("McpClient", key): NEW
        for key in (
            "id",
            "connection_type",
            "is_ping_available",
            "tool_sync_interval",
            "auth_type",
            "allowed_extra_headers",
            "config_hash",
            "created_at",
            "updated_at",
        )
    },
}


def differing(theirs: Any, ours: dict[str, dict[Any, Entity]]) -> set[tuple[str, str]]:
    """(kind, key) of each value of theirs that is not ours, relations aside."""
    return {
        (kind, key)
        for kind, entity in entities(theirs)
        for key, value in entity.items()
        if key not in KINDS
        and (known := ours[kind].get(identity(entity))) is not None
        and known.get(key) != value
        and (key in known or (kind, key) not in THEIRS_ALONE)
    }


ANSWERS = ["teams", "customers", "virtual-keys"]
ANSWERS += ["budgets", "rate-limits", "model-configs"]


@pytest.mark.parametrize("name", ANSWERS)
def test_every_value_is_the_gateways_but_those_with_a_reason(
    captured: Captured, ours: dict[str, dict[Any, Entity]], name: str
) -> None:
    theirs = captured.answer(name)

    assert differing(theirs, ours) <= set(OTHERWISE)


def test_each_reason_is_needed(captured: Captured, ours: Any) -> None:
    theirs = [captured.answer(name) for name in ANSWERS]

    alone = {
        (kind, key)
        for kind, entity in entities(theirs)
        for key in set(entity) - set(ours[kind].get(identity(entity), entity))
        if key not in KINDS
    }

    assert differing(theirs, ours) | SOMETIMES == set(OTHERWISE)
    assert alone == set(THEIRS_ALONE)


def test_windows_only_begin_later_than_in_the_answers(
    captured: Captured, ours: dict[str, dict[Any, Entity]]
) -> None:
    limits = captured.answer("rate-limits")["rate_limits"]

    earlier = [
        limit["id"]
        for limit in limits
        for key in ("token_last_reset", "request_last_reset")
        if ours["RateLimit"][limit["id"]][key] < limit[key]
    ]

    assert limits
    assert earlier == []


def relations(entity: Entity) -> dict[str, Any]:
    """The ids of what an entity holds, by name; what it holds none of is left out."""
    held = {key: entity.get(key) for key in KINDS if entity.get(key)}
    return {
        key: sorted(str(identity(each)) for each in value)
        if isinstance(value, list)
        else identity(value)
        for key, value in held.items()
    }


HELD = {
    "VirtualKey": ["budgets", "rate_limit", "provider_configs", "mcp_configs"],
    "ProviderConfig": ["budgets", "rate_limit", "keys"],
    "McpConfig": ["mcp_client"],
}


@pytest.mark.parametrize("kind", HELD)
def test_what_keys_and_their_configs_hold_is_the_gateways(
    captured: Captured, ours: dict[str, dict[Any, Entity]], kind: str
) -> None:
    theirs = by_id(captured.answer("virtual-keys"))[kind]

    def held(entity: Entity) -> dict[str, Any]:
        return {k: v for k, v in relations(entity).items() if k in HELD[kind]}

    assert theirs
    assert {row_id: held(each) for row_id, each in theirs.items()} == {
        row_id: held(ours[kind][row_id]) for row_id in theirs
    }


@pytest.mark.parametrize("name", LISTS)
def test_what_teams_and_customers_hold_is_the_gateways(
    captured: Captured, ours: dict[str, dict[Any, Entity]], name: str
) -> None:
    theirs = {each["id"]: each for each in captured.answer(name)[name]}
    kind = KINDS[name]

    for row_id, entity in theirs.items():
        held = relations(entity)
        held.pop("customer", None)
        assert held.items() <= relations(ours[kind][row_id]).items()


@pytest.mark.parametrize("name", LISTS)
def test_lists_have_the_gateways_entities_and_numbers(
    captured: Captured, ask: Ask, name: str
) -> None:
    theirs = captured.answer(name)

    answer = ask(captured.database, name)

    assert {each["id"] for each in answer[name]} == {e["id"] for e in theirs[name]}
    assert [(key, value) for key, value in answer.items() if key != name] == [
        (key, theirs[key]) for key in ("count", "total_count", "limit", "offset")
    ]


def test_the_keys_of_teams_are_counted_as_by_the_gateway(
    captured: Captured, ask: Ask
) -> None:
    theirs = captured.answer("teams")["teams"]

    teams = ask(captured.database, "teams")["teams"]

    counts = {each["id"]: each["virtual_key_count"] for each in teams}
    assert counts == {each["id"]: each["virtual_key_count"] for each in theirs}


def test_budgets_of_single_models_are_those_of_the_gateways_model_configs(
    captured: Captured, ours: dict[str, dict[Any, Entity]]
) -> None:
    theirs = {
        (each["scope_id"], each["provider"], each["model_name"]): each["budgets"]
        for each in captured.answer("model-configs")["model_configs"]
        if each["scope"] == "virtual_key" and each["model_name"] != "*"
    }

    found = {
        (config["virtual_key_id"], config["provider"], each["model_name"]): each
        for config in ours["ProviderConfig"].values()
        for each in config.get("model_budgets", ())
    }

    assert len(theirs) >= 2
    assert {
        place: [budget["id"] for budget in each["budgets"]]
        for place, each in found.items()
    } == {place: [each["id"] for each in budgets] for place, budgets in theirs.items()}


@pytest.mark.parametrize("file", ["config.db", "encrypted.db"])
@pytest.mark.parametrize("name", LISTS)
def test_no_secret_of_the_gateway_is_shown(
    make_app: Callable[..., Flask], api_key: str, file: str, name: str
) -> None:
    path = folder_of("GATEWAY_JULY") / file
    client = make_app(GOVERNANCE_DATABASE=str(path)).test_client()

    answer = client.get(
        f"/api/governance/{name}", headers={"Authorization": f"Bearer {api_key}"}
    )

    assert answer.status_code == 200
    assert "SECRET" in answer.text  # in names of variables
    assert re.findall(r"(?<!_)SECRET[^\"]*", re.sub(r"env\.\w+", "", answer.text)) == []


def test_an_encrypted_database_shows_what_is_in_plain_there(ask: Ask) -> None:
    folder = folder_of("GATEWAY_JULY")

    plain, encrypted = (
        by_id(ask(folder / file, "customers")) for file in ("config.db", "encrypted.db")
    )

    clients = encrypted["McpClient"]
    assert clients["mcp-tickets"]["connection_string"] == "env.TICKETS_URL"
    assert "connection_string" not in clients["mcp-weather"]
    assert clients["mcp-shell"] == plain["McpClient"]["mcp-shell"]
    values = {key["value"]["env_var"] for key in encrypted["ProviderKey"].values()}
    assert {"env.OPENAI_KEY_1", "vault.kv/groq#key", ""} == values


def test_the_captured_data_has_keys_with_model_configs_and_without(
    captured: Captured,
) -> None:
    with sqlite3.connect(captured.database) as connection:
        (governed,) = connection.execute(
            "SELECT count(DISTINCT scope_id) FROM governance_model_configs"
            " WHERE model_name = '*' AND scope = 'virtual_key'"
        ).fetchone()
        (own,) = connection.execute(
            "SELECT count(DISTINCT virtual_key_id) FROM governance_budgets"
        ).fetchone()
    connection.close()

    assert min(governed, own) >= 3
