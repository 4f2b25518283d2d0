"""The database as of one moment, in dicts, and the answers made from it.

Nothing here touches a file; when a snapshot is taken is the keeper's matter.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

import compression
import values
from changes import touched
from index import Index
from models import Row
from rows import Rows
from schemas import Query
from view import View

# An answer up to this size is sent whole; of a larger one, no more is held for a client
# than it is behind by some pieces: the server copies what it is given.
WHOLE_BYTES = 512 * 2**10
PIECE_BYTES = 256 * 2**10  # smaller pieces cost time, larger ones memory
KEEP_BYTES = 4 * 2**20  # up to this size the pieces are kept; else made for each client
KEPT_BYTES = 16 * 2**20  # what all kept answers of a snapshot may take together
ANSWER_BYTES = 40 * 2**10  # what one takes beside its text, a page of 100 at the most
# What is repeated within a small answer shrinks to nothing if compressed in one go.
COMPRESS_WHOLE_BYTES = 2**20


@dataclass(frozen=True)
class Scope:
    """What a caller sees: which teams, and whether virtual keys' values are masked.

    Everything, or the teams of `customer_id`, or just `team_id`; neither is nothing.
    """

    everything: bool = False
    masked: bool = True
    customer_id: str | None = None
    team_id: str | None = None


EVERYTHING = Scope(everything=True, masked=False)


class Body:
    """What goes over the wire: its size in bytes, and the parts it is joined of.

    Large ones are never held whole: `parts` are called for whenever they are sent.
    """

    def __init__(
        self, parts: Callable[[], Iterable[bytes]], size: int, keep_bytes: int
    ) -> None:
        self.size = size
        self.parts = parts
        self._kept: list[bytes] | None = None
        if size <= WHOLE_BYTES:
            self._kept = [b"".join(parts())]
        elif size <= keep_bytes:
            self._kept = list(in_pieces(parts()))

    def sent(self) -> Iterable[bytes]:
        """For a server: a list of all of it, or an iterator over its pieces."""
        if self._kept is None:
            return in_pieces(self.parts())
        return self._kept if len(self._kept) == 1 else iter(self._kept)


class Answer:
    """An answer in both its forms, each with its quoted entity tag."""

    def __init__(
        self, digest: str, plain: Body, compressed: Callable[[], Iterable[bytes]]
    ) -> None:
        self.etag = f'"{digest}"'
        self.zipped_etag = f'"{digest}-gzip"'
        self.plain = plain
        self._compressed = compressed
        self._zipped: Body | None = None
        self._lock = threading.Lock()

    @property
    def is_zipped(self) -> bool:
        """Whether the compressed form was made already."""
        return self._zipped is not None

    def zipped(self) -> Body:
        """The compressed form, made once for all who ask; the same bytes everywhere."""
        with self._lock:
            if self._zipped is None:
                self._zipped = self._zip()
            return self._zipped

    def _zip(self) -> Body:
        plain = self.plain
        if plain.size <= COMPRESS_WHOLE_BYTES:
            blocks = [compression.compress(b"".join(plain.parts()))]
        else:
            blocks = list(self._compressed())
        end = compression.tail(plain.parts(), plain.size)
        parts = [compression.HEAD, *blocks, end]
        return Body(lambda: parts, sum(map(len, parts)), keep_bytes=WHOLE_BYTES)


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
        return self._answer("teams", query, scope)

    def customers(self, query: Query, scope: Scope) -> Answer:
        """The answer of the customers list to a query."""
        return self._answer("customers", query, scope)

    def kept(self, name: str, query: Query, scope: Scope) -> Answer | None:
        """Return an answer of the list of that name that was made before, if any."""
        return self._answers.get((name, query, scope))

    def _answer(self, name: str, query: Query, scope: Scope) -> Answer:
        key = (name, query, scope)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._make_answer(name, query, scope)
            self._keep(key, answer)
        return answer

    def _rows(self, name: str, query: Query, scope: Scope) -> list[Row]:
        if name == "customers":
            return self.index.customers
        rows = self._teams_within(scope)
        if query.customer_id:
            rows = [row for row in rows if row.customer_id == query.customer_id]
        return rows

    def _teams_within(self, scope: Scope) -> list[Row]:
        if scope.everything:
            return self.index.teams
        if scope.customer_id:
            return self.index.teams_of.get(scope.customer_id, [])
        team = self.index.team.get(scope.team_id)
        return [] if team is None else [team]

    def _make_answer(self, name: str, query: Query, scope: Scope) -> Answer:
        page, numbers = _page(self._rows(name, query, scope), query)
        view = self._masked if scope.masked else self._clear
        teams = name == "teams"
        entities = [(view.team if teams else view.customer)(row) for row in page]
        blocks = view.compressed_team if teams else view.compressed_customer
        head = b'{"%b":[' % name.encode()
        tail = b"],%b" % orjson.dumps(numbers)[1:]
        digest = hashlib.blake2b(head + tail, digest_size=16)
        for each in entities:
            digest.update(each.digest)

        def plain() -> Iterator[bytes]:
            return _listed(head, (each.parts for each in entities), b",", tail)

        def compressed() -> Iterator[bytes]:
            first, comma, last = map(compression.compress, (head, b",", tail))
            return _listed(first, map(blocks, page), comma, last)

        commas = max(len(entities) - 1, 0)
        size = len(head) + sum(each.size for each in entities) + commas + len(tail)
        return Answer(digest.hexdigest(), Body(plain, size, KEEP_BYTES), compressed)

    def _keep(self, key: Any, answer: Answer) -> None:
        size = answer.plain.size
        zipped = min(size // 4, WHOLE_BYTES)  # what it may take, too, when asked for
        kept = ANSWER_BYTES + zipped + (size if size <= KEEP_BYTES else 0)
        if self._kept_bytes + kept > KEPT_BYTES:
            self._answers, self._kept_bytes = {}, 0
        self._answers[key] = answer
        self._kept_bytes += kept


def _page(rows: list[Row], query: Query) -> tuple[list[Row], dict[str, int]]:
    """The rows that a query asks for, and the numbers that the answer ends with."""
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


def _listed(
    head: bytes, entities: Iterable[Iterable[bytes]], comma: bytes, tail: bytes
) -> Iterator[bytes]:
    """The parts of an answer."""
    yield head
    for number, parts in enumerate(entities):
        if number:
            yield comma
        yield from parts
    yield tail


def in_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts one after the other: small ones joined, very large ones cut."""
    waiting, size = [], 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            if len(waiting) > 1:
                yield b"".join(waiting[:-1])
            if len(part) <= 2 * PIECE_BYTES:
                yield part
            else:
                for start in range(0, len(part), PIECE_BYTES):
                    yield part[start : start + PIECE_BYTES]
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _value_hash(row: Row) -> str:
    if row.value_hash:
        return str(row.value_hash).lower()
    return hashlib.sha256(values.text(row.value).encode()).hexdigest()
