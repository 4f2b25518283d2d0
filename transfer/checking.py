"""Find what is wrong in a database's rows. Nothing is mended, and no secret named."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson
from marshmallow import ValidationError

import values
from fields import Text
from models import (
    BUDGET_OWNERS,
    MODELS,
    Budget,
    Model,
    ModelConfig,
    Provider,
    ProviderConfig,
    ProviderConfigKey,
    RateLimit,
    Row,
    VirtualKey,
    column_names,
    noun,
    references,
    unique_columns,
)
from store.encryption import ENCRYPTED
from store.relations import VIRTUAL_KEY, Index
from store.rows import Rows
from transfer.config_schemas import stored_fields

UNSET = (None, "")
OWNERLESS = "belongs to no customer, team, virtual key, provider or model config"
LISTED = 3  # owners of a budget that are named; there may be thousands


@dataclass(frozen=True)
class Finding:
    """A problem of a row; `column` is empty where it is not one column's."""

    table: str
    row_id: str | int
    column: str
    problem: str

    def __str__(self) -> str:
        words = f"{self.column} {self.problem}" if self.column else self.problem
        return f"{self.table} {quoted(self.row_id)}: {words}"


Findings = Iterator[Finding]
Check = Callable[[Any], object]  # raises what says that a value is wrong
Owner = tuple[Model, Any]


def check_rows(rows: Rows) -> list[Finding]:
    """Return all findings, by table and row."""
    index = Index(rows)
    checks = (
        *(_kinds, dangling, _doubles, _usages),
        *(_owners, _scopes, _virtual_keys, _providers),
    )
    findings = chain.from_iterable(check(index) for check in checks)
    order = {model._meta.table_name: place for place, model in enumerate(MODELS)}
    return sorted(findings, key=lambda f: (order[f.table], str(f.row_id).rjust(20)))


def count(rows: Rows) -> dict[str, int]:
    """Return how many there are of each thing, by its name ("virtual_keys")."""
    return {
        f"{noun(model).lower().replace(' ', '_')}s": len(rows[model])
        for model in MODELS
        if model is not ProviderConfigKey
    }


def quoted(row_id: Any) -> str:
    return str(row_id) if isinstance(row_id, int) else f'"{values.text(row_id)}"'


def _finding(model: Model, row: Row, column: str, problem: str) -> Finding:
    row_id = row[0] if isinstance(row[0], int) else values.text(row[0])
    return Finding(model._meta.table_name, row_id, column, problem)


def _kinds(index: Index) -> Findings:
    """Find values that are missing, or not of their column's kind."""
    for model in index.rows:
        for column in column_names(model):
            rows = _legible(index.rows[model], column)
            check, missing = _rule(model, column)
            wrong = {}
            for value in {getattr(row, column) for row in rows}:  # each once
                if problem := missing if value in UNSET else _problem(check, value):
                    wrong[value] = problem
            for row in rows if wrong else ():
                if (value := getattr(row, column)) in wrong:
                    yield _finding(model, row, column, wrong[value])


def _rule(model: Model, column: str) -> tuple[Check, str]:
    """Return a check of a column's values, and the problem of one that is unset."""
    field = stored_fields(model).get(column)
    check = field.check if field else _CHECKS[model._meta.fields[column].field_type]
    needed = column == "name" or (model is VirtualKey and column == "value")
    return check, "is missing" if needed or (field and field.required) else ""


# Of columns that files say nothing of, by their types.
_CHECKS: dict[str, Check] = {
    "TEXT": Text().check,
    "REAL": values.number,
    "INTEGER": values.number,
    "NUMERIC": values.flag,
    "DATETIME": values.rfc3339,
}


def _problem(check: Check, value: Any) -> str:
    """Return what is wrong with a value; empty where nothing is."""
    try:
        check(value)
    except ValidationError as wrong:
        return str(wrong.messages[0])
    except orjson.JSONDecodeError:
        return "is not JSON"  # its own words could quote what is stored
    except (ValueError, RecursionError) as wrong:
        return str(wrong)
    except TypeError:
        return "is not text"  # as every time and all JSON is
    return ""


def _legible(rows: list[Row], column: str) -> list[Row]:
    if column != "value":
        return rows
    return [row for row in rows if row.encryption_status != ENCRYPTED]


def dangling(index: Index) -> Findings:
    """Find references to rows that are not there."""
    ids = {model: {row[0] for row in rows} for model, rows in index.rows.items()}
    for model, rows in index.rows.items():
        for column, to in references(model).items():
            if to is Provider and not ids[to]:
                continue  # a file may lack providers: their keys name them too
            for row in rows:
                wanted = getattr(row, column)
                if to is Provider and wanted == 0:
                    continue  # gateways' answers do not say it
                if wanted not in UNSET and wanted not in ids[to]:
                    problem = f"names no {noun(to)} {quoted(wanted)}"
                    yield _finding(model, row, column, problem)


def _doubles(index: Index) -> Findings:
    """Find values that are there twice and should be there only once."""
    for model in index.rows:
        expected = getattr(model._meta, "expected_unique", ())
        for columns in (*((name,) for name in unique_columns(model)), *expected):
            yield from _alike(model, index.rows[model], columns)


def _alike(model: Model, rows: list[Row], columns: tuple[str, ...]) -> Findings:
    """Find rows with the same values in these columns, of which the last is set."""
    first: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(getattr(row, column) or None for column in columns)
        other: Row = first.setdefault(key, row)
        if key[-1] is not None and other is not row:
            problem = f"is that of {quoted(other[0])} too"
            yield _finding(model, row, columns[-1], problem)


def _usages(index: Index) -> Findings:
    """Find usage beyond its limit, and limits that are never reset."""
    for row in index.rows[Budget]:
        yield from _usage(Budget, row, "current_usage", "max_limit")
    for row in index.rows[RateLimit]:
        for half in ("token", "request"):
            limit, duration = f"{half}_max_limit", f"{half}_reset_duration"
            yield from _usage(RateLimit, row, f"{half}_current_usage", limit)
            if getattr(row, limit) not in UNSET and getattr(row, duration) in UNSET:
                yield _finding(RateLimit, row, duration, f"is missing beside {limit}")


def _usage(model: Model, row: Row, column: str, limit_column: str) -> Findings:
    with suppress(ValueError):  # what is no number is found elsewhere
        usage = values.number(getattr(row, column))
        limit = values.number(getattr(row, limit_column))
        if usage > limit:
            problem = f"is {usage}, above {limit_column}, {limit}"
            yield _finding(model, row, column, problem)


def _owners(index: Index) -> Findings:
    """Find budgets that belong to nobody, or to more than one."""
    naming: dict[Any, list[Owner]] = defaultdict(list)
    naming_models: tuple[Model, ...] = (*BUDGET_OWNERS.values(), Provider)
    for model in naming_models:
        for row in index.rows[model]:
            if row.budget_id not in UNSET:
                naming[row.budget_id].append((model, row.id))
    for row in index.rows[Budget]:
        named = [
            (model, getattr(row, column))
            for column, model in BUDGET_OWNERS.items()
            if getattr(row, column) not in UNSET
        ]
        owners = list(dict.fromkeys(named + naming.get(row.id, [])))
        if len(owners) > 1:
            how = "belongs to" if len(named) > 1 else "is shared through budget_id by"
            yield _finding(Budget, row, "", f"{how} {_listed(owners)}")
        elif not owners:
            yield _finding(Budget, row, "", OWNERLESS)


def _listed(owners: list[Owner]) -> str:
    names = [f"{noun(model)} {quoted(row_id)}" for model, row_id in owners[:LISTED]]
    more = f" and {len(owners) - LISTED} more" if len(owners) > LISTED else ""
    return ", ".join(names) + more


def _scopes(index: Index) -> Findings:
    """Find model configs of virtual keys that are not there."""
    for row in index.rows[ModelConfig]:
        of_a_key = row.scope == VIRTUAL_KEY and row.scope_id not in index.virtual_key
        if of_a_key:
            problem = f"names no virtual key {quoted(row.scope_id)}"
            yield _finding(ModelConfig, row, "scope_id", problem)


def _virtual_keys(index: Index) -> Findings:
    """Find virtual keys of two owners, and those whose hash is not their value's."""
    for row in index.rows[VirtualKey]:
        if row.team_id not in UNSET and row.customer_id not in UNSET:
            yield _finding(VirtualKey, row, "customer_id", "is set beside team_id")
        if row.value and row.value_hash:
            value = values.text(row.value).encode()
            if hashlib.sha256(value).hexdigest() != row.value_hash:
                problem = "is not the SHA-256 of the value"
                yield _finding(VirtualKey, row, "value_hash", problem)


def _providers(index: Index) -> Findings:
    """Find provider configs without their provider, or with keys of another."""
    names = {row.name for row in index.rows[Provider]}
    for row in index.rows[ProviderConfig]:
        if names and row.provider and row.provider not in names:
            problem = f"names no provider {quoted(row.provider)}"
            yield _finding(ProviderConfig, row, "provider", problem)
        for key in index.provider_keys(row):
            if key.provider and row.provider and key.provider != row.provider:
                of_key = f"its key {quoted(key.name)} is of {quoted(key.provider)}"
                problem = f"is {quoted(row.provider)}, but {of_key}"
                yield _finding(ProviderConfig, row, "provider", problem)
