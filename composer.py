"""Entities as JSON bytes: related entities go in as bytes that were made before."""

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

import orjson

from models import Row
from schemas import EntitySchema, McpClientSchema, ProviderKeySchema

# Rows of these are part of many entities: each is dumped once.
SHARED = (ProviderKeySchema, McpClientSchema)
SHARED_ROWS = 10_000


class Composer:
    """A builder (see tree.py) whose entities are JSON bytes."""

    def one(self, schema: type[EntitySchema], row: Row, **beside: Any) -> bytes:
        if schema in SHARED:
            return _dump_shared(schema, row)
        return orjson.dumps(_instance(schema).dump_row(row._asdict() | beside))

    def many(self, entities: Iterable[bytes]) -> bytes:
        return b"[%b]" % b",".join(entities)


@cache
def _instance(schema: type[EntitySchema]) -> EntitySchema:
    return schema()


@lru_cache(SHARED_ROWS)
def _dump_shared(schema: type[EntitySchema], row: Row) -> bytes:
    return orjson.dumps(_instance(schema).dump_row(row._asdict()))
