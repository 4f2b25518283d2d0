"""`serve --control` and `serve --faults`, as processes."""

import http.client
import json
import socket
import time
from pathlib import Path

import pytest
from service import DEADLINE, PATHS, Service, first_line, settings_in, start

from callers.api_keys import create_api_key
from settings import SETTINGS
from transfer.loading import load_document


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Settings of somebody who has a database and keys already."""
    settings = {**settings_in(tmp_path / "own"), "TMPDIR": str(tmp_path / "private")}
    (tmp_path / "private").mkdir()
    load_document(
        {"teams": [{"name": "Own"}]}, "data", Path(settings["GOVERNANCE_DATABASE"])
    )
    return settings


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*")}


def test_control_leaves_everything_alone_that_is_configured(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    key = create_api_key(Path(settings["GOVERNANCE_ACCESS_DATABASE"]), "own")
    before = files(tmp_path / "own")
    service = Service(settings, "--control")
    try:
        control = service.ready["control_token"]
        lists = [service.request(path, service.ready["api_key"])[1] for path in PATHS]
        refused, _ = service.request(PATHS[0], key)
        made, token = service.request("/_control/tokens", control, "POST")
        (private,) = (tmp_path / "private").iterdir()
        mode = private.stat().st_mode & 0o777
    finally:
        output, log = service.end()

    assert [json.loads(each)["count"] for each in lists] == [0, 0]
    assert (refused.status, made.status) == (401, 201)
    assert files(tmp_path / "own") == before
    assert mode == 0o700
    assert list((tmp_path / "private").iterdir()) == []
    secrets = (control, service.ready["api_key"], json.loads(token)["token"])
    assert not [secret for secret in secrets if secret in output + log]


def test_several_workers_cannot_be_controlled(settings: dict[str, str]) -> None:
    process = start(settings, "--control", "--workers", "2")
    _, told = process.communicate(timeout=DEADLINE)

    assert process.returncode == 1
    sentence = "Error: --control takes one worker: what it changes is kept in one"
    assert sentence in told


def test_faults_by_header_work_with_several_workers(settings: dict[str, str]) -> None:
    service = Service(settings, "--faults", "--workers", "2")
    try:
        connection = service.connect()
        connection.request("GET", "/healthz", headers={"Prefer": "code=503"})
        failed = connection.getresponse()
        failed.read()
        connection.close()
        hidden, _ = service.request("/_control/faults", "x")
    finally:
        service.end()

    assert (failed.status, failed.headers["Preference-Applied"]) == (503, "code=503")
    assert hidden.status == 404
    assert "control_token" not in service.ready


def test_a_service_on_a_unix_socket_is_controlled(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    process = start(settings, "--control", "--unix", str(tmp_path / "socket"))
    try:
        ready = json.loads(first_line(process).removeprefix("ready "))
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(tmp_path / "socket"))
        headers = {"Authorization": f"Bearer {ready['control_token']}"}
        document = json.dumps({"teams": [{"name": "Red"}]})
        connection.request("PUT", "/_control/data", document, headers)
        response = connection.getresponse()
        told = json.loads(response.read())
        connection.close()
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)

    assert (response.status, told["added"]) == (200, 1)


def test_the_ready_file_has_the_control_token_for_its_owner_only(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    file = tmp_path / "ready.json"
    service = Service(settings, "--control", "--ready-file", str(file))
    try:
        told = json.loads(file.read_bytes())
        mode = file.stat().st_mode & 0o777
    finally:
        service.end()

    assert told == service.ready
    assert mode == 0o600


def test_a_stop_does_not_wait_for_delayed_answers(settings: dict[str, str]) -> None:
    service = Service(settings, "--faults")
    idle, delayed = service.connect(), service.connect()
    idle.request("GET", "/healthz")
    idle.getresponse().read()
    delayed.request("GET", "/healthz", headers={"Prefer": "wait=600"})

    began = time.monotonic()
    service.process.terminate()
    service.process.wait(DEADLINE)

    assert time.monotonic() - began < float(SETTINGS["shutdown_seconds"].default) / 2
    assert service.process.returncode == 0
    idle.close()
    delayed.close()
    service.end()
