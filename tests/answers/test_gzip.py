"""Compressed answers: the same content, another entity tag, made once."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from gateway import Gateway
from werkzeug.test import TestResponse

from snapshot import answers, json_text
from snapshot import gzip_parts as compression
from web import lists
from web.lists import GZIP_MINIMUM, accepts_gzip

TEAMS = "/api/governance/teams"
Ask = Callable[..., TestResponse]


@pytest.fixture
def ask(filled: Gateway, client: FlaskClient, api_key: str) -> Ask:
    def ask(path: str = TEAMS, accept: str | None = None, **headers: str) -> Any:
        headers["Authorization"] = f"Bearer {api_key}"
        if accept is not None:
            headers["Accept-Encoding"] = accept
        return client.get(path, headers=headers)

    return ask


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All parts that were compressed so far."""
    parts: list[bytes] = []

    def compress(part: bytes) -> bytes:
        parts.append(part)
        return compression.compress(part)

    monkeypatch.setattr(json_text, "compress", compress)
    return parts


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5, br", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("gzip;q=much", False),
        ("", False),
        (None, False),
    ],
)
def test_accept_encoding_says_whether_gzip_is_taken(
    accept: str | None, taken: bool
) -> None:
    assert accepts_gzip(accept) is taken


def test_gzip_holds_the_same_bytes_as_the_plain_answer(ask: Ask, source: str) -> None:
    path = f"{TEAMS}?from_memory={'true' if source == 'memory' else 'false'}"

    plain, zipped = ask(path), ask(path, "gzip")

    assert gzip.decompress(zipped.data) == plain.data
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert zipped.content_length == len(zipped.data) < plain.content_length


def test_nobody_gets_gzip_who_did_not_ask_for_it(ask: Ask) -> None:
    response = ask()

    assert "Content-Encoding" not in response.headers
    assert "Accept-Encoding" in response.headers["Vary"]


def test_the_two_forms_have_different_entity_tags(ask: Ask) -> None:
    plain, zipped = ask().headers["ETag"], ask(accept="gzip").headers["ETag"]

    assert zipped == f'{plain[:-1]}-gzip"'


def test_304_is_for_who_has_the_form_that_would_be_sent(ask: Ask) -> None:
    plain, zipped = ask().headers["ETag"], ask(accept="gzip").headers["ETag"]

    statuses = [
        ask(accept="gzip", **{"If-None-Match": tag}).status_code
        for tag in (zipped, plain)
    ]

    assert statuses == [304, 200]


def test_an_answer_that_fits_a_packet_is_not_compressed(ask: Ask) -> None:
    response = ask(f"{TEAMS}?customer_id=nobody", "gzip")

    assert response.content_length < GZIP_MINIMUM
    assert "Content-Encoding" not in response.headers


@pytest.fixture
def of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All answers are put together of compressed parts, as large ones are."""
    monkeypatch.setattr(answers, "COMPRESS_WHOLE_BYTES", 0)


@pytest.mark.parametrize("query", ["", "?limit=1", "?search=no+such+name", "?limit=2"])
@pytest.mark.usefixtures("of_parts")
def test_compressed_parts_make_the_plain_answer(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, name: str, query: str
) -> None:
    monkeypatch.setattr(lists, "GZIP_MINIMUM", 0)
    path = f"/api/governance/{name}{query}"

    plain, zipped = ask(path), ask(path, "gzip")

    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == plain.data


@pytest.mark.usefixtures("of_parts")
def test_an_answer_is_compressed_once(ask: Ask, compressed: list[bytes]) -> None:
    bodies = {ask(accept="gzip").data}
    parts = len(compressed)

    bodies |= {ask(accept="gzip").data for _ in range(3)}

    assert parts > 0
    assert (len(bodies), len(compressed)) == (1, parts)


@pytest.mark.usefixtures("of_parts")
def test_after_a_change_only_what_changed_is_compressed_again(
    filled: Gateway, ask: Ask, compressed: list[bytes]
) -> None:
    ask(accept="gzip")
    before = len(compressed)

    filled.execute(
        "UPDATE governance_budgets SET current_usage = 7.5 WHERE id LIKE '%ops'"
    )
    plain, zipped = ask(), ask(accept="gzip")

    again = b"".join(compressed[before:])
    assert gzip.decompress(zipped.data) == plain.data
    assert b'"current_usage":7.5' in again
    assert b'"id":"zenith-ml"' not in again


def test_a_streamed_answer_is_compressed_too(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "WHOLE_BYTES", 0)
    monkeypatch.setattr(answers, "KEEP_BYTES", 0)
    monkeypatch.setattr(answers, "PIECE_BYTES", 100)

    plain, zipped = ask(), ask(accept="gzip")

    assert gzip.decompress(zipped.data) == plain.data
