"""Delaying answers and cutting connections, between granian and the dispatcher.

A delayed request costs no thread until its time has come, so that it holds no other up.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from web.control.faults import Faults
from web.short_cut import Environ

# The half that is sent has to be on its way before the connection is closed.
FLUSH_SECONDS = 0.05

Callback = Callable[[Any, Environ], None]


class FaultyConnections:
    """Called by granian with each request, in front of what answers it."""

    def __init__(self, faults: Faults, answer: Callback) -> None:
        self._faults = faults
        self._answer = answer
        self._timers = asyncio.new_event_loop()
        self._started = False

    def __call__(self, protocol: Any, request: Environ) -> None:
        suffered = self._faults.take(request)
        if suffered.get("cut"):
            protocol = _Cut(protocol)
        if delay := suffered.get("delay"):
            self._start()
            self._timers.call_soon_threadsafe(
                self._timers.call_later, delay, self._answer, protocol, request
            )
        else:
            self._answer(protocol, request)

    def _start(self) -> None:
        if not self._started:  # granian calls from one thread only
            self._started = True
            threading.Thread(
                target=self._timers.run_forever, name="delays", daemon=True
            ).start()


class _Cut:
    """granian's side of a request, which sends half of the body and hangs up."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        if not body:
            self._protocol.response_bytes(status, headers, body)
            return
        threading.Thread(  # the one that answers at once does not wait
            target=self.response_iter, args=(status, headers, [body]), daemon=True
        ).start()

    def response_iter(self, status: int, headers: Any, body: Iterable[bytes]) -> None:
        sizes = [int(value) for name, value in headers if name == "Content-Length"]
        self._protocol.response_iter(status, headers, _first_half(body, sizes[0]))


def _first_half(body: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Return the first half of a body. granian closes the connection at its end, since
    its headers promised more.
    """
    left = size // 2
    for piece in body:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            break
    time.sleep(FLUSH_SECONDS)
