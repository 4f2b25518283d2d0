"""Merge a batch into what a database holds already.

A thing becomes what its file says of it. What files do not speak of (usage, times,
generated values) stays as it was, unless the file replaces all: then it is unused.
"""

import uuid
from collections.abc import Iterator
from time import time_ns
from typing import Any

from models import (
    Budget,
    Customer,
    McpClient,
    McpConfig,
    Model,
    ModelConfig,
    Provider,
    ProviderConfig,
    ProviderConfigKey,
    ProviderKey,
    RateLimit,
    Team,
    VirtualKey,
    column_names,
    referring,
)
from store.own_tables import Tables, key_names
from transfer.batch import USAGE, Batch, Item
from values import VALUE_PREFIX, stored_time, value_hash

MADE = {"created_at", "updated_at", "value", "value_hash", "key_id", "client_id"}
DEFAULTS: dict[Model, dict[str, Any]] = {
    VirtualKey: {"is_active": True},
    ProviderKey: {"enabled": True},
}
# The columns that name a thing whose id may have been made. A model config names a
# virtual key in its scope, too.
_NAMING: dict[Model, set[str]] = {
    model: {column for _, column in referring(model)}
    for model in (Customer, Team, VirtualKey)
}
_NAMING[VirtualKey].add("scope_id")


class Merge:
    """The rows that a database shall hold once a batch is in it.

    `base` is what the batch is put into, nothing or the `old` rows; either way it
    takes from these what it does not speak of. `new` holds the rows. What is wrong with
    them linking.py says.
    """

    def __init__(self, old: Tables, base: Tables, batch: Batch, replace: bool) -> None:
        self.old = old
        self.new: Tables = {model: dict(rows) for model, rows in base.items()}
        self.batch = batch
        self.placed: dict[tuple[Model, Any], Item] = {}
        self.numbered: dict[tuple[Model, Any], int] = {}  # theirs, or a place -> ours
        self._kept = MADE if replace else MADE.union(USAGE)
        self._replace = replace
        self._numbers = {
            model: max(_whole(rows, batch.of(model)), default=0)
            for model, rows in old.items()
        }
        self._reserved: set[tuple[Model, int]] = set()  # numbers that will be reused
        self._now = time_ns()
        self._made = 0
        self._adopt_ids()
        self._put_all()

    def wrong(self, place: str, what: str) -> None:
        self.batch.problems.append(f"{place}: {what}")

    def report(self, place: str, what: str) -> None:
        """Add a problem; in a record just a note, as the gateway has it so."""
        lines = self.batch.notes if self.batch.record else self.batch.problems
        lines.append(f"{place}: {what}")

    def rows(self, model: Model) -> Iterator[tuple[Item, dict[str, Any]]]:
        """Yield the batch's items of a model with the rows that they became."""
        for item in self.batch.of(model):
            if item.key is not None and self.placed[model, item.key] is item:
                yield item, self.new[model][item.key]

    def drop(self, model: Model, column: str, values: set[Any]) -> None:
        """Drop the rows that have one of these values in a column."""
        rows = self.new[model]
        for key in [key for key, row in rows.items() if row[column] in values]:
            del rows[key]
            if item := self.placed.pop((model, key), None):
                item.key = None

    def stamp(self) -> None:
        """Set the `updated_at` of rows that differ from the old ones."""
        if self.batch.record:
            return
        now = stored_time(self._now)
        for model, rows in self.new.items():
            if "updated_at" not in column_names(model):
                continue
            for item, row in self.rows(model):
                if "updated_at" not in item.values:
                    old = self.old[model].get(item.key)
                    made = row["created_at"] if old is None else now
                    rows[item.key] = row if row == old else {**row, "updated_at": made}

    def _adopt_ids(self) -> None:
        """Give things without an id in their file that of the one of the same name."""
        for model, naming in _NAMING.items():
            items = self.batch.of(model)
            made = [item for item in items if item.refers.get("made_id")]
            if not made:
                continue
            ids = {row["name"]: key for key, row in self.new[model].items()}
            ids |= {
                item.values.get("name"): item.values.get("id")
                for item in items
                if not item.refers.get("made_id")
            }
            renamed = {
                item.values["id"]: ids[item.values["name"]]
                for item in made
                if ids.get(item.values["name"])
            }
            for item in made:
                item.values["id"] = renamed.get(item.values["id"], item.values["id"])
            self._rename(naming, renamed)

    def _rename(self, naming: set[str], renamed: dict[Any, Any]) -> None:
        for items in self.batch.items.values() if renamed else ():
            for item in items:
                for name in naming:
                    if item.values.get(name) in renamed:
                        item.values[name] = renamed[item.values[name]]
        self.batch.claims = [
            claim._replace(owner=renamed.get(claim.owner, claim.owner))
            if claim.column in naming
            else claim
            for claim in self.batch.claims
        ]

    def _put_all(self) -> None:
        self._put_numbered(Provider, "name")
        self._put_numbered(ProviderKey, "name", "key_id")
        self._put_numbered(McpClient, "name", "client_id")
        self._put_by_id(RateLimit, Customer, Team, VirtualKey, ModelConfig)
        self._put_provider_configs()
        self._put_mcp_configs()
        for item in self.batch.of(Budget):
            theirs = item.values.get("provider_config_id")
            if (ProviderConfig, theirs) in self.numbered:
                ours = self.numbered[ProviderConfig, theirs]
                item.values["provider_config_id"] = ours
        self._put_by_id(Budget)

    def _put_by_id(self, *models: Model) -> None:
        for model in models:
            for item in self._items(model):
                self._put(model, item, item.values.get("id"))

    def _items(self, model: Model) -> list[Item]:
        """Return the batch's items; those last which their source only mentions."""
        return sorted(self.batch.of(model), key=_is_mention)

    def _put(self, model: Model, item: Item, key: Any) -> None:
        """Put the item's row under its key, over the old one if there is one."""
        if key is None:
            return  # reported where it is missing
        if first := self.placed.get((model, key)):
            self._put_again(item, first)
            return
        self.placed[model, key] = item
        item.key = key
        old = self.new[model].get(key, self.old[model].get(key))
        row = dict.fromkeys(column_names(model))
        partial = self.batch.record or (_is_mention(item) and not self._replace)
        if old is None:
            row |= self._fresh(model, item)
        elif partial:
            row |= old
        else:
            row |= {name: value for name, value in old.items() if name in self._kept}
            if self._replace:
                row |= _unused(model, item, row.get("created_at"))
        if old is None or not partial:
            row |= DEFAULTS.get(model, {})
        row |= {name: value for name, value in item.values.items() if name in row}
        row[key_names(model)[0]] = key
        self.new[model][key] = row

    def _put_again(self, item: Item, first: Item) -> None:
        """Report a thing that stands twice, if it is not the same that is mentioned."""
        if _is_mention(item):
            for name, value in item.values.items():
                if name in first.values and first.values[name] != value:
                    self.wrong(item.at(name), f"is another at {first.place}")
            return
        column = "id" if "id" in item.values else "name"
        self.wrong(item.at(column), f'"{item.values[column]}" is also at {first.place}')

    def _fresh(self, model: Model, item: Item) -> dict[str, Any]:
        """Return the columns of a new row that its source does not give."""
        if self.batch.record:
            return {}  # what a gateway does not say is not made up
        self._made += 1
        # Each a nanosecond later than the one before: the files' order is the lists'.
        now = stored_time(self._now + self._made)
        fresh: dict[str, Any] = {"created_at": now}
        if model is VirtualKey:
            value = item.values.get("value") or f"{VALUE_PREFIX}{uuid.uuid4()}"
            fresh |= {"value": value, "value_hash": value_hash(value)}
        elif model is ProviderKey:
            fresh |= {"key_id": str(uuid.uuid4())}
        elif model is McpClient:
            fresh |= {"client_id": str(uuid.uuid4())}
        fresh |= _unused(model, item, item.values.get("created_at", now))
        names = column_names(model)
        return {name: value for name, value in fresh.items() if name in names}

    def _put_numbered(self, model: Model, *names: str) -> None:
        """Put rows that files know by name and databases by number."""
        for item in self._items(model):
            number = self.find(model, names, item.values)
            if number is None:
                number = self._given_or_next(model, item)
            if model is Provider and (model, number) in self.placed:
                continue  # several files may speak of one provider
            if "id" in item.values:
                self.numbered[model, item.values["id"]] = number
            if model is ProviderKey and "provider_id" not in item.values:
                provider = {"name": item.values["provider"]}
                item.values["provider_id"] = self.find(Provider, ("name",), provider)
            self._put(model, item, number)

    def find(
        self, model: Model, names: tuple[str, ...], values: dict[str, Any]
    ) -> int | None:
        """Return the number of the row that has one of these values by that name."""
        wanted = [(n, values[n]) for n in names if _is_name(n, values.get(n))]
        for rows in (self.new[model], self.old[model]):
            for number, row in rows.items():
                if any(row[name] == value for name, value in wanted):
                    return int(number)
        return None

    def _given_or_next(self, model: Model, item: Item) -> int:
        """Return the number that the item comes with, if nothing else has it."""
        given = item.values.get("id")
        taken = given in self.new[model] or (model, given) in self._reserved
        if isinstance(given, int) and not taken:
            return given
        self._numbers[model] += 1
        return self._numbers[model]

    def _put_provider_configs(self) -> None:
        free = self._take_out(ProviderConfig, "provider")
        links: dict[int, list[Any]] = {}
        for link in self.new[ProviderConfigKey]:
            links.setdefault(link[0], []).append(link)
        for item in self.batch.of(ProviderConfig):
            named = item.values.get("virtual_key_id"), item.values.get("provider")
            numbers = free.get(named)
            if numbers:
                number = numbers.pop(0)
            else:
                number = self._given_or_next(ProviderConfig, item)
            if item.values.get("id") is not None:
                self.numbered[ProviderConfig, item.values["id"]] = number
            self.numbered[ProviderConfig, item.place] = number
            self._put(ProviderConfig, item, number)
            references = item.refers["provider_keys"]
            if references is not None:
                for link in links.pop(number, ()):
                    del self.new[ProviderConfigKey][link]
            for reference in references or ():
                self._attach(item, reference)
        left = {number for numbers in free.values() for number in numbers}
        self.drop(ProviderConfigKey, "provider_config_id", left)
        self.drop(Budget, "provider_config_id", left)

    def _attach(self, item: Item, reference: str | int) -> None:
        number = self.numbered.get((ProviderKey, reference))
        if not isinstance(reference, int):
            number = self.find(ProviderKey, ("key_id",), {"key_id": reference})
            number = number or self.find(ProviderKey, ("name",), {"name": reference})
        if number is None:
            place = item.at(item.refers["named_by"])
            self.wrong(place, f'no provider key "{reference}"')
        else:
            link = {"provider_config_id": item.key, "provider_key_id": number}
            self.new[ProviderConfigKey][item.key, number] = link

    def _put_mcp_configs(self) -> None:
        free = self._take_out(McpConfig, "mcp_client_id")
        for item in self.batch.of(McpConfig):
            client = self._client(item)
            if client is None and not self.batch.record:
                continue
            if client is not None:
                item.values["mcp_client_id"] = client
            client = item.values.get("mcp_client_id")
            numbers = free.get((item.values["virtual_key_id"], client))
            number = numbers.pop(0) if numbers else self._given_or_next(McpConfig, item)
            self._put(McpConfig, item, number)

    def _client(self, item: Item) -> int | None:
        """Return the number of the client an MCP config names, or note its lack."""
        reference = item.refers["mcp_client"]
        wanted = dict.fromkeys(("name", "client_id", "id"), reference)
        client = self.numbered.get((McpClient, reference))
        if client is None:
            client = self.find(McpClient, tuple(wanted), wanted)
        if client is None:
            what = f'no MCP client "{reference}"' if reference else "is missing"
            line = f"{item.at(item.refers['named_by'])}: {what}"
            if self.batch.record:
                self.batch.notes.append(line)
            else:  # as gateways do
                self.batch.passed_over.append(f"{line}; the MCP config is left out")
        return client

    def _take_out(self, model: Model, other: str) -> dict[Any, list[int]]:
        """Take out the configs of the batch's virtual keys: theirs replace them all.

        Their numbers, by virtual key and `other` column, so that they keep them.
        """
        stated = {
            item.values.get("id")
            for item in self.batch.of(VirtualKey)
            if model not in item.refers.get("keeps", ()) and not _is_mention(item)
        }
        free: dict[Any, list[int]] = {}
        known = {**self.old[model], **self.new[model]}
        for number, row in sorted(known.items()):
            if row["virtual_key_id"] in stated:
                free.setdefault((row["virtual_key_id"], row[other]), []).append(number)
                self.new[model].pop(number, None)
        taken = {number for numbers in free.values() for number in numbers}
        self._reserved |= {(model, number) for number in taken}
        if model is ProviderConfig and not self.batch.record:
            self.drop(Budget, "provider_config_id", taken)
        return free


def _unused(model: Model, item: Item, created: Any) -> dict[str, Any]:
    """Return the usage of a new budget or rate limit: none."""
    if model is Budget:
        return {"current_usage": 0, "last_reset": created}
    if model is not RateLimit:
        return {}
    unused: dict[str, Any] = {}
    for half in ("token", "request"):
        limited = f"{half}_max_limit" in item.values
        unused[f"{half}_current_usage"] = 0
        unused[f"{half}_last_reset"] = created if limited else None
    return unused


def _is_mention(item: Item) -> bool:
    return bool(item.refers.get("mention"))


def _is_name(column: str, value: Any) -> bool:
    """Return whether a thing can be found by it: by an empty name, too, but no id."""
    return value is not None and (value != "" or column == "name")


def _whole(rows: dict[Any, Any], items: list[Item]) -> Iterator[int]:
    keys = [*rows, *(item.values.get("id") for item in items)]
    return (key for key in keys if isinstance(key, int))
