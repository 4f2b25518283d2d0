"""Which rows belong to which: the rules that make entities of rows, both layouts alike.

How an entity is put together (as JSON bytes, as plain data) is the builder's choice.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from marshmallow import Schema

import values
from database import Rows
from models import (
    Budget,
    Customer,
    McpClient,
    McpConfig,
    Provider,
    ProviderConfig,
    ProviderConfigKey,
    ProviderKey,
    RateLimit,
    Row,
    Team,
    VirtualKey,
)
from schemas import (
    BudgetSchema,
    CustomerSchema,
    McpClientSchema,
    McpConfigSchema,
    ProviderConfigSchema,
    ProviderKeySchema,
    RateLimitSchema,
    TeamSchema,
    VirtualKeySchema,
)

Groups = dict[Any, list[Row]]


class Builder(Protocol):
    """Makes an entity of a row and what is given beside it; None is left out."""

    def one(self, schema: type[Schema], row: Row, **beside: Any) -> Any: ...

    def many(self, entities: Iterable[Any]) -> Any: ...


class Index:
    """The rows of one moment under the ids that lead to them, in the answers' order."""

    def __init__(self, rows: Rows) -> None:
        self.customers = _by_age(rows[Customer])
        self.teams = _by_age(rows[Team])
        self.virtual_keys = _by_age(rows[VirtualKey])
        self.customer = _by_id(self.customers)
        self.team = _by_id(self.teams)
        self.virtual_key = _by_id(self.virtual_keys)
        self.budget = _by_id(rows[Budget])
        self.rate_limit = _by_id(rows[RateLimit])
        self.provider = _by_id(rows[Provider])
        self.provider_key = _by_id(rows[ProviderKey])
        self.mcp_client = _by_id(rows[McpClient])

        self.teams_of = _grouped(self.teams, "customer_id")
        self.virtual_keys_of_team = _grouped(self.virtual_keys, "team_id")
        self.virtual_keys_of_customer = _grouped(self.virtual_keys, "customer_id")
        provider_configs = sorted(rows[ProviderConfig], key=_id)
        self.provider_configs_of = _grouped(provider_configs, "virtual_key_id")
        mcp_configs = sorted(rows[McpConfig], key=_id)
        self.mcp_configs_of = _grouped(mcp_configs, "virtual_key_id")
        self.attached_to = _grouped(rows[ProviderConfigKey], "provider_config_id")
        self.budgets_of = {
            owner: _grouped(rows[Budget], owner)
            for owner in (
                "team_id",
                "customer_id",
                "virtual_key_id",
                "provider_config_id",
            )
        }

    def budgets(self, owner: str, row: Row) -> list[Row]:
        """An owner's budgets; `owner` is the column by which a budget names it."""
        budgets = self.budgets_of[owner].get(row.id, [])
        # Older gateways keep the link the other way round.
        named = self.budget.get(row.budget_id)
        if named is not None and all(budget.id != named.id for budget in budgets):
            budgets = [*budgets, named]
        return _by_age(budgets)

    def provider_keys(self, config: Row) -> list[Row]:
        """The provider keys attached to a provider config, by id."""
        attached = (
            link.provider_key_id for link in self.attached_to.get(config.id, ())
        )
        keys = (self.provider_key.get(key_id) for key_id in attached)
        return sorted((key for key in keys if key is not None), key=_id)


class Tree:
    """Builds whole entities out of an index. `masked` hides virtual keys' values."""

    def __init__(self, index: Index, builder: Builder, *, masked: bool) -> None:
        self.index = index
        self.builder = builder
        self.masked = masked

    def customer(self, row: Row, teams: Iterable[Any]) -> Any:
        """A whole customer; `teams` are its teams, built with the circle cut."""
        budgets = self._budgets("customer_id", row, _is_set(row.calendar_aligned))
        row = _with_budget_id(row, budgets)
        return self.builder.one(
            CustomerSchema,
            row,
            budget=self._budget_named(row.budget_id, budgets),
            budgets=self._many(BudgetSchema, budgets),
            rate_limit=self._rate_limit(row),
            teams=self.builder.many(teams),
            virtual_keys=self._virtual_keys(self.index.virtual_keys_of_customer, row),
        )

    def team(self, row: Row, customer: Any) -> Any:
        """A whole team; `customer` stands for its customer, if there is that row."""
        budgets = self._budgets("team_id", row, _is_set(row.calendar_aligned))
        row = _with_budget_id(row, budgets)
        return self.builder.one(
            TeamSchema,
            row,
            customer=customer if row.customer_id in self.index.customer else None,
            budget=self._budget_named(row.budget_id, budgets),
            budgets=self._many(BudgetSchema, budgets),
            rate_limit=self._rate_limit(row),
            virtual_keys=self._virtual_keys(self.index.virtual_keys_of_team, row),
        )

    def _virtual_keys(self, groups: Groups, owner: Row) -> Any:
        return self.builder.many(
            self._virtual_key(row) for row in groups.get(owner.id, ())
        )

    def _virtual_key(self, row: Row) -> Any:
        own = self.index.budgets("virtual_key_id", row)
        aligned = (
            any(_is_set(budget.calendar_aligned) for budget in own)
            if row.calendar_aligned is None
            else _is_set(row.calendar_aligned)
        )
        budgets = self._budgets("virtual_key_id", row, aligned)
        return self.builder.one(
            VirtualKeySchema,
            row._replace(calendar_aligned=aligned),
            value=self._value(row),
            provider_configs=self.builder.many(
                self._provider_config(config, aligned)
                for config in self.index.provider_configs_of.get(row.id, ())
            ),
            mcp_configs=self.builder.many(
                self._mcp_config(config)
                for config in self.index.mcp_configs_of.get(row.id, ())
            ),
            team=self._cut(self.index.team, row.team_id),
            customer=self._cut(self.index.customer, row.customer_id),
            budgets=self._many(BudgetSchema, budgets),
            rate_limit=self._rate_limit(row),
        )

    def _value(self, row: Row) -> str:
        if row.encryption_status == "encrypted" or row.value is None:
            return ""
        return values.mask_value(row.value) if self.masked else row.value

    def _cut(self, rows: dict[Any, Row], row_id: Any) -> Any:
        return {} if row_id in rows else None

    def _provider_config(self, row: Row, aligned: bool) -> Any:
        keys = [self._with_provider(key) for key in self.index.provider_keys(row)]
        if row.allow_all_keys is None:  # older gateways: none attached, all allowed
            row = row._replace(allow_all_keys=not keys)
        budgets = self._budgets("provider_config_id", row, aligned)
        return self.builder.one(
            ProviderConfigSchema,
            row,
            budgets=self._many(BudgetSchema, budgets),
            rate_limit=self._rate_limit(row),
            keys=self._many(ProviderKeySchema, keys),
        )

    def _with_provider(self, key: Row) -> Row:
        provider = None if key.provider else self.index.provider.get(key.provider_id)
        return key if provider is None else key._replace(provider=provider.name)

    def _mcp_config(self, row: Row) -> Any:
        client = self.index.mcp_client.get(row.mcp_client_id)
        if client is None:
            return self.builder.one(McpConfigSchema, row, mcp_client_name="")
        return self.builder.one(
            McpConfigSchema,
            row,
            mcp_client_name=client.name or "",
            mcp_client=self.builder.one(McpClientSchema, client),
        )

    def _rate_limit(self, owner: Row) -> Any:
        row = self.index.rate_limit.get(owner.rate_limit_id)
        return None if row is None else self.builder.one(RateLimitSchema, row)

    def _budgets(self, owner: str, row: Row, aligned: bool) -> list[Row]:
        """An owner's budgets, with what only the owner knows of them filled in."""
        return [
            _owned(budget, owner, row.id, aligned)
            for budget in self.index.budgets(owner, row)
        ]

    def _budget_named(self, budget_id: Any, budgets: list[Row]) -> Any:
        if not budgets:
            return None
        named = (budget for budget in budgets if budget.id == budget_id)
        return self.builder.one(BudgetSchema, next(named, budgets[0]))

    def _many(self, schema: type[Schema], rows: list[Row]) -> Any:
        return self.builder.many(self.builder.one(schema, row) for row in rows)


def _owned(budget: Row, owner: str, owner_id: Any, aligned: bool) -> Row:
    completed = {}
    if getattr(budget, owner) in (None, ""):
        completed[owner] = owner_id
    if budget.calendar_aligned is None:
        completed["calendar_aligned"] = aligned
    return budget._replace(**completed) if completed else budget


def _with_budget_id(owner: Row, budgets: list[Row]) -> Row:
    """Newer gateways name no budget on its owner: it is the first one then."""
    if owner.budget_id or not budgets:
        return owner
    return owner._replace(budget_id=budgets[0].id)


def _is_set(stored: Any) -> bool:
    try:
        return stored is not None and values.flag(stored)
    except (ValueError, TypeError):
        return False  # reported where the value itself is dumped


def _id(row: Row) -> Any:
    return row.id


def _age(row: Row) -> tuple[tuple[int, int], str]:
    try:
        created = values.instant(row.created_at)
    except (ValueError, TypeError):
        created = values.instant(None)  # reported where the value itself is dumped
    return created, str(row.id)


def _by_age(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=_age) if len(rows) > 1 else rows


def _by_id(rows: list[Row]) -> dict[Any, Row]:
    return {row.id: row for row in rows if row.id not in (None, "")}


def _grouped(rows: list[Row], column: str) -> Groups:
    groups: Groups = {}
    for row in rows:
        if (owner := getattr(row, column)) not in (None, ""):
            groups.setdefault(owner, []).append(row)
    return groups
