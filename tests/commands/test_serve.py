"""`serve` with files, and with what is private to one run."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway, fill, fill_amply
from postgres_gateway import PostgresGateway
from postgres_server import Server
from service import (
    DEADLINE,
    PATHS,
    Service,
    end,
    first_line,
    settings_in,
    start,
)

from callers.api_keys import create_api_key

TEAMS, CUSTOMERS = PATHS
KEY = "sk-bf-of-the-tests"
RED = {"teams": [{"id": "red", "name": "Red", "virtual_keys": [{"value": KEY}]}]}
RED["teams"][0]["virtual_keys"][0]["name"] = "nightly"

Begin = Callable[..., Service]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The place for temporary files of the services of a test."""
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.fixture
def settings(tmp_path: Path, temporary: Path) -> dict[str, str]:
    return {**settings_in(tmp_path), "TMPDIR": str(temporary)}


@pytest.fixture
def begin(settings: dict[str, str]) -> Iterator[Begin]:
    """Starts services of a test's own; ends them after."""
    begun: list[Service] = []

    def begin(*options: Any, **more: str) -> Service:
        begun.append(Service({**settings, **more}, *map(str, options)))
        return begun[-1]

    yield begin
    for service in begun:
        service.end()


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A file with one team, and a virtual key of it."""
    path = tmp_path / "red.json"
    path.write_text(json.dumps(RED))
    return path


def teams(service: Service, token: str = KEY) -> list[str]:
    response, body = service.request(TEAMS, token)
    assert response.status == 200, body
    return [team["id"] for team in json.loads(body)["teams"]]


def refused(settings: dict[str, str], *options: Any) -> str:
    """The output of a service that does not start."""
    process = start(settings, *map(str, options))
    output, log = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (1, "")
    return log


# Files


def test_a_file_is_served_from_a_private_database(
    begin: Begin, red: Path, temporary: Path, tmp_path: Path
) -> None:
    service = begin(red)

    assert teams(service) == ["red"]
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "config.db").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_private_database_is_gone_at_the_end(
    begin: Begin, red: Path, temporary: Path, number: int, workers: str
) -> None:
    service = begin(red, "--workers", workers)

    service.process.send_signal(number)

    assert service.process.wait(DEADLINE) == 0
    assert list(temporary.iterdir()) == []


def test_a_closed_terminal_does_not_end_it_under_nohup(
    settings: dict[str, str], red: Path
) -> None:
    process = start(settings, "--port", "0", str(red), prefix=["nohup"])
    service = Service.of(process)

    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)

    assert teams(service) == ["red"]
    service.end()


def test_several_files_are_served_together(
    begin: Begin, red: Path, tmp_path: Path
) -> None:
    database = Gateway(tmp_path / "other.db")
    database.team("blue")

    service = begin(red, database.path, "--print-key")

    assert teams(service, service.ready["api_key"]) == ["blue", "red"]


def test_standard_input_is_served(settings: dict[str, str]) -> None:
    process = start(settings, "--port", "0", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps(RED))
    process.stdin.close()
    process.stdin = None
    service = Service.of(process)

    assert teams(service) == ["red"]
    service.end()


def test_a_gateways_database_is_served_where_it_is(
    begin: Begin, tmp_path: Path, temporary: Path
) -> None:
    key = create_api_key(tmp_path / "access.db", "mine")
    database = Gateway(tmp_path / "another.db")
    fill(database)

    service = begin(database.path, GOVERNANCE_DATABASE=str(tmp_path / "none.db"))
    before = teams(service, key)
    database.team("new")

    assert set(teams(service, key)) - set(before) == {"new"}
    assert list(temporary.iterdir()) == []


def test_a_database_is_named_from_the_current_folder(
    begin: Begin, tmp_path: Path
) -> None:
    database = Gateway(tmp_path / "another.db")

    service = begin(os.path.relpath(database.path, Path(__file__).parents[2]))

    assert service.ready["teams"] == 0


def test_a_postgresql_database_is_served_where_it_is(
    begin: Begin, server: Server
) -> None:
    gateway = PostgresGateway(server, "serve_in_place")
    gateway.team("t")

    service = begin(gateway.address, "--print-key")
    gateway.team("u")

    assert teams(service, service.ready["api_key"]) == ["t", "u"]


def test_what_is_wrong_with_a_file_is_said_and_nothing_is_left(
    settings: dict[str, str], red: Path, temporary: Path
) -> None:
    red.write_text('{"teams": [{"id": "red", "customer_id": "cust-9"}]}')

    log = refused(settings, red)

    assert f'{red}: teams[0].customer_id: no customer "cust-9"' in log
    assert log.splitlines()[-1].startswith("Error: nothing was loaded: ")
    assert list(temporary.iterdir()) == []


def test_a_file_that_is_not_there_is_named(
    settings: dict[str, str], tmp_path: Path
) -> None:
    log = refused(settings, tmp_path / "none.json")

    assert log.startswith(f"{tmp_path}/none.json: cannot be read: No such file")


def test_a_misspelt_setting_is_named_once(begin: Begin, red: Path) -> None:
    service = begin(red, GOVERNANCE_DATABSE="x")

    assert service.end()[1].count("GOVERNANCE_DATABSE is no setting") == 1


# Ended in other ways


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_files_are_loaded_leaves_nothing(
    settings: dict[str, str], temporary: Path, tmp_path: Path, number: int
) -> None:
    os.mkfifo(tmp_path / "pipe")  # which it waits for
    process = start(settings, str(tmp_path / "pipe"))
    wait_until(lambda: any(temporary.iterdir()))
    time.sleep(0.1)

    process.send_signal(number)

    assert process.wait(DEADLINE) == -number
    assert list(temporary.iterdir()) == []
    end(process)


def test_what_a_killed_run_left_is_removed_by_a_later_one(
    begin: Begin, red: Path, temporary: Path
) -> None:
    killed = begin(red)
    killed.process.kill()
    killed.process.wait(DEADLINE)
    (left,) = temporary.iterdir()
    make_old(left)

    begin(red)

    assert not left.exists()
    assert len(list(temporary.iterdir())) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_folder_of_a_run_that_goes_on_is_left_alone(
    begin: Begin, red: Path, temporary: Path, workers: str
) -> None:
    first = begin(red, "--workers", workers)
    (folder,) = temporary.iterdir()
    make_old(folder)

    begin(red)

    assert teams(first) == ["red"]
    assert folder.exists()


def make_old(folder: Path) -> None:
    hour = 3600
    os.utime(folder, (time.time() - hour, time.time() - hour))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# The key of a run


def test_the_printed_key_works_and_is_of_this_run_only(
    begin: Begin, red: Path, tmp_path: Path, temporary: Path
) -> None:
    mine = create_api_key(tmp_path / "access.db", "mine")
    before = (tmp_path / "access.db").read_bytes()

    service = begin(red, "--print-key")
    key = service.ready["api_key"]

    assert teams(service, key) == ["red"]
    assert service.request(CUSTOMERS, key)[0].status == 200
    assert service.request(CUSTOMERS, mine)[0].status == 401
    assert key not in service.end()[1]
    assert (tmp_path / "access.db").read_bytes() == before
    assert list(temporary.iterdir()) == []


def test_a_key_is_printed_for_what_is_configured_too(
    begin: Begin, tmp_path: Path
) -> None:
    fill(Gateway(tmp_path / "config.db"))

    service = begin("--print-key")

    assert len(teams(service, service.ready["api_key"])) == 4
    assert not (tmp_path / "access.db").exists()


def test_no_key_is_printed_unless_asked_for(begin: Begin, red: Path) -> None:
    assert "api_key" not in begin(red).ready


# The ready file


def test_the_ready_file_says_what_the_ready_line_says(
    begin: Begin, red: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ready.json"

    service = begin(red, "--ready-file", file, "--print-key")

    assert json.loads(file.read_text()) == service.ready
    assert file.stat().st_mode & 0o777 == 0o600
    service.end()
    assert not file.exists()


def test_an_earlier_runs_ready_file_is_gone_before_it_is_ready(
    settings: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "ready.json"
    file.write_text("{}")

    process = start(settings, "--wait", "--port", "0", "--ready-file", str(file))

    wait_until(lambda: not file.exists())
    end(process)


def test_a_ready_file_that_cannot_be_is_refused_at_once(
    settings: dict[str, str], tmp_path: Path, red: Path
) -> None:
    missing = tmp_path / "none" / "ready.json"

    assert refused(settings, red, "--ready-file", missing) == (
        f"Error: --ready-file {missing}: there is no such folder\n"
    )
    assert refused(settings, red, "--ready-file", "/dev/null") == (
        "Error: --ready-file /dev/null: it is not a file\n"
    )


# With the parent


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_when_its_parent_is_killed(
    settings: dict[str, str], red: Path, tmp_path: Path, workers: str
) -> None:
    file = tmp_path / "ready.json"
    options = ["--port", "0", "--exit-with-parent", "--workers", workers]
    parent = start(settings, *options, "--ready-file", str(file), str(red), child=True)
    wait_until(file.exists)

    parent.kill()

    # Its output ends, since nobody has it any more, and what it made is gone.
    parent.communicate(timeout=DEADLINE)
    wait_until(lambda: not file.exists())
    assert list(Path(settings["TMPDIR"]).iterdir()) == []


def test_it_goes_on_without_its_parent_by_default(
    settings: dict[str, str], red: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ready.json"
    options = ["--port", "0", "--ready-file", str(file), str(red)]
    parent = start(settings, *options, child=True)
    wait_until(file.exists)

    parent.kill()
    parent.wait(DEADLINE)
    time.sleep(0.3)

    pid = json.loads(file.read_text())["pid"]
    os.kill(pid, signal.SIGTERM)  # which raises if it is gone
    wait_until(lambda: not file.exists())
    parent.communicate(timeout=DEADLINE)


# Waiting


def waiting(settings: dict[str, str], *options: str) -> "tuple[Any, Path]":
    """A process that waits for a database, and its socket, on which it answers."""
    path = Path(settings["TMPDIR"]) / "s"
    process = start(settings, "--wait", "--unix", str(path), *options)
    wait_until(lambda: path.exists() and not refuses(path))
    return process, path


def appear(path: Path) -> None:
    """Make a filled database, which is there at once as a whole."""
    database = Gateway(path.with_name("made.db"))
    fill(database)
    database.path.rename(path)


def ask(path: Path, route: str, token: str | None = None) -> tuple[int, Any]:
    service = Service.__new__(Service)
    service.host, service.port, service.unix = "localhost", 0, str(path)
    response, body = service.request(route, token)
    return response.status, json.loads(body)


def test_it_answers_while_it_waits_for_a_database(
    settings: dict[str, str], tmp_path: Path
) -> None:
    key = create_api_key(tmp_path / "access.db", "mine")
    process, path = waiting(settings)

    assert ask(path, "/healthz")[0] == 200
    status, state = ask(path, "/readyz")
    assert (status, state["ready"]) == (503, False)
    assert "does not exist" in state["database"]["reason"]
    for route in (TEAMS, f"{TEAMS}?from_memory=true", CUSTOMERS):
        status, error = ask(path, route, key)
        assert (status, error["error"]["code"]) == (503, "database_unavailable")

    appear(tmp_path / "config.db")
    line = first_line(process)

    assert json.loads(line.removeprefix("ready "))["teams"] == 4
    assert ask(path, "/readyz")[0] == 200
    assert ask(path, TEAMS, key)[1]["count"] == 4
    end(process)


@pytest.mark.parametrize("before", [None, b""], ids=["nothing", "an empty file"])
def test_it_waits_for_a_database_that_is_named(
    settings: dict[str, str], tmp_path: Path, before: bytes | None
) -> None:
    database = tmp_path / "later.db"
    if before is not None:
        database.write_bytes(before)
    # The next look of the background check would come too late.
    settings["GOVERNANCE_SNAPSHOT_SECONDS"] = str(4 * DEADLINE)
    process, path = waiting(settings, str(database))
    assert ask(path, "/readyz")[0] == 503

    appear(database)

    assert first_line(process).startswith("ready ")
    end(process)


def test_it_ends_while_it_waits(settings: dict[str, str]) -> None:
    process, _ = waiting(settings)

    process.terminate()

    assert process.wait(DEADLINE) == 0
    assert end(process)[0] == ""


def test_a_key_that_is_not_the_databases_ends_the_waiting(
    settings: dict[str, str], tmp_path: Path
) -> None:
    process, _ = waiting({**settings, "GOVERNANCE_ENCRYPTION_KEY": "another"})

    database = Gateway(tmp_path / "another.db")
    database.team("t")
    database.virtual_key("k", team_id="t", value="AAAA", encryption_status="encrypted")
    database.path.rename(tmp_path / "config.db")

    # Making a key of a passphrase takes its time.
    assert process.wait(3 * DEADLINE) == 1
    output, log = end(process)
    assert output == ""
    assert "GOVERNANCE_ENCRYPTION_KEY opens none of them" in log


def test_another_worker_says_that_it_is_ready_where_the_first_dies(
    settings: dict[str, str], tmp_path: Path
) -> None:
    process, path = waiting(settings, "--workers", "2")
    wait_until(lambda: len(children(process.pid)) == 2)
    for pid in children(process.pid):
        os.kill(pid, signal.SIGKILL)

    appear(tmp_path / "config.db")

    assert first_line(process).startswith("ready ")
    wait_until(lambda: ask(path, "/readyz")[0] == 200)  # the other worker, too
    assert end(process)[0] == ""


def children(pid: int) -> list[int]:
    return [
        int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


# One after the other


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_run_that_is_ending_leaves_the_next_ones_files(
    settings: dict[str, str], tmp_path: Path, workers: str
) -> None:
    """While it still sends an answer, new clients are refused, and may ask the next."""
    fill_amply(tmp_path / "config.db")
    path, file = tmp_path / "s", tmp_path / "ready.json"
    options = ["--unix", str(path), "--ready-file", str(file), "--workers", workers]
    first = Service(settings, *options, "--print-key")
    connection = first.connect()
    key = {"Authorization": f"Bearer {first.ready['api_key']}"}
    connection.request("GET", TEAMS, headers=key)
    response = connection.getresponse()  # the head: most is still to come
    first.process.terminate()
    wait_until(lambda: refuses(path))

    second = Service(settings, *options)
    body = response.read()
    connection.close()

    assert len(body) == int(response.getheader("Content-Length") or -1)
    assert first.process.wait(DEADLINE) == 0
    assert json.loads(file.read_text())["pid"] == second.process.pid
    assert second.request("/healthz")[0].status == 200
    second.end()
    assert not path.exists()
    assert not file.exists()
    first.end()


def refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False
