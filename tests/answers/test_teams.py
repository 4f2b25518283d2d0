"""GET /api/governance/teams: what it lists, in which order, and its parameters."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from gateway import T0, Gateway
from werkzeug.test import TestResponse

Get = Callable[..., TestResponse]

WHOLE_NUMBER = "takes a whole number, zero or more"
TRUE_OR_FALSE = "takes true, false, 1 or 0"

# For what has nothing to do with how tables are laid out.
one_layout = pytest.mark.parametrize("layout", ["july"])


def ids(answer: TestResponse) -> list[str]:
    return [team["id"] for team in answer.json["teams"]]


def numbers(answer: TestResponse) -> dict[str, Any]:
    return {name: value for name, value in answer.json.items() if name != "teams"}


def uncut(count: int) -> dict[str, int]:
    """The numbers of an answer that is not a page."""
    return {"count": count, "total_count": count, "limit": count, "offset": 0}


def nulls(value: Any, path: str = "") -> list[str]:
    """The paths in a JSON value at which there is null."""
    if isinstance(value, dict):
        return [p for name, v in value.items() for p in nulls(v, f"{path}.{name}")]
    if isinstance(value, list):
        return [found for member in value for found in nulls(member, f"{path}[]")]
    return [path] if value is None else []


def add_teams(gateway: Gateway, count: int) -> None:
    with gateway.writer() as connection:
        connection.executemany(
            "INSERT INTO governance_teams (id, name, created_at) VALUES (?, ?, ?)",
            [(f"t{number:03}", f"Team {number}", T0) for number in range(count)],
        )


def test_teams_come_by_creation_and_then_by_id(
    filled: Gateway, get: Get, source: str
) -> None:
    filled.team("aaa-late", created_at="2026-04-03 00:00:00+00:00")
    filled.team("aaa-early", created_at=T0)

    answer = get("teams", source=source)

    assert ids(answer) == [
        "aaa-early",
        "acme-ops",
        "acme-dev",
        "zenith-ml",
        "lone",
        "aaa-late",
    ]


def test_one_nanosecond_decides_the_order(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.team("a", created_at="2026-04-01 10:00:00.175193780+00:00")
    gateway.team("b", created_at="2026-04-01 10:00:00.175193779+00:00")
    gateway.team("c", created_at="2026-04-01 10:00:00.17519378+00:00")

    answer = get("teams", source=source)

    assert ids(answer) == ["b", "a", "c"]


def test_creation_in_other_zones_is_compared_as_an_instant(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.team("a", created_at="2026-04-01 12:30:00+02:00")
    gateway.team("b", created_at="2026-04-01 05:15:00-05:00")
    gateway.team("c", created_at="2026-04-01 10:00:00+00:00")

    answer = get("teams", source=source)

    assert ids(answer) == ["c", "b", "a"]


def test_a_team_without_creation_time_comes_first(gateway: Gateway, get: Get) -> None:
    gateway.team("a", created_at=T0)
    gateway.team("b", created_at=None)

    answer = get("teams")

    assert ids(answer) == ["b", "a"]


def test_virtual_keys_within_a_team_come_by_creation_and_then_by_id(
    gateway: Gateway, get: Get
) -> None:
    gateway.team("t")
    gateway.team("other")
    gateway.virtual_key("z", team_id="t", created_at=T0)
    gateway.virtual_key("b", team_id="t", created_at="2026-04-01 10:00:00.1+00:00")
    gateway.virtual_key("a", team_id="t", created_at="2026-04-01 10:00:00.10+00:00")
    gateway.virtual_key("spurious", team_id="other")

    answer = get("teams", search="Team t")

    keys = answer.json["teams"][0]["virtual_keys"]
    assert [key["id"] for key in keys] == ["z", "a", "b"]


def test_no_teams_are_an_empty_list(gateway: Gateway, get: Get, source: str) -> None:
    gateway.customer("spurious")

    answer = get("teams", source=source)

    assert (ids(answer), numbers(answer)) == ([], uncut(0))


def test_an_answer_that_is_not_cut_has_all_its_numbers(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("teams", source=source)

    assert len(answer.json["teams"]) == 4
    assert numbers(answer) == uncut(4)


def test_without_paging_parameters_all_teams_are_listed(
    gateway: Gateway, get: Get, source: str
) -> None:
    add_teams(gateway, 130)

    answer = get("teams", source=source)

    assert len(ids(answer)) == 130
    assert numbers(answer) == uncut(130)


def test_a_team_holds_its_whole_customer(
    filled: Gateway, get: Get, source: str
) -> None:
    customers = get("customers", source=source).json["customers"]

    teams = get("teams", customer_id="acme", source=source).json["teams"]

    assert [team["customer"] for team in teams] == [customers[0], customers[0]]


def test_the_circle_is_cut_at_the_team_within_the_customer(
    filled: Gateway, get: Get, source: str
) -> None:
    team = get("teams", source=source).json["teams"][0]

    within = team["customer"]["teams"]

    assert [(each["id"], each["customer"]) for each in within] == [
        ("acme-ops", {}),
        ("acme-dev", {}),
    ]


def test_the_circle_is_cut_at_the_team_and_the_customer_of_a_virtual_key(
    filled: Gateway, get: Get, source: str
) -> None:
    team = get("teams", source=source).json["teams"][0]

    assert team["virtual_keys"][0]["team"] == {}
    assert team["customer"]["virtual_keys"][0]["customer"] == {}


def test_a_team_within_its_customer_is_the_same_but_for_the_cut(
    filled: Gateway, get: Get, source: str
) -> None:
    team = get("teams", source=source).json["teams"][0]

    within = team["customer"]["teams"][0]

    assert within == {**team, "customer": {}}


def test_a_team_without_a_customer_has_no_customer_keys(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("teams", search="Skunkworks", source=source)

    (team,) = answer.json["teams"]
    assert {"customer", "customer_id"}.isdisjoint(team)


@pytest.mark.parametrize("name", ["teams", "customers"])
def test_only_a_weight_is_ever_null(
    filled: Gateway, get: Get, source: str, name: str
) -> None:
    filled.provider_config(77, "key-lone")

    found = nulls(get(name, source=source).json)

    assert {path.rpartition(".")[2] for path in found} <= {"weight"}


def test_a_virtual_key_of_nobody_is_in_no_list(
    filled: Gateway, get: Get, source: str
) -> None:
    bodies = [get(name, source=source).data for name in ("teams", "customers")]

    assert all(b"key-nobody" not in body for body in bodies)


def test_customer_id_filter_excludes_other_customers(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("teams", customer_id="acme", source=source)

    assert ids(answer) == ["acme-ops", "acme-dev"]
    assert numbers(answer) == uncut(2)


@one_layout
@pytest.mark.parametrize("near", ["acm", "acme-2", "ACME", " acme", "acme%", "_cme"])
def test_customer_id_filter_takes_the_id_literally(
    filled: Gateway, get: Get, source: str, near: str
) -> None:
    answer = get("teams", customer_id=near, source=source)

    assert (ids(answer), numbers(answer)) == ([], uncut(0))


def test_customer_id_filter_does_not_look_at_the_teams_own_id(
    filled: Gateway, get: Get, source: str
) -> None:
    filled.team("zenith", name="zenith")

    answer = get("teams", customer_id="zenith", source=source)

    assert ids(answer) == ["zenith-ml"]


def test_an_unknown_customer_id_is_an_empty_list(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("teams", customer_id="no-such-customer", source=source)

    assert answer.status_code == 200
    assert (ids(answer), numbers(answer)) == ([], uncut(0))


def test_a_customer_without_teams_is_an_empty_list(
    filled: Gateway, get: Get, source: str
) -> None:
    filled.customer("empty")

    answer = get("teams", customer_id="empty", source=source)

    assert answer.status_code == 200
    assert (ids(answer), numbers(answer)) == ([], uncut(0))


def test_customer_id_in_another_script_is_found(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.customer("客户/&?")
    gateway.team("mine", "客户/&?")
    gateway.team("spurious")

    answer = get("teams", customer_id="客户/&?", source=source)

    assert ids(answer) == ["mine"]


@one_layout
@pytest.mark.parametrize(
    "parameter", ["customer_id", "from_memory", "limit", "offset", "search"]
)
def test_an_empty_parameter_counts_as_not_given(
    filled: Gateway, get: Get, source: str, parameter: str
) -> None:
    without = get("teams", source=source)

    answer = get("teams", **{"source": source, parameter: ""})

    assert answer.data == without.data


@one_layout
@pytest.mark.parametrize(
    "parameter", ["page", "Limit", "customerId", "team_id", "sort", "from-memory"]
)
def test_an_unknown_parameter_is_ignored(
    filled: Gateway, get: Get, source: str, parameter: str
) -> None:
    without = get("teams", source=source)

    answer = get("teams", **{"source": source, parameter: "nonsense"})

    assert (answer.status_code, answer.data) == (200, without.data)


@pytest.mark.parametrize(
    ("limit", "used"),
    [
        ("1", 1),
        ("007", 7),
        ("0", 25),
        ("00", 25),
        ("25", 25),
        ("99", 99),
        ("100", 100),
        ("101", 100),
        ("1000", 100),
        (str(2**63), 100),
        (str(2**64), 100),
        ("9" * 5000, 100),
    ],
)
def test_limit_is_25_for_0_and_at_most_100(
    gateway: Gateway, get: Get, limit: str, used: int
) -> None:
    add_teams(gateway, 130)

    answer = get("teams", limit=limit)

    assert ids(answer) == [f"t{number:03}" for number in range(used)]
    assert numbers(answer) == {
        "count": used,
        "total_count": 130,
        "limit": used,
        "offset": 0,
    }


@pytest.mark.parametrize("other", [{"offset": "0"}, {"search": "Team"}])
def test_limit_is_25_where_another_paging_parameter_is_given(
    gateway: Gateway, get: Get, source: str, other: dict[str, str]
) -> None:
    add_teams(gateway, 30)

    answer = get("teams", source=source, **other)

    assert numbers(answer) == {
        "count": 25,
        "total_count": 30,
        "limit": 25,
        "offset": 0,
    }


@pytest.mark.parametrize("other", ["limit", "search"])
def test_an_empty_paging_parameter_does_not_page(
    gateway: Gateway, get: Get, source: str, other: str
) -> None:
    add_teams(gateway, 30)

    answer = get("teams", source=source, offset="", **{other: ""})

    assert numbers(answer) == uncut(30)


@one_layout
@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("0", ["acme-ops", "acme-dev", "zenith-ml", "lone"]),
        ("1", ["acme-dev", "zenith-ml", "lone"]),
        ("3", ["lone"]),
        ("4", []),
        ("1000000", []),
    ],
)
def test_offset_skips_as_many_teams(
    filled: Gateway, get: Get, source: str, offset: str, expected: list[str]
) -> None:
    answer = get("teams", offset=offset, source=source)

    assert ids(answer) == expected
    assert numbers(answer) == {
        "count": len(expected),
        "total_count": 4,
        "limit": 25,
        "offset": int(offset),
    }


@one_layout
@pytest.mark.parametrize("offset", [str(2**63), str(2**64), "9" * 5000])
def test_an_offset_of_many_digits_is_beyond_the_last_team(
    filled: Gateway, get: Get, source: str, offset: str
) -> None:
    answer = get("teams", offset=offset, source=source)

    assert (answer.status_code, ids(answer)) == (200, [])
    assert answer.json["total_count"] == 4


def test_limit_and_offset_cut_one_page_out(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("teams", limit="2", offset="1", source=source)

    assert ids(answer) == ["acme-dev", "zenith-ml"]
    assert numbers(answer) == {"count": 2, "total_count": 4, "limit": 2, "offset": 1}


def test_total_count_counts_matches_before_paging(
    filled: Gateway, get: Get, source: str
) -> None:
    answer = get("teams", customer_id="acme", limit="1", offset="1", source=source)

    assert ids(answer) == ["acme-dev"]
    assert numbers(answer) == {"count": 1, "total_count": 2, "limit": 1, "offset": 1}


@pytest.mark.parametrize("query", [{}, {"limit": "1"}])
def test_the_answers_keys_come_in_order(
    filled: Gateway, get: Get, source: str, query: dict[str, str]
) -> None:
    answer = get("teams", source=source, **query)

    assert list(answer.json) == ["teams", "count", "total_count", "limit", "offset"]


@one_layout
@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("Operations", ["acme-ops"]),
        ("operations", ["acme-ops"]),
        ("OPER", ["acme-ops"]),
        ("ration", ["acme-ops"]),
        ("s", ["acme-ops", "lone"]),
        ("DÉVELOPPEMENT", ["acme-dev"]),
        ("é", ["acme-dev"]),
        ("分析", ["zenith-ml"]),
        (" ", ["zenith-ml"]),
        ("acme", []),
        ("Operations ", []),
        ("%", []),
        ("_", []),
        ("Oper%", []),
        (".*", []),
    ],
)
def test_search_finds_a_substring_of_the_name_in_any_case(
    filled: Gateway, get: Get, source: str, search: str, expected: list[str]
) -> None:
    answer = get("teams", search=search, source=source)

    assert ids(answer) == expected
    assert answer.json["total_count"] == len(expected)


@pytest.mark.parametrize("sign", ["%", "_", "\\", "*", "'", '"', "["])
def test_search_takes_pattern_signs_literally(
    gateway: Gateway, get: Get, source: str, sign: str
) -> None:
    gateway.team("with", name=f"ten{sign}ths")
    gateway.team("spurious", name="tenths of it")

    answer = get("teams", search=f"N{sign}T", source=source)

    assert ids(answer) == ["with"]


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("ПРОДАЖИ", "продажи"),
        ("Αθήνα", "ΑΘΉΝΑ"),
        ("Ödeme", "ödeme"),
        ("ქართული", "ქართული"),
    ],
)
def test_search_knows_the_cases_of_other_scripts(
    gateway: Gateway, get: Get, source: str, name: str, search: str
) -> None:
    gateway.team("found", name=name)
    gateway.team("spurious", name="Sales")

    answer = get("teams", search=search, source=source)

    assert ids(answer) == ["found"]


def test_search_passes_over_a_team_without_a_name(
    gateway: Gateway, get: Get, source: str
) -> None:
    gateway.team("nameless", name=None)
    gateway.team("named", name="None")

    answer = get("teams", search="none", source=source)

    assert ids(answer) == ["named"]


@one_layout
@pytest.mark.parametrize("word", ["true", "True", "TRUE", "tRuE", "1"])
def test_from_memory_true_in_any_case_answers_from_memory(
    filled: Gateway, get: Get, word: str
) -> None:
    get("teams")
    filled.team("later")

    answer = get("teams", from_memory=word)

    assert "later" not in ids(answer)


@one_layout
@pytest.mark.parametrize("word", ["false", "False", "FALSE", "fAlSe", "0", ""])
def test_from_memory_false_in_any_case_answers_from_the_database(
    filled: Gateway, get: Get, word: str
) -> None:
    get("teams")
    filled.team("later")

    answer = get("teams", from_memory=word)

    assert "later" in ids(answer)


def test_without_from_memory_the_database_answers(filled: Gateway, get: Get) -> None:
    get("teams")
    filled.team("later")

    answer = get("teams")

    assert "later" in ids(answer)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"customer_id": "acme"},
        {"customer_id": "unknown"},
        {"limit": "1"},
        {"limit": "0", "offset": "2"},
        {"search": "é"},
    ],
)
def test_memory_and_database_answer_byte_for_byte_the_same(
    filled: Gateway, get: Get, query: dict[str, str]
) -> None:
    database = get("teams", source="database", **query)

    memory = get("teams", source="memory", **query)

    assert memory.data == database.data


@one_layout
def test_only_an_answer_from_memory_tells_its_age(filled: Gateway, get: Get) -> None:
    database = get("teams", source="database")
    memory = get("teams", source="memory")

    assert "Age" not in database.headers
    assert memory.headers["Age"] == "0"


@one_layout
@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ("limit", "abc", WHOLE_NUMBER),
        ("limit", "-1", WHOLE_NUMBER),
        ("limit", "-0", WHOLE_NUMBER),
        ("limit", "+1", WHOLE_NUMBER),
        ("limit", "1.0", WHOLE_NUMBER),
        ("limit", "1e1", WHOLE_NUMBER),
        ("limit", "0x10", WHOLE_NUMBER),
        ("limit", "1_0", WHOLE_NUMBER),
        ("limit", " 1", WHOLE_NUMBER),
        ("limit", "1 ", WHOLE_NUMBER),
        ("limit", "1\n", WHOLE_NUMBER),
        ("limit", " ", WHOLE_NUMBER),
        ("limit", "١٢", WHOLE_NUMBER),
        ("limit", "１２", WHOLE_NUMBER),
        ("limit", "²", WHOLE_NUMBER),
        ("offset", "abc", WHOLE_NUMBER),
        ("offset", "-1", WHOLE_NUMBER),
        ("offset", "-" + "9" * 5000, WHOLE_NUMBER),
        ("offset", "٣", WHOLE_NUMBER),
        ("from_memory", "yes", TRUE_OR_FALSE),
        ("from_memory", "2", TRUE_OR_FALSE),
        ("from_memory", "01", TRUE_OR_FALSE),
        ("from_memory", "true ", TRUE_OR_FALSE),
        ("from_memory", "null", TRUE_OR_FALSE),
        ("from_memory", "１", TRUE_OR_FALSE),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_400_and_named(
    filled: Gateway, get: Get, parameter: str, value: str, expected: str
) -> None:
    answer = get("teams", **{parameter: value})

    error = answer.json["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_parameter")
    assert (error["param"], error["message"]) == (
        parameter,
        f"The parameter {parameter} {expected}.",
    )


@one_layout
def test_a_wrong_parameter_is_400_from_memory_too(filled: Gateway, get: Get) -> None:
    answer = get("teams", source="memory", limit="many")

    assert (answer.status_code, answer.json["error"]["param"]) == (400, "limit")


@one_layout
def test_a_wrong_parameter_beside_good_ones_is_the_one_named(
    filled: Gateway, get: Get
) -> None:
    answer = get("teams", customer_id="acme", limit="5", offset="x", search="o")

    assert (answer.status_code, answer.json["error"]["param"]) == (400, "offset")


@one_layout
def test_the_query_may_be_percent_encoded(
    filled: Gateway, client: FlaskClient, api_key: str
) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}

    answer = client.get(
        "/api/governance/teams?search=%C3%A9&l%69mit=1", headers=headers
    )

    assert ids(answer) == ["acme-dev"]
