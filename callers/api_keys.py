"""Management API keys, of which only hashes are kept."""

import hashlib
import secrets
import string
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta

import peewee

from addresses import Address
from errors import WouldWait
from models import Row
from store.failures import IS_MISSING, DatabaseUnavailable
from store.key_store import ApiKey, open_key_reader, writing_keys
from store.own import NotOurs
from store.rows import Mark
from store.shared_look import SharedLook

PREFIX = "bfst-"
RANDOM_LENGTH = 44  # letters and digits: 262 bits
SHOWN_LENGTH = 12  # what `api-key list` shows of a key

_NONE_TO_REVOKE = 'there is no API key "{}" that could be revoked'
_ALPHABET = string.ascii_letters + string.digits


class ApiKeyError(Exception):
    """A key cannot be made or revoked; the text says why."""


class ApiKeyReader:
    """Looks keys up for requests; a change in the file counts from the next one on."""

    def __init__(self, address: Address) -> None:
        self._reader = open_key_reader(address)
        self._look = SharedLook(self._refresh)
        self._failure: DatabaseUnavailable | None = None
        self._mark: Mark = ()
        self._by_hash: dict[str, Row] = {}

    def find(self, token: str, asked: float | None = None) -> Row | None:
        """The key with this text, expired and revoked ones too.

        As the file is now, or was at a moment after `asked` (by time.monotonic). Raises
        DatabaseUnavailable where there is a file that cannot be read.
        """
        wanted = _sha256(token)
        with self._look.since(asked):
            if self._failure is not None:
                raise DatabaseUnavailable(self._failure.path, self._failure.reason)
            return self._by_hash.get(wanted)

    def find_at_once(self, token: str) -> Row | None:
        """Return the key with this text, where the file shows at once that it is known.

        Raises WouldWait where another thread is looking, or the file is locked, changed
        or not there.
        """
        with self._look.at_once():
            if not self._is_unchanged():
                raise WouldWait
            return self._by_hash.get(_sha256(token))

    def still_has(self, key: Row) -> bool:
        """Return True if a key that was found is as it was, by a look at the file.

        Raises WouldWait as `find_at_once` does.
        """
        with self._look.at_once():
            if not self._is_unchanged():
                raise WouldWait
            return self._by_hash.get(key.sha256) is key

    def verify(self) -> None:
        """Raise DatabaseUnavailable where there is a file that cannot be read."""
        self.find("")
        self.close()

    def close(self) -> None:
        with self._look.ended():
            self._reader.close()

    def _is_unchanged(self) -> bool:
        if self._reader.settled() == self._mark:
            return True
        try:
            return self._reader.mark_at_once() == self._mark
        except DatabaseUnavailable:
            return False

    def _refresh(self) -> None:
        if self._reader.settled() == self._mark:
            return
        try:
            mark = self._reader.mark()
            if mark != self._mark:
                rows = self._reader.read()[ApiKey]
                self._by_hash = {row.sha256: row for row in rows}
                self._mark = mark
            self._failure = None
        except DatabaseUnavailable as failure:
            self._mark, self._by_hash = (), {}
            self._failure = None if failure.reason == IS_MISSING else failure


def create_api_key(
    address: Address, name: str, lifetime: timedelta | None = None
) -> str:
    """Make a key and return it, the only time that it is seen.

    Raises ApiKeyError where a key of that name is in use.
    """
    if not name.strip():
        raise ApiKeyError("the name of an API key must not be empty")
    token = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_LENGTH))
    now = datetime.now(UTC)
    with _writing(address):
        if ApiKey.select().where(_unrevoked(name)).exists():
            raise ApiKeyError(f'there is an API key "{name}" already; revoke it first')
        ApiKey.create(
            name=name,
            shown=token[:SHOWN_LENGTH],
            sha256=_sha256(token),
            created_at=_time_text(now),
            expires_at=_time_text(now + lifetime) if lifetime else None,
        )
    return token


def revoke_api_key(address: Address, name: str) -> None:
    """Revoke the key of that name. Raises ApiKeyError where there is none."""
    with suppress(DatabaseUnavailable):  # writing waits for it, or says why
        keys = list_api_keys(address)
        if not any(key.name == name and not key.revoked_at for key in keys):
            raise ApiKeyError(_NONE_TO_REVOKE.format(name))
    with _writing(address):
        revoked = ApiKey.update(revoked_at=_time_text(datetime.now(UTC)))
        if not revoked.where(_unrevoked(name)).execute():
            raise ApiKeyError(_NONE_TO_REVOKE.format(name))


def list_api_keys(address: Address) -> list[Row]:
    """All keys, oldest first; none where none was made yet."""
    try:
        with closing(open_key_reader(address)) as reader:
            return reader.read()[ApiKey]
    except DatabaseUnavailable as failure:
        if failure.reason == IS_MISSING:
            return []
        raise


@contextmanager
def _writing(address: Address) -> Iterator[None]:
    try:
        with writing_keys(address):
            yield
    except NotOurs as problem:
        raise ApiKeyError(str(problem)) from problem


def _unrevoked(name: str) -> peewee.Expression:
    return (ApiKey.name == name) & ApiKey.revoked_at.is_null()


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _time_text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
