"""The JSON text of a customer, with the places of its teams and virtual keys in it.

So nothing is held twice: a team is cut out of its customer's text, and masked texts are
made of clear ones.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from itertools import starmap
from typing import NamedTuple

import orjson

import values
from snapshot.gzip_parts import compress


class TeamPlace(NamedTuple):
    """Where a team begins and ends in a text, and its customer and keys in it."""

    start: int
    customer: int
    customer_end: int
    keys: int
    keys_end: int
    end: int


class KeyPlace(NamedTuple):
    """Where a virtual key begins and ends in a text, and its value in it."""

    start: int
    value: int
    value_end: int
    end: int


class Entity(NamedTuple):
    """One entity of a list: its JSON in parts, plain and compressed (see gzip_parts),
    the size of the plain ones, and a digest of the content.
    """

    parts: Callable[[], Iterable[bytes]]
    compressed: Callable[[], Iterable[bytes]]
    size: int
    digest: bytes


class JsonText:
    """A customer with its teams, in which `{}` stands for the customer; or one team
    without a customer. Virtual keys have their values in clear.
    """

    def __init__(
        self,
        text: bytes,
        teams: dict[str, TeamPlace],
        keys: list[tuple[str, KeyPlace]],
    ) -> None:
        self.text = text
        self.teams = teams
        # There are many: numbers side by side take a tenth of the memory of tuples.
        self._key_ids = tuple(key_id for key_id, _ in keys)
        self._key_places = [
            array("Q", each) for each in zip(*(place for _, place in keys), strict=True)
        ]
        self._shown = Shown(self), ShownMasked(self)

    def shown(self, *, masked: bool) -> "Shown":
        """Return the text as it is shown to those who see keys masked, or clear."""
        return self._shown[masked]

    def virtual_keys(self) -> Iterator[tuple[str, KeyPlace]]:
        """The places of the virtual keys, with their ids, from first to last."""
        places = starmap(KeyPlace, zip(*self._key_places, strict=True))
        return zip(self._key_ids, places, strict=True)

    def values_within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The places of the virtual keys' values in a part of the text."""
        if not self._key_places:
            return
        _, values_at, values_end, _ = self._key_places
        for number in range(bisect_left(values_at, start), len(values_at)):
            if values_at[number] >= end:
                return
            yield values_at[number], values_end[number]


class Shown:
    """A text as callers see it who see virtual keys' values."""

    def __init__(self, json: JsonText) -> None:
        self._json = json
        self._compressed_teams: dict[str, tuple[bytes, bytes]] = {}

    def cut(self, start: int, end: int) -> bytes:
        """Return a part of the text."""
        return self._json.text[start:end]

    def size_of(self, start: int, end: int) -> int:
        """Return the size of a part of the text."""
        return end - start

    def whole(self) -> Entity:
        """Return all of the text as an entity."""
        return self._whole

    def team(self, team_id: str) -> Entity:
        """Return one team of the text, with the whole customer in it."""
        place = self._json.teams[team_id]
        if place.customer == place.customer_end:  # it has none, and is the whole text
            return self._whole
        size = (
            self.size_of(place.start, place.customer)
            + self._whole.size
            + self.size_of(place.customer_end, place.end)
        )
        # All of the team is in its customer, too, whose digest is of both.
        digest = _digest(str(team_id).encode() + self._whole.digest)
        compressed = partial(self._compressed_team, team_id)
        return Entity(partial(self._team_parts, place), compressed, size, digest)

    def _team_parts(self, place: TeamPlace) -> Iterable[bytes]:
        yield self.cut(place.start, place.customer)
        yield from self._whole.parts()
        yield self.cut(place.customer_end, place.end)

    def _compressed_team(self, team_id: str) -> Iterable[bytes]:
        own = self._compressed_teams.get(team_id)
        if own is None:
            place = self._json.teams[team_id]
            first = compress(self.cut(place.start, place.customer))
            own = first, compress(self.cut(place.customer_end, place.end))
            self._compressed_teams[team_id] = own
        return own[0], *self._compressed, own[1]

    @cached_property
    def _whole(self) -> Entity:
        whole = self._all()
        return Entity(
            lambda: (self._all(),),
            lambda: self._compressed,
            len(whole),
            _digest(whole),
        )

    @cached_property
    def _compressed(self) -> tuple[bytes]:
        return (compress(self._all()),)

    def _all(self) -> bytes:
        return self.cut(0, len(self._json.text))


class ShownMasked(Shown):
    """A text as callers see it who see virtual keys' values masked."""

    def cut(self, start: int, end: int) -> bytes:
        pieces = []
        for value, value_end in self._json.values_within(start, end):
            pieces.append(super().cut(start, value))
            pieces.append(_masked(super().cut(value, value_end)))
            start = value_end
        return b"".join([*pieces, super().cut(start, end)])

    def size_of(self, start: int, end: int) -> int:
        return len(self.cut(start, end))


def _masked(value: bytes) -> bytes:
    return orjson.dumps(values.mask_value(orjson.loads(value)))


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()
