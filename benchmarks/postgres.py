"""Measures a service over PostgreSQL, and opening encrypted values.

`python -m benchmarks.postgres` starts a server of its own, with 8,400 virtual keys. It
prints Markdown.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from benchmarks import report
from benchmarks.report import milliseconds
from benchmarks.sample import LISTS, PAGE, SIZES, Sample, make_sample
from benchmarks.servers import OURS, ROOT, Server, first_answer, running

sys.path.insert(
    0, str(ROOT / "tests" / "helpers")
)  # where there are a server and a gateway

from postgres_gateway import PostgresGateway, copy_rows
from postgres_server import Server as Postgres

from models import MODELS, REQUIRED, VirtualKey
from store.encryption import ENCRYPTED, Encryption
from store.postgres_reader import PostgresReader
from store.readers import read_once

TEAMS = sorted(SIZES)[1]
QUESTIONS = 200
FOREIGN_SECONDS = 0.01
A_PAGE = f"{LISTS}/teams?limit={PAGE}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sample = make_sample(TEAMS, Path(folder))
        tell_opening(sample)
        server = Postgres.new()
        try:
            gateway = PostgresGateway(server, "config", "july")
            source = SimpleNamespace(path=sample.database, layout="july")
            copy_rows(source, gateway)  # type: ignore[arg-type]
            gateway.execute("CREATE TABLE logs (line text)")
            gateway.execute("ANALYZE")
            tell_reading(gateway)
            tell_pages(sample, gateway)
        finally:
            server.remove()


def tell_opening(sample: Sample) -> None:
    """Print how long it takes to open all values, and to find them opened."""
    key = Encryption("a passphrase of the benchmark")
    rows = read_once(sample.database, MODELS, REQUIRED)[VirtualKey]
    sealed = [
        row._replace(**key.sealed_values(VirtualKey, row._asdict())) for row in rows
    ]
    assert {row.encryption_status for row in sealed} == {ENCRYPTED}
    report.section("Encrypted values", f"{len(rows):,} of them, with the key made.")
    report.head("what", "took")
    for what in ("opened", "found opened"):
        report.row(what, milliseconds(_took(lambda: key.opened(VirtualKey, sealed))))
    report.end()


def tell_reading(gateway: PostgresGateway) -> None:
    reader = PostgresReader(gateway.url, MODELS, REQUIRED)
    rows = reader.read()
    count = sum(map(len, rows.values()))
    report.section("A reader", f"Of {count:,} rows; the server is on this machine.")
    report.head("what", "median")
    for what, ask in (
        ("whether anything was committed", reader.mark),
        ("fingerprints: nothing of ours changed", lambda: reader.read(rows)),
        ("all rows", reader.read),
    ):
        report.row(what, milliseconds(_median(ask, 20)))
    report.end()
    reader.close()


def tell_pages(sample: Sample, gateway: PostgresGateway) -> None:
    """Print how long a page takes while others write, and while a gateway does."""
    environment = sample.environment | {"GOVERNANCE_DATABASE": gateway.address}
    report.section(
        f"A page of {PAGE} teams",
        f"{QUESTIONS} questions of one client, one after the other.",
    )
    report.head("while", "database mode", "p99", "from memory", "p99")
    foreign = "INSERT INTO logs VALUES ('a request')"
    usage = "UPDATE governance_budgets SET current_usage = current_usage + 1"
    with running(OURS, environment) as ours:
        _tell_page("nobody writes", ours, sample)
        with _writing(gateway, foreign, FOREIGN_SECONDS):
            _tell_page("100 commits a second to other tables", ours, sample)
        with _writing(gateway, f"{usage} WHERE id = '{sample.budget}'", 0):
            _tell_page("a budget changes as fast as it can", ours, sample)
    report.end()
    first = first_answer(environment, A_PAGE, sample.headers)
    report.say(f"From launch to the first answer: {milliseconds(first)}.")


def _tell_page(what: str, ours: Server, sample: Sample) -> None:
    figures: list[str] = []
    for path in (A_PAGE, f"{A_PAGE}&from_memory=true"):
        times = sorted(ours.time(path, sample.headers) for _ in range(QUESTIONS))
        figures += map(milliseconds, (statistics.median(times), times[-3]))
    report.row(what, *figures)


@contextmanager
def _writing(
    gateway: PostgresGateway, statement: str, seconds: float
) -> Iterator[None]:
    stop = threading.Event()

    def write() -> None:
        with gateway.server.connect(gateway.name) as connection:
            while not stop.wait(seconds):
                connection.execute(statement.encode())

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _median(ask: Callable[[], object], times: int) -> float:
    return statistics.median(_took(ask) for _ in range(times))


def _took(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
