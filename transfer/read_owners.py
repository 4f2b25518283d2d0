"""Make rows of files' customers, teams, virtual keys and what limits them.

What stands within another thing belongs to it.
"""

import os
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from fields import is_masked, source_of, text_of
from models import (
    SHOWN_OWNERS,
    Budget,
    Customer,
    McpConfig,
    Model,
    ModelConfig,
    ProviderConfig,
    RateLimit,
    Team,
    VirtualKey,
)
from store.relations import ALL_MODELS, VIRTUAL_KEY
from transfer.config_schemas import (
    BudgetFileSchema,
    CustomerFileSchema,
    FileSchema,
    ModelBudgetFileSchema,
    ModelConfigFileSchema,
    ProviderConfigFileSchema,
    RateLimitFileSchema,
    TeamFileSchema,
    VirtualKeyFileSchema,
)
from transfer.read_providers import (
    EVERY,
    NONE,
    PROVIDER_NOUNS,
    attached_keys,
    number_of,
)
from transfer.walk import Entity, Noun, Owner, Walk, made_id
from values import VALUE_PREFIX, value_hash

OF_MODEL_CONFIG = "model_config_id"


def _read_customer(walk: Walk, entity: Entity, at: str) -> Any:
    return _read_holder(walk, Customer, CustomerFileSchema, entity, at, "customer_id")


def _read_team(walk: Walk, entity: Entity, at: str, **holder: Any) -> Any:
    _belong(entity, **holder)
    _read_parent(walk, "customer", entity, at)
    return _read_holder(walk, Team, TeamFileSchema, entity, at, "team_id")


def _read_holder(
    walk: Walk,
    model: Model,
    schema: type[FileSchema],
    entity: Entity,
    at: str,
    column: str,
) -> Any:
    """Read a customer or a team, with all that hangs on it."""
    made = walk.identify(model, entity)
    owner = Owner(column, entity.get("id"))
    _read_limits(walk, entity, at, owner)
    for noun in ("team", "virtual_key"):
        listed = entity.pop(f"{noun}s", None)
        walk.each(noun, listed, f"{at}.{noun}s", **{column: owner.key})
    values = walk.load(schema, entity, at)
    return walk.take(model, values.get("id"), values, at, **made)


def _belong(entity: Entity, **holder: Any) -> None:
    """Let a thing belong to what it stands in, or holds, unless it says whose it is."""
    for name, key in holder.items():
        if key is not None:
            entity.setdefault(name, key)


def _read_parent(walk: Walk, noun: str, entity: Entity, at: str) -> None:
    """Read the customer or the team that a thing holds in a member of its own."""
    key = walk.mention(noun, entity.pop(noun, None), f"{at}.{noun}")
    _belong(entity, **{f"{noun}_id": key})


def _read_limits(
    walk: Walk,
    entity: Entity,
    at: str,
    owner: Owner,
    base: Any = None,
    aligned: Entity | None = None,
) -> None:
    """Read the budgets and the rate limit within a thing.

    `base`, or the owner's id, begins the ids of those that have none. `aligned` is what
    is aligned if the rate limit is, unless it is the thing itself.
    """
    base = base or owner.key
    budget, budgets = entity.pop("budget", None), entity.pop("budgets", None)
    made = f"{base}-budget"
    walk.mention("budget", budget, f"{at}.budget", owner=owner, made=made)
    for number, member, place in walk.members(budgets, f"{at}.budgets"):
        made = f"{base}-budget-{number + 1}" if number else f"{base}-budget"
        walk.one("budget", member, place, owner=owner, made=made)
    limit, made = entity.pop("rate_limit", None), f"{base}-limit"
    key = walk.mention("rate_limit", limit, f"{at}.rate_limit", made=made)
    _belong(entity, rate_limit_id=key)
    if isinstance(limit, dict) and limit.get("calendar_aligned") is True:
        aligned = entity if aligned is None else aligned
        aligned["calendar_aligned"] = True  # as older files say it


def _read_budget(
    walk: Walk, entity: Entity, at: str, owner: Owner | None = None, made: str = ""
) -> Any:
    if made and walk.described and not entity.get("id"):
        entity["id"] = made
    values = walk.load(BudgetFileSchema, entity, at)
    if owner and owner.column == OF_MODEL_CONFIG:
        # Our own answers name the key that it governs.
        values = {n: each for n, each in values.items() if n not in SHOWN_OWNERS}
    elif owner and walk.described:
        # Its number is that of the gateway that answered so.
        values.pop("provider_config_id", None)
    return walk.take(Budget, values.get("id"), values, at, owner=owner)


def _read_rate_limit(walk: Walk, entity: Entity, at: str, made: str = "") -> Any:
    if made and walk.described and not entity.get("id"):
        entity["id"] = made
    values = walk.load(RateLimitFileSchema, entity, at)
    values.pop("calendar_aligned", None)
    return walk.take(RateLimit, values.get("id"), values, at)


def _read_virtual_key(walk: Walk, entity: Entity, at: str, **holder: Any) -> Any:
    made = walk.identify(VirtualKey, entity)
    _belong(entity, **holder)
    _read_parent(walk, "team", entity, at)
    _read_parent(walk, "customer", entity, at)
    key, value = entity.get("id"), entity.pop("value", None)
    value = _described_value(walk, value, at) if walk.described else _recorded(value)
    if value is None:
        walk.batch.left_out.add(key)
        return None
    _read_limits(walk, entity, at, Owner("virtual_key_id", key, _scope(key)))
    _read_model_budgets(walk, entity, at, _scope(key), key)
    keeps = [
        model
        for noun, model in _CONFIGS.items()
        if not _read_configs(walk, noun, entity, at)
    ]
    values = walk.load(VirtualKeyFileSchema, entity, at)
    if value:
        values |= {"value": value, "value_hash": value_hash(value)}
    if walk.described:
        return walk.take(VirtualKey, key, values, at, **made)
    return walk.take(VirtualKey, key, values, at, keeps=keeps)


def _described_value(walk: Walk, secret: Any, at: str) -> str | None:
    """Return a virtual key's value, read from the environment if it says so.

    It is "" where the key is to get one of its own, None where it cannot be known.
    """
    if secret is None:
        return ""
    if found := source_of(secret):
        text = os.environ.get(found.removeprefix("env.").strip(), "")
        if not text or not found.startswith("env."):
            why = "is not set" if found.startswith("env.") else "is not read here"
            what = f"{at}.value: {found} {why}; the virtual key is left out"
            walk.batch.passed_over.append(what)
            return None
    else:
        try:
            text = text_of(secret)
        except ValidationError:
            walk.wrong(f"{at}.value", "must be text")
            return ""
    if text and not text.startswith(VALUE_PREFIX):
        what = f"does not begin with {VALUE_PREFIX}, as virtual keys' values do"
        walk.batch.passed_over.append(
            f"{at}.value: {what}; the key gets one of its own"
        )
        return ""
    return text


def _recorded(secret: Any) -> str:
    """Return a virtual key's value if an answer shows it, "" otherwise."""
    text = secret.get("value") if isinstance(secret, Mapping) else secret
    if not isinstance(text, str) or is_masked(text) or source_of(text):
        return ""
    return text


_CONFIGS: dict[str, Model] = {
    "provider_config": ProviderConfig,
    "mcp_config": McpConfig,
}


def _read_configs(walk: Walk, noun: str, entity: Entity, at: str) -> bool:
    """Read a virtual key's configs of a kind; return whether it speaks of them."""
    listed = entity.pop(f"{noun}s", None)
    if walk.version == 1 and not listed:
        listed = _all_allowed(walk, noun)
    for _, member, place in walk.members(listed, f"{at}.{noun}s"):
        walk.one(noun, member, place, virtual_key=entity)
    return listed is not None


def _all_allowed(walk: Walk, noun: str) -> list[Entity]:
    """Return the configs that a key has where version 1 says that it has none."""
    if noun == "mcp_config":
        every = {"tools_to_execute": ["*"]}
        return [{"mcp_client_name": name, **every} for name in walk.clients]
    every = {"allowed_models": ["*"]}
    return [{"provider": name, **every} for name in sorted(walk.providers)]


def _read_provider_config(
    walk: Walk, entity: Entity, at: str, virtual_key: Entity
) -> Any:
    number = number_of(walk, entity, at)
    provider, virtual_key_id = entity.get("provider"), virtual_key.get("id")
    scope = _scope(virtual_key_id, provider)
    key, base = at if walk.described else number, f"{virtual_key_id}-{provider}"
    owner = Owner("provider_config_id", key, scope)
    _read_limits(walk, entity, at, owner, base, aligned=virtual_key)
    _read_model_budgets(walk, entity, at, scope, base)
    attached = attached_keys(walk, entity, at)
    values = walk.load(ProviderConfigFileSchema, entity, at)
    if walk.described:
        values.setdefault("allowed_models", NONE)
        values.setdefault("blacklisted_models", NONE)
    if walk.version == 1 and values["allowed_models"] == NONE:
        values["allowed_models"] = EVERY
    values |= {"virtual_key_id": virtual_key_id, "id": number}
    return walk.take(ProviderConfig, key, values, at, **attached)


def _scope(virtual_key_id: Any, provider: Any = None) -> dict[str, Any]:
    """Return the scope of a model config that governs a key or a provider config."""
    return {
        "scope": VIRTUAL_KEY,
        "scope_id": virtual_key_id,
        "provider": provider,
        "model_name": ALL_MODELS,
    }


def _read_model_budgets(
    walk: Walk, entity: Entity, at: str, scope: dict[str, Any], base: Any
) -> None:
    listed = entity.pop("model_budgets", None)
    for number, member, place in walk.members(listed, f"{at}.model_budgets"):
        made = f"{base}-model-{number + 1:04}"  # ids that sort as the list does
        walk.one("model_budget", member, place, scope=scope, made=made)


def _read_model_budget(
    walk: Walk, entity: Entity, at: str, scope: dict[str, Any], made: str
) -> Any:
    """Read what one model may spend: a model config that says so only in answers."""
    budgets = entity.get("budgets")
    first = budgets[0] if isinstance(budgets, list) and budgets else None
    named = first.get(OF_MODEL_CONFIG) if isinstance(first, dict) else None
    key = named or made
    _read_limits(walk, entity, at, Owner(OF_MODEL_CONFIG, key))
    limit = entity.get("rate_limit_id")
    values = walk.load(ModelBudgetFileSchema, entity, at)
    values = {**scope, "id": key, "rate_limit_id": limit, **values}
    return walk.take(ModelConfig, key, values, at)


def _read_model_config(walk: Walk, entity: Entity, at: str) -> Any:
    if walk.described:
        entity.setdefault("scope", "global")
        names = ("scope", "scope_id", "provider", "model_name")
        made = made_id("model-config", *map(entity.get, names))
        entity["id"] = entity.get("id") or made
    key = entity.get("id")
    listed = entity.pop("budget_ids", None)
    _read_limits(walk, entity, at, Owner(OF_MODEL_CONFIG, key))
    for _, budget_id, place in walk.members(listed, f"{at}.budget_ids"):
        if isinstance(budget_id, str):
            walk.claim(budget_id.strip(), Owner(OF_MODEL_CONFIG, key), place)
        else:
            walk.wrong(place, "must be text")
    values = walk.load(ModelConfigFileSchema, entity, at)
    return walk.take(ModelConfig, values.get("id"), values, at)


NOUNS = {
    "customer": Noun(CustomerFileSchema, _read_customer),
    "team": Noun(TeamFileSchema, _read_team),
    "virtual_key": Noun(VirtualKeyFileSchema, _read_virtual_key),
    "budget": Noun(BudgetFileSchema, _read_budget),
    "rate_limit": Noun(RateLimitFileSchema, _read_rate_limit),
    "provider_config": Noun(ProviderConfigFileSchema, _read_provider_config),
    "model_config": Noun(ModelConfigFileSchema, _read_model_config),
    "model_budget": Noun(ModelBudgetFileSchema, _read_model_budget),
    **PROVIDER_NOUNS,
}
