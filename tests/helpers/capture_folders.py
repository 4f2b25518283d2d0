"""The folders in which gateways' databases and answers were captured.

Tests that need one are skipped where its environment variable is not set.
"""

import os
import re
import sqlite3
from pathlib import Path

import pytest

from models import MODELS


def folder_of(variable: str) -> Path:
    """The folder that an environment variable names, or skip the test."""
    if variable not in os.environ:
        pytest.skip(f"{variable} names no folder")
    return Path(os.environ[variable])


def restore(dump: Path, path: Path) -> None:
    """Write what we read of a PostgreSQL dump as an SQLite database."""
    columns: dict[str, list[str]] = {}
    for line in (dump / "schema.txt").read_text().splitlines():
        table, column, _ = line.split(" ", 2)
        columns.setdefault(table, []).append(column)
    inserts = (dump / "gateway.sql").read_text()
    with sqlite3.connect(path) as connection:
        for table in (model._meta.table_name for model in MODELS):
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns[table])})")
            for line in re.findall(
                rf"^INSERT INTO public\.({table} .*;)$", inserts, re.M
            ):
                times = re.sub(r"(:\d\d(?:\.\d+)?)\+00'", r"\1+00:00'", line)
                connection.execute(f"INSERT INTO {times}")
    connection.close()
