"""Link merged budgets to their owners, and check what rows say of each other."""

from collections import Counter
from typing import Any

from models import (
    BUDGET_OWNERS,
    MODELS,
    SHOWN_OWNERS,
    Budget,
    Customer,
    Model,
    ModelConfig,
    Provider,
    ProviderConfig,
    RateLimit,
    Team,
    VirtualKey,
    noun,
    references,
    referring,
    unique_columns,
)
from store.relations import VIRTUAL_KEY as VIRTUAL_KEY_SCOPE
from transfer.merging import Merge


def link(merge: Merge) -> None:
    """Link budgets to their owners; what is wrong goes to the batch's problems."""
    _drop_left_out(merge)
    _link_claimed(merge)
    _link_named(merge)
    _check_references(merge)
    _check_virtual_keys(merge)
    _check_all_unique(merge)
    _check_rate_limits(merge)
    merge.stamp()


def _drop_left_out(merge: Merge) -> None:
    """Drop what belongs to virtual keys that were left out, unless they are there."""
    gone = merge.batch.left_out - merge.new[VirtualKey].keys()
    if gone:
        merge.drop(Budget, "virtual_key_id", gone)
        merge.drop(ModelConfig, "scope_id", gone)


def _link_claimed(merge: Merge) -> None:
    """Link the budgets that stand in their owners, or that these list."""
    for budget_id, column, owner, place in merge.batch.claims:
        key = owner
        if column == "provider_config_id":
            key = merge.numbered.get((ProviderConfig, owner))
        if budget_id not in merge.new[Budget]:
            merge.report(place, f'no budget "{budget_id}"')
        elif (
            key in merge.new[BUDGET_OWNERS[column]]
        ):  # else it could not be taken itself
            _link(merge, place, budget_id, column, key)


def _link_named(merge: Merge) -> None:
    """Turn the older link, an owner's budget_id, into the owner on the budget."""
    namers = Counter(
        item.values.get("budget_id")
        for model in SHOWN_OWNERS.values()
        for item in merge.batch.of(model)
    )
    for column, model in SHOWN_OWNERS.items():
        for item, _ in merge.rows(model):
            budget_id = item.values.get("budget_id")
            if not budget_id:
                continue
            if budget_id not in merge.new[Budget]:
                merge.report(item.at("budget_id"), f'no budget "{budget_id}"')
            elif not merge.batch.record or namers[budget_id] == 1:
                # What a record shares stays shared, by its owners' budget_id.
                _link(merge, item.at("budget_id"), budget_id, column, item.key)


def _link(merge: Merge, place: str, budget_id: Any, column: str, key: Any) -> None:
    """Make a thing the owner of a budget that has none; of a record, all it may be."""
    budget = merge.new[Budget][budget_id]
    owner = next((name for name in BUDGET_OWNERS if budget[name] is not None), None)
    if owner is None:
        merge.new[Budget][budget_id] = {**budget, column: key}
    elif (owner, budget[owner]) != (column, key) and not merge.batch.record:
        has, needs = _owner(owner, budget[owner]), _owner(column, key)
        what = f"is of {has} already; give {needs} a budget of its own"
        merge.wrong(place, f'budget "{budget_id}" {what}')


def _owner(column: str, key: Any) -> str:
    return f'{noun(BUDGET_OWNERS[column])} "{key}"'


def _check_references(merge: Merge) -> None:
    """Find references to what is not there. (Budgets of owners are linked already, and
    what stands within a virtual key is its own.)
    """
    for to in (Customer, Team):
        for model, column in referring(to):
            if model is not Budget:
                _check_reference(merge, model, column)
    _check_reference(merge, Provider, "budget_id")
    for model, column in referring(RateLimit):
        _check_reference(merge, model, column)
    for column in BUDGET_OWNERS:
        _check_reference(merge, Budget, column)
    for item, row in merge.rows(Budget):
        named = [
            (column, row[column]) for column in BUDGET_OWNERS if row[column] is not None
        ]
        if len(named) > 1:
            whose = " and ".join(_owner(*each) for each in named)
            what = f'budget "{row["id"]}" is of {whose}; give each a budget of its own'
            merge.report(item.at("id"), what)
    for item, row in merge.rows(ModelConfig):
        scoped = row["scope"] == VIRTUAL_KEY_SCOPE and row["scope_id"]
        if scoped and row["scope_id"] not in merge.new[VirtualKey]:
            # Gateways take it; it governs nothing.
            what = f'no virtual key "{row["scope_id"]}"'
            merge.batch.notes.append(f"{item.at('scope_id')}: {what}")


def _check_reference(merge: Merge, model: Model, column: str) -> None:
    to = references(model)[column]
    for item, row in merge.rows(model):
        if row[column] == "":
            row[column] = None
        if row[column] is not None and row[column] not in merge.new[to]:
            merge.report(item.at(column), f'no {noun(to)} "{row[column]}"')


def _check_virtual_keys(merge: Merge) -> None:
    for item, row in merge.rows(VirtualKey):
        if row["team_id"] is not None and row["customer_id"] is not None:
            text = "a virtual key belongs to a team or a customer, not both"
            merge.report(item.at("customer_id"), text)


def _check_all_unique(merge: Merge) -> None:
    for model in MODELS:
        for column in unique_columns(model):
            _check_unique(merge, model, column)


def _check_unique(merge: Merge, model: Model, column: str) -> None:
    first: dict[Any, Any] = {}
    for key, row in merge.new[model].items():
        other = first.setdefault(row[column], key)
        if other == key or row[column] is None:
            continue
        # The later place is to blame; a value is a secret, so it is not shown.
        blamed, named = (key, other) if (model, key) in merge.placed else (other, key)
        item, like = merge.placed.get((model, blamed)), merge.placed.get((model, named))
        place = item.place if item else "the database"
        where = like.place if like else f'"{named}" in the database'
        merge.wrong(f"{place}.{column}", f"is that of {where} too")


def _check_rate_limits(merge: Merge) -> None:
    for item, row in merge.rows(RateLimit):
        for half in ("token", "request"):
            limited = row[f"{half}_max_limit"] is not None
            if limited and row[f"{half}_reset_duration"] is None:
                place = item.at(f"{half}_reset_duration")
                if not _is_wrong(merge, place):
                    merge.report(place, f"is missing beside {half}_max_limit")


def _is_wrong(merge: Merge, place: str) -> bool:
    return any(line.startswith(f"{place}: ") for line in merge.batch.problems)
