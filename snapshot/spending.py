"""The budgets of one moment, each with its owner: who has used how much.

Taken from the answers' own entities, so that owners, alignment and order are the same.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from math import inf
from typing import Any

import values
from models import Row
from snapshot.entities import EntityDumper
from snapshot.resets import next_reset
from store.relations import Index

Amount = int | float


@dataclass(frozen=True)
class Owner:
    """A customer, a team or a virtual key, within what it belongs to."""

    kind: str  # "customer", "team" or "virtual_key"
    customer_id: str = ""
    customer: str = ""
    team_id: str = ""
    team: str = ""
    virtual_key_id: str = ""
    virtual_key: str = ""

    @property
    def id(self) -> str:
        return str(getattr(self, f"{self.kind}_id"))

    @property
    def name(self) -> str:
        return str(getattr(self, self.kind))


@dataclass(frozen=True)
class Spending:
    """The used part of a budget, or of several of the same period.

    `provider` and `model` are those that it is for, empty where it is for all.
    """

    owner: Owner
    provider: str
    model: str
    budget_ids: tuple[str, ...]
    period: str
    used: Amount
    limit: Amount
    resets_at: datetime | None  # the next time

    @property
    def share(self) -> float:
        """The used part of the limit; above 1 where it is exceeded."""
        if self.limit > 0:
            return self.used / self.limit
        return inf if self.used > 0 else 0.0


def of_customers_and_teams(index: Index) -> Iterator[Spending]:
    """The customers' and teams' own budgets."""
    entities = EntityDumper(index)
    for row in index.customers:
        owner = Owner("customer", **_customer(index, row.id))
        yield from _of(owner, entities.customer(row, [], []))
    for row in index.teams:
        owner = Owner("team", **_team(index, row))
        yield from _of(owner, entities.team(row, None, []))


def of_virtual_keys(index: Index) -> Iterator[Spending]:
    """The budgets of virtual keys, of their provider configs and single models."""
    entities = EntityDumper(index)
    for row in index.virtual_keys:
        entity = entities.virtual_key(row, value="")
        owner = _key_owner(index, row)
        yield from _of_models(owner, "", entity)
        for config in entity["provider_configs"]:
            yield from _of_models(owner, config["provider"], config)


def by_share(spendings: Iterable[Spending]) -> list[Spending]:
    """Return them by the used part of their limits, the largest first."""
    return sorted(spendings, key=lambda each: (-each.share, each.owner.name))


def summed(spendings: Iterable[Spending], kind: str) -> list[Spending]:
    """Return the sums for each owner of a kind: of its own budgets, and those within.

    A request counts in the budgets of its key, its team and its customer alike. So only
    budgets of one kind of owner, for one provider, model and period, are added up.
    """
    groups: dict[Any, dict[Any, Spending]] = {}
    for each in spendings:
        group = _within(each.owner, kind)
        if group is not None:
            key = (group, each.provider, each.model, each.period)
            groups.setdefault(key, {})[each.budget_ids] = each  # shared ones once
    return [
        replace(
            next(iter(budgets.values())),
            owner=owner,
            budget_ids=tuple(id for ids in budgets for id in ids),
            used=_total(each.used for each in budgets.values()),
            limit=_total(each.limit for each in budgets.values()),
            resets_at=_first(each.resets_at for each in budgets.values()),
        )
        for (owner, *_), budgets in groups.items()
    ]


def _within(owner: Owner, kind: str) -> Owner | None:
    """Return the owner of a kind that an owner is, or belongs to, if any.

    It keeps the kind of the owner whose budgets these are.
    """
    if not getattr(owner, f"{kind}_id"):
        return None
    levels = ("customer", "team", "virtual_key")
    kept = levels[: levels.index(kind) + 1]
    names = {name: getattr(owner, name) for level in kept for name in _names(level)}
    return Owner(owner.kind, **names)


def _names(level: str) -> tuple[str, str]:
    return f"{level}_id", level


def _customer(index: Index, customer_id: Any) -> dict[str, str]:
    return _named("customer", customer_id, index.customer.get(customer_id))


def _team(index: Index, row: Row) -> dict[str, str]:
    return _customer(index, row.customer_id) | _named("team", row.id, row)


def _key_owner(index: Index, row: Row) -> Owner:
    names = _named("virtual_key", row.id, row)
    if row.team_id:
        team = index.team.get(row.team_id)
        names |= _named("team", row.team_id, team)
        names |= {} if team is None else _customer(index, team.customer_id)
    if row.customer_id:
        names |= _customer(index, row.customer_id)
    return Owner("virtual_key", **names)


def _named(kind: str, row_id: Any, row: Row | None) -> dict[str, str]:
    name = values.text(row.name) if row is not None else ""
    return {f"{kind}_id": values.text(row_id), kind: name}


def _of_models(
    owner: Owner, provider: str, entity: dict[str, Any]
) -> Iterator[Spending]:
    """The budgets of a key or a provider config, and of its single models."""
    yield from _of(owner, entity, provider)
    for of_model in entity.get("model_budgets", ()):
        yield from _of(owner, of_model, provider, of_model["model_name"])


def _of(
    owner: Owner, entity: dict[str, Any], provider: str = "", model: str = ""
) -> Iterator[Spending]:
    for budget in entity["budgets"]:
        period, aligned = budget["reset_duration"], budget["calendar_aligned"]
        yield Spending(
            owner,
            provider,
            model,
            budget_ids=(budget["id"],),
            period=period,
            used=budget["current_usage"],
            limit=budget["max_limit"],
            resets_at=next_reset(budget["last_reset"], period, aligned),
        )


def _total(amounts: Iterable[Amount]) -> Amount:
    # Decimals, since these are sums of money.
    total = sum(Decimal(str(amount)) for amount in amounts)
    return int(total) if total == int(total) else float(total)


def _first(times: Iterable[datetime | None]) -> datetime | None:
    return min((time for time in times if time is not None), default=None)
