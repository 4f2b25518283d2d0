"""`flask serve` as a process of its own, for tests of what only a process shows."""

import http.client
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
DEADLINE = 15  # seconds until a test gives up; none waits that long when all is well
PATHS = ["/api/governance/teams", "/api/governance/customers"]


class Service:
    """A running `flask serve` and the line that it printed when it was ready."""

    def __init__(self, settings: dict[str, str], *options: str) -> None:
        port = () if "--unix" in options else ("--port", "0")
        self._take(start(settings, *port, *options))

    @classmethod
    def of(cls, process: "subprocess.Popen[str]") -> "Service":
        """The service that a process runs, once it is ready."""
        service = cls.__new__(cls)
        service._take(process)
        return service

    def _take(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.line = first_line(self.process)
        assert self.line.startswith("ready "), self.end()
        self.ready = json.loads(self.line.removeprefix("ready "))
        address = urlsplit(self.ready["url"])
        self.host, self.port = str(address.hostname), int(address.port or 0)
        self.unix = address.path if address.scheme == "unix" else None

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)
        if self.unix:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.unix)
        return connection

    def request(
        self, path: str, token: str | None = None, method: str = "GET"
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self.connect()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def end(self) -> tuple[str, str]:
        """End it; what is left of its output."""
        return end(self.process)


def start(
    settings: dict[str, str],
    *options: str,
    child: bool = False,
    stdin: int | None = None,
    prefix: Sequence[str] = (),
) -> "subprocess.Popen[str]":
    """Start a service; as a `child` of a process in between, which is returned."""
    command = [sys.executable, "-m", "flask", "--app", "app", "serve", *options]
    if child:
        command = [sys.executable, "-c", BETWEEN, *command]
    process = subprocess.Popen(
        [*prefix, *command],
        cwd=ROOT,
        env=environment(settings),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _started.append(process)
    return process


_started: "list[subprocess.Popen[str]]" = []


def kill_what_is_left() -> None:
    """Kill the services that failed tests left running."""
    for process in _started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # a group of its own
            process.communicate()


# From a thread that ends, which is not the end of the process.
BETWEEN = """
import subprocess, sys, threading, time
starter = threading.Thread(target=lambda: subprocess.Popen(sys.argv[1:]))
starter.start()
starter.join()
time.sleep(60)
"""


def end(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """End a process that may have ended already; what is left of its output.

    With its workers, if need be: they would outlive it and hold on to its output.
    """
    process.terminate()
    try:
        return process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # a group of its own: no other's
        return process.communicate(timeout=DEADLINE)


def environment(settings: dict[str, str]) -> dict[str, str]:
    ours = {n: v for n, v in os.environ.items() if not n.startswith("GOVERNANCE_")}
    return {**ours, **settings}


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(DEADLINE) else ""


def settings_in(folder: Path) -> dict[str, str]:
    return {
        "GOVERNANCE_DATABASE": str(folder / "config.db"),
        "GOVERNANCE_ACCESS_DATABASE": str(folder / "access.db"),
        "GOVERNANCE_JWT_SECRET_FILE": str(folder / "jwt-secret"),
    }


def members(group: int) -> list[int]:
    """The processes of a process group that are there, zombies apart."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_until_none(group: int, seconds: float) -> bool:
    """True if all processes of a group end in so many seconds."""
    deadline = time.monotonic() + seconds
    while members(group):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
