"""Where a database is: a file, or a PostgreSQL server."""

from dataclasses import dataclass, field
from pathlib import Path

_POSTGRES = ("postgresql://", "postgres://", "service=")


@dataclass(frozen=True)
class PostgresUrl:
    """A PostgreSQL database, as libpq takes it. Its text is for people: it shows
    neither the user nor a password.
    """

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
    """Return what names a PostgreSQL database; None for what is a file's name."""
    return PostgresUrl(text) if text.startswith(_POSTGRES) else None
