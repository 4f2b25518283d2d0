"""The members that a row's columns become in a gateway's `config.json`."""

from functools import cache
from typing import Any

import values
from models import McpClient, Model, ProviderKey, Row
from schemas import LEFT_OUT, McpClientSchema
from transfer.checking import UNSET
from transfer.column_kinds import Read, readers
from transfer.config_fields import NOT_KEPT, kept_secret

Json = dict[str, Any]

# Where a row's number goes. Gateways pass it over; an "id" they would take for a number
# of their own, and in a provider's key it is a text.
NUMBER = "number"
HIDDEN = ("value_hash", "encryption_status")
# What of an MCP client goes out as it is answered.
_ANSWERED = ("connection_string", "stdio_config", "tls_config")


def members(model: Model, row: Row) -> Json:
    """Return what a row says, by the names that files have for its columns."""
    found: Json = {}
    for (name, read, unset), value in zip(_columns(model), row, strict=True):
        try:
            said = unset if value in UNSET else read(value)
        except (ValueError, TypeError, RecursionError):
            said = unset  # flask check finds it
        if said is not None and said is not LEFT_OUT and name not in HIDDEN:
            found[name] = said
    return found


@cache
def _columns(model: Model) -> list[tuple[str, Read, Any]]:
    """Return files' names of the columns, what reads each, what it says when unset."""
    found: list[tuple[str, Read, Any]] = []
    for column in model._meta.sorted_fields:
        read = readers(model).get(column.name, values.text)
        name = NUMBER if column.name == "id" and read is values.number else column.name
        unset = values.ZERO_TIME if read is values.rfc3339 else None
        found.append((name.removesuffix("_json"), read, unset))
    return found


def provider_key(row: Row) -> Json:
    """Return a provider's key; of its secrets, only where they are read from."""
    key: Json = {"weight": None}  # left out, it would be 0 to a gateway
    for name, said in members(ProviderKey, row).items():
        maker, _, member = name.partition("_")
        if maker in ("azure", "vertex", "bedrock"):
            key.setdefault(f"{maker}_key_config", {})[member] = kept_secret(said)
        elif name not in ("provider", "provider_id"):
            key["id" if name == "key_id" else name] = said
    if "value" in key:
        key["value"] = kept_secret(key["value"])
    return key


def mcp_client(row: Row) -> Json:
    """Return an MCP client; of its secrets, only where they are read from."""
    client = members(McpClient, row)
    headers = client.get("headers", {}).items()
    client["headers"] = {name: each["env_var"] or NOT_KEPT for name, each in headers}
    client.pop("connection_string", None)
    answered: Json = McpClientSchema(only=_ANSWERED).dump(row)
    for name in ("stdio_config", "tls_config"):
        if name in answered:
            answered[name] = {n: each for n, each in answered[name].items() if each}
    return client | answered
