"""What a gateway answered (or we did), as plain rows.

Lists of teams, customers, virtual keys, budgets, rate limits, providers and MCP
clients; one entity may stand in many places.

The fullest version of an entity wins: what one place leaves empty another may say. Two
places that say different things contradict each other, except on what changes by
itself (usage, resets): there the later one counts.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema

from config_file import add_mcp_client, json_text, load_member, with_json_texts
from draft import Draft, Model
from file_schemas import (
    NOT_KEPT,
    BudgetFileSchema,
    CustomerFileSchema,
    McpClientFileSchema,
    ProviderConfigFileSchema,
    ProviderKeyFileSchema,
    RateLimitFileSchema,
    TeamFileSchema,
    VirtualKeyFileSchema,
    kept_secret,
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

LISTS = {
    "customers": "customer",
    "teams": "team",
    "virtual_keys": "virtual_key",
    "budgets": "budget",
    "rate_limits": "rate_limit",
    "providers": "provider",
    "mcp_clients": "mcp_client",
    "clients": "mcp_client",
}
VOLATILE = (
    "updated_at",
    "last_reset",
    "current_usage",
    "token_last_reset",
    "token_current_usage",
    "request_last_reset",
    "request_current_usage",
)
UNSET_TIME = "0001-01-01 00:00:00+00:00"
# Gateways cut these down where they stand in others: no, 0 and empty then say nothing.
OFTEN_CUT = (ProviderKey, McpClient)


def is_captured(document: Any) -> bool:
    """Whether a parsed file looks like what a gateway answered."""
    return isinstance(document, dict) and any(
        isinstance(document.get(name), list | dict)
        and not (name == "providers" and isinstance(document[name], dict))
        for name in (*LISTS, *LISTS.values())
    )


@dataclass
class Seen:
    """What is known of one entity, and where it was first met."""

    place: str
    values: dict[str, Any]
    hints: dict[str, Any]  # what counts where no place says more
    refers: dict[str, Any] = field(default_factory=dict)


class Harvest:
    """Collects entities out of answers, then puts them into a draft."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.seen: dict[tuple[Model, Any], Seen] = {}
        self.told: set[str] = set()  # the nouns of which there was a list

    def add(self, document: dict[str, Any], source: str) -> None:
        """Take all entities out of one answer, which is used up on the way."""
        for name, noun in LISTS.items():
            listed = document.pop(name, None)
            if listed is not None:
                self.told.add(noun)
            if isinstance(listed, dict):
                listed = list(listed.values())  # an object keyed by id
            self._each(noun, listed, f"{source}: {name}")
            self._one(noun, document.pop(noun, None), f"{source}: {noun}")

    def finish(self) -> None:
        """Put what was collected into the draft."""
        for (model, _), seen in self.seen.items():
            values = seen.hints | seen.values
            if model is McpClient:
                add_mcp_client(self.draft, values, seen.place)
                continue
            item = self.draft.add(model, seen.place, values)
            item.refers |= seen.refers

    def _each(self, noun: str, listed: Any, at: str, **owner: Any) -> None:
        """The members of a list, if it is one: null says nothing."""
        if listed is None:
            return
        if not isinstance(listed, list):
            self.draft.problems.append(f"{at}: must be an array or an object")
            return
        for number in range(len(listed)):
            member, listed[number] = listed[number], None
            self._one(noun, member, f"{at}[{number}]", **owner)

    def _one(self, noun: str, entity: Any, at: str, **owner: Any) -> Any:
        """One entity, if it is there and not cut down to {}; its key."""
        if not entity:
            return None
        if not isinstance(entity, dict):
            self.draft.problems.append(f"{at}: must be an object")
            return None
        return getattr(self, f"_{noun}")(entity, at, **owner)

    def _customer(self, entity: dict[str, Any], at: str) -> Any:
        return self._owner(Customer, CustomerFileSchema, entity, at, "customer_id")

    def _team(self, entity: dict[str, Any], at: str, **owner: Any) -> Any:
        self._one("customer", entity.pop("customer", None), f"{at}.customer")
        entity = {**owner, **entity}
        return self._owner(Team, TeamFileSchema, entity, at, "team_id")

    def _owner(
        self,
        model: Model,
        schema: type[Schema],
        entity: dict[str, Any],
        at: str,
        by: str,
    ) -> Any:
        """A customer or a team, with all that hangs on it."""
        me = {by: entity.get("id")}
        self._limits(entity, at, me)
        teams = entity.pop("teams", None)
        self._each("team", teams, f"{at}.teams", **me)
        keys = entity.pop("virtual_keys", None)
        self._each("virtual_key", keys, f"{at}.virtual_keys", **me)
        values = with_json_texts(self._load(schema, entity, at))
        return self._see(model, values.get("id"), values, at)

    def _limits(self, entity: dict[str, Any], at: str, owner: dict[str, Any]) -> None:
        budget = entity.pop("budget", None)
        self._one("budget", budget, f"{at}.budget", **owner)
        self._each("budget", entity.pop("budgets", None), f"{at}.budgets", **owner)
        rate_limit = entity.pop("rate_limit", None)
        self._one("rate_limit", rate_limit, f"{at}.rate_limit")

    def _budget(self, entity: dict[str, Any], at: str, **owner: Any) -> Any:
        number = entity.get("provider_config_id")
        values = self._load(BudgetFileSchema, entity, at)
        if isinstance(number, int):
            values["provider_config_id"] = number
        seen = self.seen.get((Budget, values.get("id")))
        owned = seen is not None and any(name in seen.values for name in _OWNERS)
        if not owned and not any(name in values for name in _OWNERS):
            values |= owner  # a shared one stays the first owner's
        return self._see(Budget, values.get("id"), values, at)

    def _rate_limit(self, entity: dict[str, Any], at: str) -> Any:
        values = self._load(RateLimitFileSchema, entity, at)
        return self._see(RateLimit, values.get("id"), values, at)

    def _virtual_key(self, entity: dict[str, Any], at: str, **owner: Any) -> Any:
        self._one("team", entity.pop("team", None), f"{at}.team")
        self._one("customer", entity.pop("customer", None), f"{at}.customer")
        key_id = entity.get("id")
        self._limits(entity, at, {"virtual_key_id": key_id})
        keeps = []
        for noun, model in (
            ("provider_config", ProviderConfig),
            ("mcp_config", McpConfig),
        ):
            configs = entity.pop(f"{noun}s", None)
            self._each(noun, configs, f"{at}.{noun}s", virtual_key_id=key_id)
            if configs is None:
                keeps.append(model)
        values = self._load(VirtualKeyFileSchema, {**owner, **entity}, at)
        if _is_masked(values.get("value")):
            values.pop("value", None)
        else:
            hashed = hashlib.sha256(values["value"].encode())
            values["value_hash"] = hashed.hexdigest()
        return self._see(VirtualKey, key_id, values, at, keeps=keeps)

    def _provider_config(self, entity: dict[str, Any], at: str, **owner: Any) -> Any:
        number = entity.get("id")
        self._limits(entity, at, {"provider_config_id": number})
        keys = [
            self._one("provider_key", key, f"{at}.keys[{position}]")
            for position, key in enumerate(entity.pop("keys", None) or [])
        ]
        values = (
            self._load(ProviderConfigFileSchema, entity, at) | owner | {"id": number}
        )
        for name in ("allowed_models", "blacklisted_models"):
            if name in values:
                values[name] = json_text(values[name])
        refers = {"provider_keys": keys, "budgets": [], "named_by": "keys"}
        return self._see(ProviderConfig, number, values, at, **refers)

    def _provider_key(self, entity: dict[str, Any], at: str, **owner: Any) -> Any:
        number, provider_id = entity.pop("id", None), entity.get("provider_id")
        if isinstance(number, str):  # as /api/providers has it
            entity.setdefault("key_id", number)
        for family in ("azure", "vertex", "bedrock"):
            flat = {
                name.removeprefix(f"{family}_"): kept_secret(entity[name]) or NOT_KEPT
                for name in list(entity)
                if name.startswith(f"{family}_")
                and not name.endswith("_key_config")
                and entity[name] is not None  # an EnvValue without a word is set, too
            }
            if flat:
                entity[f"{family}_key_config"] = flat
        values = self._load(ProviderKeyFileSchema, entity, at)
        for family in ("azure", "vertex", "bedrock"):
            for name, secret in values.pop(f"{family}_key_config", {}).items():
                values[f"{family}_{name}"] = secret
        provider = entity.get("provider") or owner.get("provider")
        values |= {
            "provider": provider,
            "models_json": json_text(values.pop("models", [])),
        }
        if isinstance(number, int):
            values["id"] = number
        self._see(Provider, provider, {"name": provider}, at)
        if provider_id and provider:
            self.seen[Provider, provider].values.setdefault("id", provider_id)
            values["provider_id"] = provider_id
        key = values.get("key_id") or values.get("name")
        self._see(ProviderKey, key, values, at)
        return key

    def _provider(self, entity: dict[str, Any], at: str) -> None:
        name = entity.get("name")
        self._see(Provider, name, {"name": name}, at)
        self._each("provider_key", entity.get("keys"), f"{at}.keys", provider=name)

    def _mcp_config(self, entity: dict[str, Any], at: str, **owner: Any) -> Any:
        number = entity.get("mcp_client_id")
        client = self._one("mcp_client", entity.get("mcp_client"), f"{at}.mcp_client")
        if client is not None and isinstance(number, int):
            self.seen[McpClient, client].values["id"] = number
        values = {
            "id": entity.get("id"),
            "mcp_client_id": number,
            "tools_to_execute": json_text(entity.get("tools_to_execute") or []),
        } | owner
        refers = {"mcp_client": client or entity.get("mcp_client_name") or number}
        named = {"named_by": "mcp_client_id"}
        return self._see(McpConfig, values["id"], values, at, **refers, **named)

    def _mcp_client(self, entity: dict[str, Any], at: str) -> Any:
        if isinstance(entity.get("config"), dict):
            entity = entity["config"]  # as /api/mcp/clients wraps it
        if isinstance(entity.get("id"), str):
            entity.setdefault("client_id", entity["id"])
        values = self._load(McpClientFileSchema, entity, at)
        name = values.get("name")
        self._see(McpClient, name, values, at)
        return name

    def _load(self, schema: type[Schema], entity: Any, at: str) -> dict[str, Any]:
        return load_member(self.draft, schema(), entity, at)

    def _see(
        self, model: Model, key: Any, values: dict[str, Any], at: str, **refers: Any
    ) -> Any:
        """Take in one version of an entity."""
        if key is None:
            return None
        told = {n: v for n, v in values.items() if not _says_little(model, v)}
        hints = {n: v for n, v in values.items() if n not in told}
        seen = self.seen.get((model, key))
        if seen is None:
            self.seen[model, key] = Seen(at, told, hints, refers)
            return key
        seen.hints |= {n: v for n, v in hints.items() if v is not None}
        later = _moment(told) > _moment(seen.values)
        for name, value in told.items():
            if name in VOLATILE and name in seen.values:
                if later:
                    seen.values[name] = value
            elif seen.values.setdefault(name, value) != value:
                what = f"contradicts what {seen.place} says of the same thing"
                self.draft.problems.append(f"{at}.{name}: {what}")
        if "keeps" in refers:
            both = set(seen.refers["keeps"]) & set(refers["keeps"])
            seen.refers["keeps"] = list(both)
        elif "provider_keys" in refers and not seen.refers["provider_keys"]:
            seen.refers |= refers
        return key


_OWNERS = ("team_id", "customer_id", "virtual_key_id", "provider_config_id")


def _says_little(model: Model, value: Any) -> bool:
    if value in (None, "", UNSET_TIME):
        return True
    return model in OFTEN_CUT and value in (0, False, "[]", [], {})


def _moment(values: dict[str, Any]) -> list[str]:
    """How recent a version is; usage grows until it is reset."""
    return [str(values.get(name, "")) for name in VOLATILE]


def _is_masked(value: str | None) -> bool:
    return not value or "*" * 24 in value or set(value) == {"*"}
