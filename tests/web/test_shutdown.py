"""`flask serve` ends on SIGTERM or SIGINT, to any process, at any time, however often.

SHUTDOWN_RUNS sets how many runs of the mixed test there are (300 take some minutes).
"""

import http.client
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from gateway import Gateway, add_many_teams, fill
from service import (
    DEADLINE,
    PATHS,
    Service,
    end,
    members,
    settings_in,
    start,
    wait_until_none,
)

from callers.api_keys import create_api_key

RUNS = int(os.environ.get("SHUTDOWN_RUNS", "12"))
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose whole list is several megabytes, and an API key."""
    folder = tmp_path_factory.mktemp("shutdown")
    gateway = Gateway(folder / "config.db")
    fill(gateway)
    add_many_teams(gateway)
    return folder


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    return create_api_key(folder / "access.db", "tests")


@pytest.fixture
def begin(folder: Path) -> Iterator[Callable[..., Service]]:
    """Starts services of a test's own; ends them after."""
    begun: list[Service] = []

    def begin(*options: str, **settings: str) -> Service:
        begun.append(Service({**settings_in(folder), **settings}, *options))
        return begun[-1]

    yield begin
    for service in begun:
        end(service.process)


def expected(number: int) -> set[int]:
    """The exit statuses that people expect: all is well, or ended by that signal."""
    return {0, 128 + number, -number}


def stuck(service: Service, path: str, token: str) -> socket.socket:
    """A client that asks for an answer and reads none of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((service.host, service.port))
    credential = f"Authorization: Bearer {token}"
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{credential}\r\n\r\n".encode())
    return client


class Readers:
    """Threads that ask for the lists until they are stopped or cut off."""

    def __init__(self, service: Service, token: str, count: int) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(service, token))
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, service: Service, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        cut = (OSError, http.client.HTTPException)
        with closing(service.connect()) as connection, suppress(*cut):
            while not self._stop.is_set():
                for path in (PATHS[0], f"{PATHS[1]}?limit=1", "/healthz"):
                    connection.request("GET", path, headers=headers)
                    with connection.getresponse() as response:
                        response.read()

    def join(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)


@pytest.mark.parametrize("run", range(RUNS))
def test_it_ends_on_either_signal_to_any_process_at_any_time(
    folder: Path, token: str, run: int
) -> None:
    choices = random.Random(run)
    workers = choices.choice(["1", "2"])
    number = choices.choice(SIGNALS)
    to_group, to_parent = choices.choice([(1, 0), (0, 1), (1, 1)])
    times = choices.choice([1, 1, 2, 3])
    when = choices.choice(["before ready", "idle", "idle", "readers", "readers"])
    options = ("--port", "0", "--workers", workers)
    process = start(settings_in(folder), *options)
    readers = None
    if when == "before ready":
        time.sleep(choices.uniform(0.2, 1.0))
    else:
        service = Service.of(process)
        if when == "readers":
            readers = Readers(service, token, 4)
            time.sleep(choices.uniform(0.05, 0.3))

    try:
        for _ in range(times):
            if to_parent:
                os.kill(process.pid, number)
            if to_group:
                os.killpg(process.pid, number)
            time.sleep(choices.choice([0, 0, 0.001, 0.05]))
        ended = wait_until_none(process.pid, 2 if when != "readers" else 11)
    finally:
        left = members(process.pid)
        _, log = end(process)
        if readers is not None:
            readers.join()

    assert (ended, left) == (True, [])
    # What Flask itself says to Ctrl-C, until it has imported the application.
    if "Aborted!" not in log:
        assert process.returncode in expected(number)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_idle_service_ends_at_once(
    begin: Callable[..., Service], number: signal.Signals, workers: str
) -> None:
    service = begin("--workers", workers)
    service.request("/healthz")
    began = time.monotonic()

    os.killpg(service.process.pid, number)

    assert service.process.wait(DEADLINE) == 0
    assert time.monotonic() - began < 0.5


def test_connections_that_ask_nothing_do_not_hold_it(
    begin: Callable[..., Service],
) -> None:
    service = begin()
    silent = socket.create_connection((service.host, service.port))
    half = socket.create_connection((service.host, service.port))
    half.sendall(b"GET / HTTP/1.1\r\nHo")
    kept = service.connect()
    kept.request("GET", "/healthz")
    kept.getresponse().read()
    began = time.monotonic()

    service.process.terminate()

    assert service.process.wait(DEADLINE) == 0
    assert time.monotonic() - began < 2
    for client in (silent, half, kept):
        client.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_client_that_reads_nothing_is_cut_when_time_is_up(
    begin: Callable[..., Service], token: str, workers: str
) -> None:
    service = begin("--workers", workers, GOVERNANCE_SHUTDOWN_SECONDS="1")
    client = stuck(service, PATHS[0], token)
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    began = time.monotonic()

    service.process.terminate()

    assert service.process.wait(DEADLINE) == 0
    assert 0.9 < time.monotonic() - began < 3
    assert wait_until_none(service.process.pid, 1)
    client.close()


def test_an_answer_in_progress_is_finished(
    begin: Callable[..., Service], token: str
) -> None:
    service = begin()
    connection = service.connect()
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("GET", PATHS[0], headers=headers)
    response = connection.getresponse()

    service.process.terminate()
    time.sleep(0.3)
    body = response.read()

    assert len(body) == int(response.getheader("Content-Length") or -1) > 10**6
    connection.close()
    assert service.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_signal_to_the_process_and_its_group_is_one(
    begin: Callable[..., Service], token: str, workers: str
) -> None:
    """As `timeout` sends it: an answer in progress has its time all the same."""
    service = begin("--workers", workers)
    connection = service.connect()
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("GET", PATHS[0], headers=headers)
    response = connection.getresponse()

    service.process.terminate()
    os.killpg(service.process.pid, signal.SIGTERM)
    time.sleep(0.3)
    body = response.read()

    assert len(body) == int(response.getheader("Content-Length") or -1)
    connection.close()
    assert service.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_it_without_waiting(
    begin: Callable[..., Service], token: str, number: signal.Signals, workers: str
) -> None:
    service = begin("--workers", workers)
    client = stuck(service, PATHS[0], token)
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    service.process.terminate()
    time.sleep(0.8)
    began = time.monotonic()

    service.process.send_signal(number)

    assert service.process.wait(DEADLINE) == 128 + number
    assert time.monotonic() - began < 1
    assert wait_until_none(service.process.pid, 1)
    client.close()


def test_workers_of_a_killed_parent_end_too(begin: Callable[..., Service]) -> None:
    service = begin("--workers", "2")
    assert len(members(service.process.pid)) == 3

    service.process.kill()

    assert wait_until_none(service.process.pid, 2)


def test_a_worker_that_dies_is_replaced(
    begin: Callable[..., Service], token: str
) -> None:
    service = begin("--workers", "2")
    parent = service.process.pid
    before = set(members(parent)) - {parent}

    os.kill(min(before), signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE
    while len(members(parent)) < 3 or set(members(parent)) >= before:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    for _ in range(20):
        assert service.request(PATHS[0], token)[0].status == 200
    output = service.end()[1]
    assert f"worker {min(before)} died (SIGKILL); starting another" in output


def test_a_worker_is_replaced_though_nobody_reads_the_log(
    folder: Path, token: str
) -> None:
    process = start(settings_in(folder), "--port", "0", "--workers", "2")
    service = Service.of(process)
    with closing(service.connect()) as connection:
        for _ in range(3000):  # more than its standard error takes
            connection.request("GET", "/healthz")
            connection.getresponse().read()
    before = set(members(process.pid)) - {process.pid}

    os.kill(min(before), signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE
    while len(members(process.pid)) < 3 or set(members(process.pid)) >= before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()

    assert wait_until_none(process.pid, 3)
    end(process)


def test_workers_that_die_as_soon_as_they_start_are_given_up(
    begin: Callable[..., Service],
) -> None:
    service = begin("--workers", "2")
    parent = service.process.pid
    deadline = time.monotonic() + DEADLINE

    while service.process.poll() is None and time.monotonic() < deadline:
        for worker in set(members(parent)) - {parent}:
            os.kill(worker, signal.SIGKILL)
        time.sleep(0.05)

    assert service.process.returncode == 1
    assert wait_until_none(parent, 1)
    assert "giving up" in service.end()[1]
