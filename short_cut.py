"""Answers the lists in front of Flask; all else, failures too, is Flask's.

Routing, request and response objects cost several times what the answer does.
"""

from collections.abc import Callable, Iterable
from typing import Any

from access_log import log_request, sane_request_id
from auth import Caller
from lists import ASKED, PATHS, Asked, Found, List, Lists, Reply, asked_of

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
            caller = self._lists.identify(of, asked)
            found = self._lists.find(of, asked, caller)
            reply = self._reply(environ, asked, found, caller)
        except Exception:
            return self._flask(environ, start_response)  # which says what is wrong
        start_response(reply.status, reply.headers)
        return reply.body

    def at_once(self, environ: Environ) -> Reply | None:
        """Return the answer to a request where nothing has to be waited for."""
        of = self._list(environ)
        if of is None:
            return None
        asked = environ[ASKED] = asked_of(environ)
        try:
            found, caller = self._lists.find_at_once(of, asked)
            return self._reply(environ, asked, found, caller)
        except Exception:
            return None

    def _list(self, environ: Environ) -> List | None:
        """The list that is asked for, in a request that is as it should be."""
        of = PATHS.get(environ["PATH_INFO"])
        plain = environ["REQUEST_METHOD"] == "GET" and not environ.get("SCRIPT_NAME")
        return of if plain and host_problem(environ) is None else None

    def _reply(
        self, environ: Environ, asked: Asked, found: Found, caller: Caller
    ) -> Reply:
        reply = self._lists.reply(found, asked)
        request_id = sane_request_id(environ)
        reply.headers.append(("X-Request-Id", request_id))
        status = reply.status[:3]
        log_request(environ, status, reply.size, asked.at, request_id, caller)
        return reply


def host_problem(environ: Environ) -> str | None:
    """Return what is wrong with the Host header (RFC 9112, section 3.2)."""
    host = environ.get("HTTP_HOST", "")
    if not host and environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        return "A request must have a Host header."
    return "A request must have one Host header only." if "," in host else None
