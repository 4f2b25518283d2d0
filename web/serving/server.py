"""Running the service under granian, and saying when it really answers."""

import asyncio
import gc
import http.client
import json
import logging
import mmap
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import granian._granian
from flask import Flask
from granian._futures import _new_cbscheduler
from granian.http import HTTP1Settings

from addresses import Address
from callers.api_keys import ApiKeyReader
from models import MODELS, REQUIRED
from settings import Settings
from snapshot.keeper import Keeper
from store.encryption import Encryption
from store.failures import DatabaseUnavailable
from store.readers import open_reader
from web.access_log import use_stream
from web.serving.dispatcher import Dispatcher
from web.serving.listening import (
    BACKLOG,
    connect,
    is_loopback,
    is_unix,
    raise_descriptor_limit,
    url_of,
)
from web.serving.log_stream import CarefulStream, LogStream
from web.serving.shutdown import (
    ENDING,
    block_signals,
    wait_for_signal,
    wait_until_done,
    wake,
)
from web.serving.workers import GIVEN_UP, run_workers
from web.surroundings import Surrounded

log = logging.getLogger("governance")

_native: Any = granian._granian  # whose type hints are those of another version

READY_POLL_SECONDS = 0.005  # at first; each question takes from the first snapshot
READY_POLL_SHARE = 0.05  # of the time that it took so far
READY_POLL_MOST_SECONDS = 0.1  # while a database is waited for
ANSWER_SECONDS = 5
# Requests take less than the 5 ms that Python lets a snapshot being taken run on.
SWITCH_SECONDS = 0.001
# For connections on which no answer is in progress, such as half a request.
IDLE_SECONDS = 1.0
LOG_SECONDS = 0.2  # for the last lines of the log
HEADER_MILLISECONDS = 10_000  # until half a request is given up, or an idle connection

Ready = Callable[[dict[str, Any]], None]


class CannotServe(Exception):
    """The service cannot start; the text names what is in the way, and the way out."""


def serve(
    app: Flask,
    listener: socket.socket,
    workers: int,
    ready: Ready,
    *,
    wait: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status.

    The process is to be ended with `end_process` then. `ready` is given the URL and the
    counts, when the first request would be answered; an OSError that it raises ends the
    service. With `wait` the database need not be there yet. Raises CannotServe and
    DatabaseUnavailable.
    """
    block_signals()
    settings: Settings = app.extensions["settings"]
    if settings.auth == "off":
        _require_loopback(listener)
        place = url_of(listener)
        log.warning("GOVERNANCE_AUTH is off: who reaches %s reads everything", place)
    _check_files(settings, app.extensions["encryption"], wait=wait)
    connections = raise_descriptor_limit()
    announcement = _Announcement(app, listener, ready)

    def work(is_first: bool) -> int:
        worker = _Worker(app, listener, connections)
        return worker.run(announcement if is_first else None)

    # What was imported stays: the workers share it, and no collector walks through it.
    gc.freeze()
    if workers > 1:
        if sys.stderr:
            use_stream(CarefulStream(sys.stderr.fileno()))
        seconds = settings.shutdown_seconds + IDLE_SECONDS
        # New clients are refused then, rather than kept waiting.
        status = run_workers(workers, work, seconds, listener.close)
    else:
        status = work(True)
    return 1 if status == GIVEN_UP else status


def end_process(status: int) -> NoReturn:
    """End the process at once: threads may still wait for clients."""
    os._exit(status)


class _Worker:
    """One process that answers requests."""

    def __init__(self, app: Flask, listener: socket.socket, connections: int) -> None:
        self._keeper: Keeper = app.extensions["keeper"]
        self._seconds: float = app.extensions["settings"].shutdown_seconds
        self._log = LogStream(sys.stderr.fileno()) if sys.stderr else None
        entrance: Surrounded = app.extensions["entrance"]
        self._dispatcher = Dispatcher(entrance.at_once, entrance)
        callback: Callable[[Any, dict[str, Any]], None] = self._dispatcher
        for around in app.extensions["connections"]:
            callback = around(callback)
        self._granian = _Granian(listener, callback, connections)
        self._status = 0

    def run(self, announcement: "_Announcement | None") -> int:
        """Answer requests until a signal; return the exit status."""
        if self._log is not None:
            use_stream(self._log)
        sys.setswitchinterval(SWITCH_SECONDS)
        self._keeper.start()
        self._granian.start()
        if announcement is not None:
            announce = partial(self._announce, announcement)
            threading.Thread(target=announce, name="announcement", daemon=True).start()
        while (number := wait_for_signal()) not in ENDING:
            pass
        log.info("ending on %s", signal.Signals(number).name)
        self._granian.stop()
        status = wait_until_done(self._granian.has_stopped, self._patience())
        if self._log is not None:
            self._log.drain(LOG_SECONDS)
        return status or self._status

    def _announce(self, announcement: "_Announcement") -> None:
        try:
            announcement.make()
        except OSError as problem:
            reason = (problem.strerror or "it is closed").lower()
            place = problem.filename or "standard output"
            log.error("cannot write to %s that it is ready: %s", place, reason)
            self._give_up()
        except DatabaseUnavailable as problem:
            log.error("%s", problem)
            self._give_up()

    def _give_up(self) -> None:
        self._status = GIVEN_UP
        os.kill(os.getpid(), signal.SIGTERM)

    def _patience(self) -> float:
        """How long to wait for answers in progress, or for connections without one."""
        busy = self._dispatcher.busy(self._seconds)
        return self._seconds if busy else min(self._seconds, IDLE_SECONDS)


class _Granian:
    """granian's WSGI worker, without the process and signal handling around it.

    That one can hang: it waits in a signal handler, with Python's lock held. `callback`
    is given a request's protocol and WSGI environment, by one thread. It may answer
    later, from any thread.
    """

    def __init__(
        self,
        listener: socket.socket,
        callback: Callable[[Any, dict[str, Any]], None],
        connections: int,
    ) -> None:
        self._signal = _native.WorkerSignal()
        self._signal.add_cb(self._stopped)
        self._has_stopped = False
        self._loop = asyncio.new_event_loop()  # asked for, not used for WSGI
        self._scheduler = _new_cbscheduler(self._loop, callback)
        unix = is_unix(listener)
        worker = _native.WSGIWorker(
            1,  # its number, for its log
            (None, _native.SocketHolder(listener.fileno(), unix, BACKLOG)),
            None,  # no metrics go to a parent process
            backpressure=connections,
            http_mode="1",
            http1_opts=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS),
        )
        self._serve = worker.serve_mtr_uds if unix else worker.serve_mtr

    def start(self) -> None:
        self._serve(self._scheduler, self._loop, self._signal)

    def stop(self) -> None:
        """Accept no more, and close connections when their answers are sent."""
        self._signal.set()

    def has_stopped(self) -> bool:
        return self._has_stopped

    def _stopped(self) -> None:
        self._has_stopped = True
        wake()


class _Announcement:
    """Finds out when requests are answered, by asking, and says so."""

    def __init__(self, app: Flask, listener: socket.socket, ready: Ready) -> None:
        self._listener = listener
        self._keeper: Keeper = app.extensions["keeper"]
        self._encryption: Encryption = app.extensions["encryption"]
        self._database: Address = app.extensions["settings"].database
        self._pid = os.getpid()
        self._ready = ready
        # These questions would stand in the log before anybody else asked.
        self._request_id = app.extensions["unlogged"] = secrets.token_hex(16)
        self._is_made = mmap.mmap(-1, 1)  # shared with the workers

    def make(self) -> None:
        """Say once that the service is ready, as soon as it is.

        Raises OSError where that cannot be written, and DatabaseUnavailable where the
        encryption key is not the database's.
        """
        if self._is_made[0]:
            return  # by a worker that has died since
        began = time.monotonic()
        while (state := self._state()) is None:
            taken = time.monotonic() - began
            pause = max(READY_POLL_SECONDS, taken * READY_POLL_SHARE)
            time.sleep(min(pause, READY_POLL_MOST_SECONDS))
            self._look()
        self._encryption.require_key(self._database)
        counts = {name: state[name] for name in ("teams", "customers", "virtual_keys")}
        url = url_of(self._listener)
        self._ready({"url": url, "pid": self._pid, **counts})
        self._is_made[0] = 1

    def _look(self) -> None:
        """Look for the database, rather than wait for the next look."""
        with suppress(Exception):  # which the next answer says
            self._keeper.current()

    def _state(self) -> dict[str, Any] | None:
        connection = http.client.HTTPConnection("localhost", timeout=ANSWER_SECONDS)
        try:
            connection.sock = connect(self._listener, ANSWER_SECONDS)
            headers = {"X-Request-Id": self._request_id}
            connection.request("GET", "/readyz", headers=headers)
            response = connection.getresponse()
            body = response.read()
            return json.loads(body) if response.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def _require_loopback(listener: socket.socket) -> None:
    if not is_loopback(listener):
        host = listener.getsockname()[0]
        raise CannotServe(
            "GOVERNANCE_AUTH is 'off', which takes a loopback address;"
            f" --host is {host!r}"
        )


def _check_files(settings: Settings, encryption: Encryption, *, wait: bool) -> None:
    """Find out before anything runs; raises DatabaseUnavailable."""
    if not wait:
        open_reader(settings.database, MODELS, REQUIRED, encryption).verify()
    ApiKeyReader(settings.access_database).verify()
