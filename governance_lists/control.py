"""Asking the control routes of a service, over one connection."""

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 60


class GovernanceError(Exception):
    """The service does not start, or does not do what it was asked; the text says why.

    `status` and `code` are those of the answer, if there was one.
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Control:
    """The control routes of one service. May be used by many threads."""

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=ANSWER_SECONDS
        )
        self._headers = {"Authorization": f"Bearer {token}"}
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the parsed answer. Raises GovernanceError."""
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body)
        with self._lock:
            try:
                response = self._response(method, path, sent)
            except (http.client.RemoteDisconnected, ConnectionError):
                # The service closes connections that are idle for some seconds.
                self._connection.close()
                response = self._response(method, path, sent)
            answer = json.loads(response.read() or b"{}")
        if response.status >= 400:
            error = answer["error"]
            raise GovernanceError(error["message"], response.status, error["code"])
        return answer

    def close(self) -> None:
        self._connection.close()

    def _response(
        self, method: str, path: str, body: str | bytes | None
    ) -> http.client.HTTPResponse:
        self._connection.request(method, f"/_control/{path}", body, self._headers)
        return self._connection.getresponse()
