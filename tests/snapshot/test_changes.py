"""A snapshot made after another equals one made of nothing, whatever changed."""

import random
from typing import Any

import pytest
from gateway import Gateway, add_model_configs, fill, in_all_layouts
from odd_databases import add_odd_rows
from reading import CLEAR, MASKED, rows_of

from models import MODELS
from schemas import Query
from snapshot.entities import EntityDumper
from snapshot.snapshot import Snapshot
from store.rows import Rows

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
    "UPDATE governance_virtual_keys SET rate_limit_id = 'limit-1' WHERE id = 'key-dev'",
    "UPDATE governance_virtual_keys SET customer_id = 'zenith' WHERE id = 'key-nobody'",
    "INSERT INTO governance_teams (id, name, customer_id, created_at)"
    " VALUES ('between', 'New', 'acme', '2026-04-01 10:00:00.5+00:00')",
]
# Layouts differ in how budgets and their owners are linked.
OF_BUDGETS = [change for change in CHANGES if "budget" in change]
OF_LAYOUTS = {
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
OF_LAYOUTS["may"] = [
    *OF_LAYOUTS["april"],
    "UPDATE governance_budgets SET provider_config_id = 70",
    "UPDATE governance_budgets SET virtual_key_id = 'key-lone'",
    "UPDATE governance_virtual_keys SET calendar_aligned = 1",
    "UPDATE governance_virtual_keys SET budget_id = 'budget-ops'",
]


@pytest.fixture
def odd(filled: Gateway) -> Gateway:
    """A database with a little of everything, and rows that are odd."""
    add_odd_rows(filled)
    return filled


@pytest.mark.parametrize(
    ("layout", "change"),
    [("july", change) for change in CHANGES]
    + [(layout, change) for layout in ("april", "may") for change in OF_BUDGETS]
    + [(layout, change) for layout, own in OF_LAYOUTS.items() for change in own],
)
def test_a_change_and_its_undoing_reach_all_that_they_touch(
    odd: Gateway, change: str
) -> None:
    rows = rows_of(odd.path)
    before = _take(rows)
    was = _answers(before)
    odd.execute(change)

    changed = _take(rows_of(odd.path), before)
    undone = _take(rows, changed)

    assert _answers(changed) == _answers(_take(rows_of(odd.path)))
    assert _answers(undone) == was


@in_all_layouts
def test_many_changes_one_after_the_other_add_up(odd: Gateway, layout: str) -> None:
    changes = [*CHANGES, *OF_LAYOUTS[layout]]
    snapshot = _take(rows_of(odd.path))

    for change in random.Random(1).sample(changes, len(changes)):
        verb, _, rest = change.partition(" ")  # some take an id that is taken by now
        odd.execute(f"{verb} {'' if verb == 'DELETE' else 'OR IGNORE '}{rest}")
        rows = rows_of(odd.path)
        snapshot = _take(rows, snapshot)

        assert _answers(snapshot) == _answers(_take(rows)), change


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


@in_all_layouts
def test_many_changes_at_random_add_up(odd: Gateway) -> None:
    chance = random.Random(2)
    snapshot = _take(rows_of(odd.path))
    changes: list[str] = []

    for _ in range(40):
        changes.append(change_at_random(odd, chance))
        rows = rows_of(odd.path)
        snapshot = _take(rows, snapshot)

        assert _answers(snapshot) == _answers(_take(rows)), changes


# What a July gateway changes in its model configs, and the keys that it touches.
MODEL_CONFIGS = "governance_model_configs"
OF_MODEL_CONFIGS = {
    f"UPDATE {MODEL_CONFIGS} SET rate_limit_id = NULL WHERE id = 'm-ops'": {"key-ops"},
    f"UPDATE {MODEL_CONFIGS} SET calendar_aligned = 0 WHERE id = 'm-dev'": {"key-dev"},
    f"UPDATE {MODEL_CONFIGS} SET updated_at = 'x' WHERE id = 'm-o3'": {"key-ops"},
    f"UPDATE {MODEL_CONFIGS} SET model_name = 'o4' WHERE id = 'm-any-o3'": {"key-acme"},
    f"UPDATE {MODEL_CONFIGS} SET model_name = '*' WHERE id = 'm-o3'": {"key-ops"},
    f"UPDATE {MODEL_CONFIGS} SET provider = 'openai' WHERE id = 'm-ops'": {"key-ops"},
    f"UPDATE {MODEL_CONFIGS} SET provider = NULL WHERE id = 'm-openai'": {"key-ops"},
    f"UPDATE {MODEL_CONFIGS} SET scope_id = 'key-acme' WHERE id = 'm-dev'": {
        "key-dev",
        "key-acme",
    },
    f"UPDATE {MODEL_CONFIGS} SET scope_id = 'key-lone' WHERE id = 'm-gone'": {
        "key-lone"
    },
    f"UPDATE {MODEL_CONFIGS} SET scope = 'global' WHERE id = 'm-dev'": {"key-dev"},
    f"UPDATE {MODEL_CONFIGS} SET scope = 'user' WHERE id = 'm-global'": set(),
    f"UPDATE {MODEL_CONFIGS} SET rate_limit_id = 'x' WHERE id = 'm-gone'": set(),
    f"DELETE FROM {MODEL_CONFIGS} WHERE id = 'm-dev'": {"key-dev"},
    f"DELETE FROM {MODEL_CONFIGS}": {"key-ops", "key-dev", "key-acme"},
    f"INSERT INTO {MODEL_CONFIGS} (id, model_name, scope, scope_id)"
    " VALUES ('new', '*', 'virtual_key', 'key-lone')": {"key-lone"},
    "UPDATE governance_budgets SET current_usage = 7 WHERE id = 'b-dev'": {"key-dev"},
    "UPDATE governance_budgets SET current_usage = 7 WHERE id = 'b-o3'": {"key-ops"},
    "UPDATE governance_budgets SET current_usage = 7 WHERE id = 'b-global'": set(),
    "UPDATE governance_budgets SET current_usage = 7 WHERE id = 'b-user'": set(),
    "UPDATE governance_budgets SET model_config_id = 'm-dev' WHERE id = 'b-any-o3'": {
        "key-acme",
        "key-dev",
    },
    "UPDATE governance_budgets SET current_usage = 7 WHERE id = 'b-two'": {
        "key-acme",
        "key-lone",
    },
    "DELETE FROM governance_budgets WHERE id = 'b-ops-2'": {"key-ops"},
    "UPDATE governance_rate_limits SET token_current_usage = 5": {"key-ops"},
    "UPDATE governance_virtual_keys SET id = 'gone' WHERE id = 'key-dev'": {"gone"},
}


@pytest.fixture
def july(gateway: Gateway) -> Gateway:
    """A July database with model configs."""
    fill(gateway)
    add_model_configs(gateway)
    return gateway


@pytest.mark.parametrize(("change", "keys"), OF_MODEL_CONFIGS.items())
def test_a_change_of_model_configs_reaches_the_keys_that_it_touches_and_no_others(
    july: Gateway, made: list[str], change: str, keys: set[str]
) -> None:
    rows = rows_of(july.path)
    before = _take(rows)
    was = _answers(before)
    july.execute(change)
    made.clear()

    changed = _take(rows_of(july.path), before)
    made_again = set(made)
    undone = _take(rows, changed)

    assert made_again == keys
    assert _answers(changed) == _answers(_take(rows_of(july.path)))
    assert _answers(undone) == was


def test_many_changes_of_model_configs_add_up(july: Gateway) -> None:
    snapshot = _take(rows_of(july.path))

    for change in random.Random(3).sample([*OF_MODEL_CONFIGS], len(OF_MODEL_CONFIGS)):
        july.execute(change)
        rows = rows_of(july.path)
        snapshot = _take(rows, snapshot)

        assert _answers(snapshot) == _answers(_take(rows)), change


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the virtual keys that are made, as often as they are."""
    ids: list[str] = []
    make = EntityDumper.virtual_key

    def note(dumper: EntityDumper, row: Any, **members: Any) -> Any:
        ids.append(row.id)
        return make(dumper, row, **members)

    monkeypatch.setattr(EntityDumper, "virtual_key", note)
    return ids


def test_what_no_change_touches_is_not_made_again(
    filled: Gateway, made: list[str]
) -> None:
    before = _take(rows_of(filled.path))
    filled.execute(
        "UPDATE governance_budgets SET current_usage = 7 WHERE id LIKE '%key'"
    )
    made.clear()

    _take(rows_of(filled.path), before)

    assert set(made) == {"key-ops"}


def _take(rows: Rows, before: Snapshot | None = None) -> Snapshot:
    snapshot = Snapshot(rows, before)
    snapshot.teams(Query(), MASKED)  # so that there are masked ones to take over
    return snapshot


def _answers(snapshot: Snapshot) -> list[tuple[str, bytes, bytes]]:
    """All that a snapshot answers, in both forms, with the entity tags."""
    answers = [
        answer(Query(), scope)
        for answer in (snapshot.teams, snapshot.customers)
        for scope in (CLEAR, MASKED)
    ]
    return [
        (answer.etag, b"".join(answer.plain.sent()), b"".join(answer.zipped().sent()))
        for answer in answers
    ]
