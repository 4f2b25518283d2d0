"""Running the service under granian, and telling when it really answers."""

import gc
import http.client
import ipaddress
import json
import logging
import multiprocessing
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from database import Reader
from keeper import Keeper
from models import MODELS, REQUIRED
from settings import Settings
from signals import end_with, obey_signals_after_fork, pass_signals_on

log = logging.getLogger("governance")

# A thread serves one request at a time, one that waits for a locked database or for a
# slow reader of a large answer included; so many of these starve nobody. Idle threads
# end by themselves; many more would get into each other's way when all are busy.
BLOCKING_THREADS = 128
READY_POLL_SECONDS = 0.005  # at first; each question takes from the first snapshot
READY_POLL_SHARE = 0.05  # of the time that it took so far
# Requests take less than the 5 ms that Python lets a snapshot being taken run on.
SWITCH_SECONDS = 0.001

Ready = Callable[[dict[str, Any]], None]


class CannotServe(Exception):
    """The service cannot start; the text names what is in the way, and the way out."""


def serve(app: Flask, host: str, port: int, workers: int, ready: Ready) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is told where, and the counts, when the
    first request would be answered. Raises CannotServe and DatabaseUnavailable.
    """
    settings: Settings = app.extensions["settings"]
    if settings.auth == "off":
        _require_loopback(host)
        log.warning("GOVERNANCE_AUTH is off: whoever reaches %s reads everything", host)
    _check_database(settings)
    port = _free_port(host, port)
    server = make_server(host, port, workers)
    parent = os.getpid()
    # The teller's own questions would stand in the log before anybody asked.
    unlogged = app.extensions["unlogged"] = secrets.token_hex(16)
    asking = (host, port, unlogged, ready)
    teller = threading.Thread(target=_tell_ready, args=asking, daemon=True)
    server.on_startup(teller.start)

    def load_app() -> Flask:
        # In the worker: connections and threads do not outlive a fork.
        pass_signals_on()
        end_with(parent)
        sys.setswitchinterval(SWITCH_SECONDS)
        keeper: Keeper = app.extensions["keeper"]
        keeper.start()
        return app

    pass_signals_on()
    obey_signals_after_fork()
    # What was imported stays: the workers share it, and no collector walks through it.
    gc.freeze()
    server.serve(target_loader=load_app, wrap_loader=False)


def make_server(host: str, port: int, workers: int) -> Any:
    """granian, as this service runs it; its `serve` takes the application's loader."""
    if sys.platform == "linux":
        # The workers then have the application loaded already.
        multiprocessing.set_start_method("fork", force=True)
    return Server(
        "app:create_app",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=BLOCKING_THREADS,
        websockets=False,
        log_level=LogLevels.error,
        log_dictconfig={"handlers": {"console": _TO_STDERR, "access": _TO_STDERR}},
    )


_TO_STDERR = {
    "formatter": "generic",
    "class": "logging.StreamHandler",
    "stream": "ext://sys.stderr",
}


def _require_loopback(host: str) -> None:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise CannotServe(
            "GOVERNANCE_AUTH is 'off', which takes a loopback address;"
            f" --host is {host!r}"
        )


def _check_database(settings: Settings) -> None:
    """Find out before anything runs; raises DatabaseUnavailable."""
    reader = Reader(settings.database, MODELS, REQUIRED)
    reader.verify()


def _free_port(host: str, port: int) -> int:
    """The port, or a free one for 0. granian itself would share one that is in use."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise CannotServe(
            f"cannot listen on {host}, port {port}: {reason};"
            " choose another with --port"
        ) from None


def _tell_ready(host: str, port: int, request_id: str, ready: Ready) -> None:
    began = time.monotonic()
    # Who listens everywhere is asked on the loopback address.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    while True:
        try:
            state = _ready_state(reachable, port, request_id)
        except (OSError, http.client.HTTPException):
            state = None
        if state is not None:
            break
        taken = time.monotonic() - began
        time.sleep(max(READY_POLL_SECONDS, taken * READY_POLL_SHARE))
    shown = f"[{host}]" if ":" in host else host
    counts = {name: state[name] for name in ("teams", "customers", "virtual_keys")}
    ready({"url": f"http://{shown}:{port}", "pid": os.getpid(), **counts})


def _ready_state(host: str, port: int, request_id: str) -> dict[str, Any] | None:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/readyz", headers={"X-Request-Id": request_id})
        response = connection.getresponse()
        body = response.read()
        return json.loads(body) if response.status == 200 else None
    finally:
        connection.close()
