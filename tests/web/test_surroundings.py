"""Whatever stands around answers stands around all, whichever way they take."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from web.replies import Reply
from web.surroundings import Headers, Surrounded, Surrounding


class Inner:
    """Answers "/ready" at once, and everything else later."""

    def at_once(self, environ: dict[str, Any]) -> Reply | None:
        if environ["PATH_INFO"] != "/ready":
            return None
        return Reply("200 OK", [("Inner", "at once")], [b"ready"], 5)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        start_response("404 Not Found", [("Inner", "later")])
        return [b"later"]


class Noting(Surrounding):
    def __init__(self) -> None:
        self.noted: list[tuple[str, int]] = []

    def instead(self, environ: dict[str, Any]) -> Reply | None:
        if environ["PATH_INFO"] != "/instead":
            return None
        return Reply("503 Service Unavailable", [("Inner", "none")], [b"instead"], 7)

    def extend(self, environ: Any, status: int, headers: Headers) -> None:
        headers.append(("Added", str(status)))

    def finish(self, environ: Any, status: int, began: float) -> None:
        self.noted.append((environ["PATH_INFO"], status))


def ask(application: Surrounded, path: str) -> tuple[str, Headers, bytes]:
    """An answer, given at once if it can be."""
    environ = {"PATH_INFO": path}
    if reply := application.at_once(environ):
        return reply.status, reply.headers, b"".join(reply.body)
    started: list[Any] = []
    body = application(environ, lambda *given: started.append(given))
    ((status, headers),) = started
    return status, headers, b"".join(body)


@pytest.mark.parametrize(
    ("path", "status", "inner", "body"),
    [
        ("/ready", "200 OK", "at once", b"ready"),
        ("/other", "404 Not Found", "later", b"later"),
        ("/instead", "503 Service Unavailable", "none", b"instead"),
    ],
)
def test_each_way_has_the_surroundings_once(
    path: str, status: str, inner: str, body: bytes
) -> None:
    noting = Noting()
    application = Surrounded(Inner(), [Surrounding(), noting])  # type: ignore[arg-type]

    answer = ask(application, path)

    code = status[:3]
    assert answer == (status, [("Inner", inner), ("Added", code)], body)
    assert noting.noted == [(path, int(code))]


def test_an_answer_instead_is_given_by_wsgi_too() -> None:
    application = Surrounded(Inner(), [Noting()])  # type: ignore[arg-type]
    started: list[Any] = []

    body = application({"PATH_INFO": "/instead"}, lambda *given: started.append(given))

    assert list(body) == [b"instead"]
    assert started[0][0] == "503 Service Unavailable"
