"""GET /api/governance/customers: what it lists, in which order, and its parameters."""

from collections.abc import Callable
from typing import Any

import pytest
from gateway import T0, T1, Gateway
from werkzeug.test import TestResponse

Get = Callable[..., TestResponse]

WHOLE_NUMBER = "takes a whole number, zero or more"
TRUE_OR_FALSE = "takes true, false, 1 or 0"

# For what has nothing to do with how tables are laid out.
one_layout = pytest.mark.parametrize("layout", ["july"])


def ids(answer: TestResponse) -> list[str]:
    return [customer["id"] for customer in answer.json["customers"]]


def numbers(answer: TestResponse) -> dict[str, Any]:
    return {name: value for name, value in answer.json.items() if name != "customers"}


def uncut(count: int) -> dict[str, int]:
    """The numbers of an answer that is not a page."""
    return {"count": count, "total_count": count, "limit": count, "offset": 0}


def add_customers(gateway: Gateway, count: int) -> None:
    with gateway.writer() as connection:
        connection.executemany(
            "INSERT INTO governance_customers (id, name, created_at) VALUES (?, ?, ?)",
            [(f"c{number:03}", f"Customer {number}", T0) for number in range(count)],
        )


def test_customers_come_by_creation_and_then_by_id(
    filled: Gateway, get: Get, source: str
) -> None:
    filled.customer("zzz-early", created_at=T0)
    filled.customer("aaa-second", created_at=T1)

    answer = get("customers", source=source)

    assert ids(answer) == ["acme", "zzz-early", "aaa-second", "zenith"]


def test_creation_in_other_zones_is_compared_as_an_instant(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.customer("a", created_at="2026-04-01 12:30:00+02:00")
    gateway.customer("b", created_at="2026-04-01 10:29:59.999999999+00:00")

    answer = get("customers", source=source)

    assert ids(answer) == ["b", "a"]


def test_teams_within_a_customer_come_by_creation_and_then_by_id(
    filled: Gateway, get: Get, source: str
) -> None:
    filled.team("aaa-dev", "acme", created_at=T1)

    answer = get("customers", source=source)

    teams = answer.json["customers"][0]["teams"]
    assert [team["id"] for team in teams] == ["acme-ops", "aaa-dev", "acme-dev"]


def test_no_customers_are_an_empty_list(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.team("spurious")

    answer = get("customers", source=source)

    assert (ids(answer), numbers(answer)) == ([], uncut(0))


def test_an_answer_that_is_not_cut_has_all_its_numbers(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("customers", source=source)

    assert list(answer.json) == [
        "customers",
        "count",
        "total_count",
        "limit",
        "offset",
    ]
    assert len(answer.json["customers"]) == 2
    assert numbers(answer) == uncut(2)


def test_without_paging_parameters_all_customers_are_listed(
    gateway: Gateway, get: Get, source: str
) -> None:
    add_customers(gateway, 130)

    answer = get("customers", source=source)

    assert len(ids(answer)) == 130
    assert numbers(answer) == uncut(130)


def test_a_customer_holds_all_its_teams_and_no_others(
    filled: Gateway, get: Get, source: str
) -> None:
    customers = get("customers", source=source).json["customers"]

    teams = [[team["id"] for team in customer["teams"]] for customer in customers]

    assert teams == [["acme-ops", "acme-dev"], ["zenith-ml"]]


def test_a_customers_virtual_keys_are_those_attached_to_itself(
    filled: Gateway, get: Get, source: str
) -> None:
    customers = get("customers", source=source).json["customers"]

    keys = [[key["id"] for key in customer["virtual_keys"]] for customer in customers]

    assert keys == [["key-acme"], []]


def test_a_teams_virtual_keys_are_in_the_team(
    filled: Gateway, get: Get, source: str
) -> None:
    customer = get("customers", source=source).json["customers"][0]

    keys = [[key["id"] for key in team["virtual_keys"]] for team in customer["teams"]]

    assert keys == [["key-ops"], ["key-dev"]]


def test_the_circle_is_cut_at_the_team(filled: Gateway, get: Get, source: str) -> None:
    customer = get("customers", source=source).json["customers"][0]

    assert [team["customer"] for team in customer["teams"]] == [{}, {}]


def test_the_circle_is_cut_at_the_virtual_key(
    filled: Gateway, get: Get, source: str
) -> None:
    customer = get("customers", source=source).json["customers"][0]

    assert customer["virtual_keys"][0]["customer"] == {}
    assert customer["teams"][0]["virtual_keys"][0]["team"] == {}


def test_a_customer_with_nothing_has_empty_lists(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.customer("bare")

    (customer,) = get("customers", source=source).json["customers"]

    lists = [customer[name] for name in ("budgets", "teams", "virtual_keys")]
    assert lists == [[], [], []]


def test_a_team_whose_customer_is_missing_is_in_no_customer(
    filled: Gateway, get: Get, source: str
) -> None:
    filled.team("orphan", "no-such-customer")

    answer = get("customers", source=source)

    assert b"orphan" not in answer.data


def test_customer_id_is_no_parameter_here_and_ignored(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("customers", customer_id="acme", source=source)

    assert ids(answer) == ["acme", "zenith"]


@one_layout
@pytest.mark.parametrize("parameter", ["from_memory", "limit", "offset", "search"])
def test_an_empty_parameter_counts_as_not_given(
    filled: Gateway, get: Get, source: str, parameter: str
) -> None:
    without = get("customers", source=source)

    answer = get("customers", **{"source": source, parameter: ""})

    assert answer.data == without.data


@pytest.mark.parametrize(
    ("limit", "used"),
    [("1", 1), ("0", 25), ("100", 100), ("101", 100), ("9" * 5000, 100)],
)
def test_limit_is_25_for_0_and_at_most_100(
    gateway: Gateway, get: Get, source: str, limit: str, used: int
) -> None:
    add_customers(gateway, 130)

    answer = get("customers", limit=limit, source=source)

    assert numbers(answer) == {
        "count": used,
        "total_count": 130,
        "limit": used,
        "offset": 0,
    }


def test_limit_and_offset_cut_one_page_out(
    gateway: Gateway, get: Get, source: str
) -> None:
    add_customers(gateway, 5)

    answer = get("customers", limit="2", offset="3", source=source)

    assert ids(answer) == ["c003", "c004"]
    assert numbers(answer) == {"count": 2, "total_count": 5, "limit": 2, "offset": 3}


@one_layout
def test_an_offset_beyond_the_end_is_an_empty_list(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("customers", offset="2", source=source)

    assert answer.json["customers"] == []
    assert numbers(answer) == {"count": 0, "total_count": 2, "limit": 25, "offset": 2}


@one_layout
@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("FREIGHT", ["acme"]),
        ("e", ["acme", "zenith"]),
        ("Operations", []),
        ("acme f", ["acme"]),
        ("a%e", []),
        ("_cme", []),
    ],
)
def test_search_finds_a_substring_of_the_name_in_any_case(
    filled: Gateway, get: Get, source: str, search: str, expected: list[str]
) -> None:
    answer = get("customers", search=search, source=source)

    assert ids(answer) == expected
    assert answer.json["total_count"] == len(expected)


def test_search_knows_the_cases_of_other_scripts(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.customer("found", name="ПАРОХОДСТВО")
    gateway.customer("spurious", name="Shipping")

    answer = get("customers", search="пароход", source=source)

    assert ids(answer) == ["found"]


def test_a_customer_found_keeps_teams_that_do_not_match(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("customers", search="freight", source=source)

    (customer,) = answer.json["customers"]
    assert len(customer["teams"]) == 2


@one_layout
@pytest.mark.parametrize("word", ["true", "TRUE", "1"])
def test_from_memory_true_in_any_case_answers_from_memory(
    filled: Gateway, get: Get, word: str
) -> None:
    get("customers")
    filled.customer("later")

    answer = get("customers", from_memory=word)

    assert "later" not in ids(answer)


@one_layout
@pytest.mark.parametrize("word", ["false", "FALSE", "0", ""])
def test_from_memory_false_in_any_case_answers_from_the_database(
    filled: Gateway, get: Get, word: str
) -> None:
    get("customers")
    filled.customer("later")

    answer = get("customers", from_memory=word)

    assert "later" in ids(answer)


@pytest.mark.parametrize("query", [{}, {"limit": "1"}, {"search": "labs"}])
def test_memory_and_database_answer_byte_for_byte_the_same(
    filled: Gateway, get: Get, query: dict[str, str]
) -> None:
    database = get("customers", source="database", **query)

    memory = get("customers", source="memory", **query)

    assert memory.data == database.data


@one_layout
def test_only_an_answer_from_memory_tells_its_age(filled: Gateway, get: Get) -> None:
    database = get("customers", source="database")
    memory = get("customers", source="memory")

    assert "Age" not in database.headers
    assert memory.headers["Age"] == "0"


@one_layout
@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ("limit", "abc", WHOLE_NUMBER),
        ("limit", "-1", WHOLE_NUMBER),
        ("limit", "٣", WHOLE_NUMBER),
        ("offset", "-1", WHOLE_NUMBER),
        ("offset", "1.5", WHOLE_NUMBER),
        ("from_memory", "on", TRUE_OR_FALSE),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_400_and_named(
    filled: Gateway, get: Get, parameter: str, value: str, expected: str
) -> None:
    answer = get("customers", **{parameter: value})

    error = answer.json["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_parameter")
    assert (error["param"], error["message"]) == (
        parameter,
        f"The parameter {parameter} {expected}.",
    )
