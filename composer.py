"""Entities as JSON bytes, each row dumped through its schema once.

What is kept under a row is its own fields as JSON, with gaps where relations go; an
equal row in the next snapshot then costs a lookup instead of a dump.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

import orjson
from marshmallow import Schema, fields

from models import Row
from schemas import Filled, Related

# The members of an object in order: JSON of one or several, or the name of a gap.
Members = tuple[bytes | str, ...]
Kept = dict[type[Schema], dict[Row, bytes | Members]]


class Composer:
    """A builder of JSON bytes. `before` is the one of the snapshot before."""

    def __init__(self, before: "Composer | None" = None) -> None:
        self._before: Kept = before._kept if before else {}
        self._kept: Kept = defaultdict(dict)

    def forget_before(self) -> None:
        """Let go of what only the snapshot before used."""
        self._before = {}

    def one(self, schema: type[Schema], row: Row, **beside: Any) -> bytes:
        """The entity's JSON: the row's own members, and those given beside it.

        Bytes are JSON already, text and plain data are not yet, None is left out.
        """
        kept = self._kept[schema].get(row)
        if kept is None:
            kept = self._before.get(schema, {}).get(row) or _dump(schema, row)
            self._kept[schema][row] = kept
        if isinstance(kept, bytes):
            return kept
        pieces: list[bytes] = []
        for member in kept:
            if isinstance(member, str):
                value = beside.get(member)
                if value is None:
                    continue
                if not isinstance(value, bytes):
                    value = orjson.dumps(value)
                pieces += (b',"', member.encode(), b'":', value)
            else:
                pieces += (b",", member)
        return b"{%b}" % b"".join(pieces)[1:]

    def many(self, entities: Iterable[bytes]) -> bytes:
        return b"[%b]" % b",".join(entities)


_instance = cache(lambda schema: schema())


def _dump(schema: type[Schema], row: Row) -> bytes | Members:
    instance = _instance(schema)
    dumped = instance.dump(row._asdict())
    gaps = [name for name, field in instance.fields.items() if _is_gap(field)]
    if not gaps:
        return orjson.dumps(dumped)
    members: list[bytes | str] = []
    run: dict[str, Any] = {}
    for name in instance.fields:
        if name in gaps:
            members += (_inner(run), name)
            run = {}
        elif name in dumped:
            run[name] = dumped[name]
    members.append(_inner(run))
    return tuple(member for member in members if member)


def _is_gap(field: fields.Field) -> bool:
    return isinstance(field, Related | Filled)


def _inner(members: dict[str, Any]) -> bytes:
    return orjson.dumps(members)[1:-1]
