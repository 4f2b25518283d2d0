"""Faults on purpose: what each looks like to a client, for which requests it is."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlled import CUSTOMERS, TEAMS, Answer, Controlled

from transfer.loading import load_document
from web.serving.dispatcher import WAITING_THREADS

BOTH = [TEAMS, f"{TEAMS}?from_memory=true"]


@pytest.fixture
def get(service: Controlled, api_key: str) -> Callable[..., Answer]:
    """get(path): a list, with an API key."""
    assert service.ask("GET", TEAMS, api_key).names() == ["Red"]
    return lambda path=TEAMS, **more: service.ask("GET", path, api_key, **more)


def add(service: Controlled, **fault: Any) -> int:
    added = service.control("POST", "faults", fault)
    assert added.status == 201, added.body
    return int(added.json()["id"])


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (401, "invalid_credentials"),
        (404, "not_found"),
        (429, "too_many_requests"),
        (500, "internal_error"),
        (503, "database_unavailable"),
        (504, "gateway_timeout"),
    ],
)
def test_a_status_has_the_documented_body(
    service: Controlled, get: Any, path: str, status: int, code: str
) -> None:
    add(service, status=status)

    answer = get(path)

    assert answer.status == status
    body = answer.json()
    assert [*body] == [
        "event_id",
        "type",
        "is_bifrost_error",
        "status_code",
        "error",
        "extra_fields",
    ]
    assert (body["status_code"], body["error"]["code"]) == (status, code)
    assert body["event_id"] == answer.headers["X-Request-Id"]
    assert body["event_id"] == body["error"]["event_id"]


@pytest.mark.parametrize(
    ("status", "header", "value"),
    [(401, "WWW-Authenticate", "Bearer"), (503, "Retry-After", "2")],
)
def test_a_status_has_the_headers_that_belong_to_it(
    service: Controlled, get: Any, status: int, header: str, value: str
) -> None:
    add(service, status=status)

    assert get().headers[header] == value


def test_a_fault_is_for_so_many_requests(service: Controlled, get: Any) -> None:
    add(service, status=503, times=2)

    assert [get().status for _ in range(3)] == [503, 503, 200]
    assert service.control("GET", "faults").json() == {"faults": [], "count": 0}


def test_a_fault_stays_until_it_is_taken_back(service: Controlled, get: Any) -> None:
    number = add(service, status=503)
    other = add(service, status=500)

    before = [get().status for _ in range(3)]
    service.control("DELETE", f"faults/{number}")

    assert before == [503, 503, 503]
    assert get().status == 500
    assert service.control("DELETE", f"faults/{number}").status == 404
    assert [f["id"] for f in service.control("GET", "faults").json()["faults"]] == [
        other
    ]
    assert service.control("DELETE", "faults").status == 204
    assert get().status == 200


def test_faults_of_a_kind_come_one_after_the_other(
    service: Controlled, get: Any
) -> None:
    add(service, status=500, times=1)
    add(service, status=429, times=1)

    assert [get().status for _ in range(3)] == [500, 429, 200]


def test_a_fault_is_for_one_route(service: Controlled, get: Any) -> None:
    add(service, status=503, route=CUSTOMERS)

    assert get(TEAMS).status == 200
    assert get(f"{CUSTOMERS}?limit=1").status == 503


def test_a_fault_for_all_routes_is_not_for_the_control_routes(
    service: Controlled, get: Any
) -> None:
    add(service, status=503)

    assert get("/healthz").status == 503
    assert get("/nowhere").status == 503
    assert service.control("GET", "faults").status == 200


@pytest.mark.parametrize("path", BOTH)
def test_a_delay_delays_and_then_answers(
    service: Controlled, get: Any, path: str
) -> None:
    add(service, delay=0.2, times=1)

    slow, fast = get(path), get(path)

    assert slow.names() == fast.names() == ["Red"]
    assert slow.seconds >= 0.2 > fast.seconds


def test_a_failure_may_be_delayed_too(service: Controlled, get: Any) -> None:
    add(service, delay=0.2, times=1)
    add(service, status=503, times=1)

    answer = get()

    assert (answer.status, answer.seconds >= 0.2) == (503, True)


def test_delays_hold_nobody_up(service: Controlled, get: Any) -> None:
    many = WAITING_THREADS + 8
    add(service, delay=2, times=many)
    delayed: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: delayed.append(get())) for _ in range(many)
    ]
    for thread in threads:
        thread.start()
    while service.control("GET", "faults").json()["count"]:
        time.sleep(0.01)

    quick = [get(path) for path in BOTH]
    others_still_wait = delayed == []
    for thread in threads:
        thread.join()

    assert [answer.status for answer in quick] == [200, 200]
    assert others_still_wait
    assert {(a.status, a.seconds >= 2) for a in delayed} == {(200, True)}


@pytest.mark.parametrize("path", [*BOTH, "/healthz", "/nowhere"])
def test_a_cut_connection_ends_in_the_middle_of_the_body(
    service: Controlled, get: Any, path: str
) -> None:
    whole = get(path)
    add(service, cut=True, times=1)

    cut = get(path, headers=[("X-Request-Id", whole.headers["X-Request-Id"])])

    assert (cut.status, cut.is_whole) == (whole.status, False)
    assert cut.headers["Content-Length"] == str(len(whole.body))
    assert cut.body == whole.body[: len(whole.body) // 2]
    assert get(path).is_whole


def test_a_large_answer_is_cut_in_the_middle_too(service: Controlled, get: Any) -> None:
    many = {"teams": [{"id": f"t{n}", "name": f"Team {n}"} for n in range(4000)]}
    assert service.control("PUT", "data", many).status == 200
    whole = get()
    assert len(whole.body) > 1_000_000
    add(service, cut=True, times=1)

    cut = get()

    assert not cut.is_whole
    assert cut.body == whole.body[: len(whole.body) // 2]


def test_nothing_is_cut_where_there_is_no_body(
    service: Controlled, get: Any, api_key: str
) -> None:
    etag = get().headers["ETag"]
    add(service, cut=True, times=2)

    assert get(headers=[("If-None-Match", etag)]).status == 304
    assert service.ask("HEAD", TEAMS, api_key).status == 200
    assert get().is_whole


def test_a_stale_memory_stays_as_it_is(
    service: Controlled, get: Any, own_database: Path
) -> None:
    number = add(service, stale=True)
    load_document({"teams": [{"id": "b", "name": "Blue"}]}, "data", own_database)

    current, stale = get(TEAMS), get(f"{TEAMS}?from_memory=true")
    service.control("DELETE", f"faults/{number}")
    after = get(f"{TEAMS}?from_memory=true")

    assert current.names() == after.names() == ["Red", "Blue"]
    assert stale.names() == ["Red"]


def test_a_stale_memory_grows_old(
    service: Controlled, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(service, stale=True)
    now = time.monotonic
    monkeypatch.setattr("snapshot.sources.monotonic", lambda: now() + 60)

    get(TEAMS)
    stale = get(f"{TEAMS}?from_memory=true")

    assert int(stale.headers["Age"]) >= 60
    assert get("/readyz").json()["memory"]["age"] >= 60


def test_without_its_database_the_service_answers_as_documented(
    service: Controlled, get: Any, own_database: Path
) -> None:
    number = add(service, unavailable=True)

    gone = [get(TEAMS), get(CUSTOMERS)]
    ready = get("/readyz")
    remembered = get(f"{TEAMS}?from_memory=true")
    service.control("DELETE", f"faults/{number}")

    assert {(a.status, a.code) for a in gone} == {(503, "database_unavailable")}
    assert {a.headers["Retry-After"] for a in gone} == {"2"}
    message = "The database does not exist; from_memory=true may still answer."
    assert gone[0].json()["error"]["message"] == message
    assert ready.status == 503
    assert ready.json()["database"]["ready"] is False
    assert remembered.names() == ["Red"]
    assert get().names() == ["Red"]
    assert get("/readyz").status == 200


def test_a_database_that_is_gone_lets_nobody_in(service: Controlled, get: Any) -> None:
    add(service, unavailable=True)

    assert service.ask("GET", TEAMS, None).status == 401


# The Prefer header


def test_prefer_is_ignored_without_its_option(get: Any) -> None:
    answer = get(headers=[("Prefer", "code=503, wait=5")])

    assert (answer.status, answer.headers["Preference-Applied"]) == (200, None)
    assert "Prefer" not in answer.headers["Vary"]


@pytest.fixture
def prefer(
    run: Callable[..., Controlled], own_database: Path, api_key: str
) -> Callable[..., Answer]:
    """prefer(*headers): the teams, from a service that honours them."""
    service = run(own_database, by_header=True)
    return lambda *headers, path=TEAMS: service.ask(
        "GET", path, api_key, headers=[("Prefer", each) for each in headers]
    )


@pytest.mark.parametrize("path", BOTH)
def test_prefer_code_is_answered_with_that_status(prefer: Any, path: str) -> None:
    answer = prefer("code=503", path=path)

    assert (answer.status, answer.code) == (503, "database_unavailable")
    assert answer.headers["Preference-Applied"] == "code=503"
    assert "Prefer" in answer.headers["Vary"]
    assert prefer(path=path).status == 200


def test_prefer_wait_delays_the_answer(prefer: Any) -> None:
    answer = prefer("wait=0.25")

    assert (answer.status, answer.seconds >= 0.25) == (200, True)
    assert answer.headers["Preference-Applied"] == "wait=0.25"


def test_preferences_of_several_headers_are_combined(prefer: Any) -> None:
    answer = prefer("wait=0.2", "respond-async", 'code="429"')

    assert (answer.status, answer.seconds >= 0.2) == (429, True)
    assert answer.headers["Preference-Applied"] == "code=429, wait=0.2"


def test_prefer_code_200_is_the_ordinary_answer(prefer: Any) -> None:
    answer = prefer("code=200")

    assert answer.names() == ["Red"]
    assert answer.headers["Preference-Applied"] == "code=200"


def test_a_preference_that_cannot_be_honoured_is_refused(prefer: Any) -> None:
    answers = [prefer("code=banana"), prefer("wait=-1"), prefer("code=299")]

    assert [answer.status for answer in answers] == [400, 400, 404]
    assert {a.json()["error"]["param"] for a in answers} == {"Prefer"}
    assert [a.headers["Preference-Applied"] for a in answers] == [None] * 3
