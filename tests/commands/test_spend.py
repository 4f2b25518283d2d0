"""`flask spend`: a table, CSV and JSON."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from cli_runner import run_in
from flask import Flask
from gateway import Gateway

Spend = Callable[..., str]


@pytest.fixture
def spend(gateway: Gateway, app: Flask) -> Spend:
    """Runs the command over a team with a budget, in a customer."""
    gateway.customer("c", name="=cmd()")
    gateway.team("t", "c", name="分析 \x1b[31m")
    gateway.budget("b", "team_id", "t", current_usage=33.333, max_limit=100.5)
    gateway.virtual_key("k", team_id="t", name="+1")
    gateway.budget("b-k", "virtual_key_id", "k", current_usage=0, max_limit=0)

    def run(*options: str, exit_code: int = 0) -> str:
        result = run_in(app, "spend", *options)
        assert result.exit_code == exit_code, result.output
        return str(result.output)

    return run


def test_json_has_one_object_a_budget_with_exact_numbers(spend: Spend) -> None:
    first, second = json.loads(spend("--json"))

    assert first == {
        "kind": "team",
        "id": "t",
        "name": "分析 \x1b[31m",
        "customer_id": "c",
        "customer": "=cmd()",
        "team_id": "t",
        "team": "分析 \x1b[31m",
        "provider": "",
        "model": "",
        "budget_id": "b",
        "period": "1d",
        "used": 33.333,
        "limit": 100.5,
        "percent": 33.17,
        "resets_at": "2026-04-02T10:00:00Z",
    }
    assert (second["budget_id"], second["percent"]) == ("b-k", None)


def test_csv_has_the_same_rows_and_no_formulas(spend: Spend) -> None:
    as_json = json.loads(spend("--json"))

    rows = list(csv.DictReader(io.StringIO(spend("--csv"))))

    assert list(rows[0]) == list(as_json[0])
    assert [row["budget_id"] for row in rows] == ["b", "b-k"]
    assert (rows[0]["customer"], rows[1]["name"]) == ("'=cmd()", "'+1")
    assert rows[0]["used"] == "33.333"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1"])
def test_csv_defuses_whatever_a_spreadsheet_would_calculate(
    gateway: Gateway, spend: Spend, text: str
) -> None:
    gateway.execute("UPDATE governance_teams SET name = ?", text)

    rows = list(csv.DictReader(io.StringIO(spend("--csv"), newline="")))

    assert rows[0]["name"] == f"'{text}"


def test_csv_has_its_header_even_if_there_are_no_budgets(
    gateway: Gateway, app: Flask
) -> None:
    result = run_in(app, "spend", "--csv", "--by", "team")

    (header,) = result.output.splitlines()
    assert header.startswith("team_id,team,customer_id,customer,kind,provider,model,")


def test_the_table_is_aligned_and_shows_no_control_characters(spend: Spend) -> None:
    header, first, second = spend().splitlines()

    names = "KIND NAME CUSTOMER TEAM PERIOD USED LIMIT PERCENT RESETS AT"
    assert header.split() == names.split()
    assert "\x1b" not in first
    # Characters of the Chinese script take two columns each.
    assert first.index("=cmd()") + 2 == header.index("CUSTOMER")
    assert second.index("=cmd()") == header.index("CUSTOMER")
    assert "33.33" in first
    assert " - " in second  # no share of nothing


def test_the_table_does_not_round_small_amounts_to_nothing(
    gateway: Gateway, spend: Spend
) -> None:
    gateway.execute("UPDATE governance_budgets SET max_limit = 0.00123")

    assert "0.0012" in spend()


@pytest.mark.parametrize(
    ("by", "names"), [("customer", ["=cmd()"] * 2), ("team", ["t"] * 2), ("key", ["k"])]
)
def test_by_sums_within_each(spend: Spend, by: str, names: list[str]) -> None:
    found: list[dict[str, Any]] = json.loads(spend("--by", by, "--json"))

    column = {"customer": "customer", "team": "team_id", "key": "virtual_key_id"}[by]
    assert [row[column] for row in found] == names
    assert all(row["budgets"] == 1 for row in found)
    assert "BUDGETS" in spend("--by", by)


def test_csv_and_json_exclude_each_other(spend: Spend) -> None:
    assert "exclude each other" in spend("--csv", "--json", exit_code=2)


def test_a_missing_database_is_named(app: Flask) -> None:
    result = run_in(app, "spend")

    assert result.exit_code == 1
    assert "config.db" in result.output


def test_no_keys_value_is_shown(spend: Spend) -> None:
    assert "sk-bf-" not in spend() + spend("--json") + spend("--csv")
