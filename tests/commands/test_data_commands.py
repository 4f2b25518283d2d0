"""The wiring of the commands that bring data in, look through it and give it out."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Run, run_in
from fake_gateway import FakeGateway
from flask import Flask

TEAM = {"id": "t", "name": "Team", "customer_id": "c"}
BUDGET = {"id": "b", "max_limit": 5, "reset_duration": "1d", "current_usage": 9}
CONFIG = {
    "customers": [{"id": "c", "name": "Customer"}],
    "teams": [{**TEAM, "budgets": [BUDGET]}, {**TEAM, "id": "u", "name": "Other"}],
    "virtual_keys": [{"id": "v", "name": "Key", "value": "sk-bf-v"}],
}


@pytest.fixture
def run(app: Flask) -> Run:
    """run("load", "file.json"): a command as the `flask` program runs it."""
    return lambda *args: run_in(app, *args)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path, CONFIG)


def write(folder: Path, governance: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({"governance": governance}))
    return path


# flask load


def test_load_notes_what_it_passes_over(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, {"teams": [{"id": "t", "name": "T", "colour": 1}]})

    result = run("load", path)

    line = f"note: {path}: governance.teams[0].colour: not known, passed over"
    assert result.stderr.splitlines() == [line]
    assert "rows 1 added" in result.stdout


def test_load_strict_takes_nothing_then(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, {"teams": [{"id": "t", "name": "T", "colour": 1}]})

    result = run("load", path, "--strict")

    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{path}: governance.teams[0].colour: not known, passed over",
        "Error: nothing was loaded: 1 found wrong",
    ]
    assert not (tmp_path / "config.db").exists()


def test_load_notes_misspelt_names_beside_what_is_wrong(
    run: Run, tmp_path: Path
) -> None:
    path = write(tmp_path, {"budgets": [{**BUDGET, "max_limit": None, "max_limt": 1}]})

    result = run("load", path)

    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"note: {path}: governance.budgets[0].max_limt: not known, passed over;"
        ' did you mean "max_limit"?',
        f"{path}: governance.budgets[0].max_limit: is missing",
        "Error: nothing was loaded: 1 found wrong",
    ]


def test_load_cuts_a_long_list_of_notes(run: Run, tmp_path: Path) -> None:
    team = {"id": "t", "name": "T"} | {f"own_{n}": n for n in range(23)}

    result = run("load", write(tmp_path, {"teams": [team]}))

    lines = result.stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "note: and 3 more; flask --app app check lists them all"


# flask pull


def test_pull_loads_what_the_gateway_answers(run: Run, tmp_path: Path) -> None:
    with FakeGateway("july") as gateway:
        result = run("pull", gateway.url)
        again = run("pull", gateway.url)

    assert result.exit_code == 0
    assert result.stdout.startswith(f"loaded into {tmp_path}/config.db: rows ")
    assert "rows 0 added, 0 changed, 0 removed" in again.stdout


def test_pull_says_what_stops_it(run: Run) -> None:
    with FakeGateway("july", authorization="Basic x") as gateway:
        result = run("pull", gateway.url)

    assert result.exit_code == 1
    assert "answered 401: set GATEWAY_TOKEN" in result.stderr


# flask generate


def test_generate_says_what_there_is(run: Run) -> None:
    result = run("generate", "--customers", 2, "--teams", 2, "--keys", 3)

    assert result.exit_code == 0
    assert "2 customers, 4 teams, 12 virtual keys" in result.stdout


# flask export


def test_export_writes_what_load_takes(run: Run, config: Path, tmp_path: Path) -> None:
    run("load", config)
    file = tmp_path / "out.json"

    result = run("export", file, "--with-secrets")

    assert result.stdout == f"exported {tmp_path}/config.db to {file}\n"
    assert result.stderr == ""
    assert "rows 0 added" in run("load", file, "--replace").stdout


def test_export_notes_that_values_stay_out(run: Run, config: Path) -> None:
    run("load", config)

    result = run("export")

    assert "sk-bf-v" not in result.stdout
    assert result.stderr.splitlines() == [
        "note: without virtual keys' values; loading it makes new ones"
    ]


def test_export_notes_what_gateways_of_the_layout_do_not_take(
    run: Run, tmp_path: Path
) -> None:
    teams = [
        {"id": "t", "name": "Red", "budgets": [BUDGET, {**BUDGET, "id": "c"}]},
        {"id": "u", "name": "Red"},
    ]
    run("load", write(tmp_path, {"teams": teams}))

    older = run("export", "--with-secrets").stderr.splitlines()
    newer = run("export", "--layout", "newer", "--with-secrets").stderr.splitlines()

    assert older == [
        'note: team "t": older gateways know the first of its budgets only'
    ]
    assert newer == [
        'note: team "u": its name is that of "t" too; gateways since July refuse the'
        " file"
    ]


# flask check


def test_check_finds_what_is_odd_and_ends_with_1(run: Run, config: Path) -> None:
    run("load", config)

    result = run("check")

    assert result.exit_code == 1
    assert "2 teams" in result.stdout
    assert "0 model configs" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        'governance_budgets "b": current_usage is 9, above max_limit, 5'
    )


def test_check_of_files_names_what_is_not_known(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, {"teams": [{"id": "t", "name": "T", "colour": 1}]})

    result = run("check", path, "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["wrong"] == [
        f"{path}: governance.teams[0].colour: not known, passed over"
    ]


def test_check_of_what_is_fine_ends_with_0(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path, {"teams": [{"id": "t", "name": "Team"}]})

    assert run("check", path).exit_code == 0


def test_check_of_what_is_not_there_ends_with_2(run: Run, tmp_path: Path) -> None:
    assert run("check", tmp_path / "none.json").exit_code == 2
