"""The rows of one moment under the ids that lead to them, in the answers' order."""

from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import Any

import peewee

import values
from models import (
    BUDGET_OWNERS,
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
from store.rows import Rows

ById = dict[Any, Row]
Groups = dict[Any, list[Row]]

VIRTUAL_KEY = "virtual_key"  # the scope of model configs of keys
ALL_MODELS = "*"  # the model name of a row that governs a key or a provider config
# The columns by which a budget names an owner of each kind. An owner's own budget_id
# counts where its budget has none of them: May gateways fill them, and let go of
# budget_id in virtual keys and provider configs without clearing it.
_OF_A_KEY = tuple(
    column for column, owner in BUDGET_OWNERS.items() if owner not in (Customer, Team)
)
NEWER_LINKS = {
    column: _OF_A_KEY if column in _OF_A_KEY else (column,) for column in BUDGET_OWNERS
}


class Index:
    """All rows, found by id and by what they belong to; each part made when asked for.

    Tables that are the same as those of the index `before` lend their parts.
    """

    def __init__(self, rows: Rows, before: "Index | None" = None) -> None:
        self.rows: Rows = {
            model: before.rows[model] if before and new == before.rows[model] else new
            for model, new in rows.items()
        }
        if before is not None:
            for part, model in _PARTS.items():
                if part in before.__dict__ and not self.changed(model, before):
                    self.__dict__[part] = before.__dict__[part]

    def changed(self, model: type[peewee.Model], before: "Index") -> bool:
        """Whether a table differs from that of the index this one was made after."""
        return self.rows[model] is not before.rows[model]

    @cached_property
    def customers(self) -> list[Row]:
        return by_age(self.rows[Customer])

    @cached_property
    def customer(self) -> ById:
        return _by_id(self.rows[Customer])

    @cached_property
    def teams(self) -> list[Row]:
        return by_age(self.rows[Team])

    @cached_property
    def team(self) -> ById:
        return _by_id(self.rows[Team])

    @cached_property
    def teams_of(self) -> Groups:
        return _grouped(self.teams, "customer_id")

    @cached_property
    def virtual_keys(self) -> list[Row]:
        return by_age(self.rows[VirtualKey])

    @cached_property
    def virtual_key(self) -> ById:
        return _by_id(self.rows[VirtualKey])

    @cached_property
    def virtual_keys_of_team(self) -> Groups:
        return _grouped(self.virtual_keys, "team_id")

    @cached_property
    def virtual_keys_of_customer(self) -> Groups:
        return _grouped(self.virtual_keys, "customer_id")

    @cached_property
    def budget(self) -> ById:
        return _by_id(self.rows[Budget])

    @cached_property
    def budgets_of(self) -> dict[str, Groups]:
        rows = self.rows[Budget]
        return {owner: _grouped(rows, owner) for owner in BUDGET_OWNERS}

    @cached_property
    def rate_limit(self) -> ById:
        return _by_id(self.rows[RateLimit])

    @cached_property
    def provider_config(self) -> ById:
        return _by_id(self.rows[ProviderConfig])

    @cached_property
    def provider_configs_of(self) -> Groups:
        return _grouped(sorted(self.rows[ProviderConfig], key=_id), "virtual_key_id")

    @cached_property
    def model_config(self) -> ById:
        return _by_id(self.rows[ModelConfig])

    @cached_property
    def model_configs_of(self) -> dict[tuple[Any, str | None], list[Row]]:
        """Virtual keys' model configs, by key and provider (None for that of none)."""
        ours = [
            row
            for row in self.rows[ModelConfig]
            if row.scope == VIRTUAL_KEY and row.scope_id
        ]
        groups = _grouped_by(ours, lambda row: (row.scope_id, row.provider or None))
        return {place: by_age(rows) for place, rows in groups.items()}

    @cached_property
    def attached_to(self) -> Groups:
        return _grouped(self.rows[ProviderConfigKey], "provider_config_id")

    @cached_property
    def provider_key(self) -> ById:
        return _by_id(self.rows[ProviderKey])

    @cached_property
    def provider(self) -> ById:
        return _by_id(self.rows[Provider])

    @cached_property
    def mcp_configs_of(self) -> Groups:
        return _grouped(sorted(self.rows[McpConfig], key=_id), "virtual_key_id")

    @cached_property
    def mcp_client(self) -> ById:
        return _by_id(self.rows[McpClient])

    def budgets(self, owner: str, row: Row) -> list[Row]:
        """An owner's own budgets; `owner` is the column by which a budget names it."""
        budgets = self.budgets_of[owner].get(row.id, [])
        # Older gateways keep the link the other way round.
        named = self.budget.get(row.budget_id)
        if named is not None and _has_none(named, NEWER_LINKS[owner]):
            budgets = [*budgets, named]
        return by_age(budgets)

    def model_configs(
        self, virtual_key_id: Any, provider: str | None = None
    ) -> tuple[Row | None, list[Row]]:
        """The model config that governs a virtual key, or its provider config of a
        provider, if there is one; and those of single models.
        """
        rows = self.model_configs_of.get((virtual_key_id, provider))
        if rows is None:
            return None, []
        governing = (row for row in rows if row.model_name == ALL_MODELS)
        of_models = [row for row in rows if row.model_name != ALL_MODELS]
        return next(governing, None), of_models

    def budgets_of_model_config(self, row: Row) -> list[Row]:
        """The budgets that name a model config; its own budget_id is read by nobody."""
        return by_age(self.budgets_of["model_config_id"].get(row.id, []))

    def provider_keys(self, config: Row) -> list[Row]:
        """The provider keys attached to a provider config, by id."""
        attached = (
            link.provider_key_id for link in self.attached_to.get(config.id, ())
        )
        keys = (self.provider_key.get(key_id) for key_id in attached)
        return sorted((key for key in keys if key is not None), key=_id)


# Which table each part is made of.
_PARTS: dict[str, type[peewee.Model]] = {
    "customers": Customer,
    "customer": Customer,
    "teams": Team,
    "team": Team,
    "teams_of": Team,
    "virtual_keys": VirtualKey,
    "virtual_key": VirtualKey,
    "virtual_keys_of_team": VirtualKey,
    "virtual_keys_of_customer": VirtualKey,
    "budget": Budget,
    "budgets_of": Budget,
    "rate_limit": RateLimit,
    "provider_config": ProviderConfig,
    "provider_configs_of": ProviderConfig,
    "model_config": ModelConfig,
    "model_configs_of": ModelConfig,
    "attached_to": ProviderConfigKey,
    "provider_key": ProviderKey,
    "provider": Provider,
    "mcp_configs_of": McpConfig,
    "mcp_client": McpClient,
}


def by_age(rows: list[Row]) -> list[Row]:
    """Rows by the instant of their creation, then by id."""
    return sorted(rows, key=_age) if len(rows) > 1 else rows


def _age(row: Row) -> tuple[tuple[int, int], str]:
    try:
        created = values.instant(row.created_at)
    except (ValueError, TypeError):
        created = values.instant(None)  # reported where the value itself is dumped
    return created, str(row.id)


def _id(row: Row) -> Any:
    return row.id


def _by_id(rows: list[Row]) -> ById:
    return {row.id: row for row in rows if row.id not in (None, "")}


def _grouped(rows: list[Row], column: str) -> Groups:
    return _grouped_by(
        [row for row in rows if getattr(row, column) not in (None, "")],
        attrgetter(column),
    )


def _grouped_by(rows: list[Row], key: Callable[[Row], Any]) -> Groups:
    groups: Groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _has_none(row: Row, columns: tuple[str, ...]) -> bool:
    return all(getattr(row, column) in (None, "") for column in columns)
