"""A snapshot made after another equals one made of nothing, whatever changed."""

import random
from pathlib import Path

import pytest
from gateway import Gateway, fill

from database import Reader
from models import MODELS, REQUIRED
from schemas import Query
from snapshot import Scope, Snapshot

CLEAR = Scope(everything=True, masked=False)
MASKED = Scope(everything=True)

CHANGES = [
    "UPDATE governance_budgets SET current_usage = current_usage + 1",
    "UPDATE governance_budgets SET current_usage = 7 WHERE id = 'budget-config'",
    "DELETE FROM governance_budgets WHERE id = 'budget-ops'",
    "DELETE FROM governance_budgets",
    "UPDATE governance_rate_limits SET token_current_usage = 5",
    "DELETE FROM governance_rate_limits",
    "UPDATE governance_customers SET name = 'Other' WHERE id = 'acme'",
    "DELETE FROM governance_customers WHERE id = 'acme'",
    "UPDATE governance_teams SET name = 'Other' WHERE id = 'acme-ops'",
    "UPDATE governance_teams SET customer_id = 'zenith' WHERE id = 'acme-ops'",
    "UPDATE governance_teams SET customer_id = NULL WHERE id = 'acme-dev'",
    "UPDATE governance_teams SET customer_id = 'acme' WHERE id = 'lone'",
    "DELETE FROM governance_teams WHERE id = 'acme-ops'",
    "UPDATE governance_virtual_keys SET name = 'Other' WHERE id = 'key-dev'",
    "UPDATE governance_virtual_keys SET team_id = 'lone' WHERE id = 'key-ops'",
    "UPDATE governance_virtual_keys SET customer_id = 'zenith' WHERE id = 'key-nobody'",
    "UPDATE governance_virtual_keys SET rate_limit_id = 'limit-1' WHERE id = 'key-dev'",
    "DELETE FROM governance_virtual_keys WHERE id = 'key-acme'",
    "UPDATE governance_virtual_key_provider_configs SET weight = 0.125",
    "UPDATE governance_virtual_key_provider_configs SET virtual_key_id = 'key-dev'",
    "DELETE FROM governance_virtual_key_provider_configs",
    "DELETE FROM governance_virtual_key_provider_config_keys",
    "UPDATE governance_virtual_key_mcp_configs SET virtual_key_id = 'key-lone'",
    "DELETE FROM governance_virtual_key_mcp_configs",
    "UPDATE config_keys SET name = 'renamed' WHERE id = 1",
    "DELETE FROM config_keys",
    "UPDATE config_mcp_clients SET name = 'renamed'",
    "DELETE FROM config_mcp_clients",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reaches_all_that_it_touches(filled: Gateway, change: str) -> None:
    before = _take(filled.path, None)

    filled.execute(change)

    assert _answers(_take(filled.path, before)) == _answers(_take(filled.path, None))


@pytest.mark.parametrize("change", CHANGES)
def test_undoing_a_change_reaches_all_that_it_touched(
    tmp_path: Path, layout: str, change: str
) -> None:
    changed, original = Gateway(tmp_path / "a.db", layout), tmp_path / "b.db"
    fill(changed)
    original.write_bytes(changed.path.read_bytes())
    changed.execute(change)
    before = _take(changed.path, None)

    after = _take(original, before)

    assert _answers(after) == _answers(_take(original, None))


@pytest.mark.parametrize("seed", range(5))
def test_many_changes_one_after_the_other_add_up(filled: Gateway, seed: int) -> None:
    snapshot = _take(filled.path, None)

    for change in random.Random(seed).sample(CHANGES, len(CHANGES)):
        filled.execute(change)
        snapshot = _take(filled.path, snapshot)

        assert _answers(snapshot) == _answers(_take(filled.path, None)), change


def test_what_no_change_touches_is_not_made_again(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _take(filled.path, None)
    filled.execute(
        "UPDATE governance_budgets SET current_usage = 7 WHERE id LIKE '%key'"
    )
    made = []
    make = before._clear._tree.__class__.virtual_key
    monkeypatch.setattr(
        "tree.Tree.virtual_key",
        lambda tree, row: made.append(row.id) or make(tree, row),
    )

    _take(filled.path, before)

    assert set(made) == {"key-ops"}


def _take(path: Path, before: Snapshot | None) -> Snapshot:
    reader = Reader(path, MODELS, REQUIRED)
    try:
        snapshot = Snapshot(reader.read(), before)
    finally:
        reader.close()
    snapshot.teams(Query(), MASKED)  # so that there is a masked view to borrow from
    return snapshot


def _answers(snapshot: Snapshot) -> list[tuple[str, bytes, bytes]]:
    answers = [
        snapshot.teams(Query(), CLEAR),
        snapshot.teams(Query(), MASKED),
        snapshot.customers(Query(), CLEAR),
    ]
    return [
        (answer.etag, b"".join(answer.plain.sent()), b"".join(answer.zipped().sent()))
        for answer in answers
    ]
