"""What real gateways answered: the entities in it, wherever they stand."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

Entity = dict[str, Any]

# What the names in the documents hold.
KINDS = {
    "teams": "Team",
    "team": "Team",
    "customers": "Customer",
    "customer": "Customer",
    "virtual_keys": "VirtualKey",
    "budgets": "Budget",
    "budget": "Budget",
    "rate_limits": "RateLimit",
    "rate_limit": "RateLimit",
    "provider_configs": "ProviderConfig",
    "keys": "ProviderKey",
    "mcp_configs": "McpConfig",
    "mcp_client": "McpClient",
    "stdio_config": "StdioConfig",
    "tls_config": "TlsConfig",
}
FREE_FORM = {"profile", "config", "claims", "headers", "tool_pricing"}


def entities(value: Any, kind: str = "") -> Iterator[tuple[str, Entity]]:
    """The entities in a JSON value, by kind; also where they are keyed by id."""
    if isinstance(value, list):
        for member in value:
            yield from entities(member, kind)
    if isinstance(value, dict):
        if {"id", "client_id"} & set(value):
            yield kind, value
            kind = ""
        for key, member in value.items():
            if key not in FREE_FORM:
                yield from entities(member, KINDS.get(key, kind))


def identity(entity: Entity) -> Any:
    return entity.get("client_id", entity.get("id"))


def by_id(value: Any) -> dict[str, dict[Any, Entity]]:
    """The entities in a JSON value, put together from wherever they are."""
    found: dict[str, dict[Any, Entity]] = defaultdict(dict)
    for kind, entity in entities(value):
        found[kind].setdefault(identity(entity), {}).update(entity)
    return found
