"""A draft put into what a database holds already: the rows that result, checked.

A thing becomes what its file says of it. What files do not speak of (usage, times,
generated values) stays as it was.
"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterator
from time import time_ns
from typing import Any

from draft import Draft, Item, Model
from models import (
    BUDGET_OWNERS,
    Budget,
    Customer,
    McpClient,
    McpConfig,
    Provider,
    ProviderConfig,
    ProviderConfigKey,
    ProviderKey,
    RateLimit,
    Team,
    VirtualKey,
    columns,
)
from own_database import Tables, key_names
from values import stored_time

KEPT = {
    "created_at",
    "updated_at",
    "current_usage",
    "last_reset",
    "token_current_usage",
    "token_last_reset",
    "request_current_usage",
    "request_last_reset",
    "value",
    "value_hash",
    "key_id",
    "client_id",
}
DEFAULTS: dict[Model, dict[str, Any]] = {
    VirtualKey: {"is_active": True},
    ProviderKey: {"enabled": True},
}
NOUNS: dict[Model, str] = {
    Customer: "customer",
    Team: "team",
    VirtualKey: "virtual key",
    ProviderConfig: "provider config",
    RateLimit: "rate limit",
    ProviderKey: "provider key",
    McpClient: "MCP client",
}


class Merge:
    """What a database shall hold once a draft is in it, or what is wrong with that.

    `base` is what the draft is put into, nothing or the `old` rows; either way it
    takes from these what it does not speak of. `new` holds the rows, unless `problems`
    has a line for each thing that is wrong.
    """

    def __init__(self, old: Tables, base: Tables, draft: Draft) -> None:
        self.old = old
        self.new: Tables = {model: dict(rows) for model, rows in base.items()}
        self.draft = draft
        self.problems = draft.problems
        self._places: dict[tuple[Model, Any], str] = {}
        self._numbers = {
            model: max(_whole(rows, draft.of(model)), default=0)
            for model, rows in old.items()
        }
        self._numbered: dict[tuple[Model, Any], int] = {}  # theirs -> ours
        self._reserved: set[tuple[Model, int]] = set()  # numbers that will be reused
        self._now = time_ns()
        self._made = 0
        self._put_all()
        self._link_budgets()
        self._check_references()
        self._check_virtual_keys()
        self._check_rate_limits()
        self._stamp()

    def _put_all(self) -> None:
        self._put_numbered(Provider, "name")
        self._put_numbered(ProviderKey, "name", "key_id")
        self._put_numbered(McpClient, "name", "client_id")
        self._put_by_id(RateLimit, Customer, Team, VirtualKey)
        self._put_provider_configs()
        self._put_mcp_configs()
        for item in self.draft.of(Budget):
            theirs = item.values.get("provider_config_id")
            if (ProviderConfig, theirs) in self._numbered:
                ours = self._numbered[ProviderConfig, theirs]
                item.values["provider_config_id"] = ours
        self._put_by_id(Budget)

    def _put_by_id(self, *models: Model) -> None:
        for model in models:
            for item in self.draft.of(model):
                self._put(model, item, item.values.get("id"))

    def _put(self, model: Model, item: Item, key: Any) -> None:
        """Put the item's row under its key, over the old one if there is one."""
        if key is None:
            return  # reported where it is missing
        if (model, key) in self._places:
            column = "id" if "id" in item.values else "name"
            text = f'"{item.values[column]}" is also at {self._places[model, key]}'
            self._wrong(item, column, text)
            return
        self._places[model, key] = item.place
        item.key = key
        old = self.new[model].get(key, self.old[model].get(key))
        row = dict.fromkeys(column.name for column in columns(model))
        if old is None:
            row |= self._fresh(model, item)
        elif self.draft.record:
            row |= old
        else:
            row |= {name: value for name, value in old.items() if name in KEPT}
        if old is None or not self.draft.record:
            row |= DEFAULTS.get(model, {})
        row |= {name: value for name, value in item.values.items() if name in row}
        row[key_names(model)[0]] = key
        self.new[model][key] = row

    def _fresh(self, model: Model, item: Item) -> dict[str, Any]:
        """What a new row has when its source does not say."""
        if self.draft.record:
            return {}  # what a gateway does not tell is not made up
        self._made += 1
        # Each a nanosecond later than the one before: the files' order is the lists'.
        now = stored_time(self._now + self._made)
        fresh: dict[str, Any] = {"created_at": now}
        if model is VirtualKey:
            value = item.values.get("value") or f"sk-bf-{uuid.uuid4()}"
            hashed = hashlib.sha256(value.encode()).hexdigest()
            fresh |= {"value": value, "value_hash": hashed}
        elif model is Budget:
            fresh |= {"current_usage": 0, "last_reset": now}
        elif model is RateLimit:
            for half in ("token", "request"):
                limited = f"{half}_max_limit" in item.values
                fresh[f"{half}_current_usage"] = 0
                fresh[f"{half}_last_reset"] = now if limited else None
        elif model is ProviderKey:
            fresh |= {"key_id": str(uuid.uuid4())}
        elif model is McpClient:
            fresh |= {"client_id": str(uuid.uuid4())}
        names = {column.name for column in columns(model)}
        return {name: value for name, value in fresh.items() if name in names}

    def _put_numbered(self, model: Model, *names: str) -> None:
        """Put rows that files know by name and databases by number."""
        for item in self.draft.of(model):
            number = self._find(model, names, item.values)
            if number is None:
                number = self._given_or_next(model, item)
            if model is Provider and (model, number) in self._places:
                continue  # several files may speak of one provider
            if "id" in item.values:
                self._numbered[model, item.values["id"]] = number
            if model is ProviderKey and "provider_id" not in item.values:
                provider = {"name": item.values["provider"]}
                item.values["provider_id"] = self._find(Provider, ("name",), provider)
            self._put(model, item, number)

    def _find(
        self, model: Model, names: tuple[str, ...], values: dict[str, Any]
    ) -> int | None:
        """The number of the row which has one of these values by that name."""
        for rows in (self.new[model], self.old[model]):
            for number, row in rows.items():
                if any(values.get(n) and row[n] == values[n] for n in names):
                    return int(number)
        return None

    def _given_or_next(self, model: Model, item: Item) -> int:
        """The number that the item comes with, if nothing else has it."""
        given = item.values.get("id")
        taken = given in self.new[model] or (model, given) in self._reserved
        if isinstance(given, int) and not taken:
            return given
        return self._next_number(model)

    def _next_number(self, model: Model) -> int:
        self._numbers[model] += 1
        return self._numbers[model]

    def _put_provider_configs(self) -> None:
        free = self._take_out(ProviderConfig, "provider")
        links: dict[int, list[Any]] = {}
        for link in self.new[ProviderConfigKey]:
            links.setdefault(link[0], []).append(link)
        for item in self.draft.of(ProviderConfig):
            named = item.values.get("virtual_key_id"), item.values.get("provider")
            numbers = free.get(named)
            if numbers:
                number = numbers.pop(0)
            else:
                number = self._given_or_next(ProviderConfig, item)
            if "id" in item.values:
                self._numbered[ProviderConfig, item.values["id"]] = number
            self._put(ProviderConfig, item, number)
            references = item.refers["provider_keys"]
            if references is not None:
                for link in links.pop(number, ()):
                    del self.new[ProviderConfigKey][link]
            for reference in references or ():
                self._attach(item, reference)
            for place, budget in item.refers["budgets"]:
                budget = {**budget, "provider_config_id": item.values.get("id", number)}
                self.draft.add(Budget, place, budget)
        self._drop_leftovers(free)

    def _attach(self, item: Item, reference: str | int) -> None:
        number = self._numbered.get((ProviderKey, reference))
        if not isinstance(reference, int):
            number = self._find(ProviderKey, ("key_id",), {"key_id": reference})
            number = number or self._find(ProviderKey, ("name",), {"name": reference})
        if number is None:
            self._wrong(item, item.refers["named_by"], f'no provider key "{reference}"')
        else:
            link = {"provider_config_id": item.key, "provider_key_id": number}
            self.new[ProviderConfigKey][item.key, number] = link

    def _put_mcp_configs(self) -> None:
        free = self._take_out(McpConfig, "mcp_client_id")
        for item in self.draft.of(McpConfig):
            reference = item.refers["mcp_client"]
            wanted = dict.fromkeys(("name", "client_id", "id"), reference)
            client = self._numbered.get((McpClient, reference))
            if client is None:
                client = self._find(McpClient, tuple(wanted), wanted)
            if client is None:
                what = f'no MCP client "{reference}"' if reference else "is missing"
                self._odd(item, item.refers["named_by"], what)
                if not self.draft.record:
                    continue
                client = item.values.get("mcp_client_id")
            item.values["mcp_client_id"] = client
            numbers = free.get((item.values["virtual_key_id"], client))
            number = numbers.pop(0) if numbers else self._given_or_next(McpConfig, item)
            self._put(McpConfig, item, number)

    def _take_out(self, model: Model, other: str) -> dict[Any, list[int]]:
        """Take out the configs of the draft's virtual keys: theirs replace them all.

        Their numbers, by virtual key and `other` column, so that they keep them.
        """
        stated = {
            item.values.get("id")
            for item in self.draft.of(VirtualKey)
            if model not in item.refers.get("keeps", ())
        }
        free: dict[Any, list[int]] = {}
        known = {**self.old[model], **self.new[model]}
        for number, row in sorted(known.items()):
            if row["virtual_key_id"] in stated:
                free.setdefault((row["virtual_key_id"], row[other]), []).append(number)
                self.new[model].pop(number, None)
        taken = {number for numbers in free.values() for number in numbers}
        self._reserved |= {(model, number) for number in taken}
        if model is ProviderConfig and not self.draft.record:
            self._drop(Budget, "provider_config_id", taken)
        return free

    def _drop_leftovers(self, free: dict[Any, list[int]]) -> None:
        """Drop what hangs on provider configs that are there no more."""
        left = {number for numbers in free.values() for number in numbers}
        self._drop(ProviderConfigKey, "provider_config_id", left)
        self._drop(Budget, "provider_config_id", left)

    def _drop(self, model: Model, column: str, values: set[int]) -> None:
        rows = self.new[model]
        for key in [key for key, row in rows.items() if row[column] in values]:
            del rows[key]

    def _link_budgets(self) -> None:
        """Turn the older link, an owner's budget_id, into the owner on the budget."""
        self._namers = Counter(
            item.values.get("budget_id")
            for model in BUDGET_OWNERS.values()
            for item in self.draft.of(model)
        )
        for column, model in BUDGET_OWNERS.items():
            for item in self.draft.of(model):
                budget_id = item.values.get("budget_id")
                if budget_id and item.key is not None:
                    self._link_budget(item, column, budget_id)

    def _link_budget(self, item: Item, column: str, budget_id: str) -> None:
        budget = self.new[Budget].get(budget_id)
        if budget is None:
            self._odd(item, "budget_id", f'no budget "{budget_id}"')
        if budget is None or (self.draft.record and self._namers[budget_id] > 1):
            return  # what a record shares stays shared, by its owners' budget_id
        owner = next((name for name in BUDGET_OWNERS if budget[name] is not None), None)
        if owner is None:
            self.new[Budget][budget_id] = {**budget, column: item.key}
        elif (owner, budget[owner]) != (column, item.key) and not self.draft.record:
            what = f'is of {NOUNS[BUDGET_OWNERS[owner]]} "{budget[owner]}" already'
            self._wrong(item, "budget_id", f'budget "{budget_id}" {what}')

    def _check_references(self) -> None:
        self._check_reference(Team, "customer_id", Customer)
        self._check_reference(VirtualKey, "customer_id", Customer)
        self._check_reference(VirtualKey, "team_id", Team)
        for model in (Customer, Team, VirtualKey, ProviderConfig):
            self._check_reference(model, "rate_limit_id", RateLimit)
        for column in ("team_id", "customer_id", "virtual_key_id"):
            self._check_reference(Budget, column, BUDGET_OWNERS[column])
        for item, row in self._rows(Budget):
            if sum(row[column] is not None for column in BUDGET_OWNERS) > 1:
                what = "the budget belongs to more than one owner"
                self._odd(item, "id", what)

    def _check_reference(self, model: Model, column: str, to: Model) -> None:
        for item, row in self._rows(model):
            if row[column] == "":
                row[column] = None
            if row[column] is not None and row[column] not in self.new[to]:
                self._odd(item, column, f'no {NOUNS[to]} "{row[column]}"')

    def _check_virtual_keys(self) -> None:
        for item, row in self._rows(VirtualKey):
            if row["team_id"] is not None and row["customer_id"] is not None:
                text = "a virtual key belongs to a team or a customer, not both"
                self._odd(item, "customer_id", text)
        self._check_unique(VirtualKey, "name")
        self._check_unique(VirtualKey, "value")
        self._check_unique(ProviderKey, "name")
        self._check_unique(ProviderKey, "key_id")
        self._check_unique(McpClient, "name")
        self._check_unique(McpClient, "client_id")

    def _check_unique(self, model: Model, column: str) -> None:
        first: dict[Any, Any] = {}
        for key, row in self.new[model].items():
            other = first.setdefault(row[column], key)
            if other == key or row[column] is None:
                continue
            # The later place is to blame; a value is a secret, so it is not shown.
            blamed, named = (
                (key, other) if (model, key) in self._places else (other, key)
            )
            place = self._places.get((model, blamed), "the database")
            where = self._places.get((model, named), f'"{named}" in the database')
            self.problems.append(f"{place}.{column}: is that of {where} too")

    def _check_rate_limits(self) -> None:
        for item, row in self._rows(RateLimit):
            for half in ("token", "request"):
                limited = row[f"{half}_max_limit"] is not None
                if limited and row[f"{half}_reset_duration"] is None:
                    column = f"{half}_reset_duration"
                    if self._is_wrong(item, column):
                        continue
                    what = f"is missing beside {half}_max_limit"
                    self._odd(item, column, what)

    def _stamp(self) -> None:
        """Set when rows were updated: those that differ from the old ones, now."""
        if self.draft.record:
            return
        now = stored_time(self._now)
        for model, rows in self.new.items():
            if "updated_at" not in {column.name for column in columns(model)}:
                continue
            for item, row in self._rows(model):
                if "updated_at" not in item.values:
                    old = self.old[model].get(item.key)
                    made = row["created_at"] if old is None else now
                    rows[item.key] = row if row == old else {**row, "updated_at": made}

    def _rows(self, model: Model) -> Iterator[tuple[Item, dict[str, Any]]]:
        """The draft's items of a model with the rows that they became."""
        for item in self.draft.of(model):
            if item.key is not None:
                yield item, self.new[model][item.key]

    def _is_wrong(self, item: Item, column: str) -> bool:
        place = f"{item.place}.{column}: "
        return any(problem.startswith(place) for problem in self.problems)

    def _odd(self, item: Item, column: str, what: str) -> None:
        """Wrong in a description; in a record just odd, as the gateway has it so."""
        if self.draft.record:
            self.draft.notes.append(f"{item.place}.{column}: {what}")
        else:
            self._wrong(item, column, what)

    def _wrong(self, item: Item, column: str, what: str) -> None:
        self.problems.append(f"{item.place}.{column}: {what}")


def _whole(rows: dict[Any, Any], items: list[Item]) -> Iterator[int]:
    keys = [*rows, *(item.values.get("id") for item in items)]
    return (key for key in keys if isinstance(key, int))
