"""Answers the lists in front of Flask; all else, failures too, is Flask's.

Routing, request and response objects cost several times what the answer does.
"""

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from callers.authenticator import Caller
from errors import ApiError, WouldWait
from web.access_log import log_request, sane_request_id
from web.lists import (
    ASKED,
    CALLER,
    LISTS,
    LONGEST_QUERY,
    MOST_PARAMETERS,
    PATHS,
    List,
    Lists,
    asked_of,
)
from web.replies import Reply

HEALTH_PATH = "/healthz"
ALIVE = b'{"status":"ok"}'

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class ShortCut:
    """A WSGI application around Flask's."""

    def __init__(self, flask: Wsgi, lists: Lists) -> None:
        self._flask = flask
        self._lists = lists

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        of = self._list(environ)
        if of is None:
            return self._flask(environ, start_response)
        asked = environ[ASKED] = asked_of(environ)
        try:
            lists: Lists = environ.get(LISTS, self._lists)
            caller = lists.identify(of, asked)
            found = lists.find(of, asked, caller)
            reply = lists.reply(found, asked)
        except Exception:
            return self._flask(environ, start_response)  # which says what is wrong
        _complete(environ, reply, asked.at, caller)
        start_response(reply.status, reply.headers)
        return reply.body

    def at_once(self, environ: Environ) -> Reply | None:
        """Return the answer to a request where nothing has to be waited for."""
        if environ["PATH_INFO"] == HEALTH_PATH:
            return _alive(environ)
        began = monotonic()
        lists: Lists = environ.get(LISTS, self._lists)
        try:
            again = lists.repeats.find(environ)
            reply, caller = again or self._first_reply(lists, environ)
        except Exception:
            return None
        _complete(environ, reply, began, caller)
        return reply

    def _first_reply(self, lists: Lists, environ: Environ) -> tuple[Reply, Caller]:
        """Return an answer that is there, and to whom; raises WouldWait and others."""
        of = self._list(environ)
        if of is None:
            raise WouldWait
        asked = environ[ASKED] = asked_of(environ)
        found, caller = lists.find_at_once(of, asked)
        reply = lists.reply(found, asked)
        lists.remember(environ, found, reply)
        return reply, caller

    def _list(self, environ: Environ) -> List | None:
        """The list that is asked for, in a request that is as it should be."""
        of = PATHS.get(environ["PATH_INFO"])
        plain = environ["REQUEST_METHOD"] == "GET" and not environ.get("SCRIPT_NAME")
        return of if plain and request_problem(environ) is None else None


def _complete(environ: Environ, reply: Reply, began: float, caller: Caller) -> None:
    """Give an answer its request's id, and log it."""
    environ[CALLER] = caller
    request_id = sane_request_id(environ)
    reply.headers.append(("X-Request-Id", request_id))
    status = reply.status[:3]
    log_request(environ, status, reply.size, began, request_id, caller)


def _alive(environ: Environ) -> Reply | None:
    if environ["REQUEST_METHOD"] != "GET" or request_problem(environ) is not None:
        return None
    began, request_id = monotonic(), sane_request_id(environ)
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(ALIVE))),
        ("X-Request-Id", request_id),
    ]
    log_request(environ, 200, len(ALIVE), began, request_id, None)
    return Reply("200 OK", headers, [ALIVE], len(ALIVE))


def request_problem(environ: Environ) -> ApiError | None:
    """Return what no client should send: no Host header (RFC 9112, 3.2), or a query
    that would take long to take apart.
    """
    host = environ.get("HTTP_HOST", "")
    if "," in host:
        return ApiError(400, "bad_request", "A request must have one Host header only.")
    if not host and environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        return ApiError(400, "bad_request", "A request must have a Host header.")
    query = environ.get("QUERY_STRING", "")
    if query.count("&") > MOST_PARAMETERS:
        problem = f"A query must not have more than {MOST_PARAMETERS} parameters."
        return ApiError(400, "bad_request", problem)
    if len(query) > LONGEST_QUERY:
        problem = f"A query must not be longer than {LONGEST_QUERY} characters."
        return ApiError(414, "uri_too_long", problem)
    return None
