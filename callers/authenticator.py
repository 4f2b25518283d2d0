"""Callers from Authorization headers, and what each caller sees.

The kinds of caller that a route accepts are set at the route.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, partial
from hashlib import blake2b
from math import inf
from time import time
from typing import NamedTuple
from urllib.parse import quote

import values
from callers.api_keys import PREFIX, RANDOM_LENGTH, ApiKeyReader
from callers.tokens import Claims, InvalidToken, Verifier
from errors import InvalidCredentials, MissingCredentials
from models import Row
from settings import Settings
from snapshot.snapshot import EVERYTHING, Scope, Snapshot
from store.failures import DatabaseUnavailable

VIRTUAL_KEY_PREFIX = "sk-bf-"
REMEMBERED_CREDENTIALS = 4096
# Other schemes, which messages name; what is none of these may itself be a token.
_SCHEMES = {"basic": "Basic", "digest": "Digest", "negotiate": "Negotiate"}

_API_KEY = re.compile(f"{PREFIX}[A-Za-z0-9]{{{RANDOM_LENGTH}}}", re.ASCII)


class Kind(StrEnum):
    """The kinds of caller. The text is what messages and the log call them."""

    MANAGEMENT_KEY = "management API key"
    ADMIN_JWT = "admin JWT"
    VIRTUAL_KEY_JWT = "virtual-key JWT"
    VIRTUAL_KEY = "virtual key"
    JWT = "JWT"  # not valid, so that its role is not known
    NOBODY = "nobody"  # authentication is off


SEES_EVERYTHING = (Kind.MANAGEMENT_KEY, Kind.ADMIN_JWT, Kind.NOBODY)


@dataclass(frozen=True)
class Caller:
    """A caller. A virtual key is known by hash or id; snapshots say if it is valid."""

    kind: Kind
    virtual_key_id: str = ""
    value_hash: str = ""
    name: str = ""  # of a management API key

    @cached_property
    def shown(self) -> str:
        """The caller's name in the log."""
        kind = self.kind.replace(" ", "-")
        return f"{kind}:{quote(self.name)}" if self.name else kind


class Known(NamedTuple):
    """A credential that was accepted, and what it depends on that it still is."""

    caller: Caller
    api_key: Row | None = None
    expires: float = inf  # Unix time


class Authenticator:
    """Finds callers by their headers, and what they see."""

    def __init__(self, settings: Settings) -> None:
        self._off = settings.auth == "off"
        self._all_teams = settings.virtual_key_scope == "all"
        self._api_keys = ApiKeyReader(settings.access_database)
        self._verifier = Verifier(settings)
        self._known: dict[bytes, Known] = {}  # by a hash of the header

    def api_keys_problem(self) -> str | None:
        """Return why API keys cannot be looked up; a missing file just has none."""
        try:
            self._api_keys.find("")
        except DatabaseUnavailable as failure:
            return f"the API keys' file {failure.reason}"
        return None

    def close(self) -> None:
        self._api_keys.close()

    def identify(
        self,
        header: str | None,
        remote: str | None,
        taken: tuple[Kind, ...],
        asked: float | None = None,
    ) -> Caller:
        """Return the caller of an Authorization header on a route for these kinds.

        By the API keys as they are now, or were at any time after `asked` (as of
        time.monotonic). Raises MissingCredentials, InvalidCredentials, and
        DatabaseUnavailable for the API keys' file. Virtual keys are checked later, by
        `scope` and a snapshot.
        """
        find = partial(self._api_keys.find, asked=asked)
        verify = self._verifier.verify
        return self._identify(header, remote, taken, find, verify).caller

    def identify_at_once(
        self, header: str | None, remote: str | None, taken: tuple[Kind, ...]
    ) -> Caller:
        """Return the caller if no file must be read for it; otherwise raise WouldWait.

        Raises MissingCredentials and InvalidCredentials as `identify` does.
        """
        if self._off:
            return _loopback_caller(remote)
        digest = digest_of(header)
        known = self._known.get(digest)
        if known is not None and known.caller.kind in taken and self.holds(known):
            return known.caller
        find, verify = self._api_keys.find_at_once, self._verifier.remembered
        known = self._identify(header, remote, taken, find, verify)
        if len(self._known) >= REMEMBERED_CREDENTIALS:
            self._known = {}
        self._known[digest] = known
        return known.caller

    def known(self, header: str | None) -> "Known | None":
        """Return a credential that was accepted at once before, whether it still is."""
        return self._known.get(digest_of(header))

    def holds(self, known: "Known") -> bool:
        """Return True if a credential that was accepted before still is, for sure.

        Raises WouldWait where that cannot be known at once.
        """
        if known.api_key is not None and not self._api_keys.still_has(known.api_key):
            return False
        return time() < known.expires

    def _identify(
        self,
        header: str | None,
        remote: str | None,
        taken: tuple[Kind, ...],
        find_api_key: Callable[[str], Row | None],
        verify: Callable[[str], Claims],
    ) -> "Known":
        if self._off:
            return Known(_loopback_caller(remote))
        token = _bearer_token(header)
        kind = _shape(token)
        if kind is Kind.VIRTUAL_KEY:
            _require_taken(kind, taken)
            value_hash = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
            return Known(Caller(kind, value_hash=value_hash))
        if kind is Kind.MANAGEMENT_KEY:
            return _management_key(find_api_key(token))
        return _jwt(lambda: verify(token), taken)

    def scope(self, caller: Caller, snapshot: Snapshot) -> Scope:
        """Return what the caller sees of a snapshot.

        Raises InvalidCredentials for a virtual key that is unknown, off or expired.
        """
        if caller.kind in SEES_EVERYTHING:
            return EVERYTHING
        if caller.kind is Kind.VIRTUAL_KEY:
            virtual_key = snapshot.virtual_key_by_hash(caller.value_hash)
        else:
            virtual_key = snapshot.virtual_key(caller.virtual_key_id)
        if virtual_key is None:
            raise InvalidCredentials("The virtual key is not known.")
        _require_alive(virtual_key)
        return (
            Scope(everything=True)
            if self._all_teams
            else snapshot.scope_of(virtual_key)
        )


def digest_of(header: str | None) -> bytes:
    """Return a hash by which an Authorization header is known again."""
    return blake2b((header or "").encode("utf-8", "replace"), digest_size=32).digest()


def _jwt(verify: Callable[[], Claims], taken: tuple[Kind, ...]) -> Known:
    try:
        claims = verify()
    except InvalidToken as problem:
        if Kind.ADMIN_JWT not in taken:
            _require_taken(Kind.JWT, taken)
        raise InvalidCredentials(f"The JWT is not valid: {problem}.") from None
    if claims.role == "admin":
        caller = Caller(Kind.ADMIN_JWT)
    else:
        caller = Caller(Kind.VIRTUAL_KEY_JWT, virtual_key_id=claims.subject)
    _require_taken(caller.kind, taken)
    return Known(caller, expires=claims.expires)


def _bearer_token(header: str | None) -> str:
    scheme, _, token = (header or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer" and token:
        return token
    known = _SCHEMES.get(scheme.lower())
    problem = (
        f"Authorization: {known} is not accepted here"
        if known
        else "No credential was sent"
    )
    raise MissingCredentials(
        f"{problem}; send the header Authorization: Bearer <token>."
    )


def _shape(token: str) -> Kind:
    if token.startswith(PREFIX):
        if _API_KEY.fullmatch(token) is None:
            raise InvalidCredentials("The management API key is malformed.")
        return Kind.MANAGEMENT_KEY
    if token.startswith(VIRTUAL_KEY_PREFIX):
        return Kind.VIRTUAL_KEY
    if token.count(".") == 2:
        return Kind.JWT
    raise InvalidCredentials(
        "The token is neither a management API key, a virtual key nor a JWT."
    )


def _require_taken(kind: Kind, taken: tuple[Kind, ...]) -> None:
    # The customers document: "Virtual keys, dashboard/user/session tokens, and
    # x-api-key headers are not supported on management APIs."
    if kind not in taken:
        article = "An" if kind[0] in "aeiou" else "A"
        raise InvalidCredentials(
            f"{article} {kind} is not accepted here: this route takes only a"
            f" {' or '.join(taken)}, since it is part of the management API."
        )


def _management_key(api_key: Row | None) -> Known:
    if api_key is None:
        raise InvalidCredentials("The management API key is not known.")
    if api_key.revoked_at:
        raise InvalidCredentials("The management API key was revoked.")
    if _has_passed(api_key.expires_at):
        raise InvalidCredentials("The management API key has expired.")
    caller = Caller(Kind.MANAGEMENT_KEY, name=api_key.name)
    return Known(caller, api_key, _unix_time(api_key.expires_at))


def _require_alive(virtual_key: Row) -> None:
    try:
        active = virtual_key.is_active is None or values.flag(virtual_key.is_active)
    except (ValueError, TypeError):
        active = False  # with credentials, doubt is a no
    if not active:
        raise InvalidCredentials("The virtual key is not active.")
    if _has_passed(virtual_key.expires_at):
        raise InvalidCredentials("The virtual key has expired.")


def _unix_time(expires_at: str | None) -> float:
    """Return when a key will expire that has not yet, in whole seconds."""
    seconds = values.instant(expires_at)[0]
    return inf if seconds == values.instant(None)[0] else seconds


def _has_passed(expires_at: str | None) -> bool:
    return bool(expires_at) and values.has_passed(expires_at, datetime.now(UTC))


def _loopback_caller(remote: str | None) -> Caller:
    if not is_local(remote):
        raise MissingCredentials(
            "Authentication is off, and then only loopback addresses are answered."
        )
    return Caller(Kind.NOBODY)


def is_local(remote: str | None) -> bool:
    """Return True for a client on this machine; on a Unix socket it has no address."""
    try:
        return remote == "" or ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False
