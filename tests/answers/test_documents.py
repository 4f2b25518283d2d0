"""The documents and a real gateway's captured responses against our answers.

Needs both, in the folders that DOCUMENTS and GATEWAY_CAPTURES name.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from captures import FREE_FORM, KINDS, by_id, entities, identity
from flask import Flask
from werkzeug.test import TestResponse

from transfer.loading import load_files

Get = Callable[..., TestResponse]

DOCUMENTS = Path(os.environ.get("DOCUMENTS", ""))
CAPTURES = Path(os.environ.get("GATEWAY_CAPTURES", ""))
DEMO = Path(__file__).parents[2] / "data" / "demo.json"

pytestmark = pytest.mark.skipif(
    not {"DOCUMENTS", "GATEWAY_CAPTURES"} <= set(os.environ),
    reason="DOCUMENTS and GATEWAY_CAPTURES name no folders",
)
names = pytest.mark.parametrize("name", ["teams", "customers"])


def examples(name: str) -> list[Any]:
    """The JSON texts that a document shows, in their order."""
    text = (DOCUMENTS / f"list-{name}.txt").read_text()
    found, decoder, start = [], json.JSONDecoder(), text.find("\n{\n")
    while start >= 0:
        value, end = decoder.raw_decode(text, start + 1)
        found.append(value)
        start = text.find("\n{\n", end)
    return found


def json_type(value: Any) -> str:
    if value == "<unknown>":  # where the customers document cuts the circle
        return "object"
    return {
        dict: "object",
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
        type(None): "null",
    }[type(value)]


def paths(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each path in a JSON value with the JSON type there."""
    yield path, json_type(value)
    if isinstance(value, dict):
        for key, member in value.items():
            if key in FREE_FORM:
                yield f"{path}.{key}", json_type(member)
            else:
                yield from paths(member, f"{path}.{key}")
    if isinstance(value, list):
        for member in value:
            yield from paths(member, f"{path}[]")


def members(value: Any, kind: str = "Answer") -> Iterator[tuple[str, str]]:
    """Each kind of entity in a JSON value with the keys it has."""
    if isinstance(value, list):
        for member in value:
            yield from members(member, kind)
    if isinstance(value, dict):
        for key, member in value.items():
            yield kind, key
            if key not in FREE_FORM:
                yield from members(member, KINDS.get(key, "EnvValue"))


@pytest.fixture
def demo(tmp_path: Path, get: Get) -> dict[str, Any]:
    """Both answers of the demo's database, each key attached to the customer, too:
    so that a customer's own keys show all that a team's keys do.
    """
    load_files([DEMO], tmp_path / "config.db")
    with sqlite3.connect(tmp_path / "config.db") as connection:
        connection.execute(
            "UPDATE governance_virtual_keys SET customer_id = (SELECT customer_id"
            " FROM governance_teams WHERE id = team_id) WHERE team_id IS NOT NULL"
        )
    connection.close()
    return {name: get(name).json for name in ("teams", "customers")}


# A budget has one owner, so only one of these, and a customer's has none.
OWNERS = {"team_id", "virtual_key_id", "provider_config_id"}


@names
def test_each_path_of_a_document_is_in_our_answer_with_its_type(
    demo: dict[str, Any], name: str
) -> None:
    documented = set(paths(examples(name)[0]))

    missing = documented - set(paths(demo[name]))

    parts = [path.rpartition(".") for path, _ in missing]
    assert {
        f"{before}.{key}"
        for before, _, key in parts
        if key not in OWNERS or not before.endswith(("budget", "budgets[]"))
    } == set()


def test_each_owner_is_named_by_some_budget(demo: dict[str, Any]) -> None:
    named = {key for kind, key in members(demo) if kind == "Budget"}

    assert named >= OWNERS


# What clients of the real gateway know of teams and customers, too.
BEYOND = ["rate_limit_id", "rate_limit", "budgets"]
BEYOND += ["calendar_aligned", "virtual_key_count"]


def test_no_key_of_ours_is_undocumented_but_those_of_the_contract(
    demo: dict[str, Any],
) -> None:
    documented = {
        pair for name in ("teams", "customers") for pair in members(examples(name)[0])
    }

    ours = {pair for name in demo for pair in members(demo[name])}

    assert ours - documented == {
        *(("Answer", key) for key in ("total_count", "limit", "offset")),
        *((owner, key) for owner in ("Team", "Customer") for key in BEYOND),
        ("Budget", "customer_id"),
        ("VirtualKey", "expires_at"),
    }


@names
def test_no_value_of_ours_has_another_type_than_documented(
    demo: dict[str, Any], name: str
) -> None:
    documented = dict(paths(examples(name)[0]))

    ours = set(paths(demo[name]))

    other = {(path, kind) for path, kind in ours if kind != documented.get(path, kind)}
    assert {path.rpartition(".")[2] for path, kind in other if kind == "null"} <= {
        "weight"
    }
    assert {path for path, kind in other if kind != "null"} == set()


def test_an_error_is_the_teams_documents_body(get: Get) -> None:
    _, documented = examples("teams")

    answer = get("teams", token=None)

    assert list(paths(answer.json)) == list(paths(documented))


@names
def test_the_documented_answer_comes_before_any_error(name: str) -> None:
    first, *errors = examples(name)

    assert list(first) == [name, "count"]
    assert len(errors) == {"teams": 1, "customers": 0}[name]


@pytest.fixture
def get_captured(tmp_path: Path, make_app: Callable[..., Flask], api_key: str) -> Get:
    """get_captured("teams", limit=1) from a copy of the captured database."""
    shutil.copy(CAPTURES / "config.db", tmp_path / "captured.db")
    client = make_app(GOVERNANCE_DATABASE=str(tmp_path / "captured.db")).test_client()

    def get(name: str, **query: Any) -> TestResponse:
        return client.get(
            f"/api/governance/{name}",
            query_string=query,
            headers={"Authorization": f"Bearer {api_key}"},
        )

    return get


def captured(name: str) -> Any:
    return json.loads((CAPTURES / "responses" / f"{name}.json").read_bytes())


PARTLY = "the gateway loads only some columns of an attached key; documented are all"
OTHERWISE = {
    ("Team", "profile"): "null where unset; the contract says {}",
    ("Team", "config"): "null where unset; the contract says {}",
    ("Team", "claims"): "null where unset; the contract says {}",
    ("ProviderKey", "provider_id"): PARTLY,
    ("ProviderKey", "value"): PARTLY,
    ("ProviderKey", "weight"): PARTLY,
    ("ProviderKey", "updated_at"): PARTLY,
    ("ProviderKey", "config_hash"): PARTLY,
    ("ProviderKey", "use_for_batch_api"): PARTLY,
    ("McpClient", "connection_string"): "shows it with its credentials; we mask them",
    ("McpClient", "headers"): "shows their values; we never do",
}

CAPTURED = [
    "teams",
    "teams.from_memory.true",
    "teams.customer_id.cust-0001",
    "teams.limit.3.offset.2",
    "teams.limit.1000",
    "customers",
    "customers.from_memory.true",
    "customers.limit.2.search.north",
    "budgets",
    "rate-limits",
    "virtual-keys",
]
captures = pytest.mark.parametrize("capture", CAPTURED)


class Shared(NamedTuple):
    """A field that both have, with their value and ours."""

    kind: str
    id: Any
    key: str
    theirs: Any
    ours: Any

    @property
    def expected_equal(self) -> bool:
        return (self.kind, self.key) not in OTHERWISE


def shared_fields(capture: str, get: Get) -> list[Shared]:
    """The fields, other than relations, that a capture and our lists both have."""
    ours = by_id({name: get(name).json[name] for name in ("teams", "customers")})
    return [
        Shared(kind, identity(theirs), key, value, ours[kind][identity(theirs)][key])
        for kind, theirs in entities(captured(capture))
        for key, value in theirs.items()
        if key not in KINDS and key in ours[kind].get(identity(theirs), {})
    ]


@captures
def test_each_field_that_both_have_is_the_real_gateways(
    get_captured: Get, capture: str
) -> None:
    shared = shared_fields(capture, get_captured)

    differing = [
        each for each in shared if each.expected_equal and each.theirs != each.ours
    ]

    assert shared
    assert differing == []


def test_what_is_left_out_of_the_comparison_is_null_there(get_captured: Get) -> None:
    shared = [each for name in CAPTURED for each in shared_fields(name, get_captured)]

    differing = [
        (each.theirs, each.ours)
        for each in shared
        if each.kind == "Team" and not each.expected_equal and each.theirs != each.ours
    ]

    assert {json.dumps(pair) for pair in differing} == {"[null, {}]"}


def test_each_exception_from_the_comparison_is_needed(get_captured: Get) -> None:
    shared = [each for name in CAPTURED for each in shared_fields(name, get_captured)]

    differing = {(each.kind, each.key) for each in shared if each.theirs != each.ours}

    assert differing == set(OTHERWISE)


@captures
def test_each_field_that_both_have_has_the_same_json_type(
    get_captured: Get, capture: str
) -> None:
    shared = shared_fields(capture, get_captured)

    differing = [
        each
        for each in shared
        if each.expected_equal and json_type(each.theirs) != json_type(each.ours)
    ]

    assert differing == []


@names
def test_lists_have_the_real_gateways_entities_in_its_order(
    get_captured: Get, name: str
) -> None:
    answer = get_captured(name).json

    theirs = captured(name)

    assert [each["id"] for each in answer[name]] == [e["id"] for e in theirs[name]]
    assert answer["count"] == theirs["count"]


@pytest.mark.parametrize(
    ("capture", "name", "query"),
    [
        ("teams.customer_id.cust-0001", "teams", {"customer_id": "cust-0001"}),
        ("teams.customer_id.no-such-customer", "teams", {"customer_id": "no-such"}),
        ("teams.limit.3.offset.2", "teams", {"limit": 3, "offset": 2}),
        ("teams.limit.1000", "teams", {"limit": 1000}),
        (
            "customers.limit.2.search.north",
            "customers",
            {"limit": 2, "search": "north"},
        ),
    ],
)
def test_filtered_and_paged_lists_are_the_real_gateways(
    get_captured: Get, capture: str, name: str, query: dict[str, Any]
) -> None:
    theirs = captured(capture)

    answer = get_captured(name, **query).json

    assert [each["id"] for each in answer[name]] == [e["id"] for e in theirs[name]]
    assert {key: answer[key] for key in answer if key != name} == {
        key: theirs[key] for key in answer if key != name
    }


@names
def test_from_memory_holds_the_real_gateways_entities_as_an_array(
    get_captured: Get, name: str
) -> None:
    theirs = captured(f"{name}.from_memory.true")[name]

    ours = get_captured(name, from_memory="true").json[name]

    assert {each["id"] for each in ours} == set(theirs)


def test_each_virtual_key_of_a_team_is_the_real_gateways(get_captured: Get) -> None:
    ours = by_id(get_captured("teams").json["teams"])["VirtualKey"]

    theirs = by_id(captured("virtual-keys"))["VirtualKey"]

    of_teams = {row_id for row_id, key in theirs.items() if key.get("team_id")}
    assert of_teams
    assert of_teams <= set(ours)


@pytest.mark.parametrize("nested", ["provider_configs", "mcp_configs"])
def test_what_a_virtual_key_holds_is_the_real_gateways(
    get_captured: Get, nested: str
) -> None:
    ours = by_id({"customers": get_captured("customers").json["customers"]})

    theirs = by_id(captured("virtual-keys"))["VirtualKey"]

    compared = set(ours["VirtualKey"]) & set(theirs)
    assert {
        row_id: {e["id"] for e in theirs[row_id].get(nested) or []}
        for row_id in compared
    } == {
        row_id: {e["id"] for e in ours["VirtualKey"][row_id][nested]}
        for row_id in compared
    }


def fingerprints(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
    }


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_database_and_its_folder_are_as_before_after_being_served(
    tmp_path: Path, make_app: Callable[..., Flask], api_key: str, journal: str
) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    shutil.copy(CAPTURES / "config.db", folder)
    connection = sqlite3.connect(folder / "config.db")
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.close()
    before = fingerprints(folder)

    app = make_app(GOVERNANCE_DATABASE=str(folder / "config.db"))
    headers = {"Authorization": f"Bearer {api_key}"}
    for query in ({}, {"from_memory": "true"}, {"limit": "1"}):
        for name in ("teams", "customers"):
            app.test_client().get(
                f"/api/governance/{name}", query_string=query, headers=headers
            )
    during = fingerprints(folder)
    app.extensions["keeper"].stop()

    assert (during, fingerprints(folder)) == (before, before)


def test_the_captures_themselves_are_as_before_after_being_served(
    make_app: Callable[..., Flask], api_key: str
) -> None:
    before = fingerprints(CAPTURES / "responses") | {
        path.name: str(path.stat().st_mtime_ns)
        for path in CAPTURES.iterdir()
        if path.is_file()
    }

    app = make_app(GOVERNANCE_DATABASE=str(CAPTURES / "config.db"))
    answer = app.test_client().get(
        "/api/governance/teams", headers={"Authorization": f"Bearer {api_key}"}
    )
    app.extensions["keeper"].stop()

    after = fingerprints(CAPTURES / "responses") | {
        path.name: str(path.stat().st_mtime_ns)
        for path in CAPTURES.iterdir()
        if path.is_file()
    }
    assert (answer.status_code, after) == (200, before)
