"""A gateway's `config.json` as plain rows, each with its place in the file."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import peewee
from marshmallow import ValidationError

from file_schemas import ConfigFileSchema
from models import (
    Budget,
    Customer,
    McpClient,
    McpConfig,
    Provider,
    ProviderConfig,
    ProviderKey,
    RateLimit,
    Team,
    VirtualKey,
)

Model = type[peewee.Model]


@dataclass
class Item:
    """A row to be: the columns that its source speaks of, and where that is.

    `refers` holds what is no column: `budget_id` (older gateways), `provider_keys` and
    `mcp_client` by name or id.
    """

    place: str
    values: dict[str, Any]
    refers: dict[str, Any] = field(default_factory=dict)
    key: Any = None  # the row's primary key, once it is known


@dataclass
class Draft:
    """All that is to be loaded, and what was found wrong with it so far."""

    items: dict[Model, list[Item]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(
        self, model: Model, place: str, values: dict[str, Any], **refers: Any
    ) -> None:
        item = Item(place, values, refers)
        self.items.setdefault(model, []).append(item)

    def of(self, model: Model) -> list[Item]:
        return self.items.get(model, [])


def add_config(draft: Draft, config: Any, source: str) -> None:
    """Add a parsed `config.json` to the draft; `source` names it in places."""
    try:
        loaded: Any = ConfigFileSchema().load(config)
    except ValidationError as invalid:
        loaded = invalid.valid_data if isinstance(invalid.valid_data, dict) else {}
        problems = _problems(invalid.messages, "")
        draft.problems += [f"{source}: {problem}" for problem in problems]
    _add_providers(draft, loaded.get("providers", {}), f"{source}: providers")
    mcp = loaded.get("mcp", {}).get("client_configs", [])
    for place, client in _places(mcp, f"{source}: mcp.client_configs"):
        _add_mcp_client(draft, client, place)
    _add_governance(draft, loaded.get("governance", {}), f"{source}: governance")


def _add_governance(draft: Draft, governance: dict[str, Any], at: str) -> None:
    for place, budget in _places(governance.get("budgets", []), f"{at}.budgets"):
        draft.add(Budget, place, budget)
    for place, limit in _places(governance.get("rate_limits", []), f"{at}.rate_limits"):
        draft.add(RateLimit, place, limit)
    for place, customer in _places(governance.get("customers", []), f"{at}.customers"):
        _add_owner(draft, Customer, "customer_id", customer, place)
    for place, team in _places(governance.get("teams", []), f"{at}.teams"):
        for column in ("profile", "config", "claims"):
            if column in team:
                team[column] = _json(team[column])
        _add_owner(draft, Team, "team_id", team, place)
    keys = governance.get("virtual_keys", [])
    for place, virtual_key in _places(keys, f"{at}.virtual_keys"):
        _add_virtual_key(draft, virtual_key, place)


def _add_owner(
    draft: Draft, model: Model, column: str, owner: dict[str, Any], place: str
) -> None:
    """Add a customer, a team or a virtual key, and the budgets written inside it."""
    for at, budget in _places(owner.pop("budgets", []), f"{place}.budgets"):
        draft.add(Budget, at, {**budget, column: owner.get("id")})
    budget_id = owner.pop("budget_id", None)
    draft.add(model, place, owner, budget_id=budget_id)


def _add_virtual_key(draft: Draft, virtual_key: dict[str, Any], place: str) -> None:
    if value := virtual_key.get("value"):
        virtual_key["value_hash"] = hashlib.sha256(value.encode()).hexdigest()
    else:
        virtual_key.pop("value", None)
    configs = virtual_key.pop("provider_configs", [])
    for at, config in _places(configs, f"{place}.provider_configs"):
        _add_provider_config(draft, config, virtual_key.get("id"), at)
    for at, config in _places(
        virtual_key.pop("mcp_configs", []), f"{place}.mcp_configs"
    ):
        by_id = "mcp_client_name" not in config and "mcp_client_id" in config
        named_by = "mcp_client_id" if by_id else "mcp_client_name"
        row = {
            "virtual_key_id": virtual_key.get("id"),
            "tools_to_execute": _json(config.get("tools_to_execute", [])),
        }
        client = config.get(named_by)
        draft.add(McpConfig, at, row, mcp_client=client, named_by=named_by)
    _add_owner(draft, VirtualKey, "virtual_key_id", virtual_key, place)


_KEY_REFERENCES = ("allowed_keys", "key_ids", "keys")


def _add_provider_config(
    draft: Draft, config: dict[str, Any], virtual_key_id: Any, place: str
) -> None:
    row = {
        "virtual_key_id": virtual_key_id,
        "provider": config.get("provider"),
        "weight": config.get("weight"),
        "allowed_models": _json(config.get("allowed_models", [])),
        "blacklisted_models": _json(config.get("blacklisted_models", [])),
        "allow_all_keys": config.get("allow_all_keys"),
        "rate_limit_id": config.get("rate_limit_id"),
    }
    named_by = next((key for key in _KEY_REFERENCES if key in config), "keys")
    names: list[str] = config.get(named_by, [])
    if row["allow_all_keys"] is None and "key_ids" in config:
        row["allow_all_keys"] = names == [
            "*"
        ]  # newer gateways: none named, none allowed
    draft.add(
        ProviderConfig,
        place,
        row,
        provider_keys=[] if names == ["*"] else names,
        named_by=named_by,
        budget_id=config.get("budget_id"),
        budgets=list(_places(config.get("budgets", []), f"{place}.budgets")),
    )


def _add_providers(draft: Draft, providers: dict[str, Any], at: str) -> None:
    for name, provider in providers.items():
        draft.add(Provider, f"{at}.{name}", {"name": name})
        keys = (provider or {}).get("keys", [])
        for place, key in _places(keys, f"{at}.{name}.keys"):
            _add_provider_key(draft, name, key, place)


def _add_provider_key(
    draft: Draft, provider: str, key: dict[str, Any], place: str
) -> None:
    row = {"provider": provider, "models_json": _json(key.pop("models", []))}
    if key_id := key.pop("key_id", None) or key.get("id"):
        row["key_id"] = key_id
    key.pop("id", None)
    for prefix in ("azure", "vertex", "bedrock"):
        for name, secret in key.pop(f"{prefix}_key_config", {}).items():
            row[f"{prefix}_{name}"] = secret
    draft.add(ProviderKey, place, {**row, **key})


_CLIENT_JSON = (
    "stdio_config",
    "tls_config",
    "headers",
    "tools_to_execute",
    "tools_to_auto_execute",
    "tool_pricing",
    "per_user_header_keys",
)


def _add_mcp_client(draft: Draft, client: dict[str, Any], place: str) -> None:
    for name in _CLIENT_JSON:
        if name in client:
            client[f"{name}_json"] = _json(client.pop(name))
    draft.add(McpClient, place, client)


def _places(members: list[Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, member in enumerate(members or []):
        if isinstance(member, Mapping):
            yield f"{at}[{number}]", dict(member)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _problems(messages: Any, place: str) -> Iterator[str]:
    """marshmallow's nested messages as lines that begin with their place."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            # marshmallow's own levels: of a whole object, of a dict's values.
            if name == "_schema" or (name == "value" and isinstance(inner, Mapping)):
                where = place
            elif isinstance(name, int):
                where = f"{place}[{name}]"
            else:
                where = f"{place}.{name}" if place else str(name)
            yield from _problems(inner, where)
    else:
        for message in messages:
            yield f"{place or 'the file'}: {_WORDS.get(message, message)}"


_WORDS = {
    "Missing data for required field.": "is missing",
    "Invalid input type.": "must be an object",
    "Invalid type.": "must be of another kind",
    "Not a valid mapping type.": "must be an object",
}
