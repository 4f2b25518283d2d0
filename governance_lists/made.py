"""Customers, teams and virtual keys as dicts, with all that was left out.

They are what `governance-lists load` takes, so that each can be loaded as it is.
"""

import re
import threading
import uuid
from collections.abc import Mapping
from typing import Any

MONTH = "1M"

Made = dict[str, Any]


class Maker:
    """Makes things with ids and names that none of the others has, in any thread."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def customer(self, name: str | None, fields: Mapping[str, Any]) -> Made:
        return self._owner("customer", name, fields)

    def team(self, name: str | None, fields: Mapping[str, Any]) -> Made:
        return self._owner("team", name, fields)

    def virtual_key(self, name: str | None, fields: Mapping[str, Any]) -> Made:
        """Return a virtual key with a value, which is its credential."""
        value = f"sk-bf-{uuid.uuid4()}"
        return {"value": value} | self._made("virtual key", name, fields)

    def provider_keys(self, provider: str, keys: int | list[Any]) -> list[Any]:
        """Return the keys of a provider, so many or as they are given."""
        if not isinstance(keys, int):
            return keys
        names = [f"{provider} key {number}" for number in range(1, keys + 1)]
        return [
            {"key_id": self._new_id(name), "name": name, "value": "env.NONE"}
            for name in names
        ]

    def _owner(self, kind: str, name: str | None, fields: Mapping[str, Any]) -> Made:
        made = self._made(kind, name, fields)
        keys = made.get("virtual_keys")
        if isinstance(keys, int):
            names = (self._unused(f"{made['name']} key") for _ in range(keys))
            keys = [{"name": each} for each in names]
        if keys is not None:
            made["virtual_keys"] = [self._inner_key(each) for each in keys]
        return made

    def _inner_key(self, given: str | Mapping[str, Any]) -> Made:
        fields = {"name": given} if isinstance(given, str) else given
        return self.virtual_key(fields.get("name"), fields)

    def _made(self, kind: str, name: str | None, fields: Mapping[str, Any]) -> Made:
        name = name or self._unused(kind.capitalize())
        made = {"id": self._new_id(f"{kind} {name}"), "name": name, **fields}
        if isinstance(budget := made.get("budget"), (int, float)):
            made["budget"] = {"max_limit": budget}
        if made.get("budget") is not None:
            made["budget"] = {"reset_duration": MONTH, **made["budget"]}
        return made

    def _unused(self, name: str) -> str:
        with self._lock:
            number = 1
            while f"{name} {number}" in self._names:
                number += 1
            self._names.add(f"{name} {number}")
            return f"{name} {number}"

    def _new_id(self, words: str) -> str:
        identity = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
        with self._lock:
            if identity not in self._names:
                self._names.add(identity)
                return identity
        return self._unused(identity).replace(" ", "-")
