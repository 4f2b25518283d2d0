"""Management API keys: the functions, and the commands over them."""

import json
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import Result
from flask import Flask

from callers.api_keys import (
    ApiKeyError,
    ApiKeyReader,
    create_api_key,
    list_api_keys,
    revoke_api_key,
)
from commands.lifetimes import Lifetime
from store import seen_file, sqlite
from store.failures import DatabaseUnavailable
from store.sqlite import Reader
from values import has_passed

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the API keys, which is not there yet."""
    return tmp_path / "access.db"


@pytest.fixture
def run(app: Flask) -> Callable[..., Result]:
    """run("create", "ci"): the command `flask api-key create ci`."""
    runner = app.test_cli_runner()
    return lambda *words: runner.invoke(args=["api-key", *words])


# Making


def test_a_key_is_44_letters_and_digits_after_its_prefix(path: Path) -> None:
    token = create_api_key(path, "ci")

    assert re.fullmatch("bfst-[A-Za-z0-9]{44}", token)


def test_no_two_keys_are_the_same(path: Path) -> None:
    tokens = {create_api_key(path, f"key-{number}") for number in range(5)}

    assert len(tokens) == 5


def test_the_file_and_its_folder_are_made_when_missing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "access.db"

    create_api_key(path, "ci")

    assert [row.name for row in list_api_keys(path)] == ["ci"]


def test_a_name_in_use_is_refused(path: Path) -> None:
    create_api_key(path, "ci")

    with pytest.raises(ApiKeyError, match='there is an API key "ci" already'):
        create_api_key(path, "ci")

    assert len(list_api_keys(path)) == 1


def test_the_name_of_a_revoked_key_is_free_again(path: Path) -> None:
    create_api_key(path, "ci")
    revoke_api_key(path, "ci")

    create_api_key(path, "ci")

    revoked = [row.revoked_at is not None for row in list_api_keys(path)]
    assert revoked == [True, False]


def test_the_name_of_an_expired_key_is_in_use_until_it_is_revoked(path: Path) -> None:
    create_api_key(path, "ci", timedelta(seconds=-1))

    with pytest.raises(ApiKeyError, match="revoke it first"):
        create_api_key(path, "ci")


# Revoking


def test_only_the_named_key_is_revoked(path: Path) -> None:
    for name in ("ci", "ci2", "billing"):
        create_api_key(path, name)

    revoke_api_key(path, "ci")

    revoked = {row.name: row.revoked_at is not None for row in list_api_keys(path)}
    assert revoked == {"ci": True, "ci2": False, "billing": False}


@pytest.mark.parametrize("name", ["unknown", "CI", "ci ", "", "%", "bfst-x"])
def test_revoking_an_unknown_key_is_refused(path: Path, name: str) -> None:
    create_api_key(path, "ci")

    expected = re.escape(f'there is no API key "{name}" that could be revoked')
    with pytest.raises(ApiKeyError, match=expected):
        revoke_api_key(path, name)


def test_a_key_is_revoked_only_once(path: Path) -> None:
    create_api_key(path, "ci")
    revoke_api_key(path, "ci")
    (before,) = list_api_keys(path)

    with pytest.raises(ApiKeyError, match="could be revoked"):
        revoke_api_key(path, "ci")

    (after,) = list_api_keys(path)
    assert after == before


def test_revoking_where_there_is_no_file_leaves_no_keys_and_no_broken_file(
    path: Path,
) -> None:
    with pytest.raises(ApiKeyError, match="could be revoked"):
        revoke_api_key(path, "ci")

    assert list_api_keys(path) == []


# Listing


def test_there_are_no_keys_where_there_is_no_file(path: Path) -> None:
    rows = list_api_keys(path)

    assert rows == []
    assert not path.exists()


def test_keys_are_listed_oldest_first_with_their_first_12_characters(
    path: Path,
) -> None:
    tokens = [create_api_key(path, name) for name in ("second", "first")]

    rows = list_api_keys(path)

    assert [row.name for row in rows] == ["second", "first"]
    assert [row.shown for row in rows] == [token[:12] for token in tokens]


def test_a_file_that_is_no_database_cannot_be_listed(path: Path) -> None:
    path.write_bytes(b"no database at all, " * 100)

    with pytest.raises(DatabaseUnavailable, match="is not an SQLite database"):
        list_api_keys(path)


# Finding


def test_a_reader_finds_keys_by_their_whole_text(path: Path) -> None:
    token = create_api_key(path, "ci")
    create_api_key(path, "other")
    reader = ApiKeyReader(path)

    found = [reader.find(text) for text in (token, token[:-1], token[:12], "ci", "")]
    reader.close()

    assert [row and row.name for row in found] == ["ci", None, None, None, None]


def test_a_reader_sees_each_change_at_once(path: Path) -> None:
    reader = ApiKeyReader(path)
    unknown = reader.find("bfst-x")

    token = create_api_key(path, "ci")
    created = reader.find(token)
    revoke_api_key(path, "ci")
    revoked = reader.find(token)
    path.unlink()
    deleted = reader.find(token)
    reader.close()

    assert (unknown, deleted) == (None, None)
    assert (created.revoked_at, bool(revoked.revoked_at)) == (None, True)


def test_a_file_that_was_left_alone_is_not_opened_until_it_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = create_api_key(path, "ci")
    monkeypatch.setattr(seen_file, "SETTLED_NANOSECONDS", 0)
    reader = ApiKeyReader(path)
    marks = []
    mark = Reader.mark
    monkeypatch.setattr(Reader, "mark", lambda file: marks.append(1) or mark(file))

    found = [reader.find(token) for _ in range(5)]
    opened = len(marks)
    revoke_api_key(path, "ci")
    revoked = reader.find(token)
    reader.close()

    assert None not in found
    assert opened == 1
    assert bool(revoked.revoked_at)


def test_a_key_is_known_again_after_its_file_was_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS", 0.02)
    token = create_api_key(path, "ci")
    reader = ApiKeyReader(path)
    before = reader.find(token)
    writer = sqlite3.connect(path, isolation_level=None)

    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseUnavailable, match="is locked"):
        reader.find(token)
    writer.execute("ROLLBACK")

    assert before is not None
    assert reader.find(token) == before
    writer.close()
    reader.close()


# Lifetimes


@pytest.mark.parametrize(
    ("expires_at", "expired"),
    [
        (None, False),
        ("", False),
        ("0001-01-01T00:00:00Z", False),
        ("2026-04-01T12:00:01Z", False),
        ("2026-04-01T12:00:00.000000001Z", False),
        ("2026-04-01T12:00:00Z", True),
        ("2026-04-01T11:59:59.999999999Z", True),
        ("2026-04-01 12:00:00+00:00", True),
        ("2026-04-01 13:59:59+02:00", True),
        ("2026-04-01 14:00:01+02:00", False),
        ("2026-04-01 09:00:01-03:00", False),
        ("soon", True),
        ("2026-13-01T12:00:00Z", True),
        (1775044801, False),
        (1775044800, True),
        (b"\xff", True),
    ],
)
def test_a_time_that_has_come_or_cannot_be_read_is_expired(
    expires_at: object, expired: bool
) -> None:
    assert has_passed(expires_at, NOON) is expired


@pytest.mark.parametrize(
    ("word", "lifetime"),
    [
        ("1s", timedelta(seconds=1)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("2w", timedelta(weeks=2)),
        ("36500d", timedelta(days=36500)),
    ],
)
def test_a_lifetime_is_a_number_and_a_unit(word: str, lifetime: timedelta) -> None:
    assert Lifetime().convert(word, None, None) == lifetime


BAD_LIFETIMES = ["", "90", "d", "0d", "-1d", "+1d", "1.5h", "1y", "1M", "1D", "90 d"]
BAD_LIFETIMES += [" 1d", "1d ", "1d2h", "１d", "1d\n", "forever", "01d", "1000000d"]


@pytest.mark.parametrize("word", BAD_LIFETIMES)
def test_other_words_are_no_lifetime(word: str) -> None:
    expected = re.escape(f"{word!r} is no lifetime; try 30m, 12h or 90d")

    with pytest.raises(click.BadParameter, match=expected):
        Lifetime().convert(word, None, None)


# The commands


def test_create_prints_the_key_and_nothing_else(
    run: Callable[..., Result], path: Path
) -> None:
    result = run("create", "ci", "--expires", "90d")

    (row,) = list_api_keys(path)
    lifetime = datetime.fromisoformat(row.expires_at) - datetime.fromisoformat(
        row.created_at
    )
    assert re.fullmatch("bfst-[A-Za-z0-9]{44}\n", result.output)
    assert (result.exit_code, row.name, lifetime) == (0, "ci", timedelta(days=90))


def test_a_key_made_without_expires_never_does(
    run: Callable[..., Result], path: Path
) -> None:
    run("create", "ci")

    (row,) = list_api_keys(path)
    assert row.expires_at is None


def test_create_refuses_a_name_in_use(run: Callable[..., Result]) -> None:
    run("create", "ci")

    result = run("create", "ci")

    expected = 'Error: there is an API key "ci" already; revoke it first\n'
    assert (result.exit_code, result.output) == (1, expected)


@pytest.mark.parametrize("word", ["90", "soon", "0d"])
def test_create_refuses_a_bad_lifetime_and_makes_nothing(
    run: Callable[..., Result], path: Path, word: str
) -> None:
    result = run("create", "ci", "--expires", word)

    assert f"'{word}' is no lifetime; try 30m, 12h or 90d" in result.output
    assert (result.exit_code, path.exists()) == (2, False)


def test_create_refuses_a_lifetime_beyond_the_calendar(
    run: Callable[..., Result],
) -> None:
    result = run("create", "ci", "--expires", "999999w")

    # A sentence and a status, not a traceback.
    assert isinstance(result.exception, SystemExit)
    assert "999999w" in result.output


def test_list_prints_a_table_and_never_the_key(
    run: Callable[..., Result], path: Path
) -> None:
    token = create_api_key(path, "ci", timedelta(days=90))
    create_api_key(path, "old")
    revoke_api_key(path, "old")

    result = run("list")

    header, ci, old = (line.split() for line in result.output.splitlines())
    assert header == ["NAME", "KEY", "CREATED", "EXPIRES", "REVOKED"]
    assert (ci[:2], ci[4]) == (["ci", token[:12]], "-")
    assert (old[0], old[3]) == ("old", "-")
    assert all(RFC3339.fullmatch(time) for time in (ci[2], ci[3], old[2], old[4]))
    assert token[12:] not in result.output


def test_list_as_json_is_an_array_of_the_same_fields(
    run: Callable[..., Result], path: Path
) -> None:
    token = create_api_key(path, "ci")

    result = run("list", "--json")

    (key,) = json.loads(result.output)
    assert RFC3339.fullmatch(key.pop("created_at"))
    assert key == {
        "name": "ci",
        "shown": token[:12],
        "expires_at": None,
        "revoked_at": None,
    }


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (
            ["list"],
            "NAME                      KEY           CREATED               EXPIRE",
        ),
        (["list", "--json"], "[]\n"),
    ],
)
def test_listing_no_keys_is_no_error(
    run: Callable[..., Result], words: list[str], output: str
) -> None:
    result = run(*words)

    assert result.exit_code == 0
    assert result.output.startswith(output)


def test_revoke_says_what_it_did(run: Callable[..., Result], path: Path) -> None:
    create_api_key(path, "ci")

    result = run("revoke", "ci")

    (row,) = list_api_keys(path)
    assert (result.exit_code, result.output) == (0, 'revoked "ci"\n')
    assert RFC3339.fullmatch(row.revoked_at)


def test_revoke_refuses_an_unknown_name(run: Callable[..., Result]) -> None:
    result = run("revoke", "ci")

    expected = 'Error: there is no API key "ci" that could be revoked\n'
    assert (result.exit_code, result.output) == (1, expected)


@pytest.mark.parametrize("words", [["list"], ["create", "ci"], ["revoke", "ci"]])
def test_a_broken_file_of_api_keys_is_reported_in_a_sentence(
    run: Callable[..., Result], path: Path, words: list[str]
) -> None:
    path.write_bytes(b"no database at all, " * 100)

    result = run(*words)

    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (1, True)
    assert result.output.startswith(f"Error: {path} is not an SQLite database")
