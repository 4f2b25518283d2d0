"""Load: by wrk where it is installed, else by a client of our own."""

import http.client
import json
import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

from benchmarks.servers import READ_BYTES, Server, Strings

SECONDS = int(os.environ.get("SECONDS", "2"))
REPEAT = int(os.environ.get("REPEAT", "3"))
CONNECTIONS = 8
WRK = shutil.which("wrk")
TOOL = "wrk" if WRK else "the benchmark's own client"
# A run ends amid large answers: their bytes tell of begun ones, too.
LARGE_BYTES = 10**6
# The ceiling's server copies what it sends: together they must fit into memory.
COPIES_BYTES = 2 * 10**9
# It takes seconds to begin a gigabyte, too.
SLOWEST_BYTES_A_SECOND = 2 * 10**8

Told = dict[str, float]


@dataclass(frozen=True)
class Figures:
    """A run of load: answers and megabytes a second; milliseconds, of whole answers,
    NaN where none came to its end.
    """

    rate: float
    megabytes: float
    median: float
    p99: float
    longest: float


class LoadError(Exception):
    """Load was not answered as it should be, so that its figures mean nothing."""


def load(
    server: Server,
    path: str,
    headers: Strings,
    size: int = 0,
    connections: int = CONNECTIONS,
    seconds: int = SECONDS,
) -> Figures:
    """Ask as fast as it is answered, for some seconds; `size` of the answer's body."""
    if size:
        connections = max(1, min(connections, COPIES_BYTES // size))
        seconds = max(seconds, size // SLOWEST_BYTES_A_SECOND)
    run = _wrk if WRK else _own_client
    told = run(server, path, headers, connections, seconds)
    if told["refused"] or told["broken"]:
        raise LoadError(f"{path} under load: {told}")
    took = told["microseconds"] / 1e6
    answers = told["bytes"] / size if size > LARGE_BYTES else told["answers"]
    return Figures(
        answers / took,
        told["bytes"] / took / 1e6,
        _milliseconds(told["median"]),
        _milliseconds(told["p99"]),
        _milliseconds(told["longest"]),
    )


def _milliseconds(microseconds: float) -> float:
    return microseconds / 1000 or math.nan


def in_turn(*loads: Callable[[], Figures]) -> list[list[Figures]]:
    """Runs of each, one after the other and again: a slow moment then hits them all."""
    rounds = [[run() for run in loads] for _ in range(REPEAT)]
    return [list(runs) for runs in zip(*rounds, strict=True)]


def middle(runs: list[Figures]) -> Figures:
    """The median of each figure."""
    figures = zip(*map(astuple, runs), strict=True)
    return Figures(*(median(each) for each in figures))


def ratio(ones: list[Figures], others: list[Figures], name: str = "rate") -> float:
    """The median of how a figure of each run compares with the run beside it."""
    pairs = zip(ones, others, strict=True)
    return float(
        median(getattr(one, name) / getattr(other, name) for one, other in pairs)
    )


def _wrk(
    server: Server, path: str, headers: Strings, connections: int, seconds: int
) -> Told:
    command = [str(WRK), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s"]
    command += ["-s", str(Path(__file__).with_name("wrk_report.lua"))]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    url = f"http://127.0.0.1:{server.port}{path}"
    told = subprocess.run([*command, url], check=True, capture_output=True, text=True)
    report: Told = json.loads(told.stdout.splitlines()[-1])
    return report


def _own_client(
    server: Server, path: str, headers: Strings, connections: int, seconds: int
) -> Told:
    """A few threads: slower than wrk, but everywhere."""
    times: list[float] = []
    sizes: list[int] = []
    statuses: list[int] = []
    until = time.perf_counter() + seconds

    def ask_on() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        while (began := time.perf_counter()) < until:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            statuses.append(response.status)
            while piece := response.read(READ_BYTES):
                sizes.append(len(piece))
                if time.perf_counter() > until:
                    break
            if response.isclosed():
                times.append(time.perf_counter() - began)
        connection.close()

    threads = [threading.Thread(target=ask_on) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    last = len(times) - 1

    def microseconds(part: float) -> float:
        return times[int(last * part)] * 1e6 if times else 0

    return {
        "answers": len(times),
        "bytes": sum(sizes),
        "microseconds": (time.perf_counter() - began) * 1e6,
        "broken": 0,  # would have been raised
        "refused": sum(status >= 400 for status in statuses),
        "median": microseconds(0.5),
        "p99": microseconds(0.99),
        "longest": microseconds(1),
    }
