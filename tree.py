"""The rules that make entities of rows, both layouts alike.

How an entity is put together (as JSON bytes, as plain data) is the builder's choice.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import values
from index import Index
from models import Row
from schemas import (
    BudgetSchema,
    CustomerSchema,
    EntitySchema,
    McpClientSchema,
    McpConfigSchema,
    ProviderConfigSchema,
    ProviderKeySchema,
    RateLimitSchema,
    TeamSchema,
    VirtualKeySchema,
)


class Builder(Protocol):
    """Makes an entity of a row and what is given beside it; None is left out."""

    def one(self, schema: type[EntitySchema], row: Row, **beside: Any) -> Any: ...

    def many(self, entities: Iterable[Any]) -> Any: ...


class Tree:
    """Builds entities out of an index. `masked` hides virtual keys' values."""

    def __init__(self, index: Index, builder: Builder, *, masked: bool) -> None:
        self.index = index
        self.builder = builder
        self.masked = masked

    def customer(self, row: Row, teams: Any, virtual_keys: Any) -> Any:
        """A customer with its teams and keys, which are built already."""
        budgets = self._budgets("customer_id", row, _is_set(row.calendar_aligned))
        budget_id = _budget_id(row, budgets)
        return self.builder.one(
            CustomerSchema,
            row,
            budget_id=budget_id,
            budget=self._budget_named(budget_id, budgets),
            budgets=self._many(BudgetSchema, budgets),
            rate_limit=self._rate_limit(row),
            teams=teams,
            virtual_keys=virtual_keys,
        )

    def team(self, row: Row, customer: Any, virtual_keys: Any) -> Any:
        """A team; `customer` goes in for its customer, if there is that row."""
        budgets = self._budgets("team_id", row, _is_set(row.calendar_aligned))
        budget_id = _budget_id(row, budgets)
        return self.builder.one(
            TeamSchema,
            row,
            budget_id=budget_id,
            customer=customer if row.customer_id in self.index.customer else None,
            budget=self._budget_named(budget_id, budgets),
            budgets=self._many(BudgetSchema, budgets),
            rate_limit=self._rate_limit(row),
            virtual_keys=virtual_keys,
        )

    def virtual_key(self, row: Row) -> Any:
        """A virtual key with its provider and MCP configs."""
        own = self.index.budgets("virtual_key_id", row)
        aligned = (
            any(_is_set(budget.calendar_aligned) for budget in own)
            if row.calendar_aligned is None
            else _is_set(row.calendar_aligned)
        )
        budgets = self._budgets("virtual_key_id", row, aligned)
        return self.builder.one(
            VirtualKeySchema,
            row,
            calendar_aligned=aligned,
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
        value = values.text(row.value)
        return values.mask_value(value) if self.masked else value

    def _cut(self, rows: dict[Any, Row], row_id: Any) -> Any:
        return {} if row_id in rows else None

    def _provider_config(self, row: Row, aligned: bool) -> Any:
        keys = [self._with_provider(key) for key in self.index.provider_keys(row)]
        # Older gateways: none attached, all allowed.
        all_allowed = not keys if row.allow_all_keys is None else row.allow_all_keys
        budgets = self._budgets("provider_config_id", row, aligned)
        return self.builder.one(
            ProviderConfigSchema,
            row,
            allow_all_keys=all_allowed,
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

    def _many(self, schema: type[EntitySchema], rows: list[Row]) -> Any:
        return self.builder.many(self.builder.one(schema, row) for row in rows)


def _owned(budget: Row, owner: str, owner_id: Any, aligned: bool) -> Row:
    completed = {}
    if getattr(budget, owner) in (None, ""):
        completed[owner] = owner_id
    if budget.calendar_aligned is None:
        completed["calendar_aligned"] = aligned
    return budget._replace(**completed) if completed else budget


def _budget_id(owner: Row, budgets: list[Row]) -> Any:
    """Newer gateways name no budget on its owner: it is the first one then."""
    return budgets[0].id if budgets and not owner.budget_id else owner.budget_id


def _is_set(stored: Any) -> bool:
    try:
        return stored is not None and values.flag(stored)
    except (ValueError, TypeError):
        return False  # reported where the value itself is dumped
