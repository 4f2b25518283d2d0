"""The last requests that were answered, for tests that look at what a client sent."""

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from callers.authenticator import Caller
from web.access_log import logged_target
from web.control.guard import CONTROL_PREFIX
from web.lists import CALLER
from web.short_cut import Environ
from web.surroundings import Surrounding

MOST_REQUESTS = 1000

_SCHEMES = {"basic": "Basic", "bearer": "Bearer"}
_PREFIXES = ("bfst-", "sk-bf-", "eyJ")


class RequestRecord(Surrounding):
    """Notes requests, but not those to the control routes, nor the service's own."""

    def __init__(self, extensions: Mapping[str, Any]) -> None:
        self._extensions = extensions
        self._requests: deque[dict[str, Any]] = deque(maxlen=MOST_REQUESTS)

    def finish(self, environ: Environ, status: int, began: float) -> None:
        unlogged = self._extensions.get("unlogged")
        is_own = unlogged and environ.get("HTTP_X_REQUEST_ID") == unlogged
        if is_own or environ["PATH_INFO"].startswith(CONTROL_PREFIX):
            return
        path, query = logged_target(environ)
        caller: Caller | None = environ.get(CALLER)
        self._requests.append(
            {
                "method": environ["REQUEST_METHOD"],
                "path": path,
                "query": query,
                "status": status,
                "caller": caller.shown if caller else None,
                "authorization": _masked(environ.get("HTTP_AUTHORIZATION")),
                "at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                "milliseconds": round((monotonic() - began) * 1000, 3),
            }
        )

    def all(self) -> list[dict[str, Any]]:
        """Return what is known of the requests, oldest first."""
        return [*self._requests]

    def clear(self) -> None:
        self._requests.clear()


def _masked(authorization: str | None) -> str | None:
    """Return an Authorization header's scheme and kind of credential, no more."""
    if authorization is None:
        return None
    scheme, _, credential = authorization.strip().partition(" ")
    known = _SCHEMES.get(scheme.lower())
    if known is None:
        return "***"
    prefix = next((each for each in _PREFIXES if credential.startswith(each)), "")
    return f"{known} {prefix}***"
