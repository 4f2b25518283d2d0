"""Additions to every answer, given by the short cut or by Flask.

Whatever adds to answers, gives others instead, or counts them is a Surrounding, so that
both ways have it, and it is written once.
"""

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any

from web.replies import Headers, Reply
from web.short_cut import Environ, ShortCut


class Surrounding:
    """An addition to all answers. Each overrides what it needs of this."""

    def instead(self, environ: Environ) -> Reply | None:
        """Return an answer that is given instead of the application's, if any.

        It must not wait for anything.
        """
        return None

    def extend(self, environ: Environ, status: int, headers: Headers) -> None:
        """Add to the headers of an answer."""

    def finish(self, environ: Environ, status: int, began: float) -> None:
        """Take note of an answer whose headers are known; `began` is by monotonic."""


class Surrounded:
    """A WSGI application: the short cut and Flask, with surroundings around both."""

    def __init__(self, inner: ShortCut, surroundings: Sequence[Surrounding]) -> None:
        self._inner = inner
        self._surroundings = [*surroundings]

    def surround(self, another: Surrounding) -> None:
        """Put one more around all answers; before the first request."""
        self._surroundings.append(another)

    def at_once(self, environ: Environ) -> Reply | None:
        """Return the answer to a request where nothing has to be waited for."""
        if not self._surroundings:
            return self._inner.at_once(environ)
        began = monotonic()
        reply = self._instead(environ) or self._inner.at_once(environ)
        if reply is not None:
            self._complete(environ, int(reply.status[:3]), reply.headers, began)
        return reply

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        began = monotonic()

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            headers = [*headers]
            self._complete(environ, int(status[:3]), headers, began)
            return start_response(status, headers, *exc_info)

        reply = self._instead(environ)
        if reply is None:
            return self._inner(environ, start)
        start(reply.status, reply.headers)
        return reply.body

    def _instead(self, environ: Environ) -> Reply | None:
        for each in self._surroundings:
            reply = each.instead(environ)
            if reply is not None:
                return reply
        return None

    def _complete(
        self, environ: Environ, status: int, headers: Headers, began: float
    ) -> None:
        for each in self._surroundings:
            each.extend(environ, status, headers)
            each.finish(environ, status, began)
