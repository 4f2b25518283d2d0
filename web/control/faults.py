"""Faults on purpose, for tests of clients: which there are, and which a request has.

A fault is a status with the documented error body, a delay, a connection that is cut, a
memory that stopped refreshing, or a database that is gone. Delaying and cutting is done
by faulty_connections.py; the rest is here.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Any

from errors import ApiError
from snapshot.sources import SnapshotSource
from web.access_log import log_request, sane_request_id
from web.control.guard import CONTROL_PREFIX
from web.control.preferences import preferred
from web.cors import is_preflight
from web.error_responses import error_body, error_headers
from web.lists import LISTS, SOURCE, Lists
from web.replies import Headers, Reply
from web.short_cut import Environ
from web.surroundings import Surrounding

FAULTS = "governance.faults"  # where an environment keeps the faults of its request
APPLIED = "governance.preference_applied"

# As the service itself says it; others are named by what the status is called.
_CODES = {
    400: "bad_request",
    401: "invalid_credentials",
    500: "internal_error",
    503: "database_unavailable",
}


@dataclass
class Fault:
    """One fault. `value` is the status, the seconds, or for a stale or gone database
    the snapshots and the lists to answer from; `left` how many requests it is still
    for, None until it is taken back; `route` a path, or None for all.
    """

    kind: str
    value: Any
    route: str | None = None
    left: int | None = None
    number: int = 0


@dataclass(frozen=True)
class Instead:
    """The snapshots and lists that a stale or gone database answers from."""

    source: SnapshotSource
    lists: Lists


class Faults(Surrounding):
    """The faults that there are. May be used by many threads."""

    def __init__(self, *, by_header: bool) -> None:
        self._by_header = by_header  # whether the Prefer header is honoured
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._numbers = 0

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._numbers += 1
            fault.number = self._numbers
            self._faults.append(fault)

    def all(self) -> list[Fault]:
        with self._lock:
            return [*self._faults]

    def take_back(self, number: int) -> bool:
        """Take one fault back; return whether it was there."""
        with self._lock:
            kept = [fault for fault in self._faults if fault.number != number]
            was_there = len(kept) < len(self._faults)
            self._faults = kept
        return was_there

    def clear(self) -> None:
        with self._lock:
            self._faults = []

    def take(self, environ: Environ) -> Mapping[str, Any]:
        """Return what a request is to suffer, by kind, and note it in its environment.

        Called once for a request. Of each kind it has one at most: what its header
        says, else the oldest. A preflight has none: the request that follows has it.
        """
        if environ["PATH_INFO"].startswith(CONTROL_PREFIX) or is_preflight(environ):
            return {}
        suffered = self._preferred(environ) if self._by_header else {}
        with self._lock:
            for fault in self._faults:
                if fault.kind in suffered or fault.route not in (
                    None,
                    environ["PATH_INFO"],
                ):
                    continue
                suffered[fault.kind] = fault.value
                if fault.left is not None:
                    fault.left -= 1
            self._faults = [fault for fault in self._faults if fault.left != 0]
        if suffered:
            environ[FAULTS] = suffered
        return suffered

    def _preferred(self, environ: Environ) -> dict[str, Any]:
        header = environ.get("HTTP_PREFER")
        if header is None:
            return {}
        try:
            wish = preferred(header)
        except ApiError as problem:
            return {"problem": problem}
        if applied := wish.applied():
            environ[APPLIED] = applied
        kinds = {"status": wish.status, "delay": wish.delay}
        return {kind: value for kind, value in kinds.items() if value is not None}

    def instead(self, environ: Environ) -> Reply | None:
        """Return the failure that a request is to get, or see to it that the answer
        comes from other snapshots.
        """
        suffered = environ.get(FAULTS, {})
        if problem := suffered.get("problem"):
            return _reply(environ, problem)
        if suffered.get("status", 200) != 200:
            return _reply(environ, _failure(suffered["status"]))
        instead = suffered.get("unavailable") or suffered.get("stale")
        if instead is not None:
            environ[SOURCE], environ[LISTS] = instead.source, instead.lists
        return None

    def extend(self, environ: Environ, status: int, headers: Headers) -> None:
        if applied := environ.get(APPLIED):
            headers.append(("Preference-Applied", applied))
        if self._by_header:
            headers.append(("Vary", "Prefer"))


def _failure(status: int) -> ApiError:
    phrase = HTTPStatus(status).phrase
    slug = phrase.lower().replace(" ", "_").replace("-", "_").replace("'", "")
    message = f"{phrase}: this failure was asked for."
    return ApiError(status, _CODES.get(status, slug), message)


def _reply(environ: Environ, error: ApiError) -> Reply:
    request_id = sane_request_id(environ)
    body = error_body(error, request_id)
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Request-Id", request_id),
        *error_headers(error.status),
    ]
    log_request(environ, error.status, len(body), monotonic(), request_id, None)
    phrase = HTTPStatus(error.status).phrase
    return Reply(f"{error.status} {phrase}", headers, [body], len(body))
