"""Both lists: their order, their numbers, their parameters."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from gateway import T0, T1, T2, Gateway
from werkzeug.test import TestResponse

Get = Callable[..., TestResponse]

WHOLE_NUMBER = "takes a whole number, zero or more"
TRUE_OR_FALSE = "takes true, false, 1 or 0"


class Listing:
    """One of the lists; rows go into its table."""

    def __init__(self, gateway: Gateway, get: Get, name: str) -> None:
        self.name = name
        self._get = get
        self._gateway = gateway
        self._other = {"teams": "customer", "customers": "team"}[name]

    def add(self, *ids: str, **values: Any) -> None:
        for id in ids:
            getattr(self._gateway, self.name.removesuffix("s"))(id, **values)

    def add_many(self, count: int) -> None:
        with self._gateway.writer() as connection:
            connection.executemany(
                f"INSERT INTO governance_{self.name} (id, name, created_at)"
                " VALUES (?, ?, ?)",
                [(f"n{number:03}", f"Number {number}", T0) for number in range(count)],
            )

    def add_spurious(self) -> None:
        """A row of the other list's table."""
        getattr(self._gateway, self._other)("spurious")

    def get(self, **query: Any) -> TestResponse:
        return self._get(self.name, **query)

    def ids(self, **query: Any) -> list[str]:
        return ids(self.get(**query))


@pytest.fixture
def listing(gateway: Gateway, get: Get, name: str) -> Listing:
    """Both lists, one after the other, of an empty database."""
    return Listing(gateway, get, name)


@pytest.fixture
def named(listing: Listing) -> Listing:
    """Both lists of three rows with names."""
    listing.add("ops", name="Operations")
    listing.add("dev", name="Développement", created_at=T1)
    listing.add("ml", name="ML 分析", created_at=T2)
    return listing


def ids(answer: TestResponse) -> list[str]:
    members = next(iter(answer.json.values()))
    return [member["id"] for member in members]


def numbers(answer: TestResponse) -> dict[str, int]:
    return dict([*answer.json.items()][1:])


def cut(count: int, total_count: int, limit: int, offset: int) -> dict[str, int]:
    """The numbers of an answer, in their order."""
    return {
        "count": count,
        "total_count": total_count,
        "limit": limit,
        "offset": offset,
    }


def uncut(count: int) -> dict[str, int]:
    """The numbers of an answer that is not a page."""
    return cut(count, count, count, 0)


# Order


def test_rows_come_by_creation_and_then_by_id(listing: Listing, source: str) -> None:
    listing.add("aaa-late", created_at="2026-04-03 00:00:00+00:00")
    listing.add("b", "a", created_at=T1)
    listing.add("zzz-early", created_at=T0)

    assert listing.ids(source=source) == ["zzz-early", "a", "b", "aaa-late"]


def test_one_nanosecond_decides_the_order(listing: Listing, source: str) -> None:
    listing.add("a", created_at="2026-04-01 10:00:00.175193780+00:00")
    listing.add("b", created_at="2026-04-01 10:00:00.175193779+00:00")
    listing.add("c", created_at="2026-04-01 10:00:00.17519378+00:00")

    assert listing.ids(source=source) == ["b", "a", "c"]


def test_creation_in_other_zones_is_compared_as_an_instant(
    listing: Listing, source: str
) -> None:
    listing.add("a", created_at="2026-04-01 12:30:00+02:00")
    listing.add("b", created_at="2026-04-01 05:15:00-05:00")
    listing.add("c", created_at="2026-04-01 10:00:00+00:00")

    assert listing.ids(source=source) == ["c", "b", "a"]


def test_a_row_without_creation_time_comes_first(listing: Listing) -> None:
    listing.add("a", created_at=T0)
    listing.add("b", created_at=None)

    assert listing.ids() == ["b", "a"]


# Numbers


def test_no_rows_are_an_empty_list(listing: Listing, source: str) -> None:
    listing.add_spurious()

    answer = listing.get(source=source)

    assert (ids(answer), numbers(answer)) == ([], uncut(0))


@pytest.mark.parametrize("query", [{}, {"limit": "1"}])
def test_the_answers_keys_come_in_order(named: Listing, query: dict[str, str]) -> None:
    answer = named.get(**query)

    assert [*answer.json] == [named.name, "count", "total_count", "limit", "offset"]


def test_without_paging_parameters_all_are_listed(
    listing: Listing, source: str
) -> None:
    listing.add_many(130)

    answer = listing.get(source=source)

    assert len(ids(answer)) == 130
    assert numbers(answer) == uncut(130)


# Pages


@pytest.mark.parametrize(
    ("limit", "used"),
    [
        ("1", 1),
        ("007", 7),
        ("0", 25),
        ("100", 100),
        ("101", 100),
        (str(2**64), 100),
        ("9" * 5000, 100),
    ],
)
def test_limit_is_25_for_0_and_at_most_100(
    listing: Listing, limit: str, used: int
) -> None:
    listing.add_many(130)

    answer = listing.get(limit=limit)

    assert ids(answer) == [f"n{number:03}" for number in range(used)]
    assert numbers(answer) == cut(used, 130, used, 0)


@pytest.mark.parametrize("other", [{"offset": "0"}, {"search": "Number"}])
def test_limit_is_25_where_another_paging_parameter_is_given(
    listing: Listing, other: dict[str, str]
) -> None:
    listing.add_many(30)

    assert numbers(listing.get(**other)) == cut(25, 30, 25, 0)


@pytest.mark.parametrize("other", ["limit", "search"])
def test_an_empty_paging_parameter_does_not_page(listing: Listing, other: str) -> None:
    listing.add_many(30)

    answer = listing.get(offset="", **{other: ""})

    assert numbers(answer) == uncut(30)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("0", ["ops", "dev", "ml"]),
        ("1", ["dev", "ml"]),
        ("2", ["ml"]),
        ("3", []),
        (str(2**64), []),
        ("9" * 4000, []),
    ],
)
def test_offset_skips_as_many_rows(
    named: Listing, offset: str, expected: list[str]
) -> None:
    answer = named.get(offset=offset)

    assert ids(answer) == expected
    assert answer.json["count"] == len(expected)
    assert (answer.json["total_count"], answer.json["limit"]) == (3, 25)


def test_limit_and_offset_cut_one_page_out(named: Listing, source: str) -> None:
    answer = named.get(limit="1", offset="1", source=source)

    assert ids(answer) == ["dev"]
    assert numbers(answer) == cut(1, 3, 1, 1)


def test_total_count_counts_matches_before_paging(named: Listing) -> None:
    answer = named.get(search="p", limit="1", offset="1")

    assert ids(answer) == ["dev"]
    assert numbers(answer) == cut(1, 2, 1, 1)


# Search


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("Operations", ["ops"]),
        ("operations", ["ops"]),
        ("ERATION", ["ops"]),
        ("p", ["ops", "dev"]),
        ("DÉVELOPPEMENT", ["dev"]),
        ("分析", ["ml"]),
        (" ", ["ml"]),
        ("ops", []),  # an id, not a name
        ("Operations ", []),
        ("Oper%", []),
        (".*", []),
    ],
)
def test_search_finds_a_substring_of_the_name_in_any_case(
    named: Listing, search: str, expected: list[str]
) -> None:
    answer = named.get(search=search)

    assert ids(answer) == expected
    assert answer.json["total_count"] == len(expected)


@pytest.mark.parametrize("sign", ["%", "_", "\\", "*", "'", "["])
def test_search_takes_pattern_signs_literally(
    gateway: Gateway, get: Get, sign: str
) -> None:
    gateway.team("with", name=f"ten{sign}ths")
    gateway.team("spurious", name="tenths of it")

    answer = get("teams", search=f"N{sign}T")

    assert ids(answer) == ["with"]


@pytest.mark.parametrize(
    ("written", "search"), [("ПРОДАЖИ", "продажи"), ("Ödeme", "öDEME")]
)
def test_search_knows_the_cases_of_other_scripts(
    listing: Listing, written: str, search: str
) -> None:
    listing.add("found", name=written)
    listing.add("spurious", name="Sales")

    assert listing.ids(search=search) == ["found"]


def test_search_passes_over_a_row_without_a_name(listing: Listing) -> None:
    listing.add("nameless", name=None)
    listing.add("named", name="None")

    assert listing.ids(search="none") == ["named"]


# The modes


@pytest.mark.parametrize("word", ["true", "tRuE", "1"])
def test_from_memory_true_in_any_case_answers_from_memory(
    listing: Listing, word: str
) -> None:
    listing.get()
    listing.add("later")

    assert listing.ids(from_memory=word) == []


@pytest.mark.parametrize("query", [{}, {"from_memory": "fAlSe"}, {"from_memory": "0"}])
def test_any_other_answer_is_of_the_database_as_it_is(
    listing: Listing, query: dict[str, str]
) -> None:
    listing.get()
    listing.add("later")

    assert listing.ids(**query) == ["later"]


@pytest.mark.parametrize("query", [{}, {"limit": "1", "offset": "1"}, {"search": "é"}])
def test_memory_and_database_answer_byte_for_byte_the_same(
    filled: Gateway, get: Get, name: str, query: dict[str, str]
) -> None:
    database = get(name, source="database", **query)

    memory = get(name, source="memory", **query)

    assert memory.data == database.data


def test_only_an_answer_from_memory_has_an_age(listing: Listing, source: str) -> None:
    answer = listing.get(source=source)

    assert answer.headers.get("Age") == {"database": None, "memory": "0"}[source]


# What is no parameter, or of the wrong kind


@pytest.mark.parametrize("parameter", ["from_memory", "limit", "offset", "search"])
def test_an_empty_parameter_counts_as_not_given(named: Listing, parameter: str) -> None:
    answer = named.get(**{parameter: ""})

    assert answer.data == named.get().data


@pytest.mark.parametrize("parameter", ["page", "Limit", "team_id", "from-memory"])
def test_an_unknown_parameter_is_ignored(named: Listing, parameter: str) -> None:
    answer = named.get(**{parameter: "nonsense"})

    assert (answer.status_code, answer.data) == (200, named.get().data)


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ("limit", "abc", WHOLE_NUMBER),
        ("limit", "-1", WHOLE_NUMBER),
        ("limit", "+1", WHOLE_NUMBER),
        ("limit", "1.0", WHOLE_NUMBER),
        ("limit", "1_0", WHOLE_NUMBER),
        ("limit", " 1", WHOLE_NUMBER),
        ("limit", "1\n", WHOLE_NUMBER),
        ("limit", " ", WHOLE_NUMBER),
        ("limit", "١٢", WHOLE_NUMBER),
        ("limit", "²", WHOLE_NUMBER),
        ("offset", "-1", WHOLE_NUMBER),
        ("offset", "-" + "9" * 5000, WHOLE_NUMBER),
        ("offset", "٣", WHOLE_NUMBER),
        ("from_memory", "yes", TRUE_OR_FALSE),
        ("from_memory", "01", TRUE_OR_FALSE),
        ("from_memory", "true ", TRUE_OR_FALSE),
        ("from_memory", "１", TRUE_OR_FALSE),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_400_and_named(
    gateway: Gateway, get: Get, name: str, parameter: str, value: str, expected: str
) -> None:
    answer = get(name, **{parameter: value})

    error = answer.json["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_parameter")
    assert (error["param"], error["message"]) == (
        parameter,
        f"The parameter {parameter} {expected}.",
    )


def test_a_wrong_parameter_beside_good_ones_is_the_one_named(listing: Listing) -> None:
    answer = listing.get(limit="5", offset="x", search="o")

    assert (answer.status_code, answer.json["error"]["param"]) == (400, "offset")


def test_the_query_may_be_percent_encoded(
    named: Listing, client: FlaskClient, api_key: str
) -> None:
    answer = client.get(
        f"/api/governance/{named.name}?search=%C3%A9&l%69mit=1",
        headers={"Authorization": f"Bearer {api_key}"},
    )

    assert ids(answer) == ["dev"]
