"""The entities in real gateways' answers, wherever they stand."""

import json
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


# What the gateway made itself, counted since, or numbered as it liked.
ITS_OWN = {"config_hash", "created_at", "updated_at", "last_reset", "current_usage"}
ITS_OWN |= {f"{half}_last_reset" for half in ("token", "request")}
ITS_OWN |= {f"{half}_current_usage" for half in ("token", "request")}
ITS_OWN |= {"key_id", "client_id", "mcp_client_id", "provider_config_id", "provider_id"}
# What that gateway did not take over from its config.json, though it stands there.
ITS_LOSSES = {"is_active", "tool_pricing", "bedrock_secret_key"}
ITS_LOSSES |= {"vertex_auth_credentials"}


def comparable(value: Any) -> Any:
    """An answer without what a config.json cannot hold, lists of numbered things in
    an order that both have."""
    if isinstance(value, list):
        members = [comparable(member) for member in value]
        return sorted(members, key=json.dumps) if _numbered(value) else members
    if not isinstance(value, dict):
        return value
    numbered = isinstance(value.get("id"), int)
    return {
        name: comparable(member)
        for name, member in value.items()
        if name not in ITS_OWN | ITS_LOSSES and not (numbered and name == "id")
    }


def _numbered(members: list[Any]) -> bool:
    return any(isinstance(m, dict) and isinstance(m.get("id"), int) for m in members)
