"""The customers and teams of a snapshot as JSON, each made once."""

import orjson

import values
from models import Row
from snapshot.changed_entities import ChangedEntities
from snapshot.entities import EntityDumper
from snapshot.json_text import Entity, JsonText, KeyPlace, TeamPlace
from store.relations import Index

# Stands in an entity's JSON where other JSON goes; JSON text never holds it.
_HOLE = b"\0"
_HOLDER = orjson.Fragment(_HOLE)

TeamPieces = tuple[bytes, bytes, bytes]  # before the customer, the keys, and after them
KeyPieces = tuple[bytes, bytes, bytes]  # before the value, the value, and after it


class EntityJson:
    """All customers and teams as JSON.

    What the `changed` entities are no part of is taken over from those `before`.
    """

    def __init__(
        self,
        index: Index,
        before: "EntityJson | None" = None,
        changed: ChangedEntities | None = None,
    ) -> None:
        self._index = index
        self._dumper = EntityDumper(index)
        self._customers: dict[str, JsonText] = {}
        self._lone_teams: dict[str, JsonText] = {}  # those without a customer
        if before is None or changed is None:
            before, changed = None, ChangedEntities()
        else:
            self._customers = _without(before._customers, changed.customers)
            self._lone_teams = _without(before._lone_teams, changed.teams)
        for row in index.customers:
            if row.id in changed.customers or before is None:
                earlier = before._customers.get(row.id) if before else None
                text = _Writing(self._dumper, earlier, changed).customer(row)
                self._customers[row.id] = text
        for row in index.teams:
            if row.id not in changed.teams and before is not None:
                continue
            if row.customer_id not in index.customer:
                earlier = before._lone_teams.get(row.id) if before else None
                text = _Writing(self._dumper, earlier, changed).lone_team(row)
                self._lone_teams[row.id] = text

    def customer(self, row: Row, *, masked: bool) -> Entity:
        """Return a whole customer; its teams have `{}` for a customer."""
        return self._customers[row.id].shown(masked=masked).whole()

    def team(self, row: Row, *, masked: bool) -> Entity:
        """Return a whole team, with the whole customer in it."""
        customer = self._index.customer.get(row.customer_id)
        if customer is None:
            text = self._lone_teams[row.id]
        else:
            text = self._customers[customer.id]
        return text.shown(masked=masked).team(row.id)


class _Writing:
    """Writes one JsonText, from an earlier one where nothing has changed."""

    def __init__(
        self, dumper: EntityDumper, earlier: JsonText | None, changed: ChangedEntities
    ) -> None:
        self._dumper = dumper
        self._index = dumper.index
        self._pieces: list[bytes] = []
        self._size = 0
        self._teams: dict[str, TeamPlace] = {}
        self._keys: list[tuple[str, KeyPlace]] = []
        self._known_teams: dict[str, TeamPieces] = {}
        self._known_keys: dict[str, KeyPieces] = {}
        if earlier is not None:
            self._take_over(earlier, changed)

    def customer(self, row: Row) -> JsonText:
        dumped = self._dumper.customer(row, teams=_HOLDER, virtual_keys=_HOLDER)
        before, between, after = orjson.dumps(dumped).split(_HOLE)
        self._write(before, b"[")
        for number, team in enumerate(self._index.teams_of.get(row.id, ())):
            if number:
                self._write(b",")
            self._write_team(team, customer=b"{}")
        self._write(b"]", between)
        self._write_keys(self._index.virtual_keys_of_customer.get(row.id, ()))
        self._write(after)
        return self._finished()

    def lone_team(self, row: Row) -> JsonText:
        self._write_team(row, customer=b"")
        return self._finished()

    def _take_over(self, earlier: JsonText, changed: ChangedEntities) -> None:
        text = earlier.text
        for team_id, team in earlier.teams.items():
            if team_id not in changed.teams:
                start, customer, customer_end, keys, keys_end, end = team
                self._known_teams[team_id] = (
                    text[start:customer],
                    text[customer_end:keys],
                    text[keys_end:end],
                )
        for key_id, (start, value, value_end, end) in earlier.virtual_keys():
            if key_id not in changed.virtual_keys:
                self._known_keys[key_id] = (
                    text[start:value],
                    text[value:value_end],
                    text[value_end:end],
                )

    def _finished(self) -> JsonText:
        return JsonText(b"".join(self._pieces), self._teams, self._keys)

    def _write(self, *pieces: bytes) -> None:
        self._pieces += pieces
        self._size += sum(map(len, pieces))

    def _write_team(self, row: Row, customer: bytes) -> None:
        first, second, last = self._known_teams.get(row.id) or self._make_team(row)
        start = self._size
        self._write(first)
        customer_at = self._size
        self._write(customer)
        customer_end = self._size
        self._write(second)
        keys_at = self._size
        self._write_keys(self._index.virtual_keys_of_team.get(row.id, ()))
        keys_end = self._size
        self._write(last)
        self._teams[row.id] = TeamPlace(
            start, customer_at, customer_end, keys_at, keys_end, self._size
        )

    def _make_team(self, row: Row) -> TeamPieces:
        dumped = self._dumper.team(row, customer=_HOLDER, virtual_keys=_HOLDER)
        *first, second, last = orjson.dumps(dumped).split(_HOLE)
        return (first[0] if first else b""), second, last

    def _write_keys(self, rows: list[Row] | tuple[Row, ...]) -> None:
        """Write virtual keys as a JSON array."""
        self._write(b"[")
        for number, row in enumerate(rows):
            if number:
                self._write(b",")
            first, value, last = self._known_keys.get(row.id) or self._make_key(row)
            start = self._size
            self._write(first, value, last)
            value_at = start + len(first)
            place = KeyPlace(start, value_at, value_at + len(value), self._size)
            self._keys.append((row.id, place))
        self._write(b"]")

    def _make_key(self, row: Row) -> KeyPieces:
        dumped = self._dumper.virtual_key(row, value=_HOLDER)
        first, last = orjson.dumps(dumped).split(_HOLE)
        return first, orjson.dumps(values.text(row.value)), last


def _without(texts: dict[str, JsonText], changed: set[str]) -> dict[str, JsonText]:
    rest = texts.copy()
    for each in changed:
        rest.pop(each, None)
    return rest
