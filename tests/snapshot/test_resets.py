"""The next reset of a budget."""

from datetime import datetime

import pytest

import values
from snapshot.resets import next_reset

SATURDAY = "2026-05-16T14:30:00.5Z"


def due(period: str, aligned: bool = False, last_reset: str = SATURDAY) -> str | None:
    moment = next_reset(last_reset, period, aligned)
    return moment.isoformat() if moment else None


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("30s", "2026-05-16T14:30:30.500000+00:00"),
        ("1h30m", "2026-05-16T16:00:00.500000+00:00"),
        ("1.5h", "2026-05-16T16:00:00.500000+00:00"),
        ("250ms", "2026-05-16T14:30:00.750000+00:00"),
        ("1m", "2026-05-16T14:31:00.500000+00:00"),
        ("1d", "2026-05-17T14:30:00.500000+00:00"),
        ("2w", "2026-05-30T14:30:00.500000+00:00"),
        ("1M", "2026-06-15T14:30:00.500000+00:00"),
        ("1Q", "2026-08-14T14:30:00.500000+00:00"),
        ("1Y", "2027-05-16T14:30:00.500000+00:00"),
    ],
)
def test_a_period_begins_where_the_last_one_began(period: str, expected: str) -> None:
    assert due(period) == expected


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("1d", "2026-05-17T00:00:00+00:00"),
        ("1w", "2026-05-18T00:00:00+00:00"),
        ("1M", "2026-06-01T00:00:00+00:00"),
        ("1Q", "2026-07-01T00:00:00+00:00"),
        ("1Y", "2027-01-01T00:00:00+00:00"),
        ("3M", "2026-06-01T00:00:00+00:00"),  # the gateway heeds no number here
        ("1h", "2026-05-16T15:30:00.500000+00:00"),  # calendars know no hours
    ],
)
def test_an_aligned_period_begins_with_the_calendars(
    period: str, expected: str
) -> None:
    assert due(period, aligned=True) == expected


@pytest.mark.parametrize(
    ("last_reset", "period", "expected"),
    [
        ("2026-12-31T23:59:59Z", "1M", "2027-01-01T00:00:00+00:00"),
        ("2026-12-01T00:00:00Z", "1Q", "2027-01-01T00:00:00+00:00"),
        ("2026-05-18T00:00:00Z", "1w", "2026-05-25T00:00:00+00:00"),  # a Monday
        ("2026-05-17T23:00:00Z", "1w", "2026-05-18T00:00:00+00:00"),  # a Sunday
        ("2026-06-01T00:00:00Z", "1M", "2026-07-01T00:00:00+00:00"),
    ],
)
def test_calendars_turn_over(last_reset: str, period: str, expected: str) -> None:
    assert due(period, aligned=True, last_reset=last_reset) == expected


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(
    "period", ["", "d", "monthly", "1", "0d", "-1d", "1 d", "1D", "999999Y", "٣d"]
)
def test_what_is_no_period_has_no_end(period: str, aligned: bool) -> None:
    if period == "999999Y" and aligned:
        pytest.skip("the number does not count")

    assert due(period, aligned) is None


@pytest.mark.parametrize("last_reset", [values.ZERO_TIME, "yesterday"])
def test_without_a_beginning_there_is_no_end(last_reset: str) -> None:
    assert next_reset(last_reset, "1d", True) is None


def test_the_moment_is_in_utc() -> None:
    moment = next_reset(SATURDAY, "1d", False)

    assert isinstance(moment, datetime)
    assert moment.utcoffset() is not None
