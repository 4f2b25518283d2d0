"""The page for people, as it is served. What it does is in test_page_in_browser.py."""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256

import pytest
from flask import Flask
from flask.testing import FlaskClient

from web.pages.page import PAGE


def policy(client: FlaskClient) -> dict[str, str]:
    """The directives of the page's Content-Security-Policy."""
    header = client.get("/").headers["Content-Security-Policy"]
    parts = (directive.partition(" ") for directive in header.split("; "))
    return {name: value for name, _, value in parts}


def test_the_page_is_the_file_and_takes_no_credential(client: FlaskClient) -> None:
    response = client.get("/")

    assert response.status_code == 200
    assert response.data == PAGE.read_bytes()
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


def test_the_policy_allows_nothing_but_its_own(client: FlaskClient) -> None:
    directives = policy(client)

    hashes = {directives.pop("script-src"), directives.pop("style-src")}
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", each) for each in hashes)
    assert directives == {
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


@pytest.mark.parametrize("element", ["script", "style"])
def test_the_policys_hash_is_that_of_the_element(
    client: FlaskClient, element: str
) -> None:
    html = client.get("/").data
    content = html.partition(f"<{element}>".encode())[2]
    content = content.partition(f"</{element}>".encode())[0]

    allowed = policy(client)[f"{element}-src"]

    digest = b64encode(sha256(content).digest()).decode()
    assert allowed == f"'sha256-{digest}'"


def test_nothing_is_guessed_leaked_or_framed(client: FlaskClient) -> None:
    headers = client.get("/").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-cache"


def test_who_has_the_page_gets_a_304(client: FlaskClient) -> None:
    etag = client.get("/").headers["ETag"]

    same = client.get("/", headers={"If-None-Match": etag})
    other = client.get("/", headers={"If-None-Match": '"other"'})

    assert (same.status_code, same.data) == (304, b"")
    assert other.status_code == 200


def test_head_has_the_headers_alone(client: FlaskClient) -> None:
    got, head = client.get("/"), client.head("/")

    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.data))
    assert head.headers["ETag"] == got.headers["ETag"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_page_is_only_read(client: FlaskClient, method: str) -> None:
    response = client.open("/", method=method)

    assert response.status_code == 405
    assert response.json["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
def test_pages_can_be_turned_off(make_app: Callable[..., Flask], path: str) -> None:
    client = make_app(GOVERNANCE_PAGES="off").test_client()

    response = client.get(path)

    assert response.status_code == 404
    assert response.json["error"]["code"] == "not_found"
    assert "Content-Security-Policy" not in response.headers


def test_the_page_brings_all_it_needs_and_parses_no_html() -> None:
    html = PAGE.read_text()

    assert re.findall(r"""\b(?:src|href)=["'](?!data:)([^"']*)""", html) == ["docs"]
    assert "url(" not in html
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert sink not in html
    assert "localStorage" not in html
    assert "sessionStorage" not in html
    assert re.findall(r"""\s(on\w+|style)=["']""", html) == []
