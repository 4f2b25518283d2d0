"""`flask spend`: who has used how much of which budget, as a table, CSV or JSON."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from commands.running import current_encryption, current_settings, fail

if TYPE_CHECKING:
    from snapshot.spending import Spending

Table = list[dict[str, Any]]

# What stands at the left of a row, by what rows are summed up by.
OWNERS = {
    "": ("kind", "id", "name", "customer_id", "customer", "team_id", "team"),
    "customer": ("customer_id", "customer", "kind"),
    "team": ("team_id", "team", "customer_id", "customer", "kind"),
    "key": ("virtual_key_id", "virtual_key", "team", "customer", "kind"),
}
NUMBERS = {"used", "limit", "percent", "budgets"}
# A spreadsheet would calculate a text that begins so.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@click.command()
@click.option("--by", type=click.Choice(["customer", "team", "key"]), help="Sums.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated, for a sheet.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def spend(by: str | None, as_csv: bool, as_json: bool) -> None:
    """Print who has used how much of which budget, the most used share first.

    A row a budget; with --by, the sums of those within each customer, team or key.
    """
    from snapshot import spending
    from store.relations import Index

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    index = Index(_rows())
    found = [*spending.of_customers_and_teams(index), *spending.of_virtual_keys(index)]
    if by is not None:
        found = spending.summed(found, "virtual_key" if by == "key" else by)
    table = [_row(each, by or "") for each in spending.by_share(found)]
    if as_json:
        click.echo(json.dumps(table, ensure_ascii=False))
    elif as_csv:
        _print_csv(table, _columns(by or ""))
    else:
        _print_table(table)


def _columns(by: str) -> list[str]:
    counted = "budgets" if by else "budget_id"
    amounts = ("period", "used", "limit", "percent", "resets_at")
    return [*OWNERS[by], "provider", "model", counted, *amounts]


def _row(spending: "Spending", by: str) -> dict[str, Any]:
    resets_at = spending.resets_at
    members = vars(spending) | {
        "budgets": len(spending.budget_ids),
        "budget_id": spending.budget_ids[0],
        "percent": round(100 * spending.share, 2) if spending.limit > 0 else None,
        "resets_at": resets_at and f"{resets_at:%Y-%m-%dT%H:%M:%SZ}",
        **{name: getattr(spending.owner, name) for name in OWNERS[by]},
    }
    return {name: members[name] for name in _columns(by)}


def _print_csv(table: Table, columns: list[str]) -> None:
    import csv

    lines = csv.DictWriter(sys.stdout, columns)  # lines end as RFC 4180 says
    lines.writeheader()
    for row in table:
        lines.writerow({name: _harmless(value) for name, value in row.items()})


def _harmless(value: Any) -> Any:
    formula = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if formula else value


def _print_table(table: Table) -> None:
    """Print rows as aligned columns, without ids and columns that say nothing."""
    names = [
        name
        for name in (table[0] if table else ())
        if not name.endswith("id") and any(row[name] not in ("", None) for row in table)
    ]
    cells = [[name.upper().replace("_", " ") for name in names]]
    cells += [[_shown(name, row) for name in names] for row in table]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = [
            _padded(cell, width, right=name in NUMBERS)
            for name, cell, width in zip(names, line, widths, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def _shown(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if value in ("", None):
        value = row.get("id" if name == "name" else f"{name}_id") or "-"
    if name in ("used", "limit") and isinstance(value, float):
        return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
    if name == "percent" and value != "-":
        return f"{value:.1f}"
    # A name must not write to the terminal.
    return "".join(c if c.isprintable() else "\ufffd" for c in str(value))


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    import unicodedata

    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _padded(text: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return f"{blanks}{text}" if right else f"{text}{blanks}"


def _rows() -> Any:
    from models import MODELS, REQUIRED
    from store.failures import DatabaseUnavailable
    from store.readers import read_once

    settings, encryption = current_settings(), current_encryption()
    try:
        return read_once(settings.database, MODELS, REQUIRED, encryption)
    except DatabaseUnavailable as problem:
        fail(str(problem))
