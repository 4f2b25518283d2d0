"""Times as SQLite's drivers write them: how each reads, and how they compare."""

import sqlite3
from datetime import UTC, datetime
from typing import Any

import pytest

from values import ZERO_TIME, instant, rfc3339

FORMS = [
    # Go: go-sqlite3 and modernc
    ("2026-11-21 22:11:06.175193779+00:00", "2026-11-21T22:11:06.175193779Z"),
    ("2026-11-21T22:11:06.5-07:00", "2026-11-22T05:11:06.5Z"),
    ("2026-11-21 22:11:06", "2026-11-21T22:11:06Z"),
    ("2026-11-21T22:11:06.120", "2026-11-21T22:11:06.12Z"),
    ("2026-11-21 22:11", "2026-11-21T22:11:00Z"),
    ("2026-11-21T22:11Z", "2026-11-21T22:11:00Z"),
    ("2026-11-21 22:11+02:00", "2026-11-21T20:11:00Z"),
    ("2026-11-21", "2026-11-21T00:00:00Z"),
    ("2026-11-21Z", "2026-11-21T00:00:00Z"),
    ("2026-11-21 22:11:06.5 +0200 CEST m=+0.004", "2026-11-21T20:11:06.5Z"),
    ("2026-11-21 22:11:06 UTC", "2026-11-21T22:11:06Z"),
    ("2026-11-21 22:11:06,25", "2026-11-21T22:11:06.25Z"),
    # RFC 3339 in lower case, PostgreSQL's short zone
    ("2026-11-21t22:11:06z", "2026-11-21T22:11:06Z"),
    ("2026-11-21 22:11:06.5+02", "2026-11-21T20:11:06.5Z"),
    # integers: seconds, milliseconds, microseconds, nanoseconds
    (1795299066, "2026-11-21T22:11:06Z"),
    (1795299066175, "2026-11-21T22:11:06.175Z"),
    (1795299066175193, "2026-11-21T22:11:06.175193Z"),
    (1795299066175193779, "2026-11-21T22:11:06.175193779Z"),
    (0, "1970-01-01T00:00:00Z"),
    (-1, "1969-12-31T23:59:59Z"),
    (-1000000000001, "1938-04-24T22:13:19.999Z"),
]


@pytest.mark.parametrize(("stored", "shown"), FORMS)
def test_a_time_in_any_form_reads_as_rfc_3339(stored: Any, shown: str) -> None:
    assert rfc3339(stored) == shown


@pytest.mark.parametrize(("stored", "shown"), FORMS)
def test_a_time_in_any_form_compares_as_the_same_moment(
    stored: Any, shown: str
) -> None:
    assert instant(stored) == instant(shown)


@pytest.mark.parametrize(
    "stored",
    [
        "yesterday",
        "2026",
        "2026-11",
        "2026-11-21 22",
        "2026-11-21 25:00:00",
        "2026-02-30",
        "2026-11-21 tomorrow",
        "2026-11-21 22:11:06 tomorrow",
        "1795299066",
        "",
        -62_135_596_801,
        10**12,
    ],
)
def test_what_is_no_time_is_refused(stored: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011, whichever part is wrong
        rfc3339(stored)


def test_an_integer_of_zero_is_not_the_unset_time() -> None:
    assert instant(0) != instant(None) == instant("") == instant(ZERO_TIME)


def test_what_python_writes_reads_as_the_same_moment() -> None:
    moment = datetime(2026, 11, 21, 22, 11, 6, 175193, UTC)

    assert rfc3339(moment.isoformat(" ")) == "2026-11-21T22:11:06.175193Z"
    assert rfc3339(moment.isoformat()) == "2026-11-21T22:11:06.175193Z"


@pytest.mark.parametrize(
    "sql", ["datetime(1795299066, 'unixepoch')", "unixepoch('2026-11-21 22:11:06')"]
)
def test_what_sqlite_itself_writes_reads_as_the_same_moment(sql: str) -> None:
    (written,) = sqlite3.connect(":memory:").execute(f"SELECT {sql}").fetchone()

    assert rfc3339(written) == "2026-11-21T22:11:06Z"
