"""Files and answers of gateways of July 2026, loaded, exported and loaded again.

Needs their files, in the folders that GATEWAY_JULY (with SQLite) and GATEWAY_POSTGRES
(responses alone) name.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from capture_folders import folder_of
from captures import comparable
from exported import taken_back
from reading import answers, lists, rows_of

from models import SHOWN_OWNERS, Budget, McpClient, ModelConfig
from transfer.checking import check_rows
from transfer.loading import load_files

# What the answers of a gateway say only in part of a provider's key.
NOT_SAID = {"provider_id", "created_at", "updated_at", "config_hash"}
NOT_SAID |= {"use_for_batch_api"}
# What went on between an answer and the next, or the copy of the database.
GOES_ON = ("last_reset", "current_usage", "token_last_reset", "token_current_usage")
GOES_ON += ("request_last_reset", "request_current_usage")


@pytest.fixture
def july() -> Path:
    return folder_of("GATEWAY_JULY")


def responses(folder: Path) -> list[Path]:
    return sorted((folder / "responses").glob("*.json"))


def differences(ours: Any, theirs: Any, at: str = "") -> Iterator[str]:
    """The names of the members that differ, with what they stand in."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in ours.keys() | theirs.keys():
            yield from differences(ours.get(name), theirs.get(name), f"{at}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        assert len(ours) == len(theirs), at
        for one, other in zip(ours, theirs, strict=True):
            yield from differences(one, other, at)
    elif ours != theirs:
        yield at


@pytest.mark.parametrize("name", ["config.db", "encrypted.db"])
def test_a_copy_of_a_database_of_july_answers_byte_for_byte(
    july: Path, tmp_path: Path, name: str
) -> None:
    load_files([july / name], tmp_path / "own.db")

    assert lists(tmp_path / "own.db") == lists(july / name)


def test_all_answers_at_once_agree_with_their_database(
    july: Path, tmp_path: Path
) -> None:
    load_files(responses(july), tmp_path / "own.db")

    different = set(
        differences(answers(tmp_path / "own.db"), answers(july / "config.db"))
    )

    unexpected = [
        at
        for at in different
        if not at.endswith(GOES_ON)
        and not (
            at.rpartition(".")[0].endswith(".keys") and at.split(".")[-1] in NOT_SAID
        )
    ]
    assert unexpected == []


@pytest.mark.parametrize("variable", ["GATEWAY_JULY", "GATEWAY_POSTGRES"])
def test_all_answers_at_once_leave_nothing_odd(variable: str, tmp_path: Path) -> None:
    load_files(responses(folder_of(variable)), tmp_path / "own.db")

    found = [str(finding) for finding in check_rows(rows_of(tmp_path / "own.db"))]

    loose = "belongs to no customer, team, virtual key, provider or model config"
    unexpected = [line for line in found if loose not in line and "above" not in line]
    assert unexpected == []


@pytest.mark.parametrize("variable", ["GATEWAY_JULY", "GATEWAY_POSTGRES"])
def test_each_answer_loads_by_itself_and_into_what_is_there(
    variable: str, tmp_path: Path
) -> None:
    files = responses(folder_of(variable))
    at_once = tmp_path / "at-once.db"
    load_files(files, at_once)

    for number, file in enumerate(files):
        load_files([file], tmp_path / f"{number}.db")
        load_files([file], at_once)


def test_the_answers_of_virtual_keys_alone_have_their_model_configs(
    july: Path, tmp_path: Path
) -> None:
    load_files([july / "responses" / "virtual-keys.json"], tmp_path / "own.db")

    theirs = rows_of(july / "config.db")[ModelConfig]
    places = {
        (row.scope_id, row.provider or None, row.model_name)
        for row in theirs
        if row.scope == "virtual_key" and row.model_name == "*"
    }
    ours = {
        (row.scope_id, row.provider or None, row.model_name)
        for row in rows_of(tmp_path / "own.db")[ModelConfig]
    }
    assert places
    assert places <= ours


def test_a_config_gives_what_its_gateway_made_of_it(july: Path, tmp_path: Path) -> None:
    config = json.loads((july / "config.json").read_bytes())["governance"]
    load_files([july / "config.json"], tmp_path / "own.db")

    ours, theirs = answers(tmp_path / "own.db"), answers(july / "config.db")

    for name in ("customers", "teams"):
        by_id = {entity["id"]: entity for entity in theirs[name]}
        assert [entity["id"] for entity in ours[name]] == [
            e["id"] for e in config[name]
        ]
        for entity in ours[name]:
            assert comparable(entity) == comparable(by_id[entity["id"]])


def test_the_answer_of_mcp_clients_alone_has_them(july: Path, tmp_path: Path) -> None:
    load_files([july / "responses" / "mcp-clients.json"], tmp_path / "own.db")

    ours = {row.name: row for row in rows_of(tmp_path / "own.db")[McpClient]}
    theirs = rows_of(july / "config.db")[McpClient]
    assert sorted(ours) == sorted(row.name for row in theirs)
    for row in theirs:
        tls = json.loads(row.tls_config_json or "{}").get("insecure_skip_verify")
        kept = json.loads(ours[row.name].tls_config_json or "{}")
        assert kept.get("insecure_skip_verify") == tls


@pytest.mark.parametrize("file", ["config.json", "config.db", "responses"])
def test_no_secret_of_a_gateway_is_stored(
    july: Path, tmp_path: Path, file: str
) -> None:
    files = responses(july) if file == "responses" else [july / file]

    load_files(files, tmp_path / "own.db")

    assert b"SECRET-" not in (tmp_path / "own.db").read_bytes()


@pytest.mark.parametrize("layout", ["older", "newer"])
@pytest.mark.parametrize("file", ["config.json", "config.db"])
def test_what_is_exported_loads_as_it_was(
    july: Path, tmp_path: Path, file: str, layout: str
) -> None:
    own = tmp_path / "own.db"
    load_files([july / file], own)

    assert lists(taken_back(own, layout)) == lists(own)


@pytest.mark.parametrize("layout", ["older", "newer"])
def test_what_is_exported_of_answers_loads_as_it_was(
    july: Path, tmp_path: Path, layout: str
) -> None:
    own = tmp_path / "own.db"
    load_files(responses(july), own)

    back = taken_back(own, layout)

    # Answers do not say the numbers of providers, which go by the order of their names.
    different = set(differences(answers(own), answers(back)))
    assert {at.rpartition(".")[2] for at in different} <= {"provider_id"}


def test_an_export_in_the_newer_layout_holds_what_a_gateway_asks_of_it(
    july: Path, tmp_path: Path
) -> None:
    # It makes budgets first, with the owners that they name once these are there; a
    # budget that named a model config would end its start.
    from transfer.exporting import export_config

    shutil.copy(july / "config.db", tmp_path)
    rows = rows_of(tmp_path / "config.db")

    config = export_config(rows, layout="newer", with_secrets=True)

    governance = config["governance"]
    ids = {budget["id"] for budget in governance["budgets"]}
    nested = {
        budget["id"]
        for key in governance["virtual_keys"]
        for part in key["provider_configs"]
        for budget in part["budgets"]
    }
    assert ids.isdisjoint(nested)
    assert ids | nested == {row.id for row in rows[Budget]}
    listed = [id for row in governance["model_configs"] for id in row["budget_ids"]]
    owned = {b["id"] for b in governance["budgets"] if not b.keys().isdisjoint(OWNERS)}
    assert len(listed) == len(set(listed))
    assert set(listed) <= ids - owned
    assert "model_config_id" not in json.dumps(governance["budgets"])


OWNERS = set(SHOWN_OWNERS)
