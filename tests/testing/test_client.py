"""GovernanceLists, which starts a service for tests and drives it."""

import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service import ROOT, members, wait_until_none

from governance_lists.client import GovernanceError, GovernanceLists
from governance_lists.control import Control

DEMO = ROOT / "data" / "demo.json"


@pytest.fixture(scope="module")
def server() -> Iterator[GovernanceLists]:
    with GovernanceLists() as server:
        yield server


@pytest.fixture
def governance(server: GovernanceLists) -> GovernanceLists:
    server.reset()
    return server


def ask(
    governance: GovernanceLists,
    name: str = "teams",
    token: str | None = None,
    query: str = "",
) -> Any:
    request = urllib.request.Request(
        f"{governance.url}/api/governance/{name}{query}",
        headers={"Authorization": f"Bearer {token or governance.api_key}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)[name]


def names(governance: GovernanceLists, **more: Any) -> list[str]:
    return [each["name"] for each in ask(governance, **more)]


# Data


def test_it_is_empty_at_first(governance: GovernanceLists) -> None:
    assert ask(governance, "teams") == ask(governance, "customers") == []


def test_a_name_is_enough(governance: GovernanceLists) -> None:
    told = governance.load({"teams": [{"name": "Red"}]})

    assert (told["added"], names(governance)) == (1, ["Red"])


def test_load_adds_and_replace_replaces(governance: GovernanceLists) -> None:
    governance.load({"teams": [{"name": "Red"}]})
    governance.load({"teams": [{"name": "Blue"}]})
    before = names(governance)

    governance.replace({"teams": [{"name": "Green"}]})

    assert (before, names(governance)) == (["Red", "Blue"], ["Green"])


def test_a_file_can_be_loaded(governance: GovernanceLists) -> None:
    governance.load(DEMO)

    assert len(ask(governance, "customers")) == 3


def test_builders_return_what_the_service_answers(governance: GovernanceLists) -> None:
    acme = governance.customer(name="Acme", budget=1000)
    red = governance.team(name="Red", customer=acme, budget=100, virtual_keys=3)
    key = governance.virtual_key(name="nightly", team=red, budget={"max_limit": 5})
    lone = governance.virtual_key(customer=acme["id"], is_active=False)

    (customer,) = ask(governance, "customers")
    (team,) = ask(governance, "teams")
    keys = {each["id"]: each for each in team["virtual_keys"]}

    assert (customer["id"], customer["name"]) == (acme["id"], "Acme")
    assert customer["budget"]["max_limit"] == 1000
    assert (team["id"], team["customer_id"]) == (red["id"], acme["id"])
    assert team["budget"]["max_limit"] == 100
    assert team["budget"]["reset_duration"] == "1M"
    made = [*red["virtual_keys"], key]
    assert {(k["id"], k["name"], k["value"]) for k in made} == {
        (k["id"], k["name"], k["value"]) for k in keys.values()
    }
    assert keys[key["id"]]["budgets"][0]["max_limit"] == 5
    (other,) = customer["virtual_keys"]
    assert (other["value"], other["is_active"]) == (lone["value"], False)


def test_builders_need_no_name(governance: GovernanceLists) -> None:
    made = [governance.team(), governance.team(), governance.team(name="Team 1")]

    assert names(governance) == ["Team 1", "Team 2", "Team 1"]
    assert len({team["id"] for team in made}) == 3


def test_names_in_any_script_have_ids_of_their_own(governance: GovernanceLists) -> None:
    made = [governance.team(name=name) for name in ("红", "Ελλάδα", "red", "Red", "!")]

    assert len({team["id"] for team in made}) == 5
    assert names(governance) == ["红", "Ελλάδα", "red", "Red", "!"]


def test_virtual_keys_may_be_named_or_described(governance: GovernanceLists) -> None:
    team = governance.team(virtual_keys=["one", {"name": "two", "value": "sk-bf-two"}])

    assert [key["name"] for key in team["virtual_keys"]] == ["one", "two"]
    assert names(governance, token="sk-bf-two") == ["Team 1"]


def test_a_provider_is_made_for_virtual_keys(governance: GovernanceLists) -> None:
    provider = governance.provider("openai", keys=2)
    ids = [key["key_id"] for key in provider["keys"]]
    configs = [{"provider": "openai", "weight": 0.5, "key_ids": ids}]
    governance.team(virtual_keys=[{"name": "k", "provider_configs": configs}])

    ((config,),) = (
        key["provider_configs"] for key in ask(governance)[0]["virtual_keys"]
    )

    assert (config["provider"], config["weight"]) == ("openai", 0.5)
    assert [key["key_id"] for key in config["keys"]] == ids


def test_wrong_data_is_said_with_its_place(governance: GovernanceLists) -> None:
    with pytest.raises(GovernanceError, match=r"teams\[0\].budget.max_limit") as wrong:
        governance.team(name="Red", budget={"max_limit": "much"})

    assert (wrong.value.status, wrong.value.code) == (400, "invalid_data")
    assert names(governance) == []


def test_reset_leaves_nothing(governance: GovernanceLists) -> None:
    governance.team(name="Red")
    governance.fail_next(times=None)
    with pytest.raises(urllib.error.HTTPError) as failed:
        ask(governance)
    failed.value.close()

    governance.reset()

    assert governance.requests == []
    assert names(governance) == names(governance, query="?from_memory=true") == []
    assert governance.team(name="Red")["id"] == "team-red"


# Credentials


def test_each_credential_sees_what_it_may(governance: GovernanceLists) -> None:
    red = governance.team(name="Red", virtual_keys=1)
    governance.team(name="Blue")
    (key,) = red["virtual_keys"]

    assert names(governance, token=governance.admin_token) == ["Red", "Blue"]
    assert names(governance, token=governance.virtual_key_token(key)) == ["Red"]
    assert names(governance, token=governance.virtual_key_token(key["id"])) == ["Red"]
    assert names(governance, token=key["value"]) == ["Red"]
    other = governance.new_api_key("billing")
    assert names(governance, token=other) == ["Red", "Blue"]
    governance.revoke_api_key("billing")
    assert status(governance, other) == 401


def test_credentials_may_have_expired(governance: GovernanceLists) -> None:
    assert status(governance, governance.new_api_key(expires_in=-5)) == 401
    assert status(governance, governance.new_token(expires_in=-5)) == 401


def status(governance: GovernanceLists, token: str | None = None) -> int:
    try:
        ask(governance, token=token)
    except urllib.error.HTTPError as problem:
        problem.close()
        return int(problem.status or 0)
    return 200


# Requests and faults


def test_requests_are_told(governance: GovernanceLists) -> None:
    ask(governance, query="?limit=3")
    status(governance, "sk-bf-unknown")

    first, second = governance.requests
    governance.forget_requests()

    assert (first["path"], first["query"]) == ("/api/governance/teams", "limit=3")
    assert (first["status"], second["status"]) == (200, 401)
    assert second["authorization"] == "Bearer sk-bf-***"
    assert governance.requests == []


def test_the_next_requests_fail(governance: GovernanceLists) -> None:
    governance.fail_next(429, times=2)

    assert [status(governance) for _ in range(3)] == [429, 429, 200]


def test_a_fault_is_for_a_route(governance: GovernanceLists) -> None:
    governance.fail_next(500, route="customers")
    governance.fail_next(502, route="/healthz")

    assert status(governance) == 200
    with pytest.raises(urllib.error.HTTPError, match="500") as failed:
        ask(governance, "customers")
    failed.value.close()
    with pytest.raises(urllib.error.HTTPError, match="502") as failed:
        urllib.request.urlopen(f"{governance.url}/healthz")
    failed.value.close()


def test_a_route_that_is_none_is_refused(governance: GovernanceLists) -> None:
    with pytest.raises(GovernanceError, match="/api/governance/teams"):
        governance.fail_next(route="team")


def test_the_next_request_is_slow(governance: GovernanceLists) -> None:
    governance.slow_next(0.3)

    began = time.monotonic()
    ask(governance)
    slow = time.monotonic() - began

    assert slow >= 0.3


def test_the_next_connection_is_cut(governance: GovernanceLists) -> None:
    governance.cut_next()

    with pytest.raises(http.client.IncompleteRead):
        ask(governance)
    assert status(governance) == 200


def test_the_database_is_gone_for_as_long_as_it_is_said(
    governance: GovernanceLists,
) -> None:
    governance.team(name="Red")

    with governance.unavailable():
        gone = status(governance)
        remembered = names(governance, query="?from_memory=true")

    assert (gone, remembered, status(governance)) == (503, ["Red"], 200)


def test_the_memory_is_stale_until_it_is_taken_back(
    governance: GovernanceLists,
) -> None:
    governance.team(name="Red")
    stale = governance.stale()
    governance.team(name="Blue")

    before = names(governance, query="?from_memory=true")
    stale.take_back()
    stale.take_back()  # which may be said again

    assert (before, names(governance)) == (["Red"], ["Red", "Blue"])
    assert names(governance, query="?from_memory=true") == ["Red", "Blue"]


def test_all_faults_are_cleared(governance: GovernanceLists) -> None:
    governance.fail_next(times=None)
    governance.unavailable()

    governance.clear_faults()

    assert status(governance) == 200


# Starting and stopping


def test_files_are_served_as_they_are() -> None:
    with GovernanceLists(DEMO) as governance:
        assert len(ask(governance, "customers")) == 3
        governance.team(name="Red")
        assert "Red" in names(governance)


def test_a_gateways_database_is_not_changed(filled: Any) -> None:
    before = filled.path.read_bytes()

    with GovernanceLists(filled.path) as governance:
        assert names(governance)
        with pytest.raises(GovernanceError, match="never written") as refused:
            governance.team(name="Red")
        governance.reset()

    assert refused.value.status == 409
    assert filled.path.read_bytes() == before


def test_options_go_to_the_service() -> None:
    with GovernanceLists(options=("--faults",)) as governance:
        request = urllib.request.Request(
            f"{governance.url}/healthz", headers={"Prefer": "code=418"}
        )
        with pytest.raises(urllib.error.HTTPError, match="418") as failed:
            urllib.request.urlopen(request)
        failed.value.close()


def test_what_keeps_it_from_starting_is_said(tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text('{"teams": [{"name": 5}]}')

    with pytest.raises(GovernanceError, match="did not start") as problem:
        GovernanceLists(tmp_path / "wrong.json").start()

    assert "teams[0].name" in str(problem.value)


def test_several_workers_cannot_be_driven() -> None:
    with pytest.raises(GovernanceError, match="--control takes one worker"):
        GovernanceLists(options=("--workers", "2")).start()


def test_nobodys_settings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOVERNANCE_DATABASE", "/nowhere/config.db")
    monkeypatch.setenv("GOVERNANCE_AUTH", "nonsense")

    with GovernanceLists() as governance:
        assert names(governance) == []


def test_a_folder_with_modules_of_the_same_names_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("app", "models", "flask", "json", "governance_lists"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)

    with GovernanceLists() as governance:
        assert names(governance) == []


def test_its_own_questions_are_not_among_the_requests() -> None:
    with GovernanceLists() as governance:
        assert governance.requests == []


def test_a_connection_that_was_closed_is_opened_again() -> None:
    class Closing(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_DELETE(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Closing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    control = Control(f"http://127.0.0.1:{server.server_port}", "token")
    try:
        answers = [control.ask("DELETE", "all") for _ in range(3)]
    finally:
        control.close()
        server.shutdown()
        thread.join()
        server.server_close()

    assert answers == [{}, {}, {}]


def test_many_threads_may_drive_it(governance: GovernanceLists) -> None:
    threads = [threading.Thread(target=governance.team) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(names(governance))) == 8


def test_it_says_when_it_is_not_running() -> None:
    governance = GovernanceLists()
    governance.stop()

    with pytest.raises(GovernanceError, match="not running"):
        governance.url  # noqa: B018


def test_the_log_can_be_read() -> None:
    with GovernanceLists() as governance:
        status(governance, "sk-bf-unknown")
        deadline = time.monotonic() + 15
        while "GET /api/governance/teams 401" not in governance.log():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_it_can_be_started_in_a_thread_that_ends() -> None:
    governance = GovernanceLists()
    thread = threading.Thread(target=governance.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.1)
        assert names(governance) == []
    finally:
        governance.stop()


def test_it_ends_with_a_process_that_is_killed() -> None:
    program = (
        "import sys, time; from governance_lists.client import GovernanceLists;"
        " GovernanceLists().start(); print('started', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    running = members(process.pid)
    try:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        assert len(running) == 2
        assert wait_until_none(process.pid, 10)
    finally:
        process.stdout.close()
        for left in members(process.pid):
            os.kill(left, signal.SIGKILL)


def test_nothing_of_the_service_is_imported() -> None:
    program = (
        "import sys; before = set(sys.modules); import governance_lists.client;"
        "print([name for name in set(sys.modules) - before"
        " if name.partition('.')[0] not in sys.stdlib_module_names])"
    )

    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True
    )

    imported = set(json.loads(told.stdout.decode().replace("'", '"')))
    assert {name.partition(".")[0] for name in imported} == {"governance_lists"}


class WithUnittest(unittest.TestCase):
    """The smallest test with unittest; pytest runs it as well."""

    def test_a_team(self) -> None:
        governance = self.enterContext(GovernanceLists())
        governance.team(name="Red")
        self.assertEqual(names(governance), ["Red"])  # noqa: PT009
