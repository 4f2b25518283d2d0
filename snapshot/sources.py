"""Sources of the snapshots that answer: the keeper, or instead of it, for tests of
clients, a memory that stopped refreshing or a database that is gone.
"""

from time import monotonic
from typing import Any, Protocol

from addresses import Address
from errors import WouldWait
from snapshot.keeper import Keeper, readiness
from snapshot.snapshot import Snapshot
from store.failures import IS_MISSING, DatabaseUnavailable


class SnapshotSource(Protocol):
    """The part of a Keeper that answers need; see there."""

    def start(self) -> None: ...

    def current(self, asked: float | None = None) -> Snapshot: ...

    def remembered(self) -> Snapshot: ...

    def current_at_once(self) -> Snapshot: ...

    def remembered_at_once(self) -> Snapshot: ...

    def age(self) -> int: ...

    def state(self) -> dict[str, Any]: ...


class Stale:
    """The keeper, but its memory stays as it is now; the database mode goes on."""

    def __init__(self, keeper: Keeper) -> None:
        self._snapshot = keeper.remembered()
        self._since = monotonic() - keeper.age()
        self.start = keeper.start
        self.current = keeper.current
        self.current_at_once = keeper.current_at_once
        self._keeper = keeper

    def remembered(self) -> Snapshot:
        return self._snapshot

    def remembered_at_once(self) -> Snapshot:
        return self._snapshot

    def age(self) -> int:
        return int(monotonic() - self._since)

    def state(self) -> dict[str, Any]:
        memory = readiness(None) | {"age": self.age()}
        return self._keeper.state() | {"memory": memory, "age": self.age()}


class Gone:
    """The keeper, but as though there were no database; its memory goes on."""

    def __init__(self, keeper: Keeper, database: Address) -> None:
        self._database = database
        self.start = keeper.start
        self.remembered = keeper.remembered
        self.remembered_at_once = keeper.remembered_at_once
        self.age = keeper.age
        self._keeper = keeper

    def current(self, asked: float | None = None) -> Snapshot:
        raise DatabaseUnavailable(self._database, IS_MISSING)

    def current_at_once(self) -> Snapshot:
        raise WouldWait

    def state(self) -> dict[str, Any]:
        database = readiness(f"the database {IS_MISSING}")
        return self._keeper.state() | {"ready": False, "database": database}
