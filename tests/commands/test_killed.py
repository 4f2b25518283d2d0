"""Loads that are killed, and loads under a running service: all of it or nothing."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway, fill
from reading import reader_of
from werkzeug.test import TestResponse

from transfer.loading import load_documents, load_files

ROOT = Path(__file__).parents[2]
VIRTUAL_KEYS = 1000  # they take most of a second to load: room to be killed in
DEADLINE = 60

WHEN = "2026-04-01T10:00:00Z"
TIMES = {"created_at": WHEN, "updated_at": WHEN}

Get = Callable[..., TestResponse]


def config(mark: str, virtual_keys: int) -> dict[str, Any]:
    """A config of that many virtual keys, each name with a mark; nothing is made up."""
    team = {"id": "team", "name": f"Team {mark}", **TIMES}
    budget = {"max_limit": 10, "reset_duration": "1d", "last_reset": WHEN, **TIMES}
    keys = [
        {
            **{"id": f"key-{number}", "name": f"Key {number} {mark}", **TIMES},
            **{"value": f"sk-bf-{number}-{mark}", "team_id": "team"},
            "provider_configs": [{"provider": "openai"}],
            "budgets": [{"id": f"budget-{number}", **budget}],
        }
        for number in range(virtual_keys)
    ]
    return {"governance": {"teams": [team], "virtual_keys": keys}}


def start(file: Path, database: Path) -> "subprocess.Popen[bytes]":
    """`flask load FILE`, as from a shell."""
    ours = {n: v for n, v in os.environ.items() if not n.startswith("GOVERNANCE_")}
    settings = {
        "GOVERNANCE_DATABASE": str(database),
        "GOVERNANCE_ACCESS_DATABASE": str(database.with_name("access.db")),
        "GOVERNANCE_JWT_SECRET_FILE": str(database.with_name("jwt-secret")),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "load", str(file)],
        cwd=ROOT,
        env={**ours, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def load(file: Path, database: Path) -> float:
    """Load by the command; the seconds it took."""
    began = time.monotonic()
    process = start(file, database)
    _, wrong = process.communicate(timeout=DEADLINE)
    assert (process.returncode, wrong) == (0, b"")
    return time.monotonic() - began


def kill_when(process: "subprocess.Popen[bytes]", moment: Callable[[], bool]) -> bool:
    """Kill the process at that moment; whether it was still there to be killed."""
    with process:
        while process.poll() is None and not moment():
            time.sleep(0.0002)  # a commit takes longer
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return list(connection.iterdump())


class Loads:
    """An old and a new file of the same virtual keys, and what they come to."""

    def __init__(self, folder: Path) -> None:
        for mark in ("old", "new"):
            file = folder / f"{mark}.json"
            file.write_text(json.dumps(config(mark, VIRTUAL_KEYS)))
            load_files([file], folder / f"{mark}.db")
        self.new = folder / "new.json"
        self.database = folder / "old.db"
        self.contents = {m: content(folder / f"{m}.db") for m in ("old", "new")}
        self.seconds = load(self.new, folder / "command.db")

    def found(self, database: Path) -> str:
        """The state of a database: all "old", all "new", or else "neither"."""
        if not database.exists():
            return "nothing"
        held = content(database)
        return next((m for m, all_ in self.contents.items() if held == all_), "neither")


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> Loads:
    return Loads(tmp_path_factory.mktemp("loads"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the tests load into; not made yet, but its folder is."""
    (tmp_path / "own").mkdir()
    return tmp_path / "own" / "governance.db"


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def grown(folder: Path, pattern: str, size: int) -> Callable[[], bool]:
    """When a file of that name has more than that many bytes."""
    return lambda: any(_stat(path)[0] > size for path in folder.glob(pattern))


def changed(path: Path) -> Callable[[], bool]:
    before = _stat(path)
    return lambda: _stat(path) != before


def _stat(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return -1, 0
    return status.st_size, status.st_mtime_ns


# Killed


def test_a_load_into_a_missing_database_that_is_killed_leaves_none(
    loads: Loads, database: Path
) -> None:
    moments: list[Callable[[], Callable[[], bool]]] = [
        lambda: after(loads.seconds * 0.2),  # it starts
        lambda: after(loads.seconds * 0.5),  # it reads
        lambda: grown(database.parent, "*.new", -1),  # it begins to write
        lambda: grown(database.parent, "*.new", 0),  # it commits
    ]

    killed = []
    for number, moment in enumerate(moments):
        killed.append(kill_when(start(loads.new, database), moment()))
        found = loads.found(database)
        # A kill that came too late found all of it there.
        assert found == "nothing" or (found == "new" and number > 0)
        database.unlink(missing_ok=True)

    assert sum(killed) >= 3
    load_files([loads.new], database)
    assert loads.found(database) == "new"


def test_a_load_into_a_database_that_is_killed_leaves_it_as_it_was(
    loads: Loads, database: Path
) -> None:
    shutil.copy(loads.database, database)
    before = database.read_bytes()
    moments: list[Callable[[], Callable[[], bool]]] = [
        lambda: after(loads.seconds * 0.2),  # it starts
        lambda: after(loads.seconds * 0.5),  # it reads
        lambda: grown(database.parent, "*-wal", 0),  # it begins to write
        lambda: changed(database),  # it commits
    ]

    killed = []
    for number, moment in enumerate(moments):
        killed.append(kill_when(start(loads.new, database), moment()))
        found = loads.found(database)
        assert found == "old" or (found == "new" and number > 0)
        assert (database.read_bytes() == before) is (found == "old")
        database.write_bytes(before)

    assert sum(killed) >= 3
    load_files([loads.new], database)
    assert loads.found(database) == "new"


@pytest.fixture
def hot(tmp_path: Path) -> Path:
    """The service's database as a load leaves it that is killed in its commit."""
    live, path = tmp_path / "live.db", tmp_path / "config.db"
    load_documents([("old", config("old", MARKS))], live)
    before = live.read_bytes()
    with closing(sqlite3.connect(live, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")  # pages go out before the commit
        connection.execute("BEGIN IMMEDIATE")
        for table in ("teams", "virtual_keys"):
            connection.execute(f"UPDATE governance_{table} SET name = id || ' half'")
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{live}{suffix}", f"{path}{suffix}")
    assert Path(f"{path}-wal").stat().st_size > 0
    assert path.read_bytes() == before
    return path


def test_a_service_answers_as_before_a_load_that_was_killed_in_its_commit(
    get: Get, hot: Path
) -> None:
    answer = get("teams")

    assert marks(answer) == {"old"}


def test_a_load_goes_on_where_another_was_killed_in_its_commit(
    hot: Path, tmp_path: Path
) -> None:
    for path in (hot, tmp_path / "live.db"):
        load_documents([("next", {"team": {"id": "other", "name": "Other"}})], path)

    assert content(hot) == content(tmp_path / "live.db")
    assert not (tmp_path / "config.db-wal").exists()


def test_what_a_killed_load_left_beside_is_not_loaded(database: Path) -> None:
    # Killed when all was written, but not under its name yet. In a container the
    # next load has the same process id.
    left = {"teams": [{"id": "left", "name": "Left behind"}]}
    load_documents([("first", left)], database)
    database.rename(database.with_name(f"{database.name}.{os.getpid()}.new"))

    load_documents([("second", {"teams": [{"id": "t", "name": "Team"}]})], database)

    with closing(sqlite3.connect(database)) as connection:
        ids = connection.execute("SELECT id FROM governance_teams").fetchall()
    assert ids == [("t",)]


def test_a_load_that_fails_while_writing_leaves_nothing_beside_it(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.own_tables.OwnTables.change", _fail)

    with pytest.raises(RuntimeError):
        load_documents([("first", {"teams": [{"id": "t", "name": "T"}]})], database)

    assert list(database.parent.iterdir()) == []


def _fail(*args: Any) -> None:
    raise RuntimeError("the test's own")


# Under a running service

MARKS = 60  # virtual keys in each of the loads below


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The service's database, loaded once with the mark "old"."""
    load_documents([("old", config("old", MARKS))], tmp_path / "config.db")
    return tmp_path / "config.db"


def marks(answer: TestResponse) -> set[str]:
    """The marks of all names in an answer: one, unless it is of two loads."""
    assert answer.status_code == 200
    (team,) = answer.json["teams"]
    assert len(team["virtual_keys"]) == MARKS
    named = [team, *team["virtual_keys"]]
    return {entity["name"].split()[-1] for entity in named}


@pytest.mark.parametrize("source", ["database", "memory"], indirect=True)
def test_a_service_shows_new_data_at_the_next_request_after_a_load(
    get: Get, own: Path, source: str
) -> None:
    before = marks(get("teams", source=source))

    load_documents([("new", config("new", MARKS))], own)

    assert (before, marks(get("teams", source=source))) == ({"old"}, {"new"})


def test_a_service_shows_what_the_command_loaded(
    get: Get, own: Path, tmp_path: Path
) -> None:
    file = tmp_path / "new.json"
    file.write_text(json.dumps(config("new", MARKS)))
    before = marks(get("teams"))

    load(file, own)

    assert (before, marks(get("teams"))) == ({"old"}, {"new"})


def test_a_service_without_a_database_answers_after_the_first_load(
    get: Get, tmp_path: Path
) -> None:
    before = get("teams").status_code

    load_documents([("new", config("new", MARKS))], tmp_path / "config.db")

    assert before == 503
    assert marks(get("teams")) == {"new"}


def test_a_service_shows_a_copy_of_a_gateways_database_after_its_load(
    get: Get, own: Path, tmp_path: Path
) -> None:
    before = marks(get("teams"))
    fill(Gateway(tmp_path / "gateway.db", "april"))

    load_files([tmp_path / "gateway.db"], own, replace=True)

    assert before == {"old"}
    assert get("teams").json["teams"][0]["id"] == "acme-ops"


def test_a_service_never_shows_half_of_a_load(get: Get, own: Path) -> None:
    order = ["old", *(f"load-{number}" for number in range(100))]
    done = ["old"]
    stop = threading.Event()

    def keep_loading() -> None:
        for mark in order[1:]:
            load_documents([("next", config(mark, MARKS))], own)
            done.append(mark)
            if stop.is_set():
                return

    loader = threading.Thread(target=keep_loading)
    loader.start()
    seen: set[str] = set()
    while len(seen) < 6 and loader.is_alive():
        newest = done[-1]
        (mark,) = marks(get("teams"))
        assert order.index(mark) >= order.index(newest)
        seen.add(mark)
    stop.set()
    loader.join()

    assert len(seen) >= 6
    assert marks(get("teams")) == {done[-1]}


def test_a_reader_is_not_kept_waiting_while_a_load_prepares(own: Path) -> None:
    with closing(reader_of(own)) as reader:
        holder = sqlite3.connect(own, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")  # as a load does before it reads

        rows = reader.read()

        holder.close()
    assert any(rows.values())
