"""What a test run pays for the service as a fixture, beside moto and pytest-httpserver.

`python -m benchmarks.fixture` measures this alone. RIVALS names the Python of an
environment with `moto[server]` and `pytest-httpserver`, which are none of ours; without
it they are looked for here, and left out where they are not.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import report

ROUNDS = 5
SCRIPT = Path(__file__).with_name("one_fixture.py")
RIVALS = os.environ.get("RIVALS", sys.executable)
IMPORTS = "import flask, marshmallow, peewee, granian"
STAND_INS = {
    "`GovernanceLists`": ("ours", sys.executable, "governance_lists.client"),
    "moto's `ThreadedMotoServer`": ("moto", RIVALS, "moto.server"),
    "pytest-httpserver": ("httpserver", RIVALS, "pytest_httpserver"),
}

Figures = dict[str, list[float]]


def tell_fixture(_: Path | None = None) -> None:
    """Measure all of them by turns, so that what else runs meets all of them."""
    report.section(
        "As a fixture of tests",
        f"Medians of {ROUNDS} processes, by turns: from nothing to the first answer,"
        " with the imports that the tests' process pays for; emptying it and loading"
        " four things; stopping it. Ours is a process of its own with a database, the"
        " others are threads of the tests' process.",
    )
    there = {name: how for name, how in STAND_INS.items() if _is_there(*how[1:])}
    figures: dict[str, Figures] = {name: {} for name in there}
    imports: list[float] = []
    for _round in range(ROUNDS):
        imports.append(_timed(lambda: _run(sys.executable, "-c", IMPORTS)))
        for name, (stand_in, python, _) in there.items():
            told = json.loads(_run(python, str(SCRIPT), stand_in))
            for what, seconds in told.items():
                figures[name].setdefault(what, []).append(seconds)
    report.head("stand-in", "ready", "of the imports", "reset and load", "stop")
    base = statistics.median(imports)
    report.row(f"`{IMPORTS}`", report.milliseconds(base * 1000), "1.00", "", "")
    for name, measured in figures.items():
        ready, fill, stop = (
            statistics.median(measured[what]) for what in ("ready", "fill", "stop")
        )
        cells = (report.milliseconds(each * 1000) for each in (fill, stop))
        share = report.number(ready / base)
        report.row(name, report.milliseconds(ready * 1000), share, *cells)
    report.end()
    for name in STAND_INS.keys() - there.keys():
        report.say(f"{name} is not installed; RIVALS may name a Python that has it.")


def _is_there(python: str, module: str) -> bool:
    told = subprocess.run([python, "-c", f"import {module}"], capture_output=True)
    return told.returncode == 0


def _run(*command: str) -> str:
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return told.stdout


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    tell_fixture()
