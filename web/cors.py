"""Answers for web pages of other origins (CORS, of the Fetch standard).

No browser sends them by itself a credential that counts here, so that
Access-Control-Allow-Credentials is never sent.
"""

import logging
from collections.abc import Sequence
from time import monotonic

from settings import Settings
from web.access_log import log_request, sane_request_id
from web.replies import Headers, Reply
from web.short_cut import Environ, request_problem
from web.surroundings import Surrounding

log = logging.getLogger("governance")

# Some clients send Content-Type with all their requests; Prefer asks for a fault.
ALLOWED = "Authorization, Content-Type, If-None-Match, Prefer, X-Request-Id"
EXPOSED = "ETag, X-Request-Id, Age, Retry-After"
METHODS = "GET, HEAD"
PREFLIGHT_SECONDS = 600  # Safari keeps it no longer


def cors(settings: Settings) -> list[Surrounding]:
    """Return what the setting adds around answers: nothing, where it is not given."""
    if settings.cors_origins == ("*",) and settings.auth == "off":
        log.warning(
            "GOVERNANCE_AUTH is off and GOVERNANCE_CORS_ORIGINS is *: any web page that"
            " is opened on this machine reads everything"
        )
    return [Cors(settings.cors_origins)] if settings.cors_origins else []


class Cors(Surrounding):
    """Lets pages of some origins, or of all (`*`), read the answers."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = origins
        self._everyone = "*" in origins

    def instead(self, environ: Environ) -> Reply | None:
        """Return the answer to a preflight request, which brings no credential.

        On any path: what is not there is said by the answer to the request itself.
        """
        if (
            not is_preflight(environ)
            or self._allowed(environ) is None
            or request_problem(environ) is not None
        ):
            return None
        began, request_id = monotonic(), sane_request_id(environ)
        headers = [
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Allow-Headers", ALLOWED),
            ("Access-Control-Max-Age", str(PREFLIGHT_SECONDS)),
            ("X-Request-Id", request_id),
        ]
        log_request(environ, 204, None, began, request_id, None)
        return Reply("204 No Content", headers, [], None)

    def extend(self, environ: Environ, status: int, headers: Headers) -> None:
        """Say who may read an answer, and what of its headers."""
        if not self._everyone:
            _vary_by_origin(headers)
        if (origin := self._allowed(environ)) is not None:
            headers.append(("Access-Control-Allow-Origin", origin))
            headers.append(("Access-Control-Expose-Headers", EXPOSED))

    def _allowed(self, environ: Environ) -> str | None:
        origin: str | None = environ.get("HTTP_ORIGIN")
        if origin is None:
            return None
        if self._everyone:
            return "*"
        return origin if origin in self._origins else None


def is_preflight(environ: Environ) -> bool:
    """Return whether a browser asks, before a page's request, if it may send it."""
    named = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    return named and environ["REQUEST_METHOD"] == "OPTIONS"


def _vary_by_origin(headers: Headers) -> None:
    """Keep a cache from giving one origin's answer to another."""
    for place, (name, value) in enumerate(headers):
        if name.lower() == "vary":
            headers[place] = (name, f"{value}, Origin")
            return
    headers.append(("Vary", "Origin"))
