"""`keeper.Keeper`: which snapshot answers, who takes it, and what failures do to it."""

import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from gateway import Gateway
from reading import reader_of

from errors import WouldWait
from models import MODELS
from snapshot import keeper
from snapshot.keeper import Keeper
from snapshot.snapshot import Snapshot
from store import rows, shared_look
from store.failures import DatabaseUnavailable
from store.rows import Mark, Rows
from store.sqlite import Reader

DEADLINE = 10  # seconds until a test gives up; none waits that long when all is well


class FakeReader:
    """A reader whose every look is counted, and held until the test lets it go."""

    def __init__(self) -> None:
        self.path = Path("fake.db")
        self.looks = 0
        self.takes = 0
        self.failure: Exception | None = None
        self.version = 0
        self.looking = threading.Event()
        self.go = threading.Event()

    def mark(self) -> Mark:
        self.looks += 1
        version = self.version
        self.looking.set()
        assert self.go.wait(DEADLINE)
        if self.failure is not None:
            raise self.failure
        return (version,)

    def read(self, known: Rows | None = None) -> Rows:
        self.takes += 1
        return {model: [] for model in MODELS}

    def close(self) -> None:
        pass


class Asking:
    """Threads that ask a keeper for what is current, and what each one got."""

    def __init__(self, kept: Keeper, clock: "Clock") -> None:
        self.kept = kept
        self.clock = clock
        self.got: list[Any] = []
        self.threads: list[threading.Thread] = []

    def ask(self, threads: int = 1) -> None:
        """Start threads; returns when each has asked (though none may be answered)."""
        started = [threading.Thread(target=self._ask) for _ in range(threads)]
        for thread in started:
            thread.start()
        self.threads += started
        wait_until(lambda: self.clock.has_seen(started))

    def _ask(self) -> None:
        try:
            self.got.append(self.kept.current())
        except Exception as problem:
            self.got.append(problem)

    def join(self) -> list[Any]:
        for thread in self.threads:
            thread.join(DEADLINE)
        return self.got


class Clock:
    """The keeper's clock; remembers which threads looked at it, and can be set on."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.seen: set[int | None] = set()

    def __call__(self) -> float:
        time = monotonic() + self.ahead
        self.seen.add(threading.get_ident())
        return time

    def has_seen(self, threads: list[threading.Thread]) -> bool:
        return all(thread.ident in self.seen for thread in threads)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < deadline, "what was waited for did not happen"
        sleep(0.002)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (keeper, shared_look):
        monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def fake() -> Iterator[FakeReader]:
    fake = FakeReader()
    yield fake
    fake.go.set()


@pytest.fixture
def asking(fake: FakeReader, clock: Clock) -> Asking:
    return Asking(Keeper(fake, 3600), clock)  # type: ignore[arg-type]


@pytest.fixture
def kept(gateway: Gateway) -> Iterator[Keeper]:
    """A keeper of a real database with one team, `first`."""
    gateway.team("first")
    kept = Keeper(reader_of(gateway.path), 0.05)
    yield kept
    kept.stop()


def team_ids(snapshot: Snapshot) -> list[str]:
    return [row.id for row in snapshot.index.teams]


# What is current


def test_a_change_shows_at_the_first_look_after_its_commit(
    kept: Keeper, gateway: Gateway
) -> None:
    seen = []

    for number in range(10):
        gateway.team(f"team-{number}")
        seen.append(f"team-{number}" in team_ids(kept.current()))

    assert seen == [True] * 10


def test_an_unchanged_database_keeps_its_snapshot(kept: Keeper) -> None:
    first = kept.current()

    assert kept.current() is first
    assert kept.remembered() is first


def test_a_commit_to_other_tables_leaves_the_snapshot_as_it_is(
    kept: Keeper, gateway: Gateway
) -> None:
    gateway.execute("CREATE TABLE logs (line)")
    before = kept.current()

    gateway.execute("INSERT INTO logs VALUES ('a request')")

    assert kept.current() is before
    gateway.team("second")
    assert team_ids(kept.current()) == ["first", "second"]


def test_what_is_remembered_touches_no_file(
    kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept.current()
    monkeypatch.setattr(Reader, "mark", _refuse)
    monkeypatch.setattr(Reader, "read", _refuse)

    after = kept.remembered()

    assert after is before


def test_what_is_remembered_waits_for_nobody(asking: Asking, fake: FakeReader) -> None:
    fake.go.set()
    before = asking.kept.current()
    fake.go.clear()
    fake.looking.clear()
    asking.ask()
    assert fake.looking.wait(DEADLINE)

    remembered = asking.kept.remembered()

    assert remembered is before
    assert asking.got == []


def test_what_is_remembered_is_taken_when_nothing_was_yet(kept: Keeper) -> None:
    snapshot = kept.remembered()

    assert team_ids(snapshot) == ["first"]


def _refuse(*args: Any) -> None:
    raise AssertionError("a file was touched")


def test_what_requests_left_behind_is_not_kept_with_a_snapshot(
    kept: Keeper, gateway: Gateway
) -> None:
    class Circle:
        def __init__(self) -> None:
            self.itself = self

    left_behind = weakref.ref(Circle())
    gateway.team("second")

    kept.current()

    assert left_behind() is None
    assert gc.isenabled()


def test_a_snapshot_is_not_walked_through_by_the_collector(
    kept: Keeper, gateway: Gateway
) -> None:
    gc.unfreeze()

    kept.current()

    # More than what was there already: the snapshot is among what is frozen.
    assert gc.get_freeze_count() > 1000
    assert not any(isinstance(each, Snapshot) for each in gc.get_objects())


def test_the_collector_rests_while_a_snapshot_is_taken_and_not_after(
    fake: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting = []

    def read(known: Rows | None = None) -> Rows:
        collecting.append(gc.isenabled())
        raise OSError("broken")

    monkeypatch.setattr(fake, "read", read)
    fake.go.set()

    with pytest.raises(RuntimeError):
        Keeper(fake, 3600).current()  # type: ignore[arg-type]

    assert collecting == [False]
    assert gc.isenabled()


# Several threads


def test_one_thread_takes_a_snapshot_that_all_who_wait_share(
    asking: Asking, fake: FakeReader
) -> None:
    asking.ask()
    assert fake.looking.wait(DEADLINE)
    asking.ask(threads=10)

    fake.go.set()
    got = asking.join()

    assert len(got) == 11
    assert len(set(got)) == 1
    # One look for the first, one for all the others: they asked after it had begun.
    assert (fake.looks, fake.takes) == (2, 1)


def test_who_waits_gets_what_was_committed_before_they_asked(
    asking: Asking, fake: FakeReader
) -> None:
    fake.go.set()
    old = asking.kept.current()
    fake.go.clear()
    fake.looking.clear()
    asking.ask()
    assert fake.looking.wait(DEADLINE)
    fake.version += 1

    asking.ask(threads=5)
    fake.go.set()

    # Only the first asked before the commit.
    assert asking.join().count(old) == 1


def test_threads_that_wait_share_a_failure_and_do_not_queue_up(
    asking: Asking, fake: FakeReader
) -> None:
    fake.failure = DatabaseUnavailable(fake.path, "is locked by another process")
    asking.ask()
    assert fake.looking.wait(DEADLINE)
    asking.ask(threads=10)

    fake.go.set()
    got = asking.join()

    assert [str(problem) for problem in got] == [str(fake.failure)] * 11
    assert fake.looks == 2


def test_a_shared_failure_is_raised_anew_for_each(
    asking: Asking, fake: FakeReader
) -> None:
    fake.failure = DatabaseUnavailable(fake.path, "is damaged")
    asking.ask()
    assert fake.looking.wait(DEADLINE)
    asking.ask(threads=5)

    fake.go.set()
    got = asking.join()

    # One exception raised in many threads would grow one traceback of them all.
    assert len({id(problem) for problem in got}) == 6


# Failures


def test_a_failure_is_over_when_the_database_is_back(
    kept: Keeper, gateway: Gateway
) -> None:
    before = kept.current()
    aside = gateway.path.with_name("aside")
    gateway.path.rename(aside)
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        kept.current()
    remembered = kept.remembered()

    aside.rename(gateway.path)

    assert remembered is before
    assert team_ids(kept.current()) == ["first"]


def test_a_failed_snapshot_does_not_lose_the_old_one(
    kept: Keeper, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept.current()
    gateway.team("second", created_at="2026-05-01 00:00:00+00:00")
    monkeypatch.setattr(keeper, "Snapshot", _fail)
    with pytest.raises(RuntimeError):
        kept.current()
    remembered = kept.remembered()

    monkeypatch.undo()

    assert remembered is before
    assert team_ids(kept.current()) == ["first", "second"]


def test_who_waits_for_a_snapshot_that_fails_is_not_given_the_old_one(
    asking: Asking, fake: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.go.set()
    old = asking.kept.current()
    fake.go.clear()
    fake.looking.clear()
    asking.ask()
    assert fake.looking.wait(DEADLINE)
    fake.version += 1
    monkeypatch.setattr(keeper, "Snapshot", _fail)
    asking.ask(threads=5)

    fake.go.set()
    got = asking.join()

    # Only the first asked, and looked, before the commit.
    assert got.count(old) == 1
    assert [type(each) for each in got].count(RuntimeError) == 5


def _fail(*args: Any) -> None:
    raise RuntimeError("the test's own")


def test_a_failure_is_logged_once_and_its_end_too(
    kept: Keeper, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    for level in ("error", "info"):
        monkeypatch.setattr(
            logging.getLogger("governance"),
            level,
            lambda text, *args: lines.append(text % args),
        )
    aside = gateway.path.with_name("aside")
    gateway.path.rename(aside)

    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            kept.current()
    aside.rename(gateway.path)
    kept.current()
    kept.current()

    assert lines == [
        f"database unavailable: {gateway.path} does not exist",
        f"database available again: {gateway.path}",
    ]


# Age and state


def test_the_age_is_that_of_the_last_look_that_found_it_current(
    kept: Keeper, clock: Clock
) -> None:
    kept.current()

    clock.ahead = 7.9
    before = kept.age()
    kept.current()

    assert (before, kept.age()) == (7, 0)


def test_a_failed_look_does_not_make_the_snapshot_younger(
    kept: Keeper, gateway: Gateway, clock: Clock
) -> None:
    kept.current()
    gateway.path.unlink()
    clock.ahead = 5

    with pytest.raises(DatabaseUnavailable):
        kept.current()

    assert kept.age() == 5


def test_the_state_before_the_first_snapshot(kept: Keeper) -> None:
    state = kept.state()

    assert (state["ready"], state["age"], state["last_failure"]) == (False, None, None)


def test_a_state_that_is_ready_has_counts_though_the_first_snapshot_came_meanwhile(
    kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_of_another_look(look: shared_look.SharedLook) -> None:
        monkeypatch.undo()
        kept.current()
        raise WouldWait

    monkeypatch.setattr(shared_look.SharedLook, "at_once", end_of_another_look)

    state = kept.state()

    assert (state["ready"], state["memory"]["ready"]) == (True, True)
    assert {"teams", "customers", "virtual_keys"} <= state.keys()


def test_the_state_is_ready_as_soon_as_the_database_can_be_read_again(
    kept: Keeper, gateway: Gateway
) -> None:
    elsewhere = gateway.path.rename(gateway.path.with_name("elsewhere.db"))
    with pytest.raises(DatabaseUnavailable):
        kept.current()
    assert not kept.state()["ready"]

    elsewhere.rename(gateway.path)

    assert kept.state()["ready"]


def test_the_state_has_age_counts_and_the_last_failure(
    kept: Keeper, gateway: Gateway, clock: Clock
) -> None:
    gateway.customer("c")
    gateway.virtual_key("v", team_id="first")
    kept.current()
    gateway.path.unlink()
    with pytest.raises(DatabaseUnavailable):
        kept.current()
    clock.ahead = 3

    state = kept.state()

    failure = state.pop("last_failure")
    assert failure["reason"] == "the database does not exist"
    assert state == {
        "ready": False,
        "database": {"ready": False, "reason": "the database does not exist"},
        "memory": {"ready": True, "age": 3},
        "age": 3,
        "teams": 1,
        "customers": 1,
        "virtual_keys": 1,
    }


# The background check


def test_the_background_check_notices_a_change(kept: Keeper, gateway: Gateway) -> None:
    kept.start()
    wait_until(lambda: kept.state()["ready"])

    gateway.team("second", created_at="2026-05-01 00:00:00+00:00")

    wait_until(lambda: team_ids(kept.remembered()) == ["first", "second"])


def test_the_background_check_survives_whatever_happens(
    kept: Keeper, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail(*args: Any) -> None:
        failed.set()
        raise RuntimeError("the test's own")

    monkeypatch.setattr(logging.getLogger("governance"), "exception", lambda text: None)
    monkeypatch.setattr(keeper, "Snapshot", fail)
    kept.start()
    assert failed.wait(DEADLINE)
    monkeypatch.setattr(keeper, "Snapshot", Snapshot)

    wait_until(lambda: kept.state()["ready"])


def test_the_background_check_sees_a_database_come_back(
    kept: Keeper, gateway: Gateway
) -> None:
    aside = gateway.path.with_name("aside")
    gateway.path.rename(aside)
    kept.start()
    wait_until(lambda: kept.state()["last_failure"] is not None)

    aside.rename(gateway.path)

    wait_until(lambda: kept.state()["ready"])


def test_starting_again_starts_no_second_thread(kept: Keeper) -> None:
    before = _checks()

    kept.start()
    kept.start()

    assert _checks() == before + 1


def test_stopping_ends_the_thread(kept: Keeper) -> None:
    before = _checks()
    kept.start()
    kept.current()

    kept.stop()

    assert _checks() == before


def _checks() -> int:
    return sum(thread.name == "snapshot-keeper" for thread in threading.enumerate())


def test_the_first_snapshot_reads_each_table_once(
    kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    selected = []

    def select(connection: Any, model: Any, texts: Any) -> Any:
        selected.append(model)
        return original(connection, model, texts)

    original = rows.select_table
    monkeypatch.setattr(rows, "select_table", select)

    kept.current()
    kept.current()

    assert sorted(selected, key=str) == sorted(MODELS, key=str)
