"""The wiring of the commands that load and show data: statuses, outputs, files."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Run, run_in
from flask import Flask
from gateway import Gateway, fill

from callers.api_keys import ApiKeyReader, list_api_keys, revoke_api_key
from commands import demo as commands
from web.serving import listening, server

ROOT = Path(__file__).parents[2]
TEAM = {"id": "t", "name": "Team"}


@pytest.fixture
def run(app: Flask) -> Run:
    """run("load", "file.json"): a command as the `flask` program runs it."""
    return lambda *args: run_in(app, *args)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"governance": {"teams": [TEAM]}}))
    return path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls of `serve`, which reports that it is ready and does not listen."""
    calls: list[Any] = []

    def serve(
        app: Flask, place: tuple[str, int], workers: int, ready: Any, *, wait: bool
    ) -> int:
        host, port = place
        calls.append((host, port, workers))
        ready({"url": f"http://{host}:{port}", "pid": 1, "teams": 2})
        return 0

    monkeypatch.setattr(listening, "listen", lambda *place: place)
    monkeypatch.setattr(server, "serve", serve)
    monkeypatch.setattr(server, "end_process", sys.exit)
    return calls


# flask load


def test_load_says_what_it_did(run: Run, config: Path, tmp_path: Path) -> None:
    result = run("load", config)

    assert result.exit_code == 0
    assert result.output == (
        f"loaded into {tmp_path}/config.db: rows 1 added, 0 changed, 0 removed\n"
    )


def test_load_takes_several_files(run: Run, config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"governance": {"customers": [{"id": "c", "name": "C"}]}}')

    result = run("load", config, other)

    assert "rows 2 added" in result.output


def test_load_replaces_when_asked_to(run: Run, config: Path, tmp_path: Path) -> None:
    run("load", config)
    config.write_text("{}")

    kept, replaced = run("load", config), run("load", config, "--replace")

    assert "0 added, 0 changed, 0 removed" in kept.output
    assert "0 added, 0 changed, 1 removed" in replaced.output


def test_load_prints_each_problem_on_a_line_and_fails(
    run: Run, config: Path, tmp_path: Path
) -> None:
    teams = [{"id": "u", "customer_id": "cust-9", "profile": []}]
    teams += [TEAM, {**TEAM, "name": "Other"}]
    config.write_text(json.dumps({"governance": {"teams": teams}}))

    result = run("load", config)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert sorted(result.stderr.splitlines()) == sorted(
        [
            f"{config}: governance.teams[0].profile: must be an object",
            f'{config}: governance.teams[2].id: "t" is also at'
            f" {config}: governance.teams[1]",
            f'{config}: governance.teams[0].customer_id: no customer "cust-9"',
            "Error: nothing was loaded: 3 found wrong",
        ]
    )


def test_load_refuses_a_gateways_database(
    run: Run, config: Path, tmp_path: Path
) -> None:
    fill(Gateway(tmp_path / "config.db"))

    result = run("load", config)

    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {tmp_path}/config.db was not made by this service: a gateway's"
        " database is never written. Name another file in GOVERNANCE_DATABASE to load"
        " into.\n"
    )


def test_load_without_a_file_is_a_usage_error(run: Run) -> None:
    result = run("load")

    assert result.exit_code == 2
    assert "Missing argument 'FILES...'" in result.stderr


def test_load_of_a_missing_file_names_it(run: Run, tmp_path: Path) -> None:
    result = run("load", tmp_path / "none.json")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"{tmp_path}/none.json: cannot be read: ")


@pytest.mark.parametrize("command", ["load", "api-key create"])
def test_a_database_that_is_a_directory_is_one_plain_sentence(
    run: Run, config: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "config.db").mkdir()
    (tmp_path / "access.db").mkdir()

    result = run(*command.split(), config)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    "command", ["api-key create name", "api-key revoke name", "api-key list", "demo"]
)
def test_an_access_database_that_is_none_is_one_plain_sentence(
    run: Run, served: list[Any], tmp_path: Path, command: str
) -> None:
    (tmp_path / "access.db").write_bytes(b"garbage " * 1000)

    result = run(*command.split())

    assert (result.exit_code, served) == (1, [])
    assert result.stderr.startswith("Error: ")


# flask serve


def test_serve_passes_its_options_on(run: Run, served: list[Any]) -> None:
    result = run("serve", "--host", "127.0.0.2", "--port", "9000", "--workers", "3")

    assert served == [("127.0.0.2", 9000, 3)]
    assert result.exit_code == 0


def test_serve_listens_on_the_documented_defaults(run: Run, served: list[Any]) -> None:
    run("serve")

    assert served == [("127.0.0.1", 8080, 1)]


def test_serve_prints_the_ready_line_alone(run: Run, served: list[Any]) -> None:
    result = run("serve")

    name, _, state = result.stdout.partition(" ")
    assert name == "ready"
    assert json.loads(state) == {"url": "http://127.0.0.1:8080", "pid": 1, "teams": 2}


@pytest.mark.parametrize(
    ("option", "value"),
    [("--port", "70000"), ("--port", "-1"), ("--port", "http"), ("--workers", "0")],
)
def test_serve_refuses_an_option_of_the_wrong_kind(
    run: Run, served: list[Any], option: str, value: str
) -> None:
    result = run("serve", option, value)

    assert (result.exit_code, served) == (2, [])
    assert f"Invalid value for '{option}'" in result.stderr


def test_what_cannot_be_served_ends_with_a_sentence(
    run: Run, served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(*args: Any, **options: Any) -> None:
        raise server.CannotServe("cannot listen on this port")

    monkeypatch.setattr(server, "serve", serve)

    result = run("serve")

    assert result.exit_code == 1
    assert result.stderr == "Error: cannot listen on this port\n"


# flask demo


def test_demo_prints_a_curl_line_for_each_list(
    run: Run, served: list[Any], gateway: Gateway, tmp_path: Path
) -> None:
    result = run("demo", "--port", "9000")

    key = (tmp_path / "demo-api-key").read_text().strip()
    ready, *curls = result.stdout.splitlines()
    assert ready.startswith("ready {")
    assert curls == [
        f"curl -H 'Authorization: Bearer {key}'"
        f" 'http://127.0.0.1:9000/api/governance/{name}'"
        for name in ("teams", "customers")
    ]


def test_a_further_demo_prints_the_same_lines(
    run: Run, served: list[Any], gateway: Gateway
) -> None:
    first, second = run("demo"), run("demo")

    assert second.stdout == first.stdout


def test_the_demos_curl_lines_work(
    run: Run, served: list[Any], gateway: Gateway, app: Flask
) -> None:
    gateway.team("t")
    curl = run("demo").stdout.splitlines()[1]

    header, address = curl.split("'")[1], curl.split("'")[3]
    name, _, value = header.partition(": ")
    answer = app.test_client().get(address, headers={name: value})

    assert answer.status_code == 200
    assert answer.json["count"] == 1


@pytest.fixture
def demo_app(
    make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Flask:
    """An application with the default database's place, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return make_app(GOVERNANCE_DATABASE="data/governance.db")


def test_demo_loads_its_data_where_there_is_no_database(
    demo_app: Flask, served: list[Any], tmp_path: Path, api_key: str
) -> None:
    result = run_in(demo_app, "demo")

    assert result.exit_code == 0
    headers = {"Authorization": f"Bearer {api_key}"}
    answer = demo_app.test_client().get("/api/governance/customers", headers=headers)
    assert answer.json["count"] == 3


def test_demo_leaves_a_database_that_is_there(
    demo_app: Flask, served: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    fill(Gateway(tmp_path / "data" / "governance.db"))
    before = (tmp_path / "data" / "governance.db").read_bytes()

    run_in(demo_app, "demo")

    assert (tmp_path / "data" / "governance.db").read_bytes() == before


def test_demo_makes_no_database_that_a_setting_names(
    run: Run, served: list[Any], tmp_path: Path
) -> None:
    run("demo")

    assert not (tmp_path / "config.db").exists()


# The demo's key


def works(path: Path, key: str) -> bool:
    reader = ApiKeyReader(path)
    try:
        row = reader.find(key)
    finally:
        reader.close()
    return row is not None and not row.revoked_at


def test_the_demos_key_works_and_only_its_owner_can_read_it(
    app: Flask, tmp_path: Path
) -> None:
    key = commands.demo_key(app.extensions["settings"])

    file = tmp_path / "demo-api-key"
    assert works(tmp_path / "access.db", key)
    assert (file.read_text(), file.stat().st_mode & 0o777) == (f"{key}\n", 0o600)


def test_the_demos_key_is_used_again(app: Flask, tmp_path: Path) -> None:
    first = commands.demo_key(app.extensions["settings"])

    second = commands.demo_key(app.extensions["settings"])

    assert second == first
    assert len(list_api_keys(tmp_path / "access.db")) == 1


@pytest.mark.parametrize("loss", ["revoked", "file", "access database", "other text"])
def test_a_demo_key_that_is_lost_is_made_anew(
    app: Flask, tmp_path: Path, loss: str
) -> None:
    file, access = tmp_path / "demo-api-key", tmp_path / "access.db"
    first = commands.demo_key(app.extensions["settings"])
    if loss == "revoked":
        revoke_api_key(access, commands.DEMO_KEY)
    elif loss == "file":
        file.unlink()
    elif loss == "access database":
        access.unlink()
    else:
        file.write_text("bfst-of-somebody-else\n")

    second = commands.demo_key(app.extensions["settings"])

    assert second != first
    assert works(access, second)
    assert file.read_text() == f"{second}\n"


def test_a_new_demo_key_revokes_the_one_that_cannot_be_shown(
    app: Flask, tmp_path: Path
) -> None:
    first = commands.demo_key(app.extensions["settings"])
    (tmp_path / "demo-api-key").unlink()

    commands.demo_key(app.extensions["settings"])

    assert not works(tmp_path / "access.db", first)


# make


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({}, "flask --app app demo --port 8080"),
        ({"PORT": "9000"}, "flask --app app demo --port 9000"),
    ],
)
def test_make_run_serves_the_demo_on_the_given_port(
    environment: dict[str, str], command: str
) -> None:
    ours = {n: v for n, v in os.environ.items() if n != "PORT" and "MAKE" not in n}

    printed = subprocess.run(
        ["make", "--dry-run", "run"],
        cwd=ROOT,
        env={**ours, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert printed.splitlines()[-1].endswith(command)
