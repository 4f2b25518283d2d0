"""Measures the launch: until the first answer, beside importing the libraries alone.

Run as `python -m benchmarks.launch`: the two in turn, ROUNDS times, over the demo's
data. CPU times are less disturbed by whatever else the machine does.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks import report
from benchmarks.report import milliseconds
from benchmarks.sample import LISTS, service_environment
from benchmarks.servers import first_answer
from callers.api_keys import create_api_key
from commands.demo import DEMO_DATA
from transfer.loading import load_files

ROUNDS = int(os.environ.get("ROUNDS", "9"))
# peewee would load psycopg where it is installed, which the service does not need here.
LIBRARIES = """
import sys
sys.modules["psycopg"] = None
import flask, marshmallow, peewee, orjson, granian
"""


def tell_launch(folder: Path) -> None:
    """Print how long both take, and the ratio of each turn's."""
    database = folder / "demo.db"
    load_files([DEMO_DATA], database)
    headers = {"Authorization": f"Bearer {create_api_key(folder / 'access.db', 'x')}"}
    environment = service_environment(folder, database)
    # Compiled once, as they are where they are installed: some machines keep nothing.
    environment |= {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def answer() -> float:
        return first_answer(environment, f"{LISTS}/teams", headers)

    def libraries() -> float:
        began = time.perf_counter()
        command = [sys.executable, "-c", LIBRARIES]
        subprocess.run(command, env=environment, check=True)
        return (time.perf_counter() - began) * 1000

    report.section(
        "Launch",
        "The service from its launch to the end of its first answer (CPU: to its own),"
        " beside a Python that imports Flask, marshmallow, peewee, orjson and granian."
        f" Medians of {ROUNDS}, in turn.",
    )
    answer(), libraries()
    rounds = [(_times(answer), _times(libraries)) for _ in range(ROUNDS)]
    report.head("", "first answer", "libraries", "ratio")
    for number, what in enumerate(("time", "CPU time")):
        pairs = [(ours[number], theirs[number]) for ours, theirs in rounds]
        ours, theirs = (median(each) for each in zip(*pairs, strict=True))
        ratio = median(one / other for one, other in pairs)
        report.row(what, milliseconds(ours), milliseconds(theirs), f"{ratio:.2f}")
    report.end()


def _times(run: Callable[[], float]) -> tuple[float, float]:
    """Milliseconds that a run says it took, and of CPU time of what it started."""
    before = _children_seconds()
    return run(), (_children_seconds() - before) * 1000


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tell_launch(Path(folder))


if __name__ == "__main__":
    main()
