"""Read a gateway's answers (or ours) as rows.

Lists of teams, customers, virtual keys, budgets, rate limits, model configs, providers
and MCP clients; one entity may stand in many places.

The fullest version of an entity wins: what one place leaves empty another may say. Two
places that say different things contradict each other, except on what changes by
itself (usage, resets): there the later one counts.
"""

from dataclasses import dataclass, field
from typing import Any

from fields import NOT_KEPT
from models import (
    SHOWN_OWNERS,
    Budget,
    McpClient,
    Model,
    ModelConfig,
    Provider,
    ProviderKey,
)
from transfer.batch import USAGE, Batch
from transfer.read_owners import NOUNS
from transfer.walk import Owner, Walk

LISTS = {
    "customers": "customer",
    "teams": "team",
    "virtual_keys": "virtual_key",
    "model_configs": "model_config",
    "budgets": "budget",
    "rate_limits": "rate_limit",
    "providers": "provider",
    "governed_providers": "provider",  # GET /api/governance/providers, not all of them
    "mcp_clients": "mcp_client",
    "clients": "mcp_client",
    "keys": "provider_key",
}
BY_ID = tuple(LISTS)[:6]  # those that are known by an id
COUNTS = ("count", "total", "total_count", "limit", "offset")
VOLATILE = ("updated_at", *USAGE)
UNSET_TIME = "0001-01-01 00:00:00+00:00"
# Gateways cut these down where they stand in others: no, 0 and empty then say nothing.
OFTEN_CUT = (ProviderKey, McpClient)


def is_captured(document: Any, pulled: bool = False) -> bool:
    """Return whether a parsed file looks like what a gateway answered.

    A gateway says how many there are, or when each was made; who writes lists by hand
    does neither. Of what was `pulled` nothing was written by hand.
    """
    if not isinstance(document, dict) or isinstance(document.get("providers"), dict):
        return False
    by_hand_or_not = [document[name] for name in BY_ID if name in document]
    names = (*LISTS, *LISTS.values())
    if any(
        isinstance(document[name], list | dict | None)
        for name in names
        if name in document and name not in BY_ID
    ):
        return True
    counted = pulled or not document.keys().isdisjoint(COUNTS)
    return bool(by_hand_or_not) and (counted or any(map(_is_answered, by_hand_or_not)))


def _is_answered(listed: Any) -> bool:
    if not isinstance(listed, list):
        return listed is None or isinstance(listed, dict)  # by id, as from memory
    return any(isinstance(each, dict) and "created_at" in each for each in listed)


@dataclass
class Seen:
    """The known columns of one entity, and the place where it first stood."""

    place: str
    values: dict[str, Any]
    hints: dict[str, Any]  # what counts where no place says more
    fullness: int  # how much the fullest place says
    refers: dict[str, Any] = field(default_factory=dict)


class Recorded:
    """The entities of all answers, put together; `finish` gives them to the batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.seen: dict[tuple[Model, Any], Seen] = {}
        self.listed: set[str] = set()  # the names of the lists there were
        self.owners: dict[Any, set[tuple[str, Any]]] = {}  # of budgets
        self.of_several: set[Any] = set()  # budgets that name several owners themselves
        self.walk = Walk(batch, self, NOUNS)

    def add(self, document: dict[str, Any], source: str) -> None:
        """Take all entities out of one answer, which is used up on the way."""
        for name, noun in LISTS.items():
            listed = document.pop(name, None)
            if listed is not None:
                self.listed.add(name)
            if isinstance(listed, dict):
                listed = list(listed.values())  # an object keyed by id
            if listed is not None and not isinstance(listed, list):
                self.walk.wrong(f"{source}: {name}", "must be an array or an object")
            else:
                self.walk.each(noun, listed, f"{source}: {name}")
            self.walk.mention(noun, document.pop(noun, None), f"{source}: {noun}")

    def finish(self) -> None:
        """Put what was collected into the batch."""
        self._unlink_shared_budgets()
        if "governed_providers" in self.listed:
            for (model, _), seen in self.seen.items():
                if model is Provider:  # those that are not in it have no limits
                    seen.values = {
                        "budget_id": None,
                        "rate_limit_id": None,
                    } | seen.values
        for (model, _), seen in self.seen.items():
            item = self.batch.add(model, seen.place, seen.hints | seen.values)
            item.refers |= seen.refers

    def _unlink_shared_budgets(self) -> None:
        """Let each owner name a budget of several, as older gateways have it."""
        for budget_id, owners in self.owners.items():
            shared = len(owners) > 1 and budget_id not in self.of_several
            if shared and (Budget, budget_id) in self.seen:
                for name in SHOWN_OWNERS:
                    self.seen[Budget, budget_id].values.pop(name, None)
                for name, owner in owners:
                    if (SHOWN_OWNERS[name], owner) in self.seen:
                        values = self.seen[SHOWN_OWNERS[name], owner].values
                        values.setdefault("budget_id", budget_id)

    def take(
        self,
        model: Model,
        key: Any,
        values: dict[str, Any],
        place: str,
        *,
        owner: Owner | None = None,
        partly: tuple[str, ...] = (),
        mention: bool = False,
        **refers: Any,
    ) -> Any:
        """Take in one version of an entity, wherever it stands."""
        if key is None:
            return None
        if model is Budget:
            values = self._owned(values, owner, place)
        says = {
            n: v
            for n, v in values.items()
            if n not in partly and not _says_little(model, n, v)
        }
        hints = {n: v for n, v in values.items() if n not in says}
        seen = self.seen.get((model, key))
        if seen is None:
            self.seen[model, key] = Seen(place, says, hints, len(says), refers)
        else:
            self._add(seen, says, hints, place)
            self._add_references(seen, refers, place)
        return key

    def _owned(
        self, values: dict[str, Any], owner: Owner | None, place: str
    ) -> dict[str, Any]:
        """Return a budget with its owner: whom it names, else whom it stands in."""
        key = values.get("id")
        if owner is not None and owner.column not in SHOWN_OWNERS:
            return {**values, owner.column: owner.key}
        if governing := values.get("model_config_id"):
            if owner is not None and owner.scope:
                self._govern(governing, owner.scope, place)
            return values
        named = {n: values[n] for n in SHOWN_OWNERS if n in values}
        if len(named) > 1:
            self.of_several.add(key)
        if not named and owner is not None:
            named = {owner.column: owner.key}
        owners = self.owners.setdefault(key, set())
        owners |= {(name, each) for name, each in named.items() if each}
        seen = self.seen.get((Budget, key))
        first = seen.values if seen else {}
        return values | {n: first.get(n, each) for n, each in named.items()}

    def _govern(self, key: Any, scope: dict[str, Any], place: str) -> None:
        """Note where a model config is, should there be no list of these."""
        seen = self.seen.setdefault((ModelConfig, key), Seen(place, {}, {}, 0))
        seen.hints = {"id": key, **scope} | seen.hints

    def _add(
        self, seen: Seen, says: dict[str, Any], hints: dict[str, Any], place: str
    ) -> None:
        fuller = len(says) > seen.fullness
        seen.fullness = max(seen.fullness, len(says))
        seen.hints = seen.hints | hints if fuller else hints | seen.hints
        later = _moment(says) > _moment(seen.values)
        for name, value in says.items():
            if name in VOLATILE and name in seen.values:
                if later:
                    seen.values[name] = value
            elif seen.values.setdefault(name, value) != value:
                self._contradicted(seen, f"{place}.{name}")

    def _add_references(self, seen: Seen, refers: dict[str, Any], place: str) -> None:
        if "keeps" in refers and "keeps" in seen.refers:
            both = set(seen.refers["keeps"]) & set(refers["keeps"])
            seen.refers["keeps"] = list(both)
        elif refers.get("provider_keys") is not None:
            known = seen.refers.get("provider_keys")
            if not known:
                seen.refers |= refers
            elif refers["provider_keys"] and set(known) != set(refers["provider_keys"]):
                self._contradicted(seen, f"{place}.keys")

    def _contradicted(self, seen: Seen, at: str) -> None:
        what = f"contradicts what {seen.place} says of the same thing"
        self.batch.problems.append(f"{at}: {what}")


def _says_little(model: Model, name: str, value: Any) -> bool:
    if value in (None, "", UNSET_TIME, NOT_KEPT):
        return True
    if model not in OFTEN_CUT:
        return False
    return name == "enabled" or value in (0, False, "[]", "{}", [], {})


def _moment(values: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Return the age of a version, for comparing; usage grows until it is reset."""
    times = [str(values.get(name, "")) for name in VOLATILE if "usage" not in name]
    usage = [values.get(name, 0) for name in VOLATILE if "usage" in name]
    return times, [each if isinstance(each, int | float) else 0 for each in usage]
