"""GET /api/governance/teams: what a team holds, and customer_id.

What both lists have in common is in test_lists.py.
"""

from collections.abc import Callable

import pytest
from gateway import T0, Gateway
from werkzeug.test import TestResponse

Get = Callable[..., TestResponse]


def ids(answer: TestResponse) -> list[str]:
    return [team["id"] for team in answer.json["teams"]]


def test_virtual_keys_within_a_team_come_by_creation_and_then_by_id(
    gateway: Gateway, get: Get
) -> None:
    gateway.team("t")
    gateway.team("other")
    gateway.virtual_key("z", team_id="t", created_at=T0)
    gateway.virtual_key("b", team_id="t", created_at="2026-04-01 10:00:00.1+00:00")
    gateway.virtual_key("a", team_id="t", created_at="2026-04-01 10:00:00.10+00:00")
    gateway.virtual_key("spurious", team_id="other")

    team = get("teams").json["teams"][1]

    assert [key["id"] for key in team["virtual_keys"]] == ["z", "a", "b"]


def test_a_team_holds_its_whole_customer(
    filled: Gateway, get: Get, source: str
) -> None:
    customers = get("customers", source=source).json["customers"]

    teams = get("teams", customer_id="acme", source=source).json["teams"]

    assert [team["customer"] for team in teams] == [customers[0], customers[0]]


def test_the_circle_is_cut_at_the_team_within_the_customer(
    filled: Gateway, get: Get
) -> None:
    team = get("teams").json["teams"][0]

    within = team["customer"]["teams"]

    assert [(each["id"], each["customer"]) for each in within] == [
        ("acme-ops", {}),
        ("acme-dev", {}),
    ]


def test_the_circle_is_cut_at_the_team_and_the_customer_of_a_virtual_key(
    filled: Gateway, get: Get
) -> None:
    team = get("teams").json["teams"][0]

    assert team["virtual_keys"][0]["team"] == {}
    assert team["customer"]["virtual_keys"][0]["customer"] == {}


def test_a_team_within_its_customer_is_the_same_but_for_the_cut(
    filled: Gateway, get: Get
) -> None:
    team = get("teams").json["teams"][0]

    within = team["customer"]["teams"][0]

    assert within == {**team, "customer": {}}


def test_a_team_without_a_customer_has_no_customer_keys(
    filled: Gateway, get: Get
) -> None:
    answer = get("teams", search="Skunkworks")

    (team,) = answer.json["teams"]
    assert {"customer", "customer_id"}.isdisjoint(team)


def test_customer_id_filter_excludes_other_customers(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("teams", customer_id="acme", source=source)

    assert ids(answer) == ["acme-ops", "acme-dev"]
    assert (answer.json["count"], answer.json["total_count"]) == (2, 2)


def test_customer_id_filter_comes_before_paging(filled: Gateway, get: Get) -> None:
    answer = get("teams", customer_id="acme", limit="1", offset="1")

    assert ids(answer) == ["acme-dev"]
    assert (answer.json["count"], answer.json["total_count"]) == (1, 2)


@pytest.mark.parametrize(
    "near", ["no-such-customer", "acm", "ACME", " acme", "acme%", "_cme"]
)
def test_customer_id_filter_takes_the_id_literally(
    filled: Gateway, get: Get, near: str
) -> None:
    answer = get("teams", customer_id=near)

    assert (answer.status_code, ids(answer)) == (200, [])
    assert answer.json["total_count"] == 0


def test_customer_id_filter_does_not_look_at_the_teams_own_id(
    filled: Gateway, get: Get
) -> None:
    filled.team("zenith", name="zenith")

    answer = get("teams", customer_id="zenith")

    assert ids(answer) == ["zenith-ml"]


def test_a_customer_without_teams_is_an_empty_list(filled: Gateway, get: Get) -> None:
    filled.customer("empty")

    answer = get("teams", customer_id="empty")

    assert (answer.status_code, ids(answer)) == (200, [])


def test_customer_id_in_another_script_is_found(gateway: Gateway, get: Get) -> None:
    gateway.customer("客户/&?")
    gateway.team("mine", "客户/&?")
    gateway.team("spurious")

    answer = get("teams", customer_id="客户/&?")

    assert ids(answer) == ["mine"]


def test_an_empty_customer_id_counts_as_not_given(filled: Gateway, get: Get) -> None:
    answer = get("teams", customer_id="")

    assert answer.data == get("teams").data
