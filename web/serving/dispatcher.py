"""The threads that answer requests.

One thread answers what is ready, one request after the other: threads that answer at
the same time would hand Python's lock to each other at several times the cost of the
answers. What may have to wait, for a snapshot or for a slow client, goes to others.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from snapshot.answers import WHOLE_BYTES
from web.replies import Reply
from web.serving.streams import STREAMS
from web.short_cut import Environ, Wsgi

log = logging.getLogger("governance")

WAITING_THREADS = 32  # for requests that wait; none of these waits for a client

# What PEP 3333 asks for beside what granian gives.
ENVIRON: Environ = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}


class Dispatcher:
    """Called by granian with each request, by one thread."""

    def __init__(self, at_once: Callable[[Environ], Reply | None], app: Wsgi) -> None:
        self._at_once = at_once
        self._app = app
        self._waiting = ThreadPoolExecutor(WAITING_THREADS, "waiting")
        self._sending = ThreadPoolExecutor(STREAMS, "sending")
        self._lock = threading.Lock()
        self._open = 0
        self._last_stream = float("-inf")

    def __call__(self, protocol: Any, request: Environ) -> None:
        reply = self._at_once(request)
        if reply is None:
            self._begin()
            self._waiting.submit(self._answer, protocol, request)
        else:
            self._send(protocol, int(reply.status[:3]), reply.headers, reply.body)

    def busy(self, recent_seconds: float) -> bool:
        """Return True while an answer is being made or sent.

        Also where a large one may still be on its way to its client, because it was
        handed over so recently.
        """
        recent = time.monotonic() - self._last_stream < recent_seconds
        return self._open > 0 or recent

    def _begin(self) -> None:
        with self._lock:
            self._open += 1

    def _end(self) -> None:
        with self._lock:
            self._open -= 1

    def _answer(self, protocol: Any, request: Environ) -> None:
        """Let the application answer, however long it takes."""
        started: list[Any] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
            started[:] = int(status[:3]), headers

        try:
            body = self._app(ENVIRON | request, start_response)
            status, headers = started
            self._send(protocol, status, headers, _whole_if_small(body, headers))
        except Exception:
            log.exception("a request failed outside of the application")
            protocol.response_bytes(500, [], b"")
        finally:
            self._end()

    def _send(
        self, protocol: Any, status: int, headers: Any, body: Iterable[bytes]
    ) -> None:
        if isinstance(body, list):
            protocol.response_bytes(status, headers, b"".join(body))
        else:
            self._begin()
            self._sending.submit(self._stream, protocol, status, headers, body)

    def _stream(self, protocol: Any, status: int, headers: Any, body: Any) -> None:
        """Send pieces as fast as the client takes them."""
        try:
            protocol.response_iter(status, headers, body)
        finally:
            body.close()
            self._last_stream = time.monotonic()
            self._end()


def _whole_if_small(body: Iterable[bytes], headers: Any) -> Iterable[bytes]:
    """Return the body as a list, unless it is large and to be sent in pieces."""
    if isinstance(body, list):
        return body
    sizes = [value for name, value in headers if name == "Content-Length"]
    if sizes and int(sizes[0]) > WHOLE_BYTES:
        return body
    try:
        return [b"".join(body)]
    finally:
        getattr(body, "close", lambda: None)()
