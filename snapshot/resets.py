"""The time at which usage is due to be reset, by the gateway's own rules."""

import re
from datetime import UTC, datetime, time, timedelta

import values

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = {"d": 1, "w": 7, "M": 30, "Q": 90, "Y": 365}  # the gateway's approximations
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
# Durations as Go writes them: "1h", "1h30m", "1.5h".
_SECONDS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)"


def next_reset(last_reset: str, period: str, aligned: bool) -> datetime | None:
    """Return when usage that was reset at `last_reset` is due to be reset again.

    That may have passed: a gateway resets what is due when it runs. None where the time
    is unset, or one of the two cannot be read.
    """
    if last_reset == values.ZERO_TIME:
        return None
    try:
        seconds, nanoseconds = values.instant(last_reset)
        began = _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
        length = _length(period)
        if aligned and period[-1] in _DAYS:
            return _next_period(began, period[-1])
        return began + length
    except (ValueError, OverflowError):
        return None


def _length(period: str) -> timedelta:
    """Return how long a period is: a duration of Go, or in days, weeks and longer."""
    days = _DAYS.get(period[-1:], 0)
    text = f"{period[:-1]}h" if days else period
    if re.fullmatch(f"(?:{_PART})+", text, re.ASCII) is None:
        raise ValueError("is not a duration")
    seconds = sum(
        float(count) * _SECONDS[unit]
        for count, unit in re.findall(_PART, text, re.ASCII)
    )
    if not seconds > 0:
        raise ValueError("is not above zero")
    return timedelta(seconds=seconds * 24 * days if days else seconds)


def _next_period(moment: datetime, unit: str) -> datetime:
    """Return when the next day, week, month, quarter or year begins, in UTC.

    The gateway heeds no number here: "3M" begins anew with each month.
    """
    if unit in _MONTHS:
        count = _MONTHS[unit]
        months = (moment.year * 12 + moment.month - 1) // count * count + count
        return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    days = 1 if unit == "d" else 7 - moment.weekday()
    return datetime.combine(moment + timedelta(days=days), time(), UTC)
