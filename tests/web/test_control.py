"""The control routes: data, credentials, the record of requests, and who may ask."""

import re
import sqlite3
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from controlled import CUSTOMERS, TEAMS, Answer, Controlled
from flask import Flask
from flask.testing import FlaskClient
from service import ROOT
from werkzeug.test import TestResponse

from commands.control import add_control, add_faults
from web.control.bodies import MOST_BYTES, ControlBodies
from web.control.guard import guard
from web.control.request_record import MOST_REQUESTS

BLUE = {"teams": [{"id": "b", "name": "Blue", "virtual_keys": [{"name": "one"}]}]}
BOTH = [TEAMS, f"{TEAMS}?from_memory=true"]
ROUTES = [
    ("PUT", "data"),
    ("POST", "data"),
    ("DELETE", "data"),
    ("POST", "api-keys"),
    ("DELETE", "api-keys/x"),
    ("POST", "tokens"),
    ("GET", "requests"),
    ("DELETE", "requests"),
    ("GET", "faults"),
    ("POST", "faults"),
    ("DELETE", "faults"),
    ("DELETE", "faults/1"),
    ("DELETE", "all"),
]


@pytest.fixture
def get(service: Controlled, api_key: str) -> Callable[..., Answer]:
    """get(path): a list, with an API key."""
    return lambda path=TEAMS, **more: service.ask("GET", path, api_key, **more)


# Who may ask


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_control_there_is_nothing(
    client: FlaskClient, api_key: str, method: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}

    answer = client.open(f"/_control/{path}", method=method, headers=headers)

    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["error"]["code"] == "not_found"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_wants_the_control_token(
    service: Controlled, get: Any, api_key: str, method: str, path: str
) -> None:
    for token, code in (
        (None, "missing_credentials"),
        (api_key, "invalid_credentials"),
        (service.token[:-1], "invalid_credentials"),
        (service.token + "x", "invalid_credentials"),
    ):
        answer = service.ask(method, f"/_control/{path}", token, {})

        assert (answer.status, answer.code) == (401, code)
    assert get().names() == ["Red"]


def test_the_control_token_is_no_credential_of_the_lists(
    service: Controlled,
) -> None:
    assert service.ask("GET", TEAMS, service.token).status == 401


@pytest.mark.parametrize(
    ("remote", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.8.8", 200),
        ("::1", 200),
        ("", 200),
        ("192.0.2.7", 404),
        ("2001:db8::1", 404),
        ("somewhere", 404),
    ],
)
def test_only_this_machine_may_ask(
    app: Flask, own_database: Path, remote: str, status: int
) -> None:
    add_faults(app, by_header=False)
    token = add_control(app, own_database)

    answer = app.test_client().get(
        "/_control/requests",
        headers={"Authorization": f"Bearer {token}"},
        environ_overrides={"REMOTE_ADDR": remote},
    )

    assert answer.status_code == status


def test_each_service_has_a_token_of_its_own(
    run: Callable[..., Controlled], own_database: Path
) -> None:
    one, other = run(own_database), run(own_database)

    assert one.token != other.token
    assert len(one.token) >= 40
    assert other.ask("GET", "/_control/faults", one.token).status == 401


def test_the_token_is_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[Any] = []
    monkeypatch.setattr(
        "web.control.guard.secrets.compare_digest",
        lambda *given: bool(compared.append(given)) or True,
    )

    guard({"REMOTE_ADDR": "127.0.0.1", "HTTP_AUTHORIZATION": "Bearer a"}, "b")

    assert compared == [(b"a", b"b")]


def test_the_documents_name_every_route(app: Flask, own_database: Path) -> None:
    add_faults(app, by_header=False)
    add_control(app, own_database)
    document = (ROOT / "docs" / "testing.md").read_text()
    shown = set(re.findall(r"^\| `([A-Z]+ /_control/\S+)`", document, re.MULTILINE))

    there = {
        f"{method} {rule.rule.replace('int:number', 'id')}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.rule.startswith("/_control/") and method not in ("HEAD", "OPTIONS")
    }

    assert shown == there


# Data


@pytest.mark.parametrize("path", BOTH)
def test_put_data_replaces_everything_at_once(
    service: Controlled, get: Any, path: str
) -> None:
    assert get(path).names() == ["Red"]

    told = service.control("PUT", "data", BLUE)

    assert (told.status, told.json()["added"]) == (200, 2)
    assert get(path).names() == ["Blue"]


@pytest.mark.parametrize("path", BOTH)
def test_post_data_adds_at_once(service: Controlled, get: Any, path: str) -> None:
    assert get(path).names() == ["Red"]

    service.control("POST", "data", BLUE)

    assert get(path).names() == ["Red", "Blue"]


@pytest.mark.parametrize("path", BOTH)
def test_delete_data_empties_at_once(service: Controlled, get: Any, path: str) -> None:
    assert get(path).names() == ["Red"]

    told = service.control("DELETE", "data")

    assert told.json() == {"added": 0, "changed": 0, "removed": 2, "notes": []}
    assert get(path).names() == []


def test_put_data_begins_everything_anew(service: Controlled, get: Any) -> None:
    budget = {"max_limit": 9, "reset_duration": "1d"}
    red = {"id": "r", "name": "Red", "budget": {**budget, "current_usage": 5}}
    service.control("PUT", "data", {"teams": [red | {"virtual_keys": [{"name": "k"}]}]})
    (first,) = get().json()["teams"]

    red["budget"] = budget
    service.control("PUT", "data", {"teams": [red | {"virtual_keys": [{"name": "k"}]}]})
    (second,) = get().json()["teams"]

    assert first["budget"]["current_usage"] == 5
    assert second["budget"]["current_usage"] == 0
    assert second["created_at"] > first["created_at"]
    (one,), (other,) = first["virtual_keys"], second["virtual_keys"]
    assert one["value"] != other["value"]


def test_everything_but_a_name_may_be_left_out(service: Controlled, get: Any) -> None:
    service.control("PUT", "data", {"teams": [{"name": "Green"}]})

    assert get().names() == ["Green"]


def test_an_answer_can_be_put_back(service: Controlled, get: Any) -> None:
    answer = get(CUSTOMERS)

    service.control("PUT", "data", answer.body)

    assert get(CUSTOMERS).body == answer.body


def test_a_database_can_be_put(
    service: Controlled, get: Any, tmp_path: Path, filled_bytes: dict[str, bytes]
) -> None:
    told = service.control("PUT", "data", filled_bytes["july"])

    assert told.status == 200, told.body
    assert "Red" not in get().names()
    assert len(get().names()) > 1


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "data: line 1, column 1: is not JSON"),
        (b"{", "data: line 1, column"),
        (b"[1, 2]", "data: "),
        (b'"text"', "data: is neither"),
        (
            {"teams": [{"name": "Blue", "budget": {"max_limit": 5}}]},
            "data: teams[0].budget.reset_duration: is missing",
        ),
        (
            {"teams": [{"name": "Blue", "customer_id": "none"}]},
            'data: teams[0].customer_id: no customer "none"',
        ),
        (b"SQLite format 3\0 and then nothing", "data: is"),
    ],
)
def test_bad_data_is_refused_and_nothing_changes(
    service: Controlled, get: Any, method: str, body: Any, sentence: str
) -> None:
    before = get().body

    told = service.control(method, "data", body)

    assert (told.status, told.code) == (400, "invalid_data")
    assert sentence in told.json()["error"]["message"]
    assert "/" not in told.json()["error"]["message"].replace("://", "")
    assert get().body == before


def test_what_is_not_known_is_named_in_notes(service: Controlled) -> None:
    told = service.control("POST", "data", {"teams": [{"name": "B", "bugdet": 1}]})

    (note,) = told.json()["notes"]
    assert "bugdet" in note
    assert "budget" in note


def test_data_put_at_the_same_time_is_one_or_the_other(
    service: Controlled, get: Any
) -> None:
    names = ["A", "B", "C", "D"]
    answers: list[int] = []

    def put(name: str) -> None:
        document = {"teams": [{"name": f"{name}{n}"} for n in range(20)]}
        answers.append(service.control("PUT", "data", document).status)

    threads = [threading.Thread(target=put, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [200] * 4
    assert len({name[0] for name in get().names()}) == 1
    assert len(get().names()) == 20


def test_a_gateways_own_database_is_never_written(
    run: Callable[..., Controlled], own_database: Path, api_key: str
) -> None:
    before = own_database.read_bytes()
    service = run(None)

    told = [
        service.control("PUT", "data", BLUE),
        service.control("POST", "data", BLUE),
        service.control("DELETE", "data"),
    ]

    assert {(each.status, each.code) for each in told} == {(409, "conflict")}
    assert "a gateway's own database" in told[0].json()["error"]["message"]
    assert own_database.read_bytes() == before
    assert service.control("DELETE", "all").status == 204
    assert service.ask("GET", TEAMS, api_key).names() == ["Red"]


def test_a_body_that_is_too_large_is_refused(
    service: Controlled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.control.routes.MOST_BYTES", 100)
    monkeypatch.setattr("web.control.bodies.MOST_BYTES", 100)

    told = service.control("PUT", "data", b" " * 101)

    assert (told.status, told.json()["status_code"]) == (413, 413)


@pytest.mark.parametrize(
    "request_",
    [
        {"HTTP_AUTHORIZATION": "Bearer wrong"},
        {"HTTP_AUTHORIZATION": None},
        {"REMOTE_ADDR": "192.0.2.7"},
        {"CONTENT_LENGTH": str(MOST_BYTES + 1)},
        {"PATH_INFO": TEAMS},
    ],
    ids=lambda request_: next(iter(request_)),
)
def test_no_body_is_waited_for_that_is_not_wanted(request_: dict[str, Any]) -> None:
    """One thread reads them all: a slow one would hold others up."""
    environ = {
        "PATH_INFO": "/_control/data",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_AUTHORIZATION": "Bearer right",
        "CONTENT_LENGTH": "2",
    }
    wanted, unwanted = BytesIO(b"{}"), BytesIO(b"{}")
    answered: list[Any] = []
    bodies = ControlBodies("right", lambda protocol, request: answered.append(request))

    bodies(None, {**environ, "wsgi.input": wanted})
    given = {k: v for k, v in {**environ, **request_}.items() if v is not None}
    bodies(None, {**given, "wsgi.input": unwanted})

    assert len(answered) == 2
    assert answered[0]["wsgi.input"].read() == b"{}"
    assert (wanted.tell(), unwanted.tell()) == (2, 0)


# Credentials


def test_an_api_key_is_made_and_revoked(service: Controlled) -> None:
    made = service.control("POST", "api-keys", {"name": "billing"})
    key = made.json()["api_key"]

    before = service.ask("GET", CUSTOMERS, key)
    again = service.control("POST", "api-keys", {"name": "billing"})
    revoked = service.control("DELETE", "api-keys/billing")

    assert (made.status, made.json()["name"]) == (201, "billing")
    assert before.names() == ["Acme"]
    assert (again.status, again.code) == (409, "conflict")
    assert revoked.status == 204
    assert service.ask("GET", CUSTOMERS, key).status == 401
    assert service.control("DELETE", "api-keys/billing").status == 404


def test_api_keys_need_no_name(service: Controlled) -> None:
    keys = [service.control("POST", "api-keys").json() for _ in range(2)]

    answers = [service.ask("GET", CUSTOMERS, key["api_key"]) for key in keys]

    assert [answer.status for answer in answers] == [200, 200]
    assert keys[0]["name"] != keys[1]["name"]


def test_only_keys_made_here_are_revoked(service: Controlled, api_key: str) -> None:
    assert service.control("DELETE", "api-keys/tests").status == 404
    assert service.ask("GET", CUSTOMERS, api_key).status == 200


def test_credentials_may_have_expired_already(service: Controlled) -> None:
    key = service.control("POST", "api-keys", {"expires_in": -1}).json()["api_key"]
    token = service.control("POST", "tokens", {"expires_in": -60}).json()["token"]

    answers = [service.ask("GET", TEAMS, key), service.ask("GET", TEAMS, token)]

    assert [answer.status for answer in answers] == [401, 401]
    assert all("expired" in a.json()["error"]["message"] for a in answers)


def test_an_admins_token_is_made(service: Controlled) -> None:
    made = service.control("POST", "tokens")

    assert (made.status, made.json()["role"]) == (201, "admin")
    assert service.ask("GET", TEAMS, made.json()["token"]).names() == ["Red"]


def test_a_virtual_keys_token_is_made(service: Controlled, get: Any) -> None:
    service.control("POST", "data", BLUE)
    key = get().json()["teams"][1]["virtual_keys"][0]

    made = service.control("POST", "tokens", {"virtual_key_id": key["id"]})

    assert made.json()["role"] == "virtual_key"
    seen = service.ask("GET", TEAMS, made.json()["token"])
    assert seen.names() == ["Blue"]
    assert key["value"] not in seen.body.decode()


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("api-keys", {"name": ""}, "name"),
        ("api-keys", {"name": 5}, "name"),
        ("api-keys", {"name": " "}, "name"),
        ("api-keys", {"expires_in": "1h"}, "expires_in"),
        ("api-keys", {"lifetime": 5}, "lifetime"),
        ("api-keys", b"{", ""),
        ("api-keys", b"[]", ""),
        ("tokens", {"virtual_key_id": 5}, "virtual_key_id"),
        ("tokens", {"expires_in": 10**12}, "expires_in"),
        ("faults", {}, "fault"),
        ("faults", {"status": 503, "delay": 1}, "fault"),
        ("faults", {"status": 200}, "status"),
        ("faults", {"status": 499}, "status"),
        ("faults", {"status": "503"}, "status"),
        ("faults", {"delay": 0}, "delay"),
        ("faults", {"delay": -1}, "delay"),
        ("faults", {"delay": 3601}, "delay"),
        ("faults", b'{"delay": NaN}', ""),
        ("faults", {"cut": False}, "cut"),
        ("faults", {"stale": "yes"}, "stale"),
        ("faults", {"unavailable": None}, "unavailable"),
        ("faults", {"cut": True, "times": 0}, "times"),
        ("faults", {"cut": True, "times": 1.5}, "times"),
        ("faults", {"cut": True, "route": "/nowhere"}, "route"),
        ("faults", {"cut": True, "route": 5}, "route"),
    ],
)
def test_a_wrong_body_is_refused_and_nothing_changes(
    service: Controlled, path: str, body: Any, param: str
) -> None:
    told = service.control("POST", path, body)

    assert (told.status, told.json()["error"]["param"]) == (400, param)
    assert told.json()["is_bifrost_error"] is False
    assert service.control("GET", "faults").json()["count"] == 0


# The record of requests


def requests(service: Controlled) -> list[dict[str, Any]]:
    told = service.control("GET", "requests").json()
    assert told["count"] == len(told["requests"])
    found: list[dict[str, Any]] = told["requests"]
    return found


def test_requests_are_recorded_however_they_are_answered(
    service: Controlled, get: Any, api_key: str
) -> None:
    get(f"{TEAMS}?limit=5&customer_id=acme")
    get(f"{TEAMS}?limit=5&customer_id=acme")  # answered at once
    etag = get().headers["ETag"]
    get(headers=[("If-None-Match", etag)])
    service.ask("HEAD", CUSTOMERS, api_key)
    service.ask("POST", TEAMS, None, {})
    service.ask("GET", TEAMS, None)
    get("/nowhere")
    service.control("POST", "faults", {"status": 503, "times": 1})
    get()

    found = requests(service)

    assert [(r["method"], r["path"], r["status"]) for r in found] == [
        ("GET", TEAMS, 200),
        ("GET", TEAMS, 200),
        ("GET", TEAMS, 200),
        ("GET", TEAMS, 304),
        ("HEAD", CUSTOMERS, 200),
        ("POST", TEAMS, 405),
        ("GET", TEAMS, 401),
        ("GET", "/nowhere", 404),
        ("GET", TEAMS, 503),
    ]
    assert [r["query"] for r in found[:3]] == ["limit=5&customer_id=acme"] * 2 + [""]
    caller = "management-API-key:tests"
    assert [r["caller"] for r in found] == [caller] * 5 + [None] * 4
    assert found[0]["authorization"] == "Bearer bfst-***"
    assert found[6]["authorization"] is None
    assert found == sorted(found, key=lambda r: str(r["at"]))
    assert found[0]["at"].endswith("Z")
    assert all(0 <= r["milliseconds"] < 15_000 for r in found)


def test_no_credential_is_in_the_record(service: Controlled) -> None:
    secrets = ["bfst-" + "a" * 44, "sk-bf-secret1234", "hunter2-is-a-password"]
    for secret in secrets:
        service.ask("GET", f"{TEAMS}?key={secret}&search={secret[:9]}", secret)
        service.ask("GET", f"/{secret}", None, None, [("Authorization", secret)])
        service.ask("GET", TEAMS, None, None, [("Authorization", f"Basic {secret}")])

    told = service.control("GET", "requests").body.decode()

    assert len(requests(service)) == 9
    assert "bfst-aaa" not in told
    assert "sk-bf-secret" not in told
    assert told.count("hunter2-is-a-password") == 1  # as a path, which is no secret
    assert service.token not in told


def test_the_record_can_be_forgotten(service: Controlled, get: Any) -> None:
    get()

    assert service.control("DELETE", "requests").status == 204
    assert requests(service) == []


def test_the_record_has_the_last_thousand(app: Flask, own_database: Path) -> None:
    add_faults(app, by_header=False)
    token = add_control(app, own_database)
    client = app.test_client()
    for number in range(MOST_REQUESTS + 5):
        client.get(f"/nowhere/{number}")

    answer: TestResponse = client.get(
        "/_control/requests", headers={"Authorization": f"Bearer {token}"}
    )

    assert answer.json is not None
    paths = [request["path"] for request in answer.json["requests"]]
    assert paths == [f"/nowhere/{number}" for number in range(5, MOST_REQUESTS + 5)]


# All of it


def test_delete_all_begins_anew(service: Controlled, get: Any) -> None:
    key = service.control("POST", "api-keys", {"name": "mine"}).json()["api_key"]
    service.control("POST", "faults", {"status": 503})
    get()

    assert service.control("DELETE", "all").status == 204

    assert requests(service) == []
    assert [get(path).names() for path in BOTH] == [[], []]
    assert service.ask("GET", CUSTOMERS, key).status == 401
    assert service.control("GET", "faults").json()["count"] == 0
    assert service.control("POST", "api-keys", {"name": "mine"}).status == 201


def test_a_load_that_fails_half_way_leaves_all_as_it_was(
    service: Controlled, get: Any, own_database: Path
) -> None:
    assert get().names() == ["Red"]
    with sqlite3.connect(own_database) as connection:
        connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON governance_virtual_keys"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    connection.close()

    told = service.control("PUT", "data", BLUE)

    assert (told.status, told.code) == (503, "database_unavailable")
    assert get().names() == ["Red"]
