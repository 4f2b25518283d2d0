"""All rows of a snapshot, looked up by id and by owner, in the answers' order."""

import hashlib
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, TypeVar

import values
from models import (
    BUDGET_OWNERS,
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
from store.lookups import (
    Change,
    Lookup,
    Model,
    RowById,
    RowsByOwner,
    RowsInOrder,
    age,
    by_age,
)
from store.rows import Rows

T = TypeVar("T")

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


# Those whose budget_id counts, and those whose rate_limit_id does.
_WITH_BUDGET_ID = SHOWN_OWNERS.values()
_WITH_RATE_LIMIT_ID = [model for model, _ in referring(RateLimit)]

_id = attrgetter("id")


def _scope(config: Row) -> tuple[Any, str | None] | None:
    """Return the virtual key and the provider of a model config of keys."""
    if config.scope != VIRTUAL_KEY or not config.scope_id:
        return None
    return config.scope_id, config.provider or None


def _value_hash(row: Row) -> str:
    if row.value_hash:
        return str(row.value_hash).lower()
    return hashlib.sha256(values.text(row.value).encode()).hexdigest()


class Index:
    """All rows of a snapshot, looked up by id and by owner.

    What was looked up in the index `before` follows the changes since.
    """

    customers = RowsInOrder(Customer)
    customer = RowById(Customer)
    teams = RowsInOrder(Team)
    team = RowById(Team)
    teams_of = RowsByOwner(Team, attrgetter("customer_id"), age)
    virtual_keys = RowsInOrder(VirtualKey)
    virtual_key = RowById(VirtualKey)
    virtual_key_by_hash = RowById(VirtualKey, _value_hash)
    virtual_keys_of_team = RowsByOwner(VirtualKey, attrgetter("team_id"), age)
    virtual_keys_of_customer = RowsByOwner(VirtualKey, attrgetter("customer_id"), age)
    budget = RowById(Budget)
    rate_limit = RowById(RateLimit)
    provider_config = RowById(ProviderConfig)
    provider_configs_of = RowsByOwner(ProviderConfig, attrgetter("virtual_key_id"), _id)
    model_config = RowById(ModelConfig)
    model_configs_of = RowsByOwner(ModelConfig, _scope, age)
    attached_to = RowsByOwner(ProviderConfigKey, attrgetter("provider_config_id"))
    provider_key = RowById(ProviderKey)
    provider = RowById(Provider)
    mcp_configs_of = RowsByOwner(McpConfig, attrgetter("virtual_key_id"), _id)
    mcp_client = RowById(McpClient)

    def __init__(self, rows: Rows, before: "Index | None" = None) -> None:
        self.rows = dict(rows)
        # What is different from the index before, by the tables that are.
        self.changes: dict[Model, Change] = {}
        self._made: dict[Lookup[Any], Any] = {}
        if before is not None:
            self._follow(before)

    def _follow(self, before: "Index") -> None:
        """Note what changed since another index, and take over what it has made."""
        for model, new in self.rows.items():
            old = before.rows[model]
            if new == old:
                self.rows[model] = old  # not the same rows twice in memory
            else:
                self.changes[model] = Change.between(old, new)
        for lookup, made in list(before._made.items()):
            change = self.changes.get(lookup.model)
            old = before.rows[lookup.model]
            if change is not None and change.is_large(old):
                continue
            if change is not None:
                made = lookup.updated(made, old, change)
            if made is not None:
                self._made[lookup] = made

    def lookup(self, lookup: Lookup[T]) -> T:
        """Return a lookup, made if it was not yet."""
        if lookup not in self._made:
            self._made[lookup] = lookup.make(self.rows[lookup.model])
        made: T = self._made[lookup]
        return made

    def named_by(self, column: str, row_id: Any) -> Iterator[tuple[Model, Row]]:
        """The rows, with their models, that have a budget's or a rate limit's id in
        their budget_id or rate_limit_id.
        """
        for lookup in NAMED_BY[column]:
            for row in self.lookup(lookup).get(row_id, ()):
                yield lookup.model, row

    def budgets(self, owner: str, row: Row) -> list[Row]:
        """An owner's own budgets; `owner` is the column by which a budget names it."""
        budgets = self.lookup(BUDGETS_OF[owner]).get(row.id, [])
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
        return self.lookup(BUDGETS_OF["model_config_id"]).get(row.id, [])

    def provider_keys(self, config: Row) -> list[Row]:
        """The provider keys attached to a provider config, by id."""
        attached = (
            link.provider_key_id for link in self.attached_to.get(config.id, ())
        )
        keys = (self.provider_key.get(key_id) for key_id in attached)
        return sorted((key for key in keys if key is not None), key=_id)


BUDGETS_OF = {
    owner: RowsByOwner(Budget, attrgetter(owner), age) for owner in BUDGET_OWNERS
}
NAMED_BY = {
    column: [RowsByOwner(model, attrgetter(column)) for model in models]
    for column, models in (
        ("budget_id", _WITH_BUDGET_ID),
        ("rate_limit_id", _WITH_RATE_LIMIT_ID),
    )
}


def _has_none(row: Row, columns: tuple[str, ...]) -> bool:
    return all(getattr(row, column) in (None, "") for column in columns)
