"""The database as of one moment, in dicts, and the answers made from it.

Nothing here touches a file; when a snapshot is taken is the keeper's matter.
"""

import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

import values
from changes import touched
from database import Rows
from index import Index
from models import Row
from schemas import Query
from view import Entity, View

KEEP_BYTES = 4 * 2**20  # an answer up to this size is kept whole, a larger one streamed
KEPT_BYTES = 16 * 2**20  # all kept answers of a snapshot together
GZIP_LEVEL = 1  # a fifth of the size, in a third of the default level's time
PIECE_BYTES = 64 * 2**10  # a streamed answer goes out in pieces of about this size


@dataclass(frozen=True)
class Scope:
    """What a caller sees: which teams, and whether virtual keys' values are masked.

    Everything, or the teams of `customer_id`, or just `team_id`; neither is nothing.
    """

    everything: bool = False
    masked: bool = True
    customer_id: str | None = None
    team_id: str | None = None


class Answer:
    """A whole answer: its size in bytes, its quoted entity tag, its `body`.

    Where it is too large to keep, `body` is None and `pieces` makes it, bit by bit.
    """

    def __init__(
        self,
        size: int,
        digest: str,
        pieces: Callable[[], Iterator[bytes]],
        body: bytes | None,
    ) -> None:
        self.size = size
        self.etag = f'"{digest}"'
        self.gzip_etag = f'"{digest}-gzip"'
        self.pieces = pieces
        self.body = body
        self._gzipped: bytes | None = None
        self._lock = threading.Lock()

    def gzipped(self) -> bytes:
        """The answer compressed, once for all who ask; the same bytes everywhere."""
        with self._lock:
            if self._gzipped is None:
                packer = zlib.compressobj(GZIP_LEVEL, wbits=31)  # gzip, without a time
                packed = [packer.compress(piece) for piece in self.pieces()]
                self._gzipped = b"".join([*packed, packer.flush()])
            return self._gzipped


class Snapshot:
    """All rows of one moment. `before` lends what it knows of equal rows."""

    def __init__(self, rows: Rows, before: "Snapshot | None" = None) -> None:
        self.index: Index = Index(rows, before.index if before else None)
        change = touched(before.index, self.index) if before else None
        self._clear = View(self.index, masked=False)
        self._masked = View(self.index, masked=True)
        if before is not None and change is not None:
            self._clear.borrow(before._clear, change)
            self._masked.borrow(before._masked, change)
        self._clear.complete()
        self._answers: dict[Any, Answer] = {}
        self._kept_bytes = 0
        self._virtual_key_by_hash = {
            _value_hash(row): row for row in self.index.virtual_keys
        }

    @property
    def counts(self) -> dict[str, int]:
        """How many teams, customers and virtual keys there are."""
        return {
            "teams": len(self.index.teams),
            "customers": len(self.index.customers),
            "virtual_keys": len(self.index.virtual_keys),
        }

    def virtual_key(self, virtual_key_id: str) -> Row | None:
        return self.index.virtual_key.get(virtual_key_id)

    def virtual_key_by_hash(self, value_hash: str) -> Row | None:
        """The virtual key whose value has this SHA-256, in hexadecimal digits."""
        return self._virtual_key_by_hash.get(value_hash)

    def scope_of(self, virtual_key: Row) -> Scope:
        """What a virtual key sees: the teams of its customer, or its lone team."""
        if virtual_key.customer_id:
            return Scope(customer_id=virtual_key.customer_id)
        team = self.index.team.get(virtual_key.team_id)
        if team is not None and team.customer_id:
            return Scope(customer_id=team.customer_id)
        return Scope(team_id=team.id if team else None)

    def teams(self, query: Query, scope: Scope) -> Answer:
        """The answer of the teams list to a query, as far as the scope reaches."""
        rows = self._teams_within(scope)
        if query.customer_id:
            rows = [row for row in rows if row.customer_id == query.customer_id]
        return self._answer("teams", rows, query, scope)

    def customers(self, query: Query, scope: Scope) -> Answer:
        """The answer of the customers list to a query."""
        return self._answer("customers", self.index.customers, query, scope)

    def _teams_within(self, scope: Scope) -> list[Row]:
        if scope.everything:
            return self.index.teams
        if scope.customer_id:
            return self.index.teams_of.get(scope.customer_id, [])
        team = self.index.team.get(scope.team_id)
        return [] if team is None else [team]

    def _answer(self, name: str, rows: list[Row], query: Query, scope: Scope) -> Answer:
        key = (name, replace(query, from_memory=False), scope)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._make_answer(name, rows, query, scope)
            self._keep(key, answer)
        return answer

    def _make_answer(
        self, name: str, rows: list[Row], query: Query, scope: Scope
    ) -> Answer:
        page, numbers = _page(rows, query)
        view = self._masked if scope.masked else self._clear
        entity = view.team if name == "teams" else view.customer
        entities = [entity(row) for row in page]
        head = b'{"%b":[' % name.encode()
        tail = b"],%b" % orjson.dumps(numbers)[1:]
        digest = hashlib.blake2b(head + tail, digest_size=16)
        for each in entities:
            digest.update(each.digest)

        def pieces() -> Iterator[bytes]:
            return _pieces(head, entities, tail)

        commas = max(len(entities) - 1, 0)
        size = len(head) + sum(each.size for each in entities) + commas + len(tail)
        body = b"".join(pieces()) if size <= KEEP_BYTES else None
        return Answer(size, digest.hexdigest(), pieces, body)

    def _keep(self, key: Any, answer: Answer) -> None:
        kept = 1024 if answer.body is None else answer.size
        if self._kept_bytes + kept > KEPT_BYTES:
            self._answers, self._kept_bytes = {}, 0
        self._answers[key] = answer
        self._kept_bytes += kept


def _page(rows: list[Row], query: Query) -> tuple[list[Row], dict[str, int]]:
    """The rows that a query asks for, and the numbers that the answer ends with."""
    if query.search:
        wanted = query.search.casefold()
        rows = [row for row in rows if wanted in values.text(row.name).casefold()]
    if not query.paged:
        return rows, {"count": len(rows)}
    page = rows[query.offset : query.offset + query.limit]
    return page, {
        "count": len(page),
        "total_count": len(rows),
        "limit": query.limit,
        "offset": query.offset,
    }


def _pieces(head: bytes, entities: list[Entity], tail: bytes) -> Iterator[bytes]:
    """The answer in pieces: small parts joined, large ones as they are, not copied."""
    waiting, size = [head], 0
    for number, entity in enumerate(entities):
        for part in (b",", *entity.parts) if number else entity.parts:
            waiting.append(part)
            size += len(part)
            if size >= PIECE_BYTES:
                if len(waiting) > 1:
                    yield b"".join(waiting[:-1])
                yield part
                waiting, size = [], 0
    yield b"".join([*waiting, tail])


def _value_hash(row: Row) -> str:
    if row.value_hash:
        return str(row.value_hash).lower()
    return hashlib.sha256(values.text(row.value).encode()).hexdigest()
