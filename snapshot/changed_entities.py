"""Finds the entities that a change reaches, so that only those are made anew."""

from dataclasses import dataclass, field
from typing import Any

from models import (
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
)
from store.lookups import Model
from store.relations import VIRTUAL_KEY, Index

# Parts of so many entities, and so seldom changed, that all are made anew then.
EVERYWHERE = (Provider, ProviderKey, McpClient)


@dataclass
class ChangedEntities:
    """The ids of the entities that a change reaches, directly or as part of others."""

    customers: set[Any] = field(default_factory=set)
    teams: set[Any] = field(default_factory=set)
    virtual_keys: set[Any] = field(default_factory=set)


def changed_entities(before: Index, after: Index) -> ChangedEntities | None:
    """Return which entities differ between two indexes; None where all may."""
    if not after.changes.keys().isdisjoint(EVERYWHERE):
        return None
    found = ChangedEntities()
    for model, change in after.changes.items():
        _Following(before, found).rows(model, change.gone)
        _Following(after, found).rows(model, change.come)
    return found


class _Following:
    """Follows rows to the entities they are part of, by the references of one index."""

    def __init__(self, index: Index, found: ChangedEntities) -> None:
        self.index = index
        self.found = found

    def rows(self, model: Model, rows: list[Row]) -> None:
        for row in rows:
            self._row(model, row)
            if model is Budget:
                self._named_by("budget_id", row)
            elif model is RateLimit:
                self._named_by("rate_limit_id", row)

    def _named_by(self, column: str, row: Row) -> None:
        for owner_model, owner in self.index.named_by(column, row.id):
            self._entity(owner_model, owner)

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
