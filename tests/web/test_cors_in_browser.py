"""A page of another origin in a real browser: which answers its script may read."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import Served, serving
from gateway import Gateway

from callers.api_keys import create_api_key

Open = Callable[..., Any]

# What a script reads of an answer; or the name of the error, where it may not.
FETCH = """async ([url, headers, method]) => {
  try {
    const answer = await fetch(url, { headers, method, cache: "no-store" });
    const text = await answer.text();
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text };
  } catch (error) {
    return error.name;
  }
}"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[str]:
    """An origin that has pages: another service."""
    folder = tmp_path_factory.mktemp("origin")
    Gateway(folder / "config.db")
    with serving(folder) as service:
        yield service.ready["url"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, origin: str) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("lists")
    Gateway(folder / "config.db").team("red", name="Red")
    key = create_api_key(folder / "access.db", "page")
    with serving(folder, GOVERNANCE_CORS_ORIGINS=origin) as service:
        yield Served(service.ready["url"], key)


@pytest.fixture
def fetch(new_page: Open, origin: str, service: Served) -> Callable[..., Any]:
    """fetch(query, {…}): a list of teams, by a page of the origin that is allowed."""
    page = new_page(f"{origin}/healthz")
    url = f"{service.url}/api/governance/teams"

    def fetch(
        query: str = "", headers: dict[str, str] | None = None, method: str = "GET"
    ) -> Any:
        sent = {"Authorization": f"Bearer {service.key}", **(headers or {})}
        return page.evaluate(FETCH, [f"{url}{query}", sent, method])

    return fetch


def test_a_page_reads_a_list_and_its_headers(fetch: Callable[..., Any]) -> None:
    answer = fetch("?from_memory=true", {"X-Request-Id": "mine"})

    assert answer["status"] == 200
    assert '"name":"Red"' in answer["text"]
    assert answer["headers"]["x-request-id"] == "mine"
    assert {"etag", "age"} <= set(answer["headers"])


def test_a_page_may_send_the_tag_that_it_has(fetch: Callable[..., Any]) -> None:
    etag = fetch()["headers"]["etag"]

    answer = fetch("", {"If-None-Match": etag})

    assert (answer["status"], answer["headers"]["etag"]) == (304, etag)


def test_a_page_reads_what_is_wrong(fetch: Callable[..., Any]) -> None:
    wrong_key = fetch("", {"Authorization": "Bearer wrong"})
    wrong_limit = fetch("?limit=x")

    assert wrong_key["status"] == 401
    assert '"code":"invalid_credentials"' in wrong_key["text"]
    assert wrong_limit["status"] == 400
    assert "x-request-id" in wrong_limit["headers"]


def test_a_page_may_ask_for_the_headers_alone(fetch: Callable[..., Any]) -> None:
    answer = fetch("", method="HEAD")

    assert (answer["status"], answer["text"]) == (200, "")
    assert "etag" in answer["headers"]


def test_a_page_of_an_origin_that_is_not_listed_reads_nothing(
    new_page: Open, origin: str, service: Served
) -> None:
    page = new_page(f"{origin.replace('127.0.0.1', 'localhost')}/healthz")
    headers = {"Authorization": f"Bearer {service.key}"}

    def fetch(path: str) -> Any:
        return page.evaluate(FETCH, [f"{service.url}{path}", headers, "GET"])

    assert fetch("/api/governance/teams") == "TypeError"
    assert fetch("/readyz") == "TypeError"


def test_no_page_may_send_its_cookies(
    new_page: Open, origin: str, service: Served
) -> None:
    page = new_page(f"{origin}/healthz")
    script = "url => fetch(url, {credentials: 'include'}).catch(error => error.name)"

    assert page.evaluate(script, f"{service.url}/readyz") == "TypeError"
