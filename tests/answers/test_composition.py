"""Answers joined from bytes are what the schemas say, however they came about."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from gateway import T1, T2, T3, Gateway, fill
from marshmallow import Schema
from playhouse.test_utils import count_queries
from reading import CLEAR, MASKED, reader_of, rows_of, snapshot_of
from werkzeug.test import TestResponse

import values
from models import MODELS, REQUIRED, Row
from schemas import CustomersAnswerSchema, Query, TeamsAnswerSchema
from snapshot import answers
from snapshot.answers import Answer
from snapshot.entities import EntityDumper
from snapshot.snapshot import Scope, Snapshot
from store.relations import Index

Get = Callable[..., TestResponse]

scopes = pytest.mark.parametrize("scope", [CLEAR, MASKED], ids=["clear", "masked"])
names = pytest.mark.parametrize("name", ["teams", "customers"])


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


def add_the_weird(gateway: Gateway) -> None:
    """Rows that refer to nothing, to each other, or hold what can hardly be read."""
    gateway.customer("", name="no id")
    gateway.customer("weird", name='"\\\u0000\u2028</script>', rate_limit_id="gone")
    gateway.team("weird", "weird", profile="{", config="[]", claims='{"a":1.0}')
    gateway.team("orphan", "gone", created_at="yesterday", name=None)
    gateway.team("nulls", None, name=None, created_at=None, updated_at=None)
    gateway.virtual_key("both", team_id="weird", customer_id="weird", is_active="?")
    gateway.virtual_key("elsewhere", team_id="weird", customer_id="acme")
    gateway.virtual_key("dangling", team_id="orphan", rate_limit_id="gone", value="s")
    gateway.virtual_key("cipher", team_id="weird", encryption_status="encrypted")
    gateway.virtual_key("none", team_id="nulls", value="", value_hash=None)
    gateway.provider_key(7, provider="", provider_id=404, models_json="[1]")
    gateway.provider_key(8, provider=None, enabled=None, weight="heavy")
    gateway.provider_config(70, "both", (7, 8, 404), weight=0.1, allowed_models="x")
    gateway.provider_config(71, "both", rate_limit_id="limit-1")
    gateway.mcp_client(7, name='m"', stdio_config_json={"command": 5, "args": ["a"]})
    gateway.mcp_client(8, encryption_status="encrypted", connection_string="Y2lwaGVy")
    gateway.mcp_config(70, "both", 7, tools_to_execute="*")
    gateway.mcp_config(71, "both", 404)
    gateway.mcp_config(72, "both", 8)
    gateway.budget("of-both", "virtual_key_id", "both", created_at=T2)
    gateway.budget("of-config", "provider_config_id", 70, max_limit="much")
    gateway.budget("of-weird", "customer_id", "weird", current_usage=2**53 + 1)
    gateway.budget("of-nobody", calendar_aligned=1)
    gateway.model_config("all", "both", rate_limit_id="gone", calendar_aligned="?")
    gateway.model_config("some", "both", None, "openai", created_at="yesterday")
    gateway.model_config("o3", "elsewhere", "o3", "", rate_limit_id="limit-1")
    gateway.model_config("elsewhere", "key-acme", scope="global")
    gateway.budget("of-all", model_config_id="all", created_at=T1)
    gateway.budget("of-o3", model_config_id="o3", customer_id="acme")


@pytest.fixture
def weird(filled: Gateway) -> Gateway:
    add_the_weird(filled)
    return filled


@names
@scopes
def test_the_composed_answer_is_what_the_schemas_dump(
    filled: Gateway, name: str, scope: Scope
) -> None:
    taken = snapshot_of(filled.path)

    body = body_of(ask(taken, name, scope))

    assert body == plain_body(name, taken.index, scope)


@names
@scopes
def test_the_composed_answer_of_weird_rows_is_what_the_schemas_dump(
    weird: Gateway, name: str, scope: Scope
) -> None:
    taken = snapshot_of(weird.path)

    body = body_of(ask(taken, name, scope))

    assert body == plain_body(name, taken.index, scope)


@names
def test_the_service_sends_what_the_schemas_dump(
    weird: Gateway, get: Get, source: str, name: str
) -> None:
    expected = plain_body(name, Index(rows_of(weird.path)), CLEAR)

    answer = get(name, source=source)

    assert answer.data == expected


@names
def test_a_clear_and_a_masked_answer_differ(filled: Gateway, name: str) -> None:
    taken = snapshot_of(filled.path)

    answers = [ask(taken, name, scope) for scope in (CLEAR, MASKED)]

    assert body_of(answers[0]) != body_of(answers[1])
    assert answers[0].etag != answers[1].etag


@names
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


@names
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


CHANGES = [
    "UPDATE governance_customers SET name = 'New' WHERE id = 'acme'",
    "UPDATE governance_customers SET created_at = '2027-01-01 00:00:00+00:00'"
    " WHERE id = 'acme'",
    "UPDATE governance_customers SET id = 'renamed' WHERE id = 'acme'",
    "UPDATE governance_customers SET rate_limit_id = NULL",
    "DELETE FROM governance_customers WHERE id = 'acme'",
    "DELETE FROM governance_customers",
    "INSERT INTO governance_customers (id, name) VALUES ('gone', 'No longer')",
    "UPDATE governance_teams SET customer_id = 'zenith' WHERE id = 'acme-ops'",
    "UPDATE governance_teams SET customer_id = NULL WHERE id = 'acme-ops'",
    "UPDATE governance_teams SET customer_id = 'acme' WHERE id = 'lone'",
    "UPDATE governance_teams SET customer_id = 'gone' WHERE id = 'lone'",
    "UPDATE governance_teams SET created_at = '2025-01-01 00:00:00+00:00'"
    " WHERE id = 'acme-dev'",
    "UPDATE governance_teams SET id = 'renamed' WHERE id = 'acme-ops'",
    "UPDATE governance_teams SET rate_limit_id = 'limit-1'",
    "DELETE FROM governance_teams WHERE id = 'acme-ops'",
    "DELETE FROM governance_teams",
    "UPDATE governance_virtual_keys SET team_id = 'acme-dev' WHERE id = 'key-ops'",
    "UPDATE governance_virtual_keys SET team_id = NULL WHERE id = 'key-ops'",
    "UPDATE governance_virtual_keys SET team_id = 'lone' WHERE id = 'key-nobody'",
    "UPDATE governance_virtual_keys SET customer_id = 'zenith' WHERE id = 'key-acme'",
    "UPDATE governance_virtual_keys SET customer_id = 'zenith'",
    "UPDATE governance_virtual_keys SET value = 'sk-bf-rotated' WHERE id = 'key-ops'",
    "UPDATE governance_virtual_keys SET encryption_status = 'encrypted'",
    "DELETE FROM governance_virtual_keys WHERE id = 'key-ops'",
    "DELETE FROM governance_virtual_keys",
    "UPDATE governance_budgets SET current_usage = 12.5",
    "UPDATE governance_budgets SET current_usage = 1 WHERE id = 'budget-config'",
    "UPDATE governance_budgets SET current_usage = 1 WHERE id = 'budget-key'",
    "UPDATE governance_budgets SET id = 'renamed' WHERE id = 'budget-ops'",
    "DELETE FROM governance_budgets WHERE id = 'budget-config'",
    "DELETE FROM governance_budgets",
    "UPDATE governance_rate_limits SET token_current_usage = 5",
    "UPDATE governance_rate_limits SET id = 'renamed'",
    "DELETE FROM governance_rate_limits",
    "INSERT INTO governance_rate_limits (id) VALUES ('gone')",
    "UPDATE governance_virtual_key_provider_configs SET weight = 0.25",
    "UPDATE governance_virtual_key_provider_configs SET virtual_key_id = 'key-lone'",
    "UPDATE governance_virtual_key_provider_configs SET rate_limit_id = 'limit-1'",
    "DELETE FROM governance_virtual_key_provider_configs",
    "DELETE FROM governance_virtual_key_provider_config_keys WHERE table_key_id = 1",
    "DELETE FROM governance_virtual_key_provider_config_keys",
    "INSERT INTO governance_virtual_key_provider_config_keys VALUES (70, 1)",
    "UPDATE governance_virtual_key_mcp_configs SET tools_to_execute = '[]'",
    "UPDATE governance_virtual_key_mcp_configs SET virtual_key_id = 'key-dev'",
    "UPDATE governance_virtual_key_mcp_configs SET mcp_client_id = 7",
    "DELETE FROM governance_virtual_key_mcp_configs",
    "UPDATE config_keys SET weight = 0.75",
    "UPDATE config_keys SET provider = NULL",
    "DELETE FROM config_keys",
    "UPDATE config_mcp_clients SET name = 'new-' || id",
    "DELETE FROM config_mcp_clients",
    "INSERT INTO config_mcp_clients (id, name) VALUES (404, 'found')",
    "INSERT INTO config_providers (id, name) VALUES (404, 'found')",
]
LAYOUT_CHANGES = {
    "april": [
        "UPDATE governance_budgets SET calendar_aligned = 1",
        "UPDATE governance_teams SET budget_id = 'budget-acme' WHERE id = 'lone'",
        "UPDATE governance_teams SET budget_id = 'gone' WHERE id = 'acme-ops'",
        "UPDATE governance_virtual_keys SET budget_id = NULL",
        "UPDATE governance_virtual_key_provider_configs SET budget_id = NULL",
        "UPDATE governance_customers SET budget_id = 'of-nobody'",
    ],
    "july": [
        "UPDATE governance_customers SET calendar_aligned = 1",
        "UPDATE governance_teams SET calendar_aligned = 1",
        "UPDATE governance_virtual_keys SET calendar_aligned = 1",
        "UPDATE governance_budgets SET team_id = 'lone' WHERE id = 'budget-ops'",
        "UPDATE governance_budgets SET team_id = NULL, customer_id = 'zenith'"
        " WHERE id = 'budget-ops'",
        "UPDATE governance_budgets SET provider_config_id = 70",
        "UPDATE governance_budgets SET virtual_key_id = 'key-lone'",
        "UPDATE governance_model_configs SET scope = 'virtual_key', model_name = '*'",
        "UPDATE governance_model_configs SET provider = NULL, rate_limit_id = NULL",
        "UPDATE governance_model_configs SET scope_id = 'key-ops'",
        "DELETE FROM governance_model_configs",
    ],
}
LAYOUT_CHANGES["may"] = [
    *LAYOUT_CHANGES["april"],
    "UPDATE governance_budgets SET provider_config_id = 70",
    "UPDATE governance_budgets SET virtual_key_id = 'key-lone'",
    "UPDATE governance_virtual_keys SET calendar_aligned = 1",
    "UPDATE governance_virtual_keys SET budget_id = 'budget-ops'",
]


@pytest.mark.parametrize(
    ("layout", "change"),
    [(layout, sql) for layout in LAYOUT_CHANGES for sql in CHANGES]
    + [(layout, sql) for layout, own in LAYOUT_CHANGES.items() for sql in own],
)
def test_a_snapshot_after_a_change_tells_what_a_fresh_one_does(
    weird: Gateway, change: str
) -> None:
    before = snapshot_of(weird.path)
    told(before)
    weird.execute(change)

    after = snapshot_of(weird.path, before)

    assert told(after) == told(snapshot_of(weird.path))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("layout", ["july"])
def test_a_change_taken_back_tells_what_was_told_before(
    weird: Gateway, tmp_path: Path, change: str
) -> None:
    rows = rows_of(weird.path)
    before = Snapshot(rows)
    weird.execute(change)
    changed = snapshot_of(weird.path, before)
    told(changed)

    after = Snapshot(rows, changed)

    assert told(after) == told(before)


def change_at_random(gateway: Gateway, chance: random.Random) -> str:
    """Give one column of some rows a value that this or another row has, or NULL;
    or delete a row.
    """
    table = chance.choice(MODELS)._meta.table_name
    with gateway.writer() as connection:
        described = connection.execute(f"PRAGMA table_info({table})").fetchall()
        rows = connection.execute(f"SELECT rowid FROM {table}").fetchall()
        columns = [column[1] for column in described if column[1] != "id"]
        column = chance.choice(columns)
        values = [
            row[0]
            for row in connection.execute(f"SELECT DISTINCT {column} FROM {table}")
        ]
        if not rows:
            return ""
        rowid = chance.choice(rows)[0]
        if chance.random() < 0.1:
            connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
        else:
            connection.execute(
                f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = ?",
                (chance.choice([*values, None]), rowid),
            )
    return f"{table}.{column}"


@pytest.mark.parametrize("seed", range(4))
def test_after_many_changes_each_snapshot_tells_what_a_fresh_one_does(
    weird: Gateway, seed: int
) -> None:
    chance = random.Random(seed)
    taken = snapshot_of(weird.path)
    changes: list[str] = []

    for _ in range(40):
        changes.append(change_at_random(weird, chance))
        rows = rows_of(weird.path)
        taken = Snapshot(rows, taken)

        assert told(taken) == told(Snapshot(rows)), changes


def test_a_snapshot_before_stays_as_it_was(filled: Gateway) -> None:
    before = snapshot_of(filled.path)
    was = told(before)
    filled.execute("DELETE FROM governance_virtual_keys")

    snapshot_of(filled.path, before)

    assert told(before) == was


@pytest.mark.parametrize("created_at", [T1, T2, T3])
def test_a_new_row_takes_its_place_in_the_order(
    filled: Gateway, created_at: str
) -> None:
    before = snapshot_of(filled.path)
    filled.team("between", "acme", created_at=created_at)

    after = snapshot_of(filled.path, before)

    assert told(after) == told(snapshot_of(filled.path))


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


@names
def test_an_unchanged_database_is_not_read_again(
    filled: Gateway, get: Get, name: str
) -> None:
    get(name)

    with count_queries(only_select=True) as counted:
        get(name)

    tables = [query.msg[0] for query in counted.get_queries()]
    assert [sql for sql in tables if "governance_" in sql] == []


@names
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
    add_the_weird(gateway)

    taken = snapshot_of(gateway.path)

    assert taken.counts == {"teams": 7, "customers": 4, "virtual_keys": 10}
