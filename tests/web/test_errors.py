"""Every error with its whole body and its headers, and how failures end."""

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from io import StringIO
from logging import getLogger
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from gateway import Gateway
from werkzeug.test import TestResponse

from snapshot.answers import KeptAnswers
from snapshot.snapshot import Snapshot
from store import sqlite as database
from web.access_log import set_up_logging

TEAMS = "/api/governance/teams"
CUSTOMERS = "/api/governance/customers"
LISTS = [TEAMS, CUSTOMERS]
HEALTH = ["/healthz", "/readyz"]

NO_CREDENTIAL = "No credential was sent; send the header Authorization: Bearer <token>."
NO_PATH = "There is nothing at this path."
NO_METHOD = "This path does not take this method; Allow names those it takes."
WHOLE_NUMBER = "takes a whole number, zero or more."
TRUE_OR_FALSE = "takes true, false, 1 or 0."
UNFORESEEN = "Something unforeseen went wrong; the log has more under this event_id."

Get = Callable[..., TestResponse]


def whole_body(
    status: int, code: str, message: str, param: str = "", event_id: str = "test-1"
) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "type": "",
        "is_bifrost_error": False,
        "status_code": status,
        "error": {
            "type": "",
            "code": code,
            "message": message,
            "param": param,
            "event_id": event_id,
        },
        "extra_fields": {"provider": "", "model_requested": "", "request_type": ""},
    }


@pytest.fixture
def ask(client: FlaskClient, api_key: str) -> Callable[..., TestResponse]:
    """ask(path, "POST"): a request with the API key, unless `token` says otherwise."""

    def ask(
        path: str, method: str = "GET", token: str | None = api_key, **more: Any
    ) -> TestResponse:
        headers = {"X-Request-Id": "test-1"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return client.open(path, method=method, headers=headers, **more)

    return ask


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """The text that the service writes to standard error."""
    set_up_logging()
    written = StringIO()
    monkeypatch.setattr(getLogger("governance").handlers[0], "stream", written)
    return written


# The body


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("token", "case"),
    [
        (None, (401, "missing_credentials", NO_CREDENTIAL)),
        (
            "bfst-" + "A" * 44,
            (401, "invalid_credentials", "The management API key is not known."),
        ),
        (
            "bfst-short",
            (401, "invalid_credentials", "The management API key is malformed."),
        ),
    ],
    ids=["missing", "unknown", "malformed"],
)
def test_401_has_the_whole_body(
    gateway: Gateway, ask: Get, path: str, token: str | None, case: Any
) -> None:
    response = ask(path, token=token)

    assert response.get_json() == whole_body(*case)
    assert response.status_code == 401


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("token", [None, "bfst-" + "A" * 44, "sk-bf-x", "a.b.c", "x"])
def test_401_asks_for_a_bearer_token(
    gateway: Gateway, ask: Get, path: str, token: str | None
) -> None:
    response = ask(path, token=token)

    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("param", "value", "rule"),
    [
        ("limit", "many", WHOLE_NUMBER),
        ("offset", "-1", WHOLE_NUMBER),
        ("from_memory", "yes", TRUE_OR_FALSE),
    ],
)
def test_400_names_the_parameter(
    gateway: Gateway, ask: Get, path: str, param: str, value: str, rule: str
) -> None:
    message = f"The parameter {param} {rule}"

    response = ask(path, query_string={param: value})

    assert response.get_json() == whole_body(400, "invalid_parameter", message, param)
    assert response.status_code == 400


def test_400_names_one_of_several_wrong_parameters(gateway: Gateway, ask: Get) -> None:
    response = ask(TEAMS, query_string="offset=b&limit=a&from_memory=c")

    assert response.get_json()["error"]["param"] in {"limit", "offset", "from_memory"}
    assert response.status_code == 400


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query", ["limit=&offset=&search=&from_memory=&customer_id=", "unknown=-1", "page"]
)
def test_empty_and_unknown_parameters_are_no_error(
    gateway: Gateway, ask: Get, path: str, query: str
) -> None:
    response = ask(path, query_string=query)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/governance",
        "/api/governance/",
        "/api/governance/virtual-keys",
        "/api/governance/teams/",
        "/api/governance/teams/acme-ops",
        "/api/governance/Teams",
        "/api/governance//teams",
        "/api//governance/teams",
        "/api/governance/teams//",
        "/api/governance/customers/",
        "/api/governance//customers",
        "/api/governance/teams;a=b",
        "/api/governance/teams%20",
        "/healthz/",
        "/static/app.py",
        "/favicon.ico",
        "/\ud55c\uad6d",
    ],
)
def test_404_for_an_unknown_path_has_the_whole_body(
    gateway: Gateway, ask: Get, path: str
) -> None:
    # As it would arrive: the test client makes a host of a path that begins with //.
    environ = {"PATH_INFO": path.encode().decode("latin-1")}

    response = ask("/", token=None, environ_overrides=environ)

    assert response.get_json() == whole_body(404, "not_found", NO_PATH)
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("path", "method"),
    [
        *((path, "POST") for path in (*LISTS, *HEALTH)),
        *(
            (TEAMS, m)
            for m in ("PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get-it")
        ),
    ],
)
def test_405_names_the_methods_that_work(
    gateway: Gateway, ask: Get, path: str, method: str
) -> None:
    response = ask(path, method, token=None)

    assert response.get_json() == whole_body(405, "method_not_allowed", NO_METHOD)
    assert (response.status_code, response.headers["Allow"]) == (
        405,
        "GET, HEAD, OPTIONS",
    )


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/unknown", "GET", 404), (TEAMS, "POST", 405)]
)
def test_404_and_405_do_not_depend_on_the_credential(
    gateway: Gateway, ask: Get, path: str, method: str, status: int
) -> None:
    responses = [ask(path, method, token=each) for each in (None, "bfst-" + "A" * 44)]

    assert [response.status_code for response in responses] == [status, status]


# Every error alike


ERRORS: dict[str, tuple[str, str, str | None, int]] = {
    "no credential": (TEAMS, "GET", None, 401),
    "unknown credential": (CUSTOMERS, "GET", "sk-bf-unknown", 401),
    "wrong parameter": (f"{TEAMS}?limit=a", "GET", "", 400),
    "unknown path": ("/teams", "GET", None, 404),
    "other method": (TEAMS, "POST", None, 405),
}
each_error = pytest.mark.parametrize(
    ("path", "method", "token", "status"), ERRORS.values(), ids=ERRORS.keys()
)


@each_error
def test_the_event_ids_are_the_id_of_the_response(
    gateway: Gateway,
    client: FlaskClient,
    api_key: str,
    path: str,
    method: str,
    token: str | None,
    status: int,
) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token or api_key}"}

    response = client.open(path, method=method, headers=headers)

    body = response.get_json()
    ids = {body["event_id"], body["error"]["event_id"]}
    assert ids == {response.headers["X-Request-Id"]}
    assert (response.status_code, body["status_code"]) == (status, status)


@each_error
def test_an_error_is_json_of_a_known_length(
    gateway: Gateway,
    ask: Get,
    api_key: str,
    path: str,
    method: str,
    token: str | None,
    status: int,
) -> None:
    response = ask(path, method, token=api_key if token == "" else token)

    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Length"] == str(len(response.data))


@each_error
def test_an_error_has_the_keys_in_the_documents_order(
    gateway: Gateway,
    ask: Get,
    api_key: str,
    path: str,
    method: str,
    token: str | None,
    status: int,
) -> None:
    expected = whole_body(0, "", "")

    body = ask(path, method, token=api_key if token == "" else token).get_json()

    keys = [list(body), list(body["error"]), list(body["extra_fields"])]
    assert keys == [
        list(expected),
        list(expected["error"]),
        list(expected["extra_fields"]),
    ]


@pytest.mark.parametrize(
    ("path", "status"), [(TEAMS, 401), (CUSTOMERS, 401), ("/unknown", 404)]
)
def test_head_has_the_status_of_an_error_and_no_body(
    gateway: Gateway, ask: Get, path: str, status: int
) -> None:
    response = ask(path, "HEAD", token=None)

    assert (response.status_code, response.data) == (status, b"")
    assert response.headers["X-Request-Id"] == "test-1"


@pytest.mark.parametrize("path", LISTS)
def test_head_answers_as_get_without_the_body(
    filled: Gateway, ask: Get, path: str
) -> None:
    got = ask(path)

    head = ask(path, "HEAD")

    assert (head.status_code, head.data) == (200, b"")
    assert dict(head.headers) == dict(got.headers)


@pytest.mark.parametrize("path", [*LISTS, *HEALTH])
def test_options_names_the_methods_that_work(
    gateway: Gateway, ask: Get, path: str
) -> None:
    response = ask(path, "OPTIONS", token=None)

    methods = sorted(re.split(", *", response.headers["Allow"]))
    assert (response.status_code, response.data) == (200, b"")
    assert methods == ["GET", "HEAD", "OPTIONS"]


# The database cannot be read


def delete(path: Path) -> None:
    path.unlink()


def make_garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, " * 1000)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6000])


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_other_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text)")


Break = Callable[[Path], None]
BREAKS: list[tuple[Break, str]] = [
    (delete, "does not exist"),
    (make_garbage, "is not an SQLite database"),
    (truncate, "is damaged"),
    (make_empty, "has no table governance_customers"),
    (make_directory, "is a directory"),
    (make_other_database, "has no table governance_customers"),
]
each_break = pytest.mark.parametrize(
    ("break_it", "reason"), BREAKS, ids=[each[0].__name__ for each in BREAKS]
)


@pytest.fixture
def no_background_check(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only requests look at the database."""
    monkeypatch.setattr(app.extensions["keeper"], "start", lambda: None)


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked database is waited for only briefly; to be named before `app` is."""
    monkeypatch.setattr(database, "LOCK_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(database, "LOCK_WAIT_AGAIN_SECONDS", 0.01)


@pytest.fixture
def locking(tmp_path: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Locks the gateway's database for everyone else, until the test ends."""
    connection = sqlite3.connect(tmp_path / "config.db", isolation_level=None)

    def lock() -> sqlite3.Connection:
        connection.execute("BEGIN EXCLUSIVE")
        return connection

    yield lock
    connection.close()


def unavailable(reason: str) -> dict[str, Any]:
    message = f"The database {reason}; from_memory=true may still answer."
    return whole_body(503, "database_unavailable", message)


@each_break
def test_503_for_a_database_that_was_never_readable(
    gateway: Gateway, ask: Get, break_it: Break, reason: str
) -> None:
    break_it(gateway.path)

    responses = [
        ask(path, query_string={"from_memory": from_memory})
        for path in LISTS
        for from_memory in ("false", "true")
    ]

    for response in responses:
        assert response.get_json() == unavailable(reason)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")


@pytest.mark.usefixtures("no_background_check")
@pytest.mark.parametrize("path", LISTS)
@each_break
def test_a_database_that_breaks_is_503_until_it_is_back_and_memory_answers_meanwhile(
    filled: Gateway, ask: Get, path: str, break_it: Break, reason: str
) -> None:
    good = filled.path.with_name("good.db")
    shutil.copy(filled.path, good)
    before = ask(path)

    break_it(filled.path)
    broken = ask(path)
    remembered = ask(path, query_string="from_memory=true")
    if filled.path.is_dir():
        filled.path.rmdir()
    good.replace(filled.path)
    after = ask(path)

    assert broken.get_json() == unavailable(reason)
    assert (remembered.status_code, remembered.data) == (200, before.data)
    assert (after.status_code, after.data) == (200, before.data)


@pytest.mark.usefixtures("short_wait", "no_background_check")
@pytest.mark.parametrize("path", LISTS)
def test_a_locked_database_is_503_until_it_is_free(
    filled: Gateway,
    locking: Callable[[], sqlite3.Connection],
    ask: Get,
    path: str,
) -> None:
    before = ask(path)

    writer = locking()
    locked = [ask(path), ask(path)]
    writer.execute("COMMIT")
    after = ask(path)

    expected = [unavailable("is locked by another process")] * 2
    assert [response.get_json() for response in locked] == expected
    assert (after.status_code, after.data) == (200, before.data)


@pytest.mark.usefixtures("short_wait", "no_background_check")
@pytest.mark.parametrize("path", LISTS)
def test_memory_goes_on_answering_when_the_database_is_locked(
    filled: Gateway,
    locking: Callable[[], sqlite3.Connection],
    ask: Get,
    path: str,
) -> None:
    before = ask(path)

    locking()
    locked = ask(path)
    remembered = ask(path, query_string="from_memory=true")

    assert (locked.status_code, locked.headers["Retry-After"]) == (503, "2")
    assert (remembered.status_code, remembered.data) == (200, before.data)


@pytest.mark.usefixtures("short_wait")
def test_a_database_that_is_locked_from_the_start_is_503(
    gateway: Gateway,
    locking: Callable[[], sqlite3.Connection],
    ask: Get,
    source: str,
) -> None:
    locking()

    response = ask(TEAMS, query_string={"from_memory": str(source == "memory")})

    assert response.get_json() == unavailable("is locked by another process")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")


def test_503_does_not_show_the_path(gateway: Gateway, ask: Get) -> None:
    gateway.path.unlink()

    response = ask(TEAMS)

    assert str(gateway.path.parent) not in response.text


def test_503_is_logged_once_with_the_path_and_so_is_the_end_of_it(
    gateway: Gateway, log: StringIO, ask: Get
) -> None:
    away = gateway.path.with_name("away.db")

    gateway.path.rename(away)
    for _ in range(3):
        ask(TEAMS)
    away.rename(gateway.path)
    for _ in range(3):
        ask(TEAMS)

    lines = [line for line in log.getvalue().splitlines() if "database" in line]
    assert [line.split(" ", 1)[1] for line in lines] == [
        f"ERROR database unavailable: {gateway.path} does not exist",
        f"INFO database available again: {gateway.path}",
    ]


@pytest.mark.parametrize("path", LISTS)
def test_a_missing_credential_is_reported_before_a_missing_database(
    tmp_path: Path, client: FlaskClient, path: str
) -> None:
    response = client.get(path)

    assert response.status_code == 401


# Anything unforeseen


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes both lists fail; the inner text, which no client shall see."""
    text = "inner text of /srv/config.db"

    def fail(*args: Any) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(Snapshot, "teams", fail)
    monkeypatch.setattr(Snapshot, "customers", fail)
    return text


@pytest.mark.parametrize("path", LISTS)
def test_500_has_the_whole_body_and_no_inner_text(
    gateway: Gateway, failing: str, ask: Get, path: str
) -> None:
    response = ask(path)

    assert response.get_json() == whole_body(500, "internal_error", UNFORESEEN)
    assert failing not in f"{response.headers}{response.text}"


@pytest.mark.parametrize("path", LISTS)
def test_500_is_in_the_log_with_its_traceback_under_the_same_id(
    gateway: Gateway, failing: str, log: StringIO, ask: Get, path: str
) -> None:
    ask(path)

    assert "ERROR request test-1 failed\nTraceback (most recent" in log.getvalue()
    assert f"RuntimeError: {failing}\n" in log.getvalue()


@pytest.mark.parametrize("path", LISTS)
def test_a_failure_does_not_outlive_its_request(
    gateway: Gateway, ask: Get, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(KeptAnswers, "get_or_make", fail)
        during = ask(path)
    after = ask(path)

    assert (during.status_code, after.status_code) == (500, 200)
