"""GET /api/governance/customers: what a customer holds.

What both lists have in common is in test_lists.py.
"""

from collections.abc import Callable
from typing import Any

import pytest
from gateway import T1, Gateway
from werkzeug.test import TestResponse

Get = Callable[..., TestResponse]


def ids(answer: TestResponse) -> list[str]:
    return [customer["id"] for customer in answer.json["customers"]]


def nulls(value: Any, path: str = "") -> list[str]:
    """The paths in a JSON value at which there is null."""
    if isinstance(value, dict):
        return [p for name, v in value.items() for p in nulls(v, f"{path}.{name}")]
    if isinstance(value, list):
        return [found for member in value for found in nulls(member, f"{path}[]")]
    return [path] if value is None else []


@pytest.fixture
def customers(filled: Gateway, get: Get, source: str) -> list[dict[str, Any]]:
    """The customers that fill() makes: acme and zenith."""
    found: list[dict[str, Any]] = get("customers", source=source).json["customers"]
    return found


def test_teams_within_a_customer_come_by_creation_and_then_by_id(
    filled: Gateway, get: Get
) -> None:
    filled.team("aaa-dev", "acme", created_at=T1)

    acme = get("customers").json["customers"][0]

    assert [team["id"] for team in acme["teams"]] == ["acme-ops", "aaa-dev", "acme-dev"]


def test_a_customer_holds_all_its_teams_and_no_others(customers: Any) -> None:
    teams = [[team["id"] for team in customer["teams"]] for customer in customers]

    assert teams == [["acme-ops", "acme-dev"], ["zenith-ml"]]


def test_a_customers_virtual_keys_are_those_attached_to_itself(customers: Any) -> None:
    keys = [[key["id"] for key in customer["virtual_keys"]] for customer in customers]

    assert keys == [["key-acme"], []]


def test_a_teams_virtual_keys_are_in_the_team(customers: Any) -> None:
    teams = customers[0]["teams"]

    keys = [[key["id"] for key in team["virtual_keys"]] for team in teams]

    assert keys == [["key-ops"], ["key-dev"]]


def test_the_circle_is_cut_at_the_team(customers: Any) -> None:
    assert [team["customer"] for team in customers[0]["teams"]] == [{}, {}]


def test_the_circle_is_cut_at_the_virtual_key(customers: Any) -> None:
    acme = customers[0]

    assert acme["virtual_keys"][0]["customer"] == {}
    assert acme["teams"][0]["virtual_keys"][0]["team"] == {}


def test_a_customer_with_nothing_has_empty_lists(gateway: Gateway, get: Get) -> None:
    gateway.customer("bare")

    (customer,) = get("customers").json["customers"]

    lists = [customer[name] for name in ("budgets", "teams", "virtual_keys")]
    assert lists == [[], [], []]


def test_a_team_whose_customer_is_missing_is_in_no_customer(
    filled: Gateway, get: Get
) -> None:
    filled.team("orphan", "no-such-customer")

    answer = get("customers")

    assert b"orphan" not in answer.data


def test_a_customer_found_keeps_teams_that_do_not_match(
    filled: Gateway, get: Get
) -> None:
    answer = get("customers", search="freight")

    (customer,) = answer.json["customers"]
    assert len(customer["teams"]) == 2


def test_customer_id_is_no_parameter_here_and_ignored(
    filled: Gateway, get: Get
) -> None:
    answer = get("customers", customer_id="acme")

    assert ids(answer) == ["acme", "zenith"]


def test_a_virtual_key_of_nobody_is_in_no_list(
    filled: Gateway, get: Get, name: str
) -> None:
    answer = get(name)

    assert b"key-nobody" not in answer.data


def test_only_a_weight_is_ever_null(filled: Gateway, get: Get, name: str) -> None:
    filled.provider_config(77, "key-lone")
    filled.provider_config(78, "key-acme")

    found = nulls(get(name).json)

    assert {path.rpartition(".")[2] for path in found} == {"weight"}
