"""Nobody can stop the service: clients that send or read nothing, or too much."""

import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from gateway import Gateway, add_many_teams, fill
from service import DEADLINE, PATHS, ROOT, Service, environment, settings_in

from callers.api_keys import create_api_key
from web.serving.listening import DEFER_SECONDS, UNREAD_MILLISECONDS, listen

PAGE = f"{PATHS[0]}?limit=25"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose whole list is 12 MB, a page of 25 a tenth of that."""
    folder = tmp_path_factory.mktemp("crowds")
    gateway = Gateway(folder / "config.db")
    fill(gateway)
    add_many_teams(gateway)
    return folder


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    return create_api_key(folder / "access.db", "tests")


@pytest.fixture
def begin(folder: Path) -> Iterator[Callable[..., Service]]:
    begun: list[Service] = []

    def begin(*options: str, **settings: str) -> Service:
        begun.append(Service({**settings_in(folder), **settings}, *options))
        return begun[-1]

    yield begin
    for service in begun:
        service.process.kill()
        service.process.communicate()


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Keeps many sockets open until the test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(service: Service, clients: ExitStack, **options: int) -> socket.socket:
    client = clients.enter_context(socket.socket())
    for name, value in options.items():
        client.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    client.settimeout(DEADLINE)
    client.connect((service.host, service.port))
    return client


def ask(client: socket.socket, path: str, token: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    client.sendall(head.encode())


def times(service: Service, path: str, token: str, count: int = 30) -> list[float]:
    """Seconds that each of some requests took, one after the other; none failed."""
    taken = []
    for _ in range(count):
        with closing(service.connect()) as connection:
            began = time.monotonic()
            connection.request(
                "GET", path, headers={"Authorization": f"Bearer {token}"}
            )
            response = connection.getresponse()
            response.read()
            taken.append(time.monotonic() - began)
            assert response.status == 200
    return taken


def require_small_answers(service: Service, token: str) -> None:
    """Small answers, pages and health are there at their usual times.

    Ten times of what they take alone: the machine is busy with other tests.
    """
    assert statistics.median(times(service, "/healthz", token)) < 0.05
    assert statistics.median(times(service, f"{PATHS[1]}?limit=1", token)) < 0.1
    assert statistics.median(times(service, PAGE, token)) < 0.1


@pytest.mark.usefixtures("many_descriptors")
def test_many_connections_that_send_nothing(
    begin: Callable[..., Service], token: str, clients: ExitStack
) -> None:
    service = begin()

    for _ in range(1500):
        connect(service, clients)

    require_small_answers(service, token)


@pytest.mark.usefixtures("many_descriptors")
def test_many_half_requests(
    begin: Callable[..., Service], token: str, clients: ExitStack
) -> None:
    service = begin()

    for _ in range(1500):
        connect(service, clients).sendall(b"GET / HTTP/1.1\r\nHost:")

    require_small_answers(service, token)


def test_connections_that_send_nothing_take_no_descriptor(
    folder: Path, token: str, clients: ExitStack
) -> None:
    # With 256 descriptors there is no room for 400 connections.
    command = f"ulimit -n 256; exec {sys.executable} -m flask --app app serve --port 0"
    process = subprocess.Popen(
        ["sh", "-c", command],
        cwd=ROOT,
        env=environment(settings_in(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    service = Service.of(process)

    for _ in range(400):
        connect(service, clients)

    require_small_answers(service, token)
    service.end()


def test_clients_that_read_nothing_of_a_large_answer(
    begin: Callable[..., Service], token: str, clients: ExitStack
) -> None:
    service = begin()
    times(service, PATHS[0], token, 1)

    for _ in range(200):
        ask(connect(service, clients, SO_RCVBUF=4096), PATHS[0], token)
    time.sleep(0.5)

    require_small_answers(service, token)


def test_one_large_answer_too_many_is_refused_and_says_when_to_ask_again(
    begin: Callable[..., Service], token: str, clients: ExitStack
) -> None:
    service = begin()
    times(service, PATHS[0], token, 1)
    for _ in range(128):
        client = connect(service, clients, SO_RCVBUF=4096)
        ask(client, PATHS[0], token)
        assert client.recv(15) == b"HTTP/1.1 200 OK"

    response, body = service.request(PATHS[0], token)

    assert response.status == 503
    assert int(response.getheader("Retry-After") or 0) > 0
    assert b'"code":"server_busy"' in body
    clients.close()
    deadline = time.monotonic() + DEADLINE
    while service.request(PATHS[0], token)[0].status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_http_2_is_not_spoken(begin: Callable[..., Service]) -> None:
    service = begin()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

    with closing(socket.create_connection((service.host, service.port))) as client:
        client.settimeout(DEADLINE)
        client.sendall(preface)
        answer = client.recv(100)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("path", ["/" + "a" * 65_000, "/" + "a.bbbbbbbb" * 6_500])
def test_a_long_path_costs_nobody_anything(
    begin: Callable[..., Service], token: str, path: str
) -> None:
    service = begin()
    began = time.monotonic()

    response, _ = service.request(path)

    assert response.status == 404
    assert time.monotonic() - began < 1


def test_a_log_that_nobody_reads_stops_no_answer(
    begin: Callable[..., Service], token: str
) -> None:
    service = begin()  # whose standard error is a pipe
    with closing(service.connect()) as connection:
        for _ in range(12_000):
            connection.request("GET", "/healthz")
            connection.getresponse().read()

    _, log = service.end()

    assert "lines were dropped: nobody read the log" in log


def test_silence_is_cut_by_the_kernel() -> None:
    """The listening socket asks for it; accepted ones inherit it (tcp(7))."""
    with closing(listen("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        client.sendall(b"x")
        accepted, _ = listener.accept()
        unread = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        defer = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)
        accepted.close()
        client.close()

    assert unread == UNREAD_MILLISECONDS
    assert defer >= DEFER_SECONDS
