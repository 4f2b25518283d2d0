"""Counting requests and their time, by route, mode and status, in all workers."""

from bisect import bisect_left
from collections.abc import Iterator
from http import HTTPStatus
from time import monotonic
from typing import NamedTuple

from web.lists import LONGEST_QUERY, PATHS, load_query
from web.metrics.shared_numbers import SharedNumbers
from web.short_cut import Environ
from web.surroundings import Surrounding

# Upper bounds, in seconds: what is ready takes less than the first, and a snapshot of a
# large database some of the last ones.
BOUNDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
STATUSES = [status.value for status in HTTPStatus if status >= 200]
DATABASE, MEMORY = "database", "memory"
OTHER = "other"  # a route or a status that is none of the known ones


class Kind(NamedTuple):
    """A kind of requests, which are counted together."""

    route: str  # its path; "other" for those that are none
    mode: str  # of a list; empty for the rest


class Timing(NamedTuple):
    """The time that requests of a kind took: their number by bound, and the sum."""

    counts: tuple[int, ...]  # up to each bound, but not the one before; then the rest
    seconds: float


class RequestCounts(Surrounding):
    """Counts all answers; the time is that until the headers were known."""

    def __init__(self, routes: list[str], numbers: int = 0) -> None:
        """`numbers` are as many more of the shared numbers, for others, at the end."""
        self.kinds = [
            Kind(route, mode)
            for route in [*routes, OTHER]
            for mode in ((DATABASE, MEMORY) if route in PATHS else ("",))
        ]
        places = {kind: place for place, kind in enumerate(self.kinds)}
        # Of each path: where its requests are counted, and those from memory.
        self._places = {
            kind.route: (place, places.get(Kind(kind.route, MEMORY), place))
            for kind, place in places.items()
            if kind.mode != MEMORY
        }
        self._statuses = [*map(str, STATUSES), OTHER]
        self._status_places = {status: n for n, status in enumerate(STATUSES)}
        self._other, self._other_status = self._places[OTHER], len(STATUSES)
        self._first_time = len(self.kinds) * len(self._statuses)
        self._times = len(BOUNDS) + 2  # one beyond the bounds, and the sum
        self.first_other = self._first_time + len(self.kinds) * self._times
        self.shared = SharedNumbers(self.first_other + numbers)

    def finish(self, environ: Environ, status: int, began: float) -> None:
        """Count an answer."""
        took = monotonic() - began
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING")
        place, from_memory = self._places.get(path, self._other)
        if query and place != from_memory and _asks_memory(path, query):
            place = from_memory
        of_status = self._status_places.get(status, self._other_status)
        times = self._first_time + place * self._times
        self.shared.add(place * len(self._statuses) + of_status)
        self.shared.add(times + bisect_left(BOUNDS, took))
        self.shared.add(times + len(BOUNDS) + 1, took)

    def by_status(self, totals: list[float]) -> Iterator[tuple[Kind, str, int]]:
        """Return the number of answers of each kind and status that there were."""
        for place, kind in enumerate(self.kinds):
            for n, status in enumerate(self._statuses):
                if count := int(totals[place * len(self._statuses) + n]):
                    yield kind, status, count

    def timings(self, totals: list[float]) -> Iterator[tuple[Kind, Timing]]:
        """Return the time that requests took, of each kind that there were."""
        for place, kind in enumerate(self.kinds):
            start = self._first_time + place * self._times
            *counts, seconds = totals[start : start + self._times]
            if any(counts):
                yield kind, Timing(tuple(map(int, counts)), seconds)


def _asks_memory(path: str, query: str) -> bool:
    if len(query) > LONGEST_QUERY:
        return False  # it is refused
    return load_query(PATHS[path].query, query)[0].from_memory
