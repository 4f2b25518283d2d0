"""The installed package: one importable name, one command, in nobody's way."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from package import ROOT, build, install
from packaging.requirements import Requirement
from service import DEADLINE, Service, end, environment, settings_in

from commands.command_line import COMMANDS

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_INSTALLED = {"tests", "benchmarks", "docs", "examples", "data", ".ci"}
NOT_INSTALLED |= {"hatch_build.py"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the package installed."""
    return install(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, whose modules have the names that ours have."""
    for name in ("app", "models", "schemas", "settings", "store", "web", "commands"):
        (tmp_path / f"{name}.py").write_text(f"whose = 'theirs: {name}'\n")
    return tmp_path


@pytest.fixture
def run(programs: Path, project: Path) -> Run:
    """run("python", "-c", "…"): a program of that environment, in the project."""

    def run(
        program: str, *arguments: str, folder: Path = project, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [programs / program, *arguments],
            cwd=folder,
            env=environment({**settings_in(project), **variables}),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


def hostile(project: Path) -> dict[str, str]:
    """An environment that names the project's application, as that project may."""
    return {"FLASK_APP": "app:whose", "PYTHONPATH": str(project)}


# What it holds


def test_every_file_of_the_service_is_in_the_wheel_and_nothing_else(
    wheel: Path,
) -> None:
    inside = [n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n]
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    parts = [path for path in tracked if path.partition("/")[0] not in NOT_INSTALLED]
    ours = [path for path in parts if "/" in path or path.endswith(".py")]

    expected = {
        path if path.startswith("governance_lists/") else f"{SERVICE}/{path}"
        for path in ours
        if (ROOT / path).is_file()
    }

    assert set(inside) == expected | {f"{SERVICE}/data/demo.json"}
    assert len(inside) == len(set(inside))


SERVICE = "governance_lists/_service"


def test_it_needs_what_the_requirements_pin() -> None:
    requirements = (ROOT / "requirements.txt").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\d.]+)$", requirements, re.M))
    needed = [Requirement(text) for text in PYPROJECT["project"]["dependencies"]]

    assert {each.name for each in needed} == set(pinned)
    assert [r for r in needed if pinned[r.name] not in r.specifier] == []


# Beside a project


@pytest.mark.parametrize("name", ["app", "models", "store"])
def test_a_projects_own_modules_are_imported_in_its_folder(run: Run, name: str) -> None:
    told = run("python", "-c", f"import {name}; print({name}.whose)")

    assert told.stdout == f"theirs: {name}\n"


@pytest.mark.parametrize("name", ["app", "models", "values", "web", "_service"])
def test_none_of_the_services_modules_is_importable_by_its_plain_name(
    run: Run, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    told = run("python", "-c", f"import {name}", folder=elsewhere)

    assert f"No module named '{name}'" in told.stderr


def test_importing_the_package_imports_nothing_of_the_service(run: Run) -> None:
    code = (
        "import sys; before = set(sys.modules); import governance_lists;"
        "print(sorted(set(sys.modules) - before))"
    )

    assert run("python", "-c", code).stdout == "['governance_lists']\n"


def test_all_commands_are_listed_whatever_flask_app_says(
    run: Run, project: Path
) -> None:
    told = run("governance-lists", "--help", **hostile(project))

    listed = re.findall(r"^  ([a-z][a-z-]+)  ", told.stdout, re.M)
    assert listed == sorted(str(command.name) for command in COMMANDS)


def test_commands_work_from_a_projects_folder(run: Run, project: Path) -> None:
    (project / "red.json").write_text('{"teams": [{"id": "red", "name": "Red"}]}')
    names = hostile(project)

    loaded = run("governance-lists", "load", "red.json", **names)
    checked = run("governance-lists", "check", "--json", **names)
    exported = run("governance-lists", "export", **names)
    made = run("governance-lists", "api-key", "create", "mine", **names)
    token = run("governance-lists", "token", "admin", **names)

    assert "rows 1 added" in loaded.stdout
    assert json.loads(checked.stdout)["counts"]["teams"] == 1
    assert json.loads(exported.stdout)["governance"]["teams"][0]["id"] == "red"
    assert made.stdout.startswith("bfst-")
    assert token.stdout.count(".") == 2


def test_a_wrong_setting_is_one_plain_sentence(run: Run) -> None:
    told = run("governance-lists", "check", GOVERNANCE_AUTH="perhaps")

    assert told.returncode == 1
    assert told.stderr == ("Error: GOVERNANCE_AUTH is 'perhaps'; it takes on or off\n")


@pytest.mark.parametrize(
    "program", [["governance-lists"], ["python", "-m", "governance_lists"]]
)
def test_the_demo_is_served_beside_a_project(
    programs: Path, project: Path, program: list[str]
) -> None:
    """With the demo's data, which come with the package, in the folder's data/."""
    process = subprocess.Popen(
        [programs / program[0], *program[1:], "demo", "--port", "0"],
        cwd=project,
        env=environment(hostile(project)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        service = Service.of(process)
        key = (project / "data" / "demo-api-key").read_text().strip()
        response, body = service.request("/api/governance/customers", key)
    finally:
        end(process)

    assert (response.status, json.loads(body)["count"]) == (200, 3)
    assert sorted(os.listdir(project / "data")) == [
        "access.db",
        "demo-api-key",
        "governance.db",
    ]


@pytest.mark.parametrize("seconds", [0, 0.03, 0.1])
@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["load", "-"]])
def test_ctrl_c_while_libraries_are_loaded_ends_quietly(
    programs: Path, project: Path, command: list[str], seconds: float
) -> None:
    process = subprocess.Popen(
        [programs / "governance-lists", *command],
        cwd=project,
        env=environment(settings_in(project)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Python itself, before it has reached us, says whatever it likes.
    wait_until(lambda: catches_ctrl_c(process.pid))
    wait_until(lambda: not catches_ctrl_c(process.pid))
    time.sleep(seconds)

    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=DEADLINE) == ("", "")
    assert process.returncode == -signal.SIGINT


def catches_ctrl_c(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGINT - 1) & 1)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


# In a checkout


def test_a_checkout_has_the_same_command() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "governance_lists", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout

    assert "Usage: governance-lists " in told


def test_advice_names_the_command_that_was_run(run: Run) -> None:
    told = run("governance-lists", "serve", "--port", "0")

    assert told.stderr.endswith("or make one with: governance-lists generate\n")


# The pytest plugin


def test_the_fixture_comes_with_the_package(run: Run, project: Path) -> None:
    (project / "test_red.py").write_text(
        "import app\n"
        "def test_red(governance):\n"
        "    assert governance.team(name='Red')['id'] == 'team-red'\n"
        "    assert app.whose == 'theirs: app'\n"
    )
    # By the name of its entry point, without those of others: they take their time.
    only = ("-p", "governance_lists", "-p", "no:cacheprovider")

    told = run("python", "-m", "pytest", *only, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")

    assert "1 passed" in told.stdout, told.stdout + told.stderr
