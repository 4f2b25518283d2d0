"""Spending: budgets with their owners, and their sums."""

from typing import Any

import pytest
from gateway import Gateway, add_model_configs, in_all_layouts
from reading import rows_of

from snapshot.spending import (
    Spending,
    by_share,
    of_customers_and_teams,
    of_virtual_keys,
    summed,
)
from store.relations import Index


def index_of(gateway: Gateway) -> Index:
    return Index(rows_of(gateway.path))


def spent(gateway: Gateway) -> list[Spending]:
    index = index_of(gateway)
    return [*of_customers_and_teams(index), *of_virtual_keys(index)]


def by_budget(gateway: Gateway) -> dict[str, Spending]:
    return {each.budget_ids[0]: each for each in spent(gateway)}


@in_all_layouts
def test_each_budget_has_its_owner_in_every_layout(filled: Gateway) -> None:
    found = by_budget(filled)

    owners = {id: (each.owner.kind, each.owner.id) for id, each in found.items()}
    assert owners == {
        "budget-acme": ("customer", "acme"),
        "budget-ops": ("team", "acme-ops"),
        "budget-key": ("virtual_key", "key-ops"),
        "budget-config": ("virtual_key", "key-ops"),
    }
    ops, config = found["budget-ops"], found["budget-config"]
    assert (ops.used, ops.limit, ops.share) == (99.5, 100, 0.995)
    assert (ops.owner.name, ops.owner.customer) == ("Operations", "Acme Freight")
    assert (config.owner.team, config.owner.customer_id) == ("Operations", "acme")
    assert (config.provider, config.model) == ("openai", "")
    assert ops.resets_at is not None
    assert ops.resets_at.isoformat() == "2026-04-02T10:00:00+00:00"


def test_model_configs_budgets_are_those_of_keys_providers_and_models(
    filled: Gateway,
) -> None:
    add_model_configs(filled)

    found = spent(filled)

    shown = {
        (each.budget_ids[0], each.owner.id, each.provider, each.model)
        for each in found
        if each.owner.kind == "virtual_key"
    }
    assert shown == {
        ("b-ops", "key-ops", "", ""),
        ("b-ops-2", "key-ops", "", ""),
        ("b-openai", "key-ops", "openai", ""),
        ("b-o3", "key-ops", "openai", "o3"),
        ("b-dev", "key-dev", "", ""),
        ("b-any-o3", "key-acme", "", "o3"),
        ("b-two", "key-acme", "", "o3"),
        ("b-two", "key-lone", "", ""),  # it names both
    }
    resets_at = by_budget(filled)["b-dev"].resets_at
    assert resets_at is not None
    assert resets_at.hour == 0  # its model config is aligned


def test_those_nearest_to_their_limits_come_first(gateway: Gateway) -> None:
    gateway.team("t", None)
    amounts = [("half", 50, 100), ("none", 0, 0), ("beyond", 3, 2), ("refused", 1, 0)]
    for id, used, limit in amounts:
        budget: dict[str, Any] = {"current_usage": used, "max_limit": limit}
        gateway.budget(id, "team_id", "t", **budget)

    found = by_share(spent(gateway))

    ids = [each.budget_ids[0] for each in found]
    assert ids == ["refused", "beyond", "half", "none"]


@pytest.fixture
def summed_up(gateway: Gateway) -> Gateway:
    """A customer with two teams, three keys; and a key of nobody's."""
    gateway.customer("c")
    for team in ("t1", "t2"):
        gateway.team(team, "c")
        gateway.budget(f"b-{team}", "team_id", team, current_usage=0.1)
    gateway.budget("b-c", "customer_id", "c", current_usage=7.0)
    owners = {"k1": {"team_id": "t1"}, "k2": {"team_id": "t1"}}
    owners |= {"k3": {"customer_id": "c"}, "k4": {}}
    for key, owner in owners.items():
        gateway.virtual_key(key, **owner)
        gateway.budget(f"b-{key}", "virtual_key_id", key, current_usage=0.2)
    gateway.budget("b-k1-month", "virtual_key_id", "k1", reset_duration="1M")
    gateway.provider_config(1, "k1")
    gateway.budget("b-config", "provider_config_id", 1, current_usage=5.0)
    return gateway


def sums(gateway: Gateway, kind: str) -> set[Any]:
    return {
        (
            getattr(each.owner, kind),
            each.owner.kind,
            each.provider,
            each.period,
            each.used,
            each.limit,
            len(each.budget_ids),
        )
        for each in summed(spent(gateway), kind)
    }


def test_sums_never_mix_kinds_of_owners_periods_or_providers(
    summed_up: Gateway,
) -> None:
    assert sums(summed_up, "customer") == {
        ("Customer c", "customer", "", "1d", 7, 100, 1),
        ("Customer c", "team", "", "1d", 0.2, 200, 2),
        ("Customer c", "virtual_key", "", "1d", 0.6, 300, 3),
        ("Customer c", "virtual_key", "", "1M", 0, 100, 1),
        ("Customer c", "virtual_key", "openai", "1d", 5, 100, 1),
    }


def test_sums_of_teams_are_without_what_belongs_to_none(summed_up: Gateway) -> None:
    found = sums(summed_up, "team")

    assert {name for name, *_ in found} == {"Team t1", "Team t2"}
    assert ("Team t1", "virtual_key", "", "1d", 0.4, 200, 2) in found


def test_sums_of_keys_have_only_keys(summed_up: Gateway) -> None:
    found = sums(summed_up, "virtual_key")

    assert {name for name, *_ in found} == {"Key k1", "Key k2", "Key k3", "Key k4"}


def test_a_budget_that_two_share_counts_once_in_their_sum(tmp_path: Any) -> None:
    gateway = Gateway(tmp_path / "config.db", "april")
    gateway.customer("c")
    gateway.budget("shared", current_usage=4.0)
    for team in ("t1", "t2"):
        gateway.team(team, "c", budget_id="shared")

    assert len(spent(gateway)) == 2
    assert sums(gateway, "customer") == {("Customer c", "team", "", "1d", 4, 100, 1)}


def test_sums_of_whole_numbers_are_exact(gateway: Gateway) -> None:
    gateway.customer("c")
    whole = 2**53 + 1  # more than a float holds
    for team in ("t1", "t2"):
        gateway.team(team, "c")
        gateway.budget(f"b-{team}", "team_id", team)
    gateway.execute("ALTER TABLE governance_budgets DROP COLUMN current_usage")
    gateway.execute("ALTER TABLE governance_budgets ADD current_usage INTEGER")
    gateway.execute("UPDATE governance_budgets SET current_usage = ?", whole)

    (found,) = summed(spent(gateway), "customer")

    assert found.used == 2 * whole
