"""Serving on a Unix socket: who may connect, and what may already be at its path."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway import Gateway, fill
from service import DEADLINE, PATHS, Service, settings_in, start

from callers.api_keys import create_api_key

Begin = Callable[..., Service]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(Gateway(tmp_path / "config.db"))
    return tmp_path / "lists.sock"


@pytest.fixture
def begin(tmp_path: Path, path: Path) -> Iterator[Begin]:
    begun: list[Service] = []

    def begin(*options: str, **settings: str) -> Service:
        given = ("--unix", str(path), *options)
        begun.append(Service({**settings_in(tmp_path), **settings}, *given))
        return begun[-1]

    yield begin
    for service in begun:
        service.end()


def refused(settings: dict[str, str], *options: str) -> tuple[int, str]:
    process = start(settings, *options)
    _, log = process.communicate(timeout=DEADLINE)
    return process.returncode, log


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_answers_on_a_socket_that_only_this_user_may_use(
    begin: Begin, path: Path, tmp_path: Path, workers: str
) -> None:
    key = create_api_key(tmp_path / "access.db", "tests")

    service = begin("--workers", workers)
    response, body = service.request(PATHS[0], key)

    assert service.ready["url"] == f"unix:{path}"
    assert (response.status, json.loads(body)["count"]) == (200, 4)
    assert path.stat().st_mode & 0o777 == 0o600
    service.end()
    assert not path.exists()


def test_authentication_may_be_off_there(begin: Begin) -> None:
    service = begin(GOVERNANCE_AUTH="off")

    assert service.request(PATHS[1])[0].status == 200


def test_a_socket_on_which_nobody_listens_is_replaced(begin: Begin, path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()

    assert begin().request("/healthz")[0].status == 200


def test_a_socket_on_which_somebody_listens_is_left_alone(
    begin: Begin, path: Path, tmp_path: Path
) -> None:
    first = begin()

    status, log = refused(settings_in(tmp_path), "--unix", str(path))

    assert status == 1
    assert log == (
        f"Error: cannot listen on {path}: another process listens there;"
        " choose another with --unix\n"
    )
    assert first.request("/healthz")[0].status == 200


def test_a_file_is_not_replaced_by_a_socket(path: Path, tmp_path: Path) -> None:
    path.write_text("mine")

    status, log = refused(settings_in(tmp_path), "--unix", str(path))

    assert status == 1
    assert f"cannot listen on {path}: it is a file, not a socket;" in log
    assert path.read_text() == "mine"


def test_a_path_that_is_too_long_is_one_plain_sentence(
    path: Path, tmp_path: Path
) -> None:
    status, log = refused(settings_in(tmp_path), "--unix", f"{path}{'x' * 100}")

    assert status == 1
    assert log.endswith("107 bytes at most; choose a shorter one with --unix\n")


@pytest.mark.parametrize("other", [["--host", "127.0.0.1"], ["--port", "0"]])
def test_a_socket_and_an_address_exclude_each_other(
    path: Path, tmp_path: Path, other: list[str]
) -> None:
    status, log = refused(settings_in(tmp_path), "--unix", str(path), *other)

    assert status == 2
    assert "--unix and --host or --port exclude each other" in log
    assert not path.exists()


def test_it_is_named_from_the_current_folder(begin: Begin, path: Path) -> None:
    relative = os.path.relpath(path, Path(__file__).parents[2])

    assert begin("--unix", relative).ready["url"] == f"unix:{path}"
