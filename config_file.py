"""A gateway's `config.json` as plain rows, each with its place in the file."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from marshmallow import Schema, ValidationError

from draft import Draft, Item, Model
from file_schemas import (
    BudgetFileSchema,
    ConnectionString,
    CustomerFileSchema,
    McpClientFileSchema,
    ProviderKeyFileSchema,
    RateLimitFileSchema,
    Secret,
    TeamFileSchema,
    VirtualKeyFileSchema,
)
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


def add_config(draft: Draft, config: Any, source: str) -> None:
    """Add a parsed `config.json` to the draft; `source` names it in places.

    The parsed file is used up on the way: a large one is never there twice.
    """
    if not isinstance(config, dict):
        draft.problems.append(f"{source}: the file must hold an object")
        return
    at = _At(draft, source)
    providers = at.object(config, "providers")
    for name in list(providers):
        provider = at.child("providers").object(providers, name)
        number = {"id": provider["number"]} if "number" in provider else {}
        place = at.child(f"providers.{name}").place
        draft.add(Provider, place, {"name": name, **number})
        for place, key in at.child(f"providers.{name}").members(
            provider, "keys", ProviderKeyFileSchema
        ):
            _add_provider_key(draft, name, key, place)
    clients = at.object(config, "mcp")
    for place, client in at.child("mcp").members(
        clients, "client_configs", McpClientFileSchema
    ):
        add_mcp_client(draft, client, place)
    _add_governance(draft, at.object(config, "governance"), at.child("governance"))


class _At:
    """A place in a file, for taking parts out of it and saying what is wrong there."""

    def __init__(self, draft: Draft, source: str, path: str = "") -> None:
        self.draft = draft
        self.source = source
        self.path = path

    @property
    def place(self) -> str:
        return f"{self.source}: {self.path}"

    def child(self, name: str) -> "_At":
        path = f"{self.path}.{name}" if self.path else name
        return _At(self.draft, self.source, path)

    def wrong(self, name: str, what: str) -> None:
        self.draft.problems.append(f"{self.child(name).place}: {what}")

    def object(self, holder: Any, name: str) -> dict[str, Any]:
        """The object of that name, taken out; empty where there is none."""
        value = holder.pop(name, None) if isinstance(holder, dict) else None
        if value is not None and not isinstance(value, dict):
            self.wrong(name, "must be an object")
        return value if isinstance(value, dict) else {}

    def members(
        self, holder: Any, name: str, schema: type[Schema]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The members of the array of that name, each loaded, with its place."""
        values = holder.pop(name, None) if isinstance(holder, dict) else None
        if values is None:
            return
        if not isinstance(values, list):
            self.wrong(name, "must be an array")
            return
        loader = schema()
        for number in range(len(values)):
            value, values[number] = values[number], None
            at = self.child(f"{name}[{number}]")
            yield at.place, load_member(self.draft, loader, value, at.place)


def load_member(draft: Draft, schema: Schema, value: Any, place: str) -> dict[str, Any]:
    """One thing of a file, loaded; what is wrong with it goes to the problems."""
    try:
        return dict(schema.load(value))
    except ValidationError as invalid:
        valid = invalid.valid_data if isinstance(invalid.valid_data, dict) else {}
        messages: dict[str, Any] = {
            str(name): each for name, each in invalid.messages_dict.items()
        }
        if draft.record and isinstance(value, Mapping):
            _take_as_it_is(draft, schema, value, valid, messages, place)
        draft.problems += _problems(messages, place)
        return dict(valid)


def _take_as_it_is(
    draft: Draft,
    schema: Schema,
    value: Mapping[str, Any],
    valid: dict[str, Any],
    messages: dict[str, Any],
    place: str,
) -> None:
    """Take what breaks a rule but can be stored out of the messages, with a note."""
    for name in [name for name in messages if name != "id" and name in value]:
        if isinstance(schema.fields.get(name), Secret | ConnectionString):
            messages.pop(name)  # whatever it is, it is not kept
        elif isinstance(value[name], str | int | float):
            draft.notes += _problems({name: messages.pop(name)}, place)
            valid[name] = value[name]
    for name in [name for name in messages if name not in ("id", "_schema")]:
        if value.get(name) is None:
            draft.notes += _problems({name: messages.pop(name)}, place)


def _add_governance(draft: Draft, governance: dict[str, Any], at: _At) -> None:
    for place, budget in at.members(governance, "budgets", BudgetFileSchema):
        draft.add(Budget, place, budget)
    for place, limit in at.members(governance, "rate_limits", RateLimitFileSchema):
        draft.add(RateLimit, place, limit)
    for place, customer in at.members(governance, "customers", CustomerFileSchema):
        _add_owner(draft, Customer, "customer_id", customer, place)
    for place, team in at.members(governance, "teams", TeamFileSchema):
        _add_owner(draft, Team, "team_id", with_json_texts(team), place)
    for place, virtual_key in at.members(
        governance, "virtual_keys", VirtualKeyFileSchema
    ):
        _add_virtual_key(draft, virtual_key, place)


def with_json_texts(team: dict[str, Any]) -> dict[str, Any]:
    """A team with its JSON columns as text, as they are stored."""
    for column in ("profile", "config", "claims"):
        if column in team:
            team[column] = json_text(team[column])
    return team


def _add_owner(
    draft: Draft, model: Model, column: str, owner: dict[str, Any], place: str
) -> None:
    """Add a customer, a team or a virtual key, and the budgets written inside it."""
    for at, budget in _places(owner.pop("budgets", []), f"{place}.budgets"):
        draft.add(Budget, at, {**budget, column: owner.get("id")})
    draft.add(model, place, owner)


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
            "tools_to_execute": json_text(config.get("tools_to_execute", [])),
        }
        client = config.get(named_by)
        item = draft.add(McpConfig, at, row, mcp_client=client, named_by=named_by)
        _keep_number(item, config)
    _add_owner(draft, VirtualKey, "virtual_key_id", virtual_key, place)


_KEY_REFERENCES = ("allowed_keys", "key_ids", "keys")


def _add_provider_config(
    draft: Draft, config: dict[str, Any], virtual_key_id: Any, place: str
) -> None:
    row = {
        "virtual_key_id": virtual_key_id,
        "provider": config.get("provider"),
        "weight": config.get("weight"),
        "allowed_models": json_text(config.get("allowed_models", [])),
        "blacklisted_models": json_text(config.get("blacklisted_models", [])),
        "allow_all_keys": config.get("allow_all_keys"),
        "budget_id": config.get("budget_id"),
        "rate_limit_id": config.get("rate_limit_id"),
    }
    named_by = next((key for key in _KEY_REFERENCES if key in config), "keys")
    names: list[str] = config.get(named_by, [])
    if row["allow_all_keys"] is None and "key_ids" in config:
        # Newer gateways: where none is named, none is allowed.
        row["allow_all_keys"] = names == ["*"]
    item = draft.add(
        ProviderConfig,
        place,
        row,
        provider_keys=[] if names == ["*"] else names,
        named_by=named_by,
        budgets=list(_places(config.get("budgets", []), f"{place}.budgets")),
    )
    _keep_number(item, config)


def _add_provider_key(
    draft: Draft, provider: str, key: dict[str, Any], place: str
) -> None:
    row = {"provider": provider, "models_json": json_text(key.pop("models", []))}
    if key_id := key.pop("key_id", None) or key.get("id"):
        row["key_id"] = key_id
    key.pop("id", None)
    for prefix in ("azure", "vertex", "bedrock"):
        for name, secret in key.pop(f"{prefix}_key_config", {}).items():
            row[f"{prefix}_{name}"] = secret
    _keep_number(draft.add(ProviderKey, place, {**row, **key}), key)


_CLIENT_JSON = (
    "stdio_config",
    "tls_config",
    "headers",
    "tools_to_execute",
    "tools_to_auto_execute",
    "tool_pricing",
    "per_user_header_keys",
)


def add_mcp_client(draft: Draft, client: dict[str, Any], place: str) -> None:
    """Add an MCP client that was loaded by its schema."""
    for name in _CLIENT_JSON:
        if name in client:
            client[f"{name}_json"] = json_text(client.pop(name))
    _keep_number(draft.add(McpClient, place, client), client)


def _keep_number(item: Item, source: dict[str, Any]) -> None:
    """What we exported tells its numbers by this name; gateways pass it over."""
    if "number" in source:
        item.values["id"] = source["number"]


def _places(members: list[Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, member in enumerate(members or []):
        if isinstance(member, Mapping):
            yield f"{at}[{number}]", dict(member)


def json_text(value: Any) -> str:
    """A value as a JSON column stores it."""
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
                where = f"{place}.{name}"
            yield from _problems(inner, where)
    else:
        for message in messages:
            yield f"{place}: {_WORDS.get(message, message)}"


_WORDS = {
    "Missing data for required field.": "is missing",
    "Invalid input type.": "must be an object",
    "Invalid type.": "must be of another kind",
    "Not a valid mapping type.": "must be an object",
}
