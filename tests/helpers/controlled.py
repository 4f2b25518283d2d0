"""A service with faults and control routes, under granian in the tests' own process."""

import http.client
import json
import time
from pathlib import Path
from typing import Any

from flask import Flask

from commands.control import add_control, add_faults
from web.serving.dispatcher import Dispatcher
from web.serving.listening import listen
from web.serving.server import _Granian

DEADLINE = 15
TEAMS = "/api/governance/teams"
CUSTOMERS = "/api/governance/customers"


class Answer:
    """An answer as it came, whole or not."""

    def __init__(self, response: http.client.HTTPResponse, began: float) -> None:
        self.status = response.status
        self.headers = response.headers
        try:
            self.body = response.read()
            self.is_whole = True
        except http.client.IncompleteRead as cut:
            self.body = cut.partial
            self.is_whole = False
        self.seconds = time.monotonic() - began

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json()["error"]["code"])

    def names(self) -> list[str]:
        """The names of the teams, or customers, of a list."""
        lists = self.json()
        return [item["name"] for item in lists.get("teams", lists.get("customers"))]


class _Quiet(_Granian):
    def _stopped(self) -> None:
        """Wake nobody, as `serve` has itself woken: the alarm is the tests' own."""


class Controlled:
    """A running service; ends when it is closed."""

    def __init__(
        self,
        app: Flask,
        database: Path | None,
        *,
        by_header: bool = False,
    ) -> None:
        add_faults(app, by_header=by_header)
        self.token = add_control(app, database)
        entrance = app.extensions["entrance"]
        callback: Any = Dispatcher(entrance.at_once, entrance)
        for around in app.extensions["connections"]:
            callback = around(callback)
        self._listener = listen("127.0.0.1", 0)
        self.port = self._listener.getsockname()[1]
        self._granian = _Quiet(self._listener, callback, 100)
        self._granian.start()

    def close(self) -> None:
        self._granian.stop()
        self._listener.detach()  # granian closes it

    def ask(
        self,
        method: str,
        path: str,
        token: str | None,
        body: Any = None,
        headers: Any = (),
    ) -> Answer:
        """Ask once, on a connection of its own; a body that is no bytes goes as JSON.
        `headers` are pairs.
        """
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=DEADLINE
        )
        try:
            began = time.monotonic()
            connection.putrequest(method, path)
            if token is not None:
                connection.putheader("Authorization", f"Bearer {token}")
            for name, value in headers:
                connection.putheader(name, value)
            sent = b"" if body is None else body
            sent = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            if sent or method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(sent)))
            connection.endheaders(sent)
            return Answer(connection.getresponse(), began)
        finally:
            connection.close()

    def control(self, method: str, path: str, body: Any = None) -> Answer:
        return self.ask(method, f"/_control/{path}", self.token, body)
