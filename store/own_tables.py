"""The rows of our own tables, read and changed within one transaction."""

from collections.abc import Callable, Iterable
from typing import Any

import peewee

from models import MODELS, Model, column_names, encrypted_columns
from store.encryption import Encryption

# The rows of every table by primary key, each a dict of all columns.
Tables = dict[Model, dict[Any, dict[str, Any]]]
# Makes of a row what the database can hold of it.
Fit = Callable[[Model, dict[str, Any]], dict[str, Any]]


def unchanged(model: Model, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as it is, for databases that hold anything."""
    return row


class OwnTables:
    """Our own tables, to be read and changed before the transaction ends.

    Rows come and go in plain; what a gateway would encrypt is stored so if there is a
    key.
    """

    def __init__(
        self,
        database: peewee.Database,
        encryption: Encryption,
        fit: Fit,
    ) -> None:
        self._database = database
        self._encryption = encryption
        self._fit = fit

    def seal(self) -> None:
        """Encrypt what is stored in plain, as a gateway does once it has a key."""
        for model in MODELS if self._encryption.has_key else ():
            if not encrypted_columns(model):
                continue
            stored = self._stored(model)
            sealed = [self._encryption.sealed_values(model, row) for row in stored]
            changed = [
                row for row, old in zip(sealed, stored, strict=True) if row is not old
            ]
            self._delete(model, [primary_key(model, row) for row in changed])
            self._insert(model, changed)

    def read(self) -> Tables:
        """Return all rows there are."""
        tables: Tables = {}
        for model in MODELS:
            stored = self._stored(model)
            rows = (self._encryption.opened_values(model, row) for row in stored)
            tables[model] = {primary_key(model, row): row for row in rows}
        return tables

    def change(self, old: Tables, new: Tables) -> dict[str, int]:
        """Turn the old rows into the new ones; return how many were added, changed and
        removed.
        """
        counts = {"added": 0, "changed": 0, "removed": 0}
        for model in MODELS:
            before = old[model]
            after = {key: self._fit(model, row) for key, row in new[model].items()}
            removed = [key for key in before if key not in after]
            changed = [k for k, row in after.items() if row != before.get(k, row)]
            added = [key for key in after if key not in before]
            # Changed rows go out first too, so that two may swap a unique name.
            self._delete(model, removed + changed)
            if changed or added:
                self.insert(model, [after[key] for key in changed + added])
            counts["added"] += len(added)
            counts["changed"] += len(changed)
            counts["removed"] += len(removed)
        return counts

    def insert(self, model: Model, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows; what they do not have is NULL."""
        sealed = self._encryption.sealed_values
        self._insert(model, [sealed(model, self._fit(model, row)) for row in rows])

    def is_empty(self, model: Model) -> bool:
        return not model.select().limit(1).execute(self._database)

    def clear(self, model: Model) -> None:
        model.delete().execute(self._database)

    def _stored(self, model: Model) -> list[dict[str, Any]]:
        names = column_names(model)
        # Written out: peewee takes longer to make the text than SQLite to answer it.
        quoted = _quoted(model)
        rows = self._database.execute_sql(
            f'SELECT {quoted} FROM "{model._meta.table_name}"'
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _delete(self, model: Model, keys: list[Any]) -> None:
        if not keys:
            return
        names = [getattr(model, name).column_name for name in key_names(model)]
        mark = self._database.param
        where = " AND ".join(f'"{name}" = {mark}' for name in names)
        self._database.cursor().executemany(
            f'DELETE FROM "{model._meta.table_name}" WHERE {where}',
            [each if isinstance(each, tuple) else (each,) for each in keys],
        )

    def _insert(self, model: Model, rows: Iterable[dict[str, Any]]) -> None:
        names = column_names(model)
        quoted = _quoted(model)
        marks = ", ".join([self._database.param] * len(names))
        self._database.cursor().executemany(
            f'INSERT INTO "{model._meta.table_name}" ({quoted}) VALUES ({marks})',
            [[*map(row.get, names)] for row in rows],
        )


def _quoted(model: Model) -> str:
    columns = model._meta.sorted_fields
    return ", ".join(f'"{column.column_name}"' for column in columns)


def primary_key(model: Model, row: dict[str, Any]) -> Any:
    key = tuple(row[name] for name in key_names(model))
    return key if len(key) > 1 else key[0]


def key_names(model: Model) -> list[str]:
    """Return the names of the columns of a model's primary key."""
    key: Any = model._meta.primary_key
    if isinstance(key, peewee.CompositeKey):
        return list(key.field_names)
    return [key.name]
