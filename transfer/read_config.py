"""Read a gateway's `config.json`, or lists written by hand, as rows."""

from typing import Any

from models import SHOWN_OWNERS, Model
from transfer.batch import Batch, Claim
from transfer.config_schemas import (
    ConfigFileSchema,
    FileSchema,
    GovernanceFileSchema,
    McpFileSchema,
    ProviderFileSchema,
    known,
)
from transfer.load_members import named
from transfer.read_owners import NOUNS
from transfer.walk import Owner, Walk

GOVERNANCE = {
    "budgets": "budget",
    "rate_limits": "rate_limit",
    "customers": "customer",
    "teams": "team",
    "virtual_keys": "virtual_key",
    "model_configs": "model_config",
}
# What a thing of a plain list is, by a name that only such a thing has.
_TELLING = {
    "key_id": "keys",
    "max_limit": "budgets",
    "token_max_limit": "rate_limits",
    "request_max_limit": "rate_limits",
    "model_name": "model_configs",
    "provider_configs": "virtual_keys",
    "mcp_configs": "virtual_keys",
    "team_id": "virtual_keys",
    "value": "virtual_keys",
    "is_active": "virtual_keys",
    "teams": "customers",
}


def listed(members: list[Any]) -> dict[str, Any]:
    """Return a plain list by the name of what is in it: teams, if nothing says."""
    names = {name for each in members if isinstance(each, dict) for name in each}
    kind = next((kind for name, kind in _TELLING.items() if name in names), "teams")
    return {kind: members}


def is_config(document: Any) -> bool:
    """Return whether a parsed file has a part that a gateway's config.json may have."""
    names = {*known(ConfigFileSchema), *GOVERNANCE}
    return isinstance(document, dict) and any(n.lower() in names for n in document)


class Described:
    """The things of a config.json, given to the batch as they stand there."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def take(
        self,
        model: Model,
        key: Any,
        values: dict[str, Any],
        place: str,
        *,
        owner: Owner | None = None,
        partly: tuple[str, ...] = (),
        **refers: Any,
    ) -> Any:
        if owner is not None and key is not None:
            claim = Claim(key, owner.column, owner.key, place)
            self.batch.claims.append(claim)
        self.batch.add(model, place, values, **refers)
        return key


def add_config(batch: Batch, document: dict[str, Any], source: str) -> None:
    """Add a parsed `config.json` to the batch; `source` names it in places.

    The parsed file is used up on the way: a large one is never there twice.
    """
    walk = Walk(batch, Described(batch), NOUNS)
    # Lists that stand alone are as good as within "governance".
    lists = [name for name in document if name.lower() in GOVERNANCE]
    alone = {name.lower(): document.pop(name) for name in lists}
    config = named(batch, ConfigFileSchema, document, f"{source}: ")
    providers = walk.object(config.get("providers"), f"{source}: providers")
    mcp = _part(walk, config, "mcp", McpFileSchema, source)
    governance = _part(walk, config, "governance", GovernanceFileSchema, source)
    walk.version = _version(walk, config.get("version"), governance, source)
    walk.providers = [name.lower() for name in providers]
    clients = mcp.get("client_configs")
    walk.clients = [
        each["name"]
        for each in (clients if isinstance(clients, list) else ())
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    ]
    governed = _governed(walk, governance.pop("providers", None), source)
    for name in list(providers):
        place = f"{source}: providers.{name}"
        provider = {**walk.object(providers.pop(name), place), "name": name.lower()}
        provider |= governed.pop(provider["name"], {})
        walk.one("provider", provider, place)
    for name, provider in governed.items():
        walk.one("provider", provider, f"{source}: governance.providers.{name}")
    walk.each("mcp_client", clients, f"{source}: mcp.client_configs")
    for name, noun in GOVERNANCE.items():
        walk.each(noun, alone.pop(name, None), f"{source}: {name}")
        walk.each(noun, governance.pop(name, None), f"{source}: governance.{name}")
    if not lists and config.keys().isdisjoint(("governance", "mcp", "providers")):
        batch.notes.append(f"{source}: {NOTHING_OF_OURS}")


NOTHING_OF_OURS = "is a configuration with nothing of governance, providers or mcp"


def _part(
    walk: Walk, config: dict[str, Any], name: str, schema: type[FileSchema], source: str
) -> dict[str, Any]:
    place = f"{source}: {name}"
    part = walk.object(config.get(name), place)
    return named(walk.batch, schema, part, place)


def _governed(walk: Walk, listed: Any, source: str) -> dict[str, dict[str, Any]]:
    """Return the limits of whole providers, by their names."""
    place = f"{source}: governance.providers"
    found = {}
    for _, member, at in walk.members(listed, place):
        if not isinstance(member, dict):
            walk.wrong(at, "must be an object")
            continue
        part = named(walk.batch, ProviderFileSchema, member, at)
        name = part.pop("provider", None) or part.get("name")
        if isinstance(name, str) and name:
            found[name.lower()] = {**part, "name": name.lower()}
        else:
            walk.wrong(f"{at}.name", "is missing")
    return found


def _version(
    walk: Walk, stated: Any, governance: dict[str, Any], source: str
) -> int | None:
    """Return the version that a file states or, where it states none, is known by.

    Only gateways that take 2 where none is stated know model configs, and budgets that
    name their owner.
    """
    if stated is not None and type(stated) is not int:
        walk.wrong(f"{source}: version", "must be a number")
    elif stated:
        return 1 if stated == 1 else 2
    return 2 if _is_newer(governance) else None


def _is_newer(governance: dict[str, Any]) -> bool:
    budgets = governance.get("budgets")
    named = {
        name
        for budget in (budgets if isinstance(budgets, list) else ())
        if isinstance(budget, dict)
        for name in budget
    }
    return bool(governance.get("model_configs")) or not named.isdisjoint(SHOWN_OWNERS)
