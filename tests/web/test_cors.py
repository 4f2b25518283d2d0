"""Web pages of other origins: who may read, whichever way the answer takes."""

from collections.abc import Callable
from io import StringIO
from logging import StreamHandler, getLogger
from typing import Any

import pytest
from flask import Flask
from gateway import Gateway
from werkzeug.test import Client, TestResponse

from web import cors
from web.control.faults import Fault, Faults

HERE = "https://dashboard.example"
ELSEWHERE = "https://elsewhere.example"
TEAMS = "/api/governance/teams"

Ask = Callable[..., TestResponse]


@pytest.fixture
def ask(
    make_app: Callable[..., Flask], filled: Gateway, api_key: str, request: Any
) -> Ask:
    """ask(origins, path, origin): a GET with the API key, from a page of an origin."""

    def ask(
        origins: str, path: str, origin: str | None = HERE, **headers: str
    ) -> TestResponse:
        app = make_app(GOVERNANCE_CORS_ORIGINS=origins)
        method = headers.pop("method", "GET")
        headers = {"Authorization": f"Bearer {api_key}", **headers}
        if origin is not None:
            headers["Origin"] = origin
        return Client(app).open(path, method=method, headers=headers)

    return ask


def cors_headers(response: TestResponse) -> dict[str, str]:
    return {n: v for n, v in response.headers if n.startswith("Access-Control-")}


def varies(response: TestResponse) -> list[str]:
    return [name.strip() for name in response.headers.get("Vary", "").split(",")]


READABLE = {
    "Access-Control-Allow-Origin": HERE,
    "Access-Control-Expose-Headers": "ETag, X-Request-Id, Age, Retry-After",
}


def test_without_the_setting_nothing_is_said(ask: Ask) -> None:
    response = ask("", TEAMS)

    assert response.status_code == 200
    assert cors_headers(response) == {}
    assert "Origin" not in varies(response)


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        (TEAMS, {}, 200),
        (TEAMS, {"method": "HEAD"}, 200),
        (TEAMS, {"If-None-Match": "*"}, 304),
        (TEAMS, {"Authorization": "Bearer wrong"}, 401),
        (f"{TEAMS}?limit=x", {}, 400),
        (TEAMS, {"method": "POST"}, 405),
        ("/nowhere", {}, 404),
        ("/healthz", {}, 200),
    ],
)
def test_a_page_of_a_listed_origin_may_read_whatever_is_answered(
    ask: Ask, path: str, more: dict[str, str], status: int
) -> None:
    response = ask(f"http://localhost:3000,{HERE}", path, **more)

    assert response.status_code == status
    assert cors_headers(response) == READABLE
    assert varies(response)[-1] == "Origin"


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", f"{HERE}:8443", f"{HERE}."])
def test_a_page_of_another_origin_may_not(ask: Ask, origin: str) -> None:
    response = ask(HERE, TEAMS, origin)

    assert cors_headers(response) == {}
    assert varies(response) == ["Authorization", "Accept-Encoding", "Origin"]


def test_a_request_without_an_origin_varies_too(ask: Ask) -> None:
    # A cache may keep it, and be asked by a page later.
    response = ask(HERE, TEAMS, None)

    assert cors_headers(response) == {}
    assert varies(response) == ["Authorization", "Accept-Encoding", "Origin"]


@pytest.mark.parametrize("origin", [HERE, ELSEWHERE, "null"])
def test_a_star_lets_all_pages_read(ask: Ask, origin: str) -> None:
    response = ask("*", TEAMS, origin)

    assert cors_headers(response) == READABLE | {"Access-Control-Allow-Origin": "*"}
    assert "Origin" not in varies(response)


def test_an_answer_given_at_once_has_the_headers_too(
    make_app: Callable[..., Flask], filled: Gateway, api_key: str
) -> None:
    app = make_app(GOVERNANCE_CORS_ORIGINS=HERE)
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": TEAMS,
        "QUERY_STRING": "",
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": f"Bearer {api_key}",
        "HTTP_ORIGIN": HERE,
    }
    headers = {"Authorization": f"Bearer {api_key}"}
    Client(app).get(TEAMS, headers=headers)  # what was asked before is kept

    reply = app.extensions["entrance"].at_once(environ)

    assert {n: v for n, v in reply.headers if n.startswith("Access-")} == READABLE
    assert ("Vary", "Authorization, Accept-Encoding, Origin") in reply.headers


# Preflight

PREFLIGHT = {
    "method": "OPTIONS",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization,if-none-match",
    "Authorization": "",  # browsers send none
}


@pytest.mark.parametrize("path", [TEAMS, "/api/governance/customers", "/readyz"])
@pytest.mark.parametrize(("origins", "allowed"), [(HERE, HERE), ("*", "*")])
def test_a_preflight_is_answered_without_a_credential(
    ask: Ask, path: str, origins: str, allowed: str
) -> None:
    response = ask(origins, path, **PREFLIGHT, **{"X-Request-Id": "mine"})

    assert (response.status_code, response.data) == (204, b"")
    assert cors_headers(response) == READABLE | {
        "Access-Control-Allow-Origin": allowed,
        "Access-Control-Allow-Methods": "GET, HEAD",
        "Access-Control-Allow-Headers": (
            "Authorization, Content-Type, If-None-Match, Prefer, X-Request-Id"
        ),
        "Access-Control-Max-Age": "600",
    }
    assert response.headers["X-Request-Id"] == "mine"


def test_a_preflight_of_another_origin_allows_nothing(ask: Ask) -> None:
    response = ask(HERE, TEAMS, ELSEWHERE, **PREFLIGHT)

    assert response.status_code == 200
    assert set(response.allow) == {"GET", "HEAD", "OPTIONS"}
    assert cors_headers(response) == {}
    assert "Origin" in varies(response)


def test_other_options_requests_are_answered_as_ever(ask: Ask) -> None:
    response = ask(HERE, TEAMS, method="OPTIONS")

    assert response.status_code == 200
    assert set(response.allow) == {"GET", "HEAD", "OPTIONS"}


def test_a_preflight_is_logged(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    monkeypatch.setattr(getLogger("governance"), "handlers", [StreamHandler(written)])

    ask(HERE, TEAMS, **PREFLIGHT)

    assert f"OPTIONS {TEAMS} 204 -" in written.getvalue()


def test_everybody_with_no_credential_asked_is_warned_of(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(cors.log, "warning", lambda *words: warnings.append(words[0]))

    make_app(GOVERNANCE_CORS_ORIGINS="*")
    make_app(GOVERNANCE_CORS_ORIGINS=HERE, GOVERNANCE_AUTH="off")
    make_app(GOVERNANCE_CORS_ORIGINS="*", GOVERNANCE_AUTH="off")

    assert len(warnings) == 1
    assert "any web page" in warnings[0]


def test_a_fault_is_for_the_request_that_follows_the_preflight() -> None:
    faults = Faults(by_header=False)
    faults.add(Fault("status", 503, left=1))
    get = {"REQUEST_METHOD": "GET", "PATH_INFO": TEAMS}
    asked_before = {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}

    preflight = faults.take({**get, **asked_before, "REQUEST_METHOD": "OPTIONS"})

    assert preflight == {}
    assert faults.take(get) == {"status": 503}


def test_a_failure_on_purpose_may_be_read_too(
    make_app: Callable[..., Flask], filled: Gateway
) -> None:
    app = make_app(GOVERNANCE_CORS_ORIGINS=HERE)
    faults = Faults(by_header=False)
    app.extensions["entrance"].surround(faults)
    headers = {"Origin": HERE}
    environ = {"governance.faults": {"status": 503}}

    response = Client(app).get(TEAMS, headers=headers, environ_overrides=environ)

    assert response.status_code == 503
    assert cors_headers(response) == READABLE
