"""Walk through the things of a file, wherever they stand within each other."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from models import Model
from transfer.batch import Batch, Claim
from transfer.config_schemas import FileSchema
from transfer.load_members import load_member, named

# What ids are made of where a file has none, so that it loads twice as the same things.
_MADE_IDS = uuid.UUID("5f3c51d0-6b0e-4c0e-9d57-6f70f4a1c0de")


Entity = dict[str, Any]


class Owner(NamedTuple):
    """An owner of budgets: the column in which they name it, and its id or place.

    `scope` is that of the model config which may govern it.
    """

    column: str
    key: Any
    scope: dict[str, Any] | None = None


class Sink(Protocol):
    """A receiver of rows; `take` returns the key if it could be taken.

    `owner` is whom a budget stands in; `partly` names columns of which there is more.
    """

    def take(
        self,
        model: Model,
        key: Any,
        values: dict[str, Any],
        place: str,
        *,
        owner: Owner | None = None,
        partly: tuple[str, ...] = (),
        **refers: Any,
    ) -> Any: ...


class Noun(NamedTuple):
    """A kind of thing: its schema, and the function that makes rows of it."""

    schema: type[FileSchema]
    read: Callable[..., Any]


@dataclass
class Walk:
    """A pass over the things of a file, which gives their rows to a sink.

    `version` is the one that a `config.json` states or is known by: what is empty in it
    allows everything (1) or nothing (2). `providers` and `clients` are the names of
    those that the file has.
    """

    batch: Batch
    sink: Sink
    nouns: dict[str, Noun]
    version: int | None = None
    providers: list[str] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    mentioned: int = 0  # how deep within things that are only mentioned

    @property
    def described(self) -> bool:
        return not self.batch.record

    def wrong(self, place: str, what: str) -> None:
        self.batch.problems.append(f"{place}: {what}")

    def object(self, value: Any, place: str) -> dict[str, Any]:
        """Return an object, or an empty one for what is none; null is not given."""
        if value is not None and not isinstance(value, dict):
            self.wrong(place, "must be an object")
        return value if isinstance(value, dict) else {}

    def members(self, listed: Any, place: str) -> Iterator[tuple[int, Any, str]]:
        """Yield the members of an array, each with its place; the array is used up."""
        if listed is None:
            return
        if not isinstance(listed, list):
            self.wrong(place, "must be an array")
            return
        for number in range(len(listed)):
            member, listed[number] = listed[number], None
            yield number, member, f"{place}[{number}]"

    def each(self, noun: str, listed: Any, place: str, **context: Any) -> list[Any]:
        """Read the members of an array; return their keys."""
        return [
            self.one(noun, member, at, **context)
            for _, member, at in self.members(listed, place)
        ]

    def one(self, noun: str, member: Any, place: str, **context: Any) -> Any:
        """Read one thing; return its key, None if it cannot be taken."""
        if not isinstance(member, dict):
            if member is not None or self.described:
                self.wrong(place, "must be an object")
            return None
        if not member and not self.described:
            return None  # cut down
        for name in ("id", "mcp_client_id"):
            if isinstance(member.get(name), list | dict | bool | float):
                self.wrong(f"{place}.{name}", "must be text or a number")
                return None
        schema, read = self.nouns[noun]
        entity = named(self.batch, schema, member, place)
        return read(self, entity, place, **context)

    def mention(self, noun: str, member: Any, place: str, **context: Any) -> Any:
        """Read a thing that stands in a member of another, if it is there.

        Where it is not described, only named by its id, it must be somewhere else.
        """
        if member in (None, {}):
            return None
        if self.described and isinstance(member, dict) and member.keys() == {"id"}:
            if owner := context.get("owner"):
                self.claim(member["id"], owner, place)
            return member["id"]
        self.mentioned += 1
        try:
            return self.one(noun, member, place, **context)
        finally:
            self.mentioned -= 1

    def load(self, schema: type[FileSchema], entity: Any, place: str) -> dict[str, Any]:
        return load_member(self.batch, schema, entity, place)

    def take(
        self, model: Model, key: Any, values: dict[str, Any], place: str, **refers: Any
    ) -> Any:
        if self.mentioned:
            refers["mention"] = True
        return self.sink.take(model, key, values, place, **refers)

    def claim(self, budget_id: Any, owner: Owner, place: str) -> None:
        """Note the owner of a budget that is read elsewhere."""
        self.batch.claims.append(Claim(budget_id, owner.column, owner.key, place))

    def identify(self, model: Model, entity: dict[str, Any]) -> dict[str, Any]:
        """Give a described thing that has no id one made of its name; say if so."""
        name = entity.get("name")
        if entity.get("id") or not self.described or not isinstance(name, str):
            return {}
        entity["id"] = made_id(model._meta.table_name, name)
        return {"made_id": True}


def made_id(*parts: Any) -> str:
    """Return an id for a thing without one, the same for the same parts."""
    return str(uuid.uuid5(_MADE_IDS, "/".join(map(str, parts))))
