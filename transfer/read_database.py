"""Read a gateway's database as rows, to be copied into our own."""

import os
from typing import Any

import orjson

import values
from fields import kept_secret, source_of
from models import (
    MODELS,
    McpClient,
    McpConfig,
    ProviderConfig,
    ProviderConfigKey,
    ProviderKey,
    VirtualKey,
    secret_columns,
)
from store.relations import Index
from store.rows import Rows
from transfer.batch import Batch
from transfer.config_schemas import FileSchema, StdioFileSchema, TlsFileSchema
from transfer.load_members import load_member
from values import json_text, value_hash

_SHAPES: dict[str, type[FileSchema]] = {
    "stdio_config_json": StdioFileSchema,
    "tls_config_json": TlsFileSchema,
}


def add_rows(batch: Batch, rows: Rows, source: str) -> None:
    """Add all rows to the batch; of providers' secrets only references are kept."""
    index = Index(rows)
    for model in MODELS:
        if model is ProviderConfigKey:
            continue  # goes in with the provider configs
        for row in rows[model]:
            stored: dict[str, Any] = row._asdict()
            place = f"{source}: {model._meta.table_name}[{row[0]!r}]"
            if model is VirtualKey:
                stored |= _value(stored)
            elif model is ProviderKey:
                stored = _without_secrets(stored)
            elif model is McpClient:
                stored |= _client_without_secrets(batch, stored, place)
            item = batch.add(model, place, stored)
            if model is ProviderConfig:
                keys = [key.id for key in index.provider_keys(row)]
                item.refers |= {"provider_keys": keys, "named_by": "keys"}
            elif model is McpConfig:
                number = row.mcp_client_id
                item.refers |= {"mcp_client": number, "named_by": "mcp_client_id"}


def _value(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a virtual key's value where only its source is stored.

    It is looked up in the environment; the key is found by its hash either way.
    """
    found = source_of(stored["value"])
    if not found:
        return {}
    value = os.environ.get(found.removeprefix("env."))
    known = stored["value_hash"]
    if value and known in (None, "", value_hash(value)):
        return {"value": value, "value_hash": value_hash(value)}
    return {"value": None}


def _without_secrets(stored: dict[str, Any]) -> dict[str, Any]:
    secrets = secret_columns(ProviderKey)
    return stored | {name: kept_secret(values.text(stored[name])) for name in secrets}


def _client_without_secrets(
    batch: Batch, stored: dict[str, Any], place: str
) -> dict[str, Any]:
    address = values.text(values.secret_text(stored["connection_string"]))
    shapes = {
        column: _shape(batch, schema, stored[column], f"{place}.{column}")
        for column, schema in _SHAPES.items()
    }
    headers = stored["headers_json"]
    return {
        "connection_string": values.mask_url(address) or None,
        "headers_json": headers and _headers(headers),
        **shapes,
    }


def _shape(
    batch: Batch, schema: type[FileSchema], stored: Any, place: str
) -> str | None:
    """Return the documented members of a stored JSON object, as JSON text."""
    try:
        parsed = orjson.loads(stored or "null")
    except ValueError:
        return None  # broken there, and left out there as well
    if not isinstance(parsed, dict):
        return None
    given = {name: each for name, each in parsed.items() if each is not None}
    return json_text(load_member(batch, schema, given, place))


def _headers(stored: Any) -> str:
    try:
        headers = orjson.loads(stored or "{}").items()
    except (ValueError, AttributeError, TypeError):
        return "{}"  # broken there, and answered as {} there as well
    return json_text({name: _header(secret) for name, secret in headers})


def _header(secret: Any) -> str:
    known = isinstance(secret, str | dict)
    return (kept_secret(values.secret_text(secret) or "") or "") if known else ""
