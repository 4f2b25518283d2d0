"""Requests that are answered at once, by the thread that takes them, and others."""

import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from logging import getLogger
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import pytest
from credentials import SECRET
from flask import Flask
from gateway import Gateway

from callers.api_keys import create_api_key, revoke_api_key
from callers.tokens import make_token
from snapshot import gzip_parts as compression
from web import lists
from web.access_log import hide_tokens

TEAMS = "/api/governance/teams"
CUSTOMERS = "/api/governance/customers"
SHORT = timedelta(seconds=2)  # tokens and keys expire at whole seconds


@pytest.fixture
def at_once(app: Flask, filled: Gateway, api_key: str) -> Callable[..., Any]:
    """at_once(path, token): the reply that needs no waiting, or None."""

    def at_once(path: str = TEAMS, token: str = api_key, **environ: str) -> Any:
        path, _, query = path.partition("?")
        request = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            **environ,
        }
        return app.extensions["entrance"].at_once(request)

    return at_once


@pytest.fixture
def get(app: Flask, filled: Gateway, api_key: str) -> Callable[..., Any]:
    """get(path): an answer by whatever way; then it is there to be given at once."""

    def get(path: str = TEAMS, token: str = api_key, **headers: str) -> Any:
        credential = {"Authorization": f"Bearer {token}"}
        return app.test_client().get(path, headers={**credential, **headers})

    return get


@pytest.mark.parametrize("query", ["", "?from_memory=true"])
def test_what_was_answered_before_is_answered_at_once(
    at_once: Callable[..., Any], get: Callable[..., Any], query: str
) -> None:
    first = at_once(TEAMS + query)
    body = get(TEAMS + query).data

    reply = at_once(TEAMS + query)

    assert first is None
    assert (reply.status, b"".join(reply.body)) == ("200 OK", body)


def test_a_known_tag_is_answered_at_once(
    at_once: Callable[..., Any], get: Callable[..., Any]
) -> None:
    etag = get().headers["ETag"]

    reply = at_once(HTTP_IF_NONE_MATCH=etag)

    assert (reply.status, list(reply.body)) == ("304 Not Modified", [])


def test_a_changed_database_has_to_be_read_first(
    at_once: Callable[..., Any], get: Callable[..., Any], filled: Gateway
) -> None:
    get()

    filled.team("new")

    assert at_once() is None
    assert at_once(f"{TEAMS}?from_memory=true&limit=1") is None  # never asked before
    get()
    assert at_once() is not None


def test_a_locked_database_has_to_be_waited_for(
    at_once: Callable[..., Any], get: Callable[..., Any], filled: Gateway
) -> None:
    get()
    get(f"{TEAMS}?from_memory=true")
    connection = sqlite3.connect(filled.path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    began = monotonic()

    assert at_once() is None
    assert at_once(f"{TEAMS}?from_memory=true") is not None
    assert monotonic() - began < 0.5
    connection.close()


def test_a_revoked_key_is_not_answered_at_once(
    at_once: Callable[..., Any], get: Callable[..., Any], tmp_path: Path
) -> None:
    get()

    revoke_api_key(tmp_path / "access.db", "tests")

    assert at_once() is None
    assert get().status_code == 401


@pytest.mark.parametrize(
    "make_token_of",
    [
        lambda: "sk-bf-key-ops-0000-fake",
        lambda: make_token(SECRET.encode(), "admin", "me", 60),
        lambda: make_token(SECRET.encode(), "virtual_key", "key-ops", 60),
    ],
    ids=["virtual key", "admin JWT", "virtual-key JWT"],
)
def test_who_was_known_before_is_answered_at_once(
    at_once: Callable[..., Any],
    get: Callable[..., Any],
    make_token_of: Callable[[], str],
) -> None:
    token = make_token_of()
    body = get(token=token).data

    assert b"".join(at_once(token=token).body) == body


@pytest.mark.parametrize(
    "make_token_of",
    [
        lambda folder: create_api_key(folder / "access.db", "short", SHORT),
        lambda _: make_token(SECRET.encode(), "admin", "me", SHORT.total_seconds()),
    ],
    ids=["management API key", "admin JWT"],
)
def test_who_was_known_before_is_refused_once_expired(
    at_once: Callable[..., Any],
    get: Callable[..., Any],
    tmp_path: Path,
    make_token_of: Callable[[Path], str],
) -> None:
    token = make_token_of(tmp_path)
    get(token=token)
    assert at_once(token=token) is not None
    assert at_once(token=token) is not None
    expired = time() + SHORT.total_seconds()

    while time() < expired:
        sleep(0.01)

    assert at_once(token=token) is None
    assert get(token=token).status_code == 401


def test_who_was_known_on_one_route_is_refused_on_another(
    at_once: Callable[..., Any], get: Callable[..., Any]
) -> None:
    get(CUSTOMERS)
    token = make_token(SECRET.encode(), "admin", "me", 60)
    get(token=token)
    assert at_once(token=token) is not None

    assert at_once(CUSTOMERS, token) is None
    assert get(CUSTOMERS, token).status_code == 401


def test_a_key_of_another_file_counts_from_the_next_request_on(
    at_once: Callable[..., Any], get: Callable[..., Any], tmp_path: Path, api_key: str
) -> None:
    get()
    assert at_once() is not None
    other = create_api_key(tmp_path / "other.db", "tests")

    (tmp_path / "other.db").replace(tmp_path / "access.db")

    assert at_once() is None
    assert get().status_code == 401
    assert get(token=other).status_code == 200


@pytest.mark.parametrize(
    "environ",
    [
        {"REQUEST_METHOD": "HEAD"},
        {"REQUEST_METHOD": "get"},
        {"HTTP_HOST": ""},
        {"HTTP_HOST": "a,b"},
        {"PATH_INFO": "/readyz"},
        {"PATH_INFO": "/healthz", "REQUEST_METHOD": "HEAD"},
        {"QUERY_STRING": "a&" * 300},
        {"QUERY_STRING": "a" * 20_000},
        {"QUERY_STRING": "limit=x"},
        {"SCRIPT_NAME": "/prefix"},
        {"HTTP_AUTHORIZATION": "Bearer wrong"},
    ],
    ids=str,
)
def test_all_else_is_left_to_flask(
    at_once: Callable[..., Any], get: Callable[..., Any], environ: dict[str, str]
) -> None:
    get()
    assert at_once() is not None

    assert at_once(**environ) is None


def test_health_is_answered_at_once(at_once: Callable[..., Any], app: Flask) -> None:
    reply = at_once("/healthz", "none")

    assert b"".join(reply.body) == app.test_client().get("/healthz").data


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("a&" * 300, 400, "bad_request"),
        ("%" * 20_000, 414, "uri_too_long"),
        ("a=" + "%" * 16_000, 401, "missing_credentials"),
        ("a&" * 200, 401, "missing_credentials"),
    ],
    ids=lambda value: str(value)[:8],
)
def test_a_query_that_takes_long_to_take_apart_is_refused(
    app: Flask, query: str, status: int, code: str
) -> None:
    began = monotonic()

    response = app.test_client().get(TEAMS, query_string=query)

    assert (response.status_code, response.get_json()["error"]["code"]) == (
        status,
        code,
    )
    assert monotonic() - began < 0.5


def test_who_has_a_virtual_key_does_not_wait_for_the_api_keys_file(
    get: Callable[..., Any], tmp_path: Path
) -> None:
    get()
    connection = sqlite3.connect(tmp_path / "access.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    waiting = [threading.Thread(target=get) for _ in range(4)]
    for thread in waiting:
        thread.start()
    began = monotonic()

    status = get(token="sk-bf-key-ops-0000-fake").status_code

    assert (status, monotonic() - began < 0.5) == (200, True)
    connection.close()
    for thread in waiting:
        thread.join()


# Compressing


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what was compressed."""
    sizes: list[int] = []
    compress = compression.compress

    def count(part: bytes) -> bytes:
        sizes.append(len(part))
        return compress(part)

    monkeypatch.setattr(compression, "compress", count)
    return sizes


def test_a_head_request_has_nothing_compressed(
    app: Flask, filled: Gateway, api_key: str, compressed: list[int]
) -> None:
    headers = {"Authorization": f"Bearer {api_key}", "Accept-Encoding": "gzip"}

    head = app.test_client().head(TEAMS, headers=headers)

    assert (head.status_code, head.headers["Content-Encoding"]) == (200, "gzip")
    assert "Content-Length" not in head.headers
    assert compressed == []
    whole = app.test_client().get(TEAMS, headers=headers)
    again = app.test_client().head(TEAMS, headers=headers)
    assert whole.headers["ETag"] == head.headers["ETag"] == again.headers["ETag"]
    assert again.headers["Content-Length"] == str(len(whole.data))


def test_what_would_take_very_long_is_not_compressed(
    get: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, compressed: list[int]
) -> None:
    monkeypatch.setattr(lists, "GZIP_MAXIMUM", 2000)

    response = get(**{"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in response.headers
    assert len(response.data) > 2000
    assert compressed == []


# The log


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("limit=2&search=a%20b", "?limit=2&search=a%20b"),
        ("limit=2&search=a+b", "?limit=2&search=a%20b"),
        ("api_key=hunter2", "?api_key=***"),
        ("search=sk-bf-1234567", "?search=sk-bf-***"),
        ("search=sk%2Dbf%2D1234567", "?search=sk-bf-***"),
        ("customer_id=bfst-abcdefgh", "?customer_id=bfst-***"),
        ("sk-bf-1234567=1", "?sk-bf-***=***"),
        ("search=%1bx", "?search=%1Bx"),
        ("search=a%20%20b", "?search=a%20%20b"),
        ("search=%2573k-bf-1234567", "?search=sk-bf-***"),
        ("search=sk%250D%250A-bf-1234567", "?search=sk-bf-***"),
        ("", ""),
    ],
)
def test_the_log_shows_the_query_without_tokens(
    app: Flask,
    filled: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    shown: str,
) -> None:
    log = StringIO()
    monkeypatch.setattr(getLogger("governance").handlers[0], "stream", log)

    app.test_client().get(TEAMS, query_string=query)

    (line,) = log.getvalue().splitlines()
    assert line.split()[3] == TEAMS + shown
    assert "1234567" not in line
    assert "hunter2" not in line


def test_a_long_path_and_query_are_cut_in_the_log(
    app: Flask, filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = StringIO()
    monkeypatch.setattr(getLogger("governance").handlers[0], "stream", log)

    app.test_client().get("/" + "a" * 60_000, query_string=f"search={'b' * 60_000}")

    assert len(log.getvalue()) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "a-" * 150_000,
        "aaaaaaaa." * 40_000,
        "eyJ" * 100_000,
        "sk-bf-" * 50_000,
        "a.b" * 100_000,
        "aaaaaaaa.bbbbbbbb" * 20_000,
    ],
    ids=lambda text: text[:12],
)
def test_hiding_tokens_takes_time_by_length_alone(text: str) -> None:
    began = monotonic()

    hide_tokens(text)

    assert monotonic() - began < 1  # it took minutes
