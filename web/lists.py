"""The two lists: from a request's header and query to the answer. Knows no Flask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

from marshmallow import ValidationError
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from callers.authenticator import Authenticator, Caller, Kind
from errors import ApiError, WouldWait
from schemas import CustomersQuerySchema, Query, TeamsQuerySchema
from snapshot.answers import Answer
from snapshot.snapshot import Scope, Snapshot
from snapshot.sources import SnapshotSource
from web.repeats import Repeats
from web.replies import Reply
from web.serving.streams import StreamLimit

REMEMBERED_LENGTH = 1000  # characters of a query; longer ones are loaded each time
LONGEST_QUERY = 16_384  # characters; taking longer ones apart would hold others up
MOST_PARAMETERS = 256
LONGEST_ENCODINGS = 200  # characters of an Accept-Encoding header
GZIP_MINIMUM = 1400  # bytes: what fits one packet gains nothing
# Compressing goes on for a second with each 100 MB of different content, whoever still
# waits for it.
GZIP_MAXIMUM = 2**30


@dataclass(frozen=True)
class List:
    """One of the lists: its answers, which credentials it takes, its query."""

    name: str
    answer: Callable[[Snapshot, Query, Scope], Answer]
    taken: tuple[Kind, ...]
    query: CustomersQuerySchema


TEAMS = List(
    "teams",
    lambda snapshot, query, scope: snapshot.teams(query, scope),
    (Kind.MANAGEMENT_KEY, Kind.ADMIN_JWT, Kind.VIRTUAL_KEY_JWT, Kind.VIRTUAL_KEY),
    TeamsQuerySchema(),
)
CUSTOMERS = List(
    "customers",
    lambda snapshot, query, scope: snapshot.customers(query, scope),
    (Kind.MANAGEMENT_KEY,),
    CustomersQuerySchema(),
)
HEADERS = (
    ("Cache-Control", "private, no-cache"),
    ("Vary", "Authorization, Accept-Encoding"),
)
JSON = ("Content-Type", "application/json")
ASKED = "governance.asked"  # where a WSGI environment keeps what it asks
# and, under a fault, the snapshots and the lists to answer from instead.
SOURCE, LISTS = "governance.source", "governance.lists"
CALLER = "governance.caller"  # and who asks, once that is known

PATHS = {"/api/governance/teams": TEAMS, "/api/governance/customers": CUSTOMERS}


class Asked(NamedTuple):
    """The parts of a request that count, and when it came (by time.monotonic)."""

    authorization: str | None
    remote: str | None
    query_string: str
    if_none_match: str | None
    accept_encoding: str | None
    at: float


class Found(NamedTuple):
    """The answer to a request, and its age in seconds where it is from memory."""

    answer: Answer
    zipped: bool
    whole: bool  # not a page
    age: int | None
    snapshot: Snapshot


class Lists:
    """Answers the lists. May be used by many threads."""

    def __init__(self, authenticator: Authenticator, keeper: SnapshotSource) -> None:
        self._authenticator = authenticator
        self._keeper = keeper
        self._streams = StreamLimit()
        self.repeats = Repeats(authenticator, keeper)

    def identify(self, of: List, asked: Asked) -> Caller:
        """Return who asks. Raises ApiError, and DatabaseUnavailable (of API keys)."""
        return self._authenticator.identify(
            asked.authorization, asked.remote, of.taken, asked.at
        )

    def find(self, of: List, asked: Asked, caller: Caller) -> Found:
        """Return the list as the caller sees it. Raises ApiError, DatabaseUnavailable.

        The parameters are judged last: who may not call is not told what is wrong with
        them. The same snapshot judges a virtual key and answers.
        """
        query, problem = load_query(of.query, asked.query_string)
        self._keeper.start()
        remembered = query.from_memory
        snapshot = (
            self._keeper.remembered() if remembered else self._keeper.current(asked.at)
        )
        scope = self._authenticator.scope(caller, snapshot)
        if problem is not None:
            name, words = problem
            message = f"The parameter {name} {words}."
            raise ApiError(400, "invalid_parameter", message, name)
        answer = of.answer(snapshot, query, scope)
        return self._found(answer, asked, query, snapshot)

    def find_at_once(self, of: List, asked: Asked) -> tuple[Found, Caller]:
        """Return an answer that is made already, and who asks for it.

        Raises WouldWait where there is none, or that it is current cannot be known at
        once; ApiError and DatabaseUnavailable as `find` may, or may not after waiting.
        """
        query, problem = load_query(of.query, asked.query_string)
        caller = self._authenticator.identify_at_once(
            asked.authorization, asked.remote, of.taken
        )
        remembered = query.from_memory
        snapshot = (
            self._keeper.remembered_at_once()
            if remembered
            else self._keeper.current_at_once()
        )
        scope = self._authenticator.scope(caller, snapshot)
        answer = None if problem else snapshot.kept(of.name, query, scope)
        if answer is None:
            raise WouldWait
        found = self._found(answer, asked, query, snapshot)
        if found.zipped and not answer.is_zipped:
            raise WouldWait
        return found, caller

    def reply(self, found: Found, asked: Asked, *, head: bool = False) -> Reply:
        """Return what is sent of an answer, or that the client has it already.

        Of a HEAD request's only the headers are made. Raises Busy where too many large
        answers are being sent.
        """
        answer, zipped, whole, age = found[:4]
        etag = answer.zipped_etag if zipped else answer.etag
        headers = [*HEADERS, ("ETag", etag)]
        if age is not None:
            headers.append(("Age", str(age)))
        if asked.if_none_match is not None and _has_it(asked.if_none_match, etag):
            return Reply("304 Not Modified", headers, [], None)
        headers.append(JSON)
        body = answer.plain
        if zipped:
            headers.append(("Content-Encoding", "gzip"))
            if head and not answer.is_zipped:
                return Reply("200 OK", headers, [], None)
            body = answer.zipped()
        headers.append(("Content-Length", str(body.size)))
        if head:
            return Reply("200 OK", headers, [], body.size)
        sent = body.sent()
        if not isinstance(sent, list):
            sent = self._streams.limited(sent, whole=whole)
        return Reply("200 OK", headers, sent, body.size)

    def remember(self, environ: Mapping[str, Any], found: Found, reply: Reply) -> None:
        """Remember what was found at once, for who asks the same again."""
        from_memory = found.age is not None
        self.repeats.remember(environ, found.snapshot, from_memory, reply)

    def _found(
        self,
        answer: Answer,
        asked: Asked,
        query: Query,
        snapshot: Snapshot,
    ) -> Found:
        worth = GZIP_MINIMUM <= answer.plain.size <= GZIP_MAXIMUM
        zipped = worth and accepts_gzip(asked.accept_encoding)
        age = self._keeper.age() if query.from_memory else None
        return Found(answer, zipped, not query.paged, age, snapshot)


def load_query(
    schema: CustomersQuerySchema, query_string: str
) -> tuple[Query, tuple[str, str] | None]:
    """A query's parameters, and the first that is of the wrong kind with the reason."""
    if len(query_string) > REMEMBERED_LENGTH:  # who may not call can send it, too
        return _load_query.__wrapped__(schema, query_string)
    return _load_query(schema, query_string)


@lru_cache(1024)  # the same few queries come again and again
def _load_query(
    schema: CustomersQuerySchema, query_string: str
) -> tuple[Query, tuple[str, str] | None]:
    arguments: dict[str, str] = {}
    # The first of several; what stands beyond the last place may as well be unknown.
    parameters = query_string.split("&", MOST_PARAMETERS)[:MOST_PARAMETERS]
    for name, value in parse_qsl("&".join(parameters), keep_blank_values=True):
        arguments.setdefault(name, value)
    try:
        return cast(Query, schema.load(arguments)), None
    except ValidationError as invalid:
        name, words = next(iter(invalid.messages_dict.items()))
        valid = cast(dict[str, Any], invalid.valid_data)
        return Query(from_memory=bool(valid.get("from_memory"))), (str(name), words[0])


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Return True if an Accept-Encoding header takes gzip (RFC 9110, 12.5.3)."""
    if not accept_encoding or len(accept_encoding) > LONGEST_ENCODINGS:
        return False
    return _accepts_gzip(accept_encoding)


@lru_cache(256)
def _accepts_gzip(accept_encoding: str) -> bool:
    return parse_accept_header(accept_encoding, Accept).quality("gzip") > 0


def _has_it(if_none_match: str, etag: str) -> bool:
    # Weak comparison: W/ before a tag does not matter (RFC 9110, 13.1.2).
    return etag in if_none_match or if_none_match.strip() == "*"


def asked_of(environ: Mapping[str, Any]) -> Asked:
    """Return what counts of a WSGI request."""
    return environ.get(ASKED) or Asked(
        environ.get("HTTP_AUTHORIZATION"),
        environ.get("REMOTE_ADDR"),
        environ.get("QUERY_STRING", ""),
        environ.get("HTTP_IF_NONE_MATCH"),
        environ.get("HTTP_ACCEPT_ENCODING"),
        monotonic(),
    )
