"""What a gateway answered (or we did), as plain rows.

Lists of teams, customers, virtual keys, budgets, rate limits, providers and MCP
clients; one entity may stand in many places.

The fullest version of an entity wins: what one place leaves empty another may say. Two
places that say different things contradict each other, except on what changes by
itself (usage, resets): there the later one counts.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from marshmallow import Schema, ValidationError

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
    BUDGET_OWNERS,
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
        document[name] is None or isinstance(document[name], list | dict)
        for name in (*LISTS, *LISTS.values())
        if name in document
        and not (name == "providers" and isinstance(document[name], dict))
    )


@dataclass
class Seen:
    """What is known of one entity, and where it was first met."""

    place: str
    values: dict[str, Any]
    hints: dict[str, Any]  # what counts where no place says more
    fullness: int  # how much the fullest place says
    refers: dict[str, Any] = field(default_factory=dict)


class Harvest:
    """Collects entities out of answers, then puts them into a draft."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.seen: dict[tuple[Model, Any], Seen] = {}
        self.told: set[str] = set()  # the nouns of which there was a list
        self.owners: dict[Any, set[tuple[str, Any]]] = {}  # of budgets
        self.of_several: set[Any] = set()  # budgets that name several owners themselves

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
        self._unlink_shared_budgets()
        for (model, _), seen in self.seen.items():
            values = seen.hints | seen.values
            if model is McpClient:
                add_mcp_client(self.draft, values, seen.place)
                continue
            item = self.draft.add(model, seen.place, values)
            item.refers |= seen.refers

    def _unlink_shared_budgets(self) -> None:
        """A budget of several owners is named by each, as older gateways have it."""
        for budget_id, owners in self.owners.items():
            shared = len(owners) > 1 and budget_id not in self.of_several
            if shared and (Budget, budget_id) in self.seen:
                for name in BUDGET_OWNERS:
                    self.seen[Budget, budget_id].values.pop(name, None)
                for name, owner in owners:
                    if (BUDGET_OWNERS[name], owner) in self.seen:
                        values = self.seen[BUDGET_OWNERS[name], owner].values
                        values.setdefault("budget_id", budget_id)

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
        for name in ("id", "mcp_client_id"):
            if isinstance(entity.get(name), list | dict | bool | float):
                self.draft.problems.append(f"{at}.{name}: must be text or a number")
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
        named = {name: values.pop(name) for name in BUDGET_OWNERS if name in values}
        if len(named) > 1:
            self.of_several.add(values.get("id"))
        owners = self.owners.setdefault(values.get("id"), set())
        owners |= {(name, key) for name, key in (named or owner).items() if key}
        key = self._see(Budget, values.get("id"), values, at)
        if key is not None:
            for name, owner_id in named.items() or owner.items():
                self.seen[Budget, key].values.setdefault(name, owner_id)
        return key

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
        value = values.pop("value", None)
        if isinstance(value, str) and not _is_masked(value):
            values["value"] = value
            values["value_hash"] = hashlib.sha256(value.encode()).hexdigest()
        return self._see(VirtualKey, key_id, values, at, keeps=keeps)

    def _provider_config(self, entity: dict[str, Any], at: str, **owner: Any) -> Any:
        number = entity.get("id")
        self._limits(entity, at, {"provider_config_id": number})
        keys = self._keys(entity.pop("keys", None), f"{at}.keys")
        values = (
            self._load(ProviderConfigFileSchema, entity, at) | owner | {"id": number}
        )
        for name in ("allowed_models", "blacklisted_models"):
            if name in values:
                values[name] = json_text(values[name])
        refers = {"provider_keys": keys, "budgets": [], "named_by": "keys"}
        return self._see(ProviderConfig, number, values, at, **refers)

    def _keys(self, listed: Any, at: str) -> list[Any] | None:
        """What the provider keys of a provider config are known by; None is unsaid."""
        if listed is not None and not isinstance(listed, list):
            self.draft.problems.append(f"{at}: must be an array")
        if not isinstance(listed, list):
            return None
        return [
            self._one("provider_key", key, f"{at}[{position}]")
            for position, key in enumerate(listed)
        ]

    def _provider_key(self, entity: dict[str, Any], at: str, **owner: Any) -> Any:
        number, provider_id = entity.pop("id", None), entity.get("provider_id")
        if isinstance(number, str):  # as /api/providers has it
            entity.setdefault("key_id", number)
        for family in ("azure", "vertex", "bedrock"):
            flat = {
                name.removeprefix(f"{family}_"): _kept(entity[name])
                for name in list(entity)
                if name.startswith(f"{family}_")
                and not name.endswith("_key_config")
                and entity[name] is not None
            }
            if flat:
                entity[f"{family}_key_config"] = flat
        values = self._load(ProviderKeyFileSchema, entity, at)
        for family in ("azure", "vertex", "bedrock"):
            for name, secret in values.pop(f"{family}_key_config", {}).items():
                values[f"{family}_{name}"] = secret
        provider = entity.get("provider") or owner.get("provider")
        if not isinstance(provider, str | None):
            self.draft.problems.append(f"{at}.provider: must be text")
            return None
        values |= {
            "provider": provider,
            "models_json": json_text(values.pop("models", [])),
        }
        if isinstance(number, int):
            values["id"] = number
        if provider:
            self._see(Provider, provider, {"name": provider}, at)
        if isinstance(provider_id, int):
            values["provider_id"] = provider_id
            if provider and provider_id:
                self.seen[Provider, provider].values.setdefault("id", provider_id)
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
        name = client or entity.get("mcp_client_name") or number
        refers = {"mcp_client": name, "named_by": "mcp_client_id"}
        return self._see(McpConfig, values["id"], values, at, **refers)

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
        return load_member(self.draft, _loader(schema), entity, at)

    def _see(
        self, model: Model, key: Any, values: dict[str, Any], at: str, **refers: Any
    ) -> Any:
        """Take in one version of an entity."""
        if key is None:
            return None
        told = {n: v for n, v in values.items() if not _says_little(model, n, v)}
        hints = {n: v for n, v in values.items() if n not in told}
        seen = self.seen.get((model, key))
        if seen is None:
            self.seen[model, key] = Seen(at, told, hints, len(told), refers)
            return key
        fuller = len(told) > seen.fullness
        seen.fullness = max(seen.fullness, len(told))
        seen.hints = seen.hints | hints if fuller else hints | seen.hints
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
        elif refers.get("provider_keys") is not None:
            known = seen.refers["provider_keys"]
            if not known:
                seen.refers |= refers
            elif refers["provider_keys"] and set(known) != set(refers["provider_keys"]):
                what = f"contradicts what {seen.place} says of the same thing"
                self.draft.problems.append(f"{at}.keys: {what}")
        return key


@cache
def _loader(schema: type[Schema]) -> Schema:
    return schema()


def _says_little(model: Model, name: str, value: Any) -> bool:
    if value in (None, "", UNSET_TIME):
        return True
    if model not in OFTEN_CUT:
        return False
    return name == "enabled" or value in (0, False, "[]", [], {})


def _moment(values: dict[str, Any]) -> tuple[list[str], list[float]]:
    """How recent a version is; usage grows until it is reset."""
    times = [str(values.get(name, "")) for name in VOLATILE if "usage" not in name]
    usage = [values.get(name, 0) for name in VOLATILE if "usage" in name]
    return times, [each if isinstance(each, int | float) else 0 for each in usage]


def _kept(secret: Any) -> str:
    """What is kept of a field that is there: an EnvValue without a word is set, too."""
    try:
        return kept_secret(secret) or NOT_KEPT
    except ValidationError:
        return NOT_KEPT


def _is_masked(value: str) -> bool:
    return not value or "*" * 24 in value or set(value) == {"*"}
