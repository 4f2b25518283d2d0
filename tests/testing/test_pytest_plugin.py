"""The pytest plugin: the fixture `governance`, in test runs of their own."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from service import ROOT, members, wait_until_none

DEADLINE = 100
PYTEST = (
    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
    *("-p", "governance_lists.pytest_plugin"),
)
OUTER = ("PYTEST_", "GOVERNANCE_")
ENVIRONMENT = {
    **{n: v for n, v in os.environ.items() if not n.startswith(OUTER)},
    "PYTHONPATH": str(ROOT),  # a checkout is not installed
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # others take their time
}
SMALLEST = """
def test_red(governance):
    governance.team(name="Red", budget=100)
    assert governance.requests == []
"""
ASKING = """
import json, urllib.request

def names(governance):
    request = urllib.request.Request(
        governance.url + "/api/governance/teams",
        headers={"Authorization": "Bearer " + governance.api_key},
    )
    with urllib.request.urlopen(request) as response:
        return [team["name"] for team in json.load(response)["teams"]]
"""


def run(folder: Path, *options: str) -> str:
    """The output of pytest in a folder, with the plugin as in a checkout."""
    told = subprocess.run(
        [*PYTEST, "-W", "error", "-rA", *options],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return told.stdout + told.stderr


def test_the_smallest_test_is_three_lines(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SMALLEST)

    told = run(tmp_path)

    assert len(SMALLEST.strip().splitlines()) == 3
    assert "1 passed" in told, told


def test_each_test_starts_empty(tmp_path: Path) -> None:
    tests = ASKING
    for number in range(3):
        tests += f"""
def test_{number}(governance):
    assert names(governance) == []
    assert len(governance.requests) == 1
    governance.team(name="Red", virtual_keys=1)
    assert names(governance) == ["Red"]
    governance.fail_next(times=None)
    governance.stale()
"""
    (tmp_path / "test_it.py").write_text(tests)

    told = run(tmp_path)

    assert "3 passed" in told, told


def test_all_tests_of_a_run_share_one_service(tmp_path: Path) -> None:
    tests = "".join(
        f"def test_{n}(governance):\n    print('url', governance.url)\n"
        for n in range(3)
    )
    (tmp_path / "test_it.py").write_text(tests)

    told = run(tmp_path)

    urls = re.findall(r"^url (http://\S+)$", told, re.MULTILINE)
    assert len(urls) == 3, told
    assert len(set(urls)) == 1


def test_each_worker_of_xdist_has_a_service_of_its_own(tmp_path: Path) -> None:
    tests = (
        "".join(
            f"def test_{n}(governance, worker_id):\n"
            "    print('at', worker_id, governance.url)\n"
            "    governance.team(name=worker_id)\n"
            "    assert names(governance) == [worker_id]\n"
            for n in range(12)
        )
        + ASKING
    )
    (tmp_path / "test_it.py").write_text(tests)

    told = run(tmp_path, "-p", "xdist", "-n", "2")

    assert "12 passed" in told, told
    found = set(re.findall(r"^at (gw\d) (http://\S+)$", told, re.MULTILINE))
    assert len(found) == len({url for _, url in found})
    assert {worker for worker, _ in found} == {"gw0", "gw1"}


def test_it_costs_nothing_until_it_is_asked_for(tmp_path: Path) -> None:
    tests = (
        "import sys\n"
        "def test_it():\n"
        "    ours = {n for n in sys.modules if n.startswith('governance_lists')}\n"
        "    assert ours == {'governance_lists', 'governance_lists.pytest_plugin'}\n"
    )
    (tmp_path / "test_it.py").write_text(tests)

    assert "1 passed" in run(tmp_path)


def test_none_of_the_service_is_imported_into_the_tests(tmp_path: Path) -> None:
    tests = (
        "import sys\n"
        "def test_it(governance):\n"
        "    governance.team(name='Red')\n"
        "    names = {'app', 'models', 'flask', 'peewee', 'granian', 'marshmallow'}\n"
        "    assert names.isdisjoint(sys.modules)\n"
    )
    (tmp_path / "test_it.py").write_text(tests)

    assert "1 passed" in run(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_service_is_left_when_a_run_is_killed(tmp_path: Path, number: int) -> None:
    (tmp_path / "test_it.py").write_text(
        "import time\n"
        "def test_it(governance):\n"
        "    open('started', 'w').close()\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        PYTEST,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = DEADLINE * 100
        while not (tmp_path / "started").exists() and (deadline := deadline - 1):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
        running = members(process.pid)

        process.send_signal(number)
        process.wait()

        assert len(running) == 2
        assert wait_until_none(process.pid, 10)
    finally:
        for left in members(process.pid):
            os.kill(left, signal.SIGKILL)


def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SMALLEST)
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        "from governance_lists.client import GovernanceLists\n"
        "@pytest.fixture(scope='session')\n"
        "def governance_server():\n"
        "    with GovernanceLists('missing.json') as server:\n"
        "        yield server\n"
    )

    told = run(tmp_path)

    assert "1 error" in told
    assert "the service did not start" in told
    assert "missing.json" in told


def test_the_test_in_the_readme_is_three_lines_and_passes(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("\n## In a test suite\n")[2].partition("\n## ")[0]
    shown = section.partition("```python\n")[2].partition("```")[0]
    report = (ROOT / "examples" / "python" / "report.py").read_text()
    (tmp_path / "report.py").write_text(report)
    (tmp_path / "test_it.py").write_text(
        f"from report import over_budget as my_report\n{shown}"
    )

    told = run(tmp_path)

    assert len(shown.splitlines()) == 3
    assert "1 passed" in told, told
