"""Entities as plain data, to be written as JSON in one go; what many share is JSON."""

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

import orjson

from models import Row
from schemas import EntitySchema, McpClientSchema, ProviderKeySchema

# Rows of these are part of many entities: each is dumped and written once.
SHARED = (ProviderKeySchema, McpClientSchema)
SHARED_ROWS = 10_000


class Composer:
    """A builder (see tree.py) whose entities orjson.dumps takes as they are."""

    def one(self, schema: type[EntitySchema], row: Row, **beside: Any) -> Any:
        if schema in SHARED:
            return _dump_shared(schema, row)
        members = row._asdict()
        members.update(beside)
        return _instance(schema).dump_row(members)

    def many(self, entities: Iterable[Any]) -> list[Any]:
        return list(entities)


@cache
def _instance(schema: type[EntitySchema]) -> EntitySchema:
    return schema()


@lru_cache(SHARED_ROWS)
def _dump_shared(schema: type[EntitySchema], row: Row) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(_instance(schema).dump_row(row._asdict())))
