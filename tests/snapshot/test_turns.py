"""Requests at the same time: what they share, and whom they do not wait for."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from flask import Flask
from gateway import Gateway

from callers.api_keys import ApiKeyReader, create_api_key, revoke_api_key
from snapshot import gzip_parts as compression
from store.failures import DatabaseUnavailable
from store.shared_look import SharedLook
from store.sqlite import Reader

TEAMS = "/api/governance/teams"
DEADLINE = 10  # seconds until a test gives up; none waits that long when all is well
READERS = 6


class Gate:
    """Stands in for a method: holds who comes until it is opened, and counts them."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        self.count = 0
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        self.count += 1
        self.reached.set()
        assert self.open.wait(DEADLINE)
        return self.method(*arguments)


class Asking:
    """Requests in threads of their own, and the statuses that they got."""

    def __init__(self, app: Flask, api_key: str) -> None:
        self.app = app
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.threads: list[threading.Thread] = []
        self.statuses: list[int] = []

    def ask(self, path: str, **headers: str) -> threading.Thread:
        thread = threading.Thread(target=self._ask, args=(path, headers))
        thread.start()
        self.threads.append(thread)
        return thread

    def _ask(self, path: str, headers: dict[str, str]) -> None:
        client = self.app.test_client()
        response = client.get(path, headers={**self.headers, **headers})
        assert response.data
        self.statuses.append(response.status_code)

    def join(self) -> list[int]:
        for thread in self.threads:
            thread.join(DEADLINE)
        return self.statuses


@pytest.fixture
def asking(
    filled: Gateway, app: Flask, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> Asking:
    """Of a service that has answered once; only requests look at its files."""
    monkeypatch.setattr(app.extensions["keeper"], "start", lambda: None)
    monkeypatch.setattr(Reader, "settled", lambda reader: None)
    asking = Asking(app, api_key)
    asking.ask(TEAMS).join()
    asking.statuses.clear()
    return asking


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, str], Gate]]:
    """gate(thing, name) puts a gate in the place of a method or function."""
    gates = []

    def put(thing: Any, name: str) -> Gate:
        gate = Gate(getattr(thing, name))
        gates.append(gate)
        monkeypatch.setattr(thing, name, lambda *arguments: gate(*arguments))
        return gate

    yield put
    for each in gates:
        each.open.set()


def test_one_look_serves_all_who_waited_meanwhile(
    asking: Asking,
    gate: Callable[[Any, str], Gate],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float | None] = []
    since = SharedLook.since

    def note(look: SharedLook, moment: float | None = None) -> SharedLook:
        asked.append(moment)
        return since(look, moment)

    monkeypatch.setattr(SharedLook, "since", note)
    looks = gate(Reader, "mark")
    for _ in range(READERS):
        asking.ask(TEAMS)
    assert looks.reached.wait(DEADLINE)
    wait_until(lambda: len(asked) == READERS)

    looks.open.set()

    assert asking.join() == [200] * READERS
    # At the API keys for the first who asked and once for all the others; at the
    # database only once: all had asked before that look began.
    assert looks.count == 3


def test_an_answer_from_memory_waits_for_no_snapshot_that_is_taken(
    asking: Asking, filled: Gateway, gate: Callable[[Any, str], Gate]
) -> None:
    taking = gate(Reader, "read")
    filled.team("new")
    asking.ask(TEAMS)
    assert taking.reached.wait(DEADLINE)

    asking.ask(f"{TEAMS}?from_memory=true").join(DEADLINE)

    assert asking.statuses == [200]


def test_nobody_waits_for_what_is_being_compressed(
    asking: Asking, gate: Callable[[Any, str], Gate]
) -> None:
    compressing = gate(compression, "compress")
    asking.ask(TEAMS, **{"Accept-Encoding": "gzip"})
    assert compressing.reached.wait(DEADLINE)

    asking.ask(TEAMS).join(DEADLINE)

    assert asking.statuses == [200]


# API keys


def test_a_look_at_the_api_keys_answers_only_who_asked_before_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "access.db"
    reader, token = ApiKeyReader(path), create_api_key(path, "dashboard")
    before = monotonic()
    reader.find(token)
    revoke_api_key(path, "dashboard")

    shared, own = reader.find(token, before), reader.find(token, monotonic())

    assert shared is not None
    assert own is not None
    assert (shared.revoked_at, bool(own.revoked_at)) == (None, True)
    reader.close()


def test_a_failed_look_at_the_api_keys_fails_for_all_who_asked_before_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "access.db"
    path.write_text("no database, but long enough to be looked at as one")
    reader = ApiKeyReader(path)
    before = monotonic()
    with pytest.raises(DatabaseUnavailable):
        reader.find("bfst-")
    path.unlink()

    with pytest.raises(DatabaseUnavailable):
        reader.find("bfst-", before)

    assert reader.find("bfst-", monotonic()) is None


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < deadline, "what was waited for did not happen"
        threading.Event().wait(0.002)
