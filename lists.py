"""The two lists: from a request's header and query to the answer. Knows no Flask.

Flask's views call it, and so does the short cut, which skips Flask where all is well:
routing, request and response objects cost several times what the answer does.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

from marshmallow import ValidationError

from access_log import log_request, sane_request_id
from auth import Authenticator, Caller, Kind
from errors import ApiError
from keeper import Keeper
from schemas import CustomersQuerySchema, Query, TeamsQuerySchema
from snapshot import Answer, Scope, Snapshot

REMEMBERED_LENGTH = 1000  # characters of a query; longer ones are loaded each time
GZIP_MINIMUM = 1400  # bytes: what fits one packet gains nothing


@dataclass(frozen=True)
class List:
    """One of the lists: its answers, which credentials it takes, its query."""

    answer: Callable[[Snapshot, Query, Scope], Answer]
    taken: tuple[Kind, ...]
    query: CustomersQuerySchema


TEAMS = List(
    lambda snapshot, query, scope: snapshot.teams(query, scope),
    (Kind.MANAGEMENT_KEY, Kind.ADMIN_JWT, Kind.VIRTUAL_KEY_JWT, Kind.VIRTUAL_KEY),
    TeamsQuerySchema(),
)
CUSTOMERS = List(
    lambda snapshot, query, scope: snapshot.customers(query, scope),
    (Kind.MANAGEMENT_KEY,),
    CustomersQuerySchema(),
)
ASKED = "governance.asked"  # where a WSGI environment keeps what it asks

PATHS = {"/api/governance/teams": TEAMS, "/api/governance/customers": CUSTOMERS}


class Asked(NamedTuple):
    """What of a request counts, as it came, and when (by time.monotonic)."""

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
    age: int | None

    @property
    def is_made(self) -> bool:
        """Whether it can be sent at once; compressing it may take a second."""
        return self.answer.is_zipped or not self.zipped


class Reply(NamedTuple):
    """An answer on its way: a list of one body, or its pieces; `size` in bytes."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]
    size: int | None


class Lists:
    """Answers the lists. May be used by many threads."""

    def __init__(self, authenticator: Authenticator, keeper: Keeper) -> None:
        self._authenticator = authenticator
        self._keeper = keeper

    def identify(self, of: List, asked: Asked) -> Caller:
        """Who asks. Raises ApiError, DatabaseUnavailable (the API keys' file)."""
        return self._authenticator.identify(
            asked.authorization, asked.remote, of.taken, asked.at
        )

    def find(self, of: List, asked: Asked, caller: Caller) -> Found:
        """The list as the caller sees it. Raises ApiError and DatabaseUnavailable.

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
        zipped = answer.plain.size >= GZIP_MINIMUM and accepts_gzip(
            asked.accept_encoding
        )
        return Found(answer, zipped, self._keeper.age() if remembered else None)


def reply(found: Found, asked: Asked) -> Reply:
    """What is sent of an answer that was found, or that the client has it already."""
    answer, zipped, age = found
    etag = answer.zipped_etag if zipped else answer.etag
    headers = [
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Authorization, Accept-Encoding"),
        ("ETag", etag),
    ]
    if age is not None:
        headers.append(("Age", str(age)))
    if _has_it(asked.if_none_match, etag):
        return Reply("304 Not Modified", headers, [], None)
    headers.append(("Content-Type", "application/json"))
    body = answer.plain
    if zipped:
        headers.append(("Content-Encoding", "gzip"))
        body = answer.zipped()
    headers.append(("Content-Length", str(body.size)))
    return Reply("200 OK", headers, body.sent(), body.size)


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
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        arguments.setdefault(name, value)
    try:
        return cast(Query, schema.load(arguments)), None
    except ValidationError as invalid:
        name, words = next(iter(invalid.messages_dict.items()))
        valid = cast(dict[str, Any], invalid.valid_data)
        return Query(from_memory=bool(valid.get("from_memory"))), (str(name), words[0])


@lru_cache(256)
def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether an Accept-Encoding header takes gzip (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for choice in (accept_encoding or "").lower().split(","):
        coding, _, weight = choice.partition(";")
        digits = weight.strip().removeprefix("q=").strip()
        try:
            weights[coding.strip()] = float(digits or "1")
        except ValueError:
            weights[coding.strip()] = 0
    return weights.get("gzip", weights.get("*", 0)) > 0


def _has_it(if_none_match: str | None, etag: str) -> bool:
    # Weak comparison: W/ before a tag does not matter (RFC 9110, 13.1.2).
    return if_none_match is not None and (
        etag in if_none_match or if_none_match.strip() == "*"
    )


Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ShortCut:
    """Answers the lists in front of Flask; all else, failures too, is Flask's."""

    def __init__(self, flask: Wsgi, lists: Lists) -> None:
        self._flask = flask
        self._lists = lists
        # Threads that answer at the same time hand Python's lock to each other whenever
        # one looks at a file, at several times the cost of the look. Taking turns, they
        # do not, and one look serves all who waited meanwhile. One lock for each mode:
        # answers from memory wait for no snapshot that is being taken.
        self._turns = {False: Lock(), True: Lock()}

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        of = PATHS.get(environ["PATH_INFO"])
        if of is None or environ["REQUEST_METHOD"] != "GET" or environ["SCRIPT_NAME"]:
            return self._flask(environ, start_response)
        asked = environ[ASKED] = asked_of(environ)

        def send(found: Found, caller: Caller) -> Iterable[bytes]:
            sent = reply(found, asked)
            request_id = sane_request_id(environ)
            path, status = environ["PATH_INFO"], sent.status[:3]
            log_request(
                "GET", path, status, sent.size, asked.at, request_id, caller.kind
            )
            start_response(sent.status, [*sent.headers, ("X-Request-Id", request_id)])
            return sent.body

        try:
            query, _ = load_query(of.query, asked.query_string)
            with self._turns[query.from_memory]:
                caller = self._lists.identify(of, asked)
                found = self._lists.find(of, asked, caller)
                if found.is_made:
                    return send(found, caller)
            return send(found, caller)
        except Exception:
            return self._flask(environ, start_response)  # which tells what is wrong


def asked_of(environ: Mapping[str, Any]) -> Asked:
    """What counts of a WSGI request."""
    return environ.get(ASKED) or Asked(
        environ.get("HTTP_AUTHORIZATION"),
        environ.get("REMOTE_ADDR"),
        environ.get("QUERY_STRING", ""),
        environ.get("HTTP_IF_NONE_MATCH"),
        environ.get("HTTP_ACCEPT_ENCODING"),
        monotonic(),
    )
