"""What a gateway that writes meanwhile does to the answers: slower, and never stale.

Part of `make bench`; alone, `python -m benchmarks.changing TEAMS` runs it for one of
its sizes: 125, 1200 or 12000.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks import load, report
from benchmarks.load import Figures
from benchmarks.report import megabytes, milliseconds, number
from benchmarks.sample import (
    LISTS,
    PAGE,
    Gateway,
    Sample,
    make_sample,
    writing_gateway,
)
from benchmarks.servers import OURS, Server, peak, running

CHANGE_SECONDS = 1.0
RUN_SECONDS = 5 * load.SECONDS  # some changes must fall into a run
STALE_SECONDS = 3 * load.SECONDS
A_LITTLE = f"{LISTS}/customers?limit=1"
A_PAGE = f"{LISTS}/teams?limit={PAGE}"


def tell_changes(sample: Sample) -> None:
    """Print how answers from memory fare while the database changes."""
    report.section(
        "While it changes",
        f"Memory-mode answers to {load.CONNECTIONS} clients, quiet and with one changed"
        " budget a second in turn; each change is asked for at once in the database"
        " mode, so that a snapshot is taken for it. Of p99, the median of the ratios of"
        " neighbouring runs.",
    )
    report.head(
        *("what", "quiet/s", "changing/s", "quiet p99", "changing p99", "of p99"),
        *("quiet longest", "changing longest"),
    )
    with (
        running(OURS, sample.environment) as ours,
        writing_gateway(sample.database, sample.budget) as gateway,
    ):
        for what, path in (
            (f"teams, a page of {PAGE}", f"{A_PAGE}&from_memory=true"),
            ("teams, one customer", f"{sample.one_customer}&from_memory=true"),
        ):
            ask = partial(load.load, ours, path, sample.headers, seconds=RUN_SECONDS)
            quiet, changing = load.in_turn(
                ask, partial(_while_changing, ask, ours, sample, gateway)
            )
            _tell_run(what, quiet, changing)
        report.end()
        _tell_stale(ours, sample, gateway)
        report.say(f"The worker had {megabytes(peak(ours.workers[0]))} at most.")


def _tell_run(what: str, quiet: list[Figures], changing: list[Figures]) -> None:
    still, moving = load.middle(quiet), load.middle(changing)
    report.row(
        what,
        *(number(each.rate) for each in (still, moving)),
        *(milliseconds(each.p99) for each in (still, moving)),
        f"{load.ratio(changing, quiet, 'p99'):.2f}",
        *(milliseconds(each.longest) for each in (still, moving)),
    )


def _while_changing(
    ask: Callable[[], Figures], ours: Server, sample: Sample, gateway: Gateway
) -> Figures:
    def change() -> None:
        gateway.change()
        ours.ask(A_LITTLE, sample.headers)

    with again_and_again(change, CHANGE_SECONDS):
        return ask()


@contextmanager
def again_and_again(work: Callable[[], object], seconds: float = 0) -> Iterator[None]:
    """Do some work meanwhile, every so many seconds."""
    stop = threading.Event()

    def work_on() -> None:
        due = time.monotonic()
        while not stop.wait(max(0, due - time.monotonic())):
            due += seconds
            work()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work_on)
        try:
            yield
        finally:
            stop.set()
        done.result()  # raises what the work raised


def _tell_stale(ours: Server, sample: Sample, gateway: Gateway) -> None:
    """Write, ask at once, and look for what was written, while others ask, too."""
    by_name = f"{LISTS}/customers?limit=100&search={quote(sample.customer_name)}"
    paths = (sample.one_customer, by_name)
    others = partial(load.load, ours, A_PAGE, sample.headers, seconds=1)
    until = time.monotonic() + STALE_SECONDS
    asked = stale = 0
    with again_and_again(others):
        while time.monotonic() < until:
            written = gateway.change()
            body = ours.ask(paths[asked % len(paths)], sample.headers)
            asked += 1
            told = min(_usages(json.loads(body), sample.budget), default=0)
            stale += told < written
    report.say(
        f"Database mode, a budget's usage written and asked for at once while"
        f" {load.CONNECTIONS} others ask: asked {asked}, stale {stale}."
    )


def _usages(part: Any, budget: str) -> Iterator[float]:
    """What an answer says of a budget's usage, wherever it stands."""
    if isinstance(part, list):
        for each in part:
            yield from _usages(each, budget)
    elif isinstance(part, dict):
        if part.get("id") == budget:
            yield part["current_usage"]
        for each in part.values():
            yield from _usages(each, budget)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tell_changes(make_sample(int((sys.argv[1:] or ["125"])[0]), Path(folder)))


if __name__ == "__main__":
    main()
