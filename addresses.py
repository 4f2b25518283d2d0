"""Addresses of databases: a file, or a PostgreSQL server."""

from dataclasses import dataclass, field
from pathlib import Path

_POSTGRES = ("postgresql://", "postgres://", "service=")


@dataclass(frozen=True)
class PostgresUrl:
    """A connection string of PostgreSQL. `str` leaves out the user and the password."""

    conninfo: str = field(repr=False)

    def __str__(self) -> str:
        if "://" not in self.conninfo:
            return f"postgresql:///?{self.conninfo.split()[0]}"
        rest = self.conninfo.partition("://")[2]
        # Before the last @ is a password, however odd; after ? there may be one.
        address = rest.rpartition("@")[2].partition("?")[0]
        return f"postgresql://{address}"


Address = Path | PostgresUrl


def postgres_url(text: str) -> PostgresUrl | None:
    """Return the URL that a text is; None if it is the name of a file."""
    return PostgresUrl(text) if text.startswith(_POSTGRES) else None
