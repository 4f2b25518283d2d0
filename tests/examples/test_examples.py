"""The examples' own tests, where their tools are there."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from service import ROOT

EXAMPLES = ROOT / "examples"
TESTS = 7  # each example has the same ones
DEADLINE = 500  # Go compiles its libraries when it first needs them

pytestmark = pytest.mark.timeout(DEADLINE + 10)


def run(folder: str, *command: str, **environment: str) -> str:
    """The output of a command in an example's folder."""
    told = subprocess.run(
        command,
        cwd=EXAMPLES / folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
            "GOVERNANCE_LISTS": f"{sys.executable} -m governance_lists",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return f"{told.stdout}{told.stderr}\nexit status {told.returncode}"


def test_the_tests_in_python_pass() -> None:
    ours = ("-p", "governance_lists.pytest_plugin", "-p", "no:cacheprovider")
    alone = ("--rootdir", ".", "-c", os.devnull, "-W", "error")

    told = run("python", sys.executable, "-m", "pytest", *ours, *alone)

    assert f"{TESTS} passed" in told, told


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_the_tests_in_javascript_pass() -> None:
    told = run("node", "node", "--test")

    assert re.search(rf"^\S+ pass {TESTS}$", told, re.MULTILINE), told
    assert told.endswith("exit status 0")


@pytest.mark.skipif(not shutil.which("go"), reason="needs Go")
def test_the_tests_in_go_pass() -> None:
    told = run("go", "go", "test", "-count=1", "-v", ".", GOFLAGS="-mod=mod")

    assert told.count("--- PASS") == TESTS, told
    assert told.endswith("exit status 0")
