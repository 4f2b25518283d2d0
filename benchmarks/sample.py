"""The generated data of one size, and a gateway that writes to it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from callers.api_keys import create_api_key
from samples.generating import generate

LISTS = "/api/governance"
PAGE = 25
# By teams: customers, teams of each, virtual keys of each team. The middle one is the
# specification's 1,200 teams with about 8,000 keys, in a list of about 90 MB.
SIZES = {125: (25, 5, 7), 1_200: (300, 4, 7), 12_000: (3_000, 4, 7)}
SECRET = "benchmark" * 4


@dataclass(frozen=True)
class Sample:
    """A database, who may ask, and whom is asked about: one customer, on the first
    pages of both lists, with about the average of virtual keys, and a budget of theirs.
    """

    folder: Path
    database: Path
    counts: dict[str, int]
    key: str
    customer: str
    customer_name: str
    budget: str

    @property
    def environment(self) -> dict[str, str]:
        """The service's settings, whatever they are where the benchmark is run."""
        return service_environment(self.folder, self.database)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def one_customer(self) -> str:
        return f"{LISTS}/teams?customer_id={quote(self.customer)}"


def service_environment(folder: Path, database: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GOVERNANCE_")}
    return {
        **kept,
        "GOVERNANCE_DATABASE": str(database),
        "GOVERNANCE_ACCESS_DATABASE": str(folder / "access.db"),
        "GOVERNANCE_JWT_SECRET": SECRET,
    }


def make_sample(teams: int, folder: Path) -> Sample:
    """Generate the data of one of the SIZES."""
    database = folder / "governance.db"
    customers, teams_each, keys = SIZES[teams]
    counts = generate(database, customers=customers, teams=teams_each, keys=keys)
    spread_evenly(database)
    key = create_api_key(folder / "access.db", "benchmark")
    usual = _usual_customer(database, teams_each * keys)
    return Sample(folder, database, counts, key, *usual)


def spread_evenly(database: Path) -> None:
    """Give each customer as many teams: generated ones have most in one customer, and
    the teams list, which nests a customer in each of its teams, grows with the square.
    """
    with closing(sqlite3.connect(database)) as connection, connection:
        ids = _column(connection, "SELECT id FROM governance_customers ORDER BY rowid")
        for table in ("governance_teams", "governance_virtual_keys"):
            rows = _column(
                connection,
                f"SELECT rowid FROM {table} WHERE customer_id IS NOT NULL"
                " ORDER BY rowid",
            )
            connection.executemany(
                f"UPDATE {table} SET customer_id = ? WHERE rowid = ?",
                ((ids[n % len(ids)], row) for n, row in enumerate(rows)),
            )


def _usual_customer(database: Path, keys: int) -> tuple[str, str, str]:
    """Id and name of a customer whose teams have about so many keys, and the id of a
    budget of one of these.
    """
    with closing(sqlite3.connect(database)) as connection:
        found: tuple[str, str, str] = connection.execute(
            "SELECT c.id, c.name, max(b.id)"
            " FROM (SELECT * FROM governance_customers ORDER BY rowid LIMIT 20) c"
            " JOIN governance_teams t ON t.customer_id = c.id"
            " JOIN governance_virtual_keys k ON k.team_id = t.id"
            " LEFT JOIN governance_budgets b ON b.virtual_key_id = k.id"
            " GROUP BY c.id HAVING max(b.id) IS NOT NULL"
            " ORDER BY abs(count(DISTINCT k.id) - ?) LIMIT 1",
            (keys,),
        ).fetchone()
    return found


def _column(connection: sqlite3.Connection, query: str) -> list[str]:
    return [row[0] for row in connection.execute(query)]


class Gateway:
    """Writes as a gateway does: by a connection that stays, to a write-ahead log."""

    def __init__(self, database: Path, budget: str) -> None:
        self._budget = budget
        self._connection = sqlite3.connect(
            database, timeout=10, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        (usage,) = self._connection.execute(
            "SELECT current_usage FROM governance_budgets WHERE id = ?", (budget,)
        ).fetchone()
        self._usage = int(usage)

    def change(self) -> int:
        """Commit a usage of the budget greater than all before, and return it."""
        self._usage += 1
        self._connection.execute(
            "UPDATE governance_budgets SET current_usage = ? WHERE id = ?",
            (self._usage, self._budget),
        )
        return self._usage

    def close(self) -> None:
        self._connection.close()


@contextmanager
def writing_gateway(database: Path, budget: str) -> Iterator[Gateway]:
    with closing(Gateway(database, budget)) as gateway:
        yield gateway
