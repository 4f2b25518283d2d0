"""A snapshot made after another equals one made of nothing, whatever changed."""

import random
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway, add_model_configs, fill
from reading import CLEAR, MASKED, snapshot_of

from schemas import Query
from snapshot.entities import EntityDumper
from snapshot.snapshot import Snapshot

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
    before = _take(filled.path)

    filled.execute(change)

    assert _answers(_take(filled.path, before)) == _answers(_take(filled.path))


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


@pytest.mark.parametrize("change", OF_MODEL_CONFIGS)
def test_a_change_of_model_configs_reaches_all_that_it_touches(
    july: Gateway, change: str
) -> None:
    before = _take(july.path)

    july.execute(change)

    assert _answers(_take(july.path, before)) == _answers(_take(july.path))


@pytest.mark.parametrize("change", OF_MODEL_CONFIGS)
def test_taking_back_a_change_of_model_configs_reaches_all_that_it_touched(
    july: Gateway, tmp_path: Path, change: str
) -> None:
    original = tmp_path / "original.db"
    original.write_bytes(july.path.read_bytes())
    july.execute(change)
    before = _take(july.path)

    after = _take(original, before)

    assert _answers(after) == _answers(_take(original))


@pytest.mark.parametrize(("change", "keys"), OF_MODEL_CONFIGS.items())
def test_a_change_of_model_configs_makes_no_other_keys_again(
    july: Gateway, made: list[str], change: str, keys: set[str]
) -> None:
    before = _take(july.path)
    july.execute(change)
    made.clear()

    _take(july.path, before)

    assert set(made) == keys


@pytest.mark.parametrize("seed", range(5))
def test_many_changes_of_model_configs_add_up(july: Gateway, seed: int) -> None:
    snapshot = _take(july.path)
    changes = [*CHANGES, *OF_MODEL_CONFIGS]

    for change in random.Random(seed).sample(changes, len(changes)):
        july.execute(change.replace("INSERT", "INSERT OR IGNORE"))
        snapshot = _take(july.path, snapshot)

        assert _answers(snapshot) == _answers(_take(july.path)), change


@pytest.mark.parametrize("change", CHANGES)
def test_undoing_a_change_reaches_all_that_it_touched(
    tmp_path: Path, layout: str, change: str
) -> None:
    changed, original = Gateway(tmp_path / "a.db", layout), tmp_path / "b.db"
    fill(changed)
    original.write_bytes(changed.path.read_bytes())
    changed.execute(change)
    before = _take(changed.path)

    after = _take(original, before)

    assert _answers(after) == _answers(_take(original))


@pytest.mark.parametrize("seed", range(5))
def test_many_changes_one_after_the_other_add_up(filled: Gateway, seed: int) -> None:
    snapshot = _take(filled.path)

    for change in random.Random(seed).sample(CHANGES, len(CHANGES)):
        filled.execute(change)
        snapshot = _take(filled.path, snapshot)

        assert _answers(snapshot) == _answers(_take(filled.path)), change


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
    before = _take(filled.path)
    filled.execute(
        "UPDATE governance_budgets SET current_usage = 7 WHERE id LIKE '%key'"
    )
    made.clear()

    _take(filled.path, before)

    assert set(made) == {"key-ops"}


def _take(path: Path, before: Snapshot | None = None) -> Snapshot:
    snapshot = snapshot_of(path, before)
    snapshot.teams(Query(), MASKED)  # so that there are masked ones to take over
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
