"""Measures small answers beside a bare WSGI constant and nginx: a page of one, a 304.

Run as `python -m benchmarks.small`: over the demo's data, with authentication and log
on, all in turn, ROUNDS times, by wrk with 8 connections and with one.
"""

import os
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import load, report
from benchmarks.comparing import Question, nginx_headers, save_constants
from benchmarks.report import number
from benchmarks.rivals import EMPTY, NGINX
from benchmarks.sample import LISTS, service_environment
from benchmarks.servers import OURS, RIVALS, Server, Strings, cpu_seconds, running
from callers.api_keys import create_api_key
from commands.demo import DEMO_DATA
from transfer.loading import load_files

ROUNDS = int(os.environ.get("ROUNDS", "5"))
PAUSE = float(os.environ.get("PAUSE", "0"))  # seconds between runs, for others' sake
THREADS = (1, 2)  # of the ceiling: more were slower
PAGE_OF_ONE = f"{LISTS}/customers?limit=1"

Rate = tuple[float, float]  # answers a second, and microseconds of CPU for each


def tell_small(folder: Path) -> None:
    """Print how often small answers are given, and what CPU time each takes."""
    database = folder / "demo.db"
    load_files([DEMO_DATA], database)
    headers = {"Authorization": f"Bearer {create_api_key(folder / 'access.db', 'x')}"}
    settings = service_environment(folder, database)
    report.section(
        "Small answers",
        "Answers a second and, in brackets, microseconds of the server's CPU time for"
        " each. The ceiling is a bare WSGI constant under granian, with so many"
        f" threads. Ratios are of the best of them. Medians of {ROUNDS}, in turn.",
    )
    with ExitStack() as stack:

        def start(command: tuple[str, ...], **more: str) -> Server:
            return stack.enter_context(running(command, settings | more))

        ours = start(OURS)
        asked = [
            Question("customers, a page of 1", PAGE_OF_ONE, "page-of-one"),
            Question(
                "customers, 304",
                PAGE_OF_ONE,
                EMPTY,
                {"If-None-Match": ours.etag(PAGE_OF_ONE, headers)},
            ),
        ]
        constants = str(save_constants(folder, headers, ours, asked))
        ceilings = {
            f"ceiling, {count}": start(
                (*RIVALS, "ceiling"), CONSTANTS=constants, THREADS=str(count)
            )
            for count in THREADS
        }
        nginx = start((*RIVALS, "nginx"), CONSTANTS=constants) if NGINX else None
        others = ceilings | ({"nginx": nginx} if nginx else {})
        report.head(
            *("what", "connections", "database", "memory", *others),
            *("database of ceiling", "memory of ceiling"),
        )
        for question in asked:
            own = nginx_headers(nginx, question) if nginx else {}
            for connections in (load.CONNECTIONS, 1):
                _compare(question, headers, own, ours, others, connections)
    report.end()


def _compare(
    question: Question,
    headers: Strings,
    nginx_headers: Strings,
    ours: Server,
    others: dict[str, Server],
    connections: int,
) -> None:
    runs = {
        mode: partial(_rate, ours, path, headers | question.headers, connections)
        for mode, path in question.paths().items()
    }
    for name, server in others.items():
        more = nginx_headers if name == "nginx" else {}
        path = f"/{question.constant}"
        runs[name] = partial(_rate, server, path, headers | more, connections)
    done: dict[str, list[Rate]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            done[name].append(run())
    middles = {name: median(rate for rate, _ in each) for name, each in done.items()}
    best = max((n for n in others if n != "nginx"), key=lambda name: middles[name])
    report.row(
        *(question.what, str(connections)),
        *(
            f"{number(middles[name])} ({number(median(cpu for _, cpu in each))})"
            for name, each in done.items()
        ),
        *(_ratio(done[mode], done[best]) for mode in question.paths()),
    )


def _ratio(ours: list[Rate], theirs: list[Rate]) -> str:
    pairs = zip(ours, theirs, strict=True)
    return f"{median(one[0] / other[0] for one, other in pairs):.2f}"


def _rate(server: Server, path: str, headers: Strings, connections: int) -> Rate:
    time.sleep(PAUSE)
    before = cpu_seconds(server.workers)
    rate = load.load(server, path, headers, connections=connections, seconds=1).rate
    return rate, (cpu_seconds(server.workers) - before) / rate * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tell_small(Path(folder))


if __name__ == "__main__":
    main()
