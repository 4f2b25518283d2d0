"""`flask serve` as a process of its own: what it prints, answers and how it ends."""

import json
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from gateway import Gateway, fill, fill_amply
from service import DEADLINE, PATHS, Service, end, settings_in, start

from callers.api_keys import create_api_key


def _ids(body: bytes) -> list[str]:
    members = json.loads(body)
    return [e["id"] for e in members.get("teams", members.get("customers"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared service's files are: a WAL database and the access database."""
    folder = tmp_path_factory.mktemp("service")
    gateway = Gateway(folder / "config.db")
    fill(gateway)
    gateway.execute("PRAGMA journal_mode = WAL")
    return folder


@pytest.fixture(scope="module")
def token(folder: Path) -> str:
    return create_api_key(folder / "access.db", "tests")


@pytest.fixture(scope="module")
def service(folder: Path, token: str) -> Iterator[Service]:
    """One service for the tests that only ask it something."""
    service = Service(settings_in(folder))
    yield service
    service.end()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services of a test's own; ends them after."""
    begun: list[Service] = []

    def begin(*options: str, **settings: str) -> Service:
        begun.append(Service({**settings_in(tmp_path), **settings}, *options))
        return begun[-1]

    yield begin
    for service in begun:
        service.end()


# Ready


def test_the_ready_line_says_where_and_what(service: Service) -> None:
    assert service.ready == {
        "url": f"http://127.0.0.1:{service.port}",
        "pid": service.process.pid,
        "teams": 4,
        "customers": 2,
        "virtual_keys": 5,
    }
    assert service.port != 0


def test_it_answers_when_the_ready_line_is_there_and_prints_nothing_else(
    begin: Callable[..., Service], tmp_path: Path
) -> None:
    fill(Gateway(tmp_path / "config.db"))
    key = create_api_key(tmp_path / "access.db", "tests")

    service = begin()
    response, _ = service.request(PATHS[0], key)

    assert response.status == 200
    output, log = service.end()
    assert output == ""
    assert key not in log


# Over HTTP


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["", "?from_memory=true"])
def test_both_lists_answer_in_both_modes(
    service: Service, token: str, path: str, query: str
) -> None:
    response, body = service.request(path + query, token)

    assert response.status == 200
    assert response.getheader("Content-Type") == "application/json"
    assert int(response.getheader("Content-Length") or -1) == len(body)
    expected = {
        PATHS[0]: ["acme-ops", "acme-dev", "zenith-ml", "lone"],
        PATHS[1]: ["acme", "zenith"],
    }
    assert _ids(body) == expected[path]


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_headers_and_no_body(
    service: Service, token: str, path: str
) -> None:
    got, body = service.request(path, token)

    head, nothing = service.request(path, token, method="HEAD")

    assert (head.status, nothing) == (200, b"")
    assert head.getheader("Content-Length") == str(len(body))
    assert head.getheader("ETag") == got.getheader("ETag")


def test_a_connection_is_kept_after_head_and_304(service: Service, token: str) -> None:
    connection = service.connect()
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("HEAD", PATHS[0], headers=headers)
    head = connection.getresponse()
    head.read()
    tag = {"If-None-Match": head.getheader("ETag") or ""}

    connection.request("GET", PATHS[0], headers={**headers, **tag})
    unchanged = connection.getresponse()
    nothing = unchanged.read()
    connection.request("GET", PATHS[0], headers=headers)
    whole = connection.getresponse()

    assert (unchanged.status, nothing) == (304, b"")
    assert len(_ids(whole.read())) == 4
    connection.close()


@pytest.mark.parametrize("path", PATHS)
def test_without_a_credential_it_is_401(service: Service, path: str) -> None:
    response, body = service.request(path)

    assert response.status == 401
    assert json.loads(body)["error"]["code"] == "missing_credentials"


def test_readyz_has_the_counts(service: Service) -> None:
    response, body = service.request("/readyz")

    assert response.status == 200
    assert json.loads(body)["virtual_keys"] == 5


def test_the_database_is_left_as_it_is(service: Service, folder: Path) -> None:
    before = (folder / "config.db").read_bytes()

    service.request(PATHS[0])

    assert (folder / "config.db").read_bytes() == before
    assert [file.name for file in folder.glob("config.db-*")] == []


def test_several_workers_give_equal_tags(
    begin: Callable[..., Service], folder: Path, token: str, service: Service
) -> None:
    two = begin("--workers", "2", **settings_in(folder))

    tags = {two.request(PATHS[0], token)[0].getheader("ETag") for _ in range(30)}

    # The same as that of another process, too.
    assert tags == {service.request(PATHS[0], token)[0].getheader("ETag")}


# The end


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_ends_an_idle_service_within_a_second(
    begin: Callable[..., Service], folder: Path, token: str, workers: str
) -> None:
    service = begin("--workers", workers, **settings_in(folder))
    service.request(PATHS[0], token)
    began = monotonic()

    service.process.send_signal(signal.SIGTERM)
    status = service.process.wait(DEADLINE)

    assert status == 0
    assert monotonic() - began < 1


def test_sigterm_ends_it_within_a_second_beside_an_idle_connection(
    begin: Callable[..., Service], folder: Path, token: str
) -> None:
    service = begin(**settings_in(folder))
    connection = service.connect()
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    began = monotonic()

    service.process.send_signal(signal.SIGTERM)
    status = service.process.wait(DEADLINE)

    assert status == 0
    assert monotonic() - began < 1
    connection.close()


def test_sigterm_lets_a_running_request_finish(
    begin: Callable[..., Service], tmp_path: Path
) -> None:
    fill_amply(tmp_path / "config.db")
    key = create_api_key(tmp_path / "access.db", "tests")
    service = begin()
    connection = service.connect()
    connection.request("GET", PATHS[0], headers={"Authorization": f"Bearer {key}"})
    response = connection.getresponse()  # the head: most is still to come

    service.process.send_signal(signal.SIGTERM)
    wait_until_closed(service)
    body = response.read()

    assert len(body) == int(response.getheader("Content-Length") or -1) > 10**7
    assert len(_ids(body)) == 250
    connection.close()
    assert service.process.wait(DEADLINE) == 0


def wait_until_closed(service: Service) -> None:
    """Wait until no new connection is answered: the signal has arrived."""
    deadline = monotonic() + DEADLINE
    while monotonic() < deadline:
        try:
            with socket.create_connection((service.host, service.port), 0.2) as probe:
                probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                probe.settimeout(0.2)
                if not probe.recv(1):
                    return
        except OSError:
            return
    raise AssertionError("it still answers")


# What stops the start


def make_garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 1000)


def make_another_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE letters (text)")
    connection.close()


def make_nothing(path: Path) -> None:
    pass


REFUSALS: list[Any] = [
    pytest.param(
        make_nothing,
        {},
        [],
        "{database} does not exist. Name a gateway's database in GOVERNANCE_DATABASE,"
        " or make one with: flask --app app generate",
        id="no database",
    ),
    pytest.param(
        make_garbage,
        {},
        [],
        "{database} is not an SQLite database. Name a gateway's database in"
        " GOVERNANCE_DATABASE, or make one with: flask --app app generate",
        id="not a database",
    ),
    pytest.param(
        make_another_database,
        {},
        [],
        "{database} has no table governance_customers. Name a gateway's database in"
        " GOVERNANCE_DATABASE, or make one with: flask --app app generate",
        id="not a gateway's",
    ),
    pytest.param(
        Gateway,
        {"GOVERNANCE_AUTH": "off"},
        ["--host", "0.0.0.0"],
        "GOVERNANCE_AUTH is 'off', which takes a loopback address; --host is '0.0.0.0'",
        id="auth off",
    ),
    pytest.param(
        Gateway,
        {"GOVERNANCE_JWT_SECRET": "too-short"},
        [],
        "GOVERNANCE_JWT_SECRET holds a secret of 9 bytes; HS256 needs at least 32"
        " (try: openssl rand -hex 32)",
        id="a weak secret",
    ),
    pytest.param(
        Gateway,
        {"GOVERNANCE_SNAPSHOT_SECONDS": "soon"},
        [],
        "GOVERNANCE_SNAPSHOT_SECONDS is 'soon';"
        " it takes a number of seconds from 0.05 to 86400",
        id="a wrong setting",
    ),
]


def fails(settings: dict[str, str], *options: str) -> tuple[int, str, str]:
    """The exit status and the outputs of a service that does not start."""
    process = start(settings, *options)
    output, log = "", ""
    try:
        output, log = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        end(process)
    return process.returncode, output, log


@pytest.mark.parametrize(("make", "settings", "options", "sentence"), REFUSALS)
def test_what_cannot_be_served_is_one_plain_sentence(
    tmp_path: Path,
    make: Callable[[Path], Any],
    settings: dict[str, str],
    options: list[str],
    sentence: str,
) -> None:
    database = tmp_path / "config.db"
    make(database)

    outcome = fails({**settings_in(tmp_path), **settings}, "--port", "0", *options)

    assert outcome == (1, "", f"Error: {sentence.format(database=database)}\n")


def test_a_weak_secret_file_is_named_at_the_start(tmp_path: Path) -> None:
    Gateway(tmp_path / "config.db")
    (tmp_path / "jwt-secret").write_text("too-short\n")

    status, output, log = fails(settings_in(tmp_path), "--port", "0")

    assert (status, output) == (1, "")
    assert log == (
        f"Error: GOVERNANCE_JWT_SECRET_FILE {tmp_path / 'jwt-secret'} holds a secret of"
        " 9 bytes; HS256 needs at least 32 (try: openssl rand -hex 32)\n"
    )


def test_a_port_in_use_is_named(service: Service, folder: Path) -> None:
    status, output, log = fails(settings_in(folder), "--port", str(service.port))

    assert (status, output) == (1, "")
    assert log == (
        f"Error: cannot listen on 127.0.0.1, port {service.port}:"
        " Address already in use; choose another with --port\n"
    )


def test_authentication_that_is_off_is_reported_at_the_start(
    begin: Callable[..., Service], folder: Path
) -> None:
    service = begin(**settings_in(folder), GOVERNANCE_AUTH="off")

    response, _ = service.request(PATHS[1])

    assert response.status == 200
    assert "GOVERNANCE_AUTH is off" in service.end()[1]
