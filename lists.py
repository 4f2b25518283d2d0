"""The two lists: from a request's header and query to the answer. Knows no Flask.

Flask's views call it, and so does the short cut, which skips Flask where all is well:
routing, request and response objects cost several times what the answer does.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

from marshmallow import ValidationError

from access_log import log_request, sane_request_id
from auth import Authenticator, Caller, Kind
from errors import ApiError
from keeper import Keeper
from schemas import CustomersQuerySchema, Query, TeamsQuerySchema
from snapshot import Answer, Scope, Snapshot

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
PATHS = {"/api/governance/teams": TEAMS, "/api/governance/customers": CUSTOMERS}


class Asked(NamedTuple):
    """What of a request counts, as it came."""

    authorization: str | None
    remote: str | None
    query_string: str
    if_none_match: str | None
    accept_encoding: str | None


class Reply(NamedTuple):
    """An answer on its way: a list of one body, or its pieces."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


class Lists:
    """Answers the lists. May be used by many threads."""

    def __init__(self, authenticator: Authenticator, keeper: Keeper) -> None:
        self._authenticator = authenticator
        self._keeper = keeper

    def identify(self, of: List, asked: Asked) -> Caller:
        """Who asks. Raises ApiError, DatabaseUnavailable (the API keys' file)."""
        return self._authenticator.identify(asked.authorization, asked.remote, of.taken)

    def reply(self, of: List, asked: Asked, caller: Caller) -> Reply:
        """The list as the caller sees it. Raises ApiError and DatabaseUnavailable.

        The parameters are judged last: who may not call is not told what is wrong with
        them. The same snapshot judges a virtual key and answers.
        """
        query, problem = load_query(of.query, asked.query_string)
        self._keeper.start()
        remembered = query.from_memory
        snapshot = self._keeper.remembered() if remembered else self._keeper.current()
        scope = self._authenticator.scope(caller, snapshot)
        if problem is not None:
            name, words = problem
            message = f"The parameter {name} {words}."
            raise ApiError(400, "invalid_parameter", message, name)
        answer = of.answer(snapshot, query, scope)
        zipped = answer.size >= GZIP_MINIMUM and accepts_gzip(asked.accept_encoding)
        etag = answer.gzip_etag if zipped else answer.etag
        headers = [
            ("Cache-Control", "private, no-cache"),
            ("Vary", "Authorization, Accept-Encoding"),
            ("ETag", etag),
        ]
        if remembered:
            headers.append(("Age", str(self._keeper.age())))
        if _has_it(asked.if_none_match, etag):
            return Reply("304 Not Modified", headers, [])
        headers.append(("Content-Type", "application/json"))
        if zipped:
            packed = answer.gzipped()
            headers.append(("Content-Encoding", "gzip"))
            headers.append(("Content-Length", str(len(packed))))
            return Reply("200 OK", headers, [packed])
        headers.append(("Content-Length", str(answer.size)))
        body = answer.pieces() if answer.body is None else [answer.body]
        return Reply("200 OK", headers, body)


@lru_cache(1024)  # the same few queries come again and again
def load_query(
    schema: CustomersQuerySchema, query_string: str
) -> tuple[Query, tuple[str, str] | None]:
    """A query's parameters, and the first that is of the wrong kind with the reason."""
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

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        of = PATHS.get(environ["PATH_INFO"])
        if of is None or environ["REQUEST_METHOD"] != "GET" or environ["SCRIPT_NAME"]:
            return self._flask(environ, start_response)
        began = perf_counter()
        asked = asked_of(environ)
        try:
            caller = self._lists.identify(of, asked)
            reply = self._lists.reply(of, asked, caller)
        except Exception:
            return self._flask(environ, start_response)  # which tells what is wrong
        request_id = sane_request_id(environ)
        log_request(
            "GET",
            environ["PATH_INFO"],
            reply.status[:3],
            dict(reply.headers).get("Content-Length"),
            began,
            request_id,
            caller.kind,
        )
        start_response(reply.status, [*reply.headers, ("X-Request-Id", request_id)])
        return reply.body


def asked_of(environ: Mapping[str, Any]) -> Asked:
    """What counts of a WSGI request."""
    return Asked(
        environ.get("HTTP_AUTHORIZATION"),
        environ.get("REMOTE_ADDR"),
        environ.get("QUERY_STRING", ""),
        environ.get("HTTP_IF_NONE_MATCH"),
        environ.get("HTTP_ACCEPT_ENCODING"),
    )
