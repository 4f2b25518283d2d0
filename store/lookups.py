"""Dicts and lists of a table's rows, which follow changes without being made anew."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import compress, count
from operator import attrgetter, is_not
from typing import Any, Generic, NamedTuple, TypeVar

import peewee

import values
from models import Row

Model = type[peewee.Model]
ById = dict[Any, Row]
Groups = dict[Any, list[Row]]
Key = Callable[[Row], Any]
T = TypeVar("T")

EMPTY = (None, "")  # ids that refer to nothing
# With more of a table changed than this part, its lookups are made anew.
LARGE_CHANGE = 1 / 8


class Change(NamedTuple):
    """The rows of a table that are no longer there, and those that are new."""

    gone: list[Row]
    come: list[Row]

    @classmethod
    def between(cls, old: list[Row], new: list[Row]) -> "Change":
        """Return what differs between two lists of a table's rows.

        Most rows are the same objects in both, and in the same places: those are passed
        over without a look at their values.
        """
        start = _same(old, new)
        old, new = old[start:], new[start:]
        end = _same(old[::-1], new[::-1])
        old, new = old[: len(old) - end], new[: len(new) - end]
        if len(old) == len(new):
            pairs = compress(zip(old, new, strict=True), map(is_not, old, new))
            different = [pair for pair in pairs if pair[0] != pair[1]]
            old = [one for one, _ in different]
            new = [other for _, other in different]
        gone, come = Counter(old), Counter(new)
        return cls(list((gone - come).elements()), list((come - gone).elements()))

    def is_large(self, rows: list[Row]) -> bool:
        return len(self.gone) + len(self.come) > LARGE_CHANGE * len(rows)


def _same(old: list[Row], new: list[Row]) -> int:
    """Return how many rows two lists have in common from their beginning."""
    length = min(len(old), len(new))
    return next(compress(count(), map(is_not, old, new)), length)


class Lookup(Generic[T]):
    """What an Index has of one table, made when it is first asked for."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, index: Any, owner: type) -> T:
        made: T = index.lookup(self)
        index.__dict__[self.name] = made  # asked for by its name, it is found there
        return made

    def make(self, rows: list[Row]) -> T:
        """Return it for all rows of the table."""
        raise NotImplementedError

    def updated(self, made: T, old: list[Row], change: Change) -> T | None:
        """Return what was made of the `old` rows as it is after a change.

        None where that is not certain to be what `make` would return.
        """
        raise NotImplementedError


class RowById(Lookup[ById]):
    """The rows of a table by their ids."""

    def __init__(self, model: Model, key: Key = attrgetter("id")) -> None:
        super().__init__(model)
        self._key = key

    def make(self, rows: list[Row]) -> ById:
        key = self._key
        return {row_id: row for row in rows if (row_id := key(row)) not in EMPTY}

    def updated(self, made: ById, old: list[Row], change: Change) -> ById | None:
        left = len(old) - len(change.gone)
        if len(made) < len(old):
            return None  # some have the same id, or none
        made = made.copy()
        for row in change.gone:
            del made[self._key(row)]
        made.update(self.make(change.come))
        return made if len(made) == left + len(change.come) else None


class RowsInOrder(Lookup[list[Row]]):
    """The rows of a table in the order of the answers."""

    def make(self, rows: list[Row]) -> list[Row]:
        return by_age(rows)

    def updated(
        self, made: list[Row], old: list[Row], change: Change
    ) -> list[Row] | None:
        made = made.copy()
        for row in change.gone:
            at = bisect_left(made, age(row), key=age)
            if made[at] != row:
                return None  # several have the same age and id
            del made[at]
        for row in change.come:
            place = age(row)
            at = bisect_left(made, place, key=age)
            if at < len(made) and age(made[at]) == place:
                return None
            made.insert(at, row)
        return made


class RowsByOwner(Lookup[Groups]):
    """Lists of a table's rows by what they belong to, each in an order."""

    def __init__(self, model: Model, key: Key, order: Key | None = None) -> None:
        super().__init__(model)
        self._key = key
        self._order = order

    def make(self, rows: list[Row]) -> Groups:
        groups: Groups = {}
        key = self._key
        for row in rows:
            if (owner := key(row)) not in EMPTY:
                groups.setdefault(owner, []).append(row)
        if self._order is not None:
            for group in groups.values():
                if len(group) > 1:
                    group.sort(key=self._order)
        return groups

    def updated(self, made: Groups, old: list[Row], change: Change) -> Groups | None:
        made = made.copy()
        gone, come = self.make(change.gone), self.make(change.come)
        for owner in gone.keys() | come.keys():
            group = made.get(owner, []).copy()
            for row in gone.get(owner, ()):
                group.remove(row)
            group += come.get(owner, ())
            if self._order is not None:
                group.sort(key=self._order)
                if len(set(map(self._order, group))) < len(group):
                    return None  # their order is that of the table
            if group:
                made[owner] = group
            else:
                del made[owner]
        return made


def by_age(rows: list[Row]) -> list[Row]:
    """Return rows by the instant of their creation, then by id."""
    return sorted(rows, key=age) if len(rows) > 1 else rows


def age(row: Row) -> tuple[tuple[int, int], str]:
    """Return what rows are sorted by: the instant of their creation, and their id."""
    try:
        created = values.instant(row.created_at)
    except (ValueError, TypeError):
        created = values.instant(None)  # reported where the value itself is dumped
    return created, str(row.id)
