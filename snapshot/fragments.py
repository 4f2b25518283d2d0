"""The entities of one moment as JSON bytes, as one kind of caller sees them.

Each is made once. Large ones are parts that other entities share: a customer's bytes
are held once, and each of its teams refers to them.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from models import Row
from snapshot.changes import Touched
from snapshot.composer import Composer
from snapshot.entities import Tree
from snapshot.gzip_parts import compress
from store.relations import Index

# Stands in an entity's JSON where other entities go; JSON text never holds it.
_HOLE = b"\0"
_HOLDER = orjson.Fragment(_HOLE)


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity of a list: its JSON in parts, their size, a digest of its content."""

    parts: tuple[bytes, ...]
    size: int
    digest: bytes


class View:
    """Virtual keys, teams and customers as bytes; `masked` hides the keys' values."""

    def __init__(self, index: Index, *, masked: bool) -> None:
        self._index = index
        self._tree = Tree(index, Composer(), masked=masked)
        self._virtual_keys: dict[str, bytes] = {}
        # A team before its customer, from there to its virtual keys, and after them.
        self._teams: dict[str, list[bytes]] = {}
        self._customers: dict[str, Entity] = {}
        # What of a team is not its customer's, and whole customers, compressed.
        self._compressed_teams: dict[str, tuple[bytes, bytes]] = {}
        self._compressed_customers: dict[str, tuple[bytes]] = {}

    def borrow(self, before: "View", change: Touched) -> None:
        """Take over what an earlier view made of entities that are still the same."""
        self._virtual_keys = _without(before._virtual_keys, change.virtual_keys)
        self._teams = _without(before._teams, change.teams)
        self._customers = _without(before._customers, change.customers)
        self._compressed_teams = _without(before._compressed_teams, change.teams)
        self._compressed_customers = _without(
            before._compressed_customers, change.customers
        )

    def complete(self) -> None:
        """Make what is not made yet."""
        for row in self._index.customers:
            self.customer(row)
        for row in self._index.teams:
            self._team_pieces(row)

    def customer(self, row: Row) -> Entity:
        """A whole customer, in one part; its teams have `{}` for a customer."""
        entity = self._customers.get(row.id)
        if entity is None:
            whole = self._compose_customer(row)
            entity = Entity((whole,), len(whole), _digest(whole))
            self._customers[row.id] = entity
        return entity

    def team(self, row: Row) -> Entity:
        """A whole team, with the whole customer in it."""
        before, between, after = self._team_pieces(row)
        keys = self._joined(self._index.virtual_keys_of_team.get(row.id, ()))
        customer_row = self._index.customer.get(row.customer_id)
        if customer_row is None:
            parts = (before, between, *keys, after)
            digest = _digest(*parts)
        else:
            customer = self.customer(customer_row)
            parts = (before, *customer.parts, between, *keys, after)
            # All of the team is in its customer, too: that digest tells of both.
            digest = _digest(str(row.id).encode(), customer.digest)
        return Entity(parts, sum(map(len, parts)), digest)

    def compressed_customer(self, row: Row) -> tuple[bytes, ...]:
        """The parts of a customer, compressed (see compression.py)."""
        made = self._compressed_customers.get(row.id)
        if made is None:
            made = (compress(b"".join(self.customer(row).parts)),)
            self._compressed_customers[row.id] = made
        return made

    def compressed_team(self, row: Row) -> tuple[bytes, ...]:
        """The parts of a team, compressed; its customer as it stands elsewhere."""
        own = self._compressed_teams.get(row.id)
        if own is None:
            before, between, after = self._team_pieces(row)
            keys = self._joined(self._index.virtual_keys_of_team.get(row.id, ()))
            own = compress(before), compress(b"".join([between, *keys, after]))
            self._compressed_teams[row.id] = own
        customer_row = self._index.customer.get(row.customer_id)
        customer = self.compressed_customer(customer_row) if customer_row else ()
        return own[0], *customer, own[1]

    def _compose_customer(self, row: Row) -> bytes:
        composed = self._tree.customer(row, teams=_HOLDER, virtual_keys=_HOLDER)
        before, between, after = orjson.dumps(composed).split(_HOLE)
        pieces = [before, b"["]
        for number, team in enumerate(self._index.teams_of.get(row.id, ())):
            first, second, last = self._team_pieces(team)
            keys = self._joined(self._index.virtual_keys_of_team.get(team.id, ()))
            pieces += (b"," if number else b"", first, b"{}", second, *keys, last)
        keys = self._joined(self._index.virtual_keys_of_customer.get(row.id, ()))
        return b"".join([*pieces, b"]", between, *keys, after])

    def _team_pieces(self, row: Row) -> list[bytes]:
        pieces = self._teams.get(row.id)
        if pieces is None:
            composed = self._tree.team(row, customer=_HOLDER, virtual_keys=_HOLDER)
            pieces = orjson.dumps(composed).split(_HOLE)
            if len(pieces) == 2:  # no customer
                pieces.insert(0, b"")
            self._teams[row.id] = pieces
        return pieces

    def _joined(self, rows: list[Row] | tuple[Row, ...]) -> list[bytes]:
        """Virtual keys as the pieces of a JSON array."""
        pieces = [b"["]
        for number, row in enumerate(rows):
            if number:
                pieces.append(b",")
            pieces.append(self._virtual_key(row))
        return [*pieces, b"]"]

    def _virtual_key(self, row: Row) -> bytes:
        made = self._virtual_keys.get(row.id)
        if made is None:
            made = self._virtual_keys[row.id] = orjson.dumps(
                self._tree.virtual_key(row)
            )
        return made


def _without(made: dict[str, Any], touched: set[Any]) -> dict[str, Any]:
    rest = made.copy()  # at once: requests still add to what the old view made
    for key in touched:
        rest.pop(key, None)
    return rest


def _digest(*texts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text)
    return digest.digest()
