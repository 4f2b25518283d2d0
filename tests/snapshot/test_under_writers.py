"""Answers while others write: never half of a commit, never older than the last one."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from time import monotonic
from typing import Any

import pytest
from flask import Flask
from gateway import Gateway

REQUESTS = 60
PAUSE = 0.003  # seconds between commits, so that a test is no race for the lock
TOTAL = 100  # what the two budgets' usage sums to, after every commit
LIMIT = 10  # seconds a writer waits for the file


class Writer:
    """A thread that moves usage from one budget to the other, commit after commit.

    A team, its key and both budgets tell the number of the commit they are of.
    """

    def __init__(self, gateway: Gateway, journal: str) -> None:
        self.path = gateway.path
        self.committed = 0
        self.problem: Exception | None = None
        self.started = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {journal}")

    def start(self) -> None:
        self._thread.start()
        assert self.started.wait(LIMIT)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(LIMIT)

    def _run(self) -> None:
        try:
            with closing(sqlite3.connect(self.path, timeout=LIMIT)) as connection:
                connection.isolation_level = None
                connection.execute("PRAGMA synchronous = OFF")
                while not self._stop.wait(PAUSE):
                    self._commit(connection, self.committed + 1)
                    self.committed += 1
                    self.started.set()
        except Exception as problem:
            self.problem = problem

    def _commit(self, connection: sqlite3.Connection, number: int) -> None:
        used = number % (TOTAL + 1)
        connection.execute("BEGIN IMMEDIATE")
        for budget, usage in (("first", used), ("second", TOTAL - used)):
            connection.execute(
                "UPDATE governance_budgets SET current_usage = ?, config_hash = ?"
                " WHERE id = ?",
                (usage, str(number), budget),
            )
        for table in ("governance_teams", "governance_virtual_keys"):
            connection.execute(f"UPDATE {table} SET config_hash = ?", (str(number),))
        connection.execute("COMMIT")


@pytest.fixture(params=["delete", "wal"])
def writer(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[Writer]:
    """A writer to a rollback database, then one to a WAL database."""
    gateway.customer("c")
    gateway.team("t", "c", config_hash="0")
    gateway.virtual_key("v", team_id="t", config_hash="0")
    gateway.budget("first", "team_id", "t", current_usage=0, config_hash="0")
    gateway.budget("second", "virtual_key_id", "v", current_usage=100, config_hash="0")
    writer = Writer(gateway, request.param)
    yield writer
    writer.stop()
    assert writer.problem is None


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An application whose memory follows quickly."""
    return make_app(GOVERNANCE_SNAPSHOT_SECONDS="0.05")


def commits_in(team: Any) -> set[int]:
    """The numbers of the commits that the parts of an answered team are of."""
    (key,) = team["virtual_keys"]
    parts = (team, key, team["budget"], key["budgets"][0])
    return {int(part["config_hash"]) for part in parts}


def usage_in(team: Any) -> int:
    (key,) = team["virtual_keys"]
    return int(team["budget"]["current_usage"] + key["budgets"][0]["current_usage"])


def team_in(body: Any) -> Any:
    """The one team of either list's answer."""
    (team,) = body["teams"] if "teams" in body else body["customers"][0]["teams"]
    return team


def test_no_answer_shows_half_of_a_commit(
    get: Callable[..., Any], writer: Writer, name: str
) -> None:
    writer.start()

    answers = [get(name, source="database") for _ in range(REQUESTS)]
    answers += [get(name, from_memory="true") for _ in range(REQUESTS)]

    assert {answer.status_code for answer in answers} == {200}
    teams = [team_in(answer.json) for answer in answers]
    assert {usage_in(team) for team in teams} == {TOTAL}
    assert {len(commits_in(team)) for team in teams} == {1}


def test_an_answer_is_never_older_than_the_last_commit_before_it(
    get: Callable[..., Any], writer: Writer
) -> None:
    writer.start()
    behind: list[int] = []
    seen: set[int] = set()
    deadline = monotonic() + 60  # a busy machine gives the writer little time

    while len(behind) < REQUESTS or len(seen) <= 10:
        assert monotonic() < deadline, "the writer did not write"
        committed = writer.committed
        answered = max(commits_in(team_in(get("teams").json)))
        behind.append(committed - answered)
        seen.add(answered)

    assert max(behind) <= 0


def test_an_answer_from_memory_never_goes_back(
    get: Callable[..., Any], writer: Writer
) -> None:
    get("teams")
    writer.start()

    answered = [
        max(commits_in(team_in(get("teams", from_memory="true").json)))
        for _ in range(REQUESTS * 5)
    ]

    assert answered == sorted(answered)


def test_many_readers_at_once_see_whole_and_current_answers(
    app: Flask, api_key: str, writer: Writer
) -> None:
    writer.start()
    behind: list[int] = []
    parts: list[int] = []

    def read() -> None:
        client = app.test_client()
        for _ in range(30):
            committed = writer.committed
            answer = client.get(
                "/api/governance/teams", headers={"Authorization": f"Bearer {api_key}"}
            )
            commits = commits_in(team_in(answer.json))
            parts.append(len(commits))
            behind.append(committed - max(commits))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert (len(parts), set(parts)) == (240, {1})
    assert max(behind) <= 0
