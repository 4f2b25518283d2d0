"""Make rows of files' providers, their keys and MCP clients, and what names them.

Of their secrets only where each is read from is kept.
"""

from typing import Any

from marshmallow import ValidationError

from fields import NOT_KEPT, is_masked, kept_secret
from models import McpClient, McpConfig, Provider, ProviderKey
from transfer.config_schemas import (
    MAKERS,
    McpClientFileSchema,
    McpConfigFileSchema,
    ProviderFileSchema,
    ProviderKeyFileSchema,
    StdioFileSchema,
    TlsFileSchema,
)
from transfer.load_members import named
from transfer.walk import Entity, Noun, Walk
from values import json_text

NONE, EVERY = json_text([]), json_text(["*"])  # lists of models, as they are stored
_KEY_LISTS = ("keys", "key_ids", "allowed_keys")  # the names that gateways have used


def number_of(walk: Walk, entity: Entity, at: str) -> int | None:
    """Take out the number that a config has: `id` in answers, `number` in exports."""
    number = entity.pop("id", None)
    number = entity.pop("number", number)
    if number is not None and not isinstance(number, int):
        walk.wrong(f"{at}.id", "must be a whole number")
        return None
    return (number or None) if walk.described else number  # 0 is Go's unset


def _read_provider(walk: Walk, entity: Entity, at: str) -> Any:
    name = entity.pop("provider", None)
    name = entity.setdefault("name", name) if name else entity.get("name")
    walk.each("provider_key", entity.pop("keys", None), f"{at}.keys", provider=name)
    for noun in ("budget", "rate_limit"):
        made = f"provider-{name}-{noun.removeprefix('rate_')}"
        part = entity.pop(noun, None)
        if key := walk.mention(noun, part, f"{at}.{noun}", made=made):
            entity[f"{noun}_id"] = key
    walk.each("budget", entity.pop("budgets", None), f"{at}.budgets")
    values = walk.load(ProviderFileSchema, entity, at)
    number = values.pop("id", None)
    if walk.described and number:
        values["id"] = number
    return walk.take(Provider, name, values, at)


def _read_provider_key(
    walk: Walk, entity: Entity, at: str, provider: Any = None
) -> Any:
    key_id = entity.pop("id", None)
    if isinstance(key_id, str) and key_id:  # as config.json and /api/providers have it
        entity.setdefault("key_id", key_id)
    number = entity.pop("number", None) or key_id
    provider_id = entity.pop("provider_id", None)
    provider = entity.pop("provider", None) or provider
    if not isinstance(provider, str | None):
        walk.wrong(f"{at}.provider", "must be text")
        return None
    secrets = _makers_secrets(walk, entity, at)
    if walk.described:
        entity = {"name": "", "weight": 0.0, "models": [], **entity}
    values = walk.load(ProviderKeyFileSchema, entity, at) | secrets
    values.setdefault("models_json", NONE)
    values["provider"] = provider
    if walk.version == 1 and values["models_json"] == NONE:
        values["models_json"] = EVERY
    if isinstance(number, int) and number:
        values["id"] = number
    if not walk.described:
        _recorded_provider(walk, provider, provider_id, values, at)
    key = values.get("key_id") or values.get("name")
    walk.take(ProviderKey, key, values, at)
    return key


def _recorded_provider(
    walk: Walk, provider: str | None, provider_id: Any, values: Entity, at: str
) -> None:
    """Take the provider that an answer names at its key, with its number if shown."""
    numbered = {}
    if isinstance(provider_id, int):
        values["provider_id"] = provider_id
        numbered = {"id": provider_id} if provider_id else {}
    if provider:
        walk.take(Provider, provider, {"name": provider, **numbered}, at)


def _makers_secrets(walk: Walk, entity: Entity, at: str) -> Entity:
    """Take out what keys of some makers have beside their value, by column."""
    secrets: Entity = {}
    for maker, schema in MAKERS.items():
        prefix = f"{maker}_"
        place = f"{at}.{prefix}key_config"
        config = walk.object(entity.pop(f"{prefix}key_config", None), place)
        config = named(walk.batch, schema, config, place)
        loaded = walk.load(schema, config, place)
        secrets |= {f"{prefix}{name}": secret for name, secret in loaded.items()}
        for name in [name for name in entity if name.startswith(prefix)]:
            secret = entity.pop(name)
            if name.removeprefix(prefix) in schema._declared_fields:
                secrets[name] = _stated(secret)
    return secrets


def _stated(secret: Any) -> str:
    """Return the kept part of a secret that is there; it counts as set if empty."""
    try:
        return kept_secret(secret) or NOT_KEPT
    except ValidationError:
        return NOT_KEPT


def attached_keys(walk: Walk, entity: Entity, at: str) -> dict[str, Any]:
    """Take out by what a provider config names its keys, and whether it allows all."""
    lists = {name: entity.pop(name) for name in _KEY_LISTS if name in entity}
    filled = (name for name, listed in lists.items() if listed)
    named_by = next(filled, next(iter(lists), "keys"))
    place = f"{at}.{named_by}"
    if named_by not in lists and not walk.described:
        return {"provider_keys": None, "named_by": named_by}
    provider = entity.get("provider") if walk.described else None
    members = walk.members(lists.get(named_by), place)
    attached = (_attached(walk, each, where, provider) for _, each, where in members)
    keys = [key for key in attached if key is not None]
    if walk.described:
        every = keys == ["*"]
        keys = [] if every else keys
        _allow(walk, entity, every, bool(keys), "key_ids" in lists)
    return {"provider_keys": keys, "named_by": named_by}


def _allow(walk: Walk, entity: Entity, every: bool, some: bool, newer: bool) -> None:
    """Say whether all keys are allowed, as the gateways understand it that wrote so.

    To older ones none attached means all: that is left unsaid.
    """
    if every or (walk.version == 1 and not some):
        entity["allow_all_keys"] = True
    elif newer or walk.version == 2:
        entity.setdefault("allow_all_keys", False)


def _attached(walk: Walk, member: Any, at: str, provider: Any) -> Any:
    """Return the name or id of an attached provider key; read it, if it is whole."""
    if isinstance(member, dict) and not (
        walk.described and member.keys() <= {"id", "key_id", "name", "provider"}
    ):
        return walk.mention("provider_key", member, at, provider=provider)
    if not walk.described:
        walk.wrong(at, "must be an object")
        return None
    if isinstance(member, dict):
        known = (member.get(name) for name in ("key_id", "id", "name"))
        member = next((each for each in known if each), None)
        if type(member) is int:
            return member
    if not isinstance(member, str):
        walk.wrong(at, "must name a key by name or id")
        return None
    return member


def _read_mcp_client(walk: Walk, entity: Entity, at: str, number: Any = None) -> Any:
    if isinstance(entity.get("config"), dict):  # as /api/mcp/clients wraps it
        at = f"{at}.config"
        entity = named(walk.batch, McpClientFileSchema, entity["config"], at)
    client_id = entity.pop("id", None)
    if isinstance(client_id, str):
        entity.setdefault("client_id", client_id)
    numbers = (number, entity.pop("number", None), client_id)
    stdio, tls = entity.pop("stdio_config", None), entity.pop("tls_config", None)
    values = walk.load(McpClientFileSchema, entity, at)
    if stdio is not None:
        place = f"{at}.stdio_config"
        stdio = named(walk.batch, StdioFileSchema, walk.object(stdio, place), place)
        loaded = walk.load(StdioFileSchema, stdio, place)
        values["stdio_config_json"] = json_text(loaded)
    partly = _read_tls_config(walk, tls, values, f"{at}.tls_config")
    if number := next((n for n in numbers if isinstance(n, int) and n), None):
        values["id"] = number
    return walk.take(McpClient, values.get("name"), values, at, partly=partly)


def _read_tls_config(walk: Walk, tls: Any, values: Entity, at: str) -> tuple[str, ...]:
    """Put a client's TLS settings into its values; name the column that lacks some."""
    if tls is None:
        return ()
    config = named(walk.batch, TlsFileSchema, walk.object(tls, at), at)
    loaded = walk.load(TlsFileSchema, config, at)
    masked = is_masked(loaded.get("ca_cert_pem"))
    kept = {
        name: each
        for name, each in loaded.items()
        if each is not None and not (masked and name == "ca_cert_pem")
    }
    values["tls_config_json"] = json_text(kept)
    return ("tls_config_json",) if masked else ()


def _read_mcp_config(walk: Walk, entity: Entity, at: str, virtual_key: Entity) -> Any:
    number = number_of(walk, entity, at)
    client = entity.pop("mcp_client", None)
    by_name = entity.pop("mcp_client_name", None)
    by_id = entity.pop("mcp_client_id", None)
    if walk.described and isinstance(client, dict) and len(client) == 1:
        by_name = by_name or client.get("name") or client.get("client_id")
        client = None if by_name else client
    read = walk.mention("mcp_client", client, f"{at}.mcp_client", number=by_id)
    wanted = read or by_name or by_id
    named_by = "mcp_client_name" if by_name or by_id is None else "mcp_client_id"
    values = walk.load(McpConfigFileSchema, entity, at)
    values.setdefault("tools_to_execute", NONE)
    values |= {"id": number, "virtual_key_id": virtual_key.get("id")}
    if isinstance(by_id, int):
        values["mcp_client_id"] = by_id
    refers = {"mcp_client": wanted, "named_by": named_by}
    key = at if walk.described else number
    return walk.take(McpConfig, key, values, at, **refers)


PROVIDER_NOUNS = {
    "provider": Noun(ProviderFileSchema, _read_provider),
    "provider_key": Noun(ProviderKeyFileSchema, _read_provider_key),
    "mcp_client": Noun(McpClientFileSchema, _read_mcp_client),
    "mcp_config": Noun(McpConfigFileSchema, _read_mcp_config),
}
