"""Measures the service against its ceiling and against what one would write first.

`make bench` runs it: at 125 and 1,200 teams, with LARGE=1 at 12,000 too; medians of
REPEAT (3) runs of SECONDS (2) each. It prints a table that is Markdown.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_keys import create_api_key
from database import Reader
from generating import generate
from models import MODELS, REQUIRED
from snapshot import Snapshot

ROOT = Path(__file__).parent.parent
CONNECTIONS = 8
SECONDS = int(os.environ.get("SECONDS", "2"))
REPEAT = int(os.environ.get("REPEAT", "3"))
WRK = shutil.which("wrk")
SIZES = {125: (25, 5, 6), 1_200: (240, 5, 6), 12_000: (2400, 5, 6)}
NAIVE_LIMIT_BYTES = 20_000_000  # it takes minutes for more, and gigabytes


@dataclass(frozen=True)
class Figures:
    """One run of load: answers and megabytes a second, times in ms."""

    rate: float
    megabytes: float
    median: float
    p99: float


def main() -> None:
    teams = [125, 1_200] + ([12_000] if os.environ.get("LARGE") else [])
    tool = "wrk" if WRK else "the benchmark's own client"
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python"
        f" {sys.version.split()[0]}, load by {tool}, {CONNECTIONS} connections,"
        f" medians of {REPEAT} runs of {SECONDS} s\n"
    )
    for number in teams:
        with tempfile.TemporaryDirectory() as folder:
            measure(number, Path(folder))


def measure(teams: int, folder: Path) -> None:
    """All figures at one size, as a heading and two tables."""
    database = folder / "governance.db"
    customers, teams_each, keys = SIZES[teams]
    counts = generate(database, customers=customers, teams=teams_each, keys=keys)
    spread_evenly(database)
    key = create_api_key(folder / "access.db", "bench")
    print(f"### {counts['teams']:,} teams, {counts['virtual_keys']:,} virtual keys\n")
    environment = {
        **os.environ,
        "GOVERNANCE_DATABASE": str(database),
        "GOVERNANCE_ACCESS_DATABASE": str(folder / "access.db"),
        "BODIES": str(folder / "bodies"),
        "PYTHONPATH": str(ROOT),
    }
    flask = [sys.executable, "-m", "flask", "serve", "--port"]
    rivals = [sys.executable, "-m", "benchmarks.rivals"]
    headers = {"Authorization": f"Bearer {key}"}
    print("| what | ours | ceiling | naive | of ceiling | MB/s | median | p99 | size |")
    print("|---|---|---|---|---|---|---|---|---|")
    customer = busiest_customer(database)
    with running([*flask], environment) as ours:
        rest = memory(ours.pid)
        bodies = fetch_bodies(ours.port, headers, customer, folder / "bodies")
        with (
            running([*rivals, "ceiling"], environment) as ceiling,
            running([*rivals, "naive"], environment) as naive,
        ):
            for name, path in questions(customer).items():
                row(name, path, headers, bodies[name], ours, ceiling, naive)
        not_modified(ours, headers, folder)
        peak = memory(ours.pid, "VmHWM")
    print()
    cold, warm = snapshot_times(database)
    first = statistics.median(first_answer(flask, environment, key) for _ in range(5))
    print(
        f"first answer {first:.0f} ms after launch; first snapshot {cold:.0f} ms, the"
        f" next after one changed row {warm:.0f} ms; resident memory {rest} MB at rest,"
        f" {peak} MB at most\n"
    )


def questions(customer: str) -> dict[str, str]:
    lists = "/api/governance"
    return {
        "teams": f"{lists}/teams",
        "teams, memory": f"{lists}/teams?from_memory=true",
        "teams of one customer": f"{lists}/teams?customer_id={customer}",
        "teams, a page of 25": f"{lists}/teams?limit=25",
        "customers": f"{lists}/customers",
        "customers, memory": f"{lists}/customers?from_memory=true",
        "customers, a page of 25": f"{lists}/customers?limit=25",
    }


def row(
    name: str, path: str, headers: dict[str, str], size: int, *servers: "Running"
) -> None:
    ours, ceiling, naive = servers
    runs: dict[str, list[Figures]] = {"ours": [], "ceiling": []}
    for _ in range(REPEAT):  # in turn, so that a slower moment hits both
        runs["ours"].append(load(ours.port, path, headers))
        runs["ceiling"].append(load(ceiling.port, f"/{stem(name)}", headers))
    best = {who: middle(figures) for who, figures in runs.items()}
    ratio = best["ours"].rate / max(best["ceiling"].rate, 1e-9)
    told = "-"
    if size < NAIVE_LIMIT_BYTES:
        once = naive_rate(naive.port, path.removeprefix("/api/governance"))
        told = f"{once:.2f} ({best['ours'].rate / once:,.0f}x less)"
    ours_best = best["ours"]
    print(
        f"| {name} | {ours_best.rate:,.0f}/s | {best['ceiling'].rate:,.0f}/s | {told}"
        f" | {ratio:.2f} | {ours_best.megabytes:,.0f}"
        f" | {ours_best.median:.1f} ms | {ours_best.p99:.1f} ms | {size:,} |",
        flush=True,
    )


def not_modified(ours: "Running", headers: dict[str, str], folder: Path) -> None:
    """The rate of 304 answers against that of a constant empty answer."""
    bodies = folder / "empty"
    bodies.mkdir()
    (bodies / "empty.json").write_bytes(b"")
    environment = {**os.environ, "BODIES": str(bodies), "PYTHONPATH": str(ROOT)}
    path = "/api/governance/teams"
    etag = ask(ours.port, path, headers)[1]["ETag"]
    with running(
        [sys.executable, "-m", "benchmarks.rivals", "ceiling"], environment
    ) as c:
        pairs = [
            (
                load(ours.port, path, {**headers, "If-None-Match": etag}),
                load(c.port, "/empty", headers),
            )
            for _ in range(REPEAT)
        ]
    mine, ceiling = middle([p[0] for p in pairs]), middle([p[1] for p in pairs])
    print(
        f"| teams, not modified (304) | {mine.rate:,.0f}/s | {ceiling.rate:,.0f}/s | -"
        f" | {mine.rate / ceiling.rate:.2f} | - | {mine.median:.1f} ms"
        f" | {mine.p99:.1f} ms | 0 |"
    )


def middle(figures: list[Figures]) -> Figures:
    return sorted(figures, key=lambda each: each.rate)[len(figures) // 2]


def snapshot_times(database: Path) -> tuple[float, float]:
    """Milliseconds of reading and making a snapshot: cold, and after a changed row."""
    reader = Reader(database, MODELS, REQUIRED)
    began = time.perf_counter()
    snapshot = Snapshot(reader.read())
    cold = time.perf_counter() - began
    warm = []
    for _ in range(5):
        change_a_budget(database)
        began = time.perf_counter()
        snapshot = Snapshot(reader.read(), snapshot)
        warm.append(time.perf_counter() - began)
    reader.close()
    return cold * 1000, statistics.median(warm) * 1000


def change_a_budget(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE governance_budgets SET current_usage = current_usage + 1"
            " WHERE id = (SELECT max(id) FROM governance_budgets)"
        )
    connection.close()


def spread_evenly(database: Path) -> None:
    """Give each customer as many teams: generated ones have most in one customer, and
    the teams list, which nests a customer in each of its teams, grows with the square.
    """
    connection = sqlite3.connect(database)
    ids = [row[0] for row in connection.execute("SELECT id FROM governance_customers")]
    with connection:
        for table in ("governance_teams", "governance_virtual_keys"):
            rows = connection.execute(
                f"SELECT rowid FROM {table} WHERE customer_id IS NOT NULL"
            ).fetchall()
            connection.executemany(
                f"UPDATE {table} SET customer_id = ? WHERE rowid = ?",
                ((ids[n % len(ids)], row[0]) for n, row in enumerate(rows)),
            )
    connection.close()


def busiest_customer(database: Path) -> str:
    connection = sqlite3.connect(database)
    (customer,) = connection.execute(
        "SELECT customer_id FROM governance_teams WHERE customer_id IS NOT NULL"
        " GROUP BY 1 ORDER BY count(*) DESC LIMIT 1 OFFSET 2"
    ).fetchone()
    connection.close()
    return str(customer)


@dataclass(frozen=True)
class Running:
    """A server that was started: its port, and the process that answers."""

    port: int
    pid: int


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[Running]:
    port = free_port()
    process = subprocess.Popen(
        [*command, str(port)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, "/readyz")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = children.read_text().split() if children.exists() else []
        yield Running(port, int(workers[0]) if workers else process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def first_answer(command: list[str], environment: dict[str, str], key: str) -> float:
    """Milliseconds from launch to the first whole list."""
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(port)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        headers = {"Authorization": f"Bearer {key}"}
        wait_for(port, "/api/governance/teams", headers)
        return (time.perf_counter() - began) * 1000
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def wait_for(port: int, path: str, headers: dict[str, str] | None = None) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            status, _, _ = ask(port, path, headers or {})
        except OSError:
            time.sleep(0.002)
            continue
        if status in (200, 404) or not headers:
            return
    raise TimeoutError(f"nothing answers on port {port}")


def ask(port: int, path: str, headers: dict[str, str]) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def fetch_bodies(
    port: int, headers: dict[str, str], customer: str, folder: Path
) -> dict[str, int]:
    """Keep ours for the ceiling; their sizes."""
    folder.mkdir()
    sizes = {}
    for name, path in questions(customer).items():
        _, _, body = ask(port, path, headers)
        (folder / f"{stem(name)}.json").write_bytes(body)
        sizes[name] = len(body)
    return sizes


def stem(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name)


def naive_rate(port: int, path: str) -> float:
    """Answers a second of the naive view, one after the other: it is slow enough."""
    began, count = time.perf_counter(), 0
    while not count or (time.perf_counter() - began < SECONDS and count < 20):
        ask(port, path, {})
        count += 1
    return count / (time.perf_counter() - began)


def load(port: int, path: str, headers: dict[str, str]) -> Figures:
    if WRK is None:
        return own_load(port, path, headers)
    command = [WRK, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency"]
    command += ["--timeout", "60s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    told = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    def figure(label: str) -> str:
        match = re.search(rf"{label}:?\s+([\d.]+)(\w*)", told)
        return match[0].split()[-1] if match else "0"

    return Figures(
        float(figure("Requests/sec")),
        _scaled(figure("Transfer/sec"), {"GB": 1e3, "MB": 1, "KB": 1e-3, "B": 1e-6}),
        _scaled(figure("50%"), _MILLISECONDS),
        _scaled(figure("99%"), _MILLISECONDS),
    )


_MILLISECONDS = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}


def _scaled(text: str, units: dict[str, float]) -> float:
    match = re.fullmatch(r"([\d.]+)(\w*)", text)
    return float(match[1]) * units.get(match[2], 1) if match else 0


def own_load(port: int, path: str, headers: dict[str, str]) -> Figures:
    """A few threads asking as fast as they can; slower than wrk, but everywhere."""
    times: list[float] = []
    sizes: list[int] = []
    until = time.perf_counter() + SECONDS

    def ask_on() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.perf_counter() < until:
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            sizes.append(len(connection.getresponse().read()))
            times.append(time.perf_counter() - began)
        connection.close()

    threads = [threading.Thread(target=ask_on) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    times.sort()
    return Figures(
        len(times) / took,
        sum(sizes) / took / 1e6,
        times[len(times) // 2] * 1000,
        times[int(len(times) * 0.99)] * 1000,
    )


def memory(pid: int, what: str = "VmRSS") -> int:
    """Megabytes of a process: VmRSS now, VmHWM at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"{what}:\s+(\d+) kB", status)
    return int(match[1]) // 1024 if match else 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
