"""Answers that are given again to requests that are the same as earlier ones."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from credentials import SECRET
from flask import Flask
from gateway import Gateway
from werkzeug.test import create_environ

from callers.tokens import make_token
from web import repeats

TEAMS = "/api/governance/teams"
OPS = "sk-bf-key-ops-0000-fake"
MEMORY = "from_memory=true"

Ask = Callable[..., Any]


@pytest.fixture
def layout() -> str:
    """One layout is enough: nothing here depends on it."""
    return "july"


@pytest.fixture
def request_of(api_key: str) -> Callable[..., dict[str, Any]]:
    """request_of(query, token): a request as the server gives it."""

    def request_of(
        query: str = "", token: str = api_key, **environ: str
    ) -> dict[str, Any]:
        return {
            **create_environ(TEAMS, query_string=query),
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            **environ,
        }

    return request_of


@pytest.fixture
def ask(app: Flask, filled: Gateway, request_of: Ask) -> Ask:
    """ask(query, token): the status, headers and body of an answer given at once.

    If need be it is made first, as by the threads that wait.
    """
    entrance = app.extensions["entrance"]

    def ask(*asked: Any, **environ: str) -> Any:
        reply = entrance.at_once(request_of(*asked, **environ))
        if reply is None:
            started: list[Any] = []
            request = request_of(*asked, **environ)
            body = entrance(request, lambda *given: started.extend(given))
            return started[0], dict(started[1]), b"".join(body)
        return reply.status, dict(reply.headers), b"".join(reply.body)

    return ask


@pytest.fixture
def again(app: Flask, request_of: Ask) -> Ask:
    """again(query, token): the reply that was given before, or None."""

    def again(*asked: Any, **environ: str) -> Any:
        found = app.extensions["lists"].repeats.find(request_of(*asked, **environ))
        return found and found[0]

    return again


def thrice(ask: Ask, *asked: Any, **environ: str) -> Any:
    """An answer that was made, found, and given again."""
    ask(*asked, **environ)
    ask(*asked, **environ)
    return ask(*asked, **environ)


@pytest.mark.parametrize("query", ["", MEMORY, "limit=1", f"limit=1&{MEMORY}"])
@pytest.mark.parametrize("token", [None, OPS])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_what_was_given_is_given_again(
    ask: Ask, again: Ask, api_key: str, query: str, token: str | None, encoding: str
) -> None:
    asked = (query, token or api_key)
    first = ask(*asked, HTTP_ACCEPT_ENCODING=encoding)
    found = ask(*asked, HTTP_ACCEPT_ENCODING=encoding)

    reply = again(*asked, HTTP_ACCEPT_ENCODING=encoding)

    assert first[0] == found[0] == reply.status == "200 OK"
    assert first[2] == found[2] == b"".join(reply.body)
    headers = dict(reply.headers)
    assert first[1].keys() - {"X-Request-Id"} == headers.keys()
    assert first[1]["ETag"] == found[1]["ETag"] == headers["ETag"]


def test_each_has_a_request_id_and_the_age_of_its_own(
    ask: Ask, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = thrice(ask, MEMORY)
    monkeypatch.setattr(app.extensions["keeper"], "age", lambda: 77)

    after = ask(MEMORY)

    assert before[1]["Age"] != "77"
    assert after[1]["Age"] == "77"
    assert before[1]["X-Request-Id"] != after[1]["X-Request-Id"]
    assert ask(MEMORY, HTTP_X_REQUEST_ID="mine")[1]["X-Request-Id"] == "mine"


@pytest.mark.parametrize(
    "other",
    [
        {"query": "limit=1"},
        {"PATH_INFO": "/api/governance/customers"},
        {"token": OPS},
        {"HTTP_ACCEPT_ENCODING": "gzip"},
        {"HTTP_IF_NONE_MATCH": "*"},
        {"HTTP_HOST": ""},
        {"HTTP_HOST": "a,b"},
        {"token": "wrong"},
        {"token": ""},
        {"REQUEST_METHOD": "POST"},
    ],
    ids=str,
)
def test_another_request_has_another_answer(ask: Ask, other: dict[str, str]) -> None:
    usual = thrice(ask)

    different = thrice(ask, **other)

    assert (different[0], different[2]) != (usual[0], usual[2])
    assert ask()[2] == usual[2]


@pytest.mark.parametrize("token", [None, OPS])
def test_a_change_is_in_the_next_answer(
    ask: Ask, filled: Gateway, api_key: str, token: str | None
) -> None:
    before = thrice(ask, "", token or api_key)

    filled.execute("UPDATE governance_teams SET name = 'Changed'")

    assert b"Changed" not in before[2]
    for _ in range(3):
        assert b"Changed" in ask("", token or api_key)[2]


@pytest.mark.parametrize(
    "change", ["is_active = 0", "expires_at = '2020-01-01 00:00:00+00:00'"]
)
def test_a_virtual_key_that_ends_is_refused(
    ask: Ask, filled: Gateway, change: str
) -> None:
    assert thrice(ask, "", OPS)[0] == "200 OK"

    filled.execute(f"UPDATE governance_virtual_keys SET {change} WHERE id = 'key-ops'")

    for _ in range(3):
        assert ask("", OPS)[0].startswith("401")


def test_a_token_of_other_claims_is_another_caller(ask: Ask) -> None:
    admin = make_token(SECRET.encode(), "admin", "me", 60)
    key = make_token(SECRET.encode(), "virtual_key", "key-ops", 60)

    assert thrice(ask, "", admin)[2] != thrice(ask, "", key)[2]


def test_an_old_snapshot_is_not_kept(ask: Ask, app: Flask, filled: Gateway) -> None:
    keeper = app.extensions["keeper"]
    thrice(ask)
    old = weakref.ref(keeper.current())

    filled.team("new")
    keeper.current()
    gc.collect()

    assert old() is None


def test_no_more_is_remembered_than_a_bound(
    ask: Ask, again: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST", 3)

    for number in range(1, 5):
        thrice(ask, f"limit={number}")

    assert again("limit=1") is None
    assert again("limit=4") is not None


def test_no_more_bytes_are_remembered_than_a_bound(
    ask: Ask, again: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST_BYTES", len(thrice(ask, "limit=1")[2]) + 10)

    thrice(ask, "limit=2")

    assert again("limit=1") is None
    assert again("limit=2") is not None


def test_nothing_is_remembered_of_long_requests(ask: Ask, again: Ask) -> None:
    long = f"search={'a' * 3000}"

    assert thrice(ask, long)[0] == "200 OK"

    assert again(long) is None
