"""Answers given again to requests that are the same as earlier ones.

Finding an answer and making its headers takes longer than this. Whatever an answer
depends on is either in the request, or looked at each time: whether the snapshot is
current and the same, and the credential and its virtual key still accepted.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import ref

from callers.authenticator import Authenticator, Caller, Known, digest_of
from snapshot.snapshot import Snapshot
from snapshot.sources import SnapshotSource
from web.replies import Reply

MOST = 512
MOST_BYTES = 16 * 2**20  # of all bodies together
LONGEST_REQUEST = 2000  # characters of what counts of it
# What the answer depends on, beside the credential. Who sends no Host header, or a
# prefix, is not answered here.
PARTS = (
    "PATH_INFO",
    "QUERY_STRING",
    "HTTP_HOST",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_IF_NONE_MATCH",
)

Key = tuple[object, ...]


class Repeat(NamedTuple):
    """An answer, and what must be as it was for it to be given again."""

    known: Known
    from_memory: bool
    reply: Reply  # but for its age


class Repeats:
    """Remembers answers of one snapshot, for the one thread that answers at once."""

    def __init__(self, authenticator: Authenticator, source: SnapshotSource) -> None:
        self._authenticator = authenticator
        self._source = source
        # Whoever asks nothing for a long time must not keep an old snapshot alive.
        self._snapshot: ref[Snapshot] | None = None
        self._repeats: dict[Key, Repeat] = {}
        self._bytes = 0

    def find(self, environ: Mapping[str, Any]) -> tuple[Reply, Caller] | None:
        """Return an answer that was given before and still holds, and to whom.

        Raises WouldWait, ApiError and DatabaseUnavailable where it may not.
        """
        repeat = self._repeats.get(_key(environ))
        if repeat is None:
            return None
        source = self._source
        snapshot = (
            source.remembered_at_once()
            if repeat.from_memory
            else source.current_at_once()
        )
        if self._snapshot is None or self._snapshot() is not snapshot:
            self._forget()
            return None
        known, authenticator = repeat.known, self._authenticator
        if not authenticator.holds(known):
            return None
        authenticator.scope(known.caller, snapshot)  # the same, unless a key expired
        status, headers, body, size = repeat.reply
        headers = [*headers]
        if repeat.from_memory:
            headers.append(("Age", str(source.age())))
        return Reply(status, headers, body, size), known.caller

    def remember(
        self,
        environ: Mapping[str, Any],
        snapshot: Snapshot,
        from_memory: bool,
        reply: Reply,
    ) -> None:
        """Remember a whole answer that was made of a snapshot."""
        known = self._authenticator.known(environ.get("HTTP_AUTHORIZATION"))
        texts = [environ.get(part) or "" for part in PARTS]
        if (
            known is None
            or not isinstance(reply.body, list)
            or not environ["HTTP_HOST"]
        ):
            return
        if sum(map(len, texts)) > LONGEST_REQUEST:
            return
        size = sum(map(len, reply.body))
        full = len(self._repeats) >= MOST or self._bytes + size > MOST_BYTES
        if full or self._snapshot is None or self._snapshot() is not snapshot:
            self._forget()
            self._snapshot = ref(snapshot)
        headers = [header for header in reply.headers if header[0] != "Age"]
        self._bytes += size
        ageless = reply._replace(headers=headers)
        self._repeats[_key(environ)] = Repeat(known, from_memory, ageless)

    def _forget(self) -> None:
        self._repeats, self._bytes = {}, 0


def _key(environ: Mapping[str, Any]) -> Key:
    get = environ.get
    return (
        digest_of(get("HTTP_AUTHORIZATION")),
        environ["REQUEST_METHOD"],
        get("SCRIPT_NAME"),
        *map(get, PARTS),
    )
