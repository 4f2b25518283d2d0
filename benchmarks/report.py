"""Printing: Markdown, line by line as it is measured."""

import math


def say(text: str) -> None:
    """A paragraph."""
    print(f"{text}\n", flush=True)


def section(title: str, how_to_read: str) -> None:
    """A heading, and below it what the figures mean."""
    say(f"### {title}")
    say(how_to_read)


def head(*columns: str) -> None:
    """The head of a table; rows follow, and `end`."""
    row(*columns)
    row("---", *("---:" for _ in columns[1:]))


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def end() -> None:
    print(flush=True)


def number(value: float | None) -> str:
    """Three digits at least, and never the precision that no measurement has."""
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{number(value)} ms"


def megabytes(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} MB"
