"""How long one moment takes: the first answer, a snapshot, and others' waiting for it.

Run as `python -m benchmarks.moments times|reading|pauses DATABASE BUDGET` it measures
in a process of its own, where nothing else has taken memory, and prints JSON.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks import load, report
from benchmarks.report import milliseconds
from benchmarks.sample import LISTS, Sample, writing_gateway
from benchmarks.servers import ROOT, first_answer
from models import MODELS, REQUIRED
from snapshot.keeper import Keeper
from store.sqlite import Reader
from web.serving.server import SWITCH_SECONDS

LAUNCHES = 5
CHANGES = 5
NEVER = 3600.0  # seconds until the keeper would look by itself


def tell_moments(sample: Sample) -> None:
    """Print the table of single moments."""
    report.section(
        "One moment",
        "Launch to the end of the first whole teams list; a snapshot as the service"
        " takes it, reading included; the longest that another thread had to wait"
        " meanwhile, and beside it the longest with nothing to wait for. Medians.",
    )
    report.head("what", "takes")
    first = [
        first_answer(sample.environment, f"{LISTS}/teams", sample.headers)
        for _ in range(LAUNCHES)
    ]
    report.row("first answer after launch", milliseconds(median(first)))
    reading = _measured("reading", sample)["reading"]
    times = _measured("times", sample)
    pauses = _measured("pauses", sample)
    for what, figure in (
        ("first snapshot", times["first"]),
        ("of it, reading all rows", reading),
        ("next snapshot, one budget changed", times["next"]),
        ("longest pause in a first snapshot", pauses["first"]),
        ("longest pause in a next snapshot", pauses["next"]),
        ("longest pause without a snapshot", pauses["none"]),
    ):
        report.row(what, milliseconds(figure))
    report.end()


def _measured(what: str, sample: Sample) -> dict[str, float]:
    """The medians of a measurement in several fresh processes."""
    command = [sys.executable, "-m", "benchmarks.moments", what]
    command += [str(sample.database), sample.budget]
    told = [
        json.loads(subprocess.check_output(command, cwd=ROOT))
        for _ in range(load.REPEAT)
    ]
    return {name: median(each[name] for each in told) for name in told[0]}


def _times(database: Path, budget: str) -> dict[str, float]:
    keeper = _keeper(database)
    first = _milliseconds(keeper.current)
    following = []
    with writing_gateway(database, budget) as gateway:
        for _ in range(CHANGES):
            gateway.change()
            following.append(_milliseconds(keeper.current))
    keeper.stop()
    return {"first": first, "next": median(following)}


def _reading(database: Path, budget: str) -> dict[str, float]:
    return {"reading": _milliseconds(Reader(database, MODELS, REQUIRED).read)}


def _pauses(database: Path, budget: str) -> dict[str, float]:
    keeper = _keeper(database)
    ticker = Ticker()
    ticker.start()
    first = ticker.longest_during(keeper.current)
    following = []
    with writing_gateway(database, budget) as gateway:
        for _ in range(CHANGES):
            gateway.change()
            following.append(ticker.longest_during(keeper.current))
    none = ticker.longest_during(lambda: time.sleep(1))
    keeper.stop()
    return {"first": first, "next": median(following), "none": none}


class Ticker(threading.Thread):
    """Another thread that would answer meanwhile: it gives up Python's lock, asks for
    it again at once, and notes how long it had to wait.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._longest = 0.0

    def run(self) -> None:
        last = time.perf_counter()
        while True:
            time.sleep(0)
            now = time.perf_counter()
            self._longest = max(self._longest, now - last)
            last = now

    def longest_during(self, work: Callable[[], object]) -> float:
        """The longest wait in milliseconds while some work is done."""
        time.sleep(0.01)
        self._longest = 0.0
        work()
        return self._longest * 1000


def _keeper(database: Path) -> Keeper:
    return Keeper(Reader(database, MODELS, REQUIRED), NEVER)


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    what, database, budget = sys.argv[1:]
    sys.setswitchinterval(SWITCH_SECONDS)  # as the service's workers do
    measure = {"times": _times, "reading": _reading, "pauses": _pauses}[what]
    print(json.dumps(measure(Path(database), budget)))


if __name__ == "__main__":
    main()
