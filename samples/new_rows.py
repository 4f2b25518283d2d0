"""Rows on their way into our own database, in chunks: none is held after it."""

from typing import Any

import models
from store.own_tables import OwnTables


class NewRows:
    """Rows on their way into the tables, made at `time`; `counts` is of each model."""

    def __init__(self, tables: OwnTables) -> None:
        self.time = ""
        self.counts: dict[models.Model, int] = dict.fromkeys(models.MODELS, 0)
        self._tables = tables
        self._waiting: dict[models.Model, list[Any]] = {
            model: [] for model in models.MODELS
        }

    def add(self, model: models.Model, **values: Any) -> int:
        """Add a row; return its number, which is its id if none is given.

        It is in the table after the next `write`. Other columns are NULL.
        """
        number = self.counts[model] = self.counts[model] + 1
        row = {"id": number, "created_at": self.time, "updated_at": self.time}
        self._waiting[model].append(row | values)
        return number

    def write(self) -> None:
        for model, rows in self._waiting.items():
            self._tables.insert(model, rows)
            rows.clear()
