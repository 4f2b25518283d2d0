"""`relations.Index`: what follows changes is what is made of all rows anew."""

import random
from typing import Any

import pytest

from models import MODELS, Budget, Customer, ProviderConfigKey, Row, Team, row_type
from store import lookups
from store.lookups import Change, Lookup
from store.relations import BUDGETS_OF, NAMED_BY, Index
from store.rows import Rows

NAMED: list[Lookup[Any]] = [each for group in NAMED_BY.values() for each in group]
LOOKUPS: list[Lookup[Any]] = [
    *(each for each in vars(Index).values() if isinstance(each, Lookup)),
    *BUDGETS_OF.values(),
    *NAMED,
]
# Few, so that rows refer to each other, and several have the same age.
IDS = ["", *(f"id-{n}" for n in range(12))]
TIMES = [None, "2026-01-01 00:00:00+00:00", "2026-01-02 00:00:00+00:00", "yesterday"]


def some_row(model: type, chance: random.Random, row_id: Any) -> Row:
    columns = {}
    for name in row_type(model)._fields:
        if name == "id":
            columns[name] = row_id
        elif name == "created_at":
            columns[name] = chance.choice(TIMES)
        elif name == "scope":
            columns[name] = chance.choice(["virtual_key", "global"])
        else:
            columns[name] = chance.choice([None, *IDS])
    return row_type(model)(**columns)


def change_some(rows: Rows, chance: random.Random, *, unique: bool) -> Rows:
    """Insert, delete, replace or move some rows of some tables."""
    changed = dict(rows)
    for model in chance.sample(MODELS, chance.randrange(1, 3)):
        table = list(rows[model])
        for _ in range(chance.choice([1, 1, 2, 5])):
            kind = chance.random()
            at = chance.randrange(len(table) + 1)
            if kind < 0.4 or not table:
                new_id = f"new-{chance.random()}" if unique else chance.choice(IDS)
                table.insert(at, some_row(model, chance, new_id))
            elif kind < 0.6:
                del table[at - 1]
            elif kind < 0.9:
                row_id = getattr(table[at - 1], "id", None)
                table[at - 1] = some_row(model, chance, row_id)
            elif unique:  # in which order rows of one id come is the table's matter
                table.insert(at - 1, table.pop())
        changed[model] = table
    return changed


def looked_up(index: Index) -> list[Any]:
    """All lookups. The order of dicts does not matter, nor that of what has none."""
    found: list[Any] = []
    for each in LOOKUPS:
        made = index.lookup(each)
        if each.model is ProviderConfigKey or each in NAMED:
            made = {owner: sorted(rows, key=str) for owner, rows in made.items()}
        found.append(made)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unique", [True, False], ids=["unique ids", "any ids"])
def test_an_index_that_follows_changes_is_the_one_made_anew(
    monkeypatch: pytest.MonkeyPatch, seed: int, unique: bool
) -> None:
    monkeypatch.setattr(lookups, "LARGE_CHANGE", 1000)  # follow, however much it is
    chance = random.Random(seed)
    rows: Rows = {model: [] for model in MODELS}
    index = Index(rows)
    looked_up(index)

    for _ in range(200):
        rows = change_some(rows, chance, unique=unique)
        index = Index(rows, index)

        assert looked_up(index) == looked_up(Index(rows))


def test_a_large_change_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    before = Index({model: [] for model in MODELS})
    looked_up(before)

    def fail(*args: Any) -> None:
        raise AssertionError("it was followed")

    for kind in (lookups.RowById, lookups.RowsByOwner, lookups.RowsInOrder):
        monkeypatch.setattr(kind, "updated", fail)
    rows = {model: [some_row(model, chance, "one")] for model in MODELS}

    assert looked_up(Index(rows, before)) == looked_up(Index(rows))


def test_what_no_change_touches_is_the_same_object() -> None:
    chance = random.Random(1)
    rows = {model: [some_row(model, chance, n) for n in range(20)] for model in MODELS}
    before = Index(rows)
    looked_up(before)
    changed = dict(rows)
    changed[Budget] = [*rows[Budget], some_row(Budget, chance, "new")]

    after = Index(changed, before)

    assert after.team is before.team
    assert after.teams_of is before.teams_of
    assert after.budget is not before.budget
    assert list(after.changes) == [Budget]


def test_equal_rows_are_not_held_twice() -> None:
    chance = random.Random(1)
    rows = {model: [some_row(model, chance, n) for n in range(20)] for model in MODELS}
    again = {model: [row_type(model)(*row) for row in rows[model]] for model in MODELS}

    after = Index(again, Index(rows))

    assert all(after.rows[model] is rows[model] for model in MODELS)
    assert after.changes == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_change_is_what_leads_from_the_old_rows_to_the_new(seed: int) -> None:
    chance = random.Random(seed)
    make = row_type(Customer)

    def some() -> list[Row]:
        values = chance.choices("abcdef", k=chance.randrange(8))
        return [make(*value * len(make._fields)) for value in values]

    for _ in range(500):
        old, new = some(), some()
        gone, come = Change.between(old, new)

        left = list(old)
        for row in gone:
            left.remove(row)
        assert sorted(left + come) == sorted(new)
        assert not set(gone) & set(come)


def test_a_change_of_one_row_among_many_is_that_row() -> None:
    make = row_type(Team)
    old = [make(n, *[None] * (len(make._fields) - 1)) for n in range(1000)]
    row = old[500]

    assert Change.between(old, old[:500] + old[501:]) == ([row], [])
    assert Change.between(old[:500] + old[501:], old) == ([], [row])
    renamed = row._replace(name="other")
    assert Change.between(old, [*old[:500], renamed, *old[501:]]) == ([row], [renamed])
