"""Rows on their way into our own database, in chunks: none is held after it."""

import sqlite3
from typing import Any

import models
from store.own import Model


class NewRows:
    """Rows on their way into the tables, made at `time`; `counts` is of each model."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.time = ""
        self.counts: dict[Model, int] = dict.fromkeys(models.MODELS, 0)
        self._connection = connection
        self._waiting: dict[Model, list[Any]] = {model: [] for model in models.MODELS}
        self._names = {
            model: [column.name for column in models.columns(model)]
            for model in models.MODELS
        }

    def add(self, model: Model, **values: Any) -> int:
        """Add a row; its number, which is its id if none is given.

        It is in the table after the next `write`. Other columns are NULL.
        """
        number = self.counts[model] = self.counts[model] + 1
        row = {"id": number, "created_at": self.time, "updated_at": self.time}
        row |= values
        self._waiting[model].append([*map(row.get, self._names[model])])
        return number

    def write(self) -> None:
        for model, rows in self._waiting.items():
            columns = [f'"{column.column_name}"' for column in models.columns(model)]
            self._connection.executemany(
                f'INSERT INTO "{model._meta.table_name}" ({", ".join(columns)})'
                f" VALUES ({', '.join('?' for _ in columns)})",
                rows,
            )
            rows.clear()
