"""Spans of time as they are typed on the command line."""

import re
from datetime import timedelta
from typing import Any

import click

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST_SECONDS = 100 * 366 * 86_400  # calendars end


class Lifetime(click.ParamType):
    """A whole number with s, m, h, d or w, as a timedelta."""

    name = "lifetime"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", value)
        seconds = int(match[1]) * UNIT_SECONDS[match[2]] if match else 0
        if not 0 < seconds <= LONGEST_SECONDS:
            self.fail(f"{value!r} is no lifetime; try 30m, 12h or 90d", param, ctx)
        return timedelta(seconds=seconds)
