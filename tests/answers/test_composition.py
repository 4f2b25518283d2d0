"""Answers joined from bytes are what the schemas say, however they came about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from gateway import Gateway, fill, in_all_layouts
from marshmallow import Schema
from odd_databases import add_odd_rows
from playhouse.test_utils import count_queries
from reading import CLEAR, MASKED, reader_of, rows_of, snapshot_of
from werkzeug.test import TestResponse

import values
from models import REQUIRED, Row
from schemas import CustomersAnswerSchema, Query, TeamsAnswerSchema
from snapshot import answers
from snapshot.answers import Answer
from snapshot.entities import EntityDumper
from snapshot.snapshot import Scope, Snapshot
from store.relations import Index

Get = Callable[..., TestResponse]

scopes = pytest.mark.parametrize("scope", [CLEAR, MASKED], ids=["clear", "masked"])


class PlainEntities(EntityDumper):
    """Entities as the objects that a schema dumps."""

    def entity(self, schema: type[Schema], row: Row, **members: Any) -> dict[str, Any]:
        return {**row._asdict(), **members}


class PlainTree:
    """The whole tree of objects, nothing shared and nothing remembered."""

    def __init__(self, index: Index, masked: bool) -> None:
        self.index = index
        self.masked = masked
        self.plain = PlainEntities(index)

    def teams(self) -> list[Any]:
        return [self._team(row, self._customer_of(row)) for row in self.index.teams]

    def customers(self) -> list[Any]:
        return [self._customer(row) for row in self.index.customers]

    def _customer_of(self, team: Row) -> Any:
        row = self.index.customer.get(team.customer_id)
        return None if row is None else self._customer(row)

    def _customer(self, row: Row) -> Any:
        teams = [self._team(team, {}) for team in self.index.teams_of.get(row.id, ())]
        groups = self.index.virtual_keys_of_customer
        return self.plain.customer(row, teams, self._virtual_keys(groups, row))

    def _team(self, row: Row, customer: Any) -> Any:
        groups = self.index.virtual_keys_of_team
        return self.plain.team(row, customer, self._virtual_keys(groups, row))

    def _virtual_keys(self, groups: dict[Any, list[Row]], owner: Row) -> list[Any]:
        return [self._virtual_key(row) for row in groups.get(owner.id, ())]

    def _virtual_key(self, row: Row) -> Any:
        value = values.text(row.value)
        shown = values.mask_value(value) if self.masked else value
        return self.plain.virtual_key(row, shown)


def plain_body(name: str, index: Index, scope: Scope) -> bytes:
    entities = getattr(PlainTree(index, scope.masked), name)()
    count = len(entities)
    schema = {"teams": TeamsAnswerSchema, "customers": CustomersAnswerSchema}[name]
    numbers = {"count": count, "total_count": count, "limit": count, "offset": 0}
    return orjson.dumps(schema().dump({name: entities, **numbers}))


def body_of(answer: Answer) -> bytes:
    return b"".join(answer.plain.sent())


def ask(taken: Snapshot, name: str, scope: Scope, **query: Any) -> Answer:
    return getattr(taken, name)(Query(**query), scope)


def told(taken: Snapshot) -> list[tuple[str, bytes]]:
    """All that a snapshot answers, entity tags included."""
    answers = [
        ask(taken, name, scope)
        for name in ("teams", "customers")
        for scope in (CLEAR, MASKED)
    ]
    return [(answer.etag, body_of(answer)) for answer in answers]


@pytest.fixture
def weird(filled: Gateway) -> Gateway:
    add_odd_rows(filled)
    return filled


@in_all_layouts
@scopes
def test_the_composed_answer_is_what_the_schemas_dump(
    filled: Gateway, name: str, scope: Scope
) -> None:
    taken = snapshot_of(filled.path)

    body = body_of(ask(taken, name, scope))

    assert body == plain_body(name, taken.index, scope)


@in_all_layouts
@scopes
def test_the_composed_answer_of_weird_rows_is_what_the_schemas_dump(
    weird: Gateway, name: str, scope: Scope
) -> None:
    taken = snapshot_of(weird.path)

    body = body_of(ask(taken, name, scope))

    assert body == plain_body(name, taken.index, scope)


def test_the_service_sends_what_the_schemas_dump(
    weird: Gateway, get: Get, source: str, name: str
) -> None:
    expected = plain_body(name, Index(rows_of(weird.path)), CLEAR)

    answer = get(name, source=source)

    assert answer.data == expected


def test_a_clear_and_a_masked_answer_differ(filled: Gateway, name: str) -> None:
    taken = snapshot_of(filled.path)

    answers = [ask(taken, name, scope) for scope in (CLEAR, MASKED)]

    assert body_of(answers[0]) != body_of(answers[1])
    assert answers[0].etag != answers[1].etag


@scopes
@pytest.mark.parametrize("piece_bytes", [1, 1000, 10**7])
def test_streamed_pieces_are_the_kept_body(
    weird: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    scope: Scope,
    piece_bytes: int,
) -> None:
    kept = ask(snapshot_of(weird.path), name, scope)
    monkeypatch.setattr(answers, "WHOLE_BYTES", 0)
    monkeypatch.setattr(answers, "KEEP_BYTES", 0)
    monkeypatch.setattr(answers, "PIECE_BYTES", piece_bytes)

    streamed = ask(snapshot_of(weird.path), name, scope)

    assert not isinstance(streamed.plain.sent(), list)
    assert body_of(streamed) == body_of(kept)
    assert (streamed.plain.size, streamed.etag) == (len(body_of(kept)), kept.etag)


def test_a_large_answer_is_kept_in_pieces_and_sent_again(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "WHOLE_BYTES", 0)
    monkeypatch.setattr(answers, "PIECE_BYTES", 100)
    answer = ask(snapshot_of(filled.path), "teams", CLEAR)

    first, second = list(answer.plain.sent()), list(answer.plain.sent())

    assert len(first) > 3
    assert [id(piece) for piece in first] == [id(piece) for piece in second]


def test_what_is_kept_of_many_queries_is_bounded(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "KEPT_BYTES", 10 * answers.ANSWER_BYTES)
    taken = snapshot_of(filled.path)

    queries = [Query(search=f"nothing {n}", paged=True) for n in range(50)]

    made = [taken.teams(query, CLEAR) for query in queries]

    kept = [taken.kept("teams", query, CLEAR) for query in queries]
    assert 1 <= sum(answer is not None for answer in kept) <= 10
    assert kept[-1] is made[-1]


def test_no_piece_is_much_larger_than_it_should_be() -> None:
    size = answers.PIECE_BYTES
    parts = [b"a", b"b" * 2 * size, b"c" * (5 * size + 1), b"d" * 10, b"e" * size]

    pieces = list(answers.in_pieces(parts))

    assert b"".join(pieces) == b"".join(parts)
    assert max(map(len, pieces)) <= 2 * size


def test_an_answer_is_streamed_in_several_pieces_and_again(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "WHOLE_BYTES", 0)
    monkeypatch.setattr(answers, "KEEP_BYTES", 0)
    monkeypatch.setattr(answers, "PIECE_BYTES", 1)
    answer = ask(snapshot_of(filled.path), "teams", CLEAR)

    first, second = list(answer.plain.sent()), list(answer.plain.sent())

    assert len(first) > 3
    assert first == second


@pytest.mark.parametrize("query", [{}, {"limit": "1"}, {"search": "no such name"}])
def test_a_streamed_response_is_the_kept_one(
    filled: Gateway,
    get: Get,
    make_app: Callable[..., Any],
    api_key: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    query: dict[str, str],
) -> None:
    kept = get(name, **query)
    monkeypatch.setattr(answers, "WHOLE_BYTES", 0)
    monkeypatch.setattr(answers, "KEEP_BYTES", 0)
    monkeypatch.setattr(answers, "PIECE_BYTES", 100)

    streamed = (
        make_app()
        .test_client()
        .get(
            f"/api/governance/{name}",
            query_string=query,
            headers={"Authorization": f"Bearer {api_key}"},
        )
    )

    assert streamed.data == kept.data
    assert streamed.headers["Content-Length"] == str(len(kept.data))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Which rows were made into JSON: their schema's name and their id."""
    calls: list[tuple[str, Any]] = []
    entity = EntityDumper.entity

    def counting(self: Any, schema: type[Schema], row: Row, **members: Any) -> Any:
        calls.append((schema.__name__.removesuffix("Schema"), row.id))
        return entity(self, schema, row, **members)

    monkeypatch.setattr(EntityDumper, "entity", counting)
    return calls


def test_a_snapshot_makes_each_entity_of_the_lists(
    filled: Gateway, made: list[tuple[str, Any]]
) -> None:
    taken = snapshot_of(filled.path)

    told(taken)

    listed = {each for each in made if each[0] in ("Team", "Customer", "VirtualKey")}
    assert len(listed) == 4 + 2 + 4  # the fifth key is nobody's and in no list


@pytest.mark.parametrize("kind", ["Team", "Customer", "VirtualKey"])
def test_no_entity_of_a_list_is_made_twice(
    filled: Gateway, made: list[tuple[str, Any]], kind: str
) -> None:
    taken = snapshot_of(filled.path)

    ask(taken, "teams", CLEAR)
    ask(taken, "customers", CLEAR)

    ids = [row_id for name, row_id in made if name == kind]
    assert sorted(ids) == sorted(set(ids))


def test_equal_rows_are_not_made_again_for_the_next_snapshot(
    weird: Gateway, made: list[tuple[str, Any]]
) -> None:
    before = snapshot_of(weird.path)
    told(before)
    made.clear()

    after = snapshot_of(weird.path, before)

    assert told(after) == told(before)
    assert made == []


def test_a_changed_row_is_made_again_and_what_it_does_not_touch_is_not(
    filled: Gateway, made: list[tuple[str, Any]]
) -> None:
    before = snapshot_of(filled.path)
    filled.execute("UPDATE governance_teams SET name = 'New' WHERE id = 'zenith-ml'")
    made.clear()

    snapshot_of(filled.path, before)

    assert ("Team", "zenith-ml") in made
    assert {
        ("Customer", "acme"),
        ("Team", "lone"),
        ("VirtualKey", "key-ops"),
    }.isdisjoint(made)


def test_a_changed_virtual_key_is_made_again_and_no_other(
    filled: Gateway, made: list[tuple[str, Any]]
) -> None:
    before = snapshot_of(filled.path)
    filled.execute(
        "UPDATE governance_virtual_keys SET description = 'New' WHERE id = 'key-dev'"
    )
    made.clear()

    snapshot_of(filled.path, before)

    assert [each for each in made if each[0] == "VirtualKey"] == [
        ("VirtualKey", "key-dev")
    ]


def test_a_snapshot_before_stays_as_it_was(filled: Gateway) -> None:
    before = snapshot_of(filled.path)
    was = told(before)
    filled.execute("DELETE FROM governance_virtual_keys")

    snapshot_of(filled.path, before)

    assert told(before) == was


# Of each table first which columns it has, since layouts differ, and then its rows.
STATEMENTS = {
    "governance_customers": "the customers list, and the customer within each team",
    "governance_teams": "the teams list, and the teams within each customer",
    "governance_virtual_keys": "the keys of teams and customers; callers, too",
    "governance_budgets": "the budgets of all four kinds of owner",
    "governance_rate_limits": "the limits of all four kinds of owner",
    "governance_virtual_key_provider_configs": "the provider configs of virtual keys",
    "governance_model_configs": "budgets and limits of keys and provider configs",
    "governance_virtual_key_provider_config_keys": "which keys a config has",
    "governance_virtual_key_mcp_configs": "the MCP configs of virtual keys",
    "config_keys": "the provider keys within provider configs",
    "config_mcp_clients": "the MCP client within each MCP config",
    "config_providers": "the provider's name where a key has only its id",
}


def add_whole_teams(gateway: Gateway, count: int) -> None:
    for number in range(count):
        gateway.customer(f"c{number}")
        gateway.team(f"t{number}", f"c{number}")
        gateway.virtual_key(f"k{number}", team_id=f"t{number}")
        gateway.provider_key(100 + number)
        gateway.provider_config(100 + number, f"k{number}", (100 + number,))
        gateway.mcp_client(100 + number)
        gateway.mcp_config(100 + number, f"k{number}", 100 + number)
        gateway.budget(f"b{number}", "team_id", f"t{number}")


@in_all_layouts
@pytest.mark.parametrize("teams", [1, 20])
def test_reading_takes_one_statement_for_each_table_however_many_teams(
    filled: Gateway, teams: int
) -> None:
    add_whole_teams(filled, teams)
    reader = reader_of(filled.path)

    with count_queries() as counted:
        reader.read()
    reader.close()

    asked = [query.msg[0] for query in counted.get_queries()]
    selected = [sql for sql in asked if sql.startswith("SELECT")]
    assert [
        [table for table in STATEMENTS if f'FROM "{table}"' in sql] for sql in selected
    ] == [[], *([table] for table in STATEMENTS)]  # first of all, are there views?
    assert len(asked) == len(selected) + len(REQUIRED) + len(STATEMENTS) + 1


def test_asking_whether_anything_changed_is_no_statement(filled: Gateway) -> None:
    reader = reader_of(filled.path)
    reader.mark()

    with count_queries() as counted:
        reader.mark()
    reader.close()

    assert counted.count == 0


def test_an_unchanged_database_is_not_read_again(
    filled: Gateway, get: Get, name: str
) -> None:
    get(name)

    with count_queries(only_select=True) as counted:
        get(name)

    tables = [query.msg[0] for query in counted.get_queries()]
    assert [sql for sql in tables if "governance_" in sql] == []


def test_an_answer_from_memory_reads_no_table(
    filled: Gateway, get: Get, name: str
) -> None:
    get(name)
    filled.team("later")

    with count_queries() as counted:
        get(name, from_memory="true")

    tables = [query.msg[0] for query in counted.get_queries()]
    assert [sql for sql in tables if "governance_" in sql] == []


def test_the_weird_rows_are_beside_those_of_fill(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "config.db", "july")
    fill(gateway)
    add_odd_rows(gateway)

    taken = snapshot_of(gateway.path)

    assert taken.counts == {"teams": 7, "customers": 4, "virtual_keys": 10}
