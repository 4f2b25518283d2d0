"""Rows that are to be loaded, whatever they were read from, each with its place."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from models import Model

# The columns that a gateway changes by itself.
USAGE = (
    "last_reset",
    "current_usage",
    "token_last_reset",
    "token_current_usage",
    "request_last_reset",
    "request_current_usage",
)


@dataclass(slots=True)
class Item:
    """A row to be loaded: the columns that its source names, and its place there.

    `refers` holds what is no column: `provider_keys` and `mcp_client` by name or id,
    the column they were `named_by`, the parts of a virtual key that the source leaves
    open (`keeps`), whether the id was made because the source has none (`made_id`), and
    whether the source only mentions the thing within another (`mention`).
    """

    place: str
    values: dict[str, Any]
    refers: dict[str, Any] = field(default_factory=dict)
    key: Any = None  # the row's primary key, once it is known

    def at(self, column: str) -> str:
        return f"{self.place}.{column}"


class Claim(NamedTuple):
    """A budget that stands within its owner, or that its owner names in a list.

    `column` is how the budget would name the owner; `owner` its id, of a provider
    config its place.
    """

    budget_id: Any
    column: str
    owner: Any
    place: str


@dataclass
class Batch:
    """Rows that are to be loaded together, and the problems found so far.

    A description (`config.json`) says all of a thing: what it leaves out, the thing
    does not have, and every reference must lead somewhere. A `record` of what a gateway
    holds is taken as it is: it may be partial, and what it lacks stays as it was; what
    leads nowhere stands in `notes`.
    """

    record: bool = False
    items: dict[Model, list[Item]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # those that are whole files
    notes: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)  # what is not taken
    unknown: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    left_out: set[Any] = field(default_factory=set)  # the ids of virtual keys

    def add(
        self, model: Model, place: str, values: dict[str, Any], **refers: Any
    ) -> Item:
        item = Item(place, values, refers)
        self.items.setdefault(model, []).append(item)
        return item

    def of(self, model: Model) -> list[Item]:
        return self.items.get(model, [])

    def pass_over(
        self, kind: str, name: str, place: str, known: frozenset[str]
    ) -> None:
        """Note an unknown name, once for a kind of thing."""
        if seen := self.unknown.get((kind, name)):
            seen[1] += 1
            return
        (like,) = get_close_matches(name, known, n=1) or [""]
        hint = f'; did you mean "{like}"?' if like else ""
        dot = "" if place.endswith(": ") else "."
        self.unknown[kind, name] = [
            f"{place}{dot}{name}: not known, passed over{hint}",
            1,
        ]

    def all_passed_over(self) -> list[str]:
        """Return a line for each thing in the files that is not loaded."""
        counted = [
            line if count == 1 else f"{line} ({count} times)"
            for line, count in self.unknown.values()
        ]
        return [*dict.fromkeys(self.passed_over), *counted]
