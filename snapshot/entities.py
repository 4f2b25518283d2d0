"""The rules that make entities of rows, all layouts alike."""

from functools import cache, lru_cache
from typing import Any

import orjson

import values
from fields import report_broken
from models import Row
from schemas import (
    BudgetSchema,
    CustomerSchema,
    EntitySchema,
    McpClientSchema,
    McpConfigSchema,
    ModelBudgetSchema,
    ProviderConfigSchema,
    ProviderKeySchema,
    RateLimitSchema,
    TeamSchema,
    VirtualKeySchema,
)
from store.relations import Index

# Rows of these are part of many entities: each is dumped and written once.
SHARED = (ProviderKeySchema, McpClientSchema)
SHARED_ROWS = 10_000


class EntityDumper:
    """Dumps the rows of an index, with all that belongs to them, to plain data."""

    def __init__(self, index: Index) -> None:
        self.index = index

    def entity(self, schema: type[EntitySchema], row: Row, **members: Any) -> Any:
        """Return a row dumped by its schema; `members` come beside its columns, or
        instead of them, and are dumped already. None is left out.
        """
        if schema in SHARED:
            return dump_shared(schema, row)
        columns = row._asdict()
        columns.update(members)
        return _instance(schema).dump_row(columns)

    def customer(self, row: Row, teams: Any, virtual_keys: Any) -> Any:
        """Return a customer with its teams and keys, which are dumped already."""
        return self.entity(
            CustomerSchema,
            row,
            **self._spending("customer_id", row),
            virtual_key_count=len(self.index.virtual_keys_of_customer.get(row.id, ())),
            teams=teams,
            virtual_keys=virtual_keys,
        )

    def team(self, row: Row, customer: Any, virtual_keys: Any) -> Any:
        """Return a team; `customer` goes in for its customer, if there is that row."""
        return self.entity(
            TeamSchema,
            row,
            **self._spending("team_id", row),
            customer=customer if row.customer_id in self.index.customer else None,
            virtual_keys=virtual_keys,
            virtual_key_count=len(self.index.virtual_keys_of_team.get(row.id, ())),
        )

    def _spending(self, owner: str, row: Row) -> dict[str, Any]:
        """Return the members of a team or a customer that limit its spending.

        `owner` is the column of budgets with its id.
        """
        aligned = self._is_aligned(owner, row)
        budgets = self._budgets(owner, row, aligned)
        budget_id = _budget_id(row, budgets)
        return {
            "calendar_aligned": _stored(row.calendar_aligned, aligned),
            "budget_id": budget_id,
            "budget": self._budget_named(budget_id, budgets),
            "budgets": self._many(BudgetSchema, budgets),
            "rate_limit": self._rate_limit(row),
        }

    def virtual_key(self, row: Row, value: Any) -> Any:
        """Return a virtual key with its provider and MCP configs; `value` goes in for
        its value.
        """
        governing, of_models = self.index.model_configs(row.id)
        aligned = self._is_aligned("virtual_key_id", row, governing)
        return self.entity(
            VirtualKeySchema,
            row,
            calendar_aligned=_stored(row.calendar_aligned, aligned),
            value=value,
            provider_configs=[
                self._provider_config(config, aligned)
                for config in self.index.provider_configs_of.get(row.id, ())
            ],
            mcp_configs=[
                self._mcp_config(config)
                for config in self.index.mcp_configs_of.get(row.id, ())
            ],
            team=self._cut(self.index.team, row.team_id),
            customer=self._cut(self.index.customer, row.customer_id),
            **self._governed("virtual_key_id", row, aligned, governing),
            model_budgets=self._model_budgets("virtual_key_id", row, of_models),
        )

    def _cut(self, rows: dict[Any, Row], row_id: Any) -> Any:
        return {} if row_id in rows else None

    def _provider_config(self, row: Row, aligned: bool) -> Any:
        keys = [self._with_provider(key) for key in self.index.provider_keys(row)]
        governing, of_models = self.index.model_configs(
            row.virtual_key_id, row.provider or ""
        )
        return self.entity(
            ProviderConfigSchema,
            row,
            # Older gateways: none attached, all allowed.
            allow_all_keys=_stored(row.allow_all_keys, not keys),
            keys=self._many(ProviderKeySchema, keys),
            **self._governed("provider_config_id", row, aligned, governing),
            model_budgets=self._model_budgets("provider_config_id", row, of_models),
        )

    def _governed(
        self, owner: str, row: Row, aligned: bool, governing: Row | None
    ) -> dict[str, Any]:
        """Return the members of a key or a provider config that limit its spending:
        those of the model config that governs it, if there is one.
        """
        limited = row if governing is None else governing
        budgets = self._budgets(owner, row, aligned, governing)
        return {
            "budgets": self._many(BudgetSchema, budgets),
            "rate_limit_id": limited.rate_limit_id,
            "rate_limit": self._rate_limit(limited),
        }

    def _model_budgets(self, owner: str, row: Row, configs: list[Row]) -> Any:
        """Return the model budgets of a key or a provider config; None without any."""
        if not configs:
            return None
        return [
            self.entity(
                ModelBudgetSchema,
                config,
                budgets=self._many(
                    BudgetSchema, self._budgets(owner, row, False, config)
                ),
                rate_limit=self._rate_limit(config),
            )
            for config in configs
        ]

    def _budgets(
        self, owner: str, row: Row, aligned: bool, governing: Row | None = None
    ) -> list[Row]:
        """Return the budgets of an owner, or of the model config that governs it; each
        has the owner's id and alignment.
        """
        if governing is None:
            budgets = self.index.budgets(owner, row)
        else:
            budgets = self.index.budgets_of_model_config(governing)
            aligned = _alignment(governing)
        return [_completed(budget, owner, row.id, aligned) for budget in budgets]

    def _is_aligned(self, owner: str, row: Row, governing: Row | None = None) -> bool:
        """Return whether an owner is aligned; without a column, whether a budget is."""
        if row.calendar_aligned is not None:
            return _is_set(row.calendar_aligned)
        budgets = self._budgets(owner, row, False, governing)
        return any(_is_set(budget.calendar_aligned) for budget in budgets)

    def _with_provider(self, key: Row) -> Row:
        provider = None if key.provider else self.index.provider.get(key.provider_id)
        return key if provider is None else key._replace(provider=provider.name)

    def _mcp_config(self, row: Row) -> Any:
        client = self.index.mcp_client.get(row.mcp_client_id)
        if client is None:
            return self.entity(McpConfigSchema, row, mcp_client_name="")
        return self.entity(
            McpConfigSchema,
            row,
            mcp_client_name=values.text(client.name),
            mcp_client=self.entity(McpClientSchema, client),
        )

    def _rate_limit(self, owner: Row) -> Any:
        row = self.index.rate_limit.get(owner.rate_limit_id)
        return None if row is None else self.entity(RateLimitSchema, row)

    def _budget_named(self, budget_id: Any, budgets: list[Row]) -> Any:
        if not budgets:
            return None
        named = (budget for budget in budgets if budget.id == budget_id)
        return self.entity(BudgetSchema, next(named, budgets[0]))

    def _many(self, schema: type[EntitySchema], rows: list[Row]) -> Any:
        return [self.entity(schema, row) for row in rows]


@cache
def _instance(schema: type[EntitySchema]) -> EntitySchema:
    return schema()


@lru_cache(SHARED_ROWS)
def dump_shared(schema: type[EntitySchema], row: Row) -> orjson.Fragment:
    """Return the JSON of a row that stands in many places, remembered."""
    return orjson.Fragment(orjson.dumps(_instance(schema).dump_row(row._asdict())))


def _completed(budget: Row, owner: str, owner_id: Any, aligned: bool) -> Row:
    """Return a budget with its owner's id and alignment."""
    missing: dict[str, Any] = {}
    if getattr(budget, owner) in (None, ""):
        missing[owner] = owner_id
    if budget.calendar_aligned is None:
        missing["calendar_aligned"] = aligned
    return budget._replace(**missing) if missing else budget


def _budget_id(owner: Row, budgets: list[Row]) -> Any:
    """Return the id of an owner's budget: where none is stored, of its first one."""
    return budgets[0].id if budgets and not owner.budget_id else owner.budget_id


def _alignment(config: Row) -> bool:
    stored = config.calendar_aligned
    try:
        return stored is not None and values.flag(stored)
    except (ValueError, TypeError) as problem:
        table = ModelBudgetSchema.table  # where nothing dumps the value itself
        report_broken(table, config.id, "calendar_aligned", str(problem))
        return False


def _stored(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _is_set(stored: Any) -> bool:
    try:
        return stored is not None and values.flag(stored)
    except (ValueError, TypeError):
        return False  # reported where the value itself is dumped
