"""The database as of one moment, in dicts, and the answers made from it.

Nothing here reads a file; when a snapshot is taken is decided in keeper.py.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import orjson

import values
from models import Row
from schemas import Query
from snapshot import answers
from snapshot.answers import Answer, Body, KeptAnswers
from snapshot.changed_entities import changed_entities
from snapshot.entity_json import EntityJson
from snapshot.gzip_parts import compress
from snapshot.json_text import Entity
from store.relations import Index
from store.rows import Rows


@dataclass(frozen=True)
class Scope:
    """The part of a snapshot that a caller sees; virtual keys' values may be masked.

    Everything, or the teams of `customer_id`, or just `team_id`; neither is nothing.
    """

    everything: bool = False
    masked: bool = True
    customer_id: str | None = None
    team_id: str | None = None


EVERYTHING = Scope(everything=True, masked=False)


class Snapshot:
    """All rows of one moment. From `before`, what has not changed is taken over."""

    def __init__(self, rows: Rows, before: "Snapshot | None" = None) -> None:
        self.index: Index = Index(rows, before.index if before else None)
        changed = changed_entities(before.index, self.index) if before else None
        json = before._json if before else None
        self._json: EntityJson = EntityJson(self.index, json, changed)
        self._answers = KeptAnswers()

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of teams, customers and virtual keys."""
        return {
            "teams": len(self.index.teams),
            "customers": len(self.index.customers),
            "virtual_keys": len(self.index.virtual_keys),
        }

    def virtual_key(self, virtual_key_id: str) -> Row | None:
        return self.index.virtual_key.get(virtual_key_id)

    def virtual_key_by_hash(self, value_hash: str) -> Row | None:
        """Return the virtual key whose value has this SHA-256, in hexadecimal."""
        return self.index.virtual_key_by_hash.get(value_hash)

    def scope_of(self, virtual_key: Row) -> Scope:
        """Return what a virtual key sees: its customer's teams, or its lone team."""
        if virtual_key.customer_id:
            return Scope(customer_id=virtual_key.customer_id)
        team = self.index.team.get(virtual_key.team_id)
        if team is not None and team.customer_id:
            return Scope(customer_id=team.customer_id)
        return Scope(team_id=team.id if team else None)

    def teams(self, query: Query, scope: Scope) -> Answer:
        """Return the teams list for a query, as far as the scope reaches."""

        def make() -> Answer:
            rows = self._teams_within(scope)
            if query.customer_id:
                rows = [row for row in rows if row.customer_id == query.customer_id]
            entity = partial(self._json.team, masked=scope.masked)
            return _list_answer("teams", rows, entity, query)

        return self._answers.get_or_make(("teams", query, scope), make)

    def customers(self, query: Query, scope: Scope) -> Answer:
        """Return the customers list for a query; there is no scope that is less."""

        def make() -> Answer:
            entity = partial(self._json.customer, masked=scope.masked)
            return _list_answer("customers", self.index.customers, entity, query)

        return self._answers.get_or_make(("customers", query, scope), make)

    def kept(self, name: str, query: Query, scope: Scope) -> Answer | None:
        """Return an answer of the list of that name that was made before, if any."""
        return self._answers.get((name, query, scope))

    def _teams_within(self, scope: Scope) -> list[Row]:
        if scope.everything:
            return self.index.teams
        if scope.customer_id:
            return self.index.teams_of.get(scope.customer_id, [])
        team = self.index.team.get(scope.team_id)
        return [] if team is None else [team]


def _list_answer(
    name: str, rows: list[Row], entity: Callable[[Row], Entity], query: Query
) -> Answer:
    """Return the list of that name of those rows that the query is for."""
    page, numbers = _page(rows, query)
    entities = [entity(row) for row in page]
    head = b'{"%b":[' % name.encode()
    tail = b"],%b" % orjson.dumps(numbers)[1:]
    digest = hashlib.blake2b(head + tail, digest_size=16)
    for each in entities:
        digest.update(each.digest)

    def plain() -> Iterator[bytes]:
        return _joined(head, (each.parts() for each in entities), b",", tail)

    def compressed() -> Iterator[bytes]:
        first, comma, last = map(compress, (head, b",", tail))
        return _joined(first, (each.compressed() for each in entities), comma, last)

    commas = max(len(entities) - 1, 0)
    size = len(head) + sum(each.size for each in entities) + commas + len(tail)
    return Answer(digest.hexdigest(), Body(plain, size, answers.KEEP_BYTES), compressed)


def _page(rows: list[Row], query: Query) -> tuple[list[Row], dict[str, int]]:
    """Return the rows that a query is for, and the numbers at the answer's end."""
    if query.search:
        wanted = query.search.casefold()
        rows = [row for row in rows if wanted in values.text(row.name).casefold()]
    page, limit = rows, len(rows)
    if query.paged:
        page, limit = rows[query.offset : query.offset + query.limit], query.limit
    return page, {
        "count": len(page),
        "total_count": len(rows),
        "limit": limit,
        "offset": query.offset,
    }


def _joined(
    head: bytes, entities: Iterable[Iterable[bytes]], comma: bytes, tail: bytes
) -> Iterator[bytes]:
    """Yield the parts of an answer."""
    yield head
    for number, parts in enumerate(entities):
        if number:
            yield comma
        yield from parts
    yield tail
