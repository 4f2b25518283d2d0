"""Finds the entities that a change reaches, so that only those are made anew."""

from dataclasses import dataclass, field
from typing import Any

import peewee

from models import (
    SHOWN_OWNERS,
    Budget,
    Customer,
    McpClient,
    McpConfig,
    ModelConfig,
    Provider,
    ProviderConfig,
    ProviderConfigKey,
    ProviderKey,
    RateLimit,
    Row,
    Team,
    VirtualKey,
    referring,
)
from store.relations import VIRTUAL_KEY, Index

# Parts of so many entities, and so seldom changed, that all are made anew then.
EVERYWHERE = (Provider, ProviderKey, McpClient)
# Those whose budget_id says something, and those whose rate_limit_id does.
OWNERS = tuple(SHOWN_OWNERS.values())
LIMITED = tuple(model for model, _ in referring(RateLimit))

Model = type[peewee.Model]


@dataclass
class ChangedEntities:
    """The ids of the entities that a change reaches, directly or as part of others."""

    customers: set[Any] = field(default_factory=set)
    teams: set[Any] = field(default_factory=set)
    virtual_keys: set[Any] = field(default_factory=set)


def changed_entities(before: Index, after: Index) -> ChangedEntities | None:
    """Return which entities differ between two indexes; None where all may."""
    changed = [model for model in after.rows if after.changed(model, before)]
    if not set(changed).isdisjoint(EVERYWHERE):
        return None
    found = ChangedEntities()
    for model in changed:
        old, new = _differing(before.rows[model], after.rows[model])
        _Following(before, found).rows(model, old)
        _Following(after, found).rows(model, new)
    return found


def _differing(old: list[Row], new: list[Row]) -> tuple[set[Row], set[Row]]:
    """Return the rows of each that the other does not have.

    Where none came or went, those at the same place are compared: to hash them all
    takes ten times as long, in which no other thread can go on.
    """
    if len(old) == len(new):
        pairs = [
            (one, other) for one, other in zip(old, new, strict=True) if one != other
        ]
        old, new = [one for one, _ in pairs], [other for _, other in pairs]
    gone, come = set(old), set(new)
    return gone - come, come - gone


class _Following:
    """Follows rows to the entities they are part of, by the references of one index."""

    def __init__(self, index: Index, found: ChangedEntities) -> None:
        self.index = index
        self.found = found

    def rows(self, model: Model, rows: set[Row]) -> None:
        if model is Budget:
            self._owners_naming("budget_id", rows, OWNERS)
        if model is RateLimit:
            self._owners_naming("rate_limit_id", rows, LIMITED)
        for row in rows:
            self._row(model, row)

    def _owners_naming(
        self, column: str, rows: set[Row], owners: tuple[Model, ...]
    ) -> None:
        ids = {row.id for row in rows}
        for model in owners:
            for owner in self.index.rows[model]:
                if getattr(owner, column) in ids:
                    self._entity(model, owner)

    def _row(self, model: Model, row: Row) -> None:
        self._entity(model, row)
        # What belongs to a customer or a team shows whether there is one.
        if model is Customer:
            for team in self.index.teams_of.get(row.id, ()):
                self._team(team.id)
            for virtual_key in self.index.virtual_keys_of_customer.get(row.id, ()):
                self._virtual_key(virtual_key.id)
        elif model is Team:
            for virtual_key in self.index.virtual_keys_of_team.get(row.id, ()):
                self._virtual_key(virtual_key.id)

    def _entity(self, model: Model, row: Row) -> None:
        """Note the entities that a row is a direct part of."""
        if model is Customer:
            self._customer(row.id)
        elif model is Team:
            self._team(row.id)
        elif model is VirtualKey:
            self._virtual_key(row.id)
        elif model in (ProviderConfig, McpConfig):
            self._virtual_key(row.virtual_key_id)
        elif model is ModelConfig:
            self._model_config(row)
        elif model is ProviderConfigKey:
            self._provider_config(row.provider_config_id)
        elif model is Budget:
            self._owner_of(row)

    def _owner_of(self, budget: Row) -> None:
        self._customer(budget.customer_id)
        self._team(budget.team_id)
        self._virtual_key(budget.virtual_key_id)
        self._provider_config(budget.provider_config_id)
        self._model_config(self.index.model_config.get(budget.model_config_id))

    def _model_config(self, config: Row | None) -> None:
        if config is not None and config.scope == VIRTUAL_KEY:
            self._virtual_key(config.scope_id)

    def _provider_config(self, config_id: Any) -> None:
        if (config := self.index.provider_config.get(config_id)) is not None:
            self._virtual_key(config.virtual_key_id)

    def _virtual_key(self, virtual_key_id: Any) -> None:
        self.found.virtual_keys.add(virtual_key_id)
        if (row := self.index.virtual_key.get(virtual_key_id)) is not None:
            self._team(row.team_id)
            self._customer(row.customer_id)

    def _team(self, team_id: Any) -> None:
        self.found.teams.add(team_id)
        if (row := self.index.team.get(team_id)) is not None:
            self._customer(row.customer_id)

    def _customer(self, customer_id: Any) -> None:
        self.found.customers.add(customer_id)
