"""What is about to be loaded, whatever it was read from: rows, each with its place."""

from dataclasses import dataclass, field
from typing import Any

import peewee

Model = type[peewee.Model]


@dataclass(slots=True)
class Item:
    """A row to be: the columns that its source speaks of, and where that is.

    `refers` holds what is no column: `provider_keys` and `mcp_client` by name or id,
    the column they were `named_by`, and the parts of a virtual key that the source
    leaves open (`keeps`).
    """

    place: str
    values: dict[str, Any]
    refers: dict[str, Any] = field(default_factory=dict)
    key: Any = None  # the row's primary key, once it is known


@dataclass
class Draft:
    """All that is to be loaded, and what was found wrong with it so far.

    A description (`config.json`) says all of a thing: what it leaves out, the thing
    does not have, and every reference must lead somewhere. A `record` of what a gateway
    holds is taken as it is: it may be partial, and what it lacks stays as it was; what
    leads nowhere is told in `notes`.
    """

    record: bool = False
    items: dict[Model, list[Item]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # those that are whole files
    notes: list[str] = field(default_factory=list)

    def add(
        self, model: Model, place: str, values: dict[str, Any], **refers: Any
    ) -> Item:
        item = Item(place, values, refers)
        self.items.setdefault(model, []).append(item)
        return item

    def of(self, model: Model) -> list[Item]:
        return self.items.get(model, [])
